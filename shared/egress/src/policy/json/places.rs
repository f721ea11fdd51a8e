//! That no two injections of a list want the same place.

use crate::policy::{Injection, Slot};
use http::HeaderName;

/// What an injection takes for itself, in the spelling in which servers compare it.
#[derive(PartialEq, Eq)]
enum Place {
    /// Underscores are hyphens to CGI.
    Header(String),
    Query(String),
    Cookie(String),
    Form(String),
    Json(String),
    Path,
    Aws,
}

impl Place {
    fn header(name: &HeaderName) -> Self {
        Self::Header(name.as_str().replace('_', "-"))
    }

    fn clashes(&self, other: &Self) -> bool {
        let cookies = |one: &Self, other: &Self| matches!((one, other), (Self::Cookie(_), Self::Header(name)) if name == "cookie");
        let bodies =
            |one: &Self, other: &Self| matches!((one, other), (Self::Form(_), Self::Json(_)));
        let within = |one: &Self, other: &Self| match (one, other) {
            (Self::Json(one), Self::Json(other)) => one
                .strip_prefix(other.as_str())
                .is_some_and(|rest| rest.starts_with('/')),
            _ => false,
        };
        let aws = |one: &Self, other: &Self| match (one, other) {
            (Self::Aws, Self::Header(name)) => {
                name == "authorization" || name.starts_with("x-amz-")
            }
            _ => false,
        };
        let either =
            |judge: &dyn Fn(&Self, &Self) -> bool| judge(self, other) || judge(other, self);
        self == other || either(&cookies) || either(&bodies) || either(&within) || either(&aws)
    }
}

/// # Errors
/// An injection takes a place that one before it, or itself, has; gives its index.
pub(super) fn check(injections: &[Injection]) -> Result<(), usize> {
    let mut taken: Vec<Place> = Vec::new();
    for (i, injection) in injections.iter().enumerate() {
        for place in places(&injection.slot) {
            if taken.iter().any(|other| place.clashes(other)) {
                return Err(i);
            }
            taken.push(place);
        }
    }
    Ok(())
}

fn places(slot: &Slot) -> Vec<Place> {
    match slot {
        Slot::Header { name, .. } => vec![Place::header(name)],
        Slot::Basic { .. } => vec![Place::Header("authorization".to_owned())],
        Slot::Query { parameter } => vec![Place::Query(parameter.to_ascii_lowercase())],
        Slot::Cookie { name } => vec![Place::Cookie(name.to_ascii_lowercase())],
        Slot::Form { field } => vec![Place::Form(field.to_ascii_lowercase())],
        Slot::JsonPointer { pointer } => vec![Place::Json(pointer.clone())],
        Slot::Path { .. } => vec![Place::Path],
        Slot::Hmac(hmac) => {
            let timestamp = hmac.timestamp().and_then(|it| it.header());
            std::iter::once(hmac.header())
                .chain(timestamp)
                .map(Place::header)
                .collect()
        }
        Slot::SigV4(_) => vec![Place::Aws],
    }
}
