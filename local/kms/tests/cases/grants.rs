//! The life of a grant: repeats, tokens, the delay, its end.

use crate::world::{BROKER, CUSTOMER, World, role};
use serde_json::{Value, json};
use std::time::Duration;

fn broker() -> String {
    role(BROKER, "broker")
}

/// A key, and a call that the broker can do only by a grant.
fn world() -> (World, String) {
    let world = World::new();
    let key = world.key(&[]);
    (world, key)
}

fn wrap(world: &World, key: &str) -> &'static str {
    world.code(
        "broker",
        "GenerateDataKey",
        json!({"KeyId": key, "KeySpec": "AES_256"}),
    )
}

fn named(world: &World, key: &str, name: &str, operations: &[&str]) -> Value {
    let input =
        json!({"KeyId": key, "GranteePrincipal": broker(), "Operations": operations, "Name": name});
    world.ok("admin", "CreateGrant", input)
}

fn listed(world: &World, key: &str) -> Vec<Value> {
    let answer = world.ok("admin", "ListGrants", json!({"KeyId": key}));
    answer["Grants"].as_array().unwrap().clone()
}

fn revoke(world: &World, key: &str, grant: &Value) {
    world.ok(
        "admin",
        "RevokeGrant",
        json!({"KeyId": key, "GrantId": grant["GrantId"]}),
    );
}

#[test]
fn a_repeat_under_the_same_name_is_the_same_grant_with_another_token() {
    let (world, key) = world();
    let first = named(&world, &key, "byok", &["GenerateDataKey", "Decrypt"]);
    let again = named(&world, &key, "byok", &["Decrypt", "GenerateDataKey"]);
    assert_eq!(first["GrantId"], again["GrantId"]);
    assert_ne!(first["GrantToken"], again["GrantToken"]);
    assert_eq!(listed(&world, &key).len(), 1);
    let wider = named(
        &world,
        &key,
        "byok",
        &["Decrypt", "GenerateDataKey", "Encrypt"],
    );
    assert_ne!(first["GrantId"], wider["GrantId"]);
    revoke(&world, &key, &first);
    let anew = named(&world, &key, "byok", &["GenerateDataKey", "Decrypt"]);
    assert_ne!(first["GrantId"], anew["GrantId"]);
}

#[test]
fn a_second_nameless_grant_survives_the_revoke_of_the_first() {
    let (world, key) = world();
    let first = world.grant(&key, &broker(), &["GenerateDataKey"]);
    let second = world.grant(&key, &broker(), &["GenerateDataKey"]);
    assert_ne!(first["GrantId"], second["GrantId"]);
    revoke(&world, &key, &first);
    assert_eq!(wrap(&world, &key), "ok");
    revoke(&world, &key, &second);
    assert_eq!(wrap(&world, &key), "AccessDeniedException");
}

#[test]
fn a_revoked_grant_is_gone_from_every_list_and_cannot_be_revoked_again() {
    let (world, key) = world();
    let input = json!({"KeyId": key, "GranteePrincipal": broker(), "Operations": ["Decrypt"],
        "RetiringPrincipal": role(CUSTOMER, "delegate")});
    let grant = world.ok("admin", "CreateGrant", input);
    let retirable = || {
        let input = json!({"RetiringPrincipal": role(CUSTOMER, "delegate")});
        world.ok("delegate", "ListRetirableGrants", input)["Grants"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((listed(&world, &key).len(), retirable()), (1, 1));
    revoke(&world, &key, &grant);
    assert_eq!((listed(&world, &key).len(), retirable()), (0, 0));
    let again = json!({"KeyId": key, "GrantId": grant["GrantId"]});
    assert_eq!(
        world.code("admin", "RevokeGrant", again),
        "NotFoundException"
    );
    let malformed = json!({"KeyId": key, "GrantId": "x"});
    assert_eq!(
        world.code("admin", "RevokeGrant", malformed),
        "InvalidGrantIdException"
    );
}

#[test]
fn a_grant_retires_by_its_token_and_the_token_is_no_use_afterwards() {
    let (world, key) = world();
    let grant = world.grant(&key, &broker(), &["GenerateDataKey", "RetireGrant"]);
    assert_eq!(wrap(&world, &key), "ok");
    let token = &grant["GrantToken"];
    world.ok("broker", "RetireGrant", json!({"GrantToken": token}));
    let input = json!({"KeyId": key, "KeySpec": "AES_256", "GrantTokens": [token]});
    assert_eq!(
        world.code("broker", "GenerateDataKey", input),
        "AccessDeniedException"
    );
    let unknown = json!({"GrantToken": "what is this"});
    assert_eq!(
        world.code("broker", "RetireGrant", unknown),
        "InvalidGrantTokenException"
    );
}

#[test]
fn a_new_grant_waits_for_the_delay_unless_its_token_is_shown() {
    let (world, key) = world();
    world.kms.set_grant_delay(Duration::from_secs(300));
    let grant = world.grant(&key, &broker(), &["GenerateDataKey"]);
    let with_token =
        json!({"KeyId": key, "KeySpec": "AES_256", "GrantTokens": [grant["GrantToken"]]});
    assert_eq!(wrap(&world, &key), "AccessDeniedException");
    assert_eq!(
        world.code("broker", "GenerateDataKey", with_token.clone()),
        "ok"
    );
    assert_eq!(
        world.code("stranger", "GenerateDataKey", with_token),
        "AccessDeniedException"
    );
    world.clock.advance(Duration::from_secs(299));
    assert_eq!(wrap(&world, &key), "AccessDeniedException");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(wrap(&world, &key), "ok");
}

#[test]
fn an_ended_grant_works_on_until_the_delay_has_passed() {
    let (world, key) = world();
    for end in ["RevokeGrant", "RetireGrant"] {
        let grant = world.grant(&key, &broker(), &["GenerateDataKey"]);
        world.kms.set_grant_delay(Duration::from_secs(300));
        world.clock.advance(Duration::from_secs(300));
        let input = json!({"KeyId": key, "GrantId": grant["GrantId"]});
        world.ok("admin", end, input);
        assert_eq!(listed(&world, &key).len(), 0);
        assert_eq!(wrap(&world, &key), "ok");
        world.clock.advance(Duration::from_secs(300));
        assert_eq!(wrap(&world, &key), "AccessDeniedException");
        world.kms.set_grant_delay(Duration::ZERO);
    }
}

#[test]
fn dry_runs_of_grant_operations_change_nothing() {
    let (world, key) = world();
    let create = json!({"KeyId": key, "GranteePrincipal": broker(), "Operations": ["Decrypt"], "DryRun": true});
    assert_eq!(
        world.code("admin", "CreateGrant", create.clone()),
        "DryRunOperationException"
    );
    assert_eq!(
        world.code("bare", "CreateGrant", create),
        "AccessDeniedException"
    );
    assert_eq!(listed(&world, &key).len(), 0);
    let grant = world.grant(&key, &broker(), &["Decrypt"]);
    let end = json!({"KeyId": key, "GrantId": grant["GrantId"], "DryRun": true});
    for operation in ["RevokeGrant", "RetireGrant"] {
        assert_eq!(
            world.code("admin", operation, end.clone()),
            "DryRunOperationException"
        );
    }
    assert_eq!(listed(&world, &key).len(), 1);
}

#[test]
fn what_a_grant_cannot_be_is_refused() {
    let (world, key) = world();
    let many: serde_json::Map<String, Value> = (0..9).map(|n| (n.to_string(), json!(""))).collect();
    let mac = world.ok(
        "admin",
        "CreateKey",
        json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
    );
    let mac = &mac["KeyMetadata"]["Arn"];
    for (change, code) in [
        (
            json!({"Operations": ["GetKeyRotationStatus"]}),
            "ValidationException",
        ),
        (json!({"Operations": ["ReEncrypt"]}), "ValidationException"),
        (json!({"Operations": ["Sign"]}), "ValidationException"),
        (json!({"Operations": []}), "ValidationException"),
        (json!({"Operations": null}), "ValidationException"),
        (json!({"GranteePrincipal": "broker"}), "InvalidArnException"),
        (
            json!({"GranteePrincipal": "arn:aws:iam::444455556666:role/*"}),
            "InvalidArnException",
        ),
        (
            json!({"RetiringPrincipal": "arn:aws:s3:::bucket"}),
            "InvalidArnException",
        ),
        (json!({"Name": "with space"}), "ValidationException"),
        (
            json!({"Constraints": {"EncryptionContextSubset": many}}),
            "ValidationException",
        ),
        (
            json!({"Constraints": {"EncryptionContextEquals": {"a": "x".repeat(385)}}}),
            "ValidationException",
        ),
        (
            json!({"Constraints": {"EncryptionContextEquals": {"a": "1", "A": "2"}}}),
            "ValidationException",
        ),
        (
            json!({"KeyId": mac, "Operations": ["Decrypt"]}),
            "ValidationException",
        ),
        (
            json!({"KeyId": mac, "Operations": ["GenerateMac"], "Constraints": {"EncryptionContextEquals": {"a": "1"}}}),
            "ValidationException",
        ),
        (json!({"KeyId": mac, "Operations": ["GenerateMac"]}), "ok"),
        (
            json!({"Constraints": {"EncryptionContextEquals": {"a": "x".repeat(384)}}}),
            "ok",
        ),
    ] {
        let mut input =
            json!({"KeyId": key, "GranteePrincipal": broker(), "Operations": ["Decrypt"]});
        for (name, value) in change.as_object().unwrap() {
            input[name] = value.clone();
        }
        assert_eq!(world.code("admin", "CreateGrant", input), code, "{change}");
    }
}

#[test]
fn grants_are_listed_by_pages_and_by_grantee() {
    let (world, key) = world();
    for _ in 0..5 {
        world.grant(&key, &broker(), &["Decrypt"]);
    }
    world.grant(&key, &role(CUSTOMER, "bare"), &["Decrypt"]);
    let mut ids = Vec::new();
    let mut marker = Value::Null;
    loop {
        let input = json!({"KeyId": key, "Limit": 4, "Marker": marker});
        let page = world.ok("admin", "ListGrants", input);
        for grant in page["Grants"].as_array().unwrap() {
            ids.push(grant["GrantId"].as_str().unwrap().to_owned());
        }
        marker = page["NextMarker"].clone();
        assert_eq!(page["Truncated"].as_bool().unwrap(), !marker.is_null());
        if marker.is_null() {
            break;
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    let input = json!({"KeyId": key, "GranteePrincipal": broker()});
    let answer = world.ok("admin", "ListGrants", input);
    assert_eq!(answer["Grants"].as_array().unwrap().len(), 5);
    assert_eq!(
        answer["Grants"][0]["IssuingAccount"],
        format!("arn:aws:iam::{CUSTOMER}:root")
    );
}

#[test]
fn an_identity_policy_can_be_changed_while_it_runs() {
    let (world, key) = world();
    world.grant(&key, &broker(), &["GenerateDataKey"]);
    assert_eq!(wrap(&world, &key), "ok");
    let without = crate::world::allows("kms:Decrypt", "*");
    world
        .kms
        .set_identity_policy("broker", Some(&without))
        .unwrap();
    assert_eq!(wrap(&world, &key), "AccessDeniedException");
    assert!(world.kms.set_identity_policy("nobody", None).is_err());
}
