//! `POST …/secrets/{name}/reveal`: the value itself, back to a caller.
//!
//! The one route that tells a secret, and only where both say so beforehand: the token
//! by `reveal_secrets`, the policy by `"reveal": true`, which the customer's KMS context
//! binds. It is a use like any other: its intent is stored first, the MACs pass, the
//! customer's KMS is asked and logs it. Its audit kind is its own.

use crate::{
    UseSecret,
    intent::Intent,
    perform::Receipt,
    schema::{NewReveal, RevealProblems, Revealed, ShownReceipt},
};
use api::{Admitted, Call, Code, Fields, Need, Problem, Verifying, json, openapi::OfSecret};
use axum::{extract::State, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use egress::Policy;
use envelope::{SecretBytes, SecretVersion};
use http::StatusCode;
use serde_json::value::RawValue;
use std::sync::Arc;
use store::{AuditKind, Permission, ValueForm};
use tokio::time::Instant;

/// The largest JSON body.
const BODY_MAX: usize = 1024;

/// Tells a secret's value, if its policy says that it may be told.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/secrets/{name}/reveal", operation_id = "revealSecret",
    params(OfSecret), request_body = inline(Option<NewReveal>),
    responses(
        (status = 200, description = "The value, in the form that it was put in.", body = Revealed, headers(("byok-receipt" = String, description = "The receipt's id."))),
        RevealProblems,
    )
)]
pub(crate) async fn reveal(
    State(this): State<Arc<UseSecret>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let need = Need {
        secret: Some(call.param("name")),
        ..Need::new(call.param("workspace"), Permission::RevealSecrets)
    };
    let (admitted, verifying) = this.api.admit_beside(&call.headers, need).await?;
    let revealed = async {
        let _seat = this.enter(&admitted)?;
        let body = call.body(BODY_MAX).await?;
        let mut fields = Fields::parse(&body)?;
        let version: Option<u64> =
            fields.optional("version", "a whole number from 1 to 9999999")?;
        fields.finish()?;
        let version = version
            .map(SecretVersion::new)
            .transpose()
            .map_err(|error| Problem::invalid_id("version", error))?;
        this.reveal(&admitted, &verifying, &call.request_id, version, begun)
            .await
    };
    let (revealed, receipt) = verifying.answer(revealed).await?;
    let mut response = json(StatusCode::OK, revealed);
    receipt.name_in(response.headers_mut());
    Ok(response)
}

impl UseSecret {
    async fn reveal(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        request_id: &str,
        version: Option<SecretVersion>,
        begun: Instant,
    ) -> Result<(Revealed, Receipt), Problem> {
        let found = self.found(admitted, version).await?;
        if !found.policies.iter().all(Policy::reveal) {
            return Err(Problem::new(Code::DestinationDenied)
                .because("The policy does not allow telling the value to a caller."));
        }
        let mut entry = admitted.audit(AuditKind::Reveal, request_id);
        entry.version = Some(found.stored.version);
        let mut intent = Intent::new(&self.api, admitted, entry);
        let until = begun + self.time;
        let secret = self
            .open(admitted, verifying, &found, &mut intent, until)
            .await?;
        let receipt = Receipt::of(&intent)?;
        let revealed =
            told(&secret, found.stored.form).map(|(value, value_base64, value_json)| Revealed {
                name: found.name.to_string(),
                version: found.stored.version.number(),
                value,
                value_base64,
                value_json,
                receipt: ShownReceipt::of(&receipt),
            });
        let code = match &revealed {
            Ok(_) => "ok",
            Err(problem) => problem.code().as_str(),
        };
        intent.finish(code).await;
        Ok((revealed?, receipt))
    }
}

type Told = (Option<String>, Option<String>, Option<Box<RawValue>>);

/// The value in the form that it was put in. The answer's own buffers are not wiped.
fn told(secret: &SecretBytes, form: ValueForm) -> Result<Told, Problem> {
    // EXPOSE: told to the caller, as the policy and the token say.
    let bytes = secret.expose_secret();
    if form == ValueForm::Bytes {
        return Ok((None, Some(BASE64_STANDARD.encode(bytes)), None));
    }
    let broken = || {
        Problem::new(Code::IntegrityFailure)
            .from_source("a stored value is not of the form that it was put in")
    };
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| broken())?;
    match form {
        ValueForm::Json => {
            let value = RawValue::from_string(text).map_err(|_| broken())?;
            Ok((None, None, Some(value)))
        }
        ValueForm::Text | ValueForm::Bytes => Ok((Some(text), None, None)),
    }
}
