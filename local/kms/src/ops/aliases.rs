//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases. Alias operations are authorized twice: on the
//! alias by identity policies, on the key like everything else.

use super::{Cx, check_own, page, paged, read, required, wrong_state};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::clock::epoch_seconds;
use crate::key::{KeyRecord, KeySpec, KeyState, KeyUsage};
use crate::policy::Facts;
use crate::resolve::{self, Target};
use crate::state::{AliasRecord, Change};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// API reference, "CreateAlias".
pub(super) fn create(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let name = required(input.alias_name, "aliasName")?;
    let key_id = required(input.target_key_id, "targetKeyId")?;
    check_name(&name)?;
    if key_id.contains("alias/") {
        return Err(KmsError::validation("Aliases must refer to keys."));
    }
    let mut live = cx.engine.write();
    let target = resolve::key(cx, &live.state, &key_id, "CreateAlias")?;
    let alias = AliasRecord {
        account: cx.caller.account.clone(),
        region: cx.region.to_owned(),
        name,
        key: target.key.record.slot(),
        created: cx.now,
        updated: None,
    };
    let arn = alias.arn();
    authz::authorize_account(cx, "CreateAlias", Some(&arn), Facts::default())?;
    authz::authorize(cx, &live.state, Ask::new("CreateAlias", &target))?;
    check_own(cx, &target.key.record, "CreateAlias")?;
    check_state(&target.key.record)?;
    if find(&live.state, cx, &alias.name).is_some() {
        return Err(KmsError::already_exists(format!(
            "An alias with the name {arn} already exists"
        )));
    }
    live.commit(vec![Change::Alias(alias)])?;
    Ok(json!({}))
}

/// API reference, "UpdateAlias": `kms:UpdateAlias` on the alias, the key that it leaves and the
/// one that it goes to, which must be of one kind. Only the state of the latter matters.
pub(super) fn update(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let name = required(input.alias_name, "aliasName")?;
    let key_id = required(input.target_key_id, "targetKeyId")?;
    check_name(&name)?;
    if key_id.contains("alias/") {
        return Err(KmsError::validation("Aliases must refer to keys."));
    }
    let mut live = cx.engine.write();
    let action = "UpdateAlias";
    let arn = format!("arn:aws:kms:{}:{}:{name}", cx.region, cx.caller.account);
    authz::authorize_account(cx, action, Some(&arn), Facts::default())?;
    let mut alias = find(&live.state, cx, &name)
        .ok_or_else(|| KmsError::not_found(format!("Alias {arn} is not found.")))?
        .clone();
    let to = resolve::key(cx, &live.state, &key_id, action)?;
    authz::authorize(cx, &live.state, Ask::new(action, &to))?;
    check_own(cx, &to.key.record, action)?;
    if let Some(key) = live.state.keys.get(&alias.key) {
        cx.touch(&key.record.account, &key.record.arn());
        let from = Target { key, alias: None };
        authz::authorize(cx, &live.state, Ask::new(action, &from))?;
        if kind(&key.record) != kind(&to.key.record) {
            return Err(KmsError::validation(format!(
                "{arn} can only be given a key of the same type and usage."
            )));
        }
    }
    check_state(&to.key.record)?;
    alias.key = to.key.record.slot();
    alias.updated = Some(cx.now);
    live.commit(vec![Change::Alias(alias)])?;
    Ok(json!({}))
}

/// What two keys of one alias must have in common: symmetric, asymmetric or HMAC, and the usage.
fn kind(key: &KeyRecord) -> (bool, KeyUsage) {
    let asymmetric = matches!(key.spec, KeySpec::Rsa2048 | KeySpec::EccP256);
    (asymmetric, key.usage)
}

fn check_state(key: &KeyRecord) -> Result<(), KmsError> {
    match key.state {
        KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => {
            Err(wrong_state(key))
        }
        _ => Ok(()),
    }
}

/// API reference, "DeleteAlias". The key's state does not matter.
pub(super) fn delete(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: Input = read(input)?;
    let name = required(input.alias_name, "aliasName")?;
    check_name(&name)?;
    let mut live = cx.engine.write();
    let arn = format!("arn:aws:kms:{}:{}:{name}", cx.region, cx.caller.account);
    authz::authorize_account(cx, "DeleteAlias", Some(&arn), Facts::default())?;
    let alias = find(&live.state, cx, &name)
        .ok_or_else(|| KmsError::not_found(format!("Alias {arn} is not found.")))?
        .clone();
    if let Some(key) = live.state.keys.get(&alias.key) {
        cx.touch(&key.record.account, &key.record.arn());
        let target = Target { key, alias: None };
        authz::authorize(cx, &live.state, Ask::new("DeleteAlias", &target))?;
    }
    live.commit(vec![Change::AliasGone(alias)])?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput {
    key_id: Option<String>,
    limit: Option<u32>,
    marker: Option<String>,
}

/// API reference, "ListAliases": the caller's account and Region.
pub(super) fn list(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    authz::authorize_account(cx, "ListAliases", None, Facts::default())?;
    let live = cx.engine.read();
    let only = match &input.key_id {
        None => None,
        Some(key_id) => {
            let target = resolve::key(cx, &live.state, key_id, "ListAliases")?;
            check_own(cx, &target.key.record, "ListAliases")?;
            Some(target.key.record.slot())
        }
    };
    let aliases = live
        .state
        .aliases
        .values()
        .filter(|alias| alias.account == cx.caller.account && alias.region == cx.region)
        .filter(|alias| only.as_ref().is_none_or(|key| *key == alias.key))
        .filter_map(|alias| Some((alias, live.state.keys.get(&alias.key)?)))
        .map(|(alias, key)| {
            json!({
                "AliasName": alias.name,
                "AliasArn": alias.arn(),
                "TargetKeyId": key.record.id,
                "CreationDate": epoch_seconds(alias.created),
                "LastUpdatedDate": epoch_seconds(alias.updated.unwrap_or(alias.created)),
            })
        })
        .collect();
    let (aliases, next) = page(aliases, input.limit, 100, 50, input.marker.as_deref())?;
    Ok(paged("Aliases", aliases, next))
}

fn find<'s>(state: &'s crate::state::State, cx: &Cx<'_>, name: &str) -> Option<&'s AliasRecord> {
    let index = (
        cx.caller.account.clone(),
        cx.region.to_owned(),
        name.to_owned(),
    );
    state.aliases.get(&index)
}

fn check_name(name: &str) -> Result<(), KmsError> {
    let rest = name.strip_prefix("alias/").filter(|rest| !rest.is_empty());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
    match rest {
        None => Err(KmsError::validation(
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )),
        Some(rest) if rest.starts_with("aws/") => Err(KmsError::invalid_alias_name(
            "Aliases that begin with alias/aws/ are AWS's own.",
        )),
        Some(rest) if name.len() <= 256 && rest.chars().all(allowed) => Ok(()),
        Some(_) => Err(KmsError::validation(
            "1 validation error detected: Value at 'aliasName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        )),
    }
}
