//! Keys of every kind and state, their names, and what they do.

use crate::world::{CUSTOMER, REGION, World, role};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn an_alias_and_its_arn_stand_for_the_key() {
    let world = World::new();
    let key = world.key(&[]);
    world.ok(
        "admin",
        "CreateAlias",
        json!({"AliasName": "alias/app", "TargetKeyId": key}),
    );
    let arn = format!("arn:aws:kms:{REGION}:{CUSTOMER}:alias/app");
    for name in ["alias/app", &arn] {
        let answer = world.data_key("admin", name, &json!({}));
        assert_eq!(answer["KeyId"], key);
    }
    assert_eq!(
        world.code("broker", "DescribeKey", json!({"KeyId": "alias/app"})),
        "NotFoundException"
    );
    assert_eq!(
        world.code("broker", "DescribeKey", json!({"KeyId": arn})),
        "AccessDeniedException"
    );
    let aliases = world.ok("admin", "ListAliases", json!({"KeyId": key}));
    assert_eq!(aliases["Aliases"][0]["AliasArn"], arn);
    let again = json!({"AliasName": "alias/app", "TargetKeyId": key});
    assert_eq!(
        world.code("admin", "CreateAlias", again),
        "AlreadyExistsException"
    );
    assert_eq!(
        world.code("admin", "DisableKey", json!({"KeyId": "alias/app"})),
        "InvalidArnException"
    );
    world.ok("admin", "DeleteAlias", json!({"AliasName": "alias/app"}));
    assert_eq!(
        world.code("admin", "DescribeKey", json!({"KeyId": "alias/app"})),
        "NotFoundException"
    );
    assert_eq!(
        world.code("admin", "DeleteAlias", json!({"AliasName": "alias/app"})),
        "NotFoundException"
    );
}

#[test]
fn alias_names_have_a_grammar_and_aliases_need_both_permissions() {
    let world = World::new();
    let key = world.key(&[]);
    for (name, code) in [
        ("app", "ValidationException"),
        ("alias/", "ValidationException"),
        ("alias/a b", "ValidationException"),
        ("alias/aws/app", "InvalidAliasNameException"),
    ] {
        let input = json!({"AliasName": name, "TargetKeyId": key});
        assert_eq!(world.code("admin", "CreateAlias", input), code, "{name}");
    }
    let input = json!({"AliasName": "alias/app", "TargetKeyId": key});
    for who in ["bare", "delegate", "broker"] {
        assert_eq!(
            world.code(who, "CreateAlias", input.clone()),
            "AccessDeniedException",
            "{who}"
        );
    }
}

#[test]
fn a_policy_can_insist_on_an_alias() {
    let bare = role(CUSTOMER, "bare");
    let world = World::new();
    let key = world.key(&[
        json!({"Effect": "Allow", "Principal": {"AWS": bare}, "Action": "kms:Encrypt",
        "Resource": "*", "Condition": {"StringEquals": {"kms:RequestAlias": "alias/app"}}}),
    ]);
    world.ok(
        "admin",
        "CreateAlias",
        json!({"AliasName": "alias/app", "TargetKeyId": key}),
    );
    let encrypt = |name: &str| {
        world.code(
            "bare",
            "Encrypt",
            json!({"KeyId": name, "Plaintext": "eA=="}),
        )
    };
    assert_eq!(encrypt("alias/app"), "ok");
    assert_eq!(encrypt(&key), "AccessDeniedException");
}

#[test]
fn a_key_pending_deletion_ceases_to_exist_at_its_date() {
    let world = World::new();
    let key = world.key(&[]);
    let data_key = world.data_key("admin", &key, &json!({}));
    for days in [6, 31] {
        let input = json!({"KeyId": key, "PendingWindowInDays": days});
        assert_eq!(
            world.code("admin", "ScheduleKeyDeletion", input),
            "ValidationException"
        );
    }
    let input = json!({"KeyId": key, "PendingWindowInDays": 7});
    let answer = world.ok("admin", "ScheduleKeyDeletion", input);
    assert_eq!(answer["KeyState"], "PendingDeletion");
    let described = world.ok("admin", "DescribeKey", json!({"KeyId": key}));
    assert_eq!(
        described["KeyMetadata"]["DeletionDate"],
        answer["DeletionDate"]
    );
    assert_eq!(described["KeyMetadata"]["Enabled"], false);
    world.clock.advance(7 * DAY - Duration::from_secs(1));
    assert_eq!(
        world.code("admin", "DescribeKey", json!({"KeyId": key})),
        "ok"
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        world.code("admin", "DescribeKey", json!({"KeyId": key})),
        "NotFoundException"
    );
    let input = json!({"CiphertextBlob": data_key["CiphertextBlob"]});
    assert_eq!(
        world.code("admin", "Decrypt", input),
        "AccessDeniedException"
    );
    assert_eq!(world.ok("admin", "ListKeys", json!({}))["Keys"], json!([]));
}

#[test]
fn a_cancelled_deletion_leaves_a_disabled_key_that_can_be_enabled() {
    let world = World::new();
    let key = json!({"KeyId": world.key(&[])});
    let state = || world.ok("admin", "DescribeKey", key.clone())["KeyMetadata"]["KeyState"].clone();
    world.ok("admin", "ScheduleKeyDeletion", key.clone());
    world.ok("admin", "CancelKeyDeletion", key.clone());
    assert_eq!(state(), "Disabled");
    world.ok("admin", "EnableKey", key.clone());
    assert_eq!(state(), "Enabled");
}

#[test]
fn a_key_awaiting_its_import_is_no_use() {
    let world = World::new();
    let made = world.ok("admin", "CreateKey", json!({"Origin": "EXTERNAL"}));
    assert_eq!(made["KeyMetadata"]["KeyState"], "PendingImport");
    let input = json!({"KeyId": made["KeyMetadata"]["Arn"], "KeySpec": "AES_256"});
    assert_eq!(
        world.code("admin", "GenerateDataKey", input.clone()),
        "KMSInvalidStateException"
    );
    assert_eq!(
        world.code("admin", "EnableKey", input),
        "KMSInvalidStateException"
    );
}

#[test]
fn keys_of_the_wrong_kind_are_refused_as_such() {
    let world = World::new();
    for (spec, usage, encrypt) in [
        ("RSA_2048", "ENCRYPT_DECRYPT", "InvalidKeyUsageException"),
        ("RSA_2048", "SIGN_VERIFY", "InvalidKeyUsageException"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "InvalidKeyUsageException"),
        (
            "HMAC_256",
            "GENERATE_VERIFY_MAC",
            "InvalidKeyUsageException",
        ),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "ok"),
    ] {
        let made = world.ok(
            "admin",
            "CreateKey",
            json!({"KeySpec": spec, "KeyUsage": usage}),
        );
        let key = &made["KeyMetadata"];
        assert_eq!(
            (&key["KeySpec"], &key["KeyUsage"]),
            (&json!(spec), &json!(usage))
        );
        assert_eq!(key["CustomerMasterKeySpec"], spec);
        let input = json!({"KeyId": key["Arn"], "KeySpec": "AES_256"});
        assert_eq!(
            world.code("admin", "GenerateDataKey", input),
            encrypt,
            "{spec}"
        );
        let input = json!({"KeyId": key["Arn"], "Plaintext": "eA=="});
        assert_eq!(world.code("admin", "Encrypt", input), encrypt, "{spec}");
    }
    for input in [
        json!({"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "SIGN_VERIFY"}),
        json!({"KeySpec": "HMAC_256"}),
        json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "ENCRYPT_DECRYPT"}),
    ] {
        assert_eq!(
            world.code("admin", "CreateKey", input),
            "ValidationException"
        );
    }
    for input in [json!({"KeySpec": "SM2"}), json!({"Origin": "AWS_CLOUDHSM"})] {
        assert_eq!(
            world.code("admin", "CreateKey", input),
            "UnsupportedOperationException"
        );
    }
}

#[test]
fn a_key_without_a_policy_delegates_to_its_account() {
    let world = World::new();
    let made = world.ok("admin", "CreateKey", json!({"Description": "x"}));
    let key = json!({"KeyId": made["KeyMetadata"]["KeyId"]});
    for (who, code) in [
        ("delegate", "ok"),
        ("root", "ok"),
        ("reader", "ok"),
        ("bare", "AccessDeniedException"),
    ] {
        assert_eq!(world.code(who, "DescribeKey", key.clone()), code, "{who}");
    }
    let answer = world.ok("admin", "GetKeyPolicy", key);
    let policy: Value = serde_json::from_str(answer["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0]["Principal"]["AWS"],
        format!("arn:aws:iam::{CUSTOMER}:root")
    );
}

#[test]
fn making_a_key_needs_an_identity_policy_and_a_policy_that_keeps_one_in() {
    let world = World::new();
    for who in ["bare", "mute", "reader"] {
        assert_eq!(
            world.code(who, "CreateKey", json!({})),
            "AccessDeniedException",
            "{who}"
        );
        assert_eq!(
            world.code(who, "ListKeys", json!({})),
            "AccessDeniedException",
            "{who}"
        );
    }
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*",
        "Resource": "*", "Principal": {"AWS": role(CUSTOMER, "bare")}}]});
    let mut input = json!({"Policy": policy.to_string()});
    assert_eq!(
        world.code("admin", "CreateKey", input.clone()),
        "MalformedPolicyDocumentException"
    );
    input["BypassPolicyLockoutSafetyCheck"] = json!(true);
    assert_eq!(world.code("admin", "CreateKey", input), "ok");
    let large = json!({"Policy": " ".repeat(32 * 1024 + 1)});
    assert_eq!(
        world.code("admin", "CreateKey", large),
        "LimitExceededException"
    );
}

#[test]
fn data_keys_have_the_length_asked_for_and_come_back_by_decrypt() {
    let world = World::new();
    let key = world.key(&[]);
    for (ask, length) in [
        (json!({"KeySpec": "AES_256"}), 32),
        (json!({"KeySpec": "AES_128"}), 16),
        (json!({"NumberOfBytes": 1024}), 1024),
    ] {
        let mut input = ask.clone();
        input["KeyId"] = json!(key);
        let made = world.ok("admin", "GenerateDataKey", input.clone());
        let opened = world.ok(
            "admin",
            "Decrypt",
            json!({"CiphertextBlob": made["CiphertextBlob"]}),
        );
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        assert_eq!(opened["KeyId"], key);
        use base64::Engine;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(made["Plaintext"].as_str().unwrap());
        assert_eq!(bytes.unwrap().len(), length);
        let blind = world.ok("admin", "GenerateDataKeyWithoutPlaintext", input);
        assert_eq!(blind["Plaintext"], Value::Null);
        assert_eq!(blind["KeyMaterialId"], made["KeyMaterialId"]);
    }
    for ask in [
        json!({}),
        json!({"KeySpec": "AES_256", "NumberOfBytes": 32}),
        json!({"KeySpec": "AES_512"}),
        json!({"NumberOfBytes": 0}),
        json!({"NumberOfBytes": 1025}),
    ] {
        let mut input = ask.clone();
        input["KeyId"] = json!(key);
        assert_eq!(
            world.code("admin", "GenerateDataKey", input),
            "ValidationException",
            "{ask}"
        );
    }
}

#[test]
fn re_encrypt_moves_a_blob_to_another_key_and_context() {
    let world = World::new();
    let (from, to) = (world.key(&[]), world.key(&[]));
    let made = world.data_key("admin", &from, &json!({"a": "1"}));
    let input = json!({"CiphertextBlob": made["CiphertextBlob"], "SourceEncryptionContext": {"a": "1"},
        "DestinationKeyId": to, "DestinationEncryptionContext": {"b": "2"}});
    let moved = world.ok("admin", "ReEncrypt", input.clone());
    assert_eq!(
        (&moved["SourceKeyId"], &moved["KeyId"]),
        (&json!(from), &json!(to))
    );
    assert_eq!(moved["SourceKeyMaterialId"], made["KeyMaterialId"]);
    assert_ne!(moved["DestinationKeyMaterialId"], made["KeyMaterialId"]);
    let open = |context: Value| {
        let input = json!({"KeyId": to, "CiphertextBlob": moved["CiphertextBlob"], "EncryptionContext": context});
        world.call("admin", "Decrypt", input)
    };
    assert_eq!(
        open(json!({"b": "2"})).unwrap()["Plaintext"],
        made["Plaintext"]
    );
    assert_eq!(
        open(json!({"a": "1"})).unwrap_err().code,
        "InvalidCiphertextException"
    );
    let mut dry = input.clone();
    dry["DryRun"] = json!(true);
    assert_eq!(
        world.code("admin", "ReEncrypt", dry),
        "DryRunOperationException"
    );
    let blind = json!({"SourceKeyId": from, "DestinationKeyId": to, "DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]});
    assert_eq!(
        world.code("admin", "ReEncrypt", blind),
        "DryRunOperationException"
    );
    world.ok("admin", "DisableKey", json!({"KeyId": to}));
    assert_eq!(world.code("admin", "ReEncrypt", input), "DisabledException");
}

#[test]
fn a_mac_verifies_for_its_message_under_its_key_alone() {
    let world = World::new();
    let spec = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let arn = |made: Value| made["KeyMetadata"]["Arn"].clone();
    let key = arn(world.ok("admin", "CreateKey", spec.clone()));
    let other = arn(world.ok("admin", "CreateKey", spec));
    let input = json!({"KeyId": key, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"});
    let made = world.ok("admin", "GenerateMac", input.clone());
    let verify = |name: &str, value: &Value| {
        let mut input = input.clone();
        input["Mac"] = made["Mac"].clone();
        input[name] = value.clone();
        world.code("admin", "VerifyMac", input)
    };
    assert_eq!(verify("Message", &json!("eA==")), "ok");
    assert_eq!(verify("Message", &json!("eQ==")), "KMSInvalidMacException");
    assert_eq!(verify("KeyId", &other), "KMSInvalidMacException");
    assert_eq!(verify("Mac", &json!("eA==")), "KMSInvalidMacException");
    assert_eq!(
        verify("MacAlgorithm", &json!("HMAC_SHA_512")),
        "InvalidKeyUsageException"
    );
    assert_eq!(
        verify("KeyId", &json!(world.key(&[]))),
        "InvalidKeyUsageException"
    );
}
