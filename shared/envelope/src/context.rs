//! What a wrap and a seal are bound to.

use crate::{BrokerId, SecretName, SecretVersion, WorkspaceId};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Where a sealed secret belongs: one version of one secret of one workspace of
/// one deployment. Opening it anywhere else fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The deployment.
    pub broker: BrokerId,
    /// The workspace, from the authenticated caller, never from a body.
    pub workspace: WorkspaceId,
    /// The secret's name.
    pub name: SecretName,
    /// The number of its version.
    pub version: SecretVersion,
}

impl Place {
    /// The bytes that the AEAD authenticates beside the secret: each part
    /// prefixed by its length as a 16-bit big-endian number, in the order label,
    /// format version, suite, broker, workspace, name, secret version (4 bytes,
    /// big-endian). The KEK and the policy are left out: the wrapped key's
    /// context binds both, and a re-wrap must leave the sealed bytes valid.
    pub(crate) fn aad(&self, format: u8, suite: u8) -> Vec<u8> {
        let number = self.version.number().to_be_bytes();
        let parts: [&[u8]; 7] = [
            b"byok/v1/aad",
            &[format],
            &[suite],
            self.broker.as_str().as_bytes(),
            self.workspace.as_str().as_bytes(),
            self.name.as_str().as_bytes(),
            &number,
        ];
        let mut aad = Vec::with_capacity(parts.iter().map(|part| part.len() + 2).sum());
        for part in parts {
            let length = u16::try_from(part.len()).expect("every id is shorter than 64 KiB");
            aad.extend_from_slice(&length.to_be_bytes());
            aad.extend_from_slice(part);
        }
        aad
    }
}

/// SHA-256 over the exact stored bytes of a destination policy's canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// The digest of a policy's canonical bytes.
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        Self(Sha256::digest(canonical).into())
    }

    fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// The non-secret map that KMS binds a wrapped data key to, and that the
/// customer's CloudTrail shows. Identical at wrap and unwrap; five pairs, so
/// that three of the eight that a grant can constrain stay free.
///
/// ```text
/// byok:broker  byok:workspace  byok:secret  byok:version  byok:policy
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionContext([(&'static str, String); 5]);

impl EncryptionContext {
    /// The names of the pairs, as key policies and grants must spell them.
    pub const KEYS: [&'static str; 5] = [
        "byok:broker",
        "byok:workspace",
        "byok:secret",
        "byok:version",
        "byok:policy",
    ];

    /// The context of one secret version under one policy.
    #[must_use]
    pub fn new(place: &Place, policy: &PolicyDigest) -> Self {
        Self::of(
            &place.broker,
            place.workspace.as_str(),
            place.name.as_str().to_owned(),
            place.version.to_string(),
            policy,
        )
    }

    /// The context of a proof of a workspace's key: `byok:secret` is `$probe`,
    /// which no secret can be called.
    #[must_use]
    pub fn probe(broker: &BrokerId, workspace: &WorkspaceId) -> Self {
        Self::of(
            broker,
            workspace.as_str(),
            "$probe".to_owned(),
            "0".to_owned(),
            &PolicyDigest::of(b""),
        )
    }

    /// The context of a question about the deployment's own canary key:
    /// `byok:workspace` and `byok:secret` are `$canary`, which no workspace and no
    /// secret can be called.
    #[must_use]
    pub fn canary(broker: &BrokerId) -> Self {
        Self::of(
            broker,
            "$canary",
            "$canary".to_owned(),
            "0".to_owned(),
            &PolicyDigest::of(b""),
        )
    }

    /// The pairs, in the order of [`KEYS`](Self::KEYS).
    #[must_use]
    pub fn pairs(&self) -> &[(&'static str, String); 5] {
        &self.0
    }

    fn of(
        broker: &BrokerId,
        workspace: &str,
        secret: String,
        version: String,
        policy: &PolicyDigest,
    ) -> Self {
        let values = [
            broker.as_str().to_owned(),
            workspace.to_owned(),
            secret,
            version,
            policy.text(),
        ];
        let mut values = values.into_iter();
        Self(Self::KEYS.map(|key| (key, values.next().expect("one value for each of five keys"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn no_two_places_share_their_aad() {
        let place = |workspace: &str, name: &str, version| Place {
            broker: BrokerId::parse("prod").unwrap(),
            workspace: WorkspaceId::parse(workspace).unwrap(),
            name: SecretName::parse(name).unwrap(),
            version: SecretVersion::new(version).unwrap(),
        };
        // The boundary between two neighbours is moved: without lengths these would be equal.
        assert_ne!(
            place("acme", "pay", 1).aad(1, 1),
            place("acmep", "ay", 1).aad(1, 1)
        );
        assert_ne!(
            place("acme", "pay", 1).aad(1, 1),
            place("acme", "pay", 256).aad(1, 1)
        );
        assert_ne!(
            place("acme", "pay", 1).aad(1, 1),
            place("acme", "pay", 1).aad(1, 2)
        );
    }

    #[test]
    fn a_context_says_what_it_is_for() {
        let broker = BrokerId::parse("prod").unwrap();
        let workspace = WorkspaceId::parse("acme").unwrap();
        let probe = EncryptionContext::probe(&broker, &workspace);
        let pairs: Vec<_> = probe
            .pairs()
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("byok:broker", "prod"),
                ("byok:workspace", "acme"),
                ("byok:secret", "$probe"),
                ("byok:version", "0"),
                ("byok:policy", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"),
            ]
        );
    }

    #[test]
    fn the_canarys_context_can_be_no_workspaces() {
        let pairs = EncryptionContext::canary(&BrokerId::parse("prod").unwrap());
        let values: Vec<_> = pairs.pairs().iter().map(|(_, value)| value).collect();
        assert_eq!(values[..4], ["prod", "$canary", "$canary", "0"]);
        assert!(WorkspaceId::parse(values[1]).is_err() && SecretName::parse(values[2]).is_err());
    }

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
        #[serde(rename = "comment")]
        _comment: String,
        changed: Option<String>,
        place: PlaceText,
        policy: String,
        pairs: BTreeMap<String, String>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PlaceText {
        broker: String,
        workspace: String,
        name: String,
        version: u64,
    }

    fn context_of(vector: &Vector) -> BTreeMap<String, String> {
        let place = Place {
            broker: BrokerId::parse(&vector.place.broker).unwrap(),
            workspace: WorkspaceId::parse(&vector.place.workspace).unwrap(),
            name: SecretName::parse(&vector.place.name).unwrap(),
            version: SecretVersion::new(vector.place.version).unwrap(),
        };
        let context = EncryptionContext::new(&place, &PolicyDigest::of(vector.policy.as_bytes()));
        context
            .pairs()
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn every_context_vector_gives_exactly_its_five_pairs_and_no_two_give_the_same() {
        let text = include_str!("../tests/vectors/v1/context.json");
        // Never edited: see the README beside it.
        let digest = PolicyDigest::of(text.as_bytes()).text();
        assert_eq!(digest, "b_uMmFUNVjh0b7WcLjmkbORhS7lYSGnjtA2OdldDDCg");

        let vectors = serde_json::from_str::<File>(text).unwrap().vectors;
        let base = vectors.iter().find(|vector| vector.id == "base").unwrap();
        let mut changed = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for vector in &vectors {
            let pairs = context_of(vector);
            assert_eq!(pairs, vector.pairs, "{}", vector.id);
            assert!(
                pairs
                    .keys()
                    .map(String::as_str)
                    .eq(EncryptionContext::KEYS.into_iter().collect::<BTreeSet<_>>())
            );
            assert!(
                seen.insert(pairs.clone()),
                "{} is another vector's too",
                vector.id
            );
            if let Some(key) = &vector.changed {
                let differing: Vec<_> = base
                    .pairs
                    .keys()
                    .filter(|key| pairs[*key] != base.pairs[*key])
                    .collect();
                assert_eq!(differing, [key], "{}", vector.id);
                changed.insert(key.as_str());
            }
        }
        assert_eq!(
            changed,
            BTreeSet::from(EncryptionContext::KEYS),
            "each pair is changed alone somewhere"
        );
    }
}
