//! Moving wrapped data keys: `ReEncrypt`.
//!
//! The data key stays the same and never leaves KMS; what changes is the key or
//! the key material that wraps it, or the context that it is wrapped under. KMS
//! works in one Region at a time: the call goes to the Region of the key moved
//! to, and names the key moved from as that Region knows it.

use super::{Attempts, BLOB, Blob, Kms, KmsCall, ReEncryptOutput, RequestId, pairs, with_receipt};
use crate::{EncryptionContext, KeyArn, KmsFailure, KmsOperation, Refusal, WrappedDataKey};
use std::time::Duration;

/// Moves wrapped data keys: `ReEncrypt`, and nothing else.
#[derive(Clone)]
pub struct Rewrap(Kms);

/// A request to re-wrap.
#[derive(Clone, Copy)]
pub struct RewrapRequest<'a> {
    /// The wrapped data key. Its own key name is not believed: see `allowed`.
    pub wrapped: &'a WrappedDataKey,
    /// What it is wrapped under.
    pub from: &'a EncryptionContext,
    /// The KEK that is to wrap it: the same one, for other key material or another context.
    pub to_key: &'a KeyArn,
    /// What it is to be wrapped under.
    pub to: &'a EncryptionContext,
    /// The KEKs that the workspace's binding lists, current and former. Where
    /// either key is any other, the request is refused without a call.
    pub allowed: &'a [KeyArn],
    /// The receipt's id, carried in the call's user agent into the customer's log.
    pub receipt: Option<&'a str>,
    /// How long it may take, retries included.
    pub time: Duration,
}

/// A data key that KMS has wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// The same data key as before, under the key and context asked for.
    pub wrapped: WrappedDataKey,
    /// The call; its material is the one that wraps now.
    pub call: KmsCall,
}

impl Rewrap {
    pub(super) fn new(kms: Kms) -> Self {
        Self(kms)
    }

    /// Has KMS wrap a data key anew, and accepts the answer only for the two keys
    /// that were named.
    ///
    /// # Errors
    /// Either key is not the workspace's, KMS refused, could not be reached in
    /// time, or answered for other keys; [`Refusal::OtherRegion`] where no key that
    /// is allowed can read the wrapped one in the other's Region.
    pub async fn rewrap(&self, request: RewrapRequest<'_>) -> Result<Rewrapped, KmsFailure> {
        let mut attempts = Attempts::new(KmsOperation::ReEncrypt, request.time);
        let source = source(&request).map_err(|refusal| attempts.failure(refusal, None))?;
        let output = match self
            .re_encrypt(&request, source, false, &mut attempts)
            .await?
        {
            ReEncrypted::Done(output) => *output,
            ReEncrypted::Would(_) => return Err(attempts.failure(Refusal::Integrity, None)),
        };
        let material = output.destination_key_material_id().map(str::to_owned);
        let call = attempts.call(output.request_id(), material.clone());
        let same_keys = output.key_id() == Some(request.to_key.as_str())
            && output.source_key_id() == Some(source.as_str());
        let ciphertext = output
            .ciphertext_blob
            .map(Blob::into_inner)
            .filter(|blob| BLOB.contains(&blob.len()));
        match ciphertext {
            Some(ciphertext) if same_keys => Ok(Rewrapped {
                wrapped: WrappedDataKey {
                    ciphertext,
                    key: request.to_key.clone(),
                    material,
                },
                call,
            }),
            _ => Err(attempts.disbelieved(&call)),
        }
    }

    /// Asks KMS whether it would re-wrap this very blob now (`DryRun`). Answers
    /// with KMS's request id.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap).
    pub async fn would_rewrap(&self, request: RewrapRequest<'_>) -> Result<String, KmsFailure> {
        let mut attempts = Attempts::new(KmsOperation::ReEncrypt, request.time);
        let source = source(&request).map_err(|refusal| attempts.failure(refusal, None))?;
        match self
            .re_encrypt(&request, source, true, &mut attempts)
            .await?
        {
            ReEncrypted::Would(request_id) => Ok(request_id),
            ReEncrypted::Done(output) => {
                Err(attempts.disbelieved(&attempts.call(output.request_id(), None)))
            }
        }
    }

    async fn re_encrypt(
        &self,
        request: &RewrapRequest<'_>,
        source: &KeyArn,
        dry_run: bool,
        attempts: &mut Attempts,
    ) -> Result<ReEncrypted, KmsFailure> {
        let client = self.0.client(request.to_key.region());
        loop {
            let mut call = client
                .re_encrypt()
                .ciphertext_blob(Blob::new(request.wrapped.ciphertext.as_slice()))
                .source_key_id(source.as_str())
                .set_source_encryption_context(Some(pairs(request.from)))
                .destination_key_id(request.to_key.as_str())
                .set_destination_encryption_context(Some(pairs(request.to)));
            if dry_run {
                call = call.dry_run(true);
            }
            let call = with_receipt(call.customize(), request.receipt);
            match attempts.judge(call.send()).await {
                Ok(output) => return Ok(ReEncrypted::Done(Box::new(output))),
                Err(refused) if dry_run && refused.would() => {
                    return Ok(ReEncrypted::Would(refused.request_id.unwrap_or_default()));
                }
                Err(refused) => {
                    let keys = [source.clone().into(), request.to_key.clone().into()];
                    attempts.refused(refused, &self.0, &keys, &[]).await?;
                }
            }
        }
    }
}

enum ReEncrypted {
    Done(Box<ReEncryptOutput>),
    Would(String),
}

/// The key moved from, as the Region of the key moved to knows it.
fn source<'a>(request: &RewrapRequest<'a>) -> Result<&'a KeyArn, Refusal> {
    let (from, to) = (&request.wrapped.key, request.to_key);
    let listed = request.allowed.contains(from) && request.allowed.contains(to);
    if !listed || !BLOB.contains(&request.wrapped.ciphertext.len()) {
        return Err(Refusal::Integrity);
    }
    if from.region() == to.region() {
        return Ok(from);
    }
    request
        .allowed
        .iter()
        .find(|key| key.region() == to.region() && key.is_replica_of(from))
        .ok_or(Refusal::OtherRegion)
}
