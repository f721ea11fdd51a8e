//! How the broker reaches AWS: one HTTP client, built once, and whose credentials.
//!
//! TLS is rustls with aws-lc-rs, which prefers X25519MLKEM768: a recorded call
//! to KMS, with the data key in its answer, does not open to a later quantum
//! computer.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// The shared HTTP client and the credentials of one role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AwsAccess {
    http: SharedHttpClient,
    credentials: SharedCredentialsProvider,
}

impl AwsAccess {
    /// Builds the HTTP client, for a role's access keys as Lambda's environment
    /// gives them.
    #[must_use]
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<String>,
    ) -> Self {
        let http = Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        Self {
            http,
            credentials: credentials(access_key_id, secret_access_key, session_token),
        }
    }

    /// The same connections under another role's access keys, for the run on
    /// one machine, where one process plays every role.
    #[must_use]
    pub fn as_role(&self, access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            http: self.http.clone(),
            credentials: credentials(access_key_id, secret_access_key, None),
        }
    }

    /// The HTTP client, for a service's configuration.
    #[must_use]
    pub fn http(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// The credentials, for a service's configuration.
    #[must_use]
    pub fn credentials(&self) -> SharedCredentialsProvider {
        self.credentials.clone()
    }
}

fn credentials(id: &str, secret: &str, session_token: Option<String>) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(
        id,
        secret,
        session_token,
        None,
        "environment",
    ))
}
