//! One injection, or a list of them.

use super::{PolicyError, object, places, signing, slots, wrong};
use crate::policy::{Injection, Slot};
use serde_json::{Value, json};

/// How many injections a policy has at the most.
const INJECTIONS_MAX: usize = 8;

/// The policy's `inject`. One injection is itself, in a list or not; in a list of
/// several each names a field of the secret.
pub(super) fn parse(value: Option<&Value>) -> Result<Vec<Injection>, PolicyError> {
    const FIELD: &str = "policy.inject";
    let items = match value {
        None => {
            return Ok(vec![Injection {
                slot: slots::bearer(),
                field: None,
            }]);
        }
        Some(Value::Array(items)) => items,
        Some(one) => return Ok(vec![parse_one(one, FIELD)?]),
    };
    if items.is_empty() || items.len() > INJECTIONS_MAX {
        return Err(wrong(FIELD, "an injection, or a list of 1 to 8"));
    }
    let mut injections = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let field = format!("{FIELD}[{i}]");
        let injection = parse_one(item, &field)?;
        let names = injection.field.is_some() || matches!(injection.slot, Slot::SigV4(_));
        if items.len() > 1 && !names {
            return Err(wrong(
                &format!("{field}.field"),
                "in a list of several, each names a field of the secret",
            ));
        }
        injections.push(injection);
    }
    places::check(&injections).map_err(|i| {
        wrong(
            &format!("{FIELD}[{i}]"),
            "a place that no other injection of the list has",
        )
    })?;
    Ok(injections)
}

pub(super) fn write(injections: &[Injection]) -> Value {
    match injections {
        [one] => write_one(one),
        several => several.iter().map(write_one).collect(),
    }
}

/// One key names the kind of slot, so that a later kind is a further key.
fn parse_one(value: &Value, field: &str) -> Result<Injection, PolicyError> {
    const KINDS: [&str; 10] = [
        "header",
        "bearer",
        "basic",
        "query",
        "cookie",
        "form",
        "json_pointer",
        "path",
        "hmac",
        "sigv4",
    ];
    let known: Vec<&str> = KINDS.into_iter().chain(["format", "field"]).collect();
    let fields = object(value, field, &known)?;
    let taken = match fields.get("field") {
        None => None,
        Some(pointer) => Some(slots::parse_pointer(pointer, &format!("{field}.field"))?),
    };
    let mut named = KINDS
        .into_iter()
        .filter_map(|kind| Some((kind, fields.get(kind)?)));
    let slot = match (named.next(), named.next(), fields.get("format"), &taken) {
        (Some(("header", name)), None, format, _) => slots::parse_header(name, format, field)?,
        (Some(("bearer", value)), None, None, _) => slots::parse_bearer(value, field)?,
        (Some(("basic", basic)), None, None, _) => slots::parse_basic(basic, field)?,
        // What these take of the secret stands inside of them.
        (Some(("hmac", hmac)), None, None, None) => {
            let (hmac, field) = signing::parse_hmac(hmac, &format!("{field}.hmac"))?;
            return Ok(Injection {
                slot: Slot::Hmac(hmac),
                field,
            });
        }
        (Some(("sigv4", sigv4)), None, None, None) => {
            Slot::SigV4(signing::parse_sigv4(sigv4, &format!("{field}.sigv4"))?)
        }
        (Some(("hmac" | "sigv4", _)), None, None, Some(_)) => {
            return Err(wrong(
                &format!("{field}.field"),
                "a field that a signature takes is named inside of it",
            ));
        }
        (Some((kind, text)), None, None, _) => slots::parse(kind, text, field)?,
        _ => {
            return Err(wrong(
                field,
                "exactly one of header (with a format, perhaps), bearer, basic, query, cookie, form, json_pointer, path, hmac and sigv4",
            ));
        }
    };
    Ok(Injection { slot, field: taken })
}

fn write_one(injection: &Injection) -> Value {
    let mut value = match &injection.slot {
        Slot::Header { name, format } => json!({"header": name.as_str(), "format": format}),
        Slot::Basic { username } => json!({"basic": {"username": username}}),
        Slot::Query { parameter } => json!({"query": parameter}),
        Slot::Cookie { name } => json!({"cookie": name}),
        Slot::Form { field } => json!({"form": field}),
        Slot::JsonPointer { pointer } => json!({"json_pointer": pointer}),
        Slot::Path { segment } => json!({"path": segment}),
        Slot::Hmac(hmac) => {
            return json!({"hmac": signing::write_hmac(hmac, injection.field())});
        }
        Slot::SigV4(sigv4) => json!({"sigv4": signing::write_sigv4(sigv4)}),
    };
    if let Some(field) = &injection.field {
        value["field"] = json!(field);
    }
    value
}
