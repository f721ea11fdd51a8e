//! CreateAlias, DeleteAlias, ListAliases. Alias operations are authorized twice: on the
//! alias by identity policies, on the key like everything else.

use super::{Cx, check_own, page, paged, read, required, wrong_state};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::clock::epoch_seconds;
use crate::policy::Facts;
use crate::resolve::{self, Target};
use crate::state::{AliasRecord, Change, KeyState};
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
        key: target.key.record.id.clone(),
        created: cx.now,
    };
    let arn = alias.arn();
    authz::authorize_account(cx, "CreateAlias", Some(&arn), Facts::default())?;
    authz::authorize(cx, &live.state, Ask::new("CreateAlias", &target))?;
    check_own(cx, &target.key.record, "CreateAlias")?;
    if let KeyState::PendingDeletion { .. } = target.key.record.state {
        return Err(wrong_state(&target.key.record));
    }
    if find(&live.state, cx, &alias.name).is_some() {
        return Err(KmsError::already_exists(format!(
            "An alias with the name {arn} already exists"
        )));
    }
    live.commit(vec![Change::Alias(alias)])?;
    Ok(json!({}))
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
    if let Some(key) = live.state.key(&alias.key, cx.now) {
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
            Some(target.key.record.id.clone())
        }
    };
    let aliases = live
        .state
        .aliases
        .values()
        .filter(|alias| alias.account == cx.caller.account && alias.region == cx.region)
        .filter(|alias| only.as_ref().is_none_or(|key| *key == alias.key))
        .filter(|alias| live.state.key(&alias.key, cx.now).is_some())
        .map(|alias| {
            json!({
                "AliasName": alias.name,
                "AliasArn": alias.arn(),
                "TargetKeyId": alias.key,
                "CreationDate": epoch_seconds(alias.created),
                "LastUpdatedDate": epoch_seconds(alias.created),
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
    state.aliases.get(&index).filter(|alias| {
        // An alias goes with its key.
        state.key(&alias.key, cx.now).is_some()
    })
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
