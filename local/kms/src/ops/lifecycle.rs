//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion. From which state each
//! may come: developer guide, "Key states of AWS KMS keys". A key whose deletion date has
//! passed does not exist any more; its record stays in the file.

use super::{Cx, check_own, read, required, wrong_state};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::clock::epoch_seconds;
use crate::resolve;
use crate::state::{Change, KeyRecord, KeyState};
use serde::Deserialize;
use serde_json::{Value, json};

const DAY: i64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// API reference, "EnableKey".
pub(super) fn enable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    change(cx, &read(input)?, "EnableKey", |key| match key.state {
        KeyState::Enabled | KeyState::Disabled => Ok(KeyState::Enabled),
        _ => Err(wrong_state(key)),
    })?;
    Ok(json!({}))
}

/// API reference, "DisableKey".
pub(super) fn disable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    change(cx, &read(input)?, "DisableKey", |key| match key.state {
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
    let key = change(cx, &input, "ScheduleKeyDeletion", |key| match key.state {
        KeyState::PendingDeletion { .. } => Err(wrong_state(key)),
        _ => Ok(KeyState::PendingDeletion { until }),
    })?;
    Ok(json!({
        "KeyId": key.arn(),
        "DeletionDate": epoch_seconds(until),
        "KeyState": key.state.name(),
        "PendingWindowInDays": days,
    }))
}

/// API reference, "CancelKeyDeletion": the key is disabled afterwards, or awaits its
/// import again.
pub(super) fn cancel_deletion(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let key = change(cx, &read(input)?, "CancelKeyDeletion", |key| {
        match key.state {
            KeyState::PendingDeletion { .. } if key.materials.is_empty() || key.material_gone => {
                Ok(KeyState::PendingImport)
            }
            KeyState::PendingDeletion { .. } => Ok(KeyState::Disabled),
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
    to: impl FnOnce(&KeyRecord) -> Result<KeyState, KmsError>,
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
    record.state = to(&record)?;
    live.commit(vec![Change::Key(record.clone())])?;
    Ok(record)
}
