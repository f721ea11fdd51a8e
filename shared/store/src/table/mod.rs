//! The store over DynamoDB, the one folder that knows it.
//!
//! `wire` and `form` say how a record is written, `keys` where it lies,
//! `transact` and `condition` how it is written conditionally, `failure` what
//! DynamoDB's answers mean; the others are the operations, by subject.

mod audit;
mod condition;
mod create;
mod failure;
mod form;
mod jobs;
mod keys;
mod list;
mod move_wraps;
mod pause;
mod read;
mod secrets;
mod tokens;
mod transact;
mod versions;
mod wire;
mod wire_audit;
mod wire_authority;
mod wire_idempotency;
mod wire_job;
mod wire_secret;
mod wire_token;
mod wire_version;
mod wire_wrap;
mod workspace;
mod wraps;

pub use read::Found;

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    types::AttributeValue,
};
use envelope::aws::AwsAccess;
use std::{collections::HashMap, time::Duration};

/// A record's attributes.
type Item = HashMap<String, AttributeValue>;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a call may take with all its attempts.
const OPERATION: Duration = Duration::from_secs(8);
/// How often a call is attempted where the service was throttling, failing or
/// not there. A repeated transaction carries its own token, so that it lands once.
const ATTEMPTS: u32 = 3;

/// How to reach the tables.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The HTTP client and the role's credentials.
    pub access: AwsAccess,
    /// The Region of the tables.
    pub region: String,
    /// Another address than AWS's own, for the run on one machine.
    pub endpoint: Option<String>,
    /// The table of the workspaces' records, `broker`.
    pub table: String,
    /// The table of the audit records, `audit`.
    pub audit_table: String,
}

/// The records. Cheap to clone.
///
/// Every call fails with [`StoreError::Unavailable`](crate::StoreError) where
/// DynamoDB could not be asked or did not answer; its other errors it names.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    table: String,
    audit_table: String,
}

impl Store {
    /// A store over the tables of `config`. Connects to nothing yet.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION);
        let mut sdk = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(config.access.http())
            .credentials_provider(config.access.credentials())
            .region(Region::new(config.region))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts.build());
        sdk.set_endpoint_url(config.endpoint);
        let client = Client::from_conf(sdk.build());
        Self {
            client,
            table: config.table,
            audit_table: config.audit_table,
        }
    }
}
