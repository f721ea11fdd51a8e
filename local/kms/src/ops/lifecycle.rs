//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion. From which state each
//! may come: developer guide, "Key states of AWS KMS keys". What happens at the deletion date:
//! [`crate::settle`].

use super::{Cx, check_own, read, required, wrong_state};
use crate::authz::{self, Ask};
use crate::clock::{DAY, epoch_seconds};
use crate::key::{KeyRecord, KeyState, Material, MultiRegion, Rotated};
use crate::state::{Change, State};
use crate::{KmsError, resolve, settle};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// API reference, "EnableKey". A rotation that fell due while the key was disabled is made up
/// for at once, and the next is counted from now (API reference, "GetKeyRotationStatus").
pub(super) fn enable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    change(cx, &read(input)?, "EnableKey", |_, key| match key.state {
        KeyState::Enabled | KeyState::Disabled => Ok(KeyState::Enabled),
        _ => Err(wrong_state(key)),
    })?;
    Ok(json!({}))
}

/// API reference, "DisableKey".
pub(super) fn disable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    change(cx, &read(input)?, "DisableKey", |_, key| match key.state {
        KeyState::Enabled | KeyState::Disabled => Ok(KeyState::Disabled),
        _ => Err(wrong_state(key)),
    })?;
    Ok(json!({}))
}

/// API reference, "ScheduleKeyDeletion": 7 to 30 days from now, 30 if not said.
pub(super) fn schedule_deletion(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let days = input.pending_window_in_days.unwrap_or(30);
    if !(7..=30).contains(&days) {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to \
             satisfy constraint: Member must have value between 7 and 30"
        )));
    }
    let until = cx.now.saturating_add(days * DAY);
    let action = "ScheduleKeyDeletion";
    let key = change(cx, &input, action, |state, key| match key.state {
        KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => {
            Err(wrong_state(key))
        }
        _ if key.multi_region == Some(MultiRegion::Primary)
            && state.related(&key.id).nth(1).is_some() =>
        {
            Ok(KeyState::PendingReplicaDeletion { days })
        }
        _ => Ok(KeyState::PendingDeletion { until }),
    })?;
    let mut answer = json!({
        "KeyId": key.arn(),
        "KeyState": key.state.name(),
        "PendingWindowInDays": days,
    });
    if let KeyState::PendingDeletion { until } = key.state {
        answer["DeletionDate"] = json!(epoch_seconds(until));
    }
    Ok(answer)
}

/// API reference, "CancelKeyDeletion": the key is disabled afterwards, or awaits its
/// import again.
pub(super) fn cancel_deletion(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let key = change(cx, &read(input)?, "CancelKeyDeletion", |_, key| {
        match key.state {
            KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => {
                Ok(match key.is_complete() {
                    true => KeyState::Disabled,
                    false => KeyState::PendingImport,
                })
            }
            _ => Err(KmsError::invalid_state(format!(
                "{} is not pending deletion.",
                key.arn()
            ))),
        }
    })?;
    Ok(json!({"KeyId": key.arn()}))
}

fn change(
    cx: &Cx<'_>,
    input: &Input,
    action: &str,
    to: impl FnOnce(&State, &KeyRecord) -> Result<KeyState, KmsError>,
) -> Result<KeyRecord, KmsError> {
    let key_id = required(input.key_id.as_deref(), "keyId")?;
    if key_id.contains("alias/") {
        return Err(KmsError::invalid_arn(
            "An alias is not allowed here: name the key by its id or ARN.",
        ));
    }
    let mut live = cx.engine.write();
    let target = resolve::key(cx, &live.state, key_id, action)?;
    let mut ask = Ask::new(action, &target);
    if let Some(days) = input.pending_window_in_days {
        let days = u32::try_from(days).unwrap_or_default();
        ask.facts.number(
            "kms:ScheduleKeyDeletionPendingWindowInDays",
            f64::from(days),
        );
    }
    authz::authorize(cx, &live.state, ask)?;
    let mut record = target.key.record.clone();
    check_own(cx, &record, action)?;
    record.state = to(&live.state, &record)?;
    let rotates = record.state == KeyState::Enabled && !record.is_replica();
    let overdue = (record.rotation.as_mut()).filter(|due| rotates && due.next <= cx.now);
    if let Some(rotation) = overdue {
        rotation.next = cx.now.saturating_add(rotation.days * DAY);
        let material = Material::generate(cx.now, Some(Rotated::Automatic))?;
        let (changes, event) = settle::rotated(&live.state, record.clone(), &material);
        live.commit(changes)?;
        cx.follow_up(event);
    } else {
        live.commit(vec![Change::Key(record.clone())])?;
    }
    Ok(record)
}
