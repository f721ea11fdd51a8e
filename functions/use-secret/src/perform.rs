//! One use, in order. Nothing secret is formed before step 3 has passed.
//!
//! ```text
//! 1  read workspace, secret and token in one call            (admit)
//! 2  permitted, a seat is free, not frozen, not expired
//! 3  the request against the policy, on one canonical URL    (a preview ends here)
//! 4  at once: Decrypt at the customer's KMS, the audit intent, the MACs; all must succeed
//! 5  commitment and AEAD; inject; resolve, judge, pin, send  (a reveal ends with the AEAD)
//! 6  the answer; wipe; the outcome
//! ```
//!
//! Of a pass-through the answer's body is still to come after step 5; see [`Flight`].
//!
//! [`Flight`]: crate::flight::Flight

use crate::{
    UseSecret,
    bulkhead::Seat,
    draft::{Draft, uninjectable},
    flight::Flight,
    intent::Intent,
};
use api::{Admitted, Code, Problem, Verifying, keks, note_secret};
use egress::{
    CollectedAnswer, EgressError, InjectedRequest, Limits, OutboundRequest, Policy, Preview,
};
use envelope::{
    EncryptionContext, KeyArn, Place, PolicyDigest, SecretBytes, SecretName, SecretVersion,
    WrappedDataKey,
    kms::{KmsCall, UnwrapRequest},
    open,
};
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use store::{AuditKind, Binding, EarlierVersion, Head, ReceiptId, Records, StoredVersion, Wanted};
use tokio::time::Instant;

/// The longest that KMS, and the audit trail beside it, may take of a use's time.
const KMS_TIME: Duration = Duration::from_secs(8);
/// The largest answer that is collected.
const ANSWER_MAX: usize = 6 * 1024 * 1024;

/// What a use leaves for its caller.
pub(crate) struct Receipt {
    pub(crate) id: ReceiptId,
    pub(crate) kms: KmsCall,
    pub(crate) version: SecretVersion,
    pub(crate) milliseconds: u64,
}

/// A version that was found for a use, and what its use must satisfy.
pub(crate) struct Found {
    pub(crate) name: SecretName,
    pub(crate) stored: StoredVersion,
    place: Place,
    /// The version's own policy, and the head's where that is another version.
    pub(crate) policies: Vec<Policy>,
    /// What vouches for the head's policy, where that is another version: its own wrap.
    head: Option<(WrappedDataKey, EncryptionContext)>,
}

impl UseSecret {
    /// Takes a seat for a use of the caller's secret.
    pub(crate) fn enter(&self, admitted: &Admitted) -> Result<Seat, Problem> {
        let Some(name) = &admitted.secret else {
            return Err(Problem::new(Code::NotFound));
        };
        self.bulkhead.enter(&admitted.caller.workspace, name)
    }

    /// Uses a secret once, and reads the answer to its end.
    pub(crate) async fn perform(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        request_id: &str,
        draft: Draft,
    ) -> Result<(CollectedAnswer, Receipt), Problem> {
        let until = draft.until;
        let (mut intent, request) = self.depart(admitted, verifying, request_id, draft).await?;
        let left = until.saturating_duration_since(Instant::now());
        let answer = async {
            let answer = self.dialler.send(request, left).await?;
            answer.collect(ANSWER_MAX).await
        };
        let answer = tokio::time::timeout(left, answer).await;
        match answer.unwrap_or(Err(EgressError::Timeout)) {
            Ok(answer) => {
                intent.upstream_status = Some(answer.status.as_u16());
                intent.finish("ok").await;
                let receipt = Receipt::of(&intent)?;
                Ok((answer, receipt))
            }
            Err(error) => Err(failed(intent, upstream(error)).await),
        }
    }

    /// Uses a secret once; the answer's body follows as it is read, and carries the
    /// record of the use to its end.
    pub(crate) async fn pass(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        request_id: &str,
        draft: Draft,
        seat: Seat,
    ) -> Result<(StatusCode, HeaderMap, Flight, Receipt), Problem> {
        let until = draft.until;
        let (mut intent, request) = self.depart(admitted, verifying, request_id, draft).await?;
        let left = until.saturating_duration_since(Instant::now());
        let limits = Limits::streamed();
        let answer = self.dialler.send_within(request, left, &limits).await;
        match answer.and_then(egress::UpstreamAnswer::pass_on) {
            Ok((status, headers, body)) => {
                intent.upstream_status = Some(status.as_u16());
                let receipt = Receipt::of(&intent)?;
                let flight = Flight::begin(body, intent, seat).await;
                Ok((status, headers, flight, receipt))
            }
            Err(error) => Err(failed(intent, upstream(error)).await),
        }
    }

    /// What a use would send, by the same judgement. Neither the customer's KMS nor the
    /// upstream is asked, and nothing is stored.
    pub(crate) async fn preview(
        &self,
        admitted: &Admitted,
        draft: Draft,
    ) -> Result<(Preview, SecretVersion), Problem> {
        let (found, request) = self.judged(admitted, draft).await?;
        let preview =
            egress::preview(&found.policies[0], request, admitted.now).map_err(uninjectable)?;
        Ok((preview, found.stored.version))
    }

    /// Steps 2 and 3.
    async fn judged(
        &self,
        admitted: &Admitted,
        draft: Draft,
    ) -> Result<(Found, OutboundRequest), Problem> {
        let found = self.found(admitted, draft.version).await?;
        let request = draft.judged(&found.policies).await?;
        Ok((found, request))
    }

    /// Steps 2 to 5, up to the door.
    async fn depart(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        request_id: &str,
        draft: Draft,
    ) -> Result<(Intent, InjectedRequest), Problem> {
        let until = draft.until;
        let (found, request) = self.judged(admitted, draft).await?;
        let mut entry = admitted.audit(AuditKind::Use, request_id);
        entry.version = Some(found.stored.version);
        entry.destination = Some(request.url().without_query().to_owned());
        entry.method = Some(request.method().to_string());

        let mut intent = Intent::new(&self.api, admitted, entry);
        let secret = self
            .open(admitted, verifying, &found, &mut intent, until)
            .await?;
        let injected = egress::inject(&found.policies[0], request, &secret, admitted.now);
        drop(secret);
        match injected {
            Ok(injected) => Ok((intent, injected)),
            Err(error) => Err(failed(intent, uninjectable(error)).await),
        }
    }

    /// The version that a use is for, if it may be used at all.
    pub(crate) async fn found(
        &self,
        admitted: &Admitted,
        version: Option<SecretVersion>,
    ) -> Result<Found, Problem> {
        let Some(name) = admitted.secret.clone() else {
            return Err(Problem::new(Code::NotFound));
        };
        admitted.not_frozen()?;
        let head = admitted.records.head.as_ref().and_then(Head::live);
        let at_hand =
            version.is_none_or(|version| head.is_some_and(|head| head.stored.version == version));
        let found = if at_hand {
            self.find(admitted, &admitted.records, &name, version)
        } else {
            self.find_again(admitted, &name, version).await
        };
        let found = match found {
            Err(problem) if problem.code() == Code::IntegrityFailure => {
                self.find_again(admitted, &name, version).await?
            }
            found => found?,
        };
        note_secret(&name, found.stored.version);
        Ok(found)
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
            Some(version) if version != head.stored.version => earlier(records)?.clone(),
            _ => head.stored.clone(),
        };
        let place = |version| Place {
            broker: self.api.broker.clone(),
            workspace: admitted.caller.workspace.clone(),
            name: name.clone(),
            version,
        };
        let mut policies = vec![policy(&stored)?];
        let mut vouching = None;
        if stored.version != head.stored.version {
            policies.push(policy(&head.stored)?);
            let digest = PolicyDigest::of(head.stored.policy.as_bytes());
            let context = EncryptionContext::new(&place(head.stored.version), &digest);
            vouching = Some((head.stored.wrapped.clone(), context));
        }
        // The expiry that counts is the one within the policy, which the customer's KMS binds.
        if policies
            .iter()
            .any(|policy| policy.expires_at().is_some_and(|end| end <= admitted.now))
        {
            return Err(Problem::new(Code::SecretExpired));
        }
        Ok(Found {
            name: name.clone(),
            place: place(stored.version),
            stored,
            policies,
            head: vouching,
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
        if records.freeze.as_ref().is_some_and(|freeze| freeze.frozen) {
            return Err(Problem::new(Code::WorkspaceFrozen));
        }
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
        self.api.read_again(&admitted.caller, wanted).await
    }

    /// Has the customer's KMS unwrap the data key while the intent is stored and the
    /// MACs are checked; opens the secret only if all succeeded.
    pub(crate) async fn open(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        found: &Found,
        intent: &mut Intent,
        until: Instant,
    ) -> Result<SecretBytes, Problem> {
        let mut keys = self.keys(admitted.binding()?);
        let of_the_head = found.head.as_ref().map(|(wrapped, _)| &wrapped.key);
        let mut needed = of_the_head.into_iter().chain([&found.stored.wrapped.key]);
        if !needed.all(|key| keys.contains(key)) {
            // A re-bind between the two records of one read; no call is made for an unknown key.
            let again = self.read_again(admitted, &found.name, None).await?;
            keys = again
                .binding
                .map(|binding| self.keys(&binding))
                .unwrap_or_default();
        }
        let context = EncryptionContext::new(
            &found.place,
            &PolicyDigest::of(found.stored.policy.as_bytes()),
        );
        let receipt = intent.entry.id.to_string();
        let until = until.min(Instant::now() + KMS_TIME);
        let time = until.saturating_duration_since(Instant::now());
        let request = UnwrapRequest {
            wrapped: &found.stored.wrapped,
            context: &context,
            allowed: &keys,
            receipt: Some(&receipt),
            grant_tokens: &[],
            time,
        };
        let (unwrapped, stored, passed, vouched) = tokio::join!(
            self.unwrap.unwrap(request),
            intent.begin(until),
            verifying.passed(),
            self.vouch(found, &keys, time),
        );
        tracing::Span::current().record(
            "kms_calls",
            match &unwrapped {
                Ok(unwrapped) => unwrapped.call.earlier.len() + 1,
                Err(failure) => failure.request_ids.len(),
            },
        );
        stored?;

        let mut attempts = Vec::new();
        let problem = match unwrapped {
            Ok(unwrapped) => {
                intent.kms = Some(unwrapped.call);
                match passed.and(vouched) {
                    // On the word of a forged record nothing is opened; the attempt stands in the trail.
                    Err(problem) => problem,
                    Ok(()) => match open(&found.stored.sealed, unwrapped.key, &found.place) {
                        Ok(secret) => return Ok(secret),
                        Err(error) => Problem::new(Code::IntegrityFailure).from_source(error),
                    },
                }
            }
            Err(failure) => {
                attempts.clone_from(&failure.request_ids);
                failure.into()
            }
        };
        let mut outcome = intent.outcome(problem.code().as_str());
        outcome.kms_attempts.extend(attempts);
        intent.finish_with(outcome).await;
        Err(problem)
    }

    /// An earlier version is used under the head's policy as well, for which only the head's
    /// own wrap vouches: KMS is asked whether it would open that, and opens nothing.
    async fn vouch(&self, found: &Found, keys: &[KeyArn], time: Duration) -> Result<(), Problem> {
        let Some((wrapped, context)) = &found.head else {
            return Ok(());
        };
        let request = UnwrapRequest {
            wrapped,
            context,
            allowed: keys,
            receipt: None,
            grant_tokens: &[],
            time,
        };
        self.unwrap.would_unwrap(request).await?;
        Ok(())
    }

    /// The KEKs that may unwrap what the workspace holds.
    pub(crate) fn keys(&self, binding: &Binding) -> Vec<KeyArn> {
        keks(binding, self.deployment_key.as_ref())
    }
}

impl Receipt {
    /// Of a use whose secret was opened.
    pub(crate) fn of(intent: &Intent) -> Result<Self, Problem> {
        let (Some(kms), Some(version)) = (&intent.kms, intent.entry.version) else {
            return Err(Problem::new(Code::Internal).from_source("a use without an unwrap"));
        };
        Ok(Self {
            id: intent.entry.id,
            kms: kms.clone(),
            version,
            milliseconds: intent.milliseconds(),
        })
    }
}

/// Stores that a use ended with a problem.
async fn failed(mut intent: Intent, problem: Problem) -> Problem {
    intent.finish(problem.code().as_str()).await;
    problem
}

/// The earlier version that was asked for.
pub(crate) fn earlier(records: &Records) -> Result<&StoredVersion, Problem> {
    match &records.version {
        Some(EarlierVersion::Stored(stored)) => Ok(stored),
        Some(EarlierVersion::Revoked { .. }) => Err(Problem::new(Code::VersionRevoked)),
        None => Err(Problem::new(Code::NotFound)),
    }
}

fn policy(stored: &StoredVersion) -> Result<Policy, Problem> {
    Policy::from_canonical(&stored.policy).map_err(|error| {
        Problem::new(Code::IntegrityFailure)
            .from_source(format!("a stored policy is not canonical: {}", error.rule))
    })
}

/// Why a request did not come back with an answer, in the API's words.
pub(crate) fn upstream(error: EgressError) -> Problem {
    let (code, detail) = match error {
        EgressError::AddressDenied(_) => (
            Code::DestinationDenied,
            "The destination's address may not be dialled.",
        ),
        EgressError::Resolve => (
            Code::UpstreamUnreachable,
            "The destination's name could not be resolved.",
        ),
        EgressError::Connect => (Code::UpstreamUnreachable, "No connection came about."),
        EgressError::Tls => (
            Code::UpstreamUnreachable,
            "No trusted TLS session with the destination could be made.",
        ),
        EgressError::Protocol => (
            Code::UpstreamUnreachable,
            "The upstream's answer was not proper HTTP, or broke off.",
        ),
        EgressError::ConnectTimeout => (Code::UpstreamTimeout, "No connection stood in time."),
        EgressError::FirstByteTimeout => (
            Code::UpstreamTimeout,
            "The upstream did not begin to answer in time.",
        ),
        EgressError::Timeout => (
            Code::UpstreamTimeout,
            "The upstream did not come to an end in time.",
        ),
        EgressError::TooLarge => (Code::TooLarge, "The upstream's answer is too large."),
        EgressError::RequestTooLarge => (Code::TooLarge, "The request's body is too large."),
        EgressError::RequestBroken => (
            Code::InvalidRequest,
            "The request's body broke off, or is not of the length that was announced.",
        ),
        EgressError::Unscrubbable => (
            Code::ResponseUnscrubbable,
            "The upstream's answer cannot be searched for the secret.",
        ),
    };
    Problem::new(code).because(detail).from_source(error)
}
