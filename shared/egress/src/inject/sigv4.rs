//! AWS's Signature Version 4, in headers.

use super::{Draft, ENCODED, InjectError, Source, header, joined, source::MASK};
use crate::{headers, policy::SigV4Slot, request::RequestBody};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign as signed,
    },
    sign::v4::SigningParams,
};
use http::{
    HeaderName,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use percent_encoding::{percent_decode, percent_encode};
use std::time::SystemTime;
use time::OffsetDateTime;
use zeroize::Zeroizing;

const SECURITY_TOKEN: &str = "x-amz-security-token";

/// Headers by which a client signs: its own are not the broker's.
const OF_A_SIGNATURE: [&str; 10] = [
    "authorization",
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-region-set",
    "x-amz-s3session-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Parameters by which a URL is signed: a request has one signature or another.
const OF_A_SIGNED_URL: [&str; 8] = [
    "AWSAccessKeyId",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// Signs the request as it stands, which goes out as it stands. Signed are the host,
/// the type of the body, and every `x-amz-` header.
pub(super) fn sign(
    slot: &SigV4Slot,
    draft: &mut Draft,
    source: &Source<'_>,
    now: OffsetDateTime,
) -> Result<(), InjectError> {
    let access = source.value(Some(slot.access_key_id()))?;
    let key = source.value(Some(slot.secret_access_key()))?;
    let token = match slot.session_token() {
        None => None,
        Some(pointer) => Some(source.value(Some(pointer))?),
    };
    discard(draft)?;
    let text = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| InjectError::NotInjectable)
    };
    // It stands in a list that commas and slashes cut.
    let is_id = |b: &u8| b.is_ascii_alphanumeric();
    if !access.is_mask() && !access.bytes().iter().all(is_id) {
        return Err(InjectError::NotInjectable);
    }
    let credentials = Credentials::new(
        text(access.bytes())?,
        text(key.bytes())?,
        token.as_ref().map(|it| text(it.bytes())).transpose()?,
        None,
        "policy",
    );
    let body = match &draft.body {
        RequestBody::Whole(body) => SignableBody::Bytes(body),
        RequestBody::Streamed(_) if slot.unsigned_payload() => SignableBody::UnsignedPayload,
        RequestBody::Streamed(_) => return Err(InjectError::StreamedBody),
    };
    let mut settings = SigningSettings::default();
    if slot.is_s3() {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(slot.region())
        .name(slot.service())
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .map_err(|_| InjectError::NotInjectable)?
        .into();
    let mut to_sign = vec![("host", draft.url.authority())];
    for (name, value) in &draft.headers {
        if name == CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            to_sign.push((
                name.as_str(),
                value.to_str().map_err(|_| InjectError::NoSlot)?,
            ));
        }
    }
    let uri = url_to_sign(slot, draft)?;
    let request = SignableRequest::new(draft.method.as_str(), &*uri, to_sign.into_iter(), body)
        .map_err(|_| InjectError::NotInjectable)?;
    let (made, _) = signed(request, &params)
        .map_err(|_| InjectError::NotInjectable)?
        .into_parts();
    let mut signature = Zeroizing::default();
    for made in made.into_parts().0 {
        let name = HeaderName::from_static(made.name());
        let value = if name == AUTHORIZATION {
            let (before, after) = made
                .value()
                .split_once("Signature=")
                .ok_or(InjectError::NotInjectable)?;
            let after = if key.is_mask() { MASK } else { after };
            signature = joined(&[after.as_bytes()]);
            joined(&[before.as_bytes(), b"Signature=", after.as_bytes()])
        } else {
            joined(&[made.value().as_bytes()])
        };
        header::set(&mut draft.headers, name, value)?;
    }
    draft.secrets.push(key.into_bytes());
    draft.secrets.extend(token.map(super::Value::into_bytes));
    draft.derived.push(signature);
    Ok(())
}

/// Takes out what the client signed with.
fn discard(draft: &mut Draft) -> Result<(), InjectError> {
    if OF_A_SIGNED_URL
        .iter()
        .any(|name| draft.target.has_parameter(name))
    {
        return Err(InjectError::SlotTaken);
    }
    // Its chunks are signed one by one, each with the client's key.
    let is_chunked = |value: &http::HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        value
            .split(|b| *b == b',')
            .any(|name| name.trim_ascii() == b"aws-chunked")
    };
    if draft
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(is_chunked)
    {
        return Err(InjectError::NoSlot);
    }
    headers::remove_where(&mut draft.headers, |name| {
        let name = name.as_str().replace('_', "-");
        name == SECURITY_TOKEN || OF_A_SIGNATURE.contains(&&*name)
    });
    Ok(())
}

/// The URL as it is signed. S3 signs a path whose every byte but the unreserved ones and
/// the slash is percent-encoded, however it came; the others sign it as it came, encoded
/// once more.
fn url_to_sign(slot: &SigV4Slot, draft: &Draft) -> Result<Zeroizing<String>, InjectError> {
    let target = if slot.is_s3() {
        let segments: Vec<String> = draft
            .target
            .path()
            .split(|b| *b == b'/')
            .map(|segment| {
                let decoded: Vec<u8> = percent_decode(segment).collect();
                percent_encode(&decoded, &ENCODED).to_string()
            })
            .collect();
        let path = segments.join("/");
        match draft.target.query() {
            None => joined(&[path.as_bytes()]),
            Some(query) => joined(&[path.as_bytes(), b"?", query]),
        }
    } else {
        draft.target.whole()
    };
    let target = std::str::from_utf8(&target).map_err(|_| InjectError::NotInjectable)?;
    Ok(Zeroizing::new(format!(
        "{}://{}{target}",
        draft.url.scheme().as_str(),
        draft.url.authority()
    )))
}
