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
//! What this room refuses to do: it caches no key and no secret, it knows no
//! HTTP and no table, and it never opens anything of whose format, commitment,
//! place or tag it is not sure; why, it does not tell.

pub mod aws;
mod context;
mod data_key;
mod error;
mod ids;
mod key_policy;
pub mod kms;
mod seal;
mod secret;
mod wipe;

pub use context::{EncryptionContext, Place, PolicyDigest};
pub use data_key::{DATA_KEY_LEN, DataKey, WrappedDataKey};
pub use error::{IntegrityError, KmsFailure, KmsOperation, Refusal};
pub use ids::{BrokerId, InvalidId, KeyArn, SecretName, SecretVersion, WorkspaceId};
pub use key_policy::KeyPolicy;
pub use seal::{SealedSecret, open, seal};
pub use secret::{SECRET_MAX, SecretBytes};
