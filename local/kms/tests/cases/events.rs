//! The log: one event for every call, refused ones too, and nothing secret in it.

use crate::wire::post;
use crate::world::{BROKER, CUSTOMER, World, role};
use serde_json::{Value, json};

fn last(world: &World) -> Value {
    world.kms.events().unwrap().pop().unwrap()
}

#[tokio::test]
async fn an_allowed_call_across_accounts_is_logged_as_cloudtrail_would() {
    let world = World::new();
    let key = world.key(&[]);
    world.grant(&key, &role(BROKER, "broker"), &["GenerateDataKey"]);
    let input =
        json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": {"byok:secret": "db"}});
    let (_, headers, _) = post(&world.kms, "broker", "GenerateDataKey", &input).await;
    let event = last(&world);
    assert_eq!(event["eventName"], "GenerateDataKey");
    assert_eq!(event["eventSource"], "kms.amazonaws.com");
    assert_eq!(event["awsRegion"], "eu-west-1");
    assert_eq!(event["readOnly"], true);
    assert_eq!(event["eventType"], "AwsApiCall");
    assert_eq!(event["managementEvent"], true);
    assert_eq!(event["recipientAccountId"], CUSTOMER);
    assert_eq!(event["userAgent"], "test/1 receipt/42");
    assert_eq!(
        event["requestID"],
        headers["x-amzn-requestid"].to_str().unwrap()
    );
    assert_eq!(
        event["resources"],
        json!([{"accountId": CUSTOMER, "type": "AWS::KMS::Key", "ARN": key}])
    );
    assert_eq!(
        event["requestParameters"]["encryptionContext"],
        json!({"byok:secret": "db"})
    );
    assert_eq!(event["requestParameters"]["keySpec"], "AES_256");
    assert_eq!(event["responseElements"], Value::Null);
    assert_eq!(event["errorCode"], Value::Null);
    let who = &event["userIdentity"];
    assert_eq!(who["type"], "AssumedRole");
    assert_eq!(
        who["arn"],
        format!("arn:aws:sts::{BROKER}:assumed-role/broker/local")
    );
    assert_eq!(who["accountId"], BROKER);
    assert_eq!(who["accessKeyId"], "broker");
    assert_eq!(
        who["sessionContext"]["sessionIssuer"]["arn"],
        role(BROKER, "broker")
    );
}

#[test]
fn a_refused_call_is_logged_with_its_code_and_the_owner_s_account() {
    let world = World::new();
    let key = world.key(&[]);
    let blob = world.data_key("admin", &key, &json!({}))["CiphertextBlob"].clone();
    assert_eq!(
        world.code(
            "broker",
            "Decrypt",
            json!({"CiphertextBlob": blob, "DryRun": true})
        ),
        "AccessDeniedException"
    );
    let event = last(&world);
    assert_eq!(event["errorCode"], "AccessDenied");
    assert!(
        event["errorMessage"]
            .as_str()
            .unwrap()
            .contains("kms:Decrypt")
    );
    assert_eq!(event["recipientAccountId"], CUSTOMER);
    assert_eq!(event["resources"][0]["ARN"], key);
    assert_eq!(event["requestParameters"], json!({"dryRun": true}));
}

#[test]
fn a_grant_s_creation_shows_its_terms_and_its_id() {
    let world = World::new();
    let key = world.key(&[]);
    let input = json!({"KeyId": key, "GranteePrincipal": role(BROKER, "broker"), "Operations": ["Decrypt"],
        "Name": "byok", "Constraints": {"EncryptionContextSubset": {"A": "b"}}});
    let made = world.ok("admin", "CreateGrant", input);
    let event = last(&world);
    assert_eq!(event["readOnly"], false);
    assert_eq!(event["responseElements"]["grantId"], made["GrantId"]);
    assert_eq!(
        event["requestParameters"]["granteePrincipal"],
        role(BROKER, "broker")
    );
    assert_eq!(
        event["requestParameters"]["constraints"],
        json!({"encryptionContextSubset": {"A": "b"}})
    );
}

#[tokio::test]
async fn every_call_has_exactly_one_event_and_none_holds_a_secret() {
    let world = World::new();
    let key = world.key(&[]);
    let mac_key = world.ok(
        "admin",
        "CreateKey",
        json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
    );
    let mac_key = mac_key["KeyMetadata"]["Arn"].clone();
    let plaintext = "dGhlIGNhbmFyeSBwbGFpbnRleHQ=";
    let before = world.kms.events().unwrap().len();
    let mut secrets = vec![plaintext.to_owned()];
    let mut calls = 0;
    let data_key = world.data_key("admin", &key, &json!({}));
    let encrypted = world.ok(
        "admin",
        "Encrypt",
        json!({"KeyId": key, "Plaintext": plaintext}),
    );
    let blob = &encrypted["CiphertextBlob"];
    let grant = world.grant(&key, &role(BROKER, "broker"), &["Decrypt"]);
    let token = &grant["GrantToken"];
    calls += 3;
    for (who, operation, input) in [
        ("admin", "Decrypt", json!({"CiphertextBlob": blob})),
        (
            "broker",
            "Decrypt",
            json!({"CiphertextBlob": blob, "GrantTokens": [token]}),
        ),
        ("bare", "Decrypt", json!({"CiphertextBlob": blob})),
        (
            "bare",
            "Encrypt",
            json!({"KeyId": key, "Plaintext": plaintext}),
        ),
        (
            "admin",
            "ReEncrypt",
            json!({"CiphertextBlob": blob, "DestinationKeyId": key}),
        ),
        (
            "admin",
            "GenerateMac",
            json!({"KeyId": mac_key, "Message": plaintext, "MacAlgorithm": "HMAC_SHA_256"}),
        ),
        (
            "admin",
            "VerifyMac",
            json!({"KeyId": mac_key, "Message": plaintext, "Mac": plaintext, "MacAlgorithm": "HMAC_SHA_256"}),
        ),
        ("admin", "Decrypt", json!({"CiphertextBlob": 7})),
        ("admin", "RetireGrant", json!({"GrantToken": token})),
        ("root", "RetireGrant", json!({"GrantToken": token})),
    ] {
        let (_, _, answer) = post(&world.kms, who, operation, &input).await;
        calls += 1;
        for name in ["Plaintext", "CiphertextBlob", "Mac"] {
            secrets.extend(answer[name].as_str().map(str::to_owned));
        }
    }
    for name in ["Plaintext", "CiphertextBlob"] {
        secrets.push(data_key[name].as_str().unwrap().to_owned());
    }
    secrets.push(blob.as_str().unwrap().to_owned());
    secrets.push(token.as_str().unwrap().to_owned());
    let events = world.kms.events().unwrap();
    assert_eq!(events.len() - before, calls);
    let log = std::fs::read_to_string(world.kms.events_path()).unwrap();
    assert!(secrets.len() >= 9);
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
    let mut ids: Vec<_> = events
        .iter()
        .map(|e| e["eventID"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn a_line_that_a_kill_cut_off_spoils_no_other() {
    let world = World::new();
    world.ok("admin", "ListKeys", json!({}));
    let path = world.kms.events_path().to_owned();
    let mut log = std::fs::read(&path).unwrap();
    log.extend_from_slice(b"{\"eventName\": \"Decr");
    std::fs::write(&path, log).unwrap();
    let world = world.reopened();
    world.ok("admin", "ListAliases", json!({}));
    let events = world.kms.events().unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["eventName"].clone())
        .collect();
    assert_eq!(names, ["ListKeys", "ListAliases"]);
}
