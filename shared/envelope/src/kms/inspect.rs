//! Looking at keys: `DescribeKey`.

use super::{Attempts, AwsKeyState, DateTime, KeyMetadata, Kms, Refused, RequestId};
use crate::{KeyArn, KeyName, KmsFailure, KmsOperation};
use std::time::Duration;

/// Looks at keys: `DescribeKey`, and nothing else.
#[derive(Clone)]
pub struct Inspect(Kms);

/// The state of a KMS key (AWS KMS API Reference, `KeyMetadata.KeyState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Usable.
    Enabled,
    /// Turned off by its owner.
    Disabled,
    /// Scheduled for deletion.
    PendingDeletion,
    /// Without key material: never imported, expired, or deleted.
    PendingImport,
    /// On its way to another state, or out of KMS's own reach for now.
    Transient,
}

/// What DescribeKey tells of a key, as far as the broker asks (AWS KMS API
/// Reference, `KeyMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// The key's own ARN, also where an alias was asked about.
    pub arn: KeyArn,
    /// Its state.
    pub state: KeyState,
    /// `SYMMETRIC_DEFAULT` is the one that can wrap data keys.
    pub spec: String,
    /// `ENCRYPT_DECRYPT` is the one that can wrap data keys.
    pub usage: String,
    /// `CUSTOMER`, or `AWS` for a key that an AWS service manages.
    pub manager: String,
    /// Where its material comes from: `AWS_KMS`, `EXTERNAL`, `AWS_CLOUDHSM`, `EXTERNAL_KEY_STORE`.
    pub origin: String,
    /// Whether it is a multi-Region key.
    pub multi_region: bool,
    /// The id of the key material that wraps now; a symmetric key's alone.
    pub current_material: Option<String>,
    /// When its imported material expires, in seconds since 1970; where it does.
    pub valid_to: Option<i64>,
    /// When it is deleted, in seconds since 1970; where that is scheduled.
    pub deletion_date: Option<i64>,
    /// `KEY_MATERIAL_EXPIRES` or `KEY_MATERIAL_DOES_NOT_EXPIRE`; of imported material alone.
    pub expiration_model: Option<String>,
    /// KMS's id of the call.
    pub request_id: String,
}

impl Inspect {
    pub(super) fn new(kms: Kms) -> Self {
        Self(kms)
    }

    /// Describes a key, within `time`. An alias is followed to its key.
    ///
    /// # Errors
    /// KMS refused, could not be reached in time, or described another key.
    pub async fn describe(
        &self,
        key: &KeyName,
        grant_tokens: &[String],
        time: Duration,
    ) -> Result<KeyDescription, KmsFailure> {
        let mut attempts = Attempts::new(KmsOperation::DescribeKey, time);
        let look = Look { key, grant_tokens };
        loop {
            match describe(&self.0, look, &mut attempts).await {
                Ok(description) => return Ok(description),
                Err(refused) => {
                    attempts
                        .refused(refused, &self.0, std::slice::from_ref(key), grant_tokens)
                        .await?;
                }
            }
        }
    }
}

/// Which key is looked at, under which grants.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) key: &'a KeyName,
    pub(super) grant_tokens: &'a [String],
}

/// One attempt.
pub(super) async fn describe(
    kms: &Kms,
    look: Look<'_>,
    attempts: &mut Attempts,
) -> Result<KeyDescription, Refused> {
    let call = kms
        .client(look.key.region())
        .describe_key()
        .key_id(look.key.as_str())
        .set_grant_tokens(Some(look.grant_tokens.to_vec()))
        .send();
    let output = attempts.judge(call).await?;
    let request_id = output.request_id().unwrap_or_default().to_owned();
    let described = output
        .key_metadata
        .and_then(|metadata| Some((named(look.key, &metadata)?, metadata)));
    let Some((arn, metadata)) = described else {
        return Err(Refused::disbelieved(Some(&request_id)));
    };
    Ok(KeyDescription {
        arn,
        state: match metadata.key_state {
            Some(AwsKeyState::Enabled) => KeyState::Enabled,
            Some(AwsKeyState::Disabled) => KeyState::Disabled,
            Some(AwsKeyState::PendingDeletion | AwsKeyState::PendingReplicaDeletion) => {
                KeyState::PendingDeletion
            }
            Some(AwsKeyState::PendingImport) => KeyState::PendingImport,
            _ => KeyState::Transient,
        },
        spec: metadata
            .key_spec
            .map(|spec| spec.as_str().to_owned())
            .unwrap_or_default(),
        usage: metadata
            .key_usage
            .map(|usage| usage.as_str().to_owned())
            .unwrap_or_default(),
        manager: metadata
            .key_manager
            .map(|manager| manager.as_str().to_owned())
            .unwrap_or_default(),
        origin: metadata
            .origin
            .map(|origin| origin.as_str().to_owned())
            .unwrap_or_default(),
        multi_region: metadata.multi_region.unwrap_or(false),
        current_material: metadata.current_key_material_id,
        valid_to: metadata.valid_to.as_ref().map(DateTime::secs),
        deletion_date: metadata.deletion_date.as_ref().map(DateTime::secs),
        expiration_model: metadata
            .expiration_model
            .map(|model| model.as_str().to_owned()),
        request_id,
    })
}

/// The ARN of the key that is described, if it can be the one that was asked about.
fn named(asked: &KeyName, metadata: &KeyMetadata) -> Option<KeyArn> {
    let described = KeyArn::parse(metadata.arn()?).ok()?;
    let is_it = match asked {
        KeyName::Key(key) => *key == described,
        KeyName::Alias(alias) => alias.can_lead_to(&described),
    };
    is_it.then_some(described)
}
