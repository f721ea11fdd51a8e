//! What the KMS remembers: keys with all their material, grants with all that they
//! were, aliases. In memory it is indexed for answering; on disk it is a list of
//! records ([`Snapshot`]) and of changes to them ([`Change`]).
//!
//! A deleted key is forgotten with all that belonged to it; that its id was a key's is not.

use crate::KmsError;
use crate::key::{KeyRecord, MULTI_REGION, Secret, slot};
use crate::policy::Document;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use zeroize::Zeroizing;

/// The encryption context of a call, or of a grant's constraint, sorted by key.
pub(crate) type EncryptionContext = BTreeMap<String, String>;

/// A grant, live or ended. Ended ones are kept: a propagation delay may still need them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GrantRecord {
    /// 64 hexadecimal digits, unique over all keys.
    pub(crate) id: String,
    /// The key's slot.
    pub(crate) key: String,
    pub(crate) name: Option<String>,
    pub(crate) grantee: String,
    pub(crate) retiring: Option<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) constraints: Constraints,
    /// Who issued it: the ARN of the key owner's account root.
    pub(crate) issuer: String,
    pub(crate) created: i64,
    /// When it was revoked or retired.
    pub(crate) ended: Option<i64>,
    /// Every token given out for it; an idempotent repeat gives out another.
    pub(crate) tokens: Vec<String>,
}

/// What the encryption context of a call must hold for the grant to cover it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Constraints {
    pub(crate) subset: Option<EncryptionContext>,
    pub(crate) equals: Option<EncryptionContext>,
}

/// A name for a key, within one account and Region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    pub(crate) account: String,
    pub(crate) region: String,
    /// With its prefix `alias/`.
    pub(crate) name: String,
    /// The key's slot.
    pub(crate) key: String,
    pub(crate) created: i64,
    /// When it was last given another key.
    #[serde(default)]
    pub(crate) updated: Option<i64>,
}

impl AliasRecord {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:kms:{}:{}:{}", self.region, self.account, self.name)
    }
}

/// One change, as the journal holds it. Each sets a whole record, so doing one twice does no harm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "change", content = "record")]
pub(crate) enum Change {
    Key(KeyRecord),
    /// The key is deleted, with its material, grants and aliases.
    KeyGone {
        id: String,
        region: String,
    },
    Grant(GrantRecord),
    Alias(AliasRecord),
    AliasGone(AliasRecord),
    /// Several that a killed process must not leave half done: related keys share material.
    All(Vec<Change>),
}

/// The format of [`Snapshot`] that is written. Format 1, which knew neither rotation dates nor
/// multi-Region keys, is read too.
pub(crate) const FORMAT: u32 = 2;

/// Everything, as the state file holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) format: u32,
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) grants: Vec<GrantRecord>,
    pub(crate) aliases: Vec<AliasRecord>,
    /// The ids of deleted keys.
    #[serde(default)]
    pub(crate) gone: BTreeSet<String>,
    /// What import tokens are sealed under; made when a directory is first opened.
    #[serde(default)]
    pub(crate) import_secret: Option<Secret>,
}

/// A key in memory: its record and its policy, parsed.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) record: KeyRecord,
    pub(crate) policy: Document,
}

/// The state in memory.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By slot.
    pub(crate) keys: BTreeMap<String, KeyEntry>,
    /// By the key's slot, then by grant id.
    pub(crate) grants: HashMap<String, BTreeMap<String, GrantRecord>>,
    /// By token: the key's slot and the grant's id.
    pub(crate) tokens: HashMap<String, (String, String)>,
    /// By account, Region, name.
    pub(crate) aliases: BTreeMap<(String, String, String), AliasRecord>,
    pub(crate) gone: BTreeSet<String>,
    pub(crate) import_secret: Option<Secret>,
    /// When something happens to a key by itself, and the key's slot.
    due: BTreeSet<(i64, String)>,
}

impl State {
    /// # Errors
    ///
    /// The policy of a key cannot be parsed: the text says why.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Key(mut record) => {
                let policy = Document::key_policy(&record.policy)
                    .map_err(|e| format!("the policy of key {}: {e}", record.id))?;
                record.upgrade();
                let slot = record.slot();
                self.forget_due(&slot);
                self.due.extend(record.due().map(|at| (at, slot.clone())));
                self.keys.insert(slot, KeyEntry { record, policy });
            }
            Change::KeyGone { id, region } => {
                let slot = slot(&id, &region);
                self.forget_due(&slot);
                self.keys.remove(&slot);
                self.grants.remove(&slot);
                self.tokens.retain(|_, (key, _)| *key != slot);
                self.aliases.retain(|_, alias| alias.key != slot);
                self.gone.insert(id);
            }
            Change::Grant(grant) => {
                for token in &grant.tokens {
                    self.tokens
                        .insert(token.clone(), (grant.key.clone(), grant.id.clone()));
                }
                self.grants
                    .entry(grant.key.clone())
                    .or_default()
                    .insert(grant.id.clone(), grant);
            }
            Change::Alias(alias) => {
                self.aliases.insert(alias_index(&alias), alias);
            }
            Change::AliasGone(alias) => {
                self.aliases.remove(&alias_index(&alias));
            }
            Change::All(changes) => changes.into_iter().try_for_each(|c| self.apply(c))?,
        }
        Ok(())
    }

    fn forget_due(&mut self, slot: &str) {
        if let Some(at) = self.keys.get(slot).and_then(|key| key.record.due()) {
            self.due.remove(&(at, slot.to_owned()));
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            format: FORMAT,
            keys: self.keys.values().map(|k| k.record.clone()).collect(),
            grants: self
                .grants
                .values()
                .flat_map(|grants| grants.values().cloned())
                .collect(),
            aliases: self.aliases.values().cloned().collect(),
            gone: self.gone.clone(),
            import_secret: self.import_secret.clone(),
        }
    }

    /// The key of this id in this Region.
    pub(crate) fn key(&self, id: &str, region: &str) -> Option<&KeyEntry> {
        let key = self.keys.get(&slot(id, region))?;
        (key.record.region == region).then_some(key)
    }

    /// Whether there is or ever was a key of this id, in any Region.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.keys.contains_key(id) || self.gone.contains(id) || self.related(id).next().is_some()
    }

    /// The multi-Region key of this id in all its Regions, in their order; none of a
    /// single-Region key.
    pub(crate) fn related(&self, id: &str) -> impl Iterator<Item = &KeyEntry> {
        let first = format!("{id}@");
        let multi_region = id.starts_with(MULTI_REGION);
        self.keys
            .range(first.clone()..)
            .take_while(move |(slot, _)| multi_region && slot.starts_with(&first))
            .map(|(_, key)| key)
    }

    /// The record and those of its related keys, itself first.
    pub(crate) fn with_related(&self, record: &KeyRecord) -> Vec<KeyRecord> {
        let others = self
            .related(&record.id)
            .map(|key| &key.record)
            .filter(|other| other.region != record.region);
        std::iter::once(record).chain(others).cloned().collect()
    }

    /// The key to which something is to happen by itself at `now` or before, the earliest first.
    pub(crate) fn first_due(&self, now: i64) -> Option<(i64, &KeyEntry)> {
        let (at, slot) = self.due.first().filter(|(at, _)| *at <= now)?;
        Some((*at, self.keys.get(slot)?))
    }

    pub(crate) fn grants_of<'s>(
        &'s self,
        slot: &str,
    ) -> impl Iterator<Item = &'s GrantRecord> + use<'s> {
        self.grants.get(slot).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn aliases_of(&self, slot: &str) -> impl Iterator<Item = &AliasRecord> {
        self.aliases.values().filter(move |alias| alias.key == slot)
    }
}

fn alias_index(alias: &AliasRecord) -> (String, String, String) {
    (
        alias.account.clone(),
        alias.region.clone(),
        alias.name.clone(),
    )
}

/// Random bytes of the operating system; KMSInternalException when there are none.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KmsError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(|_| KmsError::internal())?;
    Ok(bytes)
}

/// A random UUID (version 4).
pub(crate) fn random_uuid() -> Result<uuid::Uuid, KmsError> {
    Ok(uuid::Builder::from_random_bytes(*random::<16>()?).into_uuid())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes of an even number of hexadecimal digits; what is none gives none.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .filter_map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
        .collect()
}
