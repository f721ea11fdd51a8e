//! The kinds of slot that carry a signature.

use super::{PolicyError, TEXT_MAX, header_name, is_printable, object, slots, wrong};
use crate::{
    headers,
    policy::{
        HmacAlgorithm, HmacEncoding, HmacSlot, Mark, SigV4Slot, Template, Timestamp, TimestampForm,
        signing::is_s3,
    },
};
use serde_json::{Map, Value, json};

const ALGORITHMS: [(&str, HmacAlgorithm); 2] = [
    ("sha256", HmacAlgorithm::Sha256),
    ("sha512", HmacAlgorithm::Sha512),
];
const ENCODINGS: [(&str, HmacEncoding); 2] =
    [("hex", HmacEncoding::Hex), ("base64", HmacEncoding::Base64)];
const FORMS: [(&str, TimestampForm); 3] = [
    ("unix", TimestampForm::Unix),
    ("unix_ms", TimestampForm::UnixMs),
    ("rfc3339", TimestampForm::Rfc3339),
];

/// An HMAC, and the field of the secret that is its key.
pub(super) fn parse_hmac(
    value: &Value,
    field: &str,
) -> Result<(HmacSlot, Option<String>), PolicyError> {
    let of = |name: &str| format!("{field}.{name}");
    let fields = object(
        value,
        field,
        &[
            "algorithm",
            "message",
            "encoding",
            "header",
            "format",
            "timestamp",
            "field",
        ],
    )?;
    let message = template(fields.get("message"), |text| {
        // Lines are common between the parts of a message; nothing else unseen is.
        text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n'))
    })
    .filter(|message| {
        message.has_only(&[
            Mark::Method,
            Mark::Host,
            Mark::Path,
            Mark::Query,
            Mark::Target,
            Mark::Body,
            Mark::Timestamp,
        ])
    })
    .ok_or_else(|| {
        wrong(
            &of("message"),
            "1 to 256 characters of ASCII with {method}, {host}, {path}, {query}, {target}, {body} and {timestamp} in it, and no other braces",
        )
    })?;
    let format = match fields.get("format") {
        None => Template::parse("{signature}"),
        format => template(format, |text| is_printable(text) && text.trim() == text),
    }
    .filter(|format| {
        format.count(Mark::Signature) == 1 && format.has_only(&[Mark::Signature, Mark::Timestamp])
    })
    .ok_or_else(|| {
        wrong(
            &of("format"),
            "at most 256 characters of ASCII with {signature} in it exactly once, {timestamp} perhaps, and no other braces",
        )
    })?;
    let header = header_name(fields.get("header").unwrap_or(&Value::Null), &of("header"))?;
    let hmac = HmacSlot {
        algorithm: one_of(fields, "algorithm", &ALGORITHMS)
            .ok_or_else(|| wrong(&of("algorithm"), "sha256 or sha512"))?,
        encoding: one_of(fields, "encoding", &ENCODINGS)
            .ok_or_else(|| wrong(&of("encoding"), "hex or base64"))?,
        timestamp: timestamp(fields.get("timestamp"), &of("timestamp"), &message, &format)?,
        message,
        header,
        format,
    };
    let told_in = hmac.timestamp().and_then(Timestamp::header);
    if told_in.is_some_and(|it| headers::same(it, hmac.header())) {
        return Err(wrong(
            &of("timestamp.header"),
            "another header than the signature's",
        ));
    }
    let key = match fields.get("field") {
        None => None,
        Some(pointer) => Some(slots::parse_pointer(pointer, &of("field"))?),
    };
    Ok((hmac, key))
}

/// Where the time goes. Whoever checks a signature over it has to be told it.
fn timestamp(
    value: Option<&Value>,
    field: &str,
    message: &Template,
    format: &Template,
) -> Result<Option<Timestamp>, PolicyError> {
    let none = Map::new();
    let fields = match value {
        None => &none,
        Some(value) => object(value, field, &["header", "form"])?,
    };
    let header = match fields.get("header") {
        None => None,
        Some(name) => Some(header_name(name, &format!("{field}.header"))?),
    };
    let form = match fields.get("form") {
        None => TimestampForm::Unix,
        Some(_) => one_of(fields, "form", &FORMS)
            .ok_or_else(|| wrong(&format!("{field}.form"), "unix, unix_ms or rfc3339"))?,
    };
    let signed = message.count(Mark::Timestamp) > 0;
    let told = header.is_some() || format.count(Mark::Timestamp) > 0;
    match (signed, told) {
        (false, false) if value.is_none() => Ok(None),
        (_, true) => Ok(Some(Timestamp { header, form })),
        (true, false) => Err(wrong(
            field,
            "a timestamp that is signed is also told: in the format, or in a header of its own",
        )),
        (false, false) => Err(wrong(field, "a timestamp that is told somewhere")),
    }
}

pub(super) fn write_hmac(hmac: &HmacSlot, key: Option<&str>) -> Value {
    let mut value = json!({
        "algorithm": name_of(hmac.algorithm, &ALGORITHMS),
        "message": hmac.message.as_str(),
        "encoding": name_of(hmac.encoding, &ENCODINGS),
        "header": hmac.header.as_str(),
        "format": hmac.format.as_str(),
    });
    if let Some(timestamp) = &hmac.timestamp {
        value["timestamp"] = json!({"form": name_of(timestamp.form, &FORMS)});
        if let Some(header) = &timestamp.header {
            value["timestamp"]["header"] = json!(header.as_str());
        }
    }
    if let Some(key) = key {
        value["field"] = json!(key);
    }
    value
}

pub(super) fn parse_sigv4(value: &Value, field: &str) -> Result<SigV4Slot, PolicyError> {
    let of = |name: &str| format!("{field}.{name}");
    let fields = object(
        value,
        field,
        &[
            "region",
            "service",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "unsigned_payload",
        ],
    )?;
    let word = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| {
                (1..=64).contains(&text.len())
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
            .map(str::to_owned)
            .ok_or_else(|| {
                wrong(
                    &of(name),
                    "1 to 64 small letters, digits and hyphens, such as eu-west-1",
                )
            })
    };
    let pointer =
        |name: &str| slots::parse_pointer(fields.get(name).unwrap_or(&Value::Null), &of(name));
    let service = word("service")?;
    let unsigned_payload = match fields.get("unsigned_payload") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) if is_s3(&service) => true,
        Some(_) => {
            return Err(wrong(
                &of("unsigned_payload"),
                "true or false, and true for S3 alone",
            ));
        }
    };
    Ok(SigV4Slot {
        region: word("region")?,
        service,
        access_key_id: pointer("access_key_id")?,
        secret_access_key: pointer("secret_access_key")?,
        session_token: match fields.get("session_token") {
            None => None,
            Some(_) => Some(pointer("session_token")?),
        },
        unsigned_payload,
    })
}

pub(super) fn write_sigv4(sigv4: &SigV4Slot) -> Value {
    let mut value = json!({
        "region": sigv4.region,
        "service": sigv4.service,
        "access_key_id": sigv4.access_key_id,
        "secret_access_key": sigv4.secret_access_key,
    });
    if let Some(token) = &sigv4.session_token {
        value["session_token"] = json!(token);
    }
    if sigv4.unsigned_payload {
        value["unsigned_payload"] = json!(true);
    }
    value
}

fn template(value: Option<&Value>, is: impl Fn(&str) -> bool) -> Option<Template> {
    value
        .and_then(Value::as_str)
        .filter(|text| (1..=TEXT_MAX).contains(&text.len()) && is(text))
        .and_then(Template::parse)
}

fn one_of<T: Copy>(fields: &Map<String, Value>, name: &str, table: &[(&str, T)]) -> Option<T> {
    let written = fields.get(name)?.as_str()?;
    table
        .iter()
        .find_map(|(name, value)| (*name == written).then_some(*value))
}

fn name_of<T: Copy + PartialEq>(value: T, table: &[(&'static str, T)]) -> &'static str {
    table
        .iter()
        .find_map(|(name, it)| (*it == value).then_some(*name))
        .expect("each table names every variant")
}
