//! `POST …/secrets/{name}/use`: the request and its answer, in JSON.

use crate::{
    UseSecret,
    draft::{Draft, Payload, Target},
    perform::Receipt,
    schema::{NewUse, Previewed, PreviewedRequest, ShownReceipt, UseAnswer, UseProblems, Used},
};
use api::{Call, Fields, Need, Problem, json, openapi::OfSecret};
use axum::{extract::State, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use egress::{CollectedAnswer, Preview, PreviewBody, REQUEST_BODY_MAX};
use envelope::SecretVersion;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::Permission;
use tokio::time::Instant;

/// The largest JSON body: a request's largest body in base64, and its headers.
const BODY_MAX: usize = REQUEST_BODY_MAX / 3 * 4 + 512 * 1024;
/// The least that `timeout_ms` can be; the most is what the function allows.
const SHORTEST: Duration = Duration::from_millis(100);

/// Uses a secret in one outbound request.
///
/// With `dry_run` it answers what would be sent, after the same judgement, with
/// `[byok:secret]` wherever the secret, a field of it or a signature would stand. Then
/// neither the customer's KMS nor the upstream is asked, and no use is recorded.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/secrets/{name}/use", operation_id = "useSecret",
    params(OfSecret), request_body = NewUse,
    responses(
        (status = 200, description = "The upstream answered; its own status is in the body. Or what would be sent, where that was asked for.", body = UseAnswer, headers(("byok-receipt" = String, description = "The receipt's id; none for a dry run."))),
        UseProblems,
    )
)]
pub(crate) async fn use_secret(
    State(this): State<Arc<UseSecret>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let need = Need {
        secret: Some(call.param("name")),
        ..Need::new(call.param("workspace"), Permission::UseSecrets)
    };
    let (admitted, verifying) = this.api.admit_beside(&call.headers, need).await?;
    let answer = async {
        let seat = this.enter(&admitted)?;
        let body = call.body(BODY_MAX).await?;
        let (draft, dry_run) = parse(&body, begun, this.time)?;
        drop(body);
        let answer = if dry_run {
            let (preview, version) = this.preview(&admitted, draft).await?;
            json(
                StatusCode::OK,
                UseAnswer::Previewed(previewed(preview, version)),
            )
        } else {
            let (answer, receipt) = this
                .perform(&admitted, &verifying, &call.request_id, draft)
                .await?;
            let mut response = json(StatusCode::OK, UseAnswer::Used(used(answer, &receipt)));
            receipt.name_in(response.headers_mut());
            response
        };
        drop(seat);
        Ok(answer)
    };
    verifying.answer(answer).await
}

fn used(answer: CollectedAnswer, receipt: &Receipt) -> Used {
    let (body, body_base64) = text_or_base64(&answer.body);
    Used {
        status: answer.status.as_u16(),
        headers: headers_json(&answer.headers),
        body,
        body_base64,
        receipt: ShownReceipt::of(receipt),
    }
}

fn previewed(preview: Preview, version: SecretVersion) -> Previewed {
    let (body, body_base64) = match &preview.body {
        PreviewBody::Whole(body) if body.is_empty() => (None, None),
        PreviewBody::Whole(body) => text_or_base64(body),
        // A use has its body as a whole; a pass-through has no preview.
        PreviewBody::Streamed(_) => (None, None),
    };
    Previewed {
        dry_run: true,
        version: version.number(),
        request: PreviewedRequest {
            method: preview.method.to_string(),
            url: preview.url,
            headers: headers_json(&preview.headers),
            body,
            body_base64,
        },
    }
}

fn text_or_base64(body: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(body))),
    }
}

/// ```text
/// {"request": {"method", "url", "headers"?: {"name": "value" | ["value", …]}, "body"? | "body_base64"?},
///  "version"?, "timeout_ms"?, "dry_run"?}
/// ```
fn parse(body: &[u8], begun: Instant, most: Duration) -> Result<(Draft, bool), Problem> {
    let mut fields = Fields::parse(body)?;
    let mut request = fields.object("request")?;
    let version: Option<u64> = fields.optional("version", "a whole number from 1 to 9999999")?;
    let timeout: Option<u64> = fields.optional("timeout_ms", "a whole number of milliseconds")?;
    let dry_run: Option<bool> = fields.optional("dry_run", "true or false")?;
    fields.finish()?;

    let method: String = request.required("method", "an HTTP method")?;
    let url: String = request.required("url", "an absolute URL")?;
    let headers: Option<BTreeMap<String, OneOrMore>> =
        request.optional("headers", "an object of texts or lists of texts")?;
    let text: Option<String> = request.optional("body", "text")?;
    let base64: Option<String> = request.optional("body_base64", "text in base64")?;
    request.finish()?;

    let body = match (text, base64) {
        (None, None) => Bytes::new(),
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => BASE64_STANDARD.decode(text).map(Bytes::from).map_err(|_| {
            Problem::invalid(
                "request.body_base64",
                "base64 of RFC 4648, section 4, with padding",
            )
        })?,
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(
                "request.body",
                "one of body and body_base64",
            ));
        }
    };
    let time = match timeout.map(Duration::from_millis) {
        None => most,
        Some(time) if (SHORTEST..=most).contains(&time) => time,
        Some(_) => {
            return Err(Problem::invalid(
                "timeout_ms",
                format!("{} to {}", SHORTEST.as_millis(), most.as_millis()),
            ));
        }
    };
    let draft = Draft {
        method: Method::from_bytes(method.as_bytes())
            .map_err(|_| Problem::invalid("request.method", "an HTTP method, in capitals"))?,
        target: Target::Url(url),
        headers: headers_from(headers.unwrap_or_default())?,
        payload: Payload::Whole(body),
        version: version
            .map(SecretVersion::new)
            .transpose()
            .map_err(|error| Problem::invalid_id("version", error))?,
        until: begun + time,
    };
    Ok((draft, dry_run.unwrap_or(false)))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn headers_from(named: BTreeMap<String, OneOrMore>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, values) in named {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Problem::invalid("request.headers", "names of HTTP headers"))?;
        let values = match values {
            OneOrMore::One(value) => vec![value],
            OneOrMore::More(values) => values,
        };
        for value in values {
            let value = HeaderValue::from_str(&value).map_err(|_| {
                Problem::invalid(format!("request.headers.{name}"), "visible characters")
            })?;
            headers
                .try_append(&name, value)
                .map_err(|_| Problem::invalid("request.headers", "not so many"))?;
        }
    }
    Ok(headers)
}

/// Headers as JSON: a text, or a list of texts where a name stands more than once.
fn headers_json(headers: &HeaderMap) -> Map<String, Value> {
    let mut object = Map::new();
    for name in headers.keys() {
        let mut values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| json!(String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let value = if values.len() == 1 {
            values.remove(0)
        } else {
            Value::Array(values)
        };
        object.insert(name.as_str().to_owned(), value);
    }
    object
}
