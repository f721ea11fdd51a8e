//! A policy as JSON: from a caller, to its canonical form, and back.

use super::{Destination, Policy, PolicyError};
use crate::{CanonicalUrl, headers};
use http::{HeaderName, Method};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

mod injections;
mod places;
mod signing;
mod slots;

/// The methods that a policy can allow, in the order of its canonical form.
/// CONNECT and TRACE are not among them: a tunnel sees everything, an echo tells.
pub(crate) const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The mark in a header's format that the secret replaces.
pub(crate) const SECRET_MARK: &str = "{secret}";

const DESTINATIONS_MAX: usize = 16;
const METHODS_MAX: usize = 16;
const HEADERS_MAX: usize = 64;
const URL_MAX: usize = 2 * 1024;
const TEXT_MAX: usize = 256;
const CANONICAL_MAX: usize = 16 * 1024;

pub(super) fn parse(
    value: &Value,
    expires_at: Option<OffsetDateTime>,
) -> Result<Policy, PolicyError> {
    let fields = object(value, "policy", &["destinations", "inject", "reveal"])?;
    let policy = Policy {
        destinations: fields
            .get("destinations")
            .map_or(Ok(Vec::new()), parse_destinations)?,
        inject: injections::parse(fields.get("inject"))?,
        reveal: match fields.get("reveal") {
            None => false,
            Some(Value::Bool(reveal)) => *reveal,
            Some(_) => return Err(wrong("policy.reveal", "true or false")),
        },
        expires_at: expires_at.map(in_utc).transpose()?,
    };
    if write(&policy).len() > CANONICAL_MAX {
        return Err(wrong("policy", "at most 16 KiB in its canonical form"));
    }
    Ok(policy)
}

pub(super) fn write(policy: &Policy) -> String {
    let destinations: Vec<Value> = policy
        .destinations
        .iter()
        .map(|it| {
            let methods: Vec<&str> = it.methods.iter().map(Method::as_str).collect();
            let mut value = json!({"url": it.url.as_str(), "methods": methods});
            // What is left out says nothing, so that a policy keeps the digest that it had
            // before there was such a field.
            if let Some(headers) = &it.headers {
                let headers: Vec<&str> = headers.iter().map(HeaderName::as_str).collect();
                value["headers"] = json!(headers);
            }
            if it.mint {
                value["mint"] = json!(true);
            }
            value
        })
        .collect();
    let expires_at = policy.expires_at.map(|at| {
        at.format(&Rfc3339)
            .expect("in_utc admits years that RFC 3339 can write, in UTC")
    });
    let value = json!({
        "destinations": destinations,
        "inject": injections::write(&policy.inject),
        "reveal": policy.reveal,
        "expires_at": expires_at,
    });
    serde_json_canonicalizer::to_string(&value)
        .expect("strings, booleans and null have a canonical form")
}

pub(super) fn read(text: &str) -> Result<Policy, PolicyError> {
    const RULE: &str = "a policy as it was stored";
    let stored = || wrong("policy", RULE);
    if text.len() > CANONICAL_MAX {
        return Err(stored());
    }
    let mut value: Value = serde_json::from_str(text).map_err(|_| stored())?;
    let expires_at = match value
        .as_object_mut()
        .and_then(|fields| fields.remove("expires_at"))
    {
        Some(Value::Null) => None,
        Some(Value::String(at)) => {
            Some(OffsetDateTime::parse(&at, &Rfc3339).map_err(|_| stored())?)
        }
        _ => return Err(stored()),
    };
    let policy = parse(&value, expires_at)?;
    if write(&policy) == text {
        Ok(policy)
    } else {
        Err(stored())
    }
}

fn parse_destinations(value: &Value) -> Result<Vec<Destination>, PolicyError> {
    const FIELD: &str = "policy.destinations";
    let Value::Array(items) = value else {
        return Err(wrong(FIELD, "a list of destinations"));
    };
    if items.len() > DESTINATIONS_MAX {
        return Err(wrong(FIELD, "at most 16 destinations"));
    }
    items
        .iter()
        .enumerate()
        .map(|(i, item)| parse_destination(item, &format!("{FIELD}[{i}]")))
        .collect()
}

fn parse_destination(value: &Value, field: &str) -> Result<Destination, PolicyError> {
    let fields = object(value, field, &["url", "methods", "headers", "mint"])?;
    let url_field = format!("{field}.url");
    let Some(Value::String(text)) = fields.get("url") else {
        return Err(wrong(&url_field, "a URL"));
    };
    let url = CanonicalUrl::parse(text).map_err(|error| wrong(&url_field, error.rule()))?;
    if text.len() > URL_MAX || url.as_str().len() > URL_MAX {
        return Err(wrong(&url_field, "at most 2 KiB"));
    }
    if url.query().is_some() {
        return Err(wrong(&url_field, "a URL without a query"));
    }
    let methods = match fields.get("methods") {
        None => METHODS.to_vec(),
        Some(methods) => parse_methods(methods, &format!("{field}.methods"))?,
    };
    let headers = match fields.get("headers") {
        None => None,
        Some(headers) => Some(parse_headers(headers, &format!("{field}.headers"))?),
    };
    let mint = match fields.get("mint") {
        None => false,
        Some(Value::Bool(mint)) => *mint,
        Some(_) => return Err(wrong(&format!("{field}.mint"), "true or false")),
    };
    Ok(Destination {
        url,
        methods,
        headers,
        mint,
    })
}

/// Which of a caller's headers may pass. None of those that never do can be among
/// them: a list that names one was meant otherwise.
fn parse_headers(value: &Value, field: &str) -> Result<Vec<HeaderName>, PolicyError> {
    let Value::Array(items) = value else {
        return Err(wrong(field, "a list of names of headers"));
    };
    if items.len() > HEADERS_MAX {
        return Err(wrong(field, "at most 64 headers"));
    }
    let mut names = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let name = header_name(item, &format!("{field}[{i}]"))?;
        if headers::asks_for_part(&name) {
            return Err(wrong(
                &format!("{field}[{i}]"),
                "a header that does not ask for a part of an answer",
            ));
        }
        names.push(name);
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Ok(names)
}

/// The name of a header that can pass, or be set.
fn header_name(value: &Value, field: &str) -> Result<HeaderName, PolicyError> {
    let name = value
        .as_str()
        .filter(|name| name.len() <= TEXT_MAX)
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .ok_or_else(|| wrong(field, "the name of a header"))?;
    if headers::may_pass(&name) {
        Ok(name)
    } else {
        Err(wrong(
            field,
            "a header that is neither the connection's nor the broker's own",
        ))
    }
}

fn parse_methods(value: &Value, field: &str) -> Result<Vec<Method>, PolicyError> {
    let Value::Array(items) = value else {
        return Err(wrong(field, "a list of methods"));
    };
    if items.is_empty() || items.len() > METHODS_MAX {
        return Err(wrong(field, "1 to 16 methods, or left out for all"));
    }
    for (i, item) in items.iter().enumerate() {
        if !METHODS
            .iter()
            .any(|method| item.as_str() == Some(method.as_str()))
        {
            return Err(wrong(
                &format!("{field}[{i}]"),
                "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
            ));
        }
    }
    let named = |method: &Method| {
        items
            .iter()
            .any(|item| item.as_str() == Some(method.as_str()))
    };
    Ok(METHODS.into_iter().filter(named).collect())
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// RFC 3339 writes the years 0 to 9999 only.
fn in_utc(at: OffsetDateTime) -> Result<OffsetDateTime, PolicyError> {
    at.checked_to_offset(UtcOffset::UTC)
        .filter(|at| (0..=9999).contains(&at.year()))
        .ok_or_else(|| wrong("expires_at", "a time in the years 0 to 9999"))
}

/// The fields of an object, all of them known.
fn object<'a>(
    value: &'a Value,
    field: &str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, PolicyError> {
    let Value::Object(fields) = value else {
        return Err(wrong(field, "an object"));
    };
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(fields),
        Some(name) => Err(wrong(
            &format!("{field}.{}", shown(name)),
            "this field is unknown",
        )),
    }
}

/// A caller's own field name, as far as it may appear in an answer.
fn shown(name: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        name
    } else {
        "?"
    }
}

fn wrong(field: &str, rule: &'static str) -> PolicyError {
    PolicyError {
        field: field.to_owned(),
        rule,
    }
}
