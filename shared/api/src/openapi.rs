//! What every route's documentation says the same way: who is asking, which
//! parameters, which problems. Each function documents its own bodies.

mod policy;

pub use policy::Policy;

use crate::{Code, Problem};
use http::StatusCode;
use std::collections::BTreeMap;
use utoipa::{
    IntoParams,
    openapi::{
        Components, Content, Header, Info, License, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        Server, Type,
        schema::{AdditionalProperties, ObjectBuilder, Schema},
        security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        },
    },
};

/// Names, as a type for `responses(…)`, the problems that a route answers with
/// beside those that every route can.
///
/// ```text
/// problems!(PutProblems: Conflict, TooLarge);
/// ```
#[macro_export]
macro_rules! problems {
    ($name:ident: $($code:ident),* $(,)?) => {
        pub(crate) struct $name;

        impl ::utoipa::IntoResponses for $name {
            fn responses() -> ::std::collections::BTreeMap<
                String,
                ::utoipa::openapi::RefOr<::utoipa::openapi::Response>,
            > {
                $crate::openapi::problems(&[$($crate::Code::$code),*])
            }
        }
    };
}

/// The path of what belongs to a workspace.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documentation; the grammars are WorkspaceId's")]
pub struct OfWorkspace {
    /// The workspace's id.
    #[param(pattern = "^[a-z][a-z0-9-]{1,62}$", example = "acme")]
    workspace: String,
}

/// The path of what belongs to a secret.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(
    dead_code,
    reason = "documentation; the grammars are WorkspaceId's and SecretName's"
)]
pub struct OfSecret {
    /// The workspace's id.
    #[param(pattern = "^[a-z][a-z0-9-]{1,62}$", example = "acme")]
    workspace: String,
    /// The secret's name.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,127}$", example = "payments")]
    name: String,
}

/// What every write takes: the same request again is one change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documentation; `idempotency_key` reads it")]
pub struct IdempotencyKey {
    /// 1 to 255 characters of the caller's choice: the same request again, within 24 hours,
    /// is answered as it was and changes nothing more.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What every change of something that is there takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documentation; `Preconditions` reads it")]
pub struct IfMatch {
    /// The `ETag` of an earlier answer: only if nothing came in between.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The problems of a route, by status: these, and those that every route can answer.
#[must_use]
pub fn problems(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    // KMS is asked by every route: for the MACs of the token and of the binding.
    const ALWAYS: [Code; 10] = [
        Code::InvalidRequest,
        Code::Unauthenticated,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::KmsThrottled,
        Code::IntegrityFailure,
        Code::Internal,
        Code::KmsUnavailable,
        Code::BrokerMisconfigured,
        Code::StoreUnavailable,
    ];
    let mut by_status: BTreeMap<StatusCode, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL {
        if ALWAYS.contains(&code) || codes.contains(&code) {
            by_status.entry(code.status()).or_default().push(code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.as_str().to_owned(), response(&codes).into()))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let told: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.title()))
        .collect();
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.iter().map(|code| code.as_str())));
    ResponseBuilder::new()
        .description(told.join("\n\n"))
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name("Problem"))),
        )
        .header("byok-error", Header::new(names))
        .build()
}

/// RFC 9457, as [`Problem::document`] writes it.
fn problem() -> Schema {
    let text = |told: &str| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(told))
    };
    let codes = Code::ALL.map(Code::as_str);
    ObjectBuilder::new()
        .description(Some(
            "A problem document (RFC 9457). A problem may have more members.",
        ))
        .property("type", text("`urn:byok:problem:` and the code."))
        .property("title", text("What the code means."))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property(
            "code",
            text("Stable: programs match on it. The header `byok-error` says the same.")
                .enum_values(Some(codes)),
        )
        .property("detail", text("What it was in this case."))
        .property(
            "field",
            text("Which field, parameter or header was malformed."),
        )
        .required("type")
        .required("title")
        .required("status")
        .required("code")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .examples([Problem::new(Code::NotFound).document()])
        .into()
}

/// Completes the document of merged routes: what it is, who may call, what a problem is.
pub fn complete(document: &mut OpenApi) {
    let mut info = Info::new("BYOK secrets broker", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Uses secrets that only their owner's KMS key opens. Every answer has the header \
         `byok-request-id`; the broker's own errors have `byok-error`."
            .to_owned(),
    );
    info.license = Some(
        License::builder()
            .name("Apache-2.0")
            .identifier(Some("Apache-2.0"))
            .build(),
    );
    document.info = info;
    document.servers = Some(vec![
        Server::builder()
            .url("/")
            .description(Some(
                "Where a deployment's HTTP API is, or the local run. On AWS the pass-through has \
                 a function URL of its own, which keeps a path's encoding.",
            ))
            .build(),
    ]);
    let components = document.components.get_or_insert_with(Components::new);
    components
        .schemas
        .insert("Problem".to_owned(), problem().into());
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("byok_<workspace>_<43 base64url characters>")
        .build();
    let basic = Http::builder()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "The token is the password; or the user, if the password is empty.",
        ))
        .build();
    let key = ApiKey::Header(ApiKeyValue::new("x-api-key"));
    for (name, scheme) in [
        ("bearer", SecurityScheme::Http(bearer)),
        ("basic", SecurityScheme::Http(basic)),
        ("apiKey", SecurityScheme::ApiKey(key)),
    ] {
        components.add_security_scheme(name, scheme);
    }
    // One of them is enough.
    document.security = Some(
        ["bearer", "basic", "apiKey"]
            .map(|name| SecurityRequirement::new(name, Vec::<String>::new()))
            .into(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_documents_its_own_problems_and_everyones() {
        let documented = json!(problems(&[Code::Conflict, Code::NoWorkspaceKey]));
        assert_eq!(
            documented["409"]["headers"]["byok-error"]["schema"]["enum"],
            json!(["conflict", "no_workspace_key"])
        );
        assert!(documented.get("401").is_some() && documented.get("504").is_none());
    }
}
