//! The body of a put.

use api::{Caller, Code, Fields, Problem};
use base64::{Engine, prelude::BASE64_STANDARD};
use egress::{CanonicalPolicy, Policy};
use envelope::{SECRET_MAX, SecretBytes, SecretName};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use serde_json::Value;
use sha2::Sha256;
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
        if !policy.destinations().is_empty() && !egress::scrubbable(&value) {
            return Err(Problem::invalid("value", egress::SCRUBBABLE_RULE));
        }
        if !egress::fits(&policy, &value) {
            return Err(Problem::invalid(
                "value",
                "bytes that the slot of its policy can carry: a header takes visible ASCII, without a line end",
            ));
        }
        Ok(Self {
            value,
            form,
            policy: policy.canonical(),
            expires_at,
        })
    }

    /// What tells this request from another under the same `Idempotency-Key`: an
    /// HMAC-SHA-256 keyed by the raw token, which is stored nowhere, so that it
    /// tells a table's thief nothing about the value. Every part is prefixed by its length.
    pub(crate) fn fingerprint(
        &self,
        caller: &Caller,
        name: &SecretName,
        if_match: Option<&HeaderValue>,
    ) -> [u8; 32] {
        // EXPOSE: both go into the MAC and nowhere else.
        let mut mac = Hmac::<Sha256>::new_from_slice(caller.token.text().expose_secret())
            .expect("HMAC takes a key of any length");
        let parts: [&[u8]; 6] = [
            b"byok/v1/put",
            name.as_str().as_bytes(),
            self.form.as_str().as_bytes(),
            self.value.expose_secret(),
            self.policy.as_str().as_bytes(),
            if_match.map_or(b"", HeaderValue::as_bytes),
        ];
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
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
