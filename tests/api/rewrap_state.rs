//! The life of a re-wrap: one at a time, paused and resumed, cut off and taken up again;
//! what makes it wait, what ends it, and that a forged one does nothing.

use crate::{
    rewrap::{
        all_under, counts, finish, keys, names, opens, put_many, re_encrypts, rebind, set_key,
        show, start, sweep, undriven, versions, wake,
    },
    world::{Tenant, World, code},
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn keyed(tenant: &Tenant<'_>, method: &str, path: &str, key: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(tenant.path(path))
        .header("authorization", format!("Bearer {}", tenant.token))
        .header("idempotency-key", key)
        .body(Full::new(Bytes::new()))
        .unwrap();
    tenant.world.send(request).await
}

/// A workspace with secrets, and another key bound since: there is something to move.
async fn to_move(world: &World, number: usize) -> (Tenant<'_>, Upstream) {
    let mut tenant = Tenant::of(world).await;
    let upstream = Upstream::start().await.unwrap();
    put_many(&tenant, &names("s", number), &upstream).await;
    rebind(&mut tenant).await;
    (tenant, upstream)
}

/// Waits until KMS has moved so many of a workspace's data keys.
async fn moves(tenant: &Tenant<'_>, number: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    while re_encrypts(tenant).len() < number {
        assert!(Instant::now() < until, "the job does not get on");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn refused(answer: Answer, status: u16, expected: &str) -> Value {
    assert_eq!(
        (answer.status.as_u16(), code(&answer)),
        (status, expected),
        "{}",
        answer.json()
    );
    answer.json()
}

#[tokio::test]
async fn of_two_rewraps_at_once_one_is_refused_and_told_of_the_other() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 1).await;
    let both = tokio::join!(
        tenant.call("POST", "/rewraps", None),
        tenant.call("POST", "/rewraps", Some(json!({"dry_run": true})))
    );
    let (won, lost) = match both.0.status.as_u16() {
        202 => both,
        _ => (both.1, both.0),
    };
    assert_eq!(won.status, 202, "{}", won.json());
    let id = won.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(refused(lost, 409, "conflict").await["rewrap"], id);
    let paused = tenant.call("DELETE", &format!("/rewraps/{id}"), None).await;
    assert_eq!(paused.json()["state"], "paused");
    let still = tenant.call("POST", "/rewraps", None).await;
    assert_eq!(refused(still, 409, "conflict").await["rewrap"], id);
    let path = format!("/rewraps/{id}/resume");
    assert_eq!(tenant.call("POST", &path, None).await.status, 200);
    assert_eq!(finish(&tenant, &id).await["state"], "done");
    for (method, path) in [("DELETE", format!("/rewraps/{id}")), ("POST", path)] {
        refused(tenant.call(method, &path, None).await, 409, "conflict").await;
    }
    let next = start(&tenant, None).await;
    let list = tenant.call("GET", "/rewraps", None).await.json();
    let listed: Vec<_> = list["rewraps"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["id"], &listed[1]["id"]),
        (&json!(next), &json!(id))
    );
    assert_eq!(*listed[1], show(&tenant, &id).await);
}

#[tokio::test]
async fn a_repeated_request_is_one_rewrap_one_pause_and_one_resumption() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 1).await;
    let (first, at_once) = tokio::join!(
        keyed(&tenant, "POST", "/rewraps", "k1"),
        keyed(&tenant, "POST", "/rewraps", "k1")
    );
    assert_eq!(first.status, 202, "{}", first.json());
    assert_eq!((at_once.status, &at_once.body), (first.status, &first.body));
    assert_eq!(at_once.header("location"), first.header("location"));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let again = keyed(&tenant, "POST", "/rewraps", "k1").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    let path = format!("/rewraps/{id}");
    let paused = keyed(&tenant, "DELETE", &path, "k2").await;
    assert_eq!(paused.json()["state"], "paused");
    let resumed = keyed(&tenant, "POST", &format!("{path}/resume"), "k3").await;
    assert_eq!(resumed.json()["state"], "running");
    // The answer of then, and no second pause.
    let again = keyed(&tenant, "DELETE", &path, "k2").await;
    assert_eq!((again.status, &again.body), (paused.status, &paused.body));
    assert_eq!(show(&tenant, &id).await["state"], "running");
    refused(keyed(&tenant, "DELETE", &path, "k3").await, 409, "conflict").await;
}

#[tokio::test]
async fn a_job_of_many_pages_goes_on_where_it_was_run_after_run() {
    let world = World::own(|mut config| {
        config.rewraps.every = None;
        config.rewraps.rate = u32::MAX.try_into().unwrap();
        config.rewraps.run = Duration::ZERO;
        config
    })
    .await;
    let (tenant, upstream) = to_move(&world, 230).await;
    tenant.put("s007", "a-newer-value", &upstream).await;
    let id = start(&tenant, None).await;
    let mut runs = 0;
    let mut last = 0;
    let job = loop {
        let before = show(&tenant, &id).await;
        wake(&tenant, &id).await;
        let job = show(&tenant, &id).await;
        runs += 1;
        assert!(runs < 20, "{job}");
        let [moved, verified] = counts(&job, ["moved", "verified"]);
        assert!(moved + verified >= last, "{job}");
        last = moved + verified;
        if job["state"] != "running" {
            break job;
        }
        assert_ne!(job, before, "every run gets on");
        if runs == 4 {
            let path = format!("/rewraps/{id}");
            assert_eq!(tenant.call("DELETE", &path, None).await.status, 200);
            let paused = show(&tenant, &id).await;
            let wraps = keys(&tenant).await;
            wake(&tenant, &id).await;
            sweep(&world).await;
            assert_eq!(show(&tenant, &id).await, paused, "a paused job rests");
            assert_eq!(keys(&tenant).await, wraps);
            let path = format!("{path}/resume");
            assert_eq!(tenant.call("POST", &path, None).await.status, 200);
        }
    };
    assert_eq!(job["state"], "done");
    assert!(runs >= 6, "{runs}");
    assert_eq!(
        counts(&job, ["total", "moved", "already", "changed", "verified"]),
        [231, 230, 1, 0, 231],
        "{job}"
    );
    all_under(&tenant, &tenant.key, 231).await;
    opens(&tenant, ("s229", 1), "value-of-s229", &upstream).await;
    opens(&tenant, ("s007", 1), "value-of-s007", &upstream).await;
}

#[tokio::test]
async fn what_was_under_way_when_a_job_was_paused_is_counted() {
    let world = undriven(50).await;
    let (tenant, upstream) = to_move(&world, 40).await;
    let id = start(&tenant, None).await;
    let pause = async {
        moves(&tenant, 5).await;
        let path = format!("/rewraps/{id}");
        let paused = tenant.call("DELETE", &path, None).await;
        assert_eq!(counts(&paused.json(), ["total", "moved"]), [40, 0]);
    };
    tokio::join!(wake(&tenant, &id), pause);
    let job = show(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["moved"]),
        (&json!("paused"), &json!(40))
    );
    assert!(job["estimatedEnd"].is_null());
    let path = format!("/rewraps/{id}/resume");
    assert_eq!(tenant.call("POST", &path, None).await.status, 200);
    let job = finish(&tenant, &id).await;
    assert_eq!(
        counts(&job, ["moved", "already", "verified"]),
        [40, 0, 40],
        "{job}"
    );
    opens(&tenant, ("s039", 1), "value-of-s039", &upstream).await;
}

#[tokio::test]
async fn a_run_that_is_cut_off_is_taken_up_again_by_the_sweep_and_loses_nothing() {
    let world = undriven(100).await;
    let (tenant, upstream) = to_move(&world, 40).await;
    let id = start(&tenant, None).await;
    tokio::select! {
        _ = wake(&tenant, &id) => panic!("it was to be cut off"),
        () = moves(&tenant, 10) => {}
    }
    let cut = show(&tenant, &id).await;
    assert_eq!(
        (&cut["state"], &cut["moved"]),
        (&json!("running"), &json!(0))
    );
    wake(&tenant, &id).await;
    assert_eq!(
        show(&tenant, &id).await,
        cut,
        "the stream does not know that it was cut off"
    );
    let young = (world.stack.invocable["rewrap-secrets"])(json!({"sweep": {}})).await;
    assert_eq!(
        young.unwrap(),
        json!({"jobs": 1, "ran": 0, "failed": 0}),
        "nor whether it works"
    );
    assert_eq!(
        sweep(&world).await,
        json!({"jobs": 1, "ran": 1, "failed": 0})
    );
    let job = show(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["verified"]),
        (&json!("done"), &json!(40))
    );
    let [moved, already] = counts(&job, ["moved", "already"]);
    assert_eq!(moved + already, 40);
    all_under(&tenant, &tenant.key, 40).await;
    opens(&tenant, ("s000", 1), "value-of-s000", &upstream).await;
    assert_eq!(
        sweep(&world).await["jobs"],
        0,
        "what has ended is nobody's to look for"
    );
}

#[tokio::test]
async fn of_runs_at_once_one_works() {
    let world = World::own(|mut config| {
        config.rewraps.every = None;
        config.rewraps.run = Duration::ZERO;
        config
    })
    .await;
    let (tenant, _upstream) = to_move(&world, 30).await;
    let id = start(&tenant, None).await;
    let three = async || tokio::join!(wake(&tenant, &id), wake(&tenant, &id), wake(&tenant, &id));
    for phase in [
        "count",
        "earlier",
        "verify_heads",
        "verify_earlier",
        "ended",
    ] {
        three().await;
        assert_eq!(show(&tenant, &id).await["phase"], phase);
    }
    let job = show(&tenant, &id).await;
    assert_eq!(
        counts(&job, ["moved", "already", "changed", "verified"]),
        [30, 0, 0, 30],
        "{job}"
    );
    assert_eq!(
        re_encrypts(&tenant).len(),
        60,
        "nothing was asked for twice"
    );
}

#[tokio::test]
async fn a_rewrap_of_a_frozen_workspace_waits() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 3).await;
    let id = start(&tenant, None).await;
    let freeze = |frozen: bool| {
        json!({"TableName": "broker", "Item": {
            "pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": "FREEZE"},
            "frozen": {"BOOL": frozen}, "since": {"S": "2026-01-01T00:00:00Z"},
            "by": {"S": "operator"}, "reason": {"S": "a test"},
        }})
    };
    world.table("PutItem", freeze(true)).await;
    let before = show(&tenant, &id).await;
    wake(&tenant, &id).await;
    assert_eq!(sweep(&world).await["ran"], 0);
    assert_eq!(show(&tenant, &id).await, before);
    assert!(re_encrypts(&tenant).is_empty());
    world.table("PutItem", freeze(false)).await;
    assert_eq!(sweep(&world).await["ran"], 1);
    assert_eq!(show(&tenant, &id).await["state"], "done");
}

#[tokio::test]
async fn another_key_supersedes_a_rewrap_also_one_that_is_under_way() {
    let world = undriven(100).await;
    let (mut tenant, upstream) = to_move(&world, 40).await;
    let id = start(&tenant, None).await;
    rebind(&mut tenant).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["moved"]),
        (&json!("superseded"), &json!(0))
    );
    assert_eq!(job["key"], tenant.key, "the key that is bound now");
    let id = start(&tenant, Some(json!({"dry_run": true}))).await;
    rebind(&mut tenant).await;
    assert_eq!(finish(&tenant, &id).await["state"], "superseded");
    assert!(re_encrypts(&tenant).is_empty());

    let id = start(&tenant, None).await;
    let mut other = tenant;
    let meanwhile = Tenant {
        world: &world,
        workspace: other.workspace.clone(),
        token: other.token.clone(),
        customer: other.customer.clone(),
        key: other.key.clone(),
    };
    let rebound = async {
        moves(&meanwhile, 5).await;
        rebind(&mut other).await;
    };
    tokio::join!(wake(&meanwhile, &id), rebound);
    assert_eq!(show(&other, &id).await["state"], "superseded");
    let id = start(&other, None).await;
    let job = finish(&other, &id).await;
    assert_eq!((&job["state"], &job["moved"]), (&json!("done"), &json!(40)));
    opens(&other, ("s011", 1), "value-of-s011", &upstream).await;
}

#[tokio::test]
async fn where_kms_refuses_everything_for_one_reason_the_job_pauses_itself() {
    let world = undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    put_many(&tenant, &names("s", 12), &upstream).await;
    let former = rebind(&mut tenant).await;
    set_key(&tenant, "DisableKey", &former);
    let id = start(&tenant, None).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["reason"]),
        (&json!("paused"), &json!("key_disabled"))
    );
    assert_eq!(counts(&job, ["moved", "failed"]), [0, 0], "{job}");
    set_key(&tenant, "EnableKey", &former);
    let path = format!("/rewraps/{id}/resume");
    assert_eq!(tenant.call("POST", &path, None).await.status, 200);
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["verified"]),
        (&json!("done"), &json!(12))
    );
    assert!(job["reason"].is_null());
}

#[tokio::test]
async fn an_outage_of_kms_is_no_failure_of_a_secret() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 3).await;
    let id = start(&tenant, None).await;
    world
        .stack
        .kms
        .inject(Fault::always("ReEncrypt", FaultKind::Unavailable));
    assert_eq!(wake(&tenant, &id).await, json!({"batchItemFailures": []}));
    let job = show(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["reason"]),
        (&json!("running"), &json!("kms_unavailable"))
    );
    assert_eq!(counts(&job, ["moved", "failed"]), [0, 0]);
    world.stack.kms.clear_faults();
    sweep(&world).await;
    let job = show(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["verified"]),
        (&json!("done"), &json!(3))
    );
    assert!(job["reason"].is_null());
}

async fn item(tenant: &Tenant<'_>, sk: &str) -> Value {
    let key = json!({"pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": sk}});
    let input = json!({"TableName": "broker", "Key": key, "ConsistentRead": true});
    tenant.world.table("GetItem", input).await["Item"].clone()
}

async fn write(world: &World, item: &Value) {
    let input = json!({"TableName": "broker", "Item": item});
    world.table("PutItem", input).await;
}

fn edited(item: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut item = item.clone();
    let mut body: Value = serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap();
    change(&mut body);
    item["body"]["S"] = json!(body.to_string());
    item
}

#[tokio::test]
async fn a_forged_edited_or_copied_job_answers_500_and_moves_nothing() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 3).await;
    let (other, _upstream) = to_move(&world, 3).await;
    let id = start(&tenant, None).await;
    let real = item(&tenant, &format!("J#{id}")).await;
    let mut without = real.clone();
    without.as_object_mut().unwrap().remove("mac");
    let mut short = real.clone();
    short["mac"] = json!({"B": "AAAA"});
    let mut contradicting = real.clone();
    contradicting["state"] = json!({"S": "paused"});
    let tries = [
        (
            edited(&real, |body| body["cursor"] = json!("s999")),
            "another place",
        ),
        (
            edited(&real, |body| body["phase"] = json!("verify_earlier")),
            "another phase",
        ),
        (
            edited(&real, |body| body["dry_run"] = json!(true)),
            "a dry run",
        ),
        (
            edited(&real, |body| body["binding_revision"] = json!(1)),
            "another binding",
        ),
        (without, "no MAC"),
        (short, "a short MAC"),
        (contradicting, "an attribute that says otherwise"),
    ];
    let (wraps, theirs) = (versions(&tenant).await, versions(&other).await);
    let path = format!("/rewraps/{id}");
    for (forged, what) in tries {
        write(&world, &forged).await;
        for (method, path) in [
            ("GET", path.clone()),
            ("GET", "/rewraps".to_owned()),
            ("DELETE", path.clone()),
            ("POST", format!("{path}/resume")),
        ] {
            let answer = tenant.call(method, &path, None).await;
            assert_eq!(
                (answer.status.as_u16(), code(&answer)),
                (500, "integrity_failure"),
                "{what}: {method} {path}"
            );
        }
        // What is forged is not tried again and again: it is for someone to look at.
        assert_eq!(
            wake(&tenant, &id).await,
            json!({"batchItemFailures": []}),
            "{what}"
        );
        assert_eq!(
            sweep(&world).await,
            json!({"jobs": 1, "ran": 0, "failed": 1}),
            "{what}"
        );
        assert_eq!(item(&tenant, &format!("J#{id}")).await, forged, "{what}");
    }
    write(&world, &real).await;

    // A real one, in another workspace and under another name.
    let mut copied = real.clone();
    copied["pk"] = json!({"S": format!("W#{}", other.workspace)});
    let adapted = edited(&copied, |body| {
        body["workspace"] = json!(other.workspace.as_str())
    });
    let live =
        json!({"pk": {"S": "JOBS"}, "sk": {"S": other.workspace.as_str()}, "job": {"S": id}});
    write(&world, &live).await;
    for copy in [copied, adapted] {
        write(&world, &copy).await;
        wake(&other, &id).await;
        let answer = other.call("GET", &path, None).await;
        refused(answer, 500, "integrity_failure").await;
    }
    let twin = id.replace(&id[id.len() - 4..], "0000");
    let mut copied = real.clone();
    copied["sk"] = json!({"S": format!("J#{twin}")});
    let adapted = edited(&copied, |body| body["id"] = json!(twin));
    for copy in [copied, adapted] {
        write(&world, &copy).await;
        wake(&tenant, &twin).await;
        let answer = tenant.call("GET", &format!("/rewraps/{twin}"), None).await;
        refused(answer, 500, "integrity_failure").await;
    }
    assert!(re_encrypts(&tenant).is_empty() && re_encrypts(&other).is_empty());
    assert_eq!(
        (versions(&tenant).await, versions(&other).await),
        (wraps, theirs)
    );
    // The real one does as before.
    wake(&tenant, &id).await;
    assert_eq!(show(&tenant, &id).await["state"], "done");
}

#[tokio::test]
async fn a_forged_binding_moves_nothing_to_a_thiefs_key() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 3).await;
    let id = start(&tenant, None).await;
    let real = item(&tenant, "KEY").await;
    let thiefs = tenant.customer.create_key().unwrap();
    tenant
        .customer
        .grant(&thiefs, &world.stack.broker, &tenant.workspace)
        .unwrap();
    write(
        &world,
        &edited(&real, |body| body["current"] = json!(thiefs)),
    )
    .await;
    let wraps = versions(&tenant).await;
    wake(&tenant, &id).await;
    let swept = sweep(&world).await;
    assert_eq!(swept, json!({"jobs": 1, "ran": 0, "failed": 1}));
    assert!(re_encrypts(&tenant).is_empty());
    assert_eq!(versions(&tenant).await, wraps);
    write(&world, &real).await;
    assert_eq!(finish(&tenant, &id).await["state"], "done");
    all_under(&tenant, &tenant.key, 3).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_job_for_someone_to_look() {
    let world = undriven(500).await;
    let (tenant, _upstream) = to_move(&world, 3).await;
    let id = start(&tenant, None).await;
    let real = item(&tenant, "S#s001").await;
    let mut broken = real.clone();
    broken["version"] = json!({"N": "0"});
    write(&world, &broken).await;
    let job = finish(&tenant, &id).await;
    assert_eq!(
        (&job["state"], &job["reason"]),
        (&json!("paused"), &json!("integrity_failure"))
    );
    write(&world, &real).await;
    let path = format!("/rewraps/{id}/resume");
    assert_eq!(tenant.call("POST", &path, None).await.status, 200);
    let job = finish(&tenant, &id).await;
    assert_eq!((&job["state"], &job["total"]), (&json!("done"), &json!(3)));
}

#[tokio::test]
async fn a_rewrap_is_for_who_may_manage_the_key_and_its_end_is_in_the_trail() {
    let world = undriven(500).await;
    let unbound = Tenant::unbound(&world).await;
    refused(
        unbound.call("POST", "/rewraps", None).await,
        409,
        "no_workspace_key",
    )
    .await;
    let (tenant, _upstream) = to_move(&world, 1).await;
    let id = start(&tenant, None).await;
    let reader = tenant
        .make_token(json!({"permissions": ["read", "write_secrets", "manage_policies"]}))
        .await;
    for (method, path) in [
        ("POST", "/rewraps".to_owned()),
        ("GET", "/rewraps".to_owned()),
        ("GET", format!("/rewraps/{id}")),
        ("DELETE", format!("/rewraps/{id}")),
        ("POST", format!("/rewraps/{id}/resume")),
    ] {
        let answer = tenant.call_as(&reader, method, &path, None).await;
        refused(answer, 404, "not_found").await;
    }
    for id in [
        "",
        "x",
        "018f3b2e-7c1a-7000-8000-000000000000",
        &id.to_uppercase(),
    ] {
        if id.is_empty() || id == tenant.workspace.as_str() {
            continue;
        }
        let answer = tenant.call("GET", &format!("/rewraps/{id}"), None).await;
        refused(answer, 404, "not_found").await;
    }
    for body in [
        json!({"dry_run": "yes"}),
        json!({"key": tenant.key}),
        json!([]),
    ] {
        let answer = tenant.call("POST", "/rewraps", Some(body)).await;
        refused(answer, 400, "invalid_request").await;
    }
    finish(&tenant, &id).await;
    let trail = tenant.call("GET", "/audit", None).await.json();
    let told: Vec<_> = trail["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["detail"]["rewrap"] == json!(id))
        .map(|record| {
            (
                record["kind"].as_str().unwrap(),
                record["detail"]["state"].as_str().unwrap(),
            )
        })
        .collect();
    // A day's records are in shards, whose order among each other says nothing.
    assert_eq!(told.len(), 2, "{trail}");
    assert!(told.contains(&("rewrap", "running")) && told.contains(&("rewrap_state", "done")));
}

#[tokio::test]
async fn what_is_no_event_of_ours_is_refused() {
    let world = undriven(500).await;
    for event in [
        json!({}),
        json!([]),
        json!({"sweep": {"stalled_seconds": -1}}),
        json!({"sweep": {"all": true}}),
        json!({"sweep": {}, "and": 1}),
        json!({"Records": [{"eventSource": "aws:s3"}]}),
        json!({"Records": {}}),
    ] {
        let problem = (world.stack.invocable["rewrap-secrets"])(event.clone()).await;
        assert_eq!(
            problem.unwrap_err().code().as_str(),
            "invalid_request",
            "{event}"
        );
    }
}
