//! Multi-Region keys: what related keys share, and what each has for itself.

use crate::world::{BROKER, CUSTOMER, DAY, ELSEWHERE, REGION, World, role};
use serde_json::{Value, json};

fn seal(world: &World, key: &Value) -> Value {
    let input = json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": {"a": "b"}});
    world.ok("admin", "GenerateDataKey", input)
}

fn blob(sealed: &Value) -> Value {
    json!({"CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": {"a": "b"}})
}

fn describe_there(world: &World, key: &Value) -> Value {
    let answer = world.ok_there("DescribeKey", json!({"KeyId": key}));
    answer["KeyMetadata"].clone()
}

#[test]
fn a_ciphertext_of_one_key_opens_under_its_related_key_in_the_other_region() {
    let world = World::new();
    let (primary, replica) = world.related();
    let sealed = seal(&world, &primary);
    let world = world.reopened();
    let opened = world.ok_there("Decrypt", blob(&sealed));
    assert_eq!(opened["KeyId"], replica);
    assert_eq!(opened["Plaintext"], sealed["Plaintext"]);
    assert_eq!(opened["KeyMaterialId"], sealed["KeyMaterialId"]);
    let mut named = blob(&sealed);
    named["KeyId"] = replica.clone();
    assert_eq!(world.code_there("Decrypt", named.clone()), "ok");
    // Each Region knows its own keys' ARNs alone.
    named["KeyId"] = primary.clone();
    assert_eq!(world.code_there("Decrypt", named), "NotFoundException");
    let id = primary.as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(describe_there(&world, &json!(id))["Arn"], replica);
    assert_eq!(world.describe(&json!(id))["Arn"], primary);
    // A third Region has none of them.
    let third = world
        .kms
        .call("admin", "eu-central-1", "Decrypt", blob(&sealed));
    assert_eq!(third.unwrap_err().code, "AccessDeniedException");
}

#[test]
fn keys_of_one_region_keep_their_ids_and_are_not_replicated() {
    let world = World::new();
    let key = world.make(json!({}));
    assert_eq!(key["MultiRegion"], false);
    assert_eq!(key["MultiRegionConfiguration"], Value::Null);
    assert!(!key["KeyId"].as_str().unwrap().starts_with("mrk-"));
    let input = json!({"KeyId": key["Arn"], "ReplicaRegion": ELSEWHERE});
    let got = world.code("admin", "ReplicateKey", input);
    assert_eq!(got, "UnsupportedOperationException");
    let input = json!({"KeyId": key["Arn"], "PrimaryRegion": ELSEWHERE});
    let got = world.code("admin", "UpdatePrimaryRegion", input);
    assert_eq!(got, "UnsupportedOperationException");
}

#[test]
fn each_related_key_tells_of_all() {
    let world = World::new();
    let (primary, replica) = world.related();
    let shown = |kind: &str| {
        json!({"MultiRegionKeyType": kind,
            "PrimaryKey": {"Arn": primary, "Region": REGION},
            "ReplicaKeys": [{"Arn": replica, "Region": ELSEWHERE}]})
    };
    let here = world.describe(&primary);
    assert_eq!(here["MultiRegion"], true);
    assert_eq!(here["MultiRegionConfiguration"], shown("PRIMARY"));
    let id = here["KeyId"].as_str().unwrap();
    assert_eq!((id.len(), &id[..4]), (36, "mrk-"));
    let there = describe_there(&world, &replica);
    assert_eq!(there["MultiRegionConfiguration"], shown("REPLICA"));
    assert_eq!(there["KeyId"], id);
    assert_eq!(there["KeyState"], "Enabled");
    assert_eq!(there["CurrentKeyMaterialId"], here["CurrentKeyMaterialId"]);
    for (region, number) in [(REGION, 1), (ELSEWHERE, 1), ("eu-central-1", 0)] {
        let keys = world
            .kms
            .call("admin", region, "ListKeys", json!({}))
            .unwrap();
        assert_eq!(keys["Keys"].as_array().unwrap().len(), number, "{region}");
    }
}

#[test]
fn replicas_are_made_of_primary_keys_and_once_in_a_region() {
    let world = World::new();
    let (primary, replica) = world.related();
    let code = |region: &str| {
        let input = json!({"KeyId": primary, "ReplicaRegion": region});
        world.code("admin", "ReplicateKey", input)
    };
    assert_eq!(code(ELSEWHERE), "AlreadyExistsException");
    assert_eq!(code(REGION), "AlreadyExistsException");
    for region in ["", "mars", "eu-west", "EU-WEST-1", "eu-west-1/x"] {
        assert_eq!(code(region), "ValidationException", "{region}");
    }
    let input = json!({"KeyId": replica, "ReplicaRegion": "eu-central-1"});
    assert_eq!(
        world.code_there("ReplicateKey", input),
        "UnsupportedOperationException"
    );
    world.ok("admin", "DisableKey", json!({"KeyId": primary}));
    assert_eq!(code("eu-central-1"), "DisabledException");
    world.ok("admin", "EnableKey", json!({"KeyId": primary}));
    assert_eq!(code("eu-central-1"), "ok");
}

#[test]
fn a_replica_has_a_policy_grants_aliases_tags_and_a_state_of_its_own() {
    let world = World::new();
    let primary = world.make(json!({"MultiRegion": true, "Description": "here",
        "Tags": [{"TagKey": "a", "TagValue": "1"}]}))["Arn"]
        .clone();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{CUSTOMER}:root")},
            "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": role(CUSTOMER, "bare")},
            "Action": "kms:Decrypt", "Resource": "*"}]})
    .to_string();
    let made = world.ok(
        "admin",
        "ReplicateKey",
        json!({"KeyId": primary, "ReplicaRegion": ELSEWHERE,
        "Policy": policy, "Description": "there", "Tags": [{"TagKey": "b", "TagValue": "2"}]}),
    );
    assert_eq!(made["ReplicaPolicy"], policy);
    assert_eq!(
        made["ReplicaTags"],
        json!([{"TagKey": "b", "TagValue": "2"}])
    );
    assert_eq!(made["ReplicaKeyMetadata"]["Description"], "there");
    assert_eq!(world.describe(&primary)["Description"], "here");
    let replica = made["ReplicaKeyMetadata"]["Arn"].clone();
    let sealed = seal(&world, &primary);
    let bare = |region: &str| {
        let done = world.kms.call("bare", region, "Decrypt", blob(&sealed));
        done.map_or_else(|error| error.code, |_| "ok")
    };
    assert_eq!(
        (bare(ELSEWHERE), bare(REGION)),
        ("ok", "AccessDeniedException")
    );
    let grant = |key: &Value| json!({"KeyId": key, "GranteePrincipal": role(BROKER, "broker"), "Operations": ["Decrypt"]});
    let token = world.ok("admin", "CreateGrant", grant(&primary))["GrantToken"].clone();
    let broker = |region: &str| {
        let done = world.kms.call("broker", region, "Decrypt", blob(&sealed));
        done.map_or_else(|error| error.code, |_| "ok")
    };
    assert_eq!(
        (broker(REGION), broker(ELSEWHERE)),
        ("ok", "AccessDeniedException")
    );
    let list = |key: &Value| json!({"KeyId": key});
    let grants = world.ok_there("ListGrants", list(&replica));
    assert_eq!(grants["Grants"], json!([]));
    world.ok("root", "RetireGrant", json!({"GrantToken": token}));
    world.ok_there("CreateGrant", grant(&replica));
    assert_eq!(
        (broker(REGION), broker(ELSEWHERE)),
        ("AccessDeniedException", "ok")
    );
    // The same alias in both Regions, each for its own key.
    let id = primary.as_str().unwrap().rsplit('/').next().unwrap();
    let alias = json!({"AliasName": "alias/app", "TargetKeyId": id});
    world.ok("admin", "CreateAlias", alias.clone());
    let named = json!({"KeyId": "alias/app"});
    assert_eq!(
        world.code_there("DescribeKey", named.clone()),
        "NotFoundException"
    );
    world.ok_there("CreateAlias", alias);
    assert_eq!(describe_there(&world, &json!("alias/app"))["Arn"], replica);
    let aliases = world.ok_there("ListAliases", json!({}));
    assert_eq!(aliases["Aliases"][0]["TargetKeyId"], id);
    world.ok("admin", "DisableKey", json!({"KeyId": primary}));
    assert_eq!(bare(ELSEWHERE), "ok");
    assert_eq!(
        world.code("admin", "Decrypt", blob(&sealed)),
        "DisabledException"
    );
    let tags = world.ok("admin", "ListResourceTags", json!({"KeyId": primary}));
    assert_eq!(tags["Tags"], json!([{"TagKey": "a", "TagValue": "1"}]));
}

#[test]
fn a_rotation_of_the_primary_key_is_its_replicas_too() {
    let world = World::new();
    let (primary, replica) = world.related();
    let id = json!({"KeyId": primary});
    let replica_id = json!({"KeyId": replica});
    world.ok("admin", "EnableKeyRotation", id.clone());
    let there = world.ok_there("GetKeyRotationStatus", replica_id.clone());
    assert_eq!(there["KeyRotationEnabled"], true);
    let first = world.describe(&primary)["CurrentKeyMaterialId"].clone();
    world.clock.advance(365 * DAY);
    let there = describe_there(&world, &replica)["CurrentKeyMaterialId"].clone();
    assert_ne!(there, first);
    assert_eq!(world.describe(&primary)["CurrentKeyMaterialId"], there);
    world.ok("admin", "RotateKeyOnDemand", id);
    let sealed = seal(&world, &primary);
    assert_ne!(sealed["KeyMaterialId"], there);
    assert_eq!(world.code_there("Decrypt", blob(&sealed)), "ok");
    for operation in [
        "EnableKeyRotation",
        "DisableKeyRotation",
        "RotateKeyOnDemand",
    ] {
        let got = world.code_there(operation, replica_id.clone());
        assert_eq!(got, "UnsupportedOperationException", "{operation}");
    }
    let rotations = world.ok_there("ListKeyRotations", replica_id);
    assert_eq!(rotations["Rotations"].as_array().unwrap().len(), 2);
}

#[test]
fn the_primary_region_moves_between_enabled_keys() {
    let world = World::new();
    let (primary, replica) = world.related();
    let to = |region: &str| json!({"KeyId": primary, "PrimaryRegion": region});
    let code = |input: Value| world.code("admin", "UpdatePrimaryRegion", input);
    assert_eq!(code(to("eu-central-1")), "NotFoundException");
    assert_eq!(code(to(REGION)), "NotFoundException");
    world.ok_there("DisableKey", json!({"KeyId": replica}));
    assert_eq!(code(to(ELSEWHERE)), "DisabledException");
    world.ok_there("EnableKey", json!({"KeyId": replica}));
    let input = json!({"KeyId": replica, "PrimaryRegion": REGION});
    assert_eq!(
        world.code_there("UpdatePrimaryRegion", input),
        "UnsupportedOperationException"
    );
    assert_eq!(code(to(ELSEWHERE)), "ok");
    let shown = &world.describe(&primary)["MultiRegionConfiguration"];
    assert_eq!(shown["MultiRegionKeyType"], "REPLICA");
    assert_eq!(shown["PrimaryKey"]["Region"], ELSEWHERE);
    assert_eq!(code(to(ELSEWHERE)), "UnsupportedOperationException");
    assert_eq!(
        world.code_there("RotateKeyOnDemand", json!({"KeyId": replica})),
        "ok"
    );
    let event = world.kms.events().unwrap();
    let event = event
        .iter()
        .rfind(|e| e["eventName"] == "UpdatePrimaryRegion" && e["errorCode"].is_null());
    let asked = json!({"keyId": primary, "primaryRegion": ELSEWHERE});
    assert_eq!(event.unwrap()["requestParameters"], asked);
}

#[test]
fn moving_the_primary_region_and_replicating_need_rights_in_both_regions() {
    let world = World::new();
    let (primary, replica) = world.related();
    let here = role(CUSTOMER, "bare");
    let allow = |key: &Value, region: &str| {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": [format!("arn:aws:iam::{CUSTOMER}:root"), here]},
                "Action": "kms:*", "Resource": "*"}]});
        let input = json!({"KeyId": key, "Policy": policy.to_string()});
        world
            .kms
            .call("admin", region, "PutKeyPolicy", input)
            .unwrap();
    };
    allow(&primary, REGION);
    let update = json!({"KeyId": primary, "PrimaryRegion": ELSEWHERE});
    let code = |operation: &str, input: &Value| world.code("bare", operation, input.clone());
    assert_eq!(
        code("UpdatePrimaryRegion", &update),
        "AccessDeniedException"
    );
    allow(&replica, ELSEWHERE);
    // The key policy is no help for CreateKey in the replica's Region.
    let replicate = json!({"KeyId": primary, "ReplicaRegion": "eu-central-1"});
    assert_eq!(code("ReplicateKey", &replicate), "AccessDeniedException");
    let identity = |region: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "kms:CreateKey", "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestedRegion": region}}}]})
    };
    world
        .kms
        .set_identity_policy("bare", Some(&identity(REGION)))
        .unwrap();
    assert_eq!(code("ReplicateKey", &replicate), "AccessDeniedException");
    world
        .kms
        .set_identity_policy("bare", Some(&identity("eu-central-1")))
        .unwrap();
    assert_eq!(code("ReplicateKey", &replicate), "ok");
    assert_eq!(code("UpdatePrimaryRegion", &update), "ok");
}

#[test]
fn a_primary_key_waits_for_its_replicas_to_be_deleted() {
    let world = World::new();
    let (primary, replica) = world.related();
    let sealed = seal(&world, &primary);
    let days = |key: &Value, days: u32| json!({"KeyId": key, "PendingWindowInDays": days});
    let answer = world.ok("admin", "ScheduleKeyDeletion", days(&primary, 10));
    assert_eq!(answer["KeyState"], "PendingReplicaDeletion");
    assert_eq!(answer["DeletionDate"], Value::Null);
    let described = world.describe(&primary);
    assert_eq!(described["KeyState"], "PendingReplicaDeletion");
    assert_eq!(described["PendingDeletionWindowInDays"], 10);
    assert_eq!(described["DeletionDate"], Value::Null);
    assert_eq!(
        world.code("admin", "Decrypt", blob(&sealed)),
        "KMSInvalidStateException"
    );
    let replicate = json!({"KeyId": primary, "ReplicaRegion": "eu-central-1"});
    assert_eq!(
        world.code("admin", "ReplicateKey", replicate),
        "KMSInvalidStateException"
    );
    assert_eq!(world.code_there("Decrypt", blob(&sealed)), "ok");
    world.clock.advance(100 * DAY);
    assert_eq!(
        world.describe(&primary)["KeyState"],
        "PendingReplicaDeletion"
    );
    let start = world.now();
    world.ok_there("ScheduleKeyDeletion", days(&replica, 7));
    world.clock.advance(8 * DAY);
    let described = world.describe(&primary);
    assert_eq!(described["KeyState"], "PendingDeletion");
    assert_eq!(described["DeletionDate"], start + 17.0 * 86_400.0);
    assert_eq!(
        world.code_there("DescribeKey", json!({"KeyId": replica})),
        "NotFoundException"
    );
    let world = world.reopened();
    world.clock.advance(9 * DAY);
    assert_eq!(
        world.code("admin", "DescribeKey", json!({"KeyId": primary})),
        "NotFoundException"
    );
    assert_eq!(
        world.code("admin", "Decrypt", blob(&sealed)),
        "AccessDeniedException"
    );
    let events = world.kms.events().unwrap();
    let deleted = events.iter().filter(|e| e["eventName"] == "DeleteKey");
    let arns: Vec<_> = deleted.map(|e| e["resources"][0]["ARN"].clone()).collect();
    assert_eq!(arns, [replica, primary]);
}

#[test]
fn a_deleted_replica_is_made_again_without_its_grants() {
    let world = World::new();
    let (primary, replica) = world.related();
    let input = json!({"KeyId": replica, "GranteePrincipal": role(BROKER, "broker"),
        "Operations": ["DescribeKey"]});
    let token = world.ok_there("CreateGrant", input)["GrantToken"].clone();
    world.ok_there(
        "ScheduleKeyDeletion",
        json!({"KeyId": replica, "PendingWindowInDays": 7}),
    );
    let again = json!({"KeyId": primary, "ReplicaRegion": ELSEWHERE});
    let code = |input: &Value| world.code("admin", "ReplicateKey", input.clone());
    assert_eq!(code(&again), "AlreadyExistsException");
    // A primary key whose replicas are all gone is deleted like any other.
    world.clock.advance(7 * DAY);
    assert_eq!(code(&again), "ok");
    let ask = |tokens: Value| {
        let input = json!({"KeyId": replica, "GrantTokens": tokens});
        let done = world.kms.call("broker", ELSEWHERE, "DescribeKey", input);
        done.map_or_else(|error| error.code, |_| "ok")
    };
    assert_eq!(ask(json!([])), "AccessDeniedException");
    assert_eq!(ask(json!([token])), "InvalidGrantTokenException");
    let cancelled = world.ok("admin", "ScheduleKeyDeletion", json!({"KeyId": primary}));
    assert_eq!(cancelled["KeyState"], "PendingReplicaDeletion");
    world.ok("admin", "CancelKeyDeletion", json!({"KeyId": primary}));
    assert_eq!(world.describe(&primary)["KeyState"], "Disabled");
}

#[test]
fn a_replication_is_logged_in_both_regions() {
    let world = World::new();
    let (primary, replica) = world.related();
    let events = world.kms.events().unwrap();
    let [.., replicated, created] = &events[..] else {
        panic!("two events");
    };
    assert_eq!(replicated["eventName"], "ReplicateKey");
    assert_eq!(replicated["awsRegion"], REGION);
    let asked = json!({"keyId": primary, "replicaRegion": ELSEWHERE});
    assert_eq!(replicated["requestParameters"], asked);
    let shown = &replicated["responseElements"]["replicaKeyMetadata"]["arn"];
    assert_eq!(shown, &replica);
    assert_eq!(replicated["resources"][0]["ARN"], primary);
    assert_eq!(created["eventName"], "CreateKey");
    assert_eq!(created["awsRegion"], ELSEWHERE);
    assert_eq!(created["resources"][0]["ARN"], replica);
    assert_eq!(created["requestID"], replicated["requestID"]);
}
