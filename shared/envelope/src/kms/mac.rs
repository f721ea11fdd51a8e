//! Making and checking the MACs of records that give authority: `GenerateMac`
//! and `VerifyMac`, with HMAC keys that never leave the deployment's own KMS.
//!
//! What passed is remembered, so that a warm function asks KMS once for the same
//! bytes; the memory holds digests, and nothing secret. What did not pass is not
//! remembered. Whatever KMS has against the key is the deployment's own fault
//! and never an answer about a customer's key.

use super::{Attempts, Blob, GenerateMacOutput, Kms, MacAlgorithmSpec, Reason, Refused, RequestId};
use crate::{
    AuthorityRecord, BrokerId, KeyArn, KmsFailure, KmsOperation, MacError, RecordKind, Refusal,
    mac::MAC_LEN,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How many records are remembered at most: 32 bytes each, and as much again around them.
const REMEMBERED_MAX: usize = 8192;

/// Which records, under which key.
struct Scope {
    kind: RecordKind,
    key: KeyArn,
    broker: BrokerId,
}

/// Makes the MACs of one kind of record: `GenerateMac`, and nothing else. Cheap to clone.
#[derive(Clone)]
pub struct MakeMac {
    kms: Kms,
    scope: Arc<Scope>,
}

impl MakeMac {
    pub(super) fn new(kms: Kms, kind: RecordKind, key: KeyArn, broker: BrokerId) -> Self {
        let scope = Arc::new(Scope { kind, key, broker });
        Self { kms, scope }
    }

    /// Has KMS make the MAC of a record, within `time`: 32 bytes.
    ///
    /// # Errors
    /// KMS refused, could not be reached in time, or answered for another key or
    /// with another length.
    pub async fn make(
        &self,
        record: &AuthorityRecord<'_>,
        time: Duration,
    ) -> Result<Vec<u8>, KmsFailure> {
        let Scope { kind, key, broker } = &*self.scope;
        let message = record.digest(*kind, broker);
        let client = self.kms.client(key.region());
        let mut attempts = Attempts::new(KmsOperation::GenerateMac, time);
        let output = loop {
            let call = client
                .generate_mac()
                .key_id(key.as_str())
                .mac_algorithm(MacAlgorithmSpec::HmacSha256)
                .message(Blob::new(message))
                .send();
            match attempts.judge(call).await {
                Ok(output) => break output,
                Err(refused) => {
                    attempts
                        .refused(of_our_own_key(refused), &self.kms, &[], &[])
                        .await?;
                }
            }
        };
        let call = attempts.call(output.request_id(), None);
        let is_asked = |output: &GenerateMacOutput| {
            output.key_id() == Some(key.as_str())
                && output.mac_algorithm() == Some(&MacAlgorithmSpec::HmacSha256)
        };
        Some(output)
            .filter(is_asked)
            .and_then(|output| output.mac)
            .map(Blob::into_inner)
            .filter(|mac| mac.len() == MAC_LEN)
            .ok_or_else(|| attempts.disbelieved(&call))
    }
}

/// Checks the MACs of one kind of record: `VerifyMac`, and nothing else. Cheap to
/// clone; clones remember together.
#[derive(Clone)]
pub struct CheckMac {
    kms: Kms,
    scope: Arc<Scope>,
    passed: Arc<Mutex<Remembered>>,
}

impl CheckMac {
    pub(super) fn new(kms: Kms, kind: RecordKind, key: KeyArn, broker: BrokerId) -> Self {
        Self {
            kms,
            scope: Arc::new(Scope { kind, key, broker }),
            passed: Arc::new(Mutex::new(Remembered::at_most(REMEMBERED_MAX))),
        }
    }

    /// Has KMS check that `mac` is the MAC of this record, within `time`; asks
    /// nothing where the very same passed before.
    ///
    /// # Errors
    /// [`MacError::Forged`] where it is not; [`MacError::Unasked`] where KMS did not say.
    pub async fn check(
        &self,
        record: &AuthorityRecord<'_>,
        mac: &[u8],
        time: Duration,
    ) -> Result<(), MacError> {
        let Scope { kind, key, broker } = &*self.scope;
        if mac.len() != MAC_LEN {
            return Err(MacError::Forged);
        }
        let message = record.digest(*kind, broker);
        // A digest of both, so that what is compared is nothing that a forger can choose.
        let pair = Sha256::new().chain_update(message).chain_update(mac);
        let pair: [u8; 32] = pair.finalize().into();
        if self.passed().knows(&pair) {
            return Ok(());
        }
        let client = self.kms.client(key.region());
        let mut attempts = Attempts::new(KmsOperation::VerifyMac, time);
        let output = loop {
            let call = client
                .verify_mac()
                .key_id(key.as_str())
                .mac_algorithm(MacAlgorithmSpec::HmacSha256)
                .message(Blob::new(message))
                .mac(Blob::new(mac))
                .send();
            match attempts.judge(call).await {
                Ok(output) => break output,
                Err(refused) if refused.code.as_deref() == Some("KMSInvalidMacException") => {
                    return Err(MacError::Forged);
                }
                Err(refused) => {
                    attempts
                        .refused(of_our_own_key(refused), &self.kms, &[], &[])
                        .await
                        .map_err(MacError::Unasked)?;
                }
            }
        };
        let is_asked = output.mac_valid()
            && output.key_id() == Some(key.as_str())
            && output.mac_algorithm() == Some(&MacAlgorithmSpec::HmacSha256);
        if !is_asked {
            let call = attempts.call(output.request_id(), None);
            return Err(MacError::Unasked(attempts.disbelieved(&call)));
        }
        self.passed().add(pair);
        Ok(())
    }

    fn passed(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What KMS has against a key of the deployment's own is no answer about a
/// customer's: its policy, its state and its kind are the broker's to mend.
fn of_our_own_key(refused: Refused) -> Refused {
    let refusal = match refused.refusal {
        Reason::Is(refusal) if refusal.is_definite() || refusal == Refusal::Unsupported => {
            Reason::Is(Refusal::Misconfigured)
        }
        Reason::InvalidState => Reason::Is(Refusal::Misconfigured),
        other @ Reason::Is(_) => other,
    };
    Refused { refusal, ..refused }
}

/// A set that forgets: two halves, of which the older one is dropped when the
/// younger one is full. What is asked for again stays.
struct Remembered {
    half: usize,
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Remembered {
    fn at_most(entries: usize) -> Self {
        Self {
            half: entries / 2,
            young: HashSet::new(),
            old: HashSet::new(),
        }
    }

    fn knows(&mut self, entry: &[u8; 32]) -> bool {
        if self.young.contains(entry) {
            return true;
        }
        let known = self.old.remove(entry);
        if known {
            self.add(*entry);
        }
        known
    }

    fn add(&mut self, entry: [u8; 32]) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> [u8; 32] {
        Sha256::digest(number.to_be_bytes()).into()
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_asked_for_again() {
        let mut remembered = Remembered::at_most(100);
        remembered.add(entry(0));
        for number in 1..10_000 {
            assert!(remembered.knows(&entry(0)), "{number}");
            remembered.add(entry(number));
            assert!(remembered.knows(&entry(number)), "{number}");
            assert!(remembered.young.len() + remembered.old.len() <= 100);
        }
        assert!(
            !remembered.knows(&entry(1)) && !remembered.knows(&entry(10_000)),
            "what nobody asked for is forgotten, and what never passed is not known"
        );
        assert!(remembered.knows(&entry(9_990)));
    }
}
