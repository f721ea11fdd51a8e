//! What a customer writes into their key policy, or grants, so that the broker
//! can work for one workspace and for no other; and what is wrong with what they
//! wrote instead.
//!
//! One statement per job, so that the customer can stop each alone, and every
//! cryptographic one fenced by the encryption context: `StringEquals` on the two
//! pairs that name the deployment and the workspace, and `ForAllValues` on the
//! context's keys, so that nothing can be added (AWS KMS Developer Guide, "AWS KMS
//! condition keys"). `ForAllValues` is true for a call without any context (IAM
//! User Guide, "Set operators for multivalued context keys"); `StringEquals` is
//! not, so a `Null` condition beside them would add nothing.
//!
//! ```text
//! KeyPolicy ── statements, cut, grant     the parts, as JSON
//!           ├─ text(format, way)          the same, ready to paste            texts
//!           └─ lint(draft) -> Report      what a customer's own would do      lint
//! ```
//!
//! What this room refuses to do: it calls no KMS, reads no customer's policy by
//! itself, and never widens what it writes to make a mistake work.

pub mod lint;
mod texts;

use crate::{BrokerId, EncryptionContext, KmsOperation, WorkspaceId};
use serde_json::{Map, Value, json};
pub use texts::{PolicyFormat, Way};

/// One thing that the broker does with a customer's key, which the customer can
/// allow and stop alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// New versions: `GenerateDataKey`.
    Put,
    /// Uses: `Decrypt`.
    Use,
    /// Re-wraps and policy changes: both halves of `ReEncrypt`, which KMS
    /// authorizes one by one. Who may move can read: it is as good as `Decrypt`.
    Move,
    /// Looks at the key: `DescribeKey`.
    Watch,
}

impl Job {
    /// All of them, in the order in which a workspace comes to need them.
    pub const ALL: [Self; 4] = [Self::Put, Self::Use, Self::Move, Self::Watch];

    /// The job that an operation belongs to; none where the customer's key takes
    /// no part in it.
    #[must_use]
    pub fn of(operation: KmsOperation) -> Option<Self> {
        match operation {
            KmsOperation::GenerateDataKey => Some(Self::Put),
            KmsOperation::Decrypt => Some(Self::Use),
            KmsOperation::ReEncrypt => Some(Self::Move),
            KmsOperation::DescribeKey => Some(Self::Watch),
            KmsOperation::GenerateMac | KmsOperation::VerifyMac => None,
        }
    }

    /// The actions that it takes, without the prefix `kms:`; a grant calls its
    /// operations the same (AWS KMS Developer Guide, "AWS KMS permissions").
    #[must_use]
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Put => &["GenerateDataKey"],
            Self::Use => &["Decrypt"],
            Self::Move => &["ReEncryptFrom", "ReEncryptTo"],
            Self::Watch => &["DescribeKey"],
        }
    }

    const fn sid(self) -> &'static str {
        match self {
            Self::Put => "ByokPutSecrets",
            Self::Use => "ByokUseSecrets",
            Self::Move => "ByokMoveSecrets",
            Self::Watch => "ByokWatchKey",
        }
    }

    /// Whether an encryption context goes with its calls: none goes with
    /// DescribeKey, so none can fence it.
    const fn has_context(self) -> bool {
        !matches!(self, Self::Watch)
    }
}

/// The texts of one workspace.
pub struct KeyPolicy<'a> {
    /// The ARN of the broker's role: the one principal that the customer names.
    pub role: &'a str,
    /// The deployment.
    pub broker: &'a BrokerId,
    /// The workspace.
    pub workspace: &'a WorkspaceId,
}

impl KeyPolicy<'_> {
    /// The statement that allows one job.
    #[must_use]
    pub fn statement(&self, job: Job) -> Value {
        let actions: Vec<String> = job
            .actions()
            .iter()
            .map(|action| format!("kms:{action}"))
            .collect();
        let mut statement = json!({
            "Sid": job.sid(),
            "Effect": "Allow",
            "Principal": {"AWS": self.role},
            "Action": match &actions[..] {
                [one] => json!(one),
                several => json!(several),
            },
            "Resource": "*",
        });
        if job.has_context() {
            statement["Condition"] = self.fence();
        }
        statement
    }

    /// The statements of all jobs.
    #[must_use]
    pub fn statements(&self) -> Vec<Value> {
        Job::ALL.map(|job| self.statement(job)).into()
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
        let operations: Vec<&str> = Job::ALL
            .iter()
            .flat_map(|job| job.actions())
            .copied()
            .collect();
        json!({
            "GranteePrincipal": self.role,
            "Operations": operations,
            "Constraints": {"EncryptionContextSubset": self.pairs("")},
            "Name": format!("byok-{}-{}", self.broker, self.workspace),
        })
    }

    fn fence(&self) -> Value {
        json!({
            "StringEquals": self.pairs("kms:EncryptionContext:"),
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": EncryptionContext::KEYS},
        })
    }

    /// The two pairs that name the deployment and the workspace, under keys with a prefix.
    fn pairs(&self, prefix: &str) -> Value {
        let [broker, workspace, ..] = EncryptionContext::KEYS;
        Value::Object(Map::from_iter([
            (format!("{prefix}{broker}"), json!(self.broker.as_str())),
            (
                format!("{prefix}{workspace}"),
                json!(self.workspace.as_str()),
            ),
        ]))
    }

    /// The 12-digit account and the partition of the role, where it is an ARN.
    fn home(&self) -> (&str, &str) {
        let mut parts = self.role.split(':');
        let partition = parts.nth(1).unwrap_or("aws");
        (parts.nth(2).unwrap_or(""), partition)
    }
}
