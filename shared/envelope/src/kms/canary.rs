//! Whose a denial is: the customer's, or the broker's own.
//!
//! KMS answers `AccessDeniedException` where a customer took their consent away,
//! and the very same where the broker's role lacks the right in its own account.
//! The canary is a key of the deployment's own whose policy allows the role
//! everything: what is denied there too, the customer did not deny.

use super::{
    Attempts, Kms, Reason,
    inspect::{self, Look},
    probe::{self, Asked},
};
use crate::{BrokerId, EncryptionContext, KeyArn, KeyName, KmsOperation, Refusal};
use std::time::Duration;

/// The key that is asked, and under which context.
pub(super) struct Canary {
    key: KeyName,
    context: EncryptionContext,
}

/// What the canary says about a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The broker may: the customer said no.
    Theirs,
    /// The broker may not, wherever.
    Ours,
    /// The canary gave no answer; whether asking again makes sense.
    Unknown { again: bool },
}

impl Canary {
    pub(super) fn new(key: KeyArn, broker: &BrokerId) -> Self {
        Self {
            key: key.into(),
            context: EncryptionContext::canary(broker),
        }
    }

    /// Asks the canary, once, for an operation that a customer's key denied. The
    /// call whose denial it was is what is made again where there was no answer.
    pub(super) async fn asked(&self, kms: &Kms, operation: KmsOperation, time: Duration) -> Whose {
        let mut attempt = Attempts::new(operation, time);
        let context = Some(&self.context);
        let asked = match operation {
            KmsOperation::GenerateDataKey => Some(Asked::GenerateDataKey(context)),
            KmsOperation::Decrypt => Some(Asked::Decrypt(context)),
            KmsOperation::ReEncrypt => Some(Asked::ReEncrypt {
                from: context,
                to: context,
            }),
            KmsOperation::DescribeKey => None,
            // The keys of MACs are the deployment's own: nobody else can have denied it.
            KmsOperation::GenerateMac | KmsOperation::VerifyMac => return Whose::Ours,
        };
        let look = Look {
            key: &self.key,
            grant_tokens: &[],
        };
        let answer = match asked {
            Some(asked) => probe::would(kms, look, asked, &mut attempt).await.map(drop),
            None => inspect::describe(kms, look, &mut attempt).await.map(drop),
        };
        match answer.map_err(|refused| refused.refusal) {
            Ok(()) => Whose::Theirs,
            Err(Reason::Is(Refusal::AccessDenied | Refusal::Misconfigured)) => Whose::Ours,
            Err(Reason::Is(refusal)) => Whose::Unknown {
                again: refusal.is_transient(),
            },
            Err(Reason::InvalidState) => Whose::Unknown { again: false },
        }
    }
}
