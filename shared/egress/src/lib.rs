//! Where a secret may go, and how it goes there.
//!
//! A policy names destinations; a request is judged against it on one canonical
//! URL; only then is the secret put into its slots, and the request sent to an
//! address that was judged as well.
//!
//! ```text
//! Policy::parse / from_canonical             where the secret may go, and in which slots
//! suits(policy, secret)                      at a put: whether they go together
//! CanonicalUrl::parse (or Policy::via)       one URL for the check, Host, TLS and dialling
//! Policy::judge(method, url)                 prefix on segment boundaries
//! OutboundRequest::new, streamed             what of the caller's request goes on
//! preview(policy, request, now)              what would go out, without a secret
//! inject(policy, request, secret, now)       judged once more -> InjectedRequest
//! Dialler::send -> UpstreamAnswer            resolve, AddressGuard, pin, TLS, HTTP/1.1
//! UpstreamAnswer::pass_on, collect           decoded; the secret and what it became taken out
//! ```
//!
//! What this room refuses to do: it follows no redirect, uses no proxy and no
//! pool, looks a name up once, and guesses nothing: a URL that two parsers could
//! read in two ways is refused. It knows no table, no KMS and nothing of the
//! broker's own HTTP edge.

mod address;
mod answer;
mod decode;
mod dial;
mod error;
mod headers;
mod inject;
mod minting;
mod outlet;
mod policy;
mod request;
mod resolve;
mod scrub;
mod tls;
mod upload;
mod url;

pub use address::{AddressDenied, AddressGuard, AllowListError};
pub use answer::{CollectedAnswer, UpstreamAnswer, UpstreamBody};
pub use dial::{Dialler, Limits};
pub use error::EgressError;
pub use inject::{
    InjectError, InjectedRequest, MASK, Preview, PreviewBody, Unsuited, fits, inject, preview,
    suits,
};
pub use minting::mints_credentials;
pub use policy::{
    CanonicalPolicy, Denied, Destination, HmacAlgorithm, HmacEncoding, HmacSlot, Injection, Policy,
    PolicyError, SigV4Slot, Slot, Template, Timestamp, TimestampForm,
};
pub use request::{OutboundRequest, REQUEST_BODY_MAX, RequestError};
pub use resolve::{FixedResolver, Resolve, Resolving, SystemResolver};
pub use rustls::pki_types::CertificateDer;
pub use scrub::{MARK, SCRUBBABLE_MIN, SCRUBBABLE_RULE, Scrubber, TooMuchWork, scrubbable};
pub use tls::{Roots, RootsError};
pub use upload::RequestStream;
pub use url::{CanonicalUrl, Host, Scheme, UrlError};
