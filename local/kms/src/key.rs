//! A KMS key as it is stored: its record, its generations of material, its state.
//!
//! Related multi-Region keys have a record each, with the same id and the same material;
//! what they share is written to all of them at once. Nothing here asks who may do what.

use crate::KmsError;
use crate::state::{hex, random, unhex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What the id of a multi-Region key begins with.
pub(crate) const MULTI_REGION: &str = "mrk-";

/// Where a key's record lies: the id of a single-Region key, `<id>@<region>` of a
/// multi-Region one. Grants and aliases name their key by it.
pub(crate) fn slot(id: &str, region: &str) -> String {
    match id.starts_with(MULTI_REGION) {
        true => format!("{id}@{region}"),
        false => id.to_owned(),
    }
}

/// A KMS key as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    /// A UUID, unique over all accounts and Regions; `mrk-` and 32 hexadecimal digits where
    /// related keys of other Regions have the same.
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
    /// All material that the key ever had, the current one last. None while the first import is
    /// awaited.
    pub(crate) materials: Vec<Material>,
    /// Imported material that awaits RotateKeyOnDemand.
    #[serde(default)]
    pub(crate) next_material: Option<Material>,
    #[serde(default)]
    pub(crate) rotation: Option<Rotation>,
    #[serde(default)]
    pub(crate) multi_region: Option<MultiRegion>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Read from files of format 1 alone: the imported material is not there.
    #[serde(default, skip_serializing)]
    pub(crate) material_gone: bool,
}

impl KeyRecord {
    pub(crate) fn arn(&self) -> String {
        self.arn_in(&self.region)
    }

    /// The ARN of the related key in `region`.
    pub(crate) fn arn_in(&self, region: &str) -> String {
        format!("arn:aws:kms:{region}:{}:key/{}", self.account, self.id)
    }

    pub(crate) fn slot(&self) -> String {
        slot(&self.id, &self.region)
    }

    /// The material to encrypt under, if it is there.
    pub(crate) fn current(&self) -> Option<&Material> {
        self.materials.last().filter(|m| m.is_present())
    }

    /// The material of that id to decrypt with, if it is there.
    pub(crate) fn material(&self, id: &[u8]) -> Option<&Material> {
        self.materials
            .iter()
            .find(|m| m.id_bytes() == id && m.is_present())
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.multi_region == Some(MultiRegion::Replica)
    }

    /// Whether all material that belongs to the key is there.
    pub(crate) fn is_complete(&self) -> bool {
        !self.materials.is_empty() && self.materials.iter().all(Material::is_present)
    }

    /// The state after material came or went: a key that lacks some is pending import.
    pub(crate) fn settle_import(&mut self) {
        self.state = match (self.state, self.is_complete()) {
            (KeyState::Enabled | KeyState::Disabled, false) => KeyState::PendingImport,
            (KeyState::PendingImport, true) => KeyState::Enabled,
            (state, _) => state,
        };
    }

    /// When something happens to the key by itself, if ever.
    pub(crate) fn due(&self) -> Option<i64> {
        let deleted = match self.state {
            KeyState::PendingDeletion { until } => Some(until),
            _ => None,
        };
        // A key that is not enabled does not rotate; a replica follows its primary key.
        let rotated = (self.rotation.as_ref())
            .filter(|_| self.state == KeyState::Enabled && !self.is_replica())
            .map(|rotation| rotation.next);
        let expired = (self.materials.iter())
            .chain(&self.next_material)
            .filter_map(Material::expires)
            .min();
        [deleted, rotated, expired].into_iter().flatten().min()
    }

    /// What files of format 1 do not say: how the material came to be.
    pub(crate) fn upgrade(&mut self) {
        for (number, material) in self.materials.iter_mut().enumerate() {
            if self.origin == Origin::External && material.import.is_none() {
                material.import = Some(Import {
                    present: !self.material_gone,
                    valid_to: None,
                    description: None,
                });
            }
            if number > 0 && material.rotated.is_none() {
                material.rotated = Some(Rotated::OnDemand);
            }
        }
        self.material_gone = false;
    }
}

/// Automatic rotation, while it is enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    pub(crate) days: i64,
    /// When the next one is due, milliseconds since 1970.
    pub(crate) next: i64,
}

/// What a multi-Region key is among its related keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MultiRegion {
    Primary,
    Replica,
}

impl MultiRegion {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Replica => "REPLICA",
        }
    }
}

/// One generation of a key's secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Material {
    /// 64 hexadecimal digits: `KeyMaterialId`.
    pub(crate) id: String,
    /// When it became the key's, or was first imported.
    pub(crate) created: i64,
    pub(crate) secret: Secret,
    /// By which rotation it came; the first did by none.
    #[serde(default)]
    pub(crate) rotated: Option<Rotated>,
    /// Of imported material.
    #[serde(default)]
    pub(crate) import: Option<Import>,
}

/// `RotationType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rotated {
    #[serde(rename = "AUTOMATIC")]
    Automatic,
    #[serde(rename = "ON_DEMAND")]
    OnDemand,
}

impl Rotated {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Automatic => "AUTOMATIC",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

/// What belongs to imported material. Material that was deleted or has expired is kept, not
/// present: what is imported again must be the same, and opens what it opened before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) present: bool,
    /// When it expires, milliseconds since 1970; never if there is none.
    pub(crate) valid_to: Option<i64>,
    pub(crate) description: Option<String>,
}

impl Material {
    pub(crate) fn generate(now: i64, rotated: Option<Rotated>) -> Result<Self, KmsError> {
        Ok(Self {
            id: hex(&random::<32>()?[..]),
            created: now,
            secret: Secret(Zeroizing::new(random::<32>()?.to_vec())),
            rotated,
            import: None,
        })
    }

    /// Material from outside. Its id follows from the key's id and the bytes (API reference,
    /// "ImportKeyMaterial"), so that the same material is known again, in related keys too.
    pub(crate) fn imported(key_id: &str, bytes: Zeroizing<Vec<u8>>, now: i64) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"local-kms/v1 material");
        digest.update(key_id);
        digest.update(&bytes[..]);
        Self {
            id: hex(&digest.finalize()),
            created: now,
            secret: Secret(bytes),
            rotated: None,
            import: Some(Import {
                present: false,
                valid_to: None,
                description: None,
            }),
        }
    }

    pub(crate) fn id_bytes(&self) -> Vec<u8> {
        unhex(&self.id)
    }

    pub(crate) fn is_present(&self) -> bool {
        self.import.as_ref().is_none_or(|import| import.present)
    }

    /// When it expires, if it is there and does.
    pub(crate) fn expires(&self) -> Option<i64> {
        let import = self.import.as_ref().filter(|import| import.present)?;
        import.valid_to
    }

    /// Takes imported material away; it can be imported again.
    pub(crate) fn remove(&mut self) {
        if let Some(import) = &mut self.import {
            import.present = false;
            import.valid_to = None;
        }
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
    /// A primary key that waits for the last of its replicas to be deleted, and then `days`.
    PendingReplicaDeletion {
        days: i64,
    },
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingImport => "PendingImport",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingReplicaDeletion { .. } => "PendingReplicaDeletion",
        }
    }
}
