//! Imported key material: it comes, expires, is deleted, and comes back the same.

use crate::world::{DAY, ELSEWHERE, World};
use crate::wrapping::wrap;
use serde_json::{Value, json};
use std::time::Duration;

const ONE: [u8; 32] = [1; 32];
const TWO: [u8; 32] = [2; 32];

fn seal(world: &World, key: &Value) -> Value {
    let input = json!({"KeyId": key, "KeySpec": "AES_256"});
    world.ok("admin", "GenerateDataKey", input)
}

fn open(world: &World, sealed: &Value) -> &'static str {
    let input = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
    world.code("admin", "Decrypt", input)
}

fn code(result: Result<Value, local_kms::KmsError>) -> &'static str {
    result.map_or_else(|error| error.code, |_| "ok")
}

#[test]
fn imported_material_opens_what_it_sealed_after_it_was_deleted_and_imported_again() {
    let world = World::new();
    let key = world.external();
    assert_eq!(world.describe(&key)["KeyState"], "PendingImport");
    assert_eq!(world.describe(&key)["ExpirationModel"], Value::Null);
    let imported = world.import(&key, &ONE, json!({})).unwrap();
    assert_eq!(imported["KeyId"], key);
    let described = world.describe(&key);
    assert_eq!(described["KeyState"], "Enabled");
    assert_eq!(described["CurrentKeyMaterialId"], imported["KeyMaterialId"]);
    assert_eq!(described["ExpirationModel"], "KEY_MATERIAL_DOES_NOT_EXPIRE");
    assert_eq!(described["ValidTo"], Value::Null);
    let sealed = seal(&world, &key);
    assert_eq!(sealed["KeyMaterialId"], imported["KeyMaterialId"]);
    let deleted = world.ok("admin", "DeleteImportedKeyMaterial", json!({"KeyId": key}));
    assert_eq!(deleted["KeyMaterialId"], imported["KeyMaterialId"]);
    assert_eq!(world.describe(&key)["KeyState"], "PendingImport");
    assert_eq!(open(&world, &sealed), "KMSInvalidStateException");
    let world = world.reopened();
    assert_eq!(open(&world, &sealed), "KMSInvalidStateException");
    let other = world.import(&key, &TWO, json!({}));
    assert_eq!(code(other), "IncorrectKeyMaterialException");
    let again = world.import(&key, &ONE, json!({})).unwrap();
    assert_eq!(again["KeyMaterialId"], imported["KeyMaterialId"]);
    assert_eq!(open(&world, &sealed), "ok");
}

#[test]
fn material_expires_on_its_date_and_comes_back_with_another() {
    let world = World::new();
    let key = world.external();
    let valid_to = world.now() + 86_400.0;
    world
        .import(&key, &ONE, json!({"ValidTo": valid_to}))
        .unwrap();
    let sealed = seal(&world, &key);
    let described = world.describe(&key);
    assert_eq!(described["ExpirationModel"], "KEY_MATERIAL_EXPIRES");
    assert_eq!(described["ValidTo"], valid_to);
    world.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(open(&world, &sealed), "ok");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(open(&world, &sealed), "KMSInvalidStateException");
    let described = world.describe(&key);
    assert_eq!(described["KeyState"], "PendingImport");
    assert_eq!(described["ValidTo"], Value::Null);
    let events = world.kms.events().unwrap();
    let expired = events
        .iter()
        .find(|e| e["eventName"] == "DeleteExpiredKeyMaterial");
    let expired = expired.unwrap();
    assert_eq!(expired["eventType"], "AwsServiceEvent");
    assert_eq!(expired["resources"][0]["ARN"], key);
    let world = world.reopened();
    assert_eq!(open(&world, &sealed), "KMSInvalidStateException");
    world.import(&key, &ONE, json!({})).unwrap();
    assert_eq!(open(&world, &sealed), "ok");
    world.clock.advance(1000 * DAY);
    assert_eq!(open(&world, &sealed), "ok");
    // Imported anew, it can expire again; a disabled key stays disabled meanwhile.
    world.ok("admin", "DisableKey", json!({"KeyId": key}));
    let valid_to = world.now() + 1.0;
    world
        .import(&key, &ONE, json!({"ValidTo": valid_to}))
        .unwrap();
    assert_eq!(world.describe(&key)["KeyState"], "Disabled");
    world.clock.advance(DAY);
    assert_eq!(world.describe(&key)["KeyState"], "PendingImport");
}

#[test]
fn expiry_dates_are_of_the_next_365_days_and_go_with_their_model() {
    let world = World::new();
    let key = world.external();
    let now = world.now();
    let days = |days: f64| json!(now + days * 86_400.0);
    for (more, answer) in [
        (
            json!({"ExpirationModel": "KEY_MATERIAL_EXPIRES"}),
            "ValidationException",
        ),
        (json!({"ExpirationModel": null}), "ValidationException"),
        (
            json!({"ExpirationModel": "SOMETIMES"}),
            "ValidationException",
        ),
        (
            json!({"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "ValidTo": days(1.0)}),
            "ValidationException",
        ),
        (json!({"ValidTo": days(0.0)}), "ValidationException"),
        (json!({"ValidTo": days(366.0)}), "ValidationException"),
        (json!({"ValidTo": "tomorrow"}), "SerializationException"),
        (json!({"ValidTo": days(365.0)}), "ok"),
    ] {
        let got = code(world.import(&key, &ONE, more.clone()));
        assert_eq!(got, answer, "{more}");
    }
}

#[test]
fn a_token_is_for_one_key_and_24_hours() {
    let world = World::new();
    let (key, other) = (world.external(), world.external());
    let parameters = world.parameters("eu-west-1", &key);
    assert_eq!(parameters["KeyId"], key);
    assert_eq!(parameters["ParametersValidTo"], world.now() + 86_400.0);
    let wrapped = wrap(&parameters["PublicKey"], "RSAES_OAEP_SHA_256", &ONE);
    let input = json!({"KeyId": key, "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": wrapped, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"});
    let with = |name: &str, value: Value| {
        let mut input = input.clone();
        input[name] = value;
        input
    };
    let import = |world: &World, input: Value| world.code("admin", "ImportKeyMaterial", input);
    let bad = "InvalidImportTokenException";
    assert_eq!(import(&world, with("KeyId", other.clone())), bad);
    assert_eq!(import(&world, with("ImportToken", json!("aGVsbG8="))), bad);
    let mut flipped = parameters["ImportToken"].as_str().unwrap().to_owned();
    let last = if flipped.ends_with("AAA=") {
        "AAB="
    } else {
        "AAA="
    };
    flipped.replace_range(flipped.len() - 4.., last);
    assert_eq!(import(&world, with("ImportToken", json!(flipped))), bad);
    // Wrapped under another public key, under another algorithm, or not at all.
    let second = world.parameters("eu-west-1", &key);
    for wrapped in [
        wrap(&second["PublicKey"], "RSAES_OAEP_SHA_256", &ONE),
        wrap(&parameters["PublicKey"], "RSAES_OAEP_SHA_1", &ONE),
        "aGVsbG8=".to_owned(),
    ] {
        let got = import(&world, with("EncryptedKeyMaterial", json!(wrapped)));
        assert_eq!(got, "InvalidCiphertextException");
    }
    for length in [0, 16, 31, 33, 64] {
        let wrapped = wrap(
            &parameters["PublicKey"],
            "RSAES_OAEP_SHA_256",
            &vec![1; length],
        );
        let got = import(&world, with("EncryptedKeyMaterial", json!(wrapped)));
        assert_eq!(got, "IncorrectKeyMaterialException", "{length}");
    }
    // The state directory's own secret outlives a restart.
    let world = world.reopened();
    world.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(import(&world, input.clone()), "ok");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(import(&world, input.clone()), "ExpiredImportTokenException");
    assert_eq!(world.describe(&other)["KeyState"], "PendingImport");
}

#[test]
fn every_wrapping_key_and_oaep_algorithm_works() {
    let world = World::new();
    let key = world.external();
    for (spec, algorithm) in [
        ("RSA_2048", "RSAES_OAEP_SHA_1"),
        ("RSA_2048", "RSAES_OAEP_SHA_256"),
        ("RSA_3072", "RSAES_OAEP_SHA_256"),
        ("RSA_4096", "RSAES_OAEP_SHA_256"),
    ] {
        let input = json!({"KeyId": key, "WrappingAlgorithm": algorithm, "WrappingKeySpec": spec});
        let made = world.ok("admin", "GetParametersForImport", input);
        let input = json!({"KeyId": key, "ImportToken": made["ImportToken"],
            "EncryptedKeyMaterial": wrap(&made["PublicKey"], algorithm, &ONE),
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"});
        assert_eq!(
            world.code("admin", "ImportKeyMaterial", input),
            "ok",
            "{spec} {algorithm}"
        );
    }
    for (spec, algorithm, answer) in [
        (
            "RSA_2048",
            "RSAES_PKCS1_V1_5",
            "UnsupportedOperationException",
        ),
        (
            "RSA_2048",
            "RSA_AES_KEY_WRAP_SHA_256",
            "UnsupportedOperationException",
        ),
        ("SM2", "RSAES_OAEP_SHA_256", "UnsupportedOperationException"),
        ("RSA_1024", "RSAES_OAEP_SHA_256", "ValidationException"),
        ("RSA_2048", "ROT13", "ValidationException"),
    ] {
        let input = json!({"KeyId": key, "WrappingAlgorithm": algorithm, "WrappingKeySpec": spec});
        let got = world.code("admin", "GetParametersForImport", input);
        assert_eq!(got, answer, "{spec} {algorithm}");
    }
}

#[test]
fn new_material_awaits_its_rotation_and_the_old_still_opens() {
    let world = World::new();
    let key = world.external();
    let first = world
        .import(&key, &ONE, json!({"KeyMaterialDescription": "the first"}))
        .unwrap();
    let sealed = seal(&world, &key);
    let rotate = |world: &World| world.code("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    assert_eq!(rotate(&world), "KMSInvalidStateException");
    let new = json!({"ImportType": "NEW_KEY_MATERIAL"});
    let known = "IncorrectKeyMaterialException";
    assert_eq!(code(world.import(&key, &ONE, new.clone())), known);
    let second = world.import(&key, &TWO, new.clone()).unwrap();
    assert_ne!(second["KeyMaterialId"], first["KeyMaterialId"]);
    assert_eq!(code(world.import(&key, &[3; 32], new.clone())), known);
    assert_eq!(
        world.describe(&key)["CurrentKeyMaterialId"],
        first["KeyMaterialId"]
    );
    let all = json!({"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"});
    let list =
        |world: &World| world.ok("admin", "ListKeyRotations", all.clone())["Rotations"].clone();
    assert_eq!(list(&world)[0]["KeyMaterialDescription"], "the first");
    assert_eq!(list(&world)[0]["ImportState"], "IMPORTED");
    assert_eq!(list(&world)[1]["KeyMaterialState"], "PENDING_ROTATION");
    assert_eq!(rotate(&world), "ok");
    let world = world.reopened();
    assert_eq!(
        world.describe(&key)["CurrentKeyMaterialId"],
        second["KeyMaterialId"]
    );
    assert_eq!(list(&world)[0]["KeyMaterialState"], "NON_CURRENT");
    assert_eq!(list(&world)[1]["KeyMaterialState"], "CURRENT");
    assert_eq!(list(&world)[1]["RotationType"], "ON_DEMAND");
    assert_eq!(open(&world, &sealed), "ok");
    assert_eq!(seal(&world, &key)["KeyMaterialId"], second["KeyMaterialId"]);
    // All that belongs to the key must be there.
    let old = json!({"KeyId": key, "KeyMaterialId": first["KeyMaterialId"]});
    world.ok("admin", "DeleteImportedKeyMaterial", old);
    assert_eq!(world.describe(&key)["KeyState"], "PendingImport");
    assert_eq!(list(&world)[0]["ImportState"], "PENDING_IMPORT");
    let wrong = json!({"KeyMaterialId": second["KeyMaterialId"]});
    assert_eq!(code(world.import(&key, &ONE, wrong)), known);
    let right = json!({"KeyMaterialId": first["KeyMaterialId"]});
    assert_eq!(code(world.import(&key, &ONE, right)), "ok");
    assert_eq!(list(&world)[0]["KeyMaterialDescription"], "the first");
    assert_eq!(world.describe(&key)["KeyState"], "Enabled");
    let none = json!({"KeyId": key, "KeyMaterialId": "0".repeat(64)});
    let got = world.code("admin", "DeleteImportedKeyMaterial", none);
    assert_eq!(got, "NotFoundException");
    let both = json!({"ImportType": "NEW_KEY_MATERIAL", "KeyMaterialId": "0".repeat(64)});
    assert_eq!(
        code(world.import(&key, &[3; 32], both)),
        "ValidationException"
    );
    assert_eq!(
        code(world.import(&key, &[3; 32], json!({"ImportType": "OLD"}))),
        "ValidationException"
    );
}

#[test]
fn material_that_awaits_its_rotation_can_be_exchanged_and_does_not_stop_the_key() {
    let world = World::new();
    let key = world.external();
    world.import(&key, &ONE, json!({})).unwrap();
    let new = json!({"ImportType": "NEW_KEY_MATERIAL"});
    let second = world.import(&key, &TWO, new.clone()).unwrap();
    let input = json!({"KeyId": key, "KeyMaterialId": second["KeyMaterialId"]});
    world.ok("admin", "DeleteImportedKeyMaterial", input);
    assert_eq!(world.describe(&key)["KeyState"], "Enabled");
    let expires = json!({"ImportType": "NEW_KEY_MATERIAL", "ValidTo": world.now() + 60.0});
    let third = world.import(&key, &[3; 32], expires).unwrap();
    assert_ne!(third["KeyMaterialId"], second["KeyMaterialId"]);
    assert_eq!(world.describe(&key)["ValidTo"], Value::Null);
    world.clock.advance(DAY);
    assert_eq!(world.describe(&key)["KeyState"], "Enabled");
    let rotate = || world.code("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    assert_eq!(rotate(), "KMSInvalidStateException");
    world.import(&key, &[4; 32], new).unwrap();
    assert_eq!(rotate(), "ok");
}

#[test]
fn a_replica_takes_the_material_of_its_primary_key_and_no_other() {
    let world = World::new();
    let made = world.make(json!({"Origin": "EXTERNAL", "MultiRegion": true}));
    let primary = made["Arn"].clone();
    let replicate = json!({"KeyId": primary, "ReplicaRegion": ELSEWHERE});
    let got = world.code("admin", "ReplicateKey", replicate.clone());
    assert_eq!(got, "KMSInvalidStateException");
    world.import(&primary, &ONE, json!({})).unwrap();
    let sealed = seal(&world, &primary);
    let made = world.ok("admin", "ReplicateKey", replicate)["ReplicaKeyMetadata"].clone();
    assert_eq!(made["KeyState"], "PendingImport");
    let replica = made["Arn"].clone();
    let there = |material: &[u8], more| code(world.import_in(ELSEWHERE, &replica, material, more));
    let new = json!({"ImportType": "NEW_KEY_MATERIAL"});
    assert_eq!(there(&TWO, json!({})), "IncorrectKeyMaterialException");
    assert_eq!(there(&TWO, new.clone()), "UnsupportedOperationException");
    assert_eq!(there(&ONE, json!({})), "ok");
    let blob = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
    let opened = world.ok_there("Decrypt", blob.clone());
    assert_eq!(
        (&opened["KeyId"], &opened["Plaintext"]),
        (&replica, &sealed["Plaintext"])
    );
    // One key's material goes without the other's.
    world.ok_there("DeleteImportedKeyMaterial", json!({"KeyId": replica}));
    assert_eq!(
        world.code_there("Decrypt", blob.clone()),
        "KMSInvalidStateException"
    );
    assert_eq!(open(&world, &sealed), "ok");
    assert_eq!(there(&ONE, json!({})), "ok");
    // New material is rotated to once it is everywhere.
    world.import(&primary, &TWO, new).unwrap();
    let rotate = || world.code("admin", "RotateKeyOnDemand", json!({"KeyId": primary}));
    assert_eq!(rotate(), "KMSInvalidStateException");
    let all = json!({"KeyId": primary, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"});
    let listed = world.ok("admin", "ListKeyRotations", all);
    let state = &listed["Rotations"][1]["KeyMaterialState"];
    assert_eq!(state, "PENDING_MULTI_REGION_IMPORT_AND_ROTATION");
    assert_eq!(there(&TWO, json!({})), "ok");
    assert_eq!(rotate(), "ok");
    let current = world.describe(&primary)["CurrentKeyMaterialId"].clone();
    let described = world.ok_there("DescribeKey", json!({"KeyId": replica}));
    assert_eq!(described["KeyMetadata"]["CurrentKeyMaterialId"], current);
    assert_eq!(described["KeyMetadata"]["KeyState"], "Enabled");
}

#[test]
fn an_hmac_key_takes_one_material_for_good() {
    let world = World::new();
    let input =
        json!({"Origin": "EXTERNAL", "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let key = world.make(input)["Arn"].clone();
    world.import(&key, &ONE, json!({})).unwrap();
    let input = json!({"KeyId": key, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"});
    let mac = world.ok("admin", "GenerateMac", input.clone())["Mac"].clone();
    let new = json!({"ImportType": "NEW_KEY_MATERIAL"});
    assert_eq!(
        code(world.import(&key, &TWO, new)),
        "IncorrectKeyMaterialException"
    );
    world.ok("admin", "DeleteImportedKeyMaterial", json!({"KeyId": key}));
    let got = world.code("admin", "GenerateMac", input.clone());
    assert_eq!(got, "KMSInvalidStateException");
    world.import(&key, &ONE, json!({})).unwrap();
    assert_eq!(world.ok("admin", "GenerateMac", input)["Mac"], mac);
}

#[test]
fn a_deletion_that_is_cancelled_leaves_the_key_with_or_without_its_material() {
    let world = World::new();
    let key = world.external();
    world.import(&key, &ONE, json!({})).unwrap();
    let id = json!({"KeyId": key});
    world.ok("admin", "ScheduleKeyDeletion", id.clone());
    world.ok("admin", "CancelKeyDeletion", id.clone());
    assert_eq!(world.describe(&key)["KeyState"], "Disabled");
    world.ok("admin", "ScheduleKeyDeletion", id.clone());
    world.ok("admin", "DeleteImportedKeyMaterial", id.clone());
    assert_eq!(world.describe(&key)["KeyState"], "PendingDeletion");
    world.ok("admin", "CancelKeyDeletion", id.clone());
    assert_eq!(world.describe(&key)["KeyState"], "PendingImport");
}

#[test]
fn an_import_is_logged_without_the_material_the_token_or_the_public_key() {
    let world = World::new();
    world
        .clock
        .set(time::macros::datetime!(2026-12-31 12:00 UTC));
    let key = world.external();
    let parameters = world.parameters("eu-west-1", &key);
    let wrapped = json!(wrap(&parameters["PublicKey"], "RSAES_OAEP_SHA_256", &ONE));
    let input = json!({"KeyId": key, "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": wrapped, "ExpirationModel": "KEY_MATERIAL_EXPIRES",
        "ValidTo": time::macros::datetime!(2027-01-01 00:00 UTC).unix_timestamp()});
    let made = world.ok("admin", "ImportKeyMaterial", input);
    let event = world.kms.events().unwrap().pop().unwrap();
    assert_eq!(event["eventName"], "ImportKeyMaterial");
    assert_eq!(event["readOnly"], false);
    let asked = json!({"keyId": key, "expirationModel": "KEY_MATERIAL_EXPIRES",
        "validTo": "Jan 1, 2027, 12:00:00 AM"});
    assert_eq!(event["requestParameters"], asked);
    let answered = json!({"keyId": key, "keyMaterialId": made["KeyMaterialId"]});
    assert_eq!(event["responseElements"], answered);
    let log = std::fs::read_to_string(world.kms.events_path()).unwrap();
    for secret in [
        &parameters["ImportToken"],
        &parameters["PublicKey"],
        &wrapped,
    ] {
        assert!(!log.contains(secret.as_str().unwrap()));
    }
}
