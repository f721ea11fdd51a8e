//! PutKeyPolicy and GetKeyPolicy. A key has one policy, `default`.

use super::keys::LOCKED_OUT;
use super::{Cx, check_own, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::policy::{Document, Facts};
use crate::resolve::{self, Target};
use crate::state::{Change, KeyEntry};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// API reference, "PutKeyPolicy". A policy under which the caller could not put another is
/// refused, unless the check is bypassed.
pub(super) fn put(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let text = required(input.policy, "policy")?;
    check_name(input.policy_name.as_deref())?;
    let bypass = input.bypass_policy_lockout_safety_check == Some(true);
    let mut live = cx.engine.write();
    let mut facts = Facts::default();
    facts.flag("kms:BypassPolicyLockoutSafetyCheck", bypass);
    let target = resolve::key(cx, &live.state, &key_id, "PutKeyPolicy")?;
    let mut ask = Ask::new("PutKeyPolicy", &target);
    ask.facts = facts.clone();
    authz::authorize(cx, &live.state, ask)?;
    check_own(cx, &target.key.record, "PutKeyPolicy")?;
    let mut record = target.key.record.clone();
    record.policy = text;
    let entry = KeyEntry {
        policy: parse_policy(&record.policy)?,
        record,
    };
    let after = Target {
        key: &entry,
        alias: target.alias.clone(),
    };
    if !bypass && !authz::keeps_caller_in(cx, &live.state, &after, facts) {
        return Err(KmsError::malformed_policy(LOCKED_OUT));
    }
    live.commit(vec![Change::Key(entry.record)])?;
    Ok(json!({}))
}

/// API reference, "GetKeyPolicy". The document comes back as it was put.
pub(super) fn get(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    check_name(input.policy_name.as_deref())?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, "GetKeyPolicy")?;
    authz::authorize(cx, &live.state, Ask::new("GetKeyPolicy", &target))?;
    let key = &target.key.record;
    check_own(cx, key, "GetKeyPolicy")?;
    Ok(json!({"Policy": key.policy, "PolicyName": "default"}))
}

/// A policy document of a request: at most 32 KB, and one that can be evaluated.
pub(super) fn parse_policy(text: &str) -> Result<Document, KmsError> {
    if text.len() > 32 * 1024 {
        return Err(KmsError::limit_exceeded(
            "The key policy is larger than 32768 bytes.",
        ));
    }
    Document::key_policy(text).map_err(KmsError::malformed_policy)
}

fn check_name(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some("default") => Ok(()),
        Some(_) => Err(KmsError::not_found("No such policy exists.")),
    }
}
