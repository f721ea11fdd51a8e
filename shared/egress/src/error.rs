//! Why a request did not come back with an answer.

use crate::AddressDenied;

/// A use that failed on its way out or back. Holds no URL, no secret and no
/// text of the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The host, or one of the addresses that it resolved to, may not be dialled.
    #[error("the address may not be dialled: {0}")]
    AddressDenied(#[from] AddressDenied),
    /// The host's name could not be resolved, or to nothing.
    #[error("the name could not be resolved")]
    Resolve,
    /// No TCP connection came about.
    #[error("the upstream could not be connected to")]
    Connect,
    /// No TLS session came about: wrong certificate, name, version or protocol.
    #[error("no trusted TLS session could be made")]
    Tls,
    /// No connection stood in time; nothing had been sent.
    #[error("the upstream could not be connected to in time")]
    ConnectTimeout,
    /// The answer's head did not come in time, counted from where the request had gone out.
    #[error("the upstream did not begin to answer in time")]
    FirstByteTimeout,
    /// The use as a whole took too long, or the answer's body stood still for too long.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// What came back was not HTTP/1.1, broke off, or switched protocols.
    #[error("the upstream's answer was not proper HTTP")]
    Protocol,
    /// The answer's head or body is over the limit.
    #[error("the upstream's answer is too large")]
    TooLarge,
    /// The answer cannot be searched for the secret, so none of it is passed on: a
    /// part of a whole, an encoding that is not known, or not what it says it is.
    #[error("the upstream's answer cannot be scrubbed")]
    Unscrubbable,
    /// The request's body is over the limit. Where it streamed, its beginning may have
    /// been sent.
    #[error("the request is too large")]
    RequestTooLarge,
    /// The caller's body broke off, stood still for too long, or was not of the length
    /// that was declared.
    #[error("the request's body broke off")]
    RequestBroken,
}

impl EgressError {
    /// Whether the secret may have reached the upstream before this happened.
    #[must_use]
    pub fn may_have_left(self) -> bool {
        match self {
            Self::FirstByteTimeout
            | Self::Timeout
            | Self::Protocol
            | Self::TooLarge
            | Self::Unscrubbable
            | Self::RequestTooLarge
            | Self::RequestBroken => true,
            Self::AddressDenied(_)
            | Self::Resolve
            | Self::Connect
            | Self::Tls
            | Self::ConnectTimeout => false,
        }
    }
}
