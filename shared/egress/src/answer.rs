//! What came back, on its one way out.

use crate::{EgressError, headers, outlet::Outlet, scrub::Patterns, upload::Upload};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// An upstream's answer, its body still to be read.
///
/// Its headers and body come out through [`pass_on`](Self::pass_on) alone, and so
/// through the scrubber.
pub struct UpstreamAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: UpstreamBody,
}

/// An upstream's answer, read to its end.
pub struct CollectedAnswer {
    /// Its status; a redirect is a status like any other.
    pub status: StatusCode,
    /// Its headers, without those of the connection, of its length and its encoding.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// What an exchange leaves for the body of its answer.
pub(crate) struct Rest {
    pub(crate) driver: Driver,
    /// The request's body may still be under way.
    pub(crate) upload: Arc<Upload>,
    /// How many bytes of body may come.
    pub(crate) limit: usize,
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
}

/// The body of an answer as it arrives, decoded and scrubbed, and its trailers. Ends
/// with an error when it is over the limit, takes too long, breaks off or cannot be
/// scrubbed. Dropping it closes the connection to the upstream.
pub struct UpstreamBody {
    /// `None` once the body has ended, one way or the other.
    upstream: Option<(Incoming, Driver)>,
    /// How many bytes may still come.
    left: usize,
    /// Came with the last of the body, and leave after it.
    trailers: Option<HeaderMap>,
    upload: Arc<Upload>,
    deadline: Pin<Box<Sleep>>,
    idle: Duration,
    /// Runs while the upstream is waited for: a caller that takes its time is not its fault.
    waiting: Option<Pin<Box<Sleep>>>,
    outlet: Outlet,
}

impl UpstreamAnswer {
    /// Takes an answer's head. One that declares a body over the limit is refused
    /// before any of it is read.
    pub(crate) fn new(
        answer: Response<Incoming>,
        method: &Method,
        rest: Rest,
        patterns: Arc<Patterns>,
    ) -> Result<Self, EgressError> {
        let Rest {
            driver,
            upload,
            limit: body_limit,
            idle,
            deadline,
        } = rest;
        let (head, incoming) = answer.into_parts();
        if incoming.size_hint().lower() > body_limit as u64 {
            return Err(EgressError::TooLarge);
        }
        let mut headers = head.headers;
        // A part of an answer may begin or end in the middle of the secret. Nobody asked for one.
        if head.status == StatusCode::PARTIAL_CONTENT || is_encoded_in_transfer(&headers) {
            return Err(EgressError::Unscrubbable);
        }
        // Without a body there is nothing to decode.
        let has_body = !incoming.is_end_stream();
        let outlet = Outlet::new(patterns, has_body.then_some(&headers), body_limit)?;
        if outlet.decodes() {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        headers::strip_hop_by_hop(&mut headers);
        // The broker's own headers are the broker's to set.
        headers::remove_where(&mut headers, headers::is_brokers);
        // Who writes the answer anew frames it anew; only to HEAD the length is news.
        if method != Method::HEAD {
            headers.remove(CONTENT_LENGTH);
        }
        let upstream = has_body.then_some((incoming, driver));
        let deadline = Box::pin(sleep_until(deadline));
        let body = UpstreamBody {
            upstream,
            left: body_limit,
            trailers: None,
            upload,
            deadline,
            idle,
            waiting: None,
            outlet,
        };
        Ok(Self {
            status: head.status,
            headers,
            body,
        })
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer as it goes on to the caller.
    ///
    /// # Errors
    /// A header's value cannot be passed on.
    pub fn pass_on(self) -> Result<(StatusCode, HeaderMap, UpstreamBody), EgressError> {
        let headers = self.body.outlet.headers(&self.headers)?;
        Ok((self.status, headers, self.body))
    }

    /// The whole answer as it goes on to the caller.
    ///
    /// # Errors
    /// The body breaks off, takes too long, or is over `limit` bytes or the
    /// dialler's own limit.
    pub async fn collect(self, limit: usize) -> Result<CollectedAnswer, EgressError> {
        let (status, headers, mut body) = self.pass_on()?;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else {
                continue;
            };
            if chunk.len() > limit - whole.len() {
                return Err(EgressError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(CollectedAnswer {
            status,
            headers,
            body: whole.freeze(),
        })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = self.get_mut();
        let end = loop {
            let Some((incoming, _)) = &mut this.upstream else {
                return Poll::Ready(None);
            };
            // First, or an upstream that always has one more byte would never run out of time.
            if this.deadline.as_mut().poll(cx).is_ready() {
                break Err(EgressError::Timeout);
            }
            match this.outlet.pull() {
                Ok(Some(passed)) => return Poll::Ready(Some(Ok(Frame::data(passed)))),
                Ok(None) if this.outlet.is_over() => break Ok(this.trailers.take()),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
                let idle = this.idle;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
                match waiting.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => break Err(EgressError::Timeout),
                }
            };
            this.waiting = None;
            let frame = match frame {
                None => {
                    this.outlet.end();
                    continue;
                }
                Some(Err(_)) => break Err(this.upload.failed().unwrap_or(EgressError::Protocol)),
                Some(Ok(frame)) => frame,
            };
            let chunk = match frame.into_data() {
                Ok(chunk) => chunk,
                Err(frame) => {
                    match this.take_trailers(frame) {
                        Ok(()) => continue,
                        Err(error) => break Err(error),
                    };
                }
            };
            let Some(left) = this.left.checked_sub(chunk.len()) else {
                break Err(EgressError::TooLarge);
            };
            this.left = left;
            if let Err(error) = this.outlet.push(chunk) {
                break Err(error);
            }
        };
        this.upstream = None;
        Poll::Ready(match end {
            Ok(None) => None,
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none()
    }
}

impl UpstreamBody {
    /// Keeps the trailers for the end of the body, reduced and scrubbed as headers are.
    fn take_trailers(&mut self, frame: Frame<Bytes>) -> Result<(), EgressError> {
        if let Ok(mut trailers) = frame.into_trailers() {
            headers::strip_hop_by_hop(&mut trailers);
            // A trailer must not say what a header should have said (RFC 9110, section 6.5.1).
            headers::remove_where(&mut trailers, |name| {
                headers::is_brokers(name) || [CONTENT_ENCODING, CONTENT_LENGTH].contains(name)
            });
            let trailers = self.outlet.headers(&trailers)?;
            self.trailers = (!trailers.is_empty()).then_some(trailers);
        }
        Ok(())
    }
}

/// Whether an answer is compressed on its way alone (RFC 9112, section 7): nobody
/// undoes that, and no other header says it.
fn is_encoded_in_transfer(headers: &HeaderMap) -> bool {
    headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|name| !name.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The task that drives a connection; it ends with its owner, and closes the
/// connection with it.
pub(crate) struct Driver(JoinHandle<()>);

impl Driver {
    pub(crate) fn spawn<F>(connection: F) -> Self
    where
        F: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        // What goes wrong on the connection comes out at the request or the body.
        Self(tokio::spawn(async move { drop(connection.await) }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
