//! Tags, and what policies make of them; aliases that move, and that others may use.

use crate::world::{BROKER, CUSTOMER, REGION, World, role};
use serde_json::{Value, json};

fn tags(world: &World, key: &Value) -> Value {
    world.ok("admin", "ListResourceTags", json!({"KeyId": key}))["Tags"].clone()
}

fn tag(name: &str, value: &str) -> Value {
    json!({"TagKey": name, "TagValue": value})
}

#[test]
fn tags_are_set_replaced_removed_and_survive_a_restart() {
    let world = World::new();
    let made = world.make(json!({"Tags": [tag("a", "1"), tag("b", "")]}));
    let key = made["Arn"].clone();
    assert_eq!(tags(&world, &key), json!([tag("a", "1"), tag("b", "")]));
    let input = json!({"KeyId": key, "Tags": [tag("b", "2"), tag("c", "3")]});
    world.ok("admin", "TagResource", input);
    let event = world.kms.events().unwrap().pop().unwrap();
    let shown = json!([{"tagKey": "b", "tagValue": "2"}, {"tagKey": "c", "tagValue": "3"}]);
    assert_eq!(event["requestParameters"]["tags"], shown);
    assert_eq!(event["responseElements"], json!({"keyId": key}));
    let input = json!({"KeyId": key, "TagKeys": ["a", "never was"]});
    world.ok("admin", "UntagResource", input);
    let world = world.reopened();
    assert_eq!(tags(&world, &key), json!([tag("b", "2"), tag("c", "3")]));
    let page = json!({"KeyId": key, "Limit": 1});
    let page = world.ok("admin", "ListResourceTags", page);
    assert_eq!(page["Truncated"], true);
    let rest = json!({"KeyId": key, "Marker": page["NextMarker"]});
    let rest = world.ok("admin", "ListResourceTags", rest);
    assert_eq!(rest["Tags"], json!([tag("c", "3")]));
}

#[test]
fn what_is_no_tag_is_refused() {
    let world = World::new();
    let key = world.make(json!({}))["Arn"].clone();
    let many = |n: usize| -> Vec<Value> { (0..n).map(|i| tag(&i.to_string(), "x")).collect() };
    for (tags, answer) in [
        (json!([tag("aws:x", "1")]), "TagException"),
        (json!([tag("a", "1"), tag("a", "2")]), "TagException"),
        (json!(many(51)), "TagException"),
        (json!([tag("", "1")]), "ValidationException"),
        (json!([tag(&"k".repeat(129), "1")]), "ValidationException"),
        (json!([tag("a", &"v".repeat(257))]), "ValidationException"),
        (json!([{"TagKey": "a"}]), "ValidationException"),
        (json!(many(50)), "ok"),
        (json!([tag("one more", "1")]), "LimitExceededException"),
    ] {
        let input = json!({"KeyId": key, "Tags": tags});
        assert_eq!(world.code("admin", "TagResource", input), answer, "{tags}");
    }
    let input = json!({"Tags": [tag("aws:x", "1")]});
    assert_eq!(world.code("admin", "CreateKey", input), "TagException");
}

#[test]
fn policies_see_the_tags_of_the_key_and_of_the_request() {
    let bare = role(CUSTOMER, "bare");
    let world = World::new();
    let may = |action: &str, condition: Value| {
        json!({"Effect": "Allow", "Principal": {"AWS": bare}, "Action": action,
            "Resource": "*", "Condition": condition})
    };
    let key = world.key(&[
        may(
            "kms:Encrypt",
            json!({"StringEquals": {"aws:ResourceTag/stage": "test"}}),
        ),
        may(
            "kms:TagResource",
            json!({"StringEquals": {"aws:RequestTag/stage": "test"}}),
        ),
        may(
            "kms:UntagResource",
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["stage"]}}),
        ),
    ]);
    let bare = |operation: &str, input: Value| world.code("bare", operation, input);
    let encrypt = json!({"KeyId": key, "Plaintext": "eA=="});
    let denied = "AccessDeniedException";
    assert_eq!(bare("Encrypt", encrypt.clone()), denied);
    let set = |value: &str| json!({"KeyId": key, "Tags": [tag("stage", value)]});
    assert_eq!(bare("TagResource", set("live")), denied);
    assert_eq!(bare("TagResource", set("test")), "ok");
    assert_eq!(bare("Encrypt", encrypt.clone()), "ok");
    assert_eq!(
        bare(
            "UntagResource",
            json!({"KeyId": key, "TagKeys": ["stage", "x"]})
        ),
        denied
    );
    assert_eq!(
        bare("UntagResource", json!({"KeyId": key, "TagKeys": ["stage"]})),
        "ok"
    );
    assert_eq!(bare("Encrypt", encrypt), denied);
    // Tags of a new key need a right of their own.
    let create = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["kms:CreateKey", "kms:PutKeyPolicy"], "Resource": "*"}]});
    world
        .kms
        .set_identity_policy("bare", Some(&create))
        .unwrap();
    assert_eq!(bare("CreateKey", json!({})), "ok");
    assert_eq!(bare("CreateKey", json!({"Tags": [tag("a", "1")]})), denied);
}

#[test]
fn an_alias_moves_to_a_key_of_the_same_kind() {
    let world = World::new();
    let (one, two) = (
        world.make(json!({}))["Arn"].clone(),
        world.make(json!({}))["Arn"].clone(),
    );
    let move_to = |key: &Value| {
        let input = json!({"AliasName": "alias/app", "TargetKeyId": key});
        world.code("admin", "UpdateAlias", input)
    };
    assert_eq!(move_to(&two), "NotFoundException");
    let input = json!({"AliasName": "alias/app", "TargetKeyId": one});
    world.ok("admin", "CreateAlias", input);
    world.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(move_to(&two), "ok");
    assert_eq!(world.describe(&json!("alias/app"))["Arn"], two);
    let sealed = world.data_key("admin", "alias/app", &json!({}));
    assert_eq!(sealed["KeyId"], two);
    let alias = world.ok("admin", "ListAliases", json!({}))["Aliases"][0].clone();
    let age = alias["LastUpdatedDate"].as_f64().unwrap() - alias["CreationDate"].as_f64().unwrap();
    assert!((age - 5.0).abs() < 0.01, "{age}");
    let mac = world.make(json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}));
    let rsa = world.make(json!({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}));
    assert_eq!(move_to(&mac["Arn"]), "ValidationException");
    assert_eq!(move_to(&rsa["Arn"]), "ValidationException");
    assert_eq!(move_to(&json!("alias/app")), "ValidationException");
    // Away from a key pending deletion, not to one.
    world.ok("admin", "ScheduleKeyDeletion", json!({"KeyId": two}));
    assert_eq!(move_to(&one), "ok");
    assert_eq!(move_to(&two), "KMSInvalidStateException");
    let world = world.reopened();
    assert_eq!(world.describe(&json!("alias/app"))["Arn"], one);
}

#[test]
fn moving_an_alias_needs_the_right_on_the_alias_and_on_both_keys() {
    let bare = role(CUSTOMER, "bare");
    let world = World::new();
    let allowed = || {
        world.key(&[json!({"Effect": "Allow", "Principal": {"AWS": bare},
            "Action": "kms:UpdateAlias", "Resource": "*"})])
    };
    let (one, two, closed) = (allowed(), allowed(), world.key(&[]));
    let input = |key: &str| json!({"AliasName": "alias/app", "TargetKeyId": key});
    world.ok("admin", "CreateAlias", input(&one));
    let bare = |key: &str| world.code("bare", "UpdateAlias", input(key));
    assert_eq!(bare(&two), "AccessDeniedException");
    let alias = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Action": "kms:UpdateAlias", "Resource": format!("arn:aws:kms:{REGION}:{CUSTOMER}:alias/app")}]});
    world.kms.set_identity_policy("bare", Some(&alias)).unwrap();
    assert_eq!(bare(&closed), "AccessDeniedException");
    assert_eq!(bare(&two), "ok");
    world.ok("admin", "UpdateAlias", input(&closed));
    assert_eq!(bare(&two), "AccessDeniedException");
    // Another account's key is not to be had, whatever it allows.
    let open = world.kms.call(
        "broker",
        REGION,
        "CreateKey",
        json!({"BypassPolicyLockoutSafetyCheck": true,
        "Policy": json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": "*", "Action": "kms:*", "Resource": "*"}]}).to_string()}),
    );
    let open = open.unwrap()["KeyMetadata"]["Arn"].clone();
    let got = world.code("admin", "UpdateAlias", input(open.as_str().unwrap()));
    assert_eq!(got, "AccessDeniedException");
}

#[test]
fn an_alias_arn_stands_for_the_key_across_accounts_where_a_key_arn_does() {
    let broker = role(BROKER, "broker");
    let world = World::new();
    let key = world.key(&[json!({"Effect": "Allow", "Principal": {"AWS": broker},
        "Action": ["kms:DescribeKey", "kms:GenerateDataKey", "kms:Decrypt", "kms:Encrypt",
            "kms:ReEncrypt*", "kms:GetKeyRotationStatus"],
        "Resource": "*", "Condition": {"StringEquals": {"kms:RequestAlias": "alias/app"}}})]);
    world.ok(
        "admin",
        "CreateAlias",
        json!({"AliasName": "alias/app", "TargetKeyId": key}),
    );
    let alias = format!("arn:aws:kms:{REGION}:{CUSTOMER}:alias/app");
    let made = world.data_key("broker", &alias, &json!({}));
    assert_eq!(made["KeyId"], key);
    let blob = &made["CiphertextBlob"];
    for (operation, input) in [
        ("DescribeKey", json!({"KeyId": alias})),
        ("Encrypt", json!({"KeyId": alias, "Plaintext": "eA=="})),
        ("Decrypt", json!({"KeyId": alias, "CiphertextBlob": blob})),
        (
            "GenerateDataKey",
            json!({"KeyId": alias, "KeySpec": "AES_128"}),
        ),
        (
            "ReEncrypt",
            json!({"CiphertextBlob": blob, "SourceKeyId": alias, "DestinationKeyId": alias}),
        ),
    ] {
        assert_eq!(
            world.code("broker", operation, input.clone()),
            "ok",
            "{operation}"
        );
        let mut by_key = input.clone();
        for name in ["KeyId", "SourceKeyId"] {
            if !by_key[name].is_null() {
                by_key[name] = json!(key);
            }
        }
        let got = world.code("broker", operation, by_key);
        assert_eq!(got, "AccessDeniedException", "{operation}");
        // The bare name is one of the caller's own account.
        let mut named = input;
        for name in ["KeyId", "SourceKeyId", "DestinationKeyId"] {
            if !named[name].is_null() {
                named[name] = json!("alias/app");
            }
        }
        assert_eq!(
            world.code("broker", operation, named),
            "NotFoundException",
            "{operation}"
        );
    }
}
