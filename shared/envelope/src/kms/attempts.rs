//! The attempts of one KMS call, and what each refusal means.
//!
//! A refusal is told by its code, never by its text; only what a moment may
//! mend is asked again, with a jittered pause, inside the time that the call has.

use super::{KeyState, Kms, KmsCall, ProvideErrorMetadata, RequestId, SdkError, describe};
use crate::{KeyArn, KmsFailure, KmsOperation, Refusal};
use std::time::Duration;
use tokio::time::Instant;

/// The longest that one attempt may take.
pub(super) const ATTEMPT: Duration = Duration::from_secs(3);
/// The first pause between attempts; each further one is twice as long, up to a second.
const PAUSE: Duration = Duration::from_millis(50);

/// One attempt's refusal, before it is known whether it is the last.
pub(super) struct Refused {
    pub(super) refusal: Reason,
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
}

/// `KMSInvalidStateException` alone does not say which state: DescribeKey does.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    Is(Refusal),
    InvalidState,
}

/// The attempts of one call: their time, their request ids.
pub(super) struct Attempts {
    operation: KmsOperation,
    until: Instant,
    pause: Duration,
    request_ids: Vec<String>,
    /// What KMS last answered, where it was asked again.
    said: Option<(Refusal, String)>,
}

impl Attempts {
    pub(super) fn new(operation: KmsOperation, time: Duration) -> Self {
        Self {
            operation,
            until: Instant::now() + time,
            pause: PAUSE,
            request_ids: Vec::new(),
            said: None,
        }
    }

    /// Runs one attempt within the time that is left.
    pub(super) async fn judge<T, E>(
        &mut self,
        attempt: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Refused>
    where
        E: ProvideErrorMetadata,
        SdkError<E>: RequestId,
    {
        let left = self
            .until
            .saturating_duration_since(Instant::now())
            .min(ATTEMPT);
        let Ok(answer) = tokio::time::timeout(left, attempt).await else {
            return Err(Refused {
                refusal: Reason::Is(Refusal::Unavailable),
                code: None,
                request_id: None,
            });
        };
        answer.map_err(|error| {
            let request_id = error.request_id().map(str::to_owned);
            let code = error
                .as_service_error()
                .and_then(ProvideErrorMetadata::code)
                .map(str::to_owned);
            // A proxy or load balancer in front of KMS answers without a code of KMS.
            let fault = error
                .raw_response()
                .is_some_and(|response| response.status().is_server_error());
            let refusal = match code.as_deref() {
                Some(code) => reason(code, fault),
                None => Reason::Is(Refusal::Unavailable),
            };
            Refused {
                refusal,
                code,
                request_id,
            }
        })
    }

    /// Pauses before the next attempt where one makes sense, and otherwise says why not.
    pub(super) async fn refused(
        &mut self,
        refused: Refused,
        kms: &Kms,
        key: &KeyArn,
        grant_tokens: &[String],
    ) -> Result<(), KmsFailure> {
        self.request_ids.extend(refused.request_id);
        let refusal = match refused.refusal {
            Reason::Is(refusal) => refusal,
            Reason::InvalidState => self.which_state(kms, key, grant_tokens).await,
        };
        let pause = jittered(self.pause);
        if refusal.is_transient() && Instant::now() + pause < self.until {
            tokio::time::sleep(pause).await;
            self.pause = (self.pause * 2).min(Duration::from_secs(1));
            self.said = refused
                .code
                .map(|code| (refusal, code))
                .or(self.said.take());
            return Ok(());
        }
        match (refused.code, self.said.take()) {
            // A last attempt that was cut short tells less than the answer before it.
            (None, Some((said, code))) if refusal.is_transient() => {
                Err(self.failure(said, Some(code)))
            }
            (code, _) => Err(self.failure(refusal, code)),
        }
    }

    /// Asks which state makes the key unusable. If that cannot be told, it is a
    /// fault: only a definite answer changes what is believed of a key.
    async fn which_state(&self, kms: &Kms, key: &KeyArn, grant_tokens: &[String]) -> Refusal {
        let left = self.until.saturating_duration_since(Instant::now());
        let mut attempt = Self::new(KmsOperation::DescribeKey, left);
        match describe(kms, key, grant_tokens, &mut attempt)
            .await
            .map(|description| description.state)
        {
            Ok(KeyState::PendingDeletion) => Refusal::PendingDeletion,
            Ok(KeyState::PendingImport) => Refusal::MaterialMissing,
            Ok(KeyState::Disabled) => Refusal::Disabled,
            Ok(KeyState::Enabled | KeyState::Transient) | Err(_) => Refusal::Unavailable,
        }
    }

    pub(super) fn failure(&self, refusal: Refusal, code: Option<String>) -> KmsFailure {
        KmsFailure {
            operation: self.operation,
            refusal,
            code,
            request_ids: self.request_ids.clone(),
        }
    }

    /// The failure of a call that KMS answered, but not for what was asked.
    pub(super) fn disbelieved(&self, call: &KmsCall) -> KmsFailure {
        let mut failure = self.failure(Refusal::Integrity, None);
        failure.request_ids.push(call.request_id.clone());
        failure
    }

    pub(super) fn call(&self, request_id: Option<&str>, material: Option<String>) -> KmsCall {
        KmsCall {
            request_id: request_id.unwrap_or_default().to_owned(),
            earlier: self.request_ids.clone(),
            material,
        }
    }
}

/// What a code of KMS means (AWS KMS API Reference, "Common Errors" and the
/// errors of each operation).
fn reason(code: &str, fault: bool) -> Reason {
    Reason::Is(match code {
        "AccessDeniedException" | "AccessDenied" => Refusal::AccessDenied,
        "DisabledException" => Refusal::Disabled,
        "NotFoundException" => Refusal::NotFound,
        "KMSInvalidStateException" => return Reason::InvalidState,
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException" => Refusal::Throttled,
        "KMSInternalException"
        | "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Refusal::Unavailable,
        "InvalidCiphertextException" | "IncorrectKeyException" => Refusal::Integrity,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "RequestExpired"
        | "OptInRequired"
        | "NotAuthorized" => Refusal::Misconfigured,
        _ if fault => Refusal::Unavailable,
        _ => Refusal::Unsupported,
    })
}

/// Between half of a pause and all of it, so that callers who were throttled
/// together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + share / 2.0)
}
