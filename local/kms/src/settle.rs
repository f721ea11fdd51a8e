//! What time does to keys: automatic rotation, the expiry of imported material, deletion.
//!
//! Nothing runs in the background. Before each call everything that was due by its time is
//! done, in the order in which it was due and as of that date, with the event that AWS writes
//! for it: a clock moved over four rotation dates leaves four new materials.

use crate::clock::DAY;
use crate::events::ServiceEvent;
use crate::key::{KeyRecord, KeyState, Material, MultiRegion, Rotated};
use crate::state::{Change, State};
use crate::{Engine, KmsError};
use serde_json::json;

/// Does what was due at `now` or before.
///
/// # Errors
///
/// KMSInternalException where a change or an event cannot be written.
pub(crate) fn settle(engine: &Engine, now: i64) -> Result<(), KmsError> {
    if engine.read().state.first_due(now).is_none() {
        return Ok(());
    }
    let mut live = engine.write();
    while let Some((at, key)) = live.state.first_due(now) {
        let (changes, events) = step(&live.state, at, &key.record)?;
        live.commit(changes)?;
        for event in events {
            engine
                .events
                .write_service(&event)
                .map_err(|_| KmsError::internal())?;
        }
    }
    Ok(())
}

/// The one thing that is due to the key at `at`.
fn step(
    state: &State,
    at: i64,
    key: &KeyRecord,
) -> Result<(Vec<Change>, Vec<ServiceEvent>), KmsError> {
    if key.state == (KeyState::PendingDeletion { until: at }) {
        return Ok(deleted(state, at, key));
    }
    let imported = key.materials.iter().chain(&key.next_material);
    if let Some(material) = imported.into_iter().find(|m| m.expires() == Some(at)) {
        let details = json!({"keyId": key.id, "keyMaterialId": material.id});
        let event = ServiceEvent::new("DeleteExpiredKeyMaterial", at, key, details);
        return Ok((without_material(state, key, &material.id), vec![event]));
    }
    let material = Material::generate(at, Some(Rotated::Automatic))?;
    let mut key = key.clone();
    if let Some(rotation) = &mut key.rotation {
        rotation.next = at.saturating_add(rotation.days * DAY);
    }
    let (changes, event) = rotated(state, key, &material);
    Ok((changes, vec![event]))
}

fn deleted(state: &State, at: i64, key: &KeyRecord) -> (Vec<Change>, Vec<ServiceEvent>) {
    let mut changes = vec![Change::KeyGone {
        id: key.id.clone(),
        region: key.region.clone(),
    }];
    // The waiting period of a primary key begins when the last of its replicas is gone.
    let mut left = state.with_related(key).split_off(1);
    if let [primary] = &mut left[..]
        && primary.multi_region == Some(MultiRegion::Primary)
        && let KeyState::PendingReplicaDeletion { days } = primary.state
    {
        let until = at.saturating_add(days * DAY);
        primary.state = KeyState::PendingDeletion { until };
        changes.push(Change::Key(primary.clone()));
    }
    let event = ServiceEvent::new("DeleteKey", at, key, json!({"keyId": key.id}));
    (changes, vec![event])
}

/// The key with new current material, and its related keys with the same.
pub(crate) fn rotated(
    state: &State,
    key: KeyRecord,
    material: &Material,
) -> (Vec<Change>, ServiceEvent) {
    let event = ServiceEvent::new(
        "RotateKey",
        material.created,
        &key,
        json!({
            "rotationType": material.rotated.map(Rotated::name),
            "keyOrigin": key.origin.name(),
            "previousKeyMaterialId": key.materials.last().map(|m| &m.id),
            "currentKeyMaterialId": material.id,
            "keyId": key.id,
        }),
    );
    let rotation = key.rotation.clone();
    let changes = state
        .with_related(&key)
        .into_iter()
        .map(|mut record| {
            record.rotation.clone_from(&rotation);
            // A related key has its own word on when imported material expires.
            let mut material = material.clone();
            material.import = record.next_material.take().and_then(|next| next.import);
            record.materials.push(material);
            Change::Key(record)
        })
        .collect();
    (changes, event)
}

/// The key without that imported material. What only awaits its rotation leaves the related
/// keys too when it leaves the primary one (API reference, "DeleteImportedKeyMaterial").
pub(crate) fn without_material(state: &State, key: &KeyRecord, id: &str) -> Vec<Change> {
    let mut key = key.clone();
    if let Some(material) = key.materials.iter_mut().find(|m| m.id == id) {
        material.remove();
        key.settle_import();
        return vec![Change::Key(key)];
    }
    if key.is_replica() {
        key.next_material.iter_mut().for_each(Material::remove);
        return vec![Change::Key(key)];
    }
    let related = state.with_related(&key).into_iter();
    related
        .map(|mut record| {
            record.next_material = None;
            Change::Key(record)
        })
        .collect()
}
