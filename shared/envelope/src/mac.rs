//! What the MAC of a record that gives authority is over.
//!
//! A record that says who may do what, or under which key, carries a MAC by an
//! HMAC key of the deployment's own KMS. Whoever can write the table, and nothing
//! else, can then neither write such a record nor edit, move or rename one.
//!
//! ```text
//! SHA-256( "byok/v1/mac" | kind | broker | pk | sk | bytes )    -> the message
//! HMAC_SHA_256 under the KMS key of that kind                   -> the MAC, 32 bytes
//! ```
//!
//! Before each part after the label stands its length, as a 64-bit big-endian
//! number, so that no boundary between two parts can be moved. What a MAC does
//! not say is when: a record that was once valid in its place passes again.

use crate::{BrokerId, KmsFailure};
use sha2::{Digest, Sha256};

/// The length of a MAC in bytes: HMAC-SHA-256, uncut.
pub(crate) const MAC_LEN: usize = 32;

/// What a record gives authority over. Each kind has its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Which key a workspace's secrets are wrapped under.
    Binding,
    /// Who may do what.
    Token,
    /// That wrapped data keys are to be moved, and how far that is.
    Job,
    /// Where alerts go.
    AlertTarget,
}

impl RecordKind {
    /// The kind as it stands in the MAC's message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Token => "token",
            Self::Job => "job",
            Self::AlertTarget => "alert_target",
        }
    }
}

/// A record that gives authority: its place in the table and its exact bytes.
#[derive(Debug, Clone, Copy)]
pub struct AuthorityRecord<'a> {
    /// Its partition key.
    pub pk: &'a str,
    /// Its sort key.
    pub sk: &'a str,
    /// Its body, as it is stored.
    pub bytes: &'a [u8],
}

impl AuthorityRecord<'_> {
    /// The message that KMS makes the MAC of.
    pub(crate) fn digest(&self, kind: RecordKind, broker: &BrokerId) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"byok/v1/mac");
        for part in [
            kind.as_str().as_bytes(),
            broker.as_str().as_bytes(),
            self.pk.as_bytes(),
            self.sk.as_bytes(),
            self.bytes,
        ] {
            let length = u64::try_from(part.len()).expect("a length in memory fits 64 bits");
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// Why a record is not believed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MacError {
    /// The MAC is not one of this record: it was forged, edited, moved, or never had one.
    #[error("the record's MAC is not its own")]
    Forged,
    /// KMS did not say whether it is. Nothing is known of the record.
    #[error("the record's MAC was not checked")]
    Unasked(#[source] KmsFailure),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "about")]
        _about: String,
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Vector {
        id: String,
        kind: String,
        broker: String,
        pk: String,
        sk: String,
        bytes: String,
        digest: String,
    }

    const KINDS: [RecordKind; 4] = [
        RecordKind::Binding,
        RecordKind::Token,
        RecordKind::Job,
        RecordKind::AlertTarget,
    ];

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_vector_gives_its_digest_and_no_two_records_share_one() {
        let text = include_str!("../tests/vectors/v1/mac.json");
        // Never edited: see the README beside it.
        assert_eq!(hex(&Sha256::digest(text.as_bytes())), FILE);

        let vectors = serde_json::from_str::<File>(text).unwrap().vectors;
        let mut seen = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for vector in &vectors {
            let kind = KINDS
                .into_iter()
                .find(|kind| kind.as_str() == vector.kind)
                .unwrap();
            let bytes = unhex(&vector.bytes);
            let record = AuthorityRecord {
                pk: &vector.pk,
                sk: &vector.sk,
                bytes: &bytes,
            };
            let digest = hex(&record.digest(kind, &BrokerId::parse(&vector.broker).unwrap()));
            assert_eq!(digest, vector.digest, "{}", vector.id);
            assert!(seen.insert(digest), "{} is another vector's too", vector.id);
            kinds.insert(kind.as_str());
        }
        assert_eq!(kinds.len(), KINDS.len(), "each kind stands somewhere");
    }

    const FILE: &str = "8bc07e220485a888eb8662d96ffd0d4d9a94883f35de1534b8de4ef2b03f30fa";
}
