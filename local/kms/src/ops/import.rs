//! GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial: key material from
//! outside, for symmetric encryption and HMAC keys of origin EXTERNAL (developer guide,
//! "Importing key material for AWS KMS keys").
//!
//! A symmetric key can have more material imported, which awaits RotateKeyOnDemand; one at a
//! time. A replica takes what its primary key has, and nothing else.

use super::{Cx, base64, bytes, managed, read, required, wrong_state};
use crate::KmsError;
use crate::clock::{DAY, epoch_seconds, millis_of, time_text};
use crate::key::{KeyRecord, KeySpec, KeyState, Material, Origin};
use crate::policy::Facts;
use crate::settle;
use crate::state::Change;
use crate::wrapping::{self, Algorithm};
use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes of an import token, and of wrapped material, at most.
const MAX: usize = 6144;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParametersInput {
    key_id: Option<String>,
    wrapping_algorithm: Option<String>,
    wrapping_key_spec: Option<String>,
}

/// API reference, "GetParametersForImport": valid for 24 hours, and any number of times.
pub(super) fn parameters(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ParametersInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let algorithm = required(input.wrapping_algorithm, "wrappingAlgorithm")?;
    let spec = required(input.wrapping_key_spec, "wrappingKeySpec")?;
    let mut facts = Facts::default();
    facts.text("kms:WrappingAlgorithm", &algorithm);
    facts.text("kms:WrappingKeySpec", &spec);
    let (algorithm, size) = (Algorithm::parse(&algorithm)?, wrapping::parse_spec(&spec)?);
    let (key, secret) = {
        let live = cx.engine.read();
        let action = "GetParametersForImport";
        let key = managed(cx, &live.state, &key_id, action, facts)?;
        let secret = live.state.import_secret.clone();
        (key, secret.ok_or_else(KmsError::internal)?)
    };
    check(&key)?;
    // Making an RSA key takes long: nobody waits for it but the caller.
    let valid_to = cx.now.saturating_add(DAY);
    let made = wrapping::parameters(&secret, &key.slot(), algorithm, size, valid_to)?;
    Ok(json!({
        "KeyId": key.arn(),
        "ImportToken": base64(&made.token),
        "PublicKey": base64(&made.public_key),
        "ParametersValidTo": epoch_seconds(valid_to),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportInput {
    key_id: Option<String>,
    import_token: Option<String>,
    encrypted_key_material: Option<String>,
    valid_to: Option<f64>,
    expiration_model: Option<String>,
    import_type: Option<String>,
    key_material_description: Option<String>,
    key_material_id: Option<String>,
}

/// API reference, "ImportKeyMaterial".
pub(super) fn import(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: ImportInput = read(input)?;
    let key_id = required(input.key_id.as_deref(), "keyId")?;
    let token = bytes(input.import_token.as_deref(), "importToken", MAX)?;
    let wrapped = input.encrypted_key_material.as_deref();
    let wrapped = bytes(wrapped, "encryptedKeyMaterial", MAX)?;
    let valid_to = valid_to(cx, &input)?;
    let new = import_type(&input)?;
    let mut facts = Facts::default();
    let model = input.expiration_model.as_deref().unwrap_or(EXPIRES);
    facts.text("kms:ExpirationModel", model);
    if let Some(valid_to) = valid_to {
        facts.text("kms:ValidTo", &time_text(valid_to));
    }
    let mut live = cx.engine.write();
    let mut key = managed(cx, &live.state, key_id, "ImportKeyMaterial", facts)?;
    check(&key)?;
    let secret = live.state.import_secret.clone();
    let secret = secret.ok_or_else(KmsError::internal)?;
    let material = wrapping::unwrap(&secret, &key.slot(), &token, &wrapped, cx.now)?;
    if material.len() != 32 {
        return Err(KmsError::incorrect_key_material());
    }
    let material = Material::imported(&key.id, material, cx.now);
    if (input.key_material_id.as_ref()).is_some_and(|id| *id != material.id) {
        return Err(KmsError::incorrect_key_material());
    }
    let id = material.id.clone();
    let place = place(&mut key, material, new)?;
    if let Some(import) = &mut place.import {
        import.present = true;
        import.valid_to = valid_to;
        if input.key_material_description.is_some() {
            import.description = input.key_material_description;
        }
    }
    key.settle_import();
    let answer = json!({"KeyId": key.arn(), "KeyMaterialId": id});
    let mut related = live.state.with_related(&key);
    related[0] = key.clone();
    for record in &mut related[1..] {
        // They know of the new material from now on, but do not have it.
        if record.next_material.is_none() && !key.is_replica() {
            record.next_material.clone_from(&key.next_material);
            record.next_material.iter_mut().for_each(Material::remove);
        }
    }
    live.commit(related.into_iter().map(Change::Key).collect())?;
    Ok(answer)
}

const EXPIRES: &str = "KEY_MATERIAL_EXPIRES";

/// When the material is to expire: in the future, and within 365 days.
fn valid_to(cx: &Cx<'_>, input: &ImportInput) -> Result<Option<i64>, KmsError> {
    match (input.expiration_model.as_deref(), input.valid_to) {
        (None | Some(EXPIRES), Some(seconds)) => millis_of(seconds)
            .filter(|at| *at > cx.now && *at <= cx.now.saturating_add(365 * DAY))
            .map(Some)
            .ok_or_else(|| {
                KmsError::validation("ValidTo must be a date within the next 365 days.")
            }),
        (None | Some(EXPIRES), None) => Err(KmsError::validation(
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES.",
        )),
        (Some("KEY_MATERIAL_DOES_NOT_EXPIRE"), None) => Ok(None),
        (Some("KEY_MATERIAL_DOES_NOT_EXPIRE"), Some(_)) => Err(KmsError::validation(
            "A validTo date must not be set if the ExpirationModel is \
             KEY_MATERIAL_DOES_NOT_EXPIRE.",
        )),
        (Some(other), _) => Err(KmsError::validation(format!(
            "1 validation error detected: Value '{other}' at 'expirationModel' failed to satisfy \
             constraint: Member must satisfy enum value set: [KEY_MATERIAL_EXPIRES, \
             KEY_MATERIAL_DOES_NOT_EXPIRE]"
        ))),
    }
}

/// Whether the request says that the material is new, if it says.
fn import_type(input: &ImportInput) -> Result<Option<bool>, KmsError> {
    if (input.key_material_description.as_ref()).is_some_and(|text| text.chars().count() > 256) {
        return Err(KmsError::validation(
            "1 validation error detected: Value at 'keyMaterialDescription' failed to satisfy \
             constraint: Member must have length less than or equal to 256",
        ));
    }
    match input.import_type.as_deref() {
        None => Ok(None),
        Some("EXISTING_KEY_MATERIAL") => Ok(Some(false)),
        Some("NEW_KEY_MATERIAL") if input.key_material_id.is_some() => Err(KmsError::validation(
            "KeyMaterialId cannot be specified for new key material.",
        )),
        Some("NEW_KEY_MATERIAL") => Ok(Some(true)),
        Some(other) => Err(KmsError::validation(format!(
            "1 validation error detected: Value '{other}' at 'importType' failed to satisfy \
             constraint: Member must satisfy enum value set: [NEW_KEY_MATERIAL, \
             EXISTING_KEY_MATERIAL]"
        ))),
    }
}

/// Where in the key the material belongs: among what it had, or as new.
fn place(
    key: &mut KeyRecord,
    material: Material,
    new: Option<bool>,
) -> Result<&mut Material, KmsError> {
    let first = key.materials.is_empty();
    let (spec, replica) = (key.spec, key.is_replica());
    let at = key.materials.iter().position(|m| m.id == material.id);
    let next = (key.next_material.as_ref()).is_some_and(|m| m.id == material.id);
    match (at, next, new.unwrap_or(first)) {
        (Some(at), _, false) => Ok(&mut key.materials[at]),
        (None, true, false) => (key.next_material.as_mut()).ok_or_else(KmsError::internal),
        (None, false, true) if replica => Err(KmsError::unsupported(
            "New key material is imported into the primary key first.",
        )),
        (None, false, true) if first => {
            key.materials.push(material);
            key.materials.last_mut().ok_or_else(KmsError::internal)
        }
        (None, false, true) if spec == KeySpec::Symmetric && key.next_material.is_none() => {
            Ok(key.next_material.insert(material))
        }
        _ => Err(KmsError::incorrect_key_material()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteInput {
    key_id: Option<String>,
    key_material_id: Option<String>,
}

/// API reference, "DeleteImportedKeyMaterial": the current material, unless another is named.
/// Where there is none yet, nothing happens.
pub(super) fn delete(cx: &Cx<'_>, input: Value) -> Result<Value, KmsError> {
    let input: DeleteInput = read(input)?;
    let key_id = required(input.key_id, "keyId")?;
    let action = "DeleteImportedKeyMaterial";
    let mut live = cx.engine.write();
    let key = managed(cx, &live.state, &key_id, action, Facts::default())?;
    check_origin(&key)?;
    let current = key.materials.last().map(|m| m.id.clone());
    let Some(id) = input.key_material_id.or(current) else {
        return Ok(json!({"KeyId": key.arn()}));
    };
    let mut materials = key.materials.iter().chain(&key.next_material);
    if !materials.any(|m| m.id == id) {
        return Err(KmsError::not_found(format!(
            "Key material {id} is not found."
        )));
    }
    let changes = settle::without_material(&live.state, &key, &id);
    live.commit(changes)?;
    Ok(json!({"KeyId": key.arn(), "KeyMaterialId": id}))
}

/// "Key states of AWS KMS keys": any state but those of a coming deletion.
fn check(key: &KeyRecord) -> Result<(), KmsError> {
    check_origin(key)?;
    match key.state {
        KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
        KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. } => {
            Err(wrong_state(key))
        }
    }
}

fn check_origin(key: &KeyRecord) -> Result<(), KmsError> {
    match (key.origin, key.spec) {
        (Origin::External, KeySpec::Symmetric | KeySpec::Hmac256) => Ok(()),
        (Origin::External, _) => Err(KmsError::unsupported(
            "This KMS does no asymmetric cryptography.",
        )),
        (Origin::AwsKms, _) => Err(KmsError::unsupported(format!(
            "{} origin is AWS_KMS which is not valid for this operation.",
            key.arn()
        ))),
    }
}
