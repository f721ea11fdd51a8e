//! A request's body on its way out.
//!
//! Whole or streaming, it goes through [`Outgoing`], which holds a stream to its
//! declared length, to a limit, and to a pace; and tells [`Upload`] how it went, since
//! hyper says of a body's failure only that there was one.

use crate::{EgressError, request::RequestBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A caller's body that goes on as it arrives.
pub struct RequestStream {
    body: UnsyncBoxBody<Bytes, Broken>,
    length: Option<u64>,
}

/// The caller's body broke off. Why is the caller's business.
struct Broken;

impl RequestStream {
    /// Takes a body, and its length in bytes if that was declared: then it goes out
    /// with a `Content-Length`, otherwise chunked. Trailers are not passed on.
    pub fn new<B>(body: B, length: Option<u64>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        Self {
            body: body.map_err(|_| Broken).boxed_unsync(),
            length,
        }
    }

    /// The length that was declared, in bytes.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

/// How a body's sending goes, as far as its connection has asked for it.
pub(crate) struct Upload(Mutex<State>);

#[derive(Clone, Copy)]
struct State {
    /// When a piece of it went last; at first, when the connection stood.
    moved: Instant,
    /// The next piece is the caller's to give.
    waits_for_caller: bool,
    failed: Option<EgressError>,
}

impl Upload {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            moved: Instant::now(),
            waits_for_caller: false,
            failed: None,
        })))
    }

    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What went wrong with the body, if anything did.
    pub(crate) fn failed(&self) -> Option<EgressError> {
        self.state().failed
    }

    /// From when on the upstream is waited for.
    pub(crate) fn moved(&self) -> Instant {
        let state = self.state();
        if state.waits_for_caller {
            Instant::now()
        } else {
            state.moved
        }
    }
}

/// The body as hyper takes it.
pub(crate) struct Outgoing {
    body: Kind,
    /// How many bytes may still come; of a declared length, how many must.
    left: u64,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    upload: Arc<Upload>,
}

enum Kind {
    Whole(Option<Bytes>),
    Streamed(RequestStream),
}

impl Outgoing {
    /// A body of at most `limit` bytes, between whose pieces the caller may let `idle`
    /// pass.
    ///
    /// # Errors
    /// It is known to be longer.
    pub(crate) fn new(
        body: RequestBody,
        limit: u64,
        idle: Duration,
    ) -> Result<(Self, Arc<Upload>), EgressError> {
        let (body, length) = match body {
            RequestBody::Whole(body) => {
                let length = body.len() as u64;
                (
                    Kind::Whole(Some(body).filter(|it| !it.is_empty())),
                    Some(length),
                )
            }
            RequestBody::Streamed(stream) => {
                let length = stream.length;
                (Kind::Streamed(stream), length)
            }
        };
        if length.is_some_and(|length| length > limit) {
            return Err(EgressError::RequestTooLarge);
        }
        let upload = Upload::new();
        let outgoing = Self {
            body,
            left: length.unwrap_or(limit),
            idle,
            waiting: None,
            upload: upload.clone(),
        };
        Ok((outgoing, upload))
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, EgressError>> {
        let Kind::Streamed(stream) = &mut self.body else {
            return Poll::Ready(Ok(None));
        };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut stream.body).poll_frame(cx) else {
                if self.waiting.is_none() {
                    self.upload.change(|state| state.waits_for_caller = true);
                }
                let idle = self.idle;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
                return waiting
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(EgressError::RequestBroken));
            };
            self.waiting = None;
            let data = match frame {
                None if stream.length.is_some() && self.left > 0 => {
                    return Poll::Ready(Err(EgressError::RequestBroken));
                }
                None => return Poll::Ready(Ok(None)),
                Some(Err(Broken)) => return Poll::Ready(Err(EgressError::RequestBroken)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(data) = data else {
                continue;
            };
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                return Poll::Ready(Err(match stream.length {
                    Some(_) => EgressError::RequestBroken,
                    None => EgressError::RequestTooLarge,
                }));
            };
            self.left = left;
            return Poll::Ready(Ok(Some(Frame::data(data))));
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = self.get_mut();
        let polled = match &mut this.body {
            Kind::Whole(body) => Poll::Ready(Ok(body.take().map(Frame::data))),
            Kind::Streamed(_) => this.poll_stream(cx),
        };
        polled.map(|frame| {
            this.upload.change(|state| {
                state.moved = Instant::now();
                state.waits_for_caller = false;
                state.failed = state.failed.or(frame.as_ref().err().copied());
            });
            frame.transpose()
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.body, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Kind::Streamed(RequestStream {
                length: Some(_), ..
            }) => SizeHint::with_exact(self.left),
            Kind::Streamed(_) => SizeHint::default(),
        }
    }
}
