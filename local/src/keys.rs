//! The deployment's own keys in the local KMS: what template.yaml makes on AWS.
//!
//! Each is found by its alias, and made if it is not there; so they are the same after
//! a restart, and the records that carry their MACs stay authentic.

use crate::{
    cast::{BROKER_ACCOUNT, REGION, Role},
    template::{Keys, rights_to_keys, template},
};
use envelope::{InvalidId, KeyArn};
use local_kms::{KmsError, LocalKms, OpenError};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The deployment's own keys.
#[derive(Debug, Clone)]
pub struct DeploymentKeys {
    /// For the MACs of tokens.
    pub token_mac: KeyArn,
    /// For the MACs of key bindings.
    pub binding_mac: KeyArn,
    /// For the MACs of re-wrap jobs.
    pub job_mac: KeyArn,
    /// Asked where a customer's key denies.
    pub canary: KeyArn,
    /// The deployment's own KEK, where it has one.
    pub deployment: Option<KeyArn>,
}

/// Why the deployment's keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The local KMS refused.
    #[error("the local KMS refused: {0}")]
    Kms(#[from] KmsError),
    /// A role's rights are not a policy.
    #[error(transparent)]
    Rights(#[from] OpenError),
    /// What the local KMS answered is no ARN.
    #[error(transparent)]
    Arn(#[from] InvalidId),
}

impl DeploymentKeys {
    /// Finds or makes them, and gives the functions' roles their rights to them.
    pub(crate) fn ensure(kms: &LocalKms, with_own_kek: bool) -> Result<Self, KeysError> {
        let made = Self {
            token_mac: ensure(kms, "TokenMacKey")?,
            binding_mac: ensure(kms, "BindingMacKey")?,
            job_mac: ensure(kms, "JobMacKey")?,
            canary: ensure(kms, "CanaryKey")?,
            deployment: match with_own_kek {
                true => Some(ensure(kms, "DeploymentKey")?),
                false => None,
            },
        };
        for role in Role::ALL {
            if let Some(policy) = made.rights(role) {
                kms.set_identity_policy(role.access_key_id(), Some(&policy))?;
            }
        }
        Ok(made)
    }

    /// What one of the functions' roles may do to keys: the template's rights, with these
    /// keys in them. `None` for everyone else.
    #[must_use]
    pub fn rights(&self, role: Role) -> Option<Value> {
        let in_template = match role {
            // One environment for all functions: the broker's rights to customers' keys, and
            // every right to the deployment's own.
            Role::Watched => Role::Broker.in_template(),
            role => role.in_template(),
        };
        let mut policy = rights_to_keys(in_template?, &self.by_resource())?;
        if role == Role::Watched {
            let own = json!({
                "Effect": "Allow",
                "Action": ["kms:GenerateMac", "kms:VerifyMac"],
                "Resource": [self.token_mac.as_str(), self.binding_mac.as_str(), self.job_mac.as_str()],
            });
            if let Some(statements) = policy["Statement"].as_array_mut() {
                statements.push(own);
            }
        }
        Some(policy)
    }

    /// Names of keys that nobody is asked for.
    pub(crate) fn nowhere() -> Result<Self, InvalidId> {
        let key = KeyArn::parse(&format!(
            "arn:aws:kms:{REGION}:{BROKER_ACCOUNT}:key/00000000-0000-0000-0000-000000000000"
        ))?;
        Ok(Self {
            token_mac: key.clone(),
            binding_mac: key.clone(),
            job_mac: key.clone(),
            canary: key,
            deployment: None,
        })
    }

    /// By their logical names in the template.
    #[must_use]
    fn by_resource(&self) -> Keys {
        HashMap::from([
            ("TokenMacKey", self.token_mac.to_string()),
            ("BindingMacKey", self.binding_mac.to_string()),
            ("JobMacKey", self.job_mac.to_string()),
            ("CanaryKey", self.canary.to_string()),
        ])
    }
}

fn ensure(kms: &LocalKms, resource: &str) -> Result<KeyArn, KeysError> {
    let call = |operation: &str, input: Value| {
        kms.call(Role::Operator.access_key_id(), REGION, operation, input)
    };
    let alias = format!("alias/byok-{resource}");
    if let Some(known) = kms.key_of_alias(BROKER_ACCOUNT, REGION, &alias) {
        return Ok(KeyArn::parse(&known)?);
    }
    let properties = &template()["Resources"][resource]["Properties"];
    let mut input = json!({"Description": properties["Description"]});
    for name in ["KeySpec", "KeyUsage"] {
        if !properties[name].is_null() {
            input[name] = properties[name].clone();
        }
    }
    let made = call("CreateKey", input)?;
    call(
        "CreateAlias",
        json!({"AliasName": alias, "TargetKeyId": made["KeyMetadata"]["KeyId"]}),
    )?;
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap_or_default();
    Ok(KeyArn::parse(arn)?)
}
