//! The operations: their names, how each is run, and what they share.

mod aliases;
mod crypto;
mod data_keys;
mod grants;
mod import;
mod keys;
mod lifecycle;
mod mac;
mod metadata;
mod policies;
mod regions;
mod rotation;
mod tags;

use crate::authz::{self, Ask};
use crate::caller::Caller;
use crate::clock::millis;
use crate::events::ServiceEvent;
use crate::key::{KeyRecord, KeySpec, KeyState, KeyUsage};
use crate::policy::Facts;
use crate::state::{EncryptionContext, State};
use crate::{Engine, KmsError, resolve};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::RefCell;

/// One call: who, where, when, and the keys that it touched so far.
pub(crate) struct Cx<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) caller: &'a Caller,
    pub(crate) region: &'a str,
    /// Milliseconds since 1970, the same throughout the call.
    pub(crate) now: i64,
    /// Account and ARN of each key that the request named, for the event.
    pub(crate) touched: RefCell<Vec<(String, String)>>,
    /// What goes into the log after the call's own event.
    pub(crate) after: RefCell<Vec<After>>,
}

/// An event that a call has beside its own.
pub(crate) enum After {
    /// What KMS did to a key in consequence.
    Service(ServiceEvent),
    /// The CreateKey of ReplicateKey, in the replica's Region.
    MadeThere {
        region: String,
        account: String,
        arn: String,
    },
}

impl<'a> Cx<'a> {
    pub(crate) fn new(engine: &'a Engine, caller: &'a Caller, region: &'a str) -> Self {
        Self {
            engine,
            caller,
            region,
            now: millis(engine.clock.now()),
            touched: RefCell::default(),
            after: RefCell::default(),
        }
    }

    /// The same call as it is judged in another Region.
    pub(crate) fn there<'r>(&self, region: &'r str) -> Cx<'r>
    where
        'a: 'r,
    {
        Cx {
            engine: self.engine,
            caller: self.caller,
            region,
            now: self.now,
            touched: RefCell::default(),
            after: RefCell::default(),
        }
    }

    fn follow_up(&self, event: ServiceEvent) {
        self.after.borrow_mut().push(After::Service(event));
    }

    fn made_there(&self, key: &KeyRecord) {
        self.after.borrow_mut().push(After::MadeThere {
            region: key.region.clone(),
            account: key.account.clone(),
            arn: key.arn(),
        });
    }

    pub(crate) fn touch(&self, account: &str, arn: &str) {
        let mut touched = self.touched.borrow_mut();
        if !touched.iter().any(|(_, known)| known == arn) {
            touched.push((account.to_owned(), arn.to_owned()));
        }
    }
}

type Run = fn(&Cx<'_>, Value) -> Result<Value, KmsError>;

/// An operation that this KMS knows.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    name: &'static str,
    read_only: bool,
    run: Run,
}

const READ: bool = true;
const WRITE: bool = false;

/// Name, whether CloudTrail calls it read-only, and what runs it.
const OPERATIONS: &[(&str, bool, Run)] = &[
    ("CancelKeyDeletion", WRITE, lifecycle::cancel_deletion),
    ("CreateAlias", WRITE, aliases::create),
    ("CreateGrant", WRITE, grants::create),
    ("CreateKey", WRITE, keys::create),
    ("Decrypt", READ, crypto::decrypt),
    ("DeleteAlias", WRITE, aliases::delete),
    ("DeleteImportedKeyMaterial", WRITE, import::delete),
    ("DescribeKey", READ, keys::describe),
    ("DisableKey", WRITE, lifecycle::disable),
    ("DisableKeyRotation", WRITE, rotation::disable),
    ("EnableKey", WRITE, lifecycle::enable),
    ("EnableKeyRotation", WRITE, rotation::enable),
    ("Encrypt", READ, crypto::encrypt),
    ("GenerateDataKey", READ, data_keys::generate),
    (
        "GenerateDataKeyWithoutPlaintext",
        READ,
        data_keys::generate_without_plaintext,
    ),
    ("GenerateMac", READ, mac::generate),
    ("GetKeyPolicy", READ, policies::get),
    ("GetKeyRotationStatus", READ, rotation::status),
    ("GetParametersForImport", READ, import::parameters),
    ("ImportKeyMaterial", WRITE, import::import),
    ("ListAliases", READ, aliases::list),
    ("ListGrants", READ, grants::list),
    ("ListKeyRotations", READ, rotation::list),
    ("ListKeys", READ, keys::list),
    ("ListResourceTags", READ, tags::list),
    ("ListRetirableGrants", READ, grants::list_retirable),
    ("PutKeyPolicy", WRITE, policies::put),
    ("ReEncrypt", READ, crypto::re_encrypt),
    ("ReplicateKey", WRITE, regions::replicate),
    ("RetireGrant", WRITE, grants::retire),
    ("RevokeGrant", WRITE, grants::revoke),
    ("RotateKeyOnDemand", WRITE, rotation::rotate),
    ("ScheduleKeyDeletion", WRITE, lifecycle::schedule_deletion),
    ("TagResource", WRITE, tags::tag),
    ("UntagResource", WRITE, tags::untag),
    ("UpdateAlias", WRITE, aliases::update),
    ("UpdatePrimaryRegion", WRITE, regions::update_primary),
    ("VerifyMac", READ, mac::verify),
];

impl Operation {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        OPERATIONS
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|&(name, read_only, run)| Self {
                name,
                read_only,
                run,
            })
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    pub(crate) fn read_only(self) -> bool {
        self.read_only
    }

    pub(crate) fn run(self, cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
        if !input.is_object() {
            return Err(KmsError::serialization());
        }
        (self.run)(cx, input)
    }

    /// What of an answer goes into the event: what a call made, and the ARN of the key that a
    /// call without an answer changed ("CloudTrail log entries for this operation … include the
    /// key ARN of the affected KMS key in the responseElements.keyId value").
    pub(crate) fn response_elements(self, answer: &Value, key: Option<&str>) -> Value {
        let made = |metadata: &Value| json!({"keyId": metadata["KeyId"], "arn": metadata["Arn"]});
        match self.name {
            _ if self.read_only => Value::Null,
            "CreateGrant" => json!({"grantId": answer["GrantId"]}),
            "CreateKey" => json!({"keyMetadata": made(&answer["KeyMetadata"])}),
            "ReplicateKey" => json!({
                "replicaKeyMetadata": made(&answer["ReplicaKeyMetadata"]),
                "replicaPolicy": answer["ReplicaPolicy"],
            }),
            "ImportKeyMaterial" | "DeleteImportedKeyMaterial" => json!({
                "keyId": answer["KeyId"],
                "keyMaterialId": answer["KeyMaterialId"],
            }),
            _ => key.map_or(Value::Null, |arn| json!({"keyId": arn})),
        }
    }
}

/// Reads an input struct; members of the wrong type are a SerializationException.
fn read<I: DeserializeOwned>(input: Value) -> Result<I, KmsError> {
    serde_json::from_value(input).map_err(|_| KmsError::serialization())
}

fn required<T>(value: Option<T>, member: &str) -> Result<T, KmsError> {
    value.ok_or_else(|| KmsError::missing(member))
}

/// A member that holds bytes.
fn bytes(value: Option<&str>, member: &str, max: usize) -> Result<Vec<u8>, KmsError> {
    let text = required(value, member)?;
    let bytes = BASE64.decode(text).map_err(|_| KmsError::serialization())?;
    if bytes.is_empty() || bytes.len() > max {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
             Member must have length between 1 and {max}"
        )));
    }
    Ok(bytes)
}

fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// "Encryption context": at most 8192 bytes in all.
fn check_context(context: &EncryptionContext) -> Result<(), KmsError> {
    let size: usize = context.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > 8192 {
        return Err(KmsError::validation(
            "The encryption context is larger than 8192 bytes.",
        ));
    }
    Ok(())
}

/// Only the one algorithm of a symmetric key is done here.
fn check_algorithm(key: &KeyRecord, algorithm: Option<&str>) -> Result<(), KmsError> {
    let known = [
        "SYMMETRIC_DEFAULT",
        "RSAES_OAEP_SHA_1",
        "RSAES_OAEP_SHA_256",
        "SM2PKE",
    ];
    let algorithm = algorithm.unwrap_or("SYMMETRIC_DEFAULT");
    if !known.contains(&algorithm) {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value '{algorithm}' at 'encryptionAlgorithm' failed to \
             satisfy constraint: Member must satisfy enum value set: {known:?}"
        )));
    }
    if key.usage != KeyUsage::EncryptDecrypt {
        return Err(wrong_usage(key));
    }
    match (key.spec, algorithm) {
        (KeySpec::Symmetric, "SYMMETRIC_DEFAULT") => Ok(()),
        (KeySpec::Rsa2048, name) if name.starts_with("RSAES") => Err(KmsError::unsupported(
            "This KMS does no asymmetric cryptography.",
        )),
        _ => Err(KmsError::invalid_key_usage(format!(
            "Algorithm {algorithm} is incompatible with key spec {}.",
            key.spec.name()
        ))),
    }
}

fn wrong_usage(key: &KeyRecord) -> KmsError {
    KmsError::invalid_key_usage(format!(
        "{} key usage is {} which is not valid for this operation.",
        key.arn(),
        key.usage.name()
    ))
}

/// Whether the key's state lets it be used ("Key states of AWS KMS keys", the table).
fn check_enabled(key: &KeyRecord) -> Result<(), KmsError> {
    match key.state {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(KmsError::disabled(&key.arn())),
        KeyState::PendingImport
        | KeyState::PendingDeletion { .. }
        | KeyState::PendingReplicaDeletion { .. } => Err(wrong_state(key)),
    }
}

fn wrong_state(key: &KeyRecord) -> KmsError {
    let state = match key.state {
        KeyState::Enabled => "enabled",
        KeyState::Disabled => "disabled",
        KeyState::PendingImport => "pending import",
        KeyState::PendingDeletion { .. } => "pending deletion",
        KeyState::PendingReplicaDeletion { .. } => "pending replica deletion",
    };
    KmsError::invalid_state(format!("{} is {state}.", key.arn()))
}

/// The key of an operation that takes the id or ARN of one of the caller's own account's keys,
/// and no alias: found, authorized with these condition keys, and noted for the event.
fn managed(
    cx: &Cx<'_>,
    state: &State,
    key_id: &str,
    action: &str,
    facts: Facts,
) -> Result<KeyRecord, KmsError> {
    if key_id.contains("alias/") {
        return Err(KmsError::invalid_arn(
            "An alias is not allowed here: name the key by its id or ARN.",
        ));
    }
    let target = resolve::key(cx, state, key_id, action)?;
    let mut ask = Ask::new(action, &target);
    ask.facts = facts;
    authz::authorize(cx, state, ask)?;
    check_own(cx, &target.key.record, action)?;
    Ok(target.key.record.clone())
}

/// For the operations that the API reference marks "Cross-account use: No".
fn check_own(cx: &Cx<'_>, key: &KeyRecord, action: &str) -> Result<(), KmsError> {
    if key.account == cx.caller.account {
        return Ok(());
    }
    Err(authz::refusal(cx, action, &key.arn(), "resource-based"))
}

/// One page of a list. The marker is the number of entries already given.
fn page<T>(
    entries: Vec<T>,
    limit: Option<u32>,
    most: u32,
    usual: u32,
    marker: Option<&str>,
) -> Result<(Vec<T>, Option<String>), KmsError> {
    let limit = limit.unwrap_or(usual);
    if limit == 0 || limit > most {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy \
             constraint: Member must have value between 1 and {most}"
        )));
    }
    let start = match marker {
        None => 0,
        Some(text) => text.parse().map_err(|_| KmsError::invalid_marker())?,
    };
    let end = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(start);
    let next = (entries.len() > end).then(|| end.to_string());
    let page = entries.into_iter().skip(start).take(end - start).collect();
    Ok((page, next))
}

/// A list's answer with its marker.
fn paged(name: &str, entries: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = json!({name: entries, "Truncated": next.is_some()});
    if let Some(next) = next {
        answer["NextMarker"] = json!(next);
    }
    answer
}
