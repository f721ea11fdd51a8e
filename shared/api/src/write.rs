//! What every write takes in its headers: `If-Match` and `If-None-Match`
//! (RFC 9110, section 13.1), and `Idempotency-Key`.
//!
//! An `Idempotency-Key` makes the same request twice one change: its record is
//! written in the change's own transaction, holds the answer, and counts for 24
//! hours. What tells one request from another is an HMAC keyed by the raw token,
//! which is stored nowhere, so that it tells a table's thief nothing.

use crate::{Admitted, Call, Caller, Code, Problem, json};
use axum::response::Response;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use store::{IdempotencyRecord, Revision};
use time::Duration;

/// How long an `Idempotency-Key` is remembered.
const REMEMBERED: Duration = Duration::hours(24);

/// What tells a request from another under the same `Idempotency-Key`.
pub type Fingerprint = [u8; 32];

/// `If-Match: "<revision>"` or `If-None-Match: *`.
pub struct Preconditions {
    revision: Option<u64>,
    absent: bool,
}

impl Preconditions {
    /// Takes them from a request.
    ///
    /// # Errors
    /// `invalid_request`, naming the header.
    pub fn of(call: &Call) -> Result<Self, Problem> {
        let revision = match call.header("if-match")? {
            None => None,
            Some(tag) => Some(
                tag.strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .and_then(|number| number.parse().ok())
                    .ok_or_else(|| Problem::invalid("if-match", "the ETag of an earlier answer"))?,
            ),
        };
        let absent = match call.header("if-none-match")? {
            None => false,
            Some("*") => true,
            Some(_) => return Err(Problem::invalid("if-none-match", "*")),
        };
        Ok(Self { revision, absent })
    }

    /// Holds them against the revision of what is there; `None` is nothing.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn hold(&self, there: Option<Revision>) -> Result<(), Problem> {
        let matches = self
            .revision
            .is_none_or(|wanted| there.is_some_and(|there| there.number() == wanted));
        if matches && !(self.absent && there.is_some()) {
            Ok(())
        } else {
            Err(Problem::new(Code::PreconditionFailed))
        }
    }

    /// Whether any was asked for.
    #[must_use]
    pub fn any(&self) -> bool {
        self.absent || self.revision.is_some()
    }
}

/// The request's `Idempotency-Key`: 1 to 255 visible characters of the caller's choice.
///
/// # Errors
/// `invalid_request`.
pub fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    match call.header("idempotency-key")? {
        Some(key) if !(1..=255).contains(&key.len()) => {
            Err(Problem::invalid("idempotency-key", "1 to 255 characters"))
        }
        key => Ok(key.map(str::to_owned)),
    }
}

impl Caller {
    /// An HMAC-SHA-256 over the parts of a request, each prefixed by its length, keyed
    /// by the caller's raw token. The first part names the kind of request.
    #[must_use]
    pub fn fingerprint(&self, parts: &[&[u8]]) -> Fingerprint {
        // EXPOSE: both go into the MAC and nowhere else.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.token.text().expose_secret())
            .expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The answer that a record remembers.
    ///
    /// # Errors
    /// `integrity_failure`: the record is not one that was made for this caller's token, as
    /// it stands; `conflict`: it is of a different request.
    pub fn replay(
        &self,
        known: &IdempotencyRecord,
        fingerprint: &Fingerprint,
    ) -> Result<Response, Problem> {
        let broken = || {
            Problem::new(Code::IntegrityFailure)
                .from_source("an idempotency record is not what was stored")
        };
        if known.answer_mac != self.answer_mac(known) {
            return Err(broken());
        }
        if known.fingerprint != *fingerprint {
            return Err(Problem::new(Code::Conflict)
                .because("This Idempotency-Key was used for a different request."));
        }
        let status = StatusCode::from_u16(known.status).map_err(|_| broken())?;
        let answer: &RawValue = serde_json::from_str(&known.answer).map_err(|_| broken())?;
        let mut response = if status == StatusCode::NO_CONTENT {
            no_content()
        } else {
            json(status, answer)
        };
        if let Some(tag) = &known.etag {
            let tag = HeaderValue::from_str(tag).map_err(|_| broken())?;
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    /// What vouches for a record of an `Idempotency-Key`: nobody but the token's bearer
    /// can make it, and nothing of the record is left out.
    fn answer_mac(&self, record: &IdempotencyRecord) -> [u8; 32] {
        self.fingerprint(&[
            b"byok/v1/answer",
            record.id.as_str().as_bytes(),
            &record.fingerprint,
            &record.status.to_be_bytes(),
            record.answer.as_bytes(),
            record.etag.as_deref().unwrap_or_default().as_bytes(),
            &record.expires_at.unix_timestamp().to_be_bytes(),
        ])
    }
}

impl Call {
    /// The fingerprint of this request as it stands: method, path, `If-Match` and body.
    #[must_use]
    pub fn fingerprint(&self, caller: &Caller, body: &[u8]) -> Fingerprint {
        let if_match = self.headers.get(header::IF_MATCH);
        caller.fingerprint(&[
            b"byok/v1/request",
            self.method.as_str().as_bytes(),
            self.uri.path().as_bytes(),
            if_match.map_or(b"", HeaderValue::as_bytes),
            body,
        ])
    }
}

impl Admitted {
    /// The answer that the same request had before, if it had one.
    ///
    /// # Errors
    /// `conflict`: the key was used for a different request.
    pub fn replayed(&self, fingerprint: &Fingerprint) -> Result<Option<Response>, Problem> {
        let known = self.records.idempotency.as_ref();
        let Some(known) = known.filter(|known| !known.is_expired(self.now)) else {
            return Ok(None);
        };
        self.caller.replay(known, fingerprint).map(Some)
    }

    /// The record of this request's `Idempotency-Key`, if it has one, with its answer.
    #[must_use]
    pub fn remember(
        &self,
        fingerprint: Fingerprint,
        status: StatusCode,
        answer: &impl Serialize,
        etag: Option<Revision>,
    ) -> Option<IdempotencyRecord> {
        let mut record = IdempotencyRecord {
            id: self.idempotency.clone()?,
            fingerprint,
            status: status.as_u16(),
            answer: serde_json::to_string(answer).unwrap_or_default(),
            etag: etag.map(tag),
            answer_mac: [0; 32],
            expires_at: self.now + REMEMBERED,
        };
        record.answer_mac = self.caller.answer_mac(&record);
        Some(record)
    }
}

/// An answer in JSON with the revision that it tells as its `ETag`.
pub fn json_at(status: StatusCode, body: impl Serialize, revision: Revision) -> Response {
    let mut response = json(status, body);
    if let Ok(tag) = HeaderValue::from_str(&tag(revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// An answer without a body.
#[must_use]
pub fn no_content() -> Response {
    let mut response = json(StatusCode::NO_CONTENT, ());
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

fn tag(revision: Revision) -> String {
    format!("\"{}\"", revision.number())
}
