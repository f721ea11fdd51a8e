//! Asking KMS whether it would, without having it done: `DryRun`.
//!
//! A dry run is authorized, billed and logged like the call itself; that it would
//! have succeeded, KMS says with an error, `DryRunOperationException` (AWS KMS
//! Developer Guide, "Testing your permissions"). No ciphertext is sent: with
//! `IGNORE_CIPHERTEXT` the key is named, and only the right to it is asked.

use super::{
    Attempts, DataKeySpec, DryRunModifierType, Kms, Refused, RequestId, discard, inspect::Look,
    pairs,
};
use crate::{EncryptionContext, KeyName, KmsFailure, KmsOperation};
use std::time::Duration;

/// Asks KMS what it would do, and does nothing.
#[derive(Clone)]
pub struct Probe(Kms);

/// What KMS is asked whether it would do. `None` is no encryption context at all.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// Make a data key.
    GenerateDataKey(Option<&'a EncryptionContext>),
    /// Unwrap something.
    Decrypt(Option<&'a EncryptionContext>),
    /// Move something from the key to the same key.
    ReEncrypt {
        /// What it is wrapped under.
        from: Option<&'a EncryptionContext>,
        /// What it would be wrapped under.
        to: Option<&'a EncryptionContext>,
    },
}

impl Asked<'_> {
    /// The operation that is asked about.
    #[must_use]
    pub fn operation(self) -> KmsOperation {
        match self {
            Self::GenerateDataKey(_) => KmsOperation::GenerateDataKey,
            Self::Decrypt(_) => KmsOperation::Decrypt,
            Self::ReEncrypt { .. } => KmsOperation::ReEncrypt,
        }
    }
}

impl Probe {
    pub(super) fn new(kms: Kms) -> Self {
        Self(kms)
    }

    /// Asks whether KMS would do it with this key now, within `time`. Answers with
    /// KMS's request id where it would.
    ///
    /// # Errors
    /// KMS would not, could not be reached in time, or did something, which is not
    /// believed and not kept.
    pub async fn would(
        &self,
        key: &KeyName,
        asked: Asked<'_>,
        grant_tokens: &[String],
        time: Duration,
    ) -> Result<String, KmsFailure> {
        let mut attempts = Attempts::new(asked.operation(), time);
        let look = Look { key, grant_tokens };
        loop {
            match would(&self.0, look, asked, &mut attempts).await {
                Ok(request_id) => return Ok(request_id),
                Err(refused) => {
                    attempts
                        .refused(refused, &self.0, std::slice::from_ref(key), grant_tokens)
                        .await?;
                }
            }
        }
    }
}

/// One attempt.
pub(super) async fn would(
    kms: &Kms,
    look: Look<'_>,
    asked: Asked<'_>,
    attempts: &mut Attempts,
) -> Result<String, Refused> {
    let client = kms.client(look.key.region());
    let key = look.key.as_str();
    let tokens = Some(look.grant_tokens.to_vec());
    let done = match asked {
        Asked::GenerateDataKey(context) => {
            let call = client
                .generate_data_key()
                .key_id(key)
                .key_spec(DataKeySpec::Aes256)
                .set_encryption_context(context.map(pairs))
                .set_grant_tokens(tokens)
                .dry_run(true)
                .send();
            attempts.judge(call).await.map(|output| {
                let request_id = output.request_id().map(str::to_owned);
                discard(output.plaintext);
                request_id
            })
        }
        Asked::Decrypt(context) => {
            let call = client
                .decrypt()
                .key_id(key)
                .set_encryption_context(context.map(pairs))
                .set_grant_tokens(tokens)
                .dry_run(true)
                .dry_run_modifiers(DryRunModifierType::IgnoreCiphertext)
                .send();
            attempts.judge(call).await.map(|output| {
                let request_id = output.request_id().map(str::to_owned);
                discard(output.plaintext);
                request_id
            })
        }
        Asked::ReEncrypt { from, to } => {
            let call = client
                .re_encrypt()
                .source_key_id(key)
                .set_source_encryption_context(from.map(pairs))
                .destination_key_id(key)
                .set_destination_encryption_context(to.map(pairs))
                .set_grant_tokens(tokens)
                .dry_run(true)
                .dry_run_modifiers(DryRunModifierType::IgnoreCiphertext)
                .send();
            let answer = attempts.judge(call).await;
            answer.map(|output| output.request_id().map(str::to_owned))
        }
    };
    match done {
        Ok(request_id) => Err(Refused::disbelieved(request_id.as_deref())),
        Err(refused) if refused.would() => Ok(refused.request_id.unwrap_or_default()),
        Err(refused) => Err(refused),
    }
}
