//! Audit records: what was asked for, stored before it is done, and how it went.

use crate::{ReceiptId, TokenId, names::named};
use envelope::{InvalidId, SecretName, SecretVersion};
use std::{collections::BTreeMap, fmt, str::FromStr};
use time::OffsetDateTime;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The record's id, which tells its day and shard.
    pub id: ReceiptId,
    /// What kind of thing it was.
    pub kind: AuditKind,
    /// When.
    pub at: OffsetDateTime,
    /// Who asked.
    pub token: Actor,
    /// The secret that it was about.
    pub secret: Option<SecretName>,
    /// The version that it was about.
    pub version: Option<SecretVersion>,
    /// The id of the request that asked.
    pub request_id: String,
    /// Where a secret was to go: scheme, host and path, without the query.
    pub destination: Option<String>,
    /// The method of the request that it was to go with.
    pub method: Option<String>,
    /// What else is worth knowing, in few short words. Nothing secret.
    pub detail: BTreeMap<String, String>,
}

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The bearer of a token.
    Token(TokenId),
    /// Who may invoke the functions that have no route.
    Operator,
}

impl From<TokenId> for Actor {
    fn from(id: TokenId) -> Self {
        Self::Token(id)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "operator" => Ok(Self::Operator),
            id => TokenId::parse(id).map(Self::Token),
        }
    }
}

named! {
    /// The kinds of things that leave an audit record.
    pub enum AuditKind, "audit kind" {
        /// A secret was injected into a request, or was to be.
        Use = "use",
        /// A secret's value was told to a caller, or was to be.
        Reveal = "reveal",
        /// A version was put.
        Put = "put",
        /// A secret was deleted.
        Delete = "delete",
        /// A key was bound.
        BindKey = "bind_key",
        /// A key was checked.
        CheckKey = "check_key",
        /// A token was made.
        CreateToken = "create_token",
        /// A token was deleted.
        DeleteToken = "delete_token",
        /// A workspace was opened.
        OpenWorkspace = "open_workspace",
        /// A re-wrap was started.
        Rewrap = "rewrap",
        /// A re-wrap was paused, went on or ended.
        RewrapState = "rewrap_state",
        /// A secret's destination policy was changed.
        ChangePolicy = "change_policy",
        /// An earlier version was made the current one.
        Promote = "promote",
        /// An earlier version was revoked.
        RevokeVersion = "revoke_version",
        /// A workspace was frozen.
        Freeze = "freeze",
        /// A workspace was thawed.
        Thaw = "thaw",
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOutcome {
    /// `ok`, or the code of the error that the caller got.
    pub code: String,
    /// The status that the upstream answered with.
    pub upstream_status: Option<u16>,
    /// KMS's id of the attempt that succeeded, which the customer's log has too.
    pub kms_request_id: Option<String>,
    /// KMS's ids of the other attempts, in order.
    pub kms_attempts: Vec<String>,
    /// Which of the KEK's key material was used, if KMS said.
    pub key_material: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
    /// When it ended.
    pub at: OffsetDateTime,
}

/// What was asked for and, once it is known, how it went. A use without an
/// outcome began, and no more is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// What was asked for.
    pub entry: AuditEntry,
    /// How it went.
    pub outcome: Option<AuditOutcome>,
}

/// The audit record that a write carries in its own transaction: an
/// [`AuditEntry`], whose being there says that the write succeeded, or a whole
/// [`AuditRecord`] with its outcome.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    pub(crate) entry: &'a AuditEntry,
    pub(crate) outcome: Option<&'a AuditOutcome>,
}

impl<'a> From<&'a AuditEntry> for Audit<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        Self {
            entry,
            outcome: None,
        }
    }
}

impl<'a> From<&'a AuditRecord> for Audit<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            entry: &record.entry,
            outcome: record.outcome.as_ref(),
        }
    }
}
