//! Earlier versions: promoted, revoked, and what happens when someone is quicker.

use crate::{
    rewrap::{all_under, in_between, opens, re_encrypts, rebind, set_key, use_version, versions},
    world::{Tenant, code},
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};

async fn act(tenant: &Tenant<'_>, action: &str, header: Option<(&str, &str)>) -> Answer {
    let mut request = Request::builder()
        .method("POST")
        .uri(tenant.path(&format!("/secrets/thing/versions/{action}")))
        .header("authorization", format!("Bearer {}", tenant.token));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    tenant.world.send(request).await
}

fn got(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
}

/// A secret of three versions, `value-number-1` to `3`.
async fn three() -> (Tenant<'static>, Upstream) {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    for version in 1..=3 {
        let value = format!("value-number-{version}");
        tenant.put("thing", &value, &upstream).await;
    }
    (tenant, upstream)
}

async fn current(tenant: &Tenant<'_>) -> u64 {
    let shown = tenant.call("GET", "/secrets/thing", None).await.json();
    shown["version"].as_u64().unwrap()
}

#[tokio::test]
async fn a_promoted_version_is_the_current_one_again_under_its_own_number() {
    let (tenant, upstream) = three().await;
    let promoted = act(&tenant, "1:promote", None).await;
    assert_eq!(promoted.status, 200, "{}", promoted.json());
    let body = promoted.json();
    assert_eq!(
        (&body["name"], &body["version"]),
        (&json!("thing"), &json!(1))
    );
    assert_eq!(body["wrappedBy"], tenant.key);
    assert_eq!(promoted.header("etag"), format!("\"{}\"", body["revision"]));
    assert_eq!(current(&tenant).await, 1);
    let used = tenant.use_once("thing", &upstream).await;
    assert_eq!(used.json()["receipt"]["version"], 1);
    assert_eq!(
        upstream.take()[0].header("authorization"),
        "Bearer value-number-1"
    );
    for version in 1..=3 {
        let value = format!("value-number-{version}");
        opens(&tenant, ("thing", version), &value, &upstream).await;
    }
    let next = tenant.put("thing", "value-number-4", &upstream).await;
    assert_eq!(next.json()["version"], 4, "no number is used twice");
    opens(&tenant, ("thing", 1), "value-number-1", &upstream).await;
    assert_eq!(
        got(&act(&tenant, "4:promote", None).await),
        (409, "conflict")
    );
    assert_eq!(
        got(&act(&tenant, "5:promote", None).await),
        (404, "not_found")
    );
}

#[tokio::test]
async fn a_version_of_the_former_key_is_promoted_under_the_current_one_or_not_at_all() {
    let (mut tenant, upstream) = three().await;
    let former = rebind(&mut tenant).await;
    set_key(&tenant, "DisableKey", &former);
    assert_eq!(
        got(&act(&tenant, "2:promote", None).await),
        (424, "key_disabled")
    );
    assert_eq!(current(&tenant).await, 3);
    set_key(&tenant, "EnableKey", &former);
    let before = re_encrypts(&tenant).len();
    let promoted = act(&tenant, "2:promote", None).await;
    assert_eq!(
        promoted.json()["wrappedBy"],
        tenant.key,
        "{}",
        promoted.json()
    );
    let moves = re_encrypts(&tenant);
    assert_eq!(moves.len(), before + 1);
    let (from, to) = (
        &moves[before]["requestParameters"]["sourceEncryptionContext"],
        &moves[before]["requestParameters"]["destinationEncryptionContext"],
    );
    assert_eq!(from, to, "the same secret, version and policy");
    assert_eq!(from["byok:version"], "2");
    set_key(&tenant, "DisableKey", &former);
    let used = tenant.use_once("thing", &upstream).await;
    assert_eq!(used.status, 200, "{}", used.json());
    assert_eq!(
        upstream.take()[0].header("authorization"),
        "Bearer value-number-2"
    );
    assert_eq!(
        got(&use_version(&tenant, "thing", 3, &upstream).await),
        (424, "key_disabled"),
        "the version that was archived stayed where it was"
    );
}

#[tokio::test]
async fn a_revoked_version_is_gone_for_good() {
    let (tenant, upstream) = three().await;
    let refused = act(&tenant, "3:revoke", None).await;
    assert_eq!(
        got(&refused),
        (409, "conflict"),
        "the current one is not revoked"
    );
    let events = tenant.world.events(&tenant.workspace).len();
    let revoked = act(&tenant, "1:revoke", None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.json());
    let body = revoked.json();
    assert_eq!(
        (&body["name"], &body["version"]),
        (&json!("thing"), &json!(1))
    );
    assert!(body["revokedAt"].is_string());
    assert_eq!(
        tenant.world.events(&tenant.workspace).len(),
        events,
        "it takes no key"
    );
    let item = &versions(&tenant).await["V#thing#0000001"];
    assert!(
        item["sealed"].is_null() && item["wrapped"].is_null(),
        "{item}"
    );
    for _ in 0..2 {
        let used = use_version(&tenant, "thing", 1, &upstream).await;
        assert_eq!(got(&used), (410, "version_revoked"));
        assert_eq!(
            got(&act(&tenant, "1:promote", None).await),
            (410, "version_revoked")
        );
        let again = act(&tenant, "1:revoke", None).await;
        assert_eq!((again.status.as_u16(), again.json()), (200, body.clone()));
    }
    assert!(upstream.take().is_empty());
    opens(&tenant, ("thing", 2), "value-number-2", &upstream).await;
    assert_eq!(
        got(&act(&tenant, "4:revoke", None).await),
        (404, "not_found")
    );
}

#[tokio::test]
async fn what_is_no_action_is_the_404_and_each_action_takes_its_own_permission() {
    let (tenant, upstream) = three().await;
    for action in [
        "1",
        "1:",
        "1:delete",
        "0:promote",
        "01:revoke",
        "+1:revoke",
        "x:promote",
        ":promote",
    ] {
        assert_eq!(
            got(&act(&tenant, action, None).await),
            (404, "not_found"),
            "{action}"
        );
    }
    let writer = tenant
        .make_token(json!({"permissions": ["write_secrets"]}))
        .await;
    let decider = tenant
        .make_token(json!({"permissions": ["manage_policies"]}))
        .await;
    for (token, action, expected) in [
        (&writer, "2:promote", 404),
        (&decider, "2:revoke", 404),
        (&decider, "2:promote", 200),
        (&writer, "1:revoke", 200),
    ] {
        let path = format!("/secrets/thing/versions/{action}");
        let answer = tenant.call_as(token, "POST", &path, None).await;
        assert_eq!(
            answer.status.as_u16(),
            expected,
            "{action}: {}",
            answer.json()
        );
    }
    let path = "/secrets/thing/versions/3:promote";
    let unknown = tenant
        .call("POST", path, Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(got(&unknown), (400, "invalid_request"));
    let other = Tenant::new().await;
    for path in [
        "/secrets/thing/versions/1:promote",
        "/secrets/thing/versions/1:revoke",
    ] {
        assert_eq!(
            got(&other.call("POST", path, None).await),
            (404, "not_found")
        );
    }
    let _ = upstream;
}

#[tokio::test]
async fn preconditions_and_repetitions_are_kept() {
    let (tenant, upstream) = three().await;
    let stale = ("if-match", "\"2\"");
    for action in ["1:promote", "1:revoke"] {
        assert_eq!(
            got(&act(&tenant, action, Some(stale)).await),
            (412, "precondition_failed")
        );
    }
    let tag = tenant.put("thing", "value-number-4", &upstream).await;
    let tag = tag.header("etag").to_owned();
    let promoted = act(&tenant, "1:promote", Some(("if-match", &tag))).await;
    assert_eq!(promoted.status, 200, "{}", promoted.json());

    let key = ("idempotency-key", "once");
    let first = act(&tenant, "2:promote", Some(key)).await;
    assert_eq!(first.status, 200, "{}", first.json());
    tenant.put("thing", "value-number-5", &upstream).await;
    let again = act(&tenant, "2:promote", Some(key)).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(current(&tenant).await, 5, "it was not done once more");
    assert_eq!(
        got(&act(&tenant, "3:promote", Some(key)).await),
        (409, "conflict")
    );

    let key = ("idempotency-key", "revoke once");
    let first = act(&tenant, "3:revoke", Some(key)).await;
    let again = act(&tenant, "3:revoke", Some(key)).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
}

#[tokio::test]
async fn promotions_puts_and_revocations_at_once_end_in_one_of_their_orders() {
    let (tenant, upstream) = three().await;
    for round in 0..6 {
        let put = async {
            let body = crate::world::put_body(&format!("value-of-round-{round}"), &upstream);
            tenant.call("PUT", "/secrets/thing", Some(body)).await
        };
        let (put, acted) = tokio::join!(
            put,
            join_all(
                ["1:promote", "2:promote", "1:promote"].map(|action| act(&tenant, action, None))
            )
        );
        assert!([201, 409].contains(&put.status.as_u16()), "{}", put.json());
        for answer in &acted {
            assert!(
                [200, 409].contains(&answer.status.as_u16()),
                "{}",
                answer.json()
            );
        }
        let landed = put.status == 201 || acted.iter().any(|it| it.status == 200);
        assert!(landed, "of many at once one wins");
        for version in 1..=3 {
            let value = format!("value-number-{version}");
            opens(&tenant, ("thing", version), &value, &upstream).await;
        }
    }
    let (promoted, revoked) = tokio::join!(
        act(&tenant, "3:promote", None),
        act(&tenant, "3:revoke", None)
    );
    match (promoted.status.as_u16(), revoked.status.as_u16()) {
        (200, 409) => opens(&tenant, ("thing", 3), "value-number-3", &upstream).await,
        (409 | 410, 200) => {
            let used = use_version(&tenant, "thing", 3, &upstream).await;
            assert_eq!(got(&used), (410, "version_revoked"));
        }
        other => panic!("{other:?}: {} {}", promoted.json(), revoked.json()),
    }
}

#[tokio::test]
async fn a_version_that_is_promoted_behind_a_rewrap_is_under_the_current_key_all_the_same() {
    let world = crate::rewrap::undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    for version in 1..=3 {
        tenant
            .put("thing", &format!("value-number-{version}"), &upstream)
            .await;
    }
    rebind(&mut tenant).await;
    let id = crate::rewrap::start(&tenant, None).await;
    let (job, promoted) = tokio::join!(
        crate::rewrap::finish(&tenant, &id),
        act(&tenant, "1:promote", None)
    );
    assert_eq!(job["state"], "done", "{job}");
    assert!(
        [200, 409].contains(&promoted.status.as_u16()),
        "{}",
        promoted.json()
    );
    all_under(&tenant, &tenant.key, 3).await;
    for version in 1..=3 {
        opens(
            &tenant,
            ("thing", version),
            &format!("value-number-{version}"),
            &upstream,
        )
        .await;
    }
}

#[tokio::test]
async fn a_rewrap_in_between_does_not_get_in_the_way_of_a_promotion() {
    let world = crate::rewrap::undriven(500).await;
    let mut tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    for version in 1..=3 {
        let value = format!("value-number-{version}");
        tenant.put("thing", &value, &upstream).await;
    }
    rebind(&mut tenant).await;
    let rewrapped = |item: &mut Value| {
        let revision: u64 = item["revision"]["N"].as_str().unwrap().parse().unwrap();
        item["revision"]["N"] = json!((revision + 1).to_string());
    };
    let promoted = in_between(
        &tenant,
        act(&tenant, "1:promote", None),
        "S#thing",
        rewrapped,
    )
    .await;
    assert_eq!(promoted.status, 200, "{}", promoted.json());
    assert_eq!(promoted.json()["revision"], 5);
    // Another put is no re-wrap: what is current is for the caller to look at again.
    let put = |item: &mut Value| {
        rewrapped(item);
        item["version"]["N"] = json!("2");
    };
    let refused = in_between(&tenant, act(&tenant, "2:promote", None), "S#thing", put).await;
    assert_eq!(got(&refused), (409, "conflict"));
}
