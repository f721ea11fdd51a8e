//! The records, in DynamoDB, every write conditional.
//!
//! Everything about a workspace lies under one partition key of the table
//! `broker`; what changed or used something lies in the table `audit`.
//!
//! ```text
//! broker  W#<workspace>                    KEY                   Binding
//!                                          FREEZE                Freeze
//!                                          STATE                 KeyStateRecord
//!                                          S#<name>              Head: live, or a tombstone
//!                                          V#<name>#<0000007>    StoredVersion, an earlier one
//!                                          T#<SHA-256 of token>  TokenRecord
//!                                          I#<SHA-256>           IdempotencyRecord
//! audit   W#<workspace>#<day>#<shard>      <UUIDv7>              AuditRecord
//! ```
//!
//! A put is one transaction: the new head, the archive of the former one, the
//! conditions on the key binding, the freeze and the token, the idempotency
//! record and the audit record all land, or none does.
//!
//! What this room refuses to do: it reads no clock (`now` is handed in), judges
//! no permission and opens nothing; it overwrites nothing without a condition
//! but what is advice alone; and it reads no record that is not wholly of its
//! kind ([`StoreError::Broken`]).
//! A record's place is its key; what it says of itself can only contradict it.

mod audit;
mod binding;
mod error;
mod ids;
mod names;
mod page;
mod receipt;
mod records;
mod secret;
mod table;
mod token;

pub use audit::{Actor, Audit, AuditEntry, AuditKind, AuditOutcome, AuditRecord};
pub use binding::{BindKey, Binding, Freeze, KeyStateName, KeyStateRecord};
pub use error::{Cause, StoreError, Which};
pub use ids::{IdempotencyId, Revision, TokenId};
pub use page::Page;
pub use receipt::ReceiptId;
pub use records::{Records, Wanted};
pub use secret::{
    Head, HeadStamp, IdempotencyRecord, LiveHead, PutSecret, SecretSummary, StoredVersion,
    Tombstone, ValueForm,
};
pub use table::{Found, Store, StoreConfig};
pub use token::{Permission, SecretPattern, TokenRecord};
