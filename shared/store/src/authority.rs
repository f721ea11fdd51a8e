//! What gives authority, as the bytes that its MAC is over.

use envelope::{AuthorityRecord, RecordKind, kms::MakeMac};

/// A record that gives authority as it lies in the table: where it lies, its exact
/// bytes and its MAC. Whether the MAC is right is for
/// [`CheckMac`](envelope::kms::CheckMac) to say; until then nothing that the record says counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    pub(crate) kind: RecordKind,
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mac: Vec<u8>,
}

impl Attested {
    /// What kind of record it is, by its place.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// What the MAC is over. A record that has no text has no bytes.
    #[must_use]
    pub fn record(&self) -> AuthorityRecord<'_> {
        AuthorityRecord {
            pk: &self.pk,
            sk: &self.sk,
            bytes: &self.bytes,
        }
    }

    /// The MAC; empty, which never passes, where the record has none.
    #[must_use]
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }
}

/// What authenticates the records of a workspace that is being opened.
#[derive(Clone, Copy)]
pub struct Authority<'a> {
    /// For the key binding.
    pub binding: &'a MakeMac,
    /// For the first token.
    pub token: &'a MakeMac,
}
