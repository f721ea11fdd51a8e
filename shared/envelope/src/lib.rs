//! Sealing and wrapping.
//!
//! Each secret version is sealed under its own data key; the data key is
//! wrapped by the workspace's KEK in the customer's KMS, under an
//! [`EncryptionContext`] that says whose secret it is and where it may go.
//!
//! ```text
//! KMS GenerateDataKey(KEK, context) -> DataKey + WrappedDataKey      Wrap
//! seal(DataKey, Place, SecretBytes) -> SealedSecret                  one key, one seal
//! KMS Decrypt(KEK, wrapped, context) -> DataKey                      Unwrap
//! open(SealedSecret, DataKey, Place) -> SecretBytes
//! ```
//!
//! A wrapped data key can be moved to another key or context, and the sealed bytes
//! stay as they are. A record that says who may do what carries a MAC.
//!
//! ```text
//! KMS ReEncrypt(KEK, wrapped, context -> KEK', context') -> WrappedDataKey   Rewrap
//! KMS GenerateMac(digest of an AuthorityRecord) -> MAC                       MakeMac
//! KMS VerifyMac(digest of an AuthorityRecord, MAC) -> yes or no              CheckMac
//! KMS DescribeKey, and the others as dry runs                                Inspect, Probe
//! ```
//!
//! What this room refuses to do: it caches no key and no secret, it knows no
//! HTTP and no table, and it never opens anything of whose format, commitment,
//! place or tag it is not sure; why, it does not tell. What it remembers is that
//! a record of exactly these bytes had its own MAC.

pub mod aws;
mod context;
mod data_key;
mod error;
mod ids;
mod key_name;
mod key_policy;
pub mod kms;
mod mac;
mod seal;
mod secret;
mod wipe;

pub use context::{EncryptionContext, Place, PolicyDigest};
pub use data_key::{DATA_KEY_LEN, DataKey, WrappedDataKey};
pub use error::{IntegrityError, KmsFailure, KmsOperation, Refusal};
pub use ids::{BrokerId, InvalidId, SecretName, SecretVersion, WorkspaceId};
pub use key_name::{KeyAlias, KeyArn, KeyName};
pub use key_policy::{Job, KeyPolicy, PolicyFormat, Way, lint};
pub use mac::{AuthorityRecord, MacError, RecordKind};
pub use seal::{SealedSecret, open, seal};
pub use secret::{SECRET_MAX, SecretBytes};
