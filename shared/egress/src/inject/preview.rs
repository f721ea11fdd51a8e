//! What would be sent, without any secret.

use super::{InjectError, Source, fill};
use crate::{OutboundRequest, Policy, request::RequestBody};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_LENGTH, HOST},
};
use time::OffsetDateTime;

/// A request as it would go out, [`MASK`](crate::MASK) wherever the secret, a field of
/// it or a signature would stand.
///
/// It has no Debug: a caller's headers and body are nobody's business.
pub struct Preview {
    /// Its method.
    pub method: Method,
    /// Its URL; the mask stands in it as it is, not percent-encoded.
    pub url: String,
    /// All of its headers, `Host` among them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: PreviewBody,
}

/// The body of a [`Preview`].
pub enum PreviewBody {
    /// All of it.
    Whole(Bytes),
    /// It would stream, and this is the length that was declared.
    Streamed(Option<u64>),
}

/// What [`inject`](super::inject) would make of a request at the time `now`, by the very
/// same steps, for any secret that suits the policy.
///
/// # Errors
/// See [`InjectError`].
pub fn preview(
    policy: &Policy,
    request: OutboundRequest,
    now: OffsetDateTime,
) -> Result<Preview, InjectError> {
    let request = policy.restrict(request)?;
    let destination = policy.judge(&request.method, &request.url)?;
    let draft = fill(policy, destination, request, &Source::Mask, now)?;
    let mut headers = HeaderMap::with_capacity(draft.headers.len() + 2);
    let host =
        HeaderValue::from_str(draft.url.authority()).map_err(|_| InjectError::NotInjectable)?;
    headers.insert(HOST, host);
    headers.extend(draft.headers);
    let body = match draft.body {
        RequestBody::Whole(body) => {
            if !body.is_empty() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            }
            PreviewBody::Whole(body)
        }
        RequestBody::Streamed(stream) => PreviewBody::Streamed(stream.length()),
    };
    Ok(Preview {
        method: draft.method,
        url: format!(
            "{}://{}{}",
            draft.url.scheme().as_str(),
            draft.url.authority(),
            draft.target.finished()?
        ),
        headers,
        body,
    })
}
