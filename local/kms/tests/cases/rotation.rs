//! Rotation: on a schedule, on demand, and what it leaves behind.

use crate::world::{BROKER, DAY, World, role};
use serde_json::{Value, json};
use std::time::Duration;

fn status(world: &World, key: &Value) -> Value {
    world.ok("admin", "GetKeyRotationStatus", json!({"KeyId": key}))
}

fn enable(world: &World, key: &Value, days: u32) {
    let input = json!({"KeyId": key, "RotationPeriodInDays": days});
    world.ok("admin", "EnableKeyRotation", input);
}

fn current(world: &World, key: &Value) -> Value {
    world.describe(key)["CurrentKeyMaterialId"].clone()
}

fn rotations(world: &World, key: &Value) -> Vec<Value> {
    let listed = world.ok("admin", "ListKeyRotations", json!({"KeyId": key}));
    listed["Rotations"].as_array().unwrap().clone()
}

#[test]
fn a_rotated_key_opens_old_blobs_and_seals_under_new_material() {
    let world = World::new();
    let key = world.key(&[]);
    let old = world.data_key("admin", &key, &json!({}));
    assert_eq!(
        world.ok("admin", "RotateKeyOnDemand", json!({"KeyId": key}))["KeyId"],
        key
    );
    let world = world.reopened();
    let opened = world.ok(
        "admin",
        "Decrypt",
        json!({"CiphertextBlob": old["CiphertextBlob"]}),
    );
    assert_eq!(
        (&opened["Plaintext"], &opened["KeyMaterialId"]),
        (&old["Plaintext"], &old["KeyMaterialId"])
    );
    let input = json!({"CiphertextBlob": old["CiphertextBlob"], "DestinationKeyId": key});
    let moved = world.ok("admin", "ReEncrypt", input);
    assert_eq!(moved["SourceKeyMaterialId"], old["KeyMaterialId"]);
    assert_ne!(moved["DestinationKeyMaterialId"], old["KeyMaterialId"]);
    let described = world.ok("admin", "DescribeKey", json!({"KeyId": key}));
    assert_eq!(
        described["KeyMetadata"]["CurrentKeyMaterialId"],
        moved["DestinationKeyMaterialId"]
    );
    assert_eq!(
        world.code("broker", "RotateKeyOnDemand", json!({"KeyId": key})),
        "AccessDeniedException"
    );
    let status = world.ok("admin", "GetKeyRotationStatus", json!({"KeyId": key}));
    assert_eq!(status["KeyRotationEnabled"], false);
    for _ in 1..25 {
        world.ok("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    }
    assert_eq!(
        world.code("admin", "RotateKeyOnDemand", json!({"KeyId": key})),
        "LimitExceededException"
    );
}

#[test]
fn a_key_rotates_on_its_date_and_not_before() {
    let world = World::new();
    let key = json!(world.key(&[]));
    assert_eq!(
        status(&world, &key),
        json!({"KeyId": key, "KeyRotationEnabled": false})
    );
    enable(&world, &key, 90);
    let (start, first) = (world.now(), current(&world, &key));
    let sealed = world.data_key("admin", key.as_str().unwrap(), &json!({}));
    let said = status(&world, &key);
    assert_eq!(said["KeyRotationEnabled"], true);
    assert_eq!(said["RotationPeriodInDays"], 90);
    assert_eq!(said["NextRotationDate"], start + 90.0 * 86_400.0);
    assert_eq!(said["OnDemandRotationStartDate"], Value::Null);
    world.clock.advance(90 * DAY - Duration::from_millis(1));
    assert_eq!(current(&world, &key), first);
    assert_eq!(rotations(&world, &key), Vec::<Value>::new());
    world.clock.advance(Duration::from_millis(1));
    let after = world.data_key("admin", key.as_str().unwrap(), &json!({}));
    assert_ne!(after["KeyMaterialId"], first);
    assert_eq!(current(&world, &key), after["KeyMaterialId"]);
    let next = status(&world, &key)["NextRotationDate"].clone();
    assert_eq!(next, start + 180.0 * 86_400.0);
    let world = world.reopened();
    let blob = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
    let opened = world.ok("admin", "Decrypt", blob);
    assert_eq!(opened["KeyMaterialId"], first);
    assert_eq!(opened["Plaintext"], sealed["Plaintext"]);
    assert_eq!(status(&world, &key)["NextRotationDate"], next);
}

#[test]
fn every_date_that_a_clock_is_moved_over_leaves_its_material_and_its_event() {
    let world = World::new();
    let key = json!(world.key(&[]));
    enable(&world, &key, 100);
    let (start, first) = (world.now(), current(&world, &key));
    world.clock.advance(365 * DAY);
    let listed = rotations(&world, &key);
    let dates: Vec<_> = listed.iter().map(|r| r["RotationDate"].clone()).collect();
    let expected = [100.0, 200.0, 300.0].map(|days| json!(start + days * 86_400.0));
    assert_eq!(dates, expected);
    assert!(listed.iter().all(|r| r["RotationType"] == "AUTOMATIC"));
    assert!(listed.iter().all(|r| r["KeyId"] == key));
    assert_eq!(listed[2]["KeyMaterialState"], "CURRENT");
    assert_eq!(listed[1]["KeyMaterialState"], "NON_CURRENT");
    let events = world.kms.events().unwrap();
    let rotated: Vec<_> = events
        .iter()
        .filter(|e| e["eventName"] == "RotateKey")
        .collect();
    assert_eq!(rotated.len(), 3);
    let event = rotated[0];
    assert_eq!(event["eventType"], "AwsServiceEvent");
    assert_eq!(event["userIdentity"]["invokedBy"], "AWS Internal");
    let details = &event["serviceEventDetails"];
    assert_eq!(details["rotationType"], "AUTOMATIC");
    assert_eq!(details["previousKeyMaterialId"], first);
    assert_eq!(details["currentKeyMaterialId"], listed[0]["KeyMaterialId"]);
    let all = json!({"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"});
    let all = world.ok("admin", "ListKeyRotations", all);
    assert_eq!(all["Rotations"][0]["KeyMaterialId"], first);
    assert_eq!(all["Rotations"][0]["RotationDate"], Value::Null);
    let page = json!({"KeyId": key, "Limit": 2});
    let page = world.ok("admin", "ListKeyRotations", page);
    assert_eq!(page["Truncated"], true);
    let rest = json!({"KeyId": key, "Limit": 2, "Marker": page["NextMarker"]});
    let rest = world.ok("admin", "ListKeyRotations", rest);
    assert_eq!(rest["Rotations"], json!([listed[2]]));
}

#[test]
fn rotation_on_demand_leaves_the_schedule_and_has_its_own_limit() {
    let world = World::new();
    let key = json!(world.key(&[]));
    enable(&world, &key, 90);
    let next = status(&world, &key)["NextRotationDate"].clone();
    world.clock.advance(DAY);
    world.ok("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    let event = world.kms.events().unwrap().pop().unwrap();
    assert_eq!(event["eventName"], "RotateKey");
    assert_eq!(event["serviceEventDetails"]["rotationType"], "ON_DEMAND");
    assert_eq!(status(&world, &key)["NextRotationDate"], next);
    world.clock.advance(3650 * DAY);
    assert_eq!(rotations(&world, &key).len(), 41);
    for _ in 1..25 {
        world.ok("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    }
    let got = world.code("admin", "RotateKeyOnDemand", json!({"KeyId": key}));
    assert_eq!(got, "LimitExceededException");
}

#[test]
fn the_period_has_its_limits_and_365_days_for_a_default() {
    let world = World::new();
    let key = json!(world.key(&[]));
    for (days, answer) in [
        (json!(89), "ValidationException"),
        (json!(2561), "ValidationException"),
        (json!(90), "ok"),
        (json!(2560), "ok"),
        (Value::Null, "ok"),
    ] {
        let input = json!({"KeyId": key, "RotationPeriodInDays": days});
        assert_eq!(
            world.code("admin", "EnableKeyRotation", input),
            answer,
            "{days}"
        );
    }
    assert_eq!(status(&world, &key)["RotationPeriodInDays"], 365);
    world.ok("admin", "DisableKeyRotation", json!({"KeyId": key}));
    assert_eq!(status(&world, &key)["KeyRotationEnabled"], false);
    let first = current(&world, &key);
    world.clock.advance(4000 * DAY);
    assert_eq!(current(&world, &key), first);
}

#[test]
fn a_disabled_key_rotates_when_it_is_enabled_and_from_then_on() {
    let world = World::new();
    let key = json!(world.key(&[]));
    enable(&world, &key, 90);
    let first = current(&world, &key);
    // Less than the period: the schedule goes on.
    world.ok("admin", "DisableKey", json!({"KeyId": key}));
    world.clock.advance(30 * DAY);
    let next = status(&world, &key)["NextRotationDate"].clone();
    world.ok("admin", "EnableKey", json!({"KeyId": key}));
    assert_eq!(current(&world, &key), first);
    assert_eq!(status(&world, &key)["NextRotationDate"], next);
    // More: one rotation, at once.
    world.ok("admin", "DisableKey", json!({"KeyId": key}));
    world.clock.advance(300 * DAY);
    assert_eq!(current(&world, &key), first);
    assert_eq!(status(&world, &key)["KeyRotationEnabled"], true);
    world.ok("admin", "EnableKey", json!({"KeyId": key}));
    assert_eq!(rotations(&world, &key).len(), 1);
    let next = status(&world, &key)["NextRotationDate"].clone();
    assert_eq!(next, world.now() + 90.0 * 86_400.0);
}

#[test]
fn a_key_pending_deletion_does_not_rotate_and_takes_its_schedule_up_again() {
    let world = World::new();
    let key = json!(world.key(&[]));
    enable(&world, &key, 90);
    let first = current(&world, &key);
    world.clock.advance(80 * DAY);
    world.ok("admin", "ScheduleKeyDeletion", json!({"KeyId": key}));
    assert_eq!(status(&world, &key)["KeyRotationEnabled"], false);
    world.clock.advance(20 * DAY);
    world.ok("admin", "CancelKeyDeletion", json!({"KeyId": key}));
    assert_eq!(status(&world, &key)["KeyRotationEnabled"], true);
    assert_eq!(current(&world, &key), first);
    world.ok("admin", "EnableKey", json!({"KeyId": key}));
    assert_ne!(current(&world, &key), first);
}

#[test]
fn a_policy_can_limit_the_period() {
    let bare = role("111122223333", "bare");
    let world = World::new();
    let key = world.key(&[json!({"Effect": "Allow", "Principal": {"AWS": bare},
        "Action": "kms:EnableKeyRotation", "Resource": "*",
        "Condition": {"NumericLessThanEquals": {"kms:RotationPeriodInDays": "180"}}})]);
    for (days, answer) in [(180, "ok"), (181, "AccessDeniedException")] {
        let input = json!({"KeyId": key, "RotationPeriodInDays": days});
        assert_eq!(
            world.code("bare", "EnableKeyRotation", input),
            answer,
            "{days}"
        );
    }
}

#[test]
fn the_rotation_status_can_be_read_across_accounts() {
    let broker = role(BROKER, "broker");
    let world = World::new();
    let key = world.key(&[json!({"Effect": "Allow", "Principal": {"AWS": broker},
        "Action": "kms:*", "Resource": "*"})]);
    let input = json!({"KeyId": key});
    assert_eq!(
        world.code("broker", "GetKeyRotationStatus", input.clone()),
        "ok"
    );
    for operation in ["ListKeyRotations", "EnableKeyRotation", "RotateKeyOnDemand"] {
        let got = world.code("broker", operation, input.clone());
        assert_eq!(got, "AccessDeniedException", "{operation}");
    }
}
