//! CreateGrant, ListGrants, ListRetirableGrants, RevokeGrant, RetireGrant.

use super::{Cx, check_enabled, page, paged, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::caller::{self, Kind};
use crate::clock::epoch_seconds;
use crate::grants::{NewGrant, is_principal};
use crate::key::{KeyRecord, KeySpec, KeyUsage};
use crate::policy::Facts;
use crate::resolve::{self, Target};
use crate::state::{Change, Constraints, EncryptionContext, GrantRecord, State, hex, random};
use serde::Deserialize;
use serde_json::{Value, json};

/// Grants on one key, "Resource quotas".
const MOST_GRANTS: usize = 50_000;
/// Tokens of one grant that are remembered: a caller that repeats itself for ever must not fill the disk.
const MOST_TOKENS: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateInput {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    retiring_principal: Option<String>,
    operations: Option<Vec<String>>,
    constraints: Option<ConstraintsInput>,
    grant_tokens: Option<Vec<String>>,
    name: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConstraintsInput {
    encryption_context_subset: Option<EncryptionContext>,
    encryption_context_equals: Option<EncryptionContext>,
}

/// API reference, "CreateGrant". With a name, a repeat of a live grant gives that grant
/// and a new token; without one every call makes another grant.
pub(super) fn create(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: CreateInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let new = NewGrant {
        grantee: required(input.grantee_principal, "granteePrincipal")?,
        retiring: input.retiring_principal,
        operations: required(input.operations, "operations")?,
        constraints: constraints(input.constraints)?,
        name: input.name,
    };
    check(&new)?;
    let tokens = input.grant_tokens.unwrap_or_default();
    let mut live = cx.engine.write();
    let target = resolve::key(cx, &live.state, &key_id, "CreateGrant")?;
    let mut ask = Ask::new("CreateGrant", &target);
    ask.tokens = &tokens;
    ask.facts = facts(&new);
    ask.new_grant = Some(&new);
    authz::authorize(cx, &live.state, ask)?;
    let key = &target.key.record;
    check_enabled(key)?;
    check_operations(key, &new)?;
    if input.dry_run == Some(true) {
        return Err(KmsError::dry_run());
    }
    let token = format!("local-{}", hex(&random::<48>()?[..]));
    let repeated = (live.state.grants_of(&key.slot()))
        .find(|grant| grant.ended.is_none() && new.name.is_some() && new.equals(grant));
    let grant = match repeated {
        Some(grant) => {
            let mut grant = grant.clone();
            if grant.tokens.len() >= MOST_TOKENS {
                grant.tokens.remove(0);
            }
            grant.tokens.push(token.clone());
            grant
        }
        None => {
            let count = live
                .state
                .grants_of(&key.slot())
                .filter(|g| g.ended.is_none());
            if count.count() >= MOST_GRANTS {
                return Err(KmsError::limit_exceeded("Too many grants on this key."));
            }
            GrantRecord {
                id: hex(&random::<32>()?[..]),
                key: key.slot(),
                name: new.name,
                grantee: new.grantee,
                retiring: new.retiring,
                operations: new.operations,
                constraints: new.constraints,
                issuer: format!("arn:aws:iam::{}:root", key.account),
                created: cx.now,
                ended: None,
                tokens: vec![token.clone()],
            }
        }
    };
    let answer = json!({"GrantId": grant.id, "GrantToken": token});
    live.commit(vec![Change::Grant(grant)])?;
    Ok(answer)
}

/// API reference, "GrantConstraints": at most 8 pairs, values of at most 384 characters, and
/// no two keys that differ by case alone.
fn constraints(input: Option<ConstraintsInput>) -> Result<Constraints, KmsError> {
    let Some(input) = input else {
        return Ok(Constraints::default());
    };
    let constraints = Constraints {
        subset: input.encryption_context_subset,
        equals: input.encryption_context_equals,
    };
    for context in [&constraints.subset, &constraints.equals]
        .into_iter()
        .flatten()
    {
        let mut keys: Vec<String> = context.keys().map(|k| k.to_lowercase()).collect();
        keys.sort();
        keys.dedup();
        let long = context.values().any(|value| value.chars().count() > 384);
        if context.len() > 8 || keys.len() != context.len() || long {
            return Err(KmsError::validation(
                "A grant constraint has at most 8 pairs, whose keys differ by more than case and \
                 whose values have at most 384 characters.",
            ));
        }
    }
    Ok(constraints)
}

fn check(new: &NewGrant) -> Result<(), KmsError> {
    for arn in [Some(&new.grantee), new.retiring.as_ref()]
        .into_iter()
        .flatten()
    {
        if arn.contains(['*', '?']) || caller::parse_arn(arn).is_none() {
            return Err(KmsError::invalid_arn(format!(
                "ARN does not refer to a valid principal: {arn}"
            )));
        }
    }
    let unknown = new
        .operations
        .iter()
        .any(|operation| !GRANTABLE.iter().any(|(name, _)| name == operation));
    if unknown || new.operations.is_empty() {
        return Err(KmsError::validation(
            "1 validation error detected: Value at 'operations' failed to satisfy constraint: \
             Member must satisfy enum value set of grant operations",
        ));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    match &new.name {
        Some(name) if name.is_empty() || name.len() > 256 || !name.chars().all(word) => {
            Err(KmsError::validation(
                "1 validation error detected: Value at 'name' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
            ))
        }
        _ => Ok(()),
    }
}

/// Developer guide, "Grant operations", with the kind of key that each needs.
const GRANTABLE: &[(&str, Option<KeyUsage>)] = &[
    ("CreateGrant", None),
    ("RetireGrant", None),
    ("DescribeKey", None),
    ("Decrypt", Some(KeyUsage::EncryptDecrypt)),
    ("Encrypt", Some(KeyUsage::EncryptDecrypt)),
    ("GenerateDataKey", Some(KeyUsage::EncryptDecrypt)),
    (
        "GenerateDataKeyWithoutPlaintext",
        Some(KeyUsage::EncryptDecrypt),
    ),
    ("GenerateDataKeyPair", Some(KeyUsage::EncryptDecrypt)),
    (
        "GenerateDataKeyPairWithoutPlaintext",
        Some(KeyUsage::EncryptDecrypt),
    ),
    ("ReEncryptFrom", Some(KeyUsage::EncryptDecrypt)),
    ("ReEncryptTo", Some(KeyUsage::EncryptDecrypt)),
    ("Sign", Some(KeyUsage::SignVerify)),
    ("Verify", Some(KeyUsage::SignVerify)),
    ("GetPublicKey", Some(KeyUsage::SignVerify)),
    ("GenerateMac", Some(KeyUsage::Mac)),
    ("VerifyMac", Some(KeyUsage::Mac)),
    // Keys for these cannot be made here.
    ("DeriveSharedSecret", None),
];

fn check_operations(key: &KeyRecord, new: &NewGrant) -> Result<(), KmsError> {
    let asymmetric = matches!(key.spec.name(), "RSA_2048" | "ECC_NIST_P256");
    for operation in &new.operations {
        let usage = GRANTABLE
            .iter()
            .find(|(name, _)| name == operation)
            .and_then(|(_, usage)| *usage);
        let fits = match operation.as_str() {
            "DeriveSharedSecret" => false,
            "GetPublicKey" => asymmetric,
            name if name.starts_with("GenerateDataKey") => {
                !asymmetric && key.usage == KeyUsage::EncryptDecrypt
            }
            _ => usage.is_none_or(|usage| usage == key.usage),
        };
        if !fits {
            return Err(KmsError::validation(format!(
                "Grant operation {operation} is not supported by this key."
            )));
        }
    }
    let constrained = new.constraints != Constraints::default();
    if constrained && key.spec != KeySpec::Symmetric {
        return Err(KmsError::validation(
            "Encryption context constraints are for symmetric encryption keys.",
        ));
    }
    Ok(())
}

/// The condition keys of CreateGrant.
fn facts(new: &NewGrant) -> Facts {
    let mut facts = Facts::default();
    facts.text("kms:GranteePrincipal", &new.grantee);
    if let Some(retiring) = &new.retiring {
        facts.text("kms:RetiringPrincipal", retiring);
    }
    facts.list(
        "kms:GrantOperations",
        new.operations.iter().map(String::as_str),
    );
    facts.flag("kms:GrantIsForAWSResource", false);
    let Constraints { subset, equals } = &new.constraints;
    let kinds = [
        ("EncryptionContextSubset", subset),
        ("EncryptionContextEquals", equals),
    ];
    for (kind, context) in kinds {
        if let Some(context) = context {
            facts.text("kms:GrantConstraintType", kind);
            authz::context_facts(&mut facts, context);
        }
    }
    facts
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput {
    key_id: Option<String>,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    retiring_principal: Option<String>,
    limit: Option<u32>,
    marker: Option<String>,
}

/// API reference, "ListGrants": the live ones, whether or not they have effect yet.
pub(super) fn list(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    if let Some(id) = &input.grant_id {
        check_grant_id(id)?;
    }
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, "ListGrants")?;
    let mut ask = Ask::new("ListGrants", &target);
    ask.facts.flag("kms:GrantIsForAWSResource", false);
    authz::authorize(cx, &live.state, ask)?;
    let grants = live
        .state
        .grants_of(&target.key.record.slot())
        .filter(|grant| grant.ended.is_none())
        .filter(|grant| input.grant_id.as_ref().is_none_or(|id| *id == grant.id))
        .filter(|grant| {
            let wanted = input.grantee_principal.as_ref();
            wanted.is_none_or(|arn| *arn == grant.grantee)
        })
        .map(|grant| entry(&target.key.record, grant))
        .collect();
    let (grants, next) = page(grants, input.limit, 100, 50, input.marker.as_deref())?;
    Ok(paged("Grants", grants, next))
}

/// API reference, "ListRetirableGrants": the caller's account names one of its own principals.
pub(super) fn list_retirable(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ListInput = read(input)?;
    let retiring = required(input.retiring_principal, "retiringPrincipal")?;
    let (account, _) = caller::parse_arn(&retiring).ok_or_else(|| {
        KmsError::invalid_arn(format!(
            "ARN does not refer to a valid principal: {retiring}"
        ))
    })?;
    authz::authorize_account(cx, "ListRetirableGrants", None, Facts::default())?;
    if account != cx.caller.account {
        return Err(authz::refusal(
            cx,
            "ListRetirableGrants",
            &retiring,
            "identity-based",
        ));
    }
    let live = cx.engine.read();
    let grants = live
        .state
        .grants
        .iter()
        .filter_map(|(key, grants)| Some((live.state.keys.get(key)?, grants)))
        .filter(|(key, _)| key.record.region == cx.region)
        .flat_map(|(key, grants)| grants.values().map(|grant| (&key.record, grant)))
        .filter(|(_, grant)| grant.ended.is_none() && grant.retiring.as_ref() == Some(&retiring))
        .map(|(key, grant)| entry(key, grant))
        .collect();
    let (grants, next) = page(grants, input.limit, 100, 50, input.marker.as_deref())?;
    Ok(paged("Grants", grants, next))
}

/// API reference, "GrantListEntry".
fn entry(key: &KeyRecord, grant: &GrantRecord) -> Value {
    let mut entry = json!({
        "KeyId": key.arn(),
        "GrantId": grant.id,
        "Name": grant.name.as_deref().unwrap_or_default(),
        "CreationDate": epoch_seconds(grant.created),
        "GranteePrincipal": grant.grantee,
        "IssuingAccount": grant.issuer,
        "Operations": grant.operations,
    });
    if let Some(retiring) = &grant.retiring {
        entry["RetiringPrincipal"] = json!(retiring);
    }
    let Constraints { subset, equals } = &grant.constraints;
    if let Some(subset) = subset {
        entry["Constraints"]["EncryptionContextSubset"] = json!(subset);
    }
    if let Some(equals) = equals {
        entry["Constraints"]["EncryptionContextEquals"] = json!(equals);
    }
    entry
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndInput {
    key_id: Option<String>,
    grant_id: Option<String>,
    grant_token: Option<String>,
    dry_run: Option<bool>,
}

/// API reference, "RevokeGrant". It needs `kms:RevokeGrant`; the grant itself cannot give it.
pub(super) fn revoke(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: EndInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let grant_id = required(input.grant_id, "grantId")?;
    check_grant_id(&grant_id)?;
    let mut live = cx.engine.write();
    let target = resolve::key(cx, &live.state, &key_id, "RevokeGrant")?;
    let mut ask = Ask::new("RevokeGrant", &target);
    ask.facts.flag("kms:GrantIsForAWSResource", false);
    authz::authorize(cx, &live.state, ask)?;
    let mut grant = live_grant(&live.state, &target.key.record, &grant_id)?.clone();
    if input.dry_run == Some(true) {
        return Err(KmsError::dry_run());
    }
    grant.ended = Some(cx.now);
    live.commit(vec![Change::Grant(grant)])?;
    Ok(json!({}))
}

/// API reference, "RetireGrant": by token, or by key ARN and grant id. For the retiring
/// principal, a grantee whose grant has RetireGrant, the account's root, and whom the
/// policies allow `kms:RetireGrant`.
pub(super) fn retire(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: EndInput = read(input)?;
    let mut live = cx.engine.write();
    let (key_id, grant_id) = match (input.grant_token, input.key_id, input.grant_id) {
        (Some(token), None, None) => {
            let (key, grant) =
                (live.state.tokens.get(&token)).ok_or_else(KmsError::invalid_grant_token)?;
            let key = &live
                .state
                .keys
                .get(key)
                .ok_or_else(KmsError::invalid_grant_token)?;
            (key.record.arn(), grant.clone())
        }
        (None, Some(key_id), Some(grant_id)) => (key_id, grant_id),
        _ => {
            return Err(KmsError::validation(
                "Specify either a grant token, or a key ARN and a grant ID.",
            ));
        }
    };
    check_grant_id(&grant_id)?;
    let target = resolve::key(cx, &live.state, &key_id, "RetireGrant")?;
    may_retire(cx, &live.state, &target, &grant_id)?;
    let mut grant = live_grant(&live.state, &target.key.record, &grant_id)?.clone();
    if input.dry_run == Some(true) {
        return Err(KmsError::dry_run());
    }
    grant.ended = Some(cx.now);
    live.commit(vec![Change::Grant(grant)])?;
    Ok(json!({}))
}

fn may_retire(
    cx: &Cx<'_>,
    state: &State,
    target: &Target<'_>,
    grant_id: &str,
) -> Result<(), KmsError> {
    let key = &target.key.record;
    let grant = state
        .grants_of(&key.slot())
        .find(|grant| grant.id == grant_id);
    let identity = authz::identity_allows(cx, "RetireGrant", &key.arn());
    let by_grant = grant.is_some_and(|grant| {
        let retires = grant.operations.iter().any(|name| name == "RetireGrant");
        (grant.retiring.iter()).any(|arn| is_principal(cx.caller, arn, identity))
            || (retires && is_principal(cx.caller, &grant.grantee, identity))
    });
    let root = cx.caller.kind == Kind::Root && cx.caller.account == key.account;
    let mut ask = Ask::new("RetireGrant", target);
    ask.context = grant.and_then(|grant| {
        let Constraints { subset, equals } = &grant.constraints;
        equals.as_ref().or(subset.as_ref())
    });
    match authz::authorize(cx, state, ask) {
        // A Deny holds against those whom the grant names, too.
        Err(error) if by_grant || root => {
            match authz::is_denied(cx, state, target, "RetireGrant") {
                true => Err(error),
                false => Ok(()),
            }
        }
        other => other,
    }
}

fn live_grant<'s>(
    state: &'s State,
    key: &KeyRecord,
    grant_id: &str,
) -> Result<&'s GrantRecord, KmsError> {
    state
        .grants_of(&key.slot())
        .find(|grant| grant.id == grant_id && grant.ended.is_none())
        .ok_or_else(|| KmsError::not_found(format!("Grant ID {grant_id} is not found.")))
}

/// A grant id has at most 128 characters; ours are of 64 hexadecimal digits, as AWS's.
fn check_grant_id(id: &str) -> Result<(), KmsError> {
    match id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(KmsError::invalid_grant_id()),
    }
}
