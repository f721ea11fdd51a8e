//! A secret's policy, as the document describes it. What parses and writes it is `egress`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a secret may go and how it is put there. Every field may be left out;
/// without a destination there is no use. An answer has all of them, in their
/// canonical form, and the secret's expiry.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// At most 16. The pass-through goes to the first.
    #[schema(required = false)]
    destinations: Vec<Destination>,
    /// `Authorization: Bearer {secret}`, if left out.
    #[schema(required = false)]
    inject: Inject,
    /// Whether the value may be given back to a caller; false, if left out.
    #[schema(required = false)]
    reveal: bool,
    /// In answers only: from when on the secret is used no more.
    #[schema(read_only, format = DateTime)]
    expires_at: Option<String>,
}

/// A URL and everything under it, whole path segments at a time.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Destination {
    #[schema(example = "https://api.example.com/v1/")]
    url: String,
    /// All seven, if left out.
    #[schema(required = false)]
    methods: Vec<Method>,
    /// The request headers that a caller may send there: all that may pass at all, if left out.
    #[schema(required = false, max_items = 64, example = json!(["accept", "content-type"]))]
    headers: Vec<String>,
    /// Whether endpoints there that give out credentials may be asked; false, if left out.
    #[schema(required = false)]
    mint: bool,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// One injection, or up to 8 of which each takes a field of a JSON secret.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
enum Inject {
    One(Injection),
    Several(Vec<Injection>),
}

/// The slot that the secret is put into: a header, the password of Basic, a
/// parameter of the query, a cookie, a field of a form, a value of a JSON body, or one
/// segment behind the destination's path; or what it signs.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
enum Injection {
    Header {
        header: String,
        /// `{secret}`, if left out.
        #[schema(required = false, example = "Bearer {secret}")]
        format: String,
        /// RFC 6901, to a string of a JSON secret: what is put in, instead of all of it.
        #[schema(required = false, example = "/api_key")]
        field: String,
    },
    Bearer {
        /// True: short for the header `authorization` with the format `Bearer {secret}`.
        bearer: bool,
        #[schema(required = false)]
        field: String,
    },
    Basic {
        basic: Username,
        #[schema(required = false)]
        field: String,
    },
    Query {
        query: String,
        #[schema(required = false)]
        field: String,
    },
    Cookie {
        cookie: String,
        #[schema(required = false)]
        field: String,
    },
    Form {
        form: String,
        #[schema(required = false)]
        field: String,
    },
    JsonPointer {
        /// RFC 6901, to a value that the caller's body has; it is replaced.
        #[schema(example = "/auth/key")]
        json_pointer: String,
        #[schema(required = false)]
        field: String,
    },
    Path {
        /// With `{secret}` once.
        #[schema(example = "bot{secret}")]
        path: String,
        #[schema(required = false)]
        field: String,
    },
    Hmac {
        hmac: Hmac,
    },
    Sigv4 {
        sigv4: Sigv4,
    },
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Username {
    username: String,
}

/// An HMAC over parts of the request, with the secret or a field of it as its key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Hmac {
    #[schema(pattern = "^(sha256|sha512)$")]
    algorithm: String,
    /// With `{method}`, `{host}`, `{path}`, `{query}`, `{target}`, `{body}` and `{timestamp}`.
    #[schema(max_length = 256, example = "{timestamp}.{method}.{path}.{body}")]
    message: String,
    #[schema(pattern = "^(hex|base64)$")]
    encoding: String,
    /// Where the signature goes.
    header: String,
    /// With `{signature}` once; that alone, if left out.
    #[schema(required = false, example = "t={timestamp},v1={signature}")]
    format: String,
    #[schema(required = false)]
    timestamp: Timestamp,
    #[schema(required = false)]
    field: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Timestamp {
    /// `unix`, if left out.
    #[schema(required = false, pattern = "^(unix|unix_ms|rfc3339)$")]
    form: String,
    /// A header of its own.
    #[schema(required = false)]
    header: String,
}

/// AWS Signature Version 4. The pointers (RFC 6901) name fields of a JSON secret.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Sigv4 {
    #[schema(example = "eu-west-1")]
    region: String,
    #[schema(example = "s3")]
    service: String,
    access_key_id: String,
    secret_access_key: String,
    #[schema(required = false)]
    session_token: String,
    /// Whether bodies may go unsigned, so that they stream; false, if left out.
    #[schema(required = false)]
    unsigned_payload: bool,
}
