//! What was acknowledged is there after a restart; what is broken is named, and left alone.

use crate::world::{BROKER, ELSEWHERE, REGION, World, open, role};
use local_kms::{OpenError, SystemClock};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_reopened_kms_finds_keys_grants_aliases_policies_and_ciphertexts() {
    let world = World::new();
    let key = world.key(&[]);
    let data_key = world.data_key("admin", &key, &json!({"a": "b"}));
    let grant = world.grant(&key, &role(BROKER, "broker"), &["Decrypt"]);
    let ended = world.grant(&key, &role(BROKER, "broker"), &["Encrypt"]);
    world.ok(
        "admin",
        "RevokeGrant",
        json!({"KeyId": key, "GrantId": ended["GrantId"]}),
    );
    world.ok(
        "admin",
        "CreateAlias",
        json!({"AliasName": "alias/app", "TargetKeyId": key}),
    );
    world.ok(
        "admin",
        "CreateAlias",
        json!({"AliasName": "alias/old", "TargetKeyId": key}),
    );
    world.ok("admin", "DeleteAlias", json!({"AliasName": "alias/old"}));
    let policy = world.ok("admin", "GetKeyPolicy", json!({"KeyId": key}));
    let disabled = world.key(&[]);
    world.ok("admin", "DisableKey", json!({"KeyId": disabled}));
    // Once from the journal, once from the snapshot.
    let mut world = world;
    for _ in 0..2 {
        world = world.reopened();
        let input =
            json!({"CiphertextBlob": data_key["CiphertextBlob"], "EncryptionContext": {"a": "b"}});
        let opened = world.ok("broker", "Decrypt", input);
        assert_eq!(opened["Plaintext"], data_key["Plaintext"]);
        assert_eq!(opened["KeyMaterialId"], data_key["KeyMaterialId"]);
        let grants = world.ok("admin", "ListGrants", json!({"KeyId": key}));
        assert_eq!(grants["Grants"].as_array().unwrap().len(), 1);
        assert_eq!(grants["Grants"][0]["GrantId"], grant["GrantId"]);
        let aliases = world.ok("admin", "ListAliases", json!({}));
        assert_eq!(aliases["Aliases"].as_array().unwrap().len(), 1);
        assert_eq!(
            world.ok("admin", "GetKeyPolicy", json!({"KeyId": key})),
            policy
        );
        let described = world.ok("admin", "DescribeKey", json!({"KeyId": disabled}));
        assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
    }
}

/// A directory with two keys in its snapshot and two in its journal, closed.
fn written() -> (World, Vec<u8>) {
    let world = World::new();
    world.key(&[]);
    world.key(&[]);
    let world = world.reopened();
    world.key(&[]);
    world.key(&[]);
    let journal = std::fs::read(world.dir.0.join("kms.journal")).unwrap();
    (world, journal)
}

fn keys(world: &World) -> usize {
    world.ok("admin", "ListKeys", json!({}))["Keys"]
        .as_array()
        .unwrap()
        .len()
}

/// Replaces a file of a KMS that was killed, and opens it anew.
fn reopened_with(world: World, file: &str, bytes: &[u8]) -> (Result<usize, OpenError>, Vec<u8>) {
    let World { kms, clock, dir } = world;
    drop(kms);
    let path = dir.0.join(file);
    std::fs::write(&path, bytes).unwrap();
    match open(&dir.0, clock.clone()) {
        Ok(kms) => (Ok(keys(&World { kms, clock, dir })), Vec::new()),
        Err(error) => (Err(error), std::fs::read(&path).unwrap()),
    }
}

#[test]
fn a_torn_last_line_of_the_journal_is_dropped_wherever_it_was_torn() {
    let (_, whole) = written();
    let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    for cut in [
        first,
        first + 1,
        first + 17,
        first + 100,
        whole.len() - 2,
        whole.len() - 1,
    ] {
        let (world, journal) = written();
        assert!(journal.len() > cut);
        let (found, _) =
            reopened_with(world, "kms.journal", &journal[..cut.min(journal.len() - 1)]);
        assert_eq!(found.unwrap(), 3, "cut at {cut}");
    }
}

#[test]
fn a_last_line_with_a_wrong_digest_is_dropped() {
    let (world, mut journal) = written();
    let near_end = journal.len() - 10;
    journal[near_end] ^= 1;
    assert_eq!(reopened_with(world, "kms.journal", &journal).0.unwrap(), 3);
}

#[test]
fn what_follows_a_dropped_line_is_not_lost() {
    let (world, journal) = written();
    let World { kms, clock, dir } = world;
    drop(kms);
    std::fs::write(dir.0.join("kms.journal"), &journal[..journal.len() - 5]).unwrap();
    let kms = open(&dir.0, clock.clone()).unwrap();
    let world = World { kms, clock, dir };
    world.key(&[]);
    assert_eq!(keys(&world.reopened()), 4);
}

#[test]
fn damage_before_the_journal_s_end_is_an_error_that_names_the_file_and_changes_nothing() {
    let (world, mut journal) = written();
    journal[30] ^= 1;
    let (found, left) = reopened_with(world, "kms.journal", &journal);
    let error = found.unwrap_err();
    assert!(matches!(error, OpenError::Broken { .. }));
    assert!(
        error.to_string().contains("kms.journal is broken: line 1"),
        "{error}"
    );
    assert_eq!(left, journal);
}

#[test]
fn a_broken_state_file_is_an_error_that_names_it_and_changes_nothing() {
    for broken in [
        &b""[..],
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{\"format\":1}",
        b"{\"format\":3,\"keys\":[],\"grants\":[],\"aliases\":[]}",
    ] {
        let (world, _) = written();
        let (found, left) = reopened_with(world, "kms.json", broken);
        let error = found.unwrap_err();
        assert!(matches!(error, OpenError::Broken { .. }));
        assert!(error.to_string().contains("kms.json is broken"), "{error}");
        assert_eq!(left, broken);
    }
}

#[test]
fn a_directory_is_for_one_at_a_time() {
    let world = World::new();
    let second = open(&world.dir.0, Arc::new(SystemClock));
    assert!(matches!(second.err(), Some(OpenError::Locked { .. })));
    world.reopened();
}

#[test]
fn files_with_key_material_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (world, _) = written();
    for file in ["kms.json", "kms.journal", "cloudtrail.jsonl"] {
        let mode = std::fs::metadata(world.dir.0.join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
fn using_a_key_writes_no_state() {
    let world = World::new();
    let key = world.key(&[]);
    let journal = world.dir.0.join("kms.journal");
    let before = size(&journal);
    let data_key = world.data_key("admin", &key, &Value::Null);
    world.ok(
        "admin",
        "Decrypt",
        json!({"CiphertextBlob": data_key["CiphertextBlob"]}),
    );
    world.ok("admin", "DescribeKey", json!({"KeyId": key}));
    assert_eq!(size(&journal), before);
}

#[test]
fn what_related_keys_share_is_torn_off_the_journal_from_both_or_none() {
    let world = World::new();
    let (primary, replica) = world.related();
    let first = world.describe(&primary)["CurrentKeyMaterialId"].clone();
    let before = size(&world.dir.0.join("kms.journal"));
    world.ok("admin", "RotateKeyOnDemand", json!({"KeyId": primary}));
    let World { kms, clock, dir } = world;
    drop(kms);
    let path = dir.0.join("kms.journal");
    let whole = std::fs::read(&path).unwrap();
    let start = usize::try_from(before).unwrap();
    let snapshot = std::fs::read(dir.0.join("kms.json")).unwrap();
    for part in [1, 2, 3] {
        std::fs::write(dir.0.join("kms.json"), &snapshot).unwrap();
        let cut = start + (whole.len() - start) * part / 4;
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kms = open(&dir.0, clock.clone()).unwrap();
        for (region, key) in [(REGION, &primary), (ELSEWHERE, &replica)] {
            let input = json!({"KeyId": key});
            let answer = kms.call("admin", region, "DescribeKey", input).unwrap();
            assert_eq!(answer["KeyMetadata"]["CurrentKeyMaterialId"], first);
        }
    }
}

/// What the program wrote before it knew of dates, Regions and imports.
fn first_format(policy: &Value) -> Value {
    let key = |id: &str, origin: &str, gone: bool, materials: Value, state: Value| {
        json!({"id": id, "account": "111122223333", "region": "eu-west-1", "created": 1000,
            "description": "old", "spec": "SYMMETRIC_DEFAULT", "usage": "ENCRYPT_DECRYPT",
            "origin": origin, "state": state, "policy": policy.to_string(),
            "materials": materials, "material_gone": gone})
    };
    let material = |n: u8| {
        use base64::Engine;
        let secret = base64::engine::general_purpose::STANDARD.encode([n; 32]);
        json!({"id": format!("{n:02x}").repeat(32), "created": 1000, "secret": secret})
    };
    json!({"format": 1, "keys": [
        key(ROTATED, "AWS_KMS", false, json!([material(1), material(2)]), json!("Enabled")),
        key(IMPORTED, "EXTERNAL", true, json!([material(3)]), json!("PendingImport")),
        key(DELETED, "AWS_KMS", false, json!([material(4)]), json!({"PendingDeletion": {"until": 2000}})),
    ], "grants": [{"id": "a".repeat(64), "key": ROTATED, "name": null,
        "grantee": role(BROKER, "broker"), "retiring": null, "operations": ["DescribeKey"],
        "constraints": {"subset": null, "equals": null}, "issuer": "arn:aws:iam::111122223333:root",
        "created": 1000, "ended": null, "tokens": ["local-x"]}],
    "aliases": [{"account": "111122223333", "region": "eu-west-1", "name": "alias/old",
        "key": ROTATED, "created": 1000}]})
}

const ROTATED: &str = "11111111-1111-4111-8111-111111111111";
const IMPORTED: &str = "22222222-2222-4222-8222-222222222222";
const DELETED: &str = "33333333-3333-4333-8333-333333333333";

#[test]
fn a_state_file_of_the_first_format_is_read_and_written_anew() {
    let World { kms, clock, dir } = World::new();
    drop(kms);
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}]});
    let path = dir.0.join("kms.json");
    std::fs::write(&path, first_format(&policy).to_string()).unwrap();
    let kms = open(&dir.0, clock.clone()).unwrap();
    let mut world = World { kms, clock, dir };
    for _ in 0..2 {
        let key = world.describe(&json!("alias/old"));
        assert_eq!(key["KeyId"], ROTATED);
        assert_eq!(key["CurrentKeyMaterialId"], "02".repeat(32));
        let rotations = world.ok("admin", "ListKeyRotations", json!({"KeyId": ROTATED}));
        assert_eq!(rotations["Rotations"][0]["RotationType"], "ON_DEMAND");
        let arn = key["Arn"].clone();
        assert_eq!(
            world.code("broker", "DescribeKey", json!({"KeyId": arn})),
            "ok"
        );
        let imported = world.describe(&json!(IMPORTED));
        assert_eq!(imported["KeyState"], "PendingImport");
        assert_eq!(imported["ExpirationModel"], Value::Null);
        let deleted = json!({"KeyId": DELETED});
        assert_eq!(
            world.code("admin", "DescribeKey", deleted),
            "NotFoundException"
        );
        world = world.reopened();
        let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written["format"], 2);
        assert!(!written.to_string().contains(&"04".repeat(32)));
    }
}
