//! What a customer writes into their key policy, or grants, so that the broker
//! can work for one workspace and for no other.
//!
//! One statement per job, so that the customer can stop each alone, and every
//! cryptographic one fenced by the encryption context: `StringEquals` on the two
//! pairs that name the deployment and the workspace, and `ForAllValues` on the
//! context's keys, so that nothing can be added (AWS KMS Developer Guide,
//! "Condition keys for AWS KMS").

use crate::{BrokerId, EncryptionContext, KmsOperation, WorkspaceId};
use serde_json::{Value, json};

/// The texts of one workspace.
pub struct KeyPolicy<'a> {
    /// The broker's role: the one principal that the customer names.
    pub role: &'a str,
    /// The deployment.
    pub broker: &'a BrokerId,
    /// The workspace.
    pub workspace: &'a WorkspaceId,
}

impl KeyPolicy<'_> {
    /// The statement that allows one operation.
    #[must_use]
    pub fn statement(&self, operation: KmsOperation) -> Value {
        let (sid, fenced) = match operation {
            KmsOperation::GenerateDataKey => ("ByokPutSecrets", true),
            KmsOperation::Decrypt => ("ByokUseSecrets", true),
            // No encryption context goes with DescribeKey, so none can fence it.
            KmsOperation::DescribeKey => ("ByokWatchKey", false),
        };
        let mut statement = json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": self.role},
            "Action": format!("kms:{operation}"),
            "Resource": "*",
        });
        if fenced {
            statement["Condition"] = self.fence();
        }
        statement
    }

    /// The statements of all jobs.
    #[must_use]
    pub fn statements(&self) -> Vec<Value> {
        [
            KmsOperation::GenerateDataKey,
            KmsOperation::Decrypt,
            KmsOperation::DescribeKey,
        ]
        .map(|operation| self.statement(operation))
        .into()
    }

    /// The statement that stops every job at once: added, it beats every grant
    /// and every other statement; taken out, it leaves them as they were.
    #[must_use]
    pub fn cut(&self) -> Value {
        json!({
            "Sid": "ByokCut",
            "Effect": "Deny",
            "Principal": {"AWS": self.role},
            "Action": "kms:*",
            "Resource": "*",
        })
    }

    /// The same as a grant, in the parameters of CreateGrant: the way whose end,
    /// RevokeGrant, the customer can watch. Not to be combined with the
    /// statements: whichever stays would still allow.
    #[must_use]
    pub fn grant(&self) -> Value {
        json!({
            "GranteePrincipal": self.role,
            "Operations": ["GenerateDataKey", "Decrypt", "DescribeKey"],
            "Constraints": {"EncryptionContextSubset": {
                "byok:broker": self.broker.as_str(),
                "byok:workspace": self.workspace.as_str(),
            }},
            "Name": format!("byok-{}-{}", self.broker, self.workspace),
        })
    }

    fn fence(&self) -> Value {
        json!({
            "StringEquals": {
                "kms:EncryptionContext:byok:broker": self.broker.as_str(),
                "kms:EncryptionContext:byok:workspace": self.workspace.as_str(),
            },
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": EncryptionContext::KEYS},
        })
    }
}
