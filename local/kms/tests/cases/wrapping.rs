//! Importing key material as a customer does: GetParametersForImport, wrap, ImportKeyMaterial.

use crate::world::{REGION, World};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use local_kms::KmsError;
use serde_json::{Value, json};

/// `material` under GetParametersForImport's `PublicKey`, base64 as it is.
pub(crate) fn wrap(public_key: &Value, algorithm: &str, material: &[u8]) -> String {
    let der = BASE64.decode(public_key.as_str().unwrap()).unwrap();
    let key = PublicEncryptingKey::from_der(&der).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let algorithm = match algorithm {
        "RSAES_OAEP_SHA_1" => &OAEP_SHA1_MGF1SHA1,
        "RSAES_OAEP_SHA_256" => &OAEP_SHA256_MGF1SHA256,
        other => panic!("no algorithm {other}"),
    };
    let mut out = vec![0; key.ciphertext_size()];
    let wrapped = key.encrypt(algorithm, material, &mut out, None).unwrap();
    BASE64.encode(wrapped)
}

impl World {
    pub(crate) fn external(&self) -> Value {
        self.make(json!({"Origin": "EXTERNAL"}))["Arn"].clone()
    }

    pub(crate) fn parameters(&self, region: &str, key: &Value) -> Value {
        let input = json!({"KeyId": key, "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "WrappingKeySpec": "RSA_2048"});
        let made = self
            .kms
            .call("admin", region, "GetParametersForImport", input);
        made.unwrap()
    }

    /// ImportKeyMaterial of what does not expire, unless `more` says otherwise.
    pub(crate) fn import(
        &self,
        key: &Value,
        material: &[u8],
        more: Value,
    ) -> Result<Value, KmsError> {
        self.import_in(REGION, key, material, more)
    }

    pub(crate) fn import_in(
        &self,
        region: &str,
        key: &Value,
        material: &[u8],
        more: Value,
    ) -> Result<Value, KmsError> {
        let parameters = self.parameters(region, key);
        let mut input = json!({
            "KeyId": key,
            "ImportToken": parameters["ImportToken"],
            "EncryptedKeyMaterial": wrap(&parameters["PublicKey"], "RSAES_OAEP_SHA_256", material),
        });
        if more["ValidTo"].is_null() {
            input["ExpirationModel"] = json!("KEY_MATERIAL_DOES_NOT_EXPIRE");
        }
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        self.kms.call("admin", region, "ImportKeyMaterial", input)
    }
}
