//! The caller's request, and the policy's judgement of it. Nothing secret is here.

use api::{Call, Code, Problem};
use bytes::Bytes;
use egress::{
    CanonicalUrl, Denied, InjectError, OutboundRequest, Policy, REQUEST_BODY_MAX, RequestError,
    RequestStream, UrlError,
};
use envelope::SecretVersion;
use http::{HeaderMap, Method};
use http_body::Body as _;
use tokio::time::Instant;

/// Where a request is to go.
pub(crate) enum Target {
    /// To this URL, in the caller's words.
    Url(String),
    /// To the first destination of the policy, with this path and query added.
    Via(String),
}

/// The body of the caller's request.
pub(crate) enum Payload {
    /// It is there.
    Whole(Bytes),
    /// It is still to be read from the call.
    Arriving(Box<Call>),
}

/// The caller's request, unjudged.
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) version: Option<SecretVersion>,
    /// When it must be over.
    pub(crate) until: Instant,
}

impl Draft {
    /// The request on its canonical URL, against every policy that it must satisfy; the
    /// first is the one that injects. A body that has to be there as a whole is read
    /// once the rest has passed.
    ///
    /// # Errors
    /// `destination_denied`, `minting_endpoint_denied`, `invalid_request`, `too_large`.
    pub(crate) async fn judged(self, policies: &[Policy]) -> Result<OutboundRequest, Problem> {
        let Some(first) = policies.first() else {
            return Err(Problem::new(Code::Internal));
        };
        let url = match &self.target {
            Target::Url(text) => CanonicalUrl::parse(text)
                .map_err(|error| Problem::invalid("request.url", error.rule()))?,
            Target::Via(path) => first.via(path).map_err(|error| match error {
                UrlError::NoDestination => Problem::new(Code::DestinationDenied),
                error => Problem::invalid("path", error.rule()),
            })?,
        };
        for policy in policies {
            policy.judge(&self.method, &url).map_err(denied)?;
        }
        let Self {
            method, headers, ..
        } = self;
        let request = match self.payload {
            Payload::Whole(body) => OutboundRequest::new(method, url, headers, body),
            Payload::Arriving(mut call) if first.needs_whole_body() => {
                let body = call.body(REQUEST_BODY_MAX).await?;
                OutboundRequest::new(method, url, headers, body)
            }
            Payload::Arriving(call) => {
                let body = call.into_body();
                let length = body.size_hint().exact();
                OutboundRequest::streamed(method, url, headers, RequestStream::new(body, length))
            }
        };
        let mut request = request.map_err(unsendable)?;
        for policy in &policies[1..] {
            request = policy.restrict(request).map_err(denied)?;
        }
        Ok(request)
    }
}

fn denied(denied: Denied) -> Problem {
    match denied {
        Denied::Url => Problem::new(Code::DestinationDenied)
            .because("No destination of the policy covers this URL."),
        Denied::Method => Problem::new(Code::DestinationDenied)
            .because("The policy does not allow this method there."),
        Denied::Minting => Problem::new(Code::MintingEndpointDenied),
    }
}

fn unsendable(error: RequestError) -> Problem {
    match error {
        RequestError::Method => {
            Problem::invalid("request.method", "a method that a policy can allow")
        }
        RequestError::HeadersTooLarge => {
            Problem::new(Code::TooLarge).because("The request has too many or too large headers.")
        }
        RequestError::BodyTooLarge => {
            Problem::new(Code::TooLarge).because("The request's body is too large.")
        }
    }
}

/// Why the secret could not be put into a request, in the API's words.
pub(crate) fn uninjectable(error: InjectError) -> Problem {
    match error {
        InjectError::Denied(why) => denied(why),
        InjectError::NotInjectable => Problem::new(Code::Conflict)
            .because("The secret's bytes do not fit into the slot of its policy."),
        InjectError::SlotTaken => Problem::invalid(
            "request",
            "without anything of its own in the slot that the secret goes into",
        ),
        InjectError::NoSlot | InjectError::StreamedBody => Problem::invalid(
            "request.body",
            "of the kind that the secret's policy puts it into, or signs",
        ),
    }
    .from_source(error)
}
