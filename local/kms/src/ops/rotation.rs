//! EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, ListKeyRotations,
//! RotateKeyOnDemand. Old material stays with the key and opens what it sealed; nothing is
//! ever re-encrypted by a rotation. When automatic rotation is due: [`crate::settle`].
//!
//! A rotation on demand is done when its call is answered, so that none is ever in progress:
//! no OnDemandRotationStartDate, no ConflictException.

use super::{Cx, check_enabled, managed, page, paged, read, required, wrong_state};
use crate::authz::{self, Ask};
use crate::clock::{DAY, epoch_seconds};
use crate::key::{KeyRecord, KeySpec, KeyState, Material, Origin, Rotated, Rotation};
use crate::policy::Facts;
use crate::state::{Change, State};
use crate::{KmsError, resolve, settle};
use serde::Deserialize;
use serde_json::{Value, json};

/// On-demand rotations of one key ("Resource quotas").
const MOST_ON_DEMAND: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    rotation_period_in_days: Option<i64>,
}

/// API reference, "EnableKeyRotation": 90 to 2560 days, 365 if not said, counted from now
/// (where rotation was enabled already, too).
pub(super) fn enable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let days = input.rotation_period_in_days.unwrap_or(365);
    if !(90..=2560).contains(&days) {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value '{days}' at 'rotationPeriodInDays' failed to \
             satisfy constraint: Member must have value between 90 and 2560"
        )));
    }
    let mut facts = Facts::default();
    if let Some(days) = input.rotation_period_in_days {
        let days = u32::try_from(days).unwrap_or_default();
        facts.number("kms:RotationPeriodInDays", f64::from(days));
    }
    let next = cx.now.saturating_add(days * DAY);
    let rotation = Some(Rotation { days, next });
    set(cx, input.key_id, "EnableKeyRotation", facts, &rotation)
}

/// API reference, "DisableKeyRotation".
pub(super) fn disable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let facts = Facts::default();
    set(cx, input.key_id, "DisableKeyRotation", facts, &None)
}

fn set(
    cx: &Cx<'_>,
    key_id: Option<String>,
    action: &str,
    facts: Facts,
    rotation: &Option<Rotation>,
) -> Result<Value, KmsError> {
    let key_id = required(key_id, "keyId")?;
    let mut live = cx.engine.write();
    let key = managed(cx, &live.state, &key_id, action, facts)?;
    check_kind(&key)?;
    if key.origin != Origin::AwsKms {
        return Err(KmsError::unsupported(format!(
            "{} origin is EXTERNAL which is not valid for this operation.",
            key.arn()
        )));
    }
    check_not_replica(&key)?;
    check_enabled(&key)?;
    let related = live.state.with_related(&key).into_iter();
    let changes = related
        .map(|mut record| {
            record.rotation.clone_from(rotation);
            Change::Key(record)
        })
        .collect();
    live.commit(changes)?;
    Ok(json!({}))
}

/// API reference, "RotateKeyOnDemand": symmetric keys, with the material that was imported for
/// it where material is imported, into all related keys. The schedule stays as it is.
pub(super) fn rotate(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let action = "RotateKeyOnDemand";
    let mut live = cx.engine.write();
    let key = managed(cx, &live.state, &key_id, action, Facts::default())?;
    check_kind(&key)?;
    check_not_replica(&key)?;
    check_enabled(&key)?;
    let done = (key.materials.iter()).filter(|m| m.rotated == Some(Rotated::OnDemand));
    if done.count() >= MOST_ON_DEMAND {
        return Err(KmsError::limit_exceeded(format!(
            "The key has been rotated on demand {MOST_ON_DEMAND} times."
        )));
    }
    let material = match (key.origin, &key.next_material) {
        (Origin::AwsKms, _) => Material::generate(cx.now, Some(Rotated::OnDemand))?,
        (Origin::External, Some(next)) if is_everywhere(&live.state, &key) => Material {
            created: cx.now,
            rotated: Some(Rotated::OnDemand),
            ..next.clone()
        },
        (Origin::External, _) => {
            return Err(KmsError::invalid_state(format!(
                "{} has no imported key material that is pending rotation.",
                key.arn()
            )));
        }
    };
    let answer = json!({"KeyId": key.arn()});
    let (changes, event) = settle::rotated(&live.state, key, &material);
    live.commit(changes)?;
    cx.follow_up(event);
    Ok(answer)
}

/// Whether the material that awaits its rotation is there in all related keys.
fn is_everywhere(state: &State, key: &KeyRecord) -> bool {
    (state.with_related(key).iter())
        .all(|record| (record.next_material.as_ref()).is_some_and(Material::is_present))
}

/// API reference, "GetKeyRotationStatus". It works across accounts, and on replicas. A key
/// pending deletion says that it does not rotate; a key with imported material never does by
/// itself.
pub(super) fn status(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, "GetKeyRotationStatus")?;
    authz::authorize(cx, &live.state, Ask::new("GetKeyRotationStatus", &target))?;
    let key = &target.key.record;
    if key.state == KeyState::PendingImport {
        return Err(wrong_state(key));
    }
    check_kind(key)?;
    let rotation = key
        .rotation
        .as_ref()
        .filter(|_| matches!(key.state, KeyState::Enabled | KeyState::Disabled));
    Ok(match rotation {
        None => json!({"KeyId": key.arn(), "KeyRotationEnabled": false}),
        Some(rotation) => json!({
            "KeyId": key.arn(),
            "KeyRotationEnabled": true,
            "RotationPeriodInDays": rotation.days,
            "NextRotationDate": epoch_seconds(rotation.next),
        }),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput {
    key_id: Option<String>,
    include_key_material: Option<String>,
    limit: Option<u32>,
    marker: Option<String>,
}

/// API reference, "ListKeyRotations", the oldest first.
pub(super) fn list(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let all = match input.include_key_material.as_deref() {
        None | Some("ROTATIONS_ONLY") => false,
        Some("ALL_KEY_MATERIAL") => true,
        Some(other) => {
            return Err(KmsError::validation(format!(
                "1 validation error detected: Value '{other}' at 'includeKeyMaterial' failed to \
                 satisfy constraint: Member must satisfy enum value set: [ALL_KEY_MATERIAL, \
                 ROTATIONS_ONLY]"
            )));
        }
    };
    let live = cx.engine.read();
    let key = managed(
        cx,
        &live.state,
        &key_id,
        "ListKeyRotations",
        Facts::default(),
    )?;
    check_kind(&key)?;
    let current = key.materials.last().map(|m| &m.id);
    let materials = key.materials.iter().map(|m| match Some(&m.id) == current {
        true => (m, "CURRENT"),
        false => (m, "NON_CURRENT"),
    });
    let next = key
        .next_material
        .iter()
        .map(|m| match is_everywhere(&live.state, &key) {
            true => (m, "PENDING_ROTATION"),
            false => (m, "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"),
        });
    let entries = materials
        .chain(next)
        .filter(|(material, _)| all || material.rotated.is_some())
        .map(|(material, state)| entry(&key, material, state))
        .collect();
    let (entries, next) = page(entries, input.limit, 1000, 100, input.marker.as_deref())?;
    Ok(paged("Rotations", entries, next))
}

/// API reference, "RotationsListEntry".
fn entry(key: &KeyRecord, material: &Material, state: &str) -> Value {
    let mut entry = json!({
        "KeyId": key.arn(),
        "KeyMaterialId": material.id,
        "KeyMaterialState": state,
    });
    if let Some(rotated) = material.rotated {
        entry["RotationDate"] = json!(epoch_seconds(material.created));
        entry["RotationType"] = json!(rotated.name());
    }
    if let Some(import) = &material.import {
        entry["ImportState"] = json!(match import.present {
            true => "IMPORTED",
            false => "PENDING_IMPORT",
        });
        if let Some(description) = &import.description {
            entry["KeyMaterialDescription"] = json!(description);
        }
        if import.present {
            super::metadata::expiration(&mut entry, import.valid_to);
        }
    }
    entry
}

fn check_kind(key: &KeyRecord) -> Result<(), KmsError> {
    match key.spec {
        KeySpec::Symmetric => Ok(()),
        _ => Err(KmsError::unsupported(format!(
            "{} is no symmetric encryption key.",
            key.arn()
        ))),
    }
}

fn check_not_replica(key: &KeyRecord) -> Result<(), KmsError> {
    match key.is_replica() {
        false => Ok(()),
        true => Err(KmsError::unsupported(format!(
            "{} is a replica key: do this to its primary key.",
            key.arn()
        ))),
    }
}
