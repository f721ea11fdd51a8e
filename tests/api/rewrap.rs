//! Re-wraps: everything that a workspace holds moves to the key that is bound now, by
//! ReEncrypt alone, and nothing is lost, whatever happens meanwhile.
//!
//! Nobody drives the jobs of these stacks but the tests: with the event that the table's
//! stream would give, or with a sweep.

use crate::world::{Tenant, World, code};
use futures_util::future::join_all;
use local::{Upstream, client::Answer};
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;

/// A stack whose jobs only move when a test says so, at so many KMS calls a second.
pub(crate) async fn undriven(rate: u32) -> World {
    World::own(|mut config| {
        config.rewraps.every = None;
        config.rewraps.rate = rate.try_into().unwrap();
        config
    })
    .await
}

/// Binds another key of the customer's, and gives the former one.
pub(crate) async fn rebind(tenant: &mut Tenant<'_>) -> String {
    let former = std::mem::replace(&mut tenant.key, tenant.customer.create_key().unwrap());
    tenant.grant();
    bind(tenant).await;
    former
}

pub(crate) async fn bind(tenant: &Tenant<'_>) {
    let body = json!({"key": tenant.key});
    let bound = tenant.call("PUT", "/key", Some(body)).await;
    assert_eq!(bound.status, 200, "{}", bound.json());
}

/// Starts a job, and gives its id.
pub(crate) async fn start(tenant: &Tenant<'_>, body: Option<Value>) -> String {
    let started = tenant.call("POST", "/rewraps", body).await;
    assert_eq!(started.status, 202, "{}", started.json());
    let id = started.json()["id"].as_str().unwrap().to_owned();
    let path = tenant.path(&format!("/rewraps/{id}"));
    assert_eq!(started.header("location"), path);
    id
}

pub(crate) async fn show(tenant: &Tenant<'_>, id: &str) -> Value {
    let shown = tenant.call("GET", &format!("/rewraps/{id}"), None).await;
    assert_eq!(shown.status, 200, "{}", shown.json());
    shown.json()
}

/// The stream tells that a job was written: one run, if it is to be handed over.
pub(crate) async fn wake(tenant: &Tenant<'_>, id: &str) -> Value {
    let event = json!({"Records": [{
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "Keys": {"pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": format!("J#{id}")}},
            "SequenceNumber": "1",
        },
    }]});
    invoke(tenant.world, event).await
}

pub(crate) async fn sweep(world: &World) -> Value {
    invoke(world, json!({"sweep": {"stalled_seconds": 0}})).await
}

async fn invoke(world: &World, event: Value) -> Value {
    let function = &world.stack.invocable["rewrap-secrets"];
    function(event).await.unwrap()
}

/// Carries a job on for as long as it hands itself over.
pub(crate) async fn finish(tenant: &Tenant<'_>, id: &str) -> Value {
    for _ in 0..100 {
        assert_eq!(wake(tenant, id).await, json!({"batchItemFailures": []}));
        let job = show(tenant, id).await;
        if job["state"] != "running" {
            return job;
        }
    }
    panic!("the job goes on for ever");
}

/// Some counts of a job, in the order of the names.
pub(crate) fn counts<const N: usize>(job: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| job[name].as_u64().unwrap())
}

/// The ReEncrypt calls about a workspace's secrets that the customer's log has.
pub(crate) fn re_encrypts(tenant: &Tenant<'_>) -> Vec<Value> {
    let all = tenant.world.stack.kms.events().unwrap();
    all.into_iter()
        .filter(|event| {
            let from = &event["requestParameters"]["sourceEncryptionContext"];
            from["byok:workspace"] == tenant.workspace.as_str() && from["byok:secret"] != "$probe"
        })
        .collect()
}

/// Sends a request, and changes an item of the workspace between its read and its write:
/// KMS, which throttles for a moment, holds it up. The stack is the test's own.
pub(crate) async fn in_between(
    tenant: &Tenant<'_>,
    request: impl Future<Output = Answer>,
    place: &str,
    change: impl Fn(&mut Value),
) -> Answer {
    let kms = &tenant.world.stack.kms;
    let before = re_encrypts(tenant).len();
    kms.inject(Fault::times("ReEncrypt", FaultKind::Throttle, 5));
    let meanwhile = async {
        while re_encrypts(tenant).len() == before {
            sleep(Duration::from_millis(2)).await;
        }
        let mut item = versions(tenant).await[place].clone();
        change(&mut item);
        let input = json!({"TableName": "broker", "Item": item});
        tenant.world.table("PutItem", input).await;
    };
    let (answer, ()) = tokio::join!(request, meanwhile);
    kms.clear_faults();
    answer
}

/// Every version's item of a workspace, by where it lies.
pub(crate) async fn versions(tenant: &Tenant<'_>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for prefix in ["S#", "V#"] {
        let input = json!({
            "TableName": "broker", "ConsistentRead": true,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {
                ":pk": {"S": format!("W#{}", tenant.workspace)}, ":sk": {"S": prefix},
            },
        });
        let found = tenant.world.table("Query", input).await;
        assert!(found["LastEvaluatedKey"].is_null(), "it was read whole");
        for item in found["Items"].as_array().unwrap() {
            all.insert(item["sk"]["S"].as_str().unwrap().to_owned(), item.clone());
        }
    }
    all
}

/// Which keys the versions lie under, and how many under each.
pub(crate) async fn keys(tenant: &Tenant<'_>) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for item in versions(tenant).await.values() {
        let key = item["wrapped_by"]["S"].as_str().unwrap().to_owned();
        *keys.entry(key).or_default() += 1;
    }
    keys
}

pub(crate) async fn all_under(tenant: &Tenant<'_>, key: &str, number: usize) {
    let expected = BTreeMap::from([(key.to_owned(), number)]);
    assert_eq!(keys(tenant).await, expected);
}

pub(crate) fn set_key(tenant: &Tenant<'_>, operation: &str, key: &str) {
    let input = json!({"KeyId": key});
    tenant.customer.call(operation, input).unwrap();
}

pub(crate) async fn use_version(
    tenant: &Tenant<'_>,
    name: &str,
    version: u64,
    upstream: &Upstream,
) -> Answer {
    let request = json!({"method": "GET", "url": upstream.url("/v1/thing")});
    let body = json!({"request": request, "version": version});
    tenant
        .call("POST", &format!("/secrets/{name}/use"), Some(body))
        .await
}

/// A version opens, to exactly its value.
pub(crate) async fn opens(
    tenant: &Tenant<'_>,
    (name, version): (&str, u64),
    value: &str,
    upstream: &Upstream,
) {
    let used = use_version(tenant, name, version, upstream).await;
    assert_eq!(used.status, 200, "{name} {version}: {}", used.json());
    let seen = upstream.take();
    assert_eq!(
        seen[0].header("authorization"),
        format!("Bearer {value}"),
        "{name} {version}"
    );
}

/// Puts secrets of one version each, `value-of-<name>`.
pub(crate) async fn put_many(tenant: &Tenant<'_>, names: &[String], upstream: &Upstream) {
    for chunk in names.chunks(16) {
        let puts = chunk.iter().map(|name| async move {
            tenant
                .put(name, &format!("value-of-{name}"), upstream)
                .await
        });
        join_all(puts).await;
    }
}

pub(crate) fn names(prefix: &str, number: usize) -> Vec<String> {
    (0..number).map(|n| format!("{prefix}{n:03}")).collect()
}

#[tokio::test]
async fn a_rewrap_moves_every_version_by_re_encrypt_alone_and_touches_no_sealed_byte() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let put = [("one", 1), ("two", 3), ("three", 1)];
    for (name, last) in put {
        for version in 1..=last {
            let value = format!("value-{version}-of-{name}");
            tenant.put(name, &value, &upstream).await;
        }
    }
    tenant.put("gone", "value-of-gone", &upstream).await;
    let deleted = tenant.call("DELETE", "/secrets/gone", None).await;
    assert_eq!(deleted.status, 204);
    let former = rebind(&mut tenant).await;
    let before = versions(&tenant).await;
    let events = world.stack.kms.events().unwrap().len();

    let id = start(&tenant, None).await;
    let begun = show(&tenant, &id).await;
    assert_eq!(
        (&begun["state"], &begun["phase"]),
        (&json!("running"), &json!("count"))
    );
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["phase"]),
        (&json!("done"), &json!("ended"))
    );
    assert_eq!(
        counts(
            &job,
            [
                "total",
                "moved",
                "already",
                "changed",
                "verified",
                "failed",
                "remaining"
            ]
        ),
        [5, 5, 0, 0, 5, 0, 0],
        "{job}"
    );
    assert_eq!(job["key"], tenant.key);
    assert!(job["ratePerSecond"].as_f64().unwrap() > 0.0 && job["endedAt"].is_string());
    assert!(job["reason"].is_null() && job["estimatedEnd"].is_null());

    let after = versions(&tenant).await;
    assert!(before.keys().eq(after.keys()));
    for (place, item) in &before {
        let mut moved = after[place].clone();
        if item["kind"]["S"] == "deleted" {
            assert_eq!(moved, *item, "{place}");
            continue;
        }
        assert_eq!(moved["wrapped_by"]["S"], tenant.key, "{place}");
        assert_ne!(moved["wrapped"], item["wrapped"], "{place}");
        for attribute in ["wrapped", "wrapped_by", "material", "revision"] {
            if !item[attribute].is_null() {
                moved[attribute] = item[attribute].clone();
            }
        }
        assert_eq!(moved, *item, "{place}: nothing else has changed");
    }
    // All that the customer's log says of the move: who asked for what, and under which job.
    let all = world.stack.kms.events().unwrap();
    let customers: Vec<_> = all[events..]
        .iter()
        .filter(|event| {
            let of = |arn: &str| event["resources"].to_string().contains(arn);
            of(&tenant.key) || of(&former)
        })
        .collect();
    assert!(customers.len() >= 10, "{customers:?}");
    for event in customers {
        assert_eq!(event["eventName"], "ReEncrypt", "{event}");
        assert!(
            event["userAgent"].as_str().unwrap().contains(&id),
            "{event}"
        );
    }
    for (name, last) in put {
        for version in 1..=last {
            let value = format!("value-{version}-of-{name}");
            opens(&tenant, (name, version), &value, &upstream).await;
        }
    }
}

#[tokio::test]
async fn before_a_rewrap_the_former_key_is_needed_and_after_it_is_not() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    for value in ["the-first-value", "the-second-value"] {
        tenant.put("thing", value, &upstream).await;
    }
    let former = rebind(&mut tenant).await;
    set_key(&tenant, "DisableKey", &former);
    for version in [1, 2] {
        let refused = use_version(&tenant, "thing", version, &upstream).await;
        assert_eq!(code(&refused), "key_disabled");
    }
    set_key(&tenant, "EnableKey", &former);
    let id = start(&tenant, None).await;
    assert_eq!(finish(&tenant, &id).await["state"], "done");
    set_key(&tenant, "DisableKey", &former);
    opens(&tenant, ("thing", 1), "the-first-value", &upstream).await;
    opens(&tenant, ("thing", 2), "the-second-value", &upstream).await;

    // And back again, where the new key was a mistake.
    set_key(&tenant, "EnableKey", &former);
    let mistaken = std::mem::replace(&mut tenant.key, former);
    bind(&tenant).await;
    let id = start(&tenant, None).await;
    let back = finish(&tenant, &id).await;
    assert_eq!(counts(&back, ["moved", "verified"]), [2, 2], "{back}");
    set_key(&tenant, "DisableKey", &mistaken);
    opens(&tenant, ("thing", 1), "the-first-value", &upstream).await;
    all_under(&tenant, &tenant.key, 2).await;
}

#[tokio::test]
async fn after_a_rotation_a_rewrap_brings_everything_under_the_new_material() {
    let world = undriven(500).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let old = names("old-", 5);
    put_many(&tenant, &old, &upstream).await;
    set_key(&tenant, "RotateKeyOnDemand", &tenant.key);
    let new = tenant.put("new", "value-of-new", &upstream).await.json();
    let material = async || {
        let items = versions(&tenant).await;
        let of = |item: &Value| item["material"]["S"].as_str().unwrap().to_owned();
        items
            .values()
            .map(of)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(material().await.len(), 2);

    let id = start(&tenant, None).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(job["state"], "done");
    assert_eq!(
        counts(&job, ["moved", "already", "verified"]),
        [5, 1, 6],
        "{job}"
    );
    let now = material().await;
    assert!(
        now.iter().eq([new["keyMaterialId"].as_str().unwrap()]),
        "{now:?}"
    );

    let wraps = versions(&tenant).await;
    let id = start(&tenant, None).await;
    let again = finish(&tenant, &id).await;
    assert_eq!(
        counts(&again, ["moved", "already", "verified"]),
        [0, 6, 6],
        "{again}"
    );
    assert_eq!(versions(&tenant).await, wraps, "there was nothing to do");
    for name in old {
        opens(&tenant, (&name, 1), &format!("value-of-{name}"), &upstream).await;
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_finds_the_permission_that_is_missing() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    put_many(&tenant, &names("s", 3), &upstream).await;
    let former = rebind(&mut tenant).await;
    // The former key lets the broker open, and not move.
    let mut grant = envelope::KeyPolicy {
        role: local::cast::BROKER_ROLE,
        broker: &world.stack.broker,
        workspace: &tenant.workspace,
    }
    .grant();
    grant["KeyId"] = json!(former);
    let whole = grant.clone();
    grant["Operations"] = json!(["Decrypt", "DescribeKey"]);
    tenant.customer.revoke_all(&former).unwrap();
    tenant.customer.call("CreateGrant", grant).unwrap();

    let before = versions(&tenant).await;
    let dry = json!({"dry_run": true});
    let id = start(&tenant, Some(dry.clone())).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["dryRun"]),
        (&json!("failed"), &json!(true))
    );
    assert_eq!(
        counts(&job, ["moved", "failed", "verified"]),
        [0, 3, 0],
        "{job}"
    );
    assert_eq!(job["reason"], "key_access_denied");
    let failure = json!({"name": "s000", "version": 1, "reason": "key_access_denied"});
    assert_eq!(job["failures"][0], failure);

    tenant.customer.call("CreateGrant", whole).unwrap();
    let id = start(&tenant, Some(dry)).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(job["state"], "done");
    assert_eq!(
        counts(&job, ["moved", "failed", "verified"]),
        [3, 0, 0],
        "{job}"
    );
    assert_eq!(versions(&tenant).await, before, "a dry run changes nothing");
    let asked = re_encrypts(&tenant);
    assert_eq!(asked.len(), 6);
    for event in asked {
        assert_eq!(event["requestParameters"]["dryRun"], true, "{event}");
    }
    opens(&tenant, ("s001", 1), "value-of-s001", &upstream).await;
}

#[tokio::test]
async fn what_cannot_be_moved_is_told_one_by_one_and_the_rest_is_moved() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    put_many(&tenant, &names("a", 3), &upstream).await;
    let first = rebind(&mut tenant).await;
    put_many(&tenant, &names("b", 4), &upstream).await;
    tenant.put("a001", "a-newer-value", &upstream).await;
    rebind(&mut tenant).await;
    set_key(&tenant, "DisableKey", &first);

    let id = start(&tenant, None).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["reason"]),
        (&json!("failed"), &json!("key_disabled"))
    );
    assert_eq!(
        counts(&job, ["total", "moved", "verified", "failed"]),
        [8, 5, 5, 3],
        "{job}"
    );
    let failed: Vec<_> = job["failures"].as_array().unwrap().iter().collect();
    let expected = [("a000", 1), ("a002", 1), ("a001", 1)]
        .map(|(name, version)| json!({"name": name, "version": version, "reason": "key_disabled"}));
    assert_eq!(failed, expected.iter().collect::<Vec<_>>());
    opens(&tenant, ("a001", 2), "a-newer-value", &upstream).await;

    set_key(&tenant, "EnableKey", &first);
    let id = start(&tenant, None).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(job["state"], "done");
    assert_eq!(
        counts(&job, ["moved", "already", "verified"]),
        [3, 5, 8],
        "{job}"
    );
    all_under(&tenant, &tenant.key, 8).await;
}

#[tokio::test]
async fn a_forged_wrap_fails_alone_and_is_called_what_it_is() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    put_many(&tenant, &names("s", 3), &upstream).await;
    // Another secret's wrap, and a key that was never the workspace's.
    let items = versions(&tenant).await;
    let mut forged = items["S#s000"].clone();
    forged["wrapped"] = items["S#s001"]["wrapped"].clone();
    let mut foreign = items["S#s001"].clone();
    foreign["wrapped_by"]["S"] = json!(tenant.customer.create_key().unwrap());
    for item in [forged, foreign] {
        let input = json!({"TableName": "broker", "Item": item});
        world.table("PutItem", input).await;
    }
    rebind(&mut tenant).await;
    let id = start(&tenant, None).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        counts(&job, ["moved", "verified", "failed"]),
        [1, 1, 2],
        "{job}"
    );
    for (failure, name) in job["failures"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["s000", "s001"])
    {
        assert_eq!(
            *failure,
            json!({"name": name, "version": 1, "reason": "integrity_failure"})
        );
    }
}

#[tokio::test]
async fn puts_uses_and_changes_go_on_during_a_rewrap_and_nothing_is_lost() {
    let world = undriven(150).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let names = names("s", 24);
    put_many(&tenant, &names, &upstream).await;
    rebind(&mut tenant).await;
    let id = start(&tenant, None).await;

    let (tenant, upstream) = (&tenant, &upstream);
    let changes = async {
        for round in 2..=4 {
            let each = names.iter().enumerate().map(|(n, name)| async move {
                match n % 4 {
                    0 => {}
                    1 => {
                        let policy = json!({"policy": {"destinations": [{"url": upstream.url("/")}, {"url": format!("https://r{round}.example.com/")}]}});
                        let path = format!("/secrets/{name}/policy");
                        let changed = tenant.call("PUT", &path, Some(policy)).await;
                        assert_eq!(changed.status, 200, "{}", changed.json());
                    }
                    _ => drop(tenant.put(name, &format!("value-{round}-of-{name}"), upstream).await),
                }
            });
            join_all(each).await;
        }
    };
    let (job, ()) = tokio::join!(finish(tenant, &id), changes);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["failed"], 0);
    let number = 24 + 12 * 3;
    all_under(tenant, &tenant.key, number).await;
    for (n, name) in names.iter().enumerate() {
        opens(tenant, (name, 1), &format!("value-of-{name}"), upstream).await;
        for round in 2..=4 {
            if n % 4 >= 2 {
                opens(
                    tenant,
                    (name, round),
                    &format!("value-{round}-of-{name}"),
                    upstream,
                )
                .await;
            }
        }
    }
}
