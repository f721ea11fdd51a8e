//! Who plays on this machine: the accounts, the principals and their rights.
//!
//! The access keys are made up and mean nothing anywhere else. What a principal
//! of the broker's account may do to keys is its identity policy, which the local
//! KMS evaluates like AWS does. Those of the functions' roles are template.yaml's
//! own: the functions that talk to customers' keys share the one role
//! `byok-broker`; the others have a role each, without any such right.

use local_kms::Principal;
use serde_json::{Value, json};

/// The broker's own account.
pub const BROKER_ACCOUNT: &str = "444455556666";
/// The account of the first customer, who owns the demo workspace's key.
pub const CUSTOMER_ACCOUNT: &str = "111122223333";
/// The account of a second customer.
pub const OTHER_ACCOUNT: &str = "777788889999";
/// The Region in which everything is.
pub const REGION: &str = "eu-west-1";
/// The deployment's id.
pub const BROKER_ID: &str = "local";
/// The table of the workspaces' records.
pub const TABLE: &str = "broker";
/// The table of the audit records.
pub const AUDIT_TABLE: &str = "audit";
/// The role that customers name.
pub const BROKER_ROLE: &str = "arn:aws:iam::444455556666:role/byok-broker";

/// One who can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The first customer's security team.
    Customer,
    /// The second customer's security team.
    OtherCustomer,
    /// The broker's operator: invokes what has no route.
    Operator,
    /// The functions that talk to customers' keys.
    Broker,
    /// read-workspace.
    ReadWorkspace,
    /// manage-tokens.
    ManageTokens,
    /// open-workspace.
    OpenWorkspace,
    /// delete-secret.
    DeleteSecret,
    /// All functions under `cargo lambda watch`, which has one environment for all:
    /// to keys it is the broker role, to the tables the account's administrator.
    Watched,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Customer,
        Self::OtherCustomer,
        Self::Operator,
        Self::Broker,
        Self::ReadWorkspace,
        Self::ManageTokens,
        Self::OpenWorkspace,
        Self::DeleteSecret,
        Self::Watched,
    ];

    /// A short name, as in `local.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// The principal's ARN.
    #[must_use]
    pub fn arn(self) -> String {
        let (_, account, resource, _) = self.parts();
        format!("arn:aws:iam::{account}:{resource}")
    }

    /// The access key id under which it calls.
    #[must_use]
    pub fn access_key_id(self) -> &'static str {
        self.parts().3
    }

    /// The secret access key that goes with it. Its signature is checked by nobody here.
    #[must_use]
    pub fn secret_access_key(self) -> String {
        format!("local-{}-is-no-secret", self.name())
    }

    /// The principal as the local KMS takes it.
    #[must_use]
    pub fn principal(self) -> Principal {
        Principal {
            arn: self.arn(),
            access_key_id: self.access_key_id().to_owned(),
            secret_access_key: self.secret_access_key(),
            identity_policy: self.identity_policy(),
        }
    }

    fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Customer => (
                "customer",
                CUSTOMER_ACCOUNT,
                "user/security",
                "AKIDLOCALCUSTOMER001",
            ),
            Self::OtherCustomer => (
                "other-customer",
                OTHER_ACCOUNT,
                "user/security",
                "AKIDLOCALCUSTOMER002",
            ),
            Self::Operator => (
                "operator",
                BROKER_ACCOUNT,
                "user/operator",
                "AKIDLOCALOPERATOR001",
            ),
            Self::Broker => (
                "broker",
                BROKER_ACCOUNT,
                "role/byok-broker",
                "AKIDLOCALBROKER00001",
            ),
            Self::ReadWorkspace => (
                "read-workspace",
                BROKER_ACCOUNT,
                "role/byok-read-workspace",
                "AKIDLOCALREADWORK001",
            ),
            Self::ManageTokens => (
                "manage-tokens",
                BROKER_ACCOUNT,
                "role/byok-manage-tokens",
                "AKIDLOCALTOKENS00001",
            ),
            Self::OpenWorkspace => (
                "open-workspace",
                BROKER_ACCOUNT,
                "role/byok-open-workspace",
                "AKIDLOCALOPENWORK001",
            ),
            Self::DeleteSecret => (
                "delete-secret",
                BROKER_ACCOUNT,
                "role/byok-delete-secret",
                "AKIDLOCALDELETE00001",
            ),
            Self::Watched => (
                "watched",
                BROKER_ACCOUNT,
                "role/byok-broker",
                "AKIDLOCALWATCHED0001",
            ),
        }
    }

    /// The logical name of the template's role whose rights are this principal's.
    pub(crate) fn in_template(self) -> Option<&'static str> {
        match self {
            Self::Customer | Self::OtherCustomer | Self::Operator | Self::Watched => None,
            Self::Broker => Some("BrokerRole"),
            Self::ReadWorkspace => Some("ReadWorkspaceRole"),
            Self::ManageTokens => Some("ManageTokensRole"),
            Self::OpenWorkspace => Some("OpenWorkspaceRole"),
            Self::DeleteSecret => Some("DeleteSecretRole"),
        }
    }

    /// The rights that a principal begins with: those of an account's administrator, as far
    /// as keys go. The functions' roles get theirs from the template
    /// ([`DeploymentKeys`](crate::keys::DeploymentKeys)), which names keys that are made first.
    fn identity_policy(self) -> Option<Value> {
        match self {
            Self::Customer | Self::OtherCustomer | Self::Operator => Some(json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
            })),
            _ => None,
        }
    }
}
