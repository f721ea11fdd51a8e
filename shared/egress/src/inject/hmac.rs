//! A signature over parts of the request, keyed by the secret (RFC 2104).

use super::{Draft, InjectError, Source, header, joined, source::MASK};
use crate::{
    policy::{HmacAlgorithm, HmacEncoding, HmacSlot, Mark, Piece, Template, TimestampForm},
    request::RequestBody,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use time::{OffsetDateTime, UtcOffset, macros::format_description};
use zeroize::Zeroizing;

/// Signs the request as it stands: all that carries a secret itself is in its place.
pub(super) fn sign(
    slot: &HmacSlot,
    field: Option<&str>,
    draft: &mut Draft,
    source: &Source<'_>,
    now: OffsetDateTime,
) -> Result<(), InjectError> {
    let key = source.value(field)?;
    let timestamp = match slot.timestamp() {
        None => String::new(),
        Some(timestamp) => written(now, timestamp.form())?,
    };
    if let RequestBody::Streamed(_) = draft.body
        && slot.signs_body()
    {
        return Err(InjectError::StreamedBody);
    }
    let signature = if key.is_mask() {
        Zeroizing::new(MASK.as_bytes().to_vec())
    } else {
        let parts: Vec<Part<'_>> = parts(slot.message(), draft, &timestamp);
        match slot.algorithm() {
            HmacAlgorithm::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes())
                    .expect("HMAC takes a key of any length");
                parts.iter().for_each(|part| mac.update(part.bytes()));
                encoded(slot.encoding(), &mac.finalize().into_bytes())
            }
            HmacAlgorithm::Sha512 => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key.bytes())
                    .expect("HMAC takes a key of any length");
                parts.iter().for_each(|part| mac.update(part.bytes()));
                encoded(slot.encoding(), &mac.finalize().into_bytes())
            }
        }
    };
    let filled: Vec<&[u8]> = slot
        .format()
        .pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Mark(Mark::Signature) => &signature,
            Piece::Mark(_) => timestamp.as_bytes(),
        })
        .collect();
    header::set(&mut draft.headers, slot.header().clone(), joined(&filled))?;
    if let Some(name) = slot.timestamp().and_then(|it| it.header()) {
        let value = joined(&[timestamp.as_bytes()]);
        header::set(&mut draft.headers, name.clone(), value)?;
    }
    draft.secrets.push(key.into_bytes());
    draft.derived.push(signature);
    Ok(())
}

/// A part of the message.
enum Part<'a> {
    Given(&'a [u8]),
    Made(Zeroizing<Vec<u8>>),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

fn parts<'a>(message: &'a Template, draft: &'a Draft, timestamp: &'a str) -> Vec<Part<'a>> {
    message
        .pieces()
        .iter()
        .map(|piece| {
            Part::Given(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Mark(Mark::Method) => draft.method.as_str().as_bytes(),
                Piece::Mark(Mark::Host) => draft.url.authority().as_bytes(),
                Piece::Mark(Mark::Path) => draft.target.path(),
                Piece::Mark(Mark::Query) => draft.target.query().unwrap_or_default(),
                Piece::Mark(Mark::Target) => return Part::Made(draft.target.whole()),
                Piece::Mark(Mark::Body) => match &draft.body {
                    RequestBody::Whole(body) => body,
                    RequestBody::Streamed(_) => b"",
                },
                Piece::Mark(Mark::Timestamp) => timestamp.as_bytes(),
                // No message has it: the policy was refused.
                Piece::Mark(Mark::Signature) => b"",
            })
        })
        .collect()
}

fn encoded(encoding: HmacEncoding, mac: &[u8]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    Zeroizing::new(match encoding {
        HmacEncoding::Hex => mac
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| DIGITS[usize::from(digit)])
            .collect(),
        HmacEncoding::Base64 => BASE64_STANDARD.encode(mac).into_bytes(),
    })
}

fn written(now: OffsetDateTime, form: TimestampForm) -> Result<String, InjectError> {
    Ok(match form {
        TimestampForm::Unix => now.unix_timestamp().to_string(),
        TimestampForm::UnixMs => (now.unix_timestamp_nanos() / 1_000_000).to_string(),
        TimestampForm::Rfc3339 => now
            .to_offset(UtcOffset::UTC)
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second]Z"
            ))
            .map_err(|_| InjectError::NotInjectable)?,
    })
}
