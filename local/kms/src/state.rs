//! What the KMS remembers: keys with all their material, grants with all that they
//! were, aliases. In memory it is indexed for answering; on disk it is a list of
//! records ([`Snapshot`]) and of changes to them ([`Change`]).

use crate::KmsError;
use crate::policy::Document;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};
use zeroize::Zeroizing;

/// The encryption context of a call, or of a grant's constraint, sorted by key.
pub(crate) type EncryptionContext = BTreeMap<String, String>;

/// A KMS key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    /// A UUID, unique over all accounts and Regions.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) created: i64,
    pub(crate) description: String,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsage,
    pub(crate) origin: Origin,
    pub(crate) state: KeyState,
    /// The document as it was put, to the byte.
    pub(crate) policy: String,
    /// All material that the key ever had, the current one last. None while an import is awaited.
    pub(crate) materials: Vec<Material>,
    /// Imported material that was deleted or has expired. It is kept: what is imported again
    /// must be the same, and opens what it opened before.
    #[serde(default)]
    pub(crate) material_gone: bool,
}

impl KeyRecord {
    pub(crate) fn arn(&self) -> String {
        format!(
            "arn:aws:kms:{}:{}:key/{}",
            self.region, self.account, self.id
        )
    }

    pub(crate) fn current(&self) -> Option<&Material> {
        self.materials.last()
    }

    pub(crate) fn material(&self, id: &[u8]) -> Option<&Material> {
        self.materials.iter().find(|m| m.id_bytes() == id)
    }
}

/// One generation of a key's secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Material {
    /// 64 hexadecimal digits: `KeyMaterialId`.
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) secret: Secret,
}

impl Material {
    pub(crate) fn generate(now: i64) -> Result<Self, KmsError> {
        Ok(Self {
            id: hex(&random::<32>()?[..]),
            created: now,
            secret: Secret(Zeroizing::new(random::<32>()?.to_vec())),
        })
    }

    pub(crate) fn id_bytes(&self) -> Vec<u8> {
        unhex(&self.id)
    }
}

/// Key material: 32 bytes, wiped on drop, base64 in the state file.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(&self.0[..])))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64
            .decode(&*text)
            .map_err(|_| D::Error::custom("key material is not base64"))?;
        if bytes.len() != 32 {
            return Err(D::Error::custom("key material is not 32 bytes long"));
        }
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// The kinds of key that can be made. Only the symmetric and the HMAC ones do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeySpec {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    Symmetric,
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    #[serde(rename = "ECC_NIST_P256")]
    EccP256,
    #[serde(rename = "HMAC_256")]
    Hmac256,
}

impl KeySpec {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Symmetric, Self::Rsa2048, Self::EccP256, Self::Hmac256]
            .into_iter()
            .find(|spec| spec.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "SYMMETRIC_DEFAULT",
            Self::Rsa2048 => "RSA_2048",
            Self::EccP256 => "ECC_NIST_P256",
            Self::Hmac256 => "HMAC_256",
        }
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyUsage {
    #[serde(rename = "ENCRYPT_DECRYPT")]
    EncryptDecrypt,
    #[serde(rename = "SIGN_VERIFY")]
    SignVerify,
    #[serde(rename = "GENERATE_VERIFY_MAC")]
    Mac,
}

impl KeyUsage {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::EncryptDecrypt, Self::SignVerify, Self::Mac]
            .into_iter()
            .find(|usage| usage.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT_DECRYPT",
            Self::SignVerify => "SIGN_VERIFY",
            Self::Mac => "GENERATE_VERIFY_MAC",
        }
    }
}

/// Where a key's material comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    #[serde(rename = "AWS_KMS")]
    AwsKms,
    #[serde(rename = "EXTERNAL")]
    External,
}

impl Origin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AwsKms => "AWS_KMS",
            Self::External => "EXTERNAL",
        }
    }
}

/// KMS developer guide, "Key states of AWS KMS keys".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    PendingImport,
    /// The key ceases to exist at `until`, milliseconds since 1970.
    PendingDeletion {
        until: i64,
    },
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingImport => "PendingImport",
            Self::PendingDeletion { .. } => "PendingDeletion",
        }
    }
}

/// A grant, live or ended. Ended ones are kept: a propagation delay may still need them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GrantRecord {
    /// 64 hexadecimal digits, unique over all keys.
    pub(crate) id: String,
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
    pub(crate) key: String,
    pub(crate) created: i64,
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
    Grant(GrantRecord),
    Alias(AliasRecord),
    AliasGone(AliasRecord),
}

/// Everything, as the state file holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) format: u32,
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) grants: Vec<GrantRecord>,
    pub(crate) aliases: Vec<AliasRecord>,
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
    pub(crate) keys: BTreeMap<String, KeyEntry>,
    /// By key id, then by grant id.
    pub(crate) grants: HashMap<String, BTreeMap<String, GrantRecord>>,
    /// By token: the key's id and the grant's.
    pub(crate) tokens: HashMap<String, (String, String)>,
    /// By account, Region, name.
    pub(crate) aliases: BTreeMap<(String, String, String), AliasRecord>,
}

impl State {
    /// # Errors
    ///
    /// The policy of a key cannot be parsed: the text says why.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Key(record) => {
                let policy = Document::key_policy(&record.policy)
                    .map_err(|e| format!("the policy of key {}: {e}", record.id))?;
                self.keys
                    .insert(record.id.clone(), KeyEntry { record, policy });
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
        }
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            format: 1,
            keys: self.keys.values().map(|k| k.record.clone()).collect(),
            grants: self
                .grants
                .values()
                .flat_map(|grants| grants.values().cloned())
                .collect(),
            aliases: self.aliases.values().cloned().collect(),
        }
    }

    /// The key, unless its deletion date has passed.
    pub(crate) fn key(&self, id: &str, now: i64) -> Option<&KeyEntry> {
        self.keys.get(id).filter(|key| match key.record.state {
            KeyState::PendingDeletion { until } => now < until,
            _ => true,
        })
    }

    pub(crate) fn grants_of(&self, key: &str) -> impl Iterator<Item = &GrantRecord> {
        self.grants.get(key).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn aliases_of(&self, key: &str) -> impl Iterator<Item = &AliasRecord> {
        self.aliases.values().filter(move |alias| alias.key == key)
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
