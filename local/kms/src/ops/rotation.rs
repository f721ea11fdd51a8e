//! A key's material: RotateKeyOnDemand, GetKeyRotationStatus, and the coming and going of
//! imported material. Old material stays with the key and opens what it sealed; nothing is
//! ever re-encrypted by a rotation. There is no automatic rotation.

use super::{Cx, check_enabled, check_own, read, required, wrong_state};
use crate::authz::{self, Ask};
use crate::clock::millis;
use crate::state::{Change, KeySpec, KeyState, Material, Origin};
use crate::{Engine, KmsError, resolve};
use serde::Deserialize;
use serde_json::{Value, json};

/// Material of one key: the first, and 25 on-demand rotations ("Resource quotas").
const MOST_MATERIALS: usize = 26;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
}

/// API reference, "RotateKeyOnDemand": symmetric keys whose material KMS made.
pub(super) fn rotate(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let mut live = cx.engine.write();
    let target = resolve::key(cx, &live.state, &key_id, "RotateKeyOnDemand")?;
    authz::authorize(cx, &live.state, Ask::new("RotateKeyOnDemand", &target))?;
    let mut record = target.key.record.clone();
    check_own(cx, &record, "RotateKeyOnDemand")?;
    check_enabled(&record)?;
    if record.spec != KeySpec::Symmetric || record.origin != Origin::AwsKms {
        return Err(KmsError::unsupported(
            "Only symmetric encryption keys with material of KMS's own rotate here.",
        ));
    }
    if record.materials.len() >= MOST_MATERIALS {
        return Err(KmsError::limit_exceeded(
            "The key has been rotated on demand 25 times.",
        ));
    }
    record.materials.push(Material::generate(cx.now)?);
    let answer = json!({"KeyId": record.arn()});
    live.commit(vec![Change::Key(record)])?;
    Ok(answer)
}

/// API reference, "GetKeyRotationStatus". It works across accounts, and never says more than
/// that there is no automatic rotation.
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
    if key.spec != KeySpec::Symmetric {
        return Err(KmsError::unsupported(format!(
            "{} is no symmetric encryption key.",
            key.arn()
        )));
    }
    Ok(json!({"KeyId": key.arn(), "KeyRotationEnabled": false}))
}

/// See [`crate::LocalKms::set_imported_material`].
pub(crate) fn set_imported_material(
    engine: &Engine,
    key: &str,
    present: bool,
) -> Result<(), KmsError> {
    let now = millis(engine.clock.now());
    let mut live = engine.write();
    let id = key.rsplit('/').next().unwrap_or(key);
    let mut record = live
        .state
        .key(id, now)
        .ok_or_else(|| KmsError::not_found(format!("Key {key} is not found.")))?
        .record
        .clone();
    if record.origin != Origin::External {
        return Err(KmsError::unsupported("The key's material is KMS's own."));
    }
    record.state = match (record.state, present) {
        (KeyState::PendingDeletion { .. }, _) => return Err(wrong_state(&record)),
        (KeyState::PendingImport, true) => KeyState::Enabled,
        (_, false) => KeyState::PendingImport,
        (state, true) => state,
    };
    if present && record.materials.is_empty() {
        record.materials.push(Material::generate(now)?);
    }
    record.material_gone = !present && !record.materials.is_empty();
    live.commit(vec![Change::Key(record)])
}
