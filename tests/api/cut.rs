//! The customer cuts, and the very next use fails; the customer gives back, and
//! the next use works. The secret is never put anew.

use crate::world::{Tenant, World, code, deny};
use local::Upstream;
use local_kms::{Fault, FaultKind};
use serde_json::json;

const SECRET: &str = "a-secret-of-the-cutting-tests";

/// Puts a secret and uses it once; then `cut` must stop it with `expected`, and
/// `restore` must bring it back.
async fn cut_and_restore(expected: &str, cut: impl Fn(&Tenant<'_>), restore: impl Fn(&Tenant<'_>)) {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    for _ in 0..2 {
        let used = tenant.use_once("thing", &upstream).await;
        assert_eq!(
            (used.status.as_u16(), code(&used)),
            (200, ""),
            "{}",
            used.json()
        );
        assert_eq!(
            upstream.take()[0].header("authorization"),
            format!("Bearer {SECRET}")
        );
        let shown = tenant.call("GET", "/secrets/thing", None).await;
        assert_eq!(shown.json()["brokerCanDecrypt"], true);

        cut(&tenant);
        let refused = tenant.use_once("thing", &upstream).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (424, expected),
            "{}",
            refused.json()
        );
        assert!(upstream.take().is_empty(), "nothing may reach the upstream");
        let shown = tenant.call("GET", "/secrets/thing", None).await;
        assert_eq!(shown.json()["brokerCanDecrypt"], false);
        assert_eq!(shown.json()["kms"]["refused"], expected);
        let put = tenant
            .call(
                "PUT",
                "/secrets/another",
                Some(json!({"value": SECRET, "policy": {}})),
            )
            .await;
        assert_eq!(
            (put.status.as_u16(), code(&put)),
            (424, expected),
            "a put needs the key as well"
        );
        restore(&tenant);
    }
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
}

#[tokio::test]
async fn a_revoked_grant_stops_the_very_next_use_and_a_new_one_brings_it_back() {
    cut_and_restore(
        "key_access_denied",
        |tenant| assert_eq!(tenant.customer.revoke_all(&tenant.key).unwrap(), 1),
        |tenant| {
            tenant.grant();
        },
    )
    .await;
}

#[tokio::test]
async fn a_disabled_key_stops_the_very_next_use_until_it_is_enabled() {
    cut_and_restore(
        "key_disabled",
        |tenant| {
            tenant
                .customer
                .call("DisableKey", json!({"KeyId": tenant.key}))
                .unwrap();
        },
        |tenant| {
            tenant
                .customer
                .call("EnableKey", json!({"KeyId": tenant.key}))
                .unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_scheduled_for_deletion_stops_the_very_next_use_until_that_is_cancelled() {
    cut_and_restore(
        "key_pending_deletion",
        |tenant| {
            tenant
                .customer
                .call(
                    "ScheduleKeyDeletion",
                    json!({"KeyId": tenant.key, "PendingWindowInDays": 7}),
                )
                .unwrap();
        },
        |tenant| {
            tenant
                .customer
                .call("CancelKeyDeletion", json!({"KeyId": tenant.key}))
                .unwrap();
            tenant
                .customer
                .call("EnableKey", json!({"KeyId": tenant.key}))
                .unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_deny_in_the_key_policy_beats_the_grant_until_it_is_taken_out() {
    cut_and_restore(
        "key_access_denied",
        |tenant| tenant.paste(&tenant.key_policy(&[deny()])),
        |tenant| tenant.paste(&tenant.key_policy(&[])),
    )
    .await;
}

#[tokio::test]
async fn an_outage_of_kms_is_no_revocation() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    let before = tenant.call("GET", "/key", None).await.json();
    for (kind, status, expected) in [
        (FaultKind::Throttle, 429, "kms_throttled"),
        (FaultKind::Internal, 503, "kms_unavailable"),
    ] {
        world.stack.kms.inject(Fault {
            operation: "Decrypt".to_owned(),
            kind,
            times: None,
        });
        let body =
            json!({"request": {"method": "GET", "url": upstream.url("/")}, "timeout_ms": 500});
        let refused = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (status, expected)
        );
        assert_eq!(refused.header("retry-after"), "1");
        assert!(upstream.take().is_empty());
        assert_eq!(
            tenant.call("GET", "/key", None).await.json(),
            before,
            "the key's state must not move"
        );
        world.stack.kms.clear_faults();
        assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
        let _ = upstream.take();
    }
}

#[tokio::test]
async fn a_use_that_kms_throttled_twice_succeeds_and_names_every_attempt() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    world.stack.kms.inject(Fault {
        operation: "Decrypt".to_owned(),
        kind: FaultKind::Throttle,
        times: Some(2),
    });
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    let audit = tenant.call("GET", "/audit", None).await.json();
    let record = audit["records"]
        .as_array()
        .unwrap()
        .iter()
        .find(|record| record["kind"] == "use")
        .unwrap();
    assert_eq!(
        record["outcome"]["kmsAttempts"].as_array().unwrap().len(),
        2,
        "{record}"
    );
}

#[tokio::test]
async fn there_is_no_use_without_a_record_of_it() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    world
        .table("DeleteTable", json!({"TableName": "audit"}))
        .await;
    let refused = tenant.use_once("thing", &upstream).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (503, "audit_unavailable"),
        "{}",
        refused.json()
    );
    assert!(
        upstream.take().is_empty(),
        "nothing may leave without its intent stored"
    );
}

#[tokio::test]
async fn a_frozen_workspace_neither_uses_nor_puts_until_it_is_lifted() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    let calls = tenant.world.events(&tenant.workspace).len();
    let mut freeze = json!({
        "pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": "FREEZE"}, "frozen": {"BOOL": true},
        "since": {"S": "2026-01-01T00:00:00Z"}, "by": {"S": "operator"}, "reason": {"S": "a test"},
    });
    tenant
        .world
        .table("PutItem", json!({"TableName": "broker", "Item": freeze}))
        .await;
    let refused = tenant.use_once("thing", &upstream).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (423, "workspace_frozen")
    );
    let put = tenant
        .call(
            "PUT",
            "/secrets/thing",
            Some(json!({"value": SECRET, "policy": {}})),
        )
        .await;
    assert_eq!((put.status.as_u16(), code(&put)), (423, "workspace_frozen"));
    assert!(upstream.take().is_empty());
    assert_eq!(
        tenant.world.events(&tenant.workspace).len(),
        calls,
        "KMS must not be asked"
    );
    assert_eq!(
        tenant.call("GET", "/key", None).await.json()["frozen"],
        true
    );

    freeze["frozen"] = json!({"BOOL": false});
    tenant
        .world
        .table("PutItem", json!({"TableName": "broker", "Item": freeze}))
        .await;
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
}
