//! CreateKey, DescribeKey, ListKeys.

use super::metadata::metadata;
use super::policies::parse_policy;
use super::tags::{self, Tag};
use super::{Cx, page, paged, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::key::{
    KeyRecord, KeySpec, KeyState, KeyUsage, MULTI_REGION, Material, MultiRegion, Origin,
};
use crate::policy::Facts;
use crate::resolve::{self, Target};
use crate::state::{Change, KeyEntry, State, random_uuid};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateInput {
    policy: Option<String>,
    description: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    key_usage: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
    tags: Option<Vec<Tag>>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// API reference, "CreateKey". No key stores; an EXTERNAL key awaits its first import.
pub(super) fn create(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: CreateInput = read(input)?;
    let (spec, usage) = kind(
        input.key_spec.or(input.customer_master_key_spec).as_deref(),
        input.key_usage.as_deref(),
    )?;
    let origin = match input.origin.as_deref() {
        None | Some("AWS_KMS") => Origin::AwsKms,
        Some("EXTERNAL") => Origin::External,
        Some(other) => {
            return Err(KmsError::unsupported(format!(
                "This KMS has no keys of origin {other}."
            )));
        }
    };
    let multi_region = (input.multi_region == Some(true)).then_some(MultiRegion::Primary);
    let description = description(input.description)?;
    let tags = tags::parse(input.tags)?;
    let bypass = input.bypass_policy_lockout_safety_check == Some(true);
    let mut facts = Facts::default();
    facts.text("kms:KeySpec", spec.name());
    facts.text("kms:KeyUsage", usage.name());
    facts.text("kms:KeyOrigin", origin.name());
    facts.flag("kms:MultiRegion", multi_region.is_some());
    if let Some(kind) = multi_region {
        facts.text("kms:MultiRegionKeyType", kind.name());
    }
    facts.flag("kms:BypassPolicyLockoutSafetyCheck", bypass);
    tags::request_facts(&mut facts, &tags);
    authz::authorize_account(cx, "CreateKey", None, facts.clone())?;
    if !tags.is_empty() {
        authz::authorize_account(cx, "TagResource", None, facts.clone())?;
    }
    let policy = input
        .policy
        .unwrap_or_else(|| default_policy(&cx.caller.account));
    let record = KeyRecord {
        id: match multi_region {
            Some(_) => format!("{MULTI_REGION}{}", random_uuid()?.simple()),
            None => random_uuid()?.to_string(),
        },
        account: cx.caller.account.clone(),
        region: cx.region.to_owned(),
        created: cx.now,
        description,
        spec,
        usage,
        origin,
        state: match origin {
            Origin::AwsKms => KeyState::Enabled,
            Origin::External => KeyState::PendingImport,
        },
        materials: match origin {
            Origin::AwsKms => vec![Material::generate(cx.now, None)?],
            Origin::External => Vec::new(),
        },
        next_material: None,
        rotation: None,
        multi_region,
        tags,
        material_gone: false,
        policy,
    };
    let mut live = cx.engine.write();
    let record = check_policy(cx, &live.state, record, bypass, facts)?;
    cx.touch(&record.account, &record.arn());
    let answer = json!({"KeyMetadata": metadata(&live.state, &record)});
    live.commit(vec![Change::Key(record)])?;
    Ok(answer)
}

/// The record, whose policy can be read and lets the caller put another one.
pub(super) fn check_policy(
    cx: &Cx<'_>,
    state: &State,
    record: KeyRecord,
    bypass: bool,
    facts: Facts,
) -> Result<KeyRecord, KmsError> {
    let entry = KeyEntry {
        policy: parse_policy(&record.policy)?,
        record,
    };
    let target = Target {
        key: &entry,
        alias: None,
    };
    match bypass || authz::keeps_caller_in(cx, state, &target, facts) {
        true => Ok(entry.record),
        false => Err(KmsError::malformed_policy(LOCKED_OUT)),
    }
}

pub(super) fn description(text: Option<String>) -> Result<String, KmsError> {
    let text = text.unwrap_or_default();
    match text.chars().count() > 8192 {
        false => Ok(text),
        true => Err(KmsError::validation(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: \
             Member must have length less than or equal to 8192",
        )),
    }
}

/// AWS's words for a policy that fails the lock-out check.
pub(super) const LOCKED_OUT: &str =
    "The new key policy will not allow you to update the key policy in the future.";

/// What a key gets that is created without a policy (developer guide, "Default key policy").
pub(super) fn default_policy(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

fn kind(spec: Option<&str>, usage: Option<&str>) -> Result<(KeySpec, KeyUsage), KmsError> {
    let name = spec.unwrap_or("SYMMETRIC_DEFAULT");
    let spec = KeySpec::parse(name)
        .ok_or_else(|| KmsError::unsupported(format!("This KMS has no keys of spec {name}.")))?;
    let usage = match usage {
        None if spec == KeySpec::Symmetric => KeyUsage::EncryptDecrypt,
        None => {
            return Err(KmsError::validation(format!(
                "You must specify a KeyUsage value for a key of spec {name}."
            )));
        }
        Some(text) => KeyUsage::parse(text)
            .ok_or_else(|| KmsError::unsupported(format!("This KMS has no keys for {text}.")))?,
    };
    let fits = match spec {
        KeySpec::Symmetric => usage == KeyUsage::EncryptDecrypt,
        KeySpec::Rsa2048 => usage != KeyUsage::Mac,
        KeySpec::EccP256 => usage == KeyUsage::SignVerify,
        KeySpec::Hmac256 => usage == KeyUsage::Mac,
    };
    if !fits {
        return Err(KmsError::validation(format!(
            "KeyUsage {} is not compatible with KeySpec {name}.",
            usage.name()
        )));
    }
    Ok((spec, usage))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeInput {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

/// API reference, "DescribeKey".
pub(super) fn describe(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: DescribeInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, "DescribeKey")?;
    let mut ask = Ask::new("DescribeKey", &target);
    let tokens = input.grant_tokens.unwrap_or_default();
    ask.tokens = &tokens;
    authz::authorize(cx, &live.state, ask)?;
    Ok(json!({"KeyMetadata": metadata(&live.state, &target.key.record)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput {
    limit: Option<u32>,
    marker: Option<String>,
}

/// API reference, "ListKeys": the caller's account and Region.
pub(super) fn list(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    authz::authorize_account(cx, "ListKeys", None, Facts::default())?;
    let live = cx.engine.read();
    let keys = live
        .state
        .keys
        .values()
        .map(|key| &key.record)
        .filter(|key| key.account == cx.caller.account && key.region == cx.region)
        .map(|key| json!({"KeyId": key.id, "KeyArn": key.arn()}))
        .collect();
    let (keys, next) = page(keys, input.limit, 1000, 100, input.marker.as_deref())?;
    Ok(paged("Keys", keys, next))
}
