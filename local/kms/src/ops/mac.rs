//! GenerateMac and VerifyMac with HMAC_256 keys: HMAC-SHA-256 under the key's material.

use super::{Cx, base64, bytes, check_enabled, read, required, wrong_usage};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::key::{KeyRecord, KeyUsage};
use crate::resolve;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    message: Option<String>,
    mac: Option<String>,
    mac_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

/// API reference, "GenerateMac".
pub(super) fn generate(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    run(cx, read(input)?, "GenerateMac", |_, mac, arn| {
        let mac = base64(&mac.finalize().into_bytes());
        Ok(json!({"KeyId": arn, "MacAlgorithm": "HMAC_SHA_256", "Mac": mac}))
    })
}

/// API reference, "VerifyMac". A MAC that does not fit is KMSInvalidMacException, never `false`.
pub(super) fn verify(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    run(cx, read(input)?, "VerifyMac", |input, mac, arn| {
        let given = bytes(input.mac.as_deref(), "mac", MAX)?;
        mac.verify_slice(&given)
            .map_err(|_| KmsError::invalid_mac())?;
        Ok(json!({"KeyId": arn, "MacAlgorithm": "HMAC_SHA_256", "MacValid": true}))
    })
}

/// Bytes of a MAC, at most; a message may have 4096.
const MAX: usize = 6144;

fn run(
    cx: &Cx<'_>,
    input: Input,
    action: &str,
    finish: fn(&Input, Hmac<Sha256>, String) -> Result<Value, KmsError>,
) -> Result<Value, KmsError> {
    let key_id = required(input.key_id.as_deref(), "keyId")?;
    let message = bytes(input.message.as_deref(), "message", 4096)?;
    let algorithm = required(input.mac_algorithm.as_deref(), "macAlgorithm")?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, key_id, action)?;
    let mut ask = Ask::new(action, &target);
    ask.tokens = input.grant_tokens.as_deref().unwrap_or_default();
    ask.facts.text("kms:MacAlgorithm", algorithm);
    authz::authorize(cx, &live.state, ask)?;
    let key = &target.key.record;
    check_enabled(key)?;
    check_kind(key, algorithm)?;
    let material = key.current().ok_or_else(KmsError::internal)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&material.secret.0).map_err(|_| KmsError::internal())?;
    mac.update(&message);
    let answer = finish(&input, mac, key.arn())?;
    match input.dry_run {
        Some(true) => Err(KmsError::dry_run()),
        _ => Ok(answer),
    }
}

fn check_kind(key: &KeyRecord, algorithm: &str) -> Result<(), KmsError> {
    let known = [
        "HMAC_SHA_224",
        "HMAC_SHA_256",
        "HMAC_SHA_384",
        "HMAC_SHA_512",
    ];
    if !known.contains(&algorithm) {
        return Err(KmsError::validation(format!(
            "1 validation error detected: Value '{algorithm}' at 'macAlgorithm' failed to \
             satisfy constraint: Member must satisfy enum value set: {known:?}"
        )));
    }
    if key.usage != KeyUsage::Mac {
        return Err(wrong_usage(key));
    }
    match algorithm {
        "HMAC_SHA_256" => Ok(()),
        _ => Err(KmsError::invalid_key_usage(format!(
            "Algorithm {algorithm} is incompatible with key spec {}.",
            key.spec.name()
        ))),
    }
}
