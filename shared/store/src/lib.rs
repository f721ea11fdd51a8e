//! The records, in DynamoDB, every write conditional.
//!
//! Everything about a workspace lies under one partition key of the table
//! `broker`; what changed or used something lies in the table `audit`.
//!
//! ```text
//! broker  W#<workspace>                    KEY                   Binding            MAC
//!                                          FREEZE                Freeze
//!                                          STATE                 KeyStateRecord
//!                                          S#<name>              Head: live, or a tombstone
//!                                          V#<name>#<0000007>    EarlierVersion: stored, or revoked
//!                                          T#<SHA-256 of token>  TokenRecord        MAC
//!                                          I#<SHA-256>           IdempotencyRecord
//!                                          J#<UUIDv7>            JobRecord          MAC
//!         JOBS                             <workspace>           which job lives there
//! audit   W#<workspace>#<day>#<shard>      <UUIDv7>              AuditRecord
//! ```
//!
//! A put is one transaction: the new head, the archive of the former one, the
//! conditions on the key binding, the freeze and the token, the idempotency
//! record and the audit record all land, or none does. So is every other write that
//! someone asks for.
//!
//! A record that gives authority is one text of JSON, over which its MAC is, and
//! beside it only what DynamoDB itself needs. This room has such MACs made and hands
//! them out as [`Attested`]; checking them is for whoever relies on the record.
//!
//! What this room refuses to do: it reads no clock (`now` is handed in), judges
//! no permission and opens nothing; it overwrites nothing without a condition
//! but what is advice alone and, to freeze a workspace, its freeze; and it reads no
//! record that is not wholly of its kind ([`StoreError::Broken`]).
//! A record's place is its key; what it says of itself can only contradict it.

mod audit;
mod authority;
mod binding;
mod change;
mod error;
mod idempotency;
mod ids;
mod job;
mod names;
mod page;
mod receipt;
mod records;
mod secret;
mod table;
mod token;
mod uuid7;
mod version;
mod wraps;

pub use audit::{Actor, Audit, AuditEntry, AuditKind, AuditOutcome, AuditRecord};
pub use authority::{Attested, Authority};
pub use binding::{BindKey, Binding, Freeze, Grade, KeyStateName, KeyStateRecord};
pub use change::{ChangePolicy, Promote, PutSecret, RevokeVersion};
pub use error::{Cause, StoreError, Which};
pub use idempotency::IdempotencyRecord;
pub use ids::{IdempotencyId, Revision, TokenId};
pub use job::{JobFailure, JobId, JobPhase, JobRecord, JobState, SaveJob};
pub use page::Page;
pub use receipt::ReceiptId;
pub use records::{Records, Wanted};
pub use secret::{Head, HeadStamp, LiveHead, SecretSummary, Tombstone};
pub use table::{Found, Store, StoreConfig};
pub use token::{Permission, SecretPattern, TokenRecord};
pub use version::{EarlierVersion, StoredVersion, ValueForm, VersionSummary};
pub use wraps::{Moved, WrapCount, WrapCounts, WrapItem, WrapPart, WrapPlace};
