//! What a function is told by its environment.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `BYOK_BROKER` | the deployment's id, a part of every encryption context: never change it |
//! | `BYOK_TABLE`, `BYOK_AUDIT_TABLE` | the two tables |
//! | `BYOK_TOKEN_MAC_KEY`, `BYOK_BINDING_MAC_KEY` | ARNs of the deployment's HMAC keys, for the records that give authority |
//! | `BYOK_JOB_MAC_KEY` | the same for re-wrap jobs; rewrap-secrets alone |
//! | `BYOK_CANARY_KEY` | ARN of the deployment's canary key: asked where a customer's key denies, to know whose fault it is |
//! | `DEPLOYMENT_KEY_ARN` | the deployment's own KEK, for workspaces that have none yet; absent, they cannot put |
//! | `BYOK_PERMISSIVE_KEYS` | `accept` or `refuse` (also if absent): keys that work but are not fenced to their workspace |
//! | `BYOK_REWRAP_RATE` | ReEncrypt calls a second that one running re-wrap makes at most |
//! | `EGRESS_ALLOW_CIDRS` | private networks that secrets may be sent to; empty by default |
//! | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | set by Lambda |
//! | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL_DYNAMODB` | other endpoints than AWS's |

use crate::{Api, Clock, Macs};
use envelope::{
    BrokerId, KeyArn, RecordKind,
    aws::AwsAccess,
    kms::{CheckMac, Kms, MakeMac},
};
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
    token_mac_key: KeyArn,
    binding_mac_key: KeyArn,
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
            token_mac_key: key("BYOK_TOKEN_MAC_KEY")?,
            binding_mac_key: key("BYOK_BINDING_MAC_KEY")?,
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
            macs: Macs::new(
                &self.own_keys(),
                &self.broker,
                self.token_mac_key.clone(),
                self.binding_mac_key.clone(),
            ),
        }
    }

    /// KMS, for the functions whose role may talk to customers' keys.
    ///
    /// # Errors
    /// The canary key is not named.
    pub fn kms(&self) -> Result<Kms, SettingsError> {
        let canary = key("BYOK_CANARY_KEY")?;
        Ok(self.own_keys().with_canary(canary, &self.broker))
    }

    /// What makes the MACs of tokens, for the functions that make tokens.
    #[must_use]
    pub fn make_token_mac(&self) -> MakeMac {
        let key = self.token_mac_key.clone();
        self.own_keys()
            .make_mac(RecordKind::Token, key, self.broker.clone())
    }

    /// What makes the MACs of key bindings, for the functions that change them.
    #[must_use]
    pub fn make_binding_mac(&self) -> MakeMac {
        let key = self.binding_mac_key.clone();
        self.own_keys()
            .make_mac(RecordKind::Binding, key, self.broker.clone())
    }

    /// What makes and checks the MACs of re-wrap jobs.
    ///
    /// # Errors
    /// Their key is not named.
    pub fn job_macs(&self) -> Result<(MakeMac, CheckMac), SettingsError> {
        let kms = self.own_keys();
        let key = key("BYOK_JOB_MAC_KEY")?;
        let make = kms.make_mac(RecordKind::Job, key.clone(), self.broker.clone());
        let check = kms.check_mac(RecordKind::Job, key, self.broker.clone());
        Ok((make, check))
    }

    /// The deployment's own KEK, if it has one.
    ///
    /// # Errors
    /// It is named, but not by the ARN of a key.
    pub fn deployment_key() -> Result<Option<KeyArn>, SettingsError> {
        match optional("DEPLOYMENT_KEY_ARN") {
            None => Ok(None),
            Some(_) => key("DEPLOYMENT_KEY_ARN").map(Some),
        }
    }

    /// Whether keys that are not fenced to their workspace are accepted.
    ///
    /// # Errors
    /// It is neither said nor denied.
    pub fn accepts_permissive_keys() -> Result<bool, SettingsError> {
        match optional("BYOK_PERMISSIVE_KEYS").as_deref() {
            None | Some("refuse") => Ok(false),
            Some("accept") => Ok(true),
            Some(_) => Err(SettingsError {
                name: "BYOK_PERMISSIVE_KEYS",
                rule: "must be accept or refuse",
            }),
        }
    }

    fn own_keys(&self) -> Kms {
        Kms::new(self.access.clone(), self.kms_endpoint.clone())
    }
}

fn key(name: &'static str) -> Result<KeyArn, SettingsError> {
    KeyArn::parse(&required(name)?).map_err(|error| SettingsError {
        name,
        rule: error.rule,
    })
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
