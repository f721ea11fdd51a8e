//! GenerateDataKey, with and without the plaintext in the answer.

use super::crypto::refuse_recipient;
use super::{Cx, base64, check_algorithm, check_context, check_enabled, read, required};
use crate::KmsError;
use crate::authz::{self, Ask};
use crate::blob;
use crate::resolve;
use crate::state::EncryptionContext;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    key_spec: Option<String>,
    number_of_bytes: Option<i64>,
    encryption_context: Option<EncryptionContext>,
    grant_tokens: Option<Vec<String>>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

/// API reference, "GenerateDataKey".
pub(super) fn generate(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let (mut answer, plaintext) = make(cx, input, "GenerateDataKey")?;
    answer["Plaintext"] = json!(base64(&plaintext));
    Ok(answer)
}

/// API reference, "GenerateDataKeyWithoutPlaintext".
pub(super) fn generate_without_plaintext(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let (answer, _) = make(cx, input, "GenerateDataKeyWithoutPlaintext")?;
    Ok(answer)
}

fn make(cx: &Cx<'_>, input: Value, action: &str) -> Result<(Value, Zeroizing<Vec<u8>>), KmsError> {
    let input: Input = read(input)?;
    refuse_recipient(input.recipient.as_ref())?;
    let key_id = required(input.key_id, "keyId")?;
    let length = length(input.key_spec.as_deref(), input.number_of_bytes)?;
    let context = input.encryption_context.unwrap_or_default();
    check_context(&context)?;
    let live = cx.engine.read();
    let target = resolve::key(cx, &live.state, &key_id, action)?;
    let mut ask = Ask::new(action, &target);
    ask.context = Some(&context);
    let tokens = input.grant_tokens.unwrap_or_default();
    ask.tokens = &tokens;
    ask.facts
        .text("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
    authz::authorize(cx, &live.state, ask)?;
    let key = &target.key.record;
    check_enabled(key)?;
    check_algorithm(key, None)?;
    if input.dry_run == Some(true) {
        return Err(KmsError::dry_run());
    }
    let mut plaintext = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut plaintext).map_err(|_| KmsError::internal())?;
    let material = key.current().ok_or_else(KmsError::internal)?;
    let blob = blob::seal(key, material, &context, &plaintext)?;
    let answer = json!({
        "CiphertextBlob": base64(&blob),
        "KeyId": key.arn(),
        "KeyMaterialId": material.id,
    });
    Ok((answer, plaintext))
}

fn length(spec: Option<&str>, bytes: Option<i64>) -> Result<usize, KmsError> {
    match (spec, bytes) {
        (Some("AES_256"), None) => Ok(32),
        (Some("AES_128"), None) => Ok(16),
        (Some(other), None) => Err(KmsError::validation(format!(
            "1 validation error detected: Value '{other}' at 'keySpec' failed to satisfy \
             constraint: Member must satisfy enum value set: [AES_256, AES_128]"
        ))),
        (None, Some(n)) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=1024).contains(n))
            .ok_or_else(|| {
                KmsError::validation(format!(
                    "1 validation error detected: Value '{n}' at 'numberOfBytes' failed to \
                     satisfy constraint: Member must have value between 1 and 1024"
                ))
            }),
        _ => Err(KmsError::validation(
            "Please specify either number of bytes or key spec.",
        )),
    }
}
