//! How much, how long, and how many at once.

use crate::{
    wire::{Script, Wire, ended},
    world::{Tenant, World, code, put_body},
};
use futures_util::future::join_all;
use local::{StackConfig, Upstream};
use serde_json::json;
use use_secret::Seats;

const SECRET: &str = "the-secret-of-the-tests-of-limits";

async fn world(seats: Seats) -> World {
    World::own(|config| StackConfig { seats, ..config }).await
}

/// A workspace whose secret `thing` may go to an upstream.
async fn tenant<'w>(world: &'w World, url: String) -> Tenant<'w> {
    let tenant = Tenant::of(world).await;
    let body = json!({"value": SECRET, "policy": {"destinations": [{"url": url}]}});
    let put = tenant.call("PUT", "/secrets/thing", Some(body)).await;
    assert_eq!(put.status, 201, "{}", put.json());
    tenant
}

/// Uses that an upstream keeps waiting, with their callers.
async fn waiting(tenant: &Tenant<'_>, upstream: &Script, count: usize) -> Vec<(Wire, Wire)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut caller = Wire::to(tenant).await;
        caller.ask(tenant, "GET", "").await;
        let (wire, _) = upstream.asked().await;
        all.push((caller, wire));
    }
    all
}

#[tokio::test]
async fn a_noisy_workspace_leaves_a_quiet_one_its_share() {
    let world = world(Seats {
        in_all: 8,
        per_workspace: 8,
        per_secret: 8,
    })
    .await;
    let slow = Script::start().await;
    let quick = Upstream::start().await.unwrap();
    let noisy = tenant(&world, slow.url("/")).await;
    let quiet = tenant(&world, quick.url("/")).await;
    let under_way = waiting(&noisy, &slow, 4).await;
    for _ in 0..20 {
        let busy = join_all((0..4).map(|_| noisy.call("GET", "/via/thing/x", None)));
        let used = join_all((0..2).map(|_| quiet.use_once("thing", &quick)));
        let (busy, used) = tokio::join!(busy, used);
        for busy in busy {
            assert_eq!((busy.status.as_u16(), code(&busy)), (429, "busy"));
            assert_eq!(busy.header("retry-after"), "1");
            assert_eq!(busy.header("byok-receipt"), "");
        }
        for used in used {
            assert_eq!(used.status, 200, "{}", used.json());
        }
    }
    // The seats come back, whether a use was answered or its caller went away.
    for (number, (mut caller, mut wire)) in under_way.into_iter().enumerate() {
        if number % 2 == 0 {
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            caller.until("ok").await;
            caller.until("0\r\n\r\n").await;
        } else {
            drop(caller);
            wire.rest().await;
        }
    }
    crate::world::until("there are seats again", async || {
        let mut caller = Wire::to(&noisy).await;
        caller.ask(&noisy, "GET", "connection: close\r\n").await;
        let (head, ()) = tokio::join!(caller.until("\r\n\r\n"), async {
            if let Ok((mut wire, _)) =
                tokio::time::timeout(std::time::Duration::from_millis(500), slow.asked()).await
            {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
        });
        head.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn a_secret_has_a_limit_of_its_own_and_a_stream_counts_to_its_end() {
    let world = world(Seats {
        in_all: 100,
        per_workspace: 50,
        per_secret: 1,
    })
    .await;
    let slow = Script::start().await;
    let quick = Upstream::start().await.unwrap();
    let tenant = tenant(&world, slow.url("/")).await;
    let other = tenant
        .call("PUT", "/secrets/other", Some(put_body(SECRET, &quick)))
        .await;
    assert_eq!(other.status, 201);
    let mut under_way = waiting(&tenant, &slow, 1).await;
    let (mut caller, mut wire) = under_way.remove(0);
    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbe")
        .await;
    caller.until("be").await;
    let busy = tenant.call("GET", "/via/thing/x", None).await;
    assert_eq!((busy.status.as_u16(), code(&busy)), (429, "busy"));
    assert_eq!(tenant.use_once("other", &quick).await.status, 200);
    wire.say("ll").await;
    caller.until("0\r\n\r\n").await;
    let under_way = waiting(&tenant, &slow, 1).await;
    assert_eq!(under_way.len(), 1, "there is room again");
}

#[tokio::test]
async fn an_answer_that_is_collected_has_six_mebibytes_at_the_most() {
    let tenant = Tenant::new().await;
    let upstream = Script::start().await;
    let body = json!({"value": SECRET, "policy": {"destinations": [{"url": upstream.url("/")}]}});
    let put = tenant.call("PUT", "/secrets/thing", Some(body)).await;
    assert_eq!(put.status, 201);
    let url = upstream.url("/large");
    let using = tenant.call(
        "POST",
        "/secrets/thing/use",
        Some(json!({"request": {"method": "GET", "url": url}})),
    );
    let (refused, ()) = tokio::join!(using, async {
        let (mut wire, _) = upstream.asked().await;
        let size = 6 * 1024 * 1024 + 1;
        wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))
            .await;
        wire.rest().await;
    });
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (413, "too_large")
    );
    let record = ended(&tenant, "use").await;
    assert_eq!(record["outcome"]["code"], "too_large", "{record}");
}

#[tokio::test]
async fn each_limit_of_time_has_words_of_its_own() {
    let tenant = Tenant::new().await;
    let upstream = Script::start().await;
    let body = json!({"value": SECRET, "policy": {"destinations": [{"url": upstream.url("/")}]}});
    let put = tenant.call("PUT", "/secrets/thing", Some(body)).await;
    assert_eq!(put.status, 201);
    let url = upstream.url("/slow");
    let body = json!({"request": {"method": "GET", "url": url}, "timeout_ms": 500});
    let (refused, ()) = tokio::join!(
        tenant.call("POST", "/secrets/thing/use", Some(body)),
        async {
            let (mut wire, _) = upstream.asked().await;
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun")
                .await;
            wire.rest().await;
        }
    );
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (504, "upstream_timeout"),
        "{}",
        refused.json()
    );
    assert!(refused.json()["detail"].as_str().unwrap().contains("end"));
}
