//! A key as DescribeKey, CreateKey and ReplicateKey show it.

use crate::clock::epoch_seconds;
use crate::key::{KeyRecord, KeySpec, KeyState, KeyUsage, Material, MultiRegion, Origin};
use crate::state::State;
use serde_json::{Value, json};

/// API reference, "KeyMetadata".
pub(super) fn metadata(state: &State, key: &KeyRecord) -> Value {
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn(),
        "CreationDate": epoch_seconds(key.created),
        "Enabled": key.state == KeyState::Enabled,
        "Description": key.description,
        "KeyUsage": key.usage.name(),
        "KeyState": key.state.name(),
        "Origin": key.origin.name(),
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "MultiRegion": key.multi_region.is_some(),
    });
    match (key.spec, key.usage) {
        (KeySpec::Symmetric, _) => {
            metadata["EncryptionAlgorithms"] = json!(["SYMMETRIC_DEFAULT"]);
            if let Some(material) = key.materials.last() {
                metadata["CurrentKeyMaterialId"] = json!(material.id);
            }
        }
        (KeySpec::Rsa2048, KeyUsage::EncryptDecrypt) => {
            metadata["EncryptionAlgorithms"] = json!(["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]);
        }
        (KeySpec::Rsa2048, _) => {
            metadata["SigningAlgorithms"] = json!([
                "RSASSA_PKCS1_V1_5_SHA_256",
                "RSASSA_PKCS1_V1_5_SHA_384",
                "RSASSA_PKCS1_V1_5_SHA_512",
                "RSASSA_PSS_SHA_256",
                "RSASSA_PSS_SHA_384",
                "RSASSA_PSS_SHA_512",
            ]);
        }
        (KeySpec::EccP256, _) => metadata["SigningAlgorithms"] = json!(["ECDSA_SHA_256"]),
        (KeySpec::Hmac256, _) => metadata["MacAlgorithms"] = json!(["HMAC_SHA_256"]),
    }
    match key.state {
        KeyState::PendingDeletion { until } => {
            metadata["DeletionDate"] = json!(epoch_seconds(until));
        }
        KeyState::PendingReplicaDeletion { days } => {
            metadata["PendingDeletionWindowInDays"] = json!(days);
        }
        _ => {}
    }
    if let Some(kind) = key.multi_region {
        metadata["MultiRegionConfiguration"] = configuration(state, key, kind);
    }
    if key.origin == Origin::External && key.materials.iter().any(Material::is_present) {
        // The earliest date on which the key loses material that belongs to it.
        let first = key.materials.iter().filter_map(Material::expires).min();
        expiration(&mut metadata, first);
    }
    metadata
}

/// API reference, "MultiRegionConfiguration".
fn configuration(state: &State, key: &KeyRecord, kind: MultiRegion) -> Value {
    let mut related = state.with_related(key);
    related.sort_by(|a, b| a.region.cmp(&b.region));
    let entry = |key: &KeyRecord| json!({"Arn": key.arn(), "Region": key.region});
    let (replicas, primary): (Vec<_>, Vec<_>) = related.iter().partition(|key| key.is_replica());
    json!({
        "MultiRegionKeyType": kind.name(),
        "PrimaryKey": primary.first().map(|key| entry(key)),
        "ReplicaKeys": replicas.iter().map(|key| entry(key)).collect::<Vec<_>>(),
    })
}

/// `ExpirationModel` and, of what expires, `ValidTo`.
pub(super) fn expiration(entry: &mut Value, valid_to: Option<i64>) {
    entry["ExpirationModel"] = json!(match valid_to {
        Some(_) => "KEY_MATERIAL_EXPIRES",
        None => "KEY_MATERIAL_DOES_NOT_EXPIRE",
    });
    if let Some(valid_to) = valid_to {
        entry["ValidTo"] = json!(epoch_seconds(valid_to));
    }
}
