//! Encrypt, Decrypt, ReEncrypt. Authorization first, then the key's state, then its
//! kind, then the ciphertext. Asymmetric encryption and `Recipient` are not done.

use super::{Cx, base64, bytes, check_algorithm, check_context, check_enabled, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::blob::{self, Blob};
use crate::policy::Facts;
use crate::resolve::{self, Target};
use crate::state::{EncryptionContext, KeyEntry, State};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const MAX_BLOB: usize = 6144;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptInput {
    key_id: Option<String>,
    plaintext: Option<String>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// API reference, "Encrypt".
pub(super) fn encrypt(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: EncryptInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let plaintext = Zeroizing::new(bytes(input.plaintext.as_deref(), "plaintext", 4096)?);
    let context = input.encryption_context.unwrap_or_default();
    check_context(&context)?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, "Encrypt")?;
    let mut ask = Ask::new("Encrypt", &target);
    ask.context = Some(&context);
    let tokens = input.grant_tokens.unwrap_or_default();
    ask.tokens = &tokens;
    ask.facts = algorithm_facts(input.encryption_algorithm.as_deref());
    authz::authorize(cx, &live.state, ask)?;
    let key = &target.key.record;
    check_enabled(key)?;
    check_algorithm(key, input.encryption_algorithm.as_deref())?;
    if input.dry_run == Some(true) {
        return Err(KmsError::dry_run());
    }
    let material = key.current().ok_or_else(KmsError::internal)?;
    let blob = blob::seal(key, material, &context, &plaintext)?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "KeyId": key.arn(),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptInput {
    ciphertext_blob: Option<String>,
    key_id: Option<String>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// API reference, "Decrypt".
pub(super) fn decrypt(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: DecryptInput = read(input)?;
    refuse_recipient(input.recipient.as_ref())?;
    let dry_run = input.dry_run == Some(true);
    let ignore = ignores_ciphertext(dry_run, input.dry_run_modifiers.as_deref())?;
    let bytes = match ignore {
        true => None,
        false => Some(bytes(
            input.ciphertext_blob.as_deref(),
            "ciphertextBlob",
            MAX_BLOB,
        )?),
    };
    let context = input.encryption_context.unwrap_or_default();
    check_context(&context)?;
    let live = cx.engine.read();
    let target = source(
        cx,
        &live.state,
        input.key_id.as_deref(),
        bytes.as_deref(),
        "Decrypt",
    )?;
    let mut ask = Ask::new("Decrypt", &target);
    ask.context = Some(&context);
    let tokens = input.grant_tokens.unwrap_or_default();
    ask.tokens = &tokens;
    ask.facts = algorithm_facts(input.encryption_algorithm.as_deref());
    authz::authorize(cx, &live.state, ask)?;
    let key = &target.key.record;
    check_enabled(key)?;
    check_algorithm(key, input.encryption_algorithm.as_deref())?;
    let Some(bytes) = bytes else {
        return Err(KmsError::dry_run());
    };
    let (plaintext, material) = open(&live.state, target.key, &bytes, &context)?;
    if dry_run {
        return Err(KmsError::dry_run());
    }
    Ok(json!({
        "KeyId": key.arn(),
        "Plaintext": base64(&plaintext),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": material,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncryptInput {
    ciphertext_blob: Option<String>,
    source_key_id: Option<String>,
    source_encryption_context: Option<EncryptionContext>,
    source_encryption_algorithm: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<EncryptionContext>,
    destination_encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// API reference, "ReEncrypt": `kms:ReEncryptFrom` on the source, `kms:ReEncryptTo` on the
/// destination. The context may change, under one key too.
pub(super) fn re_encrypt(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ReEncryptInput = read(input)?;
    let dry_run = input.dry_run == Some(true);
    let ignore = ignores_ciphertext(dry_run, input.dry_run_modifiers.as_deref())?;
    let bytes = match ignore {
        true => None,
        false => Some(bytes(
            input.ciphertext_blob.as_deref(),
            "ciphertextBlob",
            MAX_BLOB,
        )?),
    };
    let destination_id = required(input.destination_key_id, "destinationKeyId")?;
    let from_context = input.source_encryption_context.unwrap_or_default();
    let to_context = input.destination_encryption_context.unwrap_or_default();
    check_context(&from_context)?;
    check_context(&to_context)?;
    let tokens = input.grant_tokens.unwrap_or_default();
    let live = cx.engine.read();
    let state = &live.state;
    let from = source(
        cx,
        state,
        input.source_key_id.as_deref(),
        bytes.as_deref(),
        "ReEncryptFrom",
    )?;
    // Both keys are known before either is asked for, so that a condition can compare them.
    let to = resolve::key(cx, state, &destination_id, "ReEncryptTo");
    let same = to
        .as_ref()
        .is_ok_and(|to| to.key.record.id == from.key.record.id);
    let ask = |action, target, context, algorithm: Option<&str>| {
        let mut ask = Ask::new(action, target);
        ask.context = Some(context);
        ask.tokens = &tokens;
        ask.facts = algorithm_facts(algorithm);
        ask.facts.flag("kms:ReEncryptOnSameKey", same);
        authz::authorize(cx, state, ask)
    };
    let from_algorithm = input.source_encryption_algorithm.as_deref();
    let to_algorithm = input.destination_encryption_algorithm.as_deref();
    ask("ReEncryptFrom", &from, &from_context, from_algorithm)?;
    let to = to?;
    ask("ReEncryptTo", &to, &to_context, to_algorithm)?;
    for (key, algorithm) in [(&from, from_algorithm), (&to, to_algorithm)] {
        check_enabled(&key.key.record)?;
        check_algorithm(&key.key.record, algorithm)?;
    }
    let Some(bytes) = bytes else {
        return Err(KmsError::dry_run());
    };
    let (plaintext, from_material) = open(state, from.key, &bytes, &from_context)?;
    if dry_run {
        return Err(KmsError::dry_run());
    }
    let key = &to.key.record;
    let material = key.current().ok_or_else(KmsError::internal)?;
    let blob = blob::seal(key, material, &to_context, &plaintext)?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "SourceKeyId": from.key.record.arn(),
        "KeyId": key.arn(),
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": from_material,
        "DestinationKeyMaterialId": material.id,
    }))
}

/// The key to decrypt with: the one that is named, or the one that the blob names.
fn source<'s>(
    cx: &Cx<'_>,
    state: &'s State,
    key_id: Option<&str>,
    bytes: Option<&[u8]>,
    action: &str,
) -> Result<Target<'s>, KmsError> {
    if let Some(key_id) = key_id {
        return resolve::key(cx, state, key_id, action);
    }
    // Without a ciphertext the key must be named.
    let id = Blob::parse(required(bytes, "keyId")?)?.key_id();
    if !state.knows(&id) {
        return Err(KmsError::invalid_ciphertext());
    }
    let key = state.key(&id, cx.region).ok_or_else(|| {
        KmsError::access_denied(
            "The ciphertext refers to a customer master key that does not exist, does not \
             exist in this region, or you are not allowed to access.",
        )
    })?;
    cx.touch(&key.record.account, &key.record.arn());
    Ok(Target { key, alias: None })
}

/// The plaintext and the id of its material. A blob under another key of this KMS is
/// IncorrectKeyException; one that is under no key at all was tampered with.
fn open(
    state: &State,
    key: &KeyEntry,
    bytes: &[u8],
    context: &EncryptionContext,
) -> Result<(Zeroizing<Vec<u8>>, String), KmsError> {
    let blob = Blob::parse(bytes)?;
    let id = blob.key_id();
    if id != key.record.id {
        return Err(match state.knows(&id) {
            true => KmsError::incorrect_key(),
            false => KmsError::invalid_ciphertext(),
        });
    }
    let (plaintext, material) = blob.open(&key.record, context)?;
    Ok((plaintext, material.id.clone()))
}

/// Whether the modifiers say IGNORE_CIPHERTEXT, which goes with DryRun alone.
fn ignores_ciphertext(dry_run: bool, modifiers: Option<&[String]>) -> Result<bool, KmsError> {
    let modifiers = modifiers.unwrap_or_default();
    if modifiers.iter().any(|name| name != "IGNORE_CIPHERTEXT") {
        return Err(KmsError::validation(
            "1 validation error detected: Value at 'dryRunModifiers' failed to satisfy \
             constraint: Member must satisfy enum value set: [IGNORE_CIPHERTEXT]",
        ));
    }
    if !modifiers.is_empty() && !dry_run {
        return Err(KmsError::validation(
            "DryRunModifiers can only be specified when DryRun is true.",
        ));
    }
    Ok(!modifiers.is_empty())
}

pub(super) fn refuse_recipient(recipient: Option<&Value>) -> Result<(), KmsError> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(KmsError::unsupported(
            "This KMS has no attested recipients.",
        )),
    }
}

fn algorithm_facts(algorithm: Option<&str>) -> Facts {
    let mut facts = Facts::default();
    facts.text(
        "kms:EncryptionAlgorithm",
        algorithm.unwrap_or("SYMMETRIC_DEFAULT"),
    );
    facts
}
