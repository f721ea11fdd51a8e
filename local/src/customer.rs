//! What a customer's security team does to its own KMS.

use crate::cast::{BROKER_ROLE, REGION, Role};
use envelope::{BrokerId, KeyPolicy, WorkspaceId};
use local_kms::{KmsError, LocalKms};
use serde_json::{Value, json};

/// A customer, with the rights of its own account and no others.
#[derive(Clone)]
pub struct Customer {
    kms: LocalKms,
    role: Role,
}

impl Customer {
    /// A customer of the local KMS.
    #[must_use]
    pub fn new(kms: LocalKms, role: Role) -> Self {
        Self { kms, role }
    }

    /// Makes any KMS call.
    ///
    /// # Errors
    /// As KMS says.
    pub fn call(&self, operation: &str, input: Value) -> Result<Value, KmsError> {
        self.kms
            .call(self.role.access_key_id(), REGION, operation, input)
    }

    /// Makes a key with the default key policy, and answers with its ARN.
    ///
    /// # Errors
    /// As KMS says.
    pub fn create_key(&self) -> Result<String, KmsError> {
        let answer = self.call(
            "CreateKey",
            json!({"Description": "KEK of a workspace of the broker"}),
        )?;
        Ok(answer["KeyMetadata"]["Arn"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Grants the broker the use of a key for one workspace, fenced by the
    /// encryption context; answers with the grant's id.
    ///
    /// # Errors
    /// As KMS says.
    pub fn grant(
        &self,
        key: &str,
        broker: &BrokerId,
        workspace: &WorkspaceId,
    ) -> Result<String, KmsError> {
        let mut input = KeyPolicy {
            role: BROKER_ROLE,
            broker,
            workspace,
        }
        .grant();
        input["KeyId"] = json!(key);
        let answer = self.call("CreateGrant", input)?;
        Ok(answer["GrantId"].as_str().unwrap_or_default().to_owned())
    }

    /// Takes away every grant that the broker has on a key: a repeated
    /// CreateGrant may have left more than one. Answers with how many there were.
    ///
    /// # Errors
    /// As KMS says.
    pub fn revoke_all(&self, key: &str) -> Result<usize, KmsError> {
        let answer = self.call(
            "ListGrants",
            json!({"KeyId": key, "GranteePrincipal": BROKER_ROLE}),
        )?;
        let grants = answer["Grants"].as_array().cloned().unwrap_or_default();
        for grant in &grants {
            self.call(
                "RevokeGrant",
                json!({"KeyId": key, "GrantId": grant["GrantId"]}),
            )?;
        }
        Ok(grants.len())
    }
}
