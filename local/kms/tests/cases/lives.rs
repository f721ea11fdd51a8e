//! What each operation on a key's life answers: a row for each kind and state of key, and for
//! each caller. Sources: KMS developer guide, "Key states of AWS KMS keys"; KMS API Reference,
//! "Cross-account use" and "Errors" of each operation.

use crate::world::{BROKER, CUSTOMER, ELSEWHERE, World, role};
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};

const OK: &str = "ok";
const STATE: &str = "KMSInvalidStateException";
const UNSUPPORTED: &str = "UnsupportedOperationException";
const DISABLED: &str = "DisabledException";

/// Each operation that this table is about, with all that it needs but the key.
fn operations() -> Vec<(&'static str, Value)> {
    vec![
        ("EnableKeyRotation", json!({})),
        ("DisableKeyRotation", json!({})),
        ("RotateKeyOnDemand", json!({})),
        ("GetKeyRotationStatus", json!({})),
        ("ListKeyRotations", json!({})),
        (
            "GetParametersForImport",
            json!({"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
        ),
        (
            "ImportKeyMaterial",
            json!({"ImportToken": "aGVsbG8=", "EncryptedKeyMaterial": "aGVsbG8=",
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}),
        ),
        ("DeleteImportedKeyMaterial", json!({})),
        ("ReplicateKey", json!({"ReplicaRegion": "eu-central-1"})),
        ("UpdatePrimaryRegion", json!({"PrimaryRegion": ELSEWHERE})),
        (
            "TagResource",
            json!({"Tags": [{"TagKey": "a", "TagValue": "1"}]}),
        ),
        ("UntagResource", json!({"TagKeys": ["a"]})),
        ("ListResourceTags", json!({})),
    ]
}

/// A key of that kind and state.
fn key(world: &World, kind: &str, state: &str) -> Value {
    let hmac = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let rsa = json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"});
    let key = match kind {
        "symmetric" => world.make(json!({}))["Arn"].clone(),
        "hmac" => world.make(hmac)["Arn"].clone(),
        "rsa" => world.make(rsa)["Arn"].clone(),
        "rsa to be imported" => {
            let mut input = rsa;
            input["Origin"] = json!("EXTERNAL");
            world.make(input)["Arn"].clone()
        }
        "awaiting its import" => world.external(),
        "imported" => {
            let key = world.external();
            world.import(&key, &[1; 32], json!({})).unwrap();
            key
        }
        "primary" => world.related().0,
        "replica" => {
            // Seen from its own Region: the primary key is elsewhere.
            let made = world.ok_there("CreateKey", json!({"MultiRegion": true}));
            let input = json!({"KeyId": made["KeyMetadata"]["Arn"], "ReplicaRegion": "eu-west-1"});
            world.ok_there("ReplicateKey", input)["ReplicaKeyMetadata"]["Arn"].clone()
        }
        other => panic!("no kind {other}"),
    };
    let id = json!({"KeyId": key});
    match state {
        "Enabled" => {}
        "Disabled" => drop(world.ok("admin", "DisableKey", id)),
        "PendingDeletion" => drop(world.ok("admin", "ScheduleKeyDeletion", id)),
        other => panic!("no state {other}"),
    }
    key
}

/// Kind, state, and what is answered to the operations in their order.
#[rustfmt::skip]
fn rows() -> Vec<(&'static str, &'static str, [&'static str; 13])> {
    const TOKEN: &str = "InvalidImportTokenException";
    vec![
        //                                    EnableRot    DisableRot   OnDemand     Status       ListRot      Parameters   Import       Delete       Replicate    Primary      Tag    Untag  List
        ("symmetric", "Enabled",             [OK,          OK,          OK,          OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("symmetric", "Disabled",            [DISABLED,    DISABLED,    DISABLED,    OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("symmetric", "PendingDeletion",     [STATE,       STATE,       STATE,       OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, STATE, STATE, OK]),
        ("hmac", "Enabled",                  [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("rsa", "Enabled",                   [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("rsa to be imported", "Enabled",    [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, STATE,       UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("awaiting its import", "Enabled",   [UNSUPPORTED, UNSUPPORTED, STATE,       STATE,       OK,          OK,          TOKEN,       OK,          UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("awaiting its import", "PendingDeletion", [UNSUPPORTED, UNSUPPORTED, STATE, OK,          OK,          STATE,       STATE,       OK,          UNSUPPORTED, UNSUPPORTED, STATE, STATE, OK]),
        ("imported", "Enabled",              [UNSUPPORTED, UNSUPPORTED, STATE,       OK,          OK,          OK,          TOKEN,       OK,          UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("imported", "Disabled",             [UNSUPPORTED, UNSUPPORTED, DISABLED,    OK,          OK,          OK,          TOKEN,       OK,          UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("imported", "PendingDeletion",      [UNSUPPORTED, UNSUPPORTED, STATE,       OK,          OK,          STATE,       STATE,       OK,          UNSUPPORTED, UNSUPPORTED, STATE, STATE, OK]),
        ("primary", "Enabled",               [OK,          OK,          OK,          OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,          OK,          OK,    OK,    OK]),
        ("primary", "Disabled",              [DISABLED,    DISABLED,    DISABLED,    OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, DISABLED,    DISABLED,    OK,    OK,    OK]),
        ("primary", "PendingDeletion",       [STATE,       STATE,       STATE,       OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, STATE,       STATE,       STATE, STATE, OK]),
        ("replica", "Enabled",               [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,    OK,    OK]),
        ("replica", "PendingDeletion",       [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, OK,          OK,          UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, STATE, STATE, OK]),
    ]
}

#[test]
fn every_kind_of_key_answers_as_the_table_says() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (kind, state, answers) in rows() {
        let mut subject = None;
        for ((operation, mut input), answer) in operations().into_iter().zip(answers) {
            let key = subject.take().unwrap_or_else(|| key(&world, kind, state));
            input["KeyId"] = key.clone();
            let got = world.code("admin", operation, input);
            // Those that change the key for those that follow get one of their own.
            let changes = [
                "DeleteImportedKeyMaterial",
                "ReplicateKey",
                "UpdatePrimaryRegion",
            ];
            if got != OK || !changes.contains(&operation) {
                subject = Some(key);
            }
            if got != answer {
                wrong.push(format!(
                    "{operation} on {kind}, {state}: {got}, not {answer}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_asks_the_key_policy_first_and_is_for_the_owner_s_account() {
    let world = World::new();
    let (bare, broker) = (role(CUSTOMER, "bare"), role(BROKER, "broker"));
    let root = format!("arn:aws:iam::{CUSTOMER}:root");
    for (operation, input) in operations() {
        let allow = |who: &str, action: &str| json!({"Effect": "Allow", "Principal": {"AWS": who}, "Action": action, "Resource": "*"});
        let action = format!("kms:{operation}");
        for (statements, who, refused) in [
            (vec![], "bare", true),
            (vec![], "delegate", true),
            (vec![allow(&bare, "kms:DescribeKey")], "bare", true),
            (
                vec![allow(&bare, &action)],
                "bare",
                operation == "ReplicateKey",
            ),
            (vec![allow(&root, &action)], "delegate", false),
            (vec![allow(&root, &action)], "bare", true),
            (
                vec![allow(&broker, "kms:*")],
                "broker",
                operation != "GetKeyRotationStatus",
            ),
            (
                vec![allow(&root, "kms:*"), {
                    let mut deny = allow("*", &action);
                    deny["Effect"] = json!("Deny");
                    deny
                }],
                "delegate",
                true,
            ),
        ] {
            let mut input = input.clone();
            input["KeyId"] = json!(world.key(&statements));
            let got = world.code(who, operation, input);
            let denied = got == "AccessDeniedException";
            assert_eq!(
                denied, refused,
                "{operation} by {who}, {statements:?}: {got}"
            );
        }
    }
}

#[test]
fn no_grant_allows_an_operation_on_a_key_s_life() {
    let world = World::new();
    let key = world.key(&[]);
    for (operation, _) in operations() {
        let input = json!({"KeyId": key, "GranteePrincipal": role(BROKER, "broker"),
            "Operations": [operation]});
        assert_eq!(
            world.code("admin", "CreateGrant", input),
            "ValidationException",
            "{operation}"
        );
    }
}

#[test]
fn they_take_a_key_s_id_and_arn_and_no_alias() {
    let world = World::new();
    let key = world.make(json!({}));
    let input = json!({"AliasName": "alias/app", "TargetKeyId": key["Arn"]});
    world.ok("admin", "CreateAlias", input);
    for (operation, mut input) in operations() {
        if operation == "GetKeyRotationStatus" {
            continue;
        }
        input["KeyId"] = json!("alias/app");
        let got = world.code("admin", operation, input.clone());
        assert_eq!(got, "InvalidArnException", "{operation}");
        input["KeyId"] = key["KeyId"].clone();
        assert_ne!(
            world.code("admin", operation, input.clone()),
            "InvalidArnException"
        );
        input["KeyId"] = json!("00000000-0000-4000-8000-000000000000");
        assert_eq!(
            world.code("admin", operation, input.clone()),
            "NotFoundException"
        );
        input["KeyId"] = Value::Null;
        assert_eq!(world.code("admin", operation, input), "ValidationException");
    }
}

#[test]
fn every_operation_fails_on_demand_without_doing_its_work_and_is_logged_once() {
    let world = World::new();
    for (operation, mut input) in operations() {
        input["KeyId"] = world.make(json!({"MultiRegion": true}))["Arn"].clone();
        let before = std::fs::metadata(world.dir.0.join("kms.journal"))
            .unwrap()
            .len();
        let events = world.kms.events().unwrap().len();
        world
            .kms
            .inject(Fault::always(operation, FaultKind::Throttle));
        let got = world.code("admin", operation, input.clone());
        assert_eq!(got, "ThrottlingException", "{operation}");
        let after = std::fs::metadata(world.dir.0.join("kms.journal"))
            .unwrap()
            .len();
        assert_eq!(before, after, "{operation}");
        let log = world.kms.events().unwrap().split_off(events);
        assert_eq!(log.len(), 1, "{operation}");
        assert_eq!(log[0]["eventName"], operation);
        assert_eq!(log[0]["errorCode"], "ThrottlingException");
        world.kms.clear_fault(operation);
        assert_ne!(world.code("admin", operation, input), "ThrottlingException");
    }
}

#[test]
fn dry_runs_judge_replicas_and_imported_keys_like_others() {
    let world = World::new();
    let (primary, replica) = world.related();
    let sealed = world.data_key("admin", primary.as_str().unwrap(), &json!({}));
    let decrypt = |key: &Value| json!({"KeyId": key, "CiphertextBlob": sealed["CiphertextBlob"], "DryRun": true});
    assert_eq!(
        world.code_there("Decrypt", decrypt(&replica)),
        "DryRunOperationException"
    );
    let blind = json!({"KeyId": replica, "DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]});
    assert_eq!(
        world.code_there("Decrypt", blind),
        "DryRunOperationException"
    );
    let key = world.external();
    let generate = json!({"KeyId": key, "KeySpec": "AES_256", "DryRun": true});
    assert_eq!(
        world.code("admin", "GenerateDataKey", generate.clone()),
        STATE
    );
    world.import(&key, &[1; 32], json!({})).unwrap();
    assert_eq!(
        world.code("admin", "GenerateDataKey", generate),
        "DryRunOperationException"
    );
}

#[test]
fn a_grant_on_a_replica_is_late_and_its_token_is_not() {
    let world = World::new();
    let (_, replica) = world.related();
    world
        .kms
        .set_grant_delay(std::time::Duration::from_secs(300));
    let input = json!({"KeyId": replica, "GranteePrincipal": role(BROKER, "broker"),
        "Operations": ["DescribeKey"]});
    let token = world.ok_there("CreateGrant", input)["GrantToken"].clone();
    let ask = |tokens: Value| {
        let input = json!({"KeyId": replica, "GrantTokens": tokens});
        let done = world.kms.call("broker", ELSEWHERE, "DescribeKey", input);
        done.map_or_else(|error| error.code, |_| "ok")
    };
    assert_eq!(ask(json!([])), "AccessDeniedException");
    assert_eq!(ask(json!([token])), "ok");
    world.clock.advance(std::time::Duration::from_secs(300));
    assert_eq!(ask(json!([])), "ok");
}
