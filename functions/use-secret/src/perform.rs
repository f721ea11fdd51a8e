//! One use, in order. Nothing secret is formed before step 3 has passed.
//!
//! ```text
//! 1  read workspace, secret and token in one call            (admit)
//! 2  permitted, not frozen, not expired
//! 3  the request against the policy, on one canonical URL
//! 4  at once: Decrypt at the customer's KMS, and the audit intent; both must succeed
//! 5  commitment and AEAD; inject; resolve, judge, pin, send
//! 6  the answer; wipe; the outcome
//! ```

use crate::{UseSecret, intent::Intent};
use api::{Admitted, Code, Problem, note_secret};
use bytes::Bytes;
use egress::{
    CanonicalUrl, CollectedAnswer, EgressError, InjectError, OutboundRequest, Policy, RequestError,
    UrlError,
};
use envelope::{
    EncryptionContext, Place, PolicyDigest, SecretBytes, SecretName, SecretVersion,
    kms::{KmsCall, UnwrapRequest},
    open,
};
use http::{HeaderMap, Method};
use std::time::Duration;
use store::{AuditKind, Head, ReceiptId, Records, StoredVersion, Wanted};
use tokio::time::Instant;

/// The longest that KMS may take of a use's time.
const KMS_TIME: Duration = Duration::from_secs(8);
/// The largest answer that is passed on.
const ANSWER_MAX: usize = 6 * 1024 * 1024;

/// Where a request is to go.
pub(crate) enum Target {
    /// To this URL, in the caller's words.
    Url(String),
    /// To the first destination of the policy, with this path and query added.
    Via(String),
}

/// The caller's request, unjudged.
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) version: Option<SecretVersion>,
    /// When it must be over.
    pub(crate) until: Instant,
}

/// What a use leaves for its caller.
pub(crate) struct Receipt {
    pub(crate) id: ReceiptId,
    pub(crate) kms: KmsCall,
    pub(crate) version: SecretVersion,
    pub(crate) milliseconds: u64,
}

/// A version that was found for a use, and what its use must satisfy.
struct Found {
    stored: StoredVersion,
    place: Place,
    /// The version's own policy, and the head's where that is another version.
    policies: Vec<Policy>,
}

impl UseSecret {
    /// Uses a secret once.
    pub(crate) async fn perform(
        &self,
        admitted: Admitted,
        request_id: &str,
        draft: Draft,
    ) -> Result<(CollectedAnswer, Receipt), Problem> {
        let until = draft.until;
        let Some(name) = admitted.secret.clone() else {
            return Err(Problem::new(Code::NotFound));
        };
        admitted.not_frozen()?;
        let head = admitted.records.head.as_ref().and_then(Head::live);
        let at_hand = draft
            .version
            .is_none_or(|version| head.is_some_and(|head| head.stored.version == version));
        let found = if at_hand {
            self.find(&admitted, &admitted.records, &name, draft.version)
        } else {
            self.find_again(&admitted, &name, draft.version).await
        };
        let found = match found {
            Err(problem) if problem.code() == Code::IntegrityFailure => {
                self.find_again(&admitted, &name, draft.version).await?
            }
            found => found?,
        };
        note_secret(&name, found.stored.version);
        let request = judge(&found, draft)?;

        let mut entry = admitted.audit(AuditKind::Use, request_id);
        entry.version = Some(found.stored.version);
        entry.destination = Some(request.url().without_query().to_owned());
        entry.method = Some(request.method().to_string());

        let mut intent = Intent::new(&self.api, &admitted, entry);
        let (secret, kms) = self
            .open(&admitted, &name, &found, &mut intent, until)
            .await?;
        let sent = self.send(&found, request, &secret, until).await;
        drop(secret);

        let code = sent
            .as_ref()
            .map_or_else(|problem| problem.code().as_str(), |_| "ok");
        let status = sent.as_ref().ok().map(|answer| answer.status.as_u16());
        let outcome = intent.outcome(code, status, Some(&kms));
        intent.finish(&outcome).await;
        let receipt = Receipt {
            id: intent.entry.id,
            kms,
            version: found.stored.version,
            milliseconds: outcome.milliseconds,
        };
        Ok((sent?, receipt))
    }

    /// The version that a use is for, if it is there, unexpired and readable.
    fn find(
        &self,
        admitted: &Admitted,
        records: &Records,
        name: &SecretName,
        version: Option<SecretVersion>,
    ) -> Result<Found, Problem> {
        let Some(head) = records.head.as_ref().and_then(Head::live) else {
            return Err(Problem::new(Code::NotFound));
        };
        let stored = match version {
            Some(version) if version != head.stored.version => records
                .version
                .clone()
                .ok_or_else(|| Problem::new(Code::NotFound))?,
            _ => head.stored.clone(),
        };
        let mut policies = vec![policy(&stored)?];
        if stored.version != head.stored.version {
            policies.push(policy(&head.stored)?);
        }
        // The expiry that counts is the one within the policy, which the customer's KMS binds.
        if policies
            .iter()
            .any(|policy| policy.expires_at().is_some_and(|end| end <= admitted.now))
        {
            return Err(Problem::new(Code::SecretExpired));
        }
        let place = Place {
            broker: self.api.broker.clone(),
            workspace: admitted.caller.workspace.clone(),
            name: name.clone(),
            version: stored.version,
        };
        Ok(Found {
            stored,
            place,
            policies,
        })
    }

    /// The same on records read anew.
    async fn find_again(
        &self,
        admitted: &Admitted,
        name: &SecretName,
        version: Option<SecretVersion>,
    ) -> Result<Found, Problem> {
        let records = self.read_again(admitted, name, version).await?;
        self.find(admitted, &records, name, version)
    }

    /// The records of a read are no snapshot: a mismatch between them is looked
    /// at once more before it is called a failure of integrity.
    async fn read_again(
        &self,
        admitted: &Admitted,
        name: &SecretName,
        version: Option<SecretVersion>,
    ) -> Result<Records, Problem> {
        let wanted = Wanted {
            token: &admitted.caller.id,
            secret: Some(name),
            version,
            idempotency: None,
            state: false,
        };
        Ok(self
            .api
            .store
            .read(&admitted.caller.workspace, wanted)
            .await?)
    }

    /// Has the customer's KMS unwrap the data key while the intent is stored;
    /// opens the secret only if both succeeded.
    async fn open(
        &self,
        admitted: &Admitted,
        name: &SecretName,
        found: &Found,
        intent: &mut Intent,
        until: Instant,
    ) -> Result<(SecretBytes, KmsCall), Problem> {
        let mut keys = admitted.binding()?.keys();
        if !keys.contains(&found.stored.wrapped.key) {
            // A re-bind between the two records of one read; no call is made for an unknown key.
            let again = self.read_again(admitted, name, None).await?;
            keys = again
                .binding
                .map(|binding| binding.keys())
                .unwrap_or_default();
        }
        let context = EncryptionContext::new(
            &found.place,
            &PolicyDigest::of(found.stored.policy.as_bytes()),
        );
        let receipt = intent.entry.id.to_string();
        let request = UnwrapRequest {
            wrapped: &found.stored.wrapped,
            context: &context,
            allowed: &keys,
            receipt: Some(&receipt),
            grant_tokens: &[],
            time: until
                .saturating_duration_since(Instant::now())
                .min(KMS_TIME),
        };
        let (unwrapped, stored) = tokio::join!(self.unwrap.unwrap(request), intent.begin(until));
        tracing::Span::current().record(
            "kms_calls",
            match &unwrapped {
                Ok(unwrapped) => unwrapped.call.earlier.len() + 1,
                Err(failure) => failure.request_ids.len(),
            },
        );
        stored?;

        let (problem, kms, attempts) = match unwrapped {
            Ok(unwrapped) => match open(&found.stored.sealed, unwrapped.key, &found.place) {
                Ok(secret) => return Ok((secret, unwrapped.call)),
                Err(error) => (
                    Problem::new(Code::IntegrityFailure).from_source(error),
                    Some(unwrapped.call),
                    Vec::new(),
                ),
            },
            Err(failure) => {
                let attempts = failure.request_ids.clone();
                (failure.into(), None, attempts)
            }
        };
        let mut outcome = intent.outcome(problem.code().as_str(), None, kms.as_ref());
        outcome.kms_attempts.extend(attempts);
        intent.finish(&outcome).await;
        Err(problem)
    }

    async fn send(
        &self,
        found: &Found,
        request: OutboundRequest,
        secret: &SecretBytes,
        until: Instant,
    ) -> Result<CollectedAnswer, Problem> {
        let injected = egress::inject(&found.policies[0], request, secret).map_err(|error| {
            match error {
                InjectError::Denied(_) => Problem::new(Code::DestinationDenied),
                InjectError::NotInjectable => Problem::new(Code::Conflict)
                    .because("The secret's bytes do not fit into the slot of its policy."),
                InjectError::SlotTaken => Problem::invalid(
                    "request",
                    "without anything of its own in the slot that the secret goes into",
                ),
                InjectError::NoSlot => Problem::invalid(
                    "request.body",
                    "of the kind that the secret's policy puts it into",
                ),
            }
            .from_source(error)
        })?;
        let left = until.saturating_duration_since(Instant::now());
        let answer = async {
            self.dialler
                .send(injected, left)
                .await?
                .collect(ANSWER_MAX)
                .await
        };
        match tokio::time::timeout(left, answer).await {
            Ok(answer) => answer.map_err(upstream),
            Err(_) => Err(upstream(EgressError::Timeout)),
        }
    }
}

fn policy(stored: &StoredVersion) -> Result<Policy, Problem> {
    Policy::from_canonical(&stored.policy).map_err(|error| {
        Problem::new(Code::IntegrityFailure)
            .from_source(format!("a stored policy is not canonical: {}", error.rule))
    })
}

/// The request on its canonical URL, against every policy that it must satisfy.
fn judge(found: &Found, draft: Draft) -> Result<OutboundRequest, Problem> {
    let url = match &draft.target {
        Target::Url(text) => CanonicalUrl::parse(text)
            .map_err(|error| Problem::invalid("request.url", error.rule()))?,
        Target::Via(path) => found.policies[0].via(path).map_err(|error| match error {
            UrlError::NoDestination => Problem::new(Code::DestinationDenied),
            error => Problem::invalid("path", error.rule()),
        })?,
    };
    for policy in &found.policies {
        policy.judge(&draft.method, &url).map_err(|denied| {
            Problem::new(Code::DestinationDenied).because(match denied {
                egress::Denied::Url => "No destination of the policy covers this URL.",
                egress::Denied::Method => "The policy does not allow this method there.",
            })
        })?;
    }
    OutboundRequest::new(draft.method, url, draft.headers, draft.body).map_err(
        |error| match error {
            RequestError::Method => {
                Problem::invalid("request.method", "a method that a policy can allow")
            }
            RequestError::HeadersTooLarge => Problem::new(Code::TooLarge)
                .because("The request has too many or too large headers."),
            RequestError::BodyTooLarge => {
                Problem::new(Code::TooLarge).because("The request's body is too large.")
            }
        },
    )
}

fn upstream(error: EgressError) -> Problem {
    let code = match error {
        EgressError::AddressDenied(_) => Code::DestinationDenied,
        EgressError::Timeout | EgressError::ConnectTimeout => Code::UpstreamTimeout,
        EgressError::TooLarge | EgressError::RequestTooLarge => Code::TooLarge,
        EgressError::Resolve | EgressError::Connect | EgressError::Tls | EgressError::Protocol => {
            Code::UpstreamUnreachable
        }
        EgressError::Unscrubbable => Code::ResponseUnscrubbable,
    };
    let problem = Problem::new(code).from_source(error);
    match error {
        EgressError::AddressDenied(_) => {
            problem.because("The destination's address may not be dialled.")
        }
        EgressError::Resolve => problem.because("The destination's name could not be resolved."),
        EgressError::Tls => {
            problem.because("No trusted TLS session with the destination could be made.")
        }
        EgressError::TooLarge => problem.because("The upstream's answer is too large."),
        _ => problem,
    }
}
