//! ReplicateKey and UpdatePrimaryRegion: multi-Region keys (developer guide, "Multi-Region keys
//! in AWS KMS"). Related keys share id, material, spec, usage, origin and rotation; each has
//! its own policy, grants, aliases, tags, description and state.
//!
//! Both are done when they are answered: no key is ever `Creating` or `Updating`.

use super::keys::{check_policy, default_policy, description};
use super::metadata::metadata;
use super::tags::{self, Tag};
use super::{Cx, check_enabled, managed, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::key::{KeyRecord, KeyState, Material, MultiRegion, Origin};
use crate::policy::Facts;
use crate::resolve::Target;
use crate::state::Change;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplicateInput {
    key_id: Option<String>,
    replica_region: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
}

/// API reference, "ReplicateKey": `kms:ReplicateKey` on the primary key, `kms:CreateKey` by
/// identity policies in the replica's Region. The replica of a key with imported material knows
/// which material it is, and awaits its import.
pub(super) fn replicate(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ReplicateInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let region = region(
        required(input.replica_region, "replicaRegion")?,
        "replicaRegion",
    )?;
    let bypass = input.bypass_policy_lockout_safety_check == Some(true);
    let description = description(input.description)?;
    let tags = tags::parse(input.tags)?;
    let mut facts = Facts::default();
    facts.text("kms:ReplicaRegion", &region);
    facts.flag("kms:BypassPolicyLockoutSafetyCheck", bypass);
    let mut live = cx.engine.write();
    let primary = managed(cx, &live.state, &key_id, "ReplicateKey", facts)?;
    let there = cx.there(&region);
    let mut facts = Facts::default();
    facts.text("kms:KeySpec", primary.spec.name());
    facts.text("kms:KeyUsage", primary.usage.name());
    facts.text("kms:KeyOrigin", primary.origin.name());
    facts.flag("kms:MultiRegion", true);
    facts.text("kms:MultiRegionKeyType", MultiRegion::Replica.name());
    facts.flag("kms:BypassPolicyLockoutSafetyCheck", bypass);
    tags::request_facts(&mut facts, &tags);
    authz::authorize_account(&there, "CreateKey", None, facts.clone())?;
    if !tags.is_empty() {
        authz::authorize_account(&there, "TagResource", None, facts.clone())?;
    }
    check_primary(&primary)?;
    check_enabled(&primary)?;
    if live.state.key(&primary.id, &region).is_some() {
        return Err(KmsError::already_exists(format!(
            "{} already exists.",
            primary.arn_in(&region)
        )));
    }
    let awaits_import = primary.origin == Origin::External;
    let mut replica = KeyRecord {
        region: region.clone(),
        created: cx.now,
        description,
        state: match awaits_import {
            true => KeyState::PendingImport,
            false => KeyState::Enabled,
        },
        policy: (input.policy).unwrap_or_else(|| default_policy(&cx.caller.account)),
        multi_region: Some(MultiRegion::Replica),
        tags,
        ..primary
    };
    let materials = replica
        .materials
        .iter_mut()
        .chain(&mut replica.next_material);
    materials.for_each(Material::remove);
    let replica = check_policy(&there, &live.state, replica, bypass, facts)?;
    let answer = json!({
        "ReplicaKeyMetadata": metadata(&live.state, &replica),
        "ReplicaPolicy": replica.policy,
        "ReplicaTags": tags::entries(&replica.tags),
    });
    cx.made_there(&replica);
    live.commit(vec![Change::Key(replica)])?;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateInput {
    key_id: Option<String>,
    primary_region: Option<String>,
}

/// API reference, "UpdatePrimaryRegion": `kms:UpdatePrimaryRegion` on the primary key and on the
/// replica that takes its place, each in its Region. Both must be enabled (developer guide,
/// "Change the primary key in a set of multi-Region keys").
pub(super) fn update_primary(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: UpdateInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let region = region(
        required(input.primary_region, "primaryRegion")?,
        "primaryRegion",
    )?;
    let action = "UpdatePrimaryRegion";
    let mut facts = Facts::default();
    facts.text("kms:PrimaryRegion", &region);
    let mut live = cx.engine.write();
    let mut primary = managed(cx, &live.state, &key_id, action, facts.clone())?;
    check_primary(&primary)?;
    let there = cx.there(&region);
    let replica = (live.state.key(&primary.id, &region))
        .filter(|key| key.record.is_replica())
        .ok_or_else(|| {
            KmsError::not_found(format!("Key {} is not found.", primary.arn_in(&region)))
        })?;
    let target = Target {
        key: replica,
        alias: None,
    };
    let mut ask = Ask::new(action, &target);
    ask.facts = facts;
    authz::authorize(&there, &live.state, ask)?;
    let mut replica = replica.record.clone();
    check_enabled(&primary)?;
    check_enabled(&replica)?;
    primary.multi_region = Some(MultiRegion::Replica);
    replica.multi_region = Some(MultiRegion::Primary);
    live.commit(vec![Change::Key(primary), Change::Key(replica)])?;
    Ok(json!({}))
}

fn check_primary(key: &KeyRecord) -> Result<(), KmsError> {
    match key.multi_region {
        Some(MultiRegion::Primary) => Ok(()),
        _ => Err(KmsError::unsupported(format!(
            "{} is no multi-Region primary key.",
            key.arn()
        ))),
    }
}

/// A Region by its form: `eu-west-1`. Which ones there are is not known here.
fn region(name: String, member: &str) -> Result<String, KmsError> {
    let mut parts: Vec<&str> = name.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let fits = (2..=3).contains(&parts.len())
        && parts.iter().all(word)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit());
    match fits {
        true => Ok(name),
        false => Err(KmsError::validation(format!(
            "1 validation error detected: Value '{name}' at '{member}' failed to satisfy \
             constraint: Member must be a Region"
        ))),
    }
}
