//! What a key policy and grants that a customer wrote would do for one workspace:
//! whether the broker could work, whether anyone else could, and what to mend.
//!
//! The document is read as AWS documents it (IAM User Guide, "Grammar of the IAM
//! JSON policy language" and "IAM JSON policy elements: Condition operators"; AWS
//! KMS Developer Guide, "Key policies in AWS KMS", "AWS KMS condition keys" and
//! "Grants in AWS KMS") and asked what it says to the calls that the proof of a key
//! makes, under [`EncryptionContext::probe`](crate::EncryptionContext::probe).
//!
//! ```text
//! value(text) -> JSON           no name twice, of bounded depth
//! statement   -> Statement      the grammar; what is not of it is `malformed`
//! whom, conditions, fence       does it reach the role? does it hold? does it fence?
//! grants                        the same of grants
//! ```
//!
//! What this room refuses to do: it asks KMS nothing, so that only a proof of the
//! key is one; it says nothing of statements that reach someone else alone; and it
//! repeats nothing of the document but the names of statements and grants.

mod actions;
mod conditions;
mod fence;
mod grants;
mod judge;
mod reader;
mod statement;
mod whom;

pub use reader::{Unreadable, value};

use super::KeyPolicy;
use crate::KeyArn;
use serde_json::Value;

/// More findings than this are counted, not listed.
pub const FINDINGS_MAX: usize = 100;

/// What is to be judged. Untrusted: any JSON will do.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// A whole key policy document, as an object or, as GetKeyPolicy gives it, as text.
    pub policy: Option<Value>,
    /// Statements of one: a list, or one statement.
    pub statements: Option<Value>,
    /// Grants, as ListGrants shows them or CreateGrant takes them.
    pub grants: Vec<Value>,
    /// The key that all of this is for, where it is known.
    pub key: Option<KeyArn>,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Of everything together.
    pub grade: Grade,
    /// What is malformed, what allows, what denies, grants, the whole: each in the order
    /// of the document; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: usize,
}

/// What a proof of the key could come to, as far as the document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// The broker could put and use secrets, for this workspace and for nothing else.
    Strict,
    /// It could, but the document lets more through, or gives rights that the broker must not have.
    Permissive,
    /// KMS would not take the document, or the broker could not put or not use.
    Refused,
}

impl Grade {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Permissive => "permissive",
            Self::Refused => "refused",
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// To be mended before the key is bound.
    Error,
    /// To be looked at: it may be meant.
    Warning,
}

impl Severity {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The stable name of the mistake, in lower case with underscores.
    pub code: &'static str,
    /// Where: `statement 2 (Sid …)`, `grant 1 (…)`, `policy`, `grants`. Counted from 1.
    pub at: String,
    /// What it does, and what to do.
    pub message: String,
    /// What to put in its place: statements, or, where it is a grant, CreateGrant's
    /// parameters. May be empty.
    pub mend: Vec<Value>,
}

impl KeyPolicy<'_> {
    /// Judges what a customer wrote for this workspace. Takes anything, and never
    /// fails: what cannot be read is a finding.
    #[must_use]
    pub fn lint(&self, draft: &Draft) -> Report {
        judge::judge(self, draft)
    }
}
