//! The body of a put.

use api::{Caller, Code, Fields, Fingerprint, Problem};
use base64::{Engine, prelude::BASE64_STANDARD};
use egress::{CanonicalPolicy, Policy};
use envelope::{SECRET_MAX, SecretBytes, SecretName};
use http::HeaderValue;
use serde_json::Value;
use store::ValueForm;
use time::OffsetDateTime;

/// What a put asks for.
pub(crate) struct PutRequest {
    pub(crate) value: SecretBytes,
    pub(crate) form: ValueForm,
    pub(crate) policy: CanonicalPolicy,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

impl PutRequest {
    /// ```text
    /// {"value": "text" | "value_base64": "…" | "value_json": …, "policy": {…}, "expires_at"?}
    /// ```
    ///
    /// # Errors
    /// `invalid_request` or `too_large`. Never with a part of the value.
    pub(crate) fn parse(body: &[u8], now: OffsetDateTime) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let (value, form) = value(&mut fields)?;
        let policy: Value = fields.required("policy", "an object")?;
        let expires_at = fields.time("expires_at")?;
        fields.finish()?;
        if value.is_empty() {
            return Err(Problem::invalid("value", "at least one byte"));
        }
        if value.len() > SECRET_MAX {
            return Err(Problem::new(Code::TooLarge)
                .because(format!("A value may have up to {SECRET_MAX} bytes.")));
        }
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Problem::invalid("expires_at", "a time to come"));
        }
        let policy = Policy::parse(&policy, expires_at)
            .map_err(|error| Problem::invalid(error.field, error.rule))?;
        egress::suits(&policy, &value).map_err(|unsuited| {
            // The pointer is the policy's own text.
            let rule = match &unsuited.field {
                None => unsuited.rule.to_owned(),
                Some(pointer) => format!("at {pointer}: {}", unsuited.rule),
            };
            Problem::invalid("value", rule)
        })?;
        Ok(Self {
            value,
            form,
            policy: policy.canonical(),
            expires_at,
        })
    }

    /// What tells this request from another under the same `Idempotency-Key`: over the
    /// parsed request, so that the same value in another notation is the same.
    pub(crate) fn fingerprint(
        &self,
        caller: &Caller,
        name: &SecretName,
        if_match: Option<&HeaderValue>,
    ) -> Fingerprint {
        // EXPOSE: it goes into the MAC and nowhere else.
        caller.fingerprint(&[
            b"byok/v1/put",
            name.as_str().as_bytes(),
            self.form.as_str().as_bytes(),
            self.value.expose_secret(),
            self.policy.as_str().as_bytes(),
            if_match.map_or(b"", HeaderValue::as_bytes),
        ])
    }
}

/// The value, in exactly one of its three forms, straight into the secret type.
fn value(fields: &mut Fields<'_>) -> Result<(SecretBytes, ValueForm), Problem> {
    let text = fields
        .optional::<String>("value", "text")?
        .map(|text| SecretBytes::new(text.into_bytes()));
    let base64 = fields
        .optional::<String>("value_base64", "text in base64")?
        .map(|text| SecretBytes::new(text.into_bytes()));
    let json = fields
        .raw("value_json")
        .map(|text| SecretBytes::new(text.as_bytes().to_vec()));
    match (text, base64, json) {
        (Some(text), None, None) => Ok((text, ValueForm::Text)),
        (None, Some(text), None) => {
            // EXPOSE: decoded into the secret itself.
            let bytes = BASE64_STANDARD.decode(text.expose_secret()).map_err(|_| {
                Problem::invalid(
                    "value_base64",
                    "base64 of RFC 4648, section 4, with padding",
                )
            })?;
            Ok((SecretBytes::new(bytes), ValueForm::Bytes))
        }
        (None, None, Some(json)) => Ok((json, ValueForm::Json)),
        _ => Err(Problem::invalid(
            "value",
            "exactly one of value, value_base64 and value_json",
        )),
    }
}
