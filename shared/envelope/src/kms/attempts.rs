//! The attempts of one KMS call, and what each refusal means.
//!
//! A refusal is told by its code, never by its text; only what a moment may
//! mend is asked again, with a jittered pause, inside the time that the call has.

use super::{
    KeyState, Kms, KmsCall, ProvideErrorMetadata, RequestId, SdkError,
    canary::Whose,
    inspect::{self, Look},
};
use crate::{KeyName, KmsFailure, KmsOperation, Refusal};
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

impl Refused {
    /// KMS answered, but not for what was asked.
    pub(super) fn disbelieved(request_id: Option<&str>) -> Self {
        Self {
            refusal: Reason::Is(Refusal::Integrity),
            code: None,
            request_id: request_id.map(str::to_owned),
        }
    }

    /// Whether KMS says that it would do what a dry run asked (AWS KMS API
    /// Reference, "DryRun": a success is this error).
    pub(super) fn would(&self) -> bool {
        self.code.as_deref() == Some("DryRunOperationException")
    }
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
        let Ok(answer) = tokio::time::timeout(self.left().min(ATTEMPT), attempt).await else {
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

    /// Pauses before the next attempt where one makes sense, and otherwise says why
    /// not. `keys` are those that the call named.
    pub(super) async fn refused(
        &mut self,
        refused: Refused,
        kms: &Kms,
        keys: &[KeyName],
        grant_tokens: &[String],
    ) -> Result<(), KmsFailure> {
        self.request_ids.extend(refused.request_id);
        let (refusal, again) = match refused.refusal {
            Reason::Is(Refusal::AccessDenied) => self.whose_denial(kms).await,
            Reason::Is(refusal) => (refusal, refusal.is_transient()),
            Reason::InvalidState => {
                let refusal = self.which_state(kms, keys, grant_tokens).await;
                (refusal, refusal.is_transient())
            }
        };
        let pause = jittered(self.pause);
        if again && Instant::now() + pause < self.until {
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

    /// Asks which state makes a key unusable. If that cannot be told, it is a
    /// fault: only a definite answer changes what is believed of a key.
    async fn which_state(&self, kms: &Kms, keys: &[KeyName], grant_tokens: &[String]) -> Refusal {
        for key in keys {
            let mut attempt = Self::new(KmsOperation::DescribeKey, self.left());
            let look = Look { key, grant_tokens };
            match inspect::describe(kms, look, &mut attempt)
                .await
                .map(|description| description.state)
            {
                Ok(KeyState::PendingDeletion) => return Refusal::PendingDeletion,
                Ok(KeyState::PendingImport) => return Refusal::MaterialMissing,
                Ok(KeyState::Disabled) => return Refusal::Disabled,
                Ok(KeyState::Enabled | KeyState::Transient) | Err(_) => {}
            }
        }
        Refusal::Unavailable
    }

    /// Asks the canary whether a denial is the customer's; and says whether the
    /// call makes sense again. Without a canary it is taken for the customer's.
    async fn whose_denial(&self, kms: &Kms) -> (Refusal, bool) {
        let Some(canary) = &kms.canary else {
            return (Refusal::AccessDenied, false);
        };
        match canary.asked(kms, self.operation, self.left()).await {
            Whose::Theirs => (Refusal::AccessDenied, false),
            Whose::Ours => (Refusal::Misconfigured, false),
            Whose::Unknown { again } => (Refusal::Unavailable, again),
        }
    }

    /// The time that the call still has.
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
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
