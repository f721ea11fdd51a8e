//! What came back, on its one way out.

use crate::{EgressError, headers};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until},
};

/// An upstream's answer, its body still to be read.
///
/// Its headers and body come out through [`pass_on`](Self::pass_on) alone.
pub struct UpstreamAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: UpstreamBody,
}

/// An upstream's answer, read to its end.
pub struct CollectedAnswer {
    /// Its status; a redirect is a status like any other.
    pub status: StatusCode,
    /// Its headers, without those of the connection and of its length.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// The body of an answer as it arrives. Ends with an error when it is over the
/// limit, takes too long or breaks off. Trailers do not pass. Dropping it closes
/// the connection to the upstream.
pub struct UpstreamBody {
    /// `None` once the body has ended, one way or the other.
    upstream: Option<(Incoming, Driver)>,
    /// How many bytes may still come.
    left: usize,
    deadline: Pin<Box<Sleep>>,
    outlet: Outlet,
}

impl UpstreamAnswer {
    /// Takes an answer's head. One that declares a body over the limit is refused
    /// before any of it is read.
    pub(crate) fn new(
        answer: Response<Incoming>,
        method: &Method,
        driver: Driver,
        body_limit: usize,
        deadline: Instant,
    ) -> Result<Self, EgressError> {
        let (head, incoming) = answer.into_parts();
        if incoming.size_hint().lower() > body_limit as u64 {
            return Err(EgressError::TooLarge);
        }
        let mut headers = head.headers;
        headers::strip_hop_by_hop(&mut headers);
        // The broker's own headers are the broker's to set.
        headers::remove_where(&mut headers, headers::is_brokers);
        // Who writes the answer anew frames it anew; only to HEAD the length is news.
        if method != Method::HEAD {
            headers.remove(CONTENT_LENGTH);
        }
        let upstream = (!incoming.is_end_stream()).then_some((incoming, driver));
        let deadline = Box::pin(sleep_until(deadline));
        let body = UpstreamBody {
            upstream,
            left: body_limit,
            deadline,
            outlet: Outlet,
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
    pub fn pass_on(mut self) -> Result<(StatusCode, HeaderMap, UpstreamBody), EgressError> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let bytes = Bytes::copy_from_slice(value.as_bytes());
            let passed = self.body.outlet.pass(Piece::Header, bytes)?;
            let value =
                HeaderValue::from_maybe_shared(passed).map_err(|_| EgressError::Protocol)?;
            headers.append(name.clone(), value);
        }
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
            let frame = match ready!(Pin::new(incoming).poll_frame(cx)) {
                None => break this.outlet.pass(Piece::End, Bytes::new()),
                Some(Err(_)) => break Err(EgressError::Protocol),
                Some(Ok(frame)) => frame,
            };
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            let Some(left) = this.left.checked_sub(chunk.len()) else {
                break Err(EgressError::TooLarge);
            };
            this.left = left;
            match this.outlet.pass(Piece::Chunk, chunk) {
                Ok(passed) if passed.is_empty() => {}
                Ok(passed) => return Poll::Ready(Some(Ok(Frame::data(passed)))),
                Err(error) => break Err(error),
            }
        };
        this.upstream = None;
        Poll::Ready(match end {
            Ok(rest) if rest.is_empty() => None,
            end => Some(end.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none()
    }
}

/// Which piece of an answer is on its way.
enum Piece {
    /// The value of a header.
    Header,
    /// The next bytes of the body.
    Chunk,
    /// The body has ended: what was held back comes out now.
    End,
}

/// The one way from an upstream to a caller. Every header value and every byte of
/// a body passes here, in order: the place of a scrubber, which may hold bytes back
/// and give them at a later piece. Today it changes nothing.
struct Outlet;

impl Outlet {
    fn pass(&mut self, piece: Piece, bytes: Bytes) -> Result<Bytes, EgressError> {
        match piece {
            Piece::Header | Piece::Chunk | Piece::End => Ok(bytes),
        }
    }
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
