//! What a function is told by its environment.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `BYOK_BROKER` | the deployment's id, a part of every encryption context: never change it |
//! | `BYOK_TABLE`, `BYOK_AUDIT_TABLE` | the two tables |
//! | `EGRESS_ALLOW_CIDRS` | private networks that secrets may be sent to; empty by default |
//! | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | set by Lambda |
//! | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL_DYNAMODB` | other endpoints than AWS's |

use crate::{Api, Clock};
use envelope::{BrokerId, aws::AwsAccess, kms::Kms};
use store::{Store, StoreConfig};

/// A variable is absent or not of its grammar. Names it, and not its value.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {rule}")]
pub struct SettingsError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub rule: &'static str,
}

/// A function's surroundings, as its environment names them.
pub struct Settings {
    broker: BrokerId,
    access: AwsAccess,
    region: String,
    table: String,
    audit_table: String,
    kms_endpoint: Option<String>,
    dynamodb_endpoint: Option<String>,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// A variable is missing or malformed.
    pub fn from_env() -> Result<Self, SettingsError> {
        let endpoint = |name| optional(name).or_else(|| optional("AWS_ENDPOINT_URL"));
        Ok(Self {
            broker: BrokerId::parse(&required("BYOK_BROKER")?).map_err(|error| SettingsError {
                name: "BYOK_BROKER",
                rule: error.rule,
            })?,
            access: AwsAccess::new(
                &required("AWS_ACCESS_KEY_ID")?,
                &required("AWS_SECRET_ACCESS_KEY")?,
                optional("AWS_SESSION_TOKEN"),
            ),
            region: required("AWS_REGION")?,
            table: required("BYOK_TABLE")?,
            audit_table: required("BYOK_AUDIT_TABLE")?,
            kms_endpoint: endpoint("AWS_ENDPOINT_URL_KMS"),
            dynamodb_endpoint: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
        })
    }

    /// What every function needs.
    #[must_use]
    pub fn api(&self) -> Api {
        Api {
            store: Store::new(StoreConfig {
                access: self.access.clone(),
                region: self.region.clone(),
                endpoint: self.dynamodb_endpoint.clone(),
                table: self.table.clone(),
                audit_table: self.audit_table.clone(),
            }),
            broker: self.broker.clone(),
            clock: Clock::system(),
        }
    }

    /// KMS, for the functions whose role may talk to customers' keys.
    #[must_use]
    pub fn kms(&self) -> Kms {
        Kms::new(self.access.clone(), self.kms_endpoint.clone())
    }
}

/// A variable that may be absent; an empty one is absent.
#[must_use]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that must be there.
///
/// # Errors
/// It is absent or empty.
pub fn required(name: &'static str) -> Result<String, SettingsError> {
    optional(name).ok_or(SettingsError {
        name,
        rule: "must be set",
    })
}
