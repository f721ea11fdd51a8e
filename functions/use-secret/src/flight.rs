//! A pass-through's answer on its way to the caller: the upstream's body, scrubbed as it
//! passes, and with it the record of the use, which ends when the body does.
//!
//! ```text
//! the body ends               outcome ok, stored before the caller hears of the end
//! it breaks                   outcome the code; the caller's stream is broken off, never ended
//! the caller goes away        dropped: outcome cancelled; the upstream's connection is closed
//! ```

use crate::{bulkhead::Seat, intent::Intent, perform::upstream};
use bytes::Bytes;
use egress::{EgressError, UpstreamBody};
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tracing::Span;

/// The body of an answer, with all that has to last as long as it does.
pub(crate) struct Flight {
    body: UpstreamBody,
    state: State,
    span: Span,
    /// Given back when the body is gone.
    _seat: Seat,
}

enum State {
    Passing(Box<Intent>),
    /// The outcome is being stored; then comes what is last.
    Ending(BoxFuture<'static, ()>, Option<Last>),
    Over,
}

type Last = Result<Frame<Bytes>, EgressError>;

impl Flight {
    /// Takes off. A body that has nothing to say is over at once, and its outcome stored.
    pub(crate) async fn begin(body: UpstreamBody, mut intent: Intent, seat: Seat) -> Self {
        let state = if body.is_end_stream() {
            intent.finish("ok").await;
            State::Over
        } else {
            State::Passing(Box::new(intent))
        };
        Self {
            body,
            state,
            span: Span::current(),
            _seat: seat,
        }
    }

    fn end(&mut self, last: Option<Last>) {
        let State::Passing(mut intent) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let code = match &last {
            Some(Err(error)) => {
                let problem = upstream(*error);
                self.span.in_scope(|| problem.log());
                problem.code().as_str()
            }
            Some(Ok(_)) | None => "ok",
        };
        let store = async move { intent.finish(code).await };
        self.state = State::Ending(Box::pin(store), last);
    }
}

impl Body for Flight {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Ending(stored, last) => {
                    ready!(stored.as_mut().poll(cx));
                    let last = last.take();
                    this.state = State::Over;
                    return Poll::Ready(last);
                }
                State::Passing(_) => match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                    Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                    // Trailers are the last of a body: who has them asks for no more.
                    last => this.end(last),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Never known, not even of nothing: an answer to HEAD, a 204 or a 304 has no length
    /// that the framework could tell.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
