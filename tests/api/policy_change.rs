//! Where an existing value may go: changed by a ReEncrypt under the customer's key, seen
//! in their log, and not to be had without it.

use crate::{
    rewrap::{in_between, opens, re_encrypts, rebind, set_key, undriven, use_version, versions},
    world::{Tenant, code, put_body},
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};

const VALUE: &str = "a-value-that-goes-places";

async fn change_with(tenant: &Tenant<'_>, header: Option<(&str, &str)>, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method("PUT")
        .uri(tenant.path("/secrets/thing/policy"))
        .header("authorization", format!("Bearer {}", tenant.token));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    tenant.world.send(request).await
}

async fn change(tenant: &Tenant<'_>, body: &Value) -> Answer {
    change_with(tenant, None, body).await
}

fn to(urls: &[String]) -> Value {
    let destinations: Vec<_> = urls.iter().map(|url| json!({"url": url})).collect();
    json!({"policy": {"destinations": destinations}})
}

fn got(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
}

async fn use_at(tenant: &Tenant<'_>, url: String) -> Answer {
    let body = json!({"request": {"method": "GET", "url": url}});
    tenant.call("POST", "/secrets/thing/use", Some(body)).await
}

#[tokio::test]
async fn a_use_is_judged_by_the_new_policy_narrower_or_wider() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", VALUE, &upstream).await;
    let sealed = versions(&tenant).await["S#thing"]["sealed"].clone();
    assert_eq!(use_at(&tenant, upstream.url("/a")).await.status, 200);

    let narrow = change(&tenant, &to(&[upstream.url("/b/")])).await;
    assert_eq!(narrow.status, 200, "{}", narrow.json());
    let body = narrow.json();
    assert_eq!(
        (&body["name"], &body["version"]),
        (&json!("thing"), &json!(1))
    );
    assert_eq!(
        (&body["wrappedBy"], &body["expiresAt"]),
        (&json!(tenant.key), &Value::Null)
    );
    assert_eq!(
        body["policy"]["destinations"][0]["url"],
        upstream.url("/b/")
    );
    assert_eq!(
        body["policy"]["reveal"], false,
        "it is told in its canonical form"
    );
    assert_eq!(narrow.header("etag"), format!("\"{}\"", body["revision"]));
    assert_eq!(
        got(&use_at(&tenant, upstream.url("/a")).await),
        (403, "destination_denied")
    );
    assert_eq!(use_at(&tenant, upstream.url("/b/c")).await.status, 200);

    assert_eq!(change(&tenant, &to(&[upstream.url("/")])).await.status, 200);
    assert_eq!(use_at(&tenant, upstream.url("/a")).await.status, 200);
    assert_eq!(change(&tenant, &json!({"policy": {}})).await.status, 200);
    assert_eq!(
        got(&use_at(&tenant, upstream.url("/a")).await),
        (403, "destination_denied")
    );
    // Another slot takes the same value.
    let query =
        json!({"policy": {"destinations": [{"url": upstream.url("/")}], "inject": {"query": "k"}}});
    assert_eq!(change(&tenant, &query).await.status, 200);
    let _ = upstream.take();
    assert_eq!(use_at(&tenant, upstream.url("/a")).await.status, 200);
    assert_eq!(
        upstream.take()[0].uri.query(),
        Some(format!("k={VALUE}").as_str())
    );
    assert_eq!(
        versions(&tenant).await["S#thing"]["sealed"],
        sealed,
        "the sealed bytes stay"
    );
}

#[tokio::test]
async fn the_customers_log_shows_the_change_and_without_their_key_there_is_none() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", VALUE, &upstream).await;
    let before = re_encrypts(&tenant).len();
    assert_eq!(
        change(&tenant, &to(&[upstream.url("/b/")])).await.status,
        200
    );
    let moves = re_encrypts(&tenant);
    assert_eq!(moves.len(), before + 1);
    let event = &moves[before];
    let (from, into) = (
        &event["requestParameters"]["sourceEncryptionContext"],
        &event["requestParameters"]["destinationEncryptionContext"],
    );
    for key in [
        "byok:broker",
        "byok:workspace",
        "byok:secret",
        "byok:version",
    ] {
        assert_eq!(from[key], into[key], "{key}");
    }
    assert_ne!(from["byok:policy"], into["byok:policy"]);
    let trail = tenant.call("GET", "/audit", None).await.json();
    let records = trail["records"].as_array().unwrap();
    let told = records
        .iter()
        .find(|it| it["kind"] == "change_policy")
        .unwrap();
    assert_eq!(told["outcome"]["kmsRequestId"], event["requestID"]);
    assert!(
        event["userAgent"]
            .as_str()
            .unwrap()
            .contains(told["id"].as_str().unwrap())
    );

    let item = versions(&tenant).await["S#thing"].clone();
    set_key(&tenant, "DisableKey", &tenant.key);
    assert_eq!(
        got(&change(&tenant, &to(&[upstream.url("/")])).await),
        (424, "key_disabled")
    );
    set_key(&tenant, "EnableKey", &tenant.key);
    tenant.customer.revoke_all(&tenant.key).unwrap();
    assert_eq!(
        got(&change(&tenant, &to(&[upstream.url("/")])).await),
        (424, "key_access_denied")
    );
    assert_eq!(
        versions(&tenant).await["S#thing"],
        item,
        "nothing was stored"
    );
    // Whoever writes the policy into the table gets nothing for it.
    tenant.grant();
    let mut forged = item.clone();
    let policy = item["policy"]["S"].as_str().unwrap().replace("/b/", "/");
    forged["policy"]["S"] = json!(policy);
    let input = json!({"TableName": "broker", "Item": forged});
    tenant.world.table("PutItem", input).await;
    assert_eq!(
        got(&use_at(&tenant, upstream.url("/a")).await),
        (500, "integrity_failure")
    );
    assert_eq!(
        got(&change(&tenant, &to(&[upstream.url("/")])).await),
        (500, "integrity_failure")
    );
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn an_earlier_version_must_satisfy_its_own_policy_and_the_current_ones() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", "value-number-1", &upstream).await;
    tenant.put("thing", "value-number-2", &upstream).await;
    opens(&tenant, ("thing", 1), "value-number-1", &upstream).await;
    let at =
        |path: &str| json!({"request": {"method": "GET", "url": upstream.url(path)}, "version": 1});
    assert_eq!(
        change(&tenant, &to(&[upstream.url("/b/")])).await.status,
        200
    );
    let used = use_version(&tenant, "thing", 1, &upstream).await;
    assert_eq!(
        got(&used),
        (403, "destination_denied"),
        "the current policy is narrower"
    );
    let used = tenant
        .call("POST", "/secrets/thing/use", Some(at("/b/x")))
        .await;
    assert_eq!(used.status, 200, "both allow it");
    // And the earlier version's own policy is not widened with the head's.
    let narrow = json!({"value": "value-number-3", "policy": {"destinations": [{"url": upstream.url("/c/")}]}});
    assert_eq!(
        tenant
            .call("PUT", "/secrets/thing", Some(narrow))
            .await
            .status,
        201
    );
    tenant.put("thing", "value-number-4", &upstream).await;
    let body = json!({"request": {"method": "GET", "url": upstream.url("/a")}, "version": 3});
    let used = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
    assert_eq!(got(&used), (403, "destination_denied"));
}

#[tokio::test]
async fn a_change_brings_the_version_under_the_current_key_and_sets_its_expiry() {
    let mut tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", VALUE, &upstream).await;
    let former = rebind(&mut tenant).await;
    let mut body = to(&[upstream.url("/")]);
    body["expires_at"] = json!("2999-01-31T12:00:00+01:00");
    let changed = change(&tenant, &body).await;
    assert_eq!(
        changed.json()["wrappedBy"],
        tenant.key,
        "{}",
        changed.json()
    );
    assert_eq!(changed.json()["expiresAt"], "2999-01-31T11:00:00Z");
    assert_eq!(
        changed.json()["policy"]["expires_at"],
        "2999-01-31T11:00:00Z"
    );
    set_key(&tenant, "DisableKey", &former);
    opens(&tenant, ("thing", 1), VALUE, &upstream).await;
    let listed = tenant.call("GET", "/secrets", None).await.json();
    assert!(listed["secrets"][0]["expiresAt"].is_string());
    assert_eq!(
        change(&tenant, &to(&[upstream.url("/")])).await.json()["expiresAt"],
        Value::Null
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_said_by_field_and_changes_nothing() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", VALUE, &upstream).await;
    let item = versions(&tenant).await;
    for (body, field) in [
        (json!({}), "policy"),
        (json!({"policy": "x"}), "policy"),
        (json!({"policy": {"wat": 1}}), "policy.wat"),
        (
            json!({"policy": {"destinations": [{"url": "x"}]}}),
            "policy.destinations[0].url",
        ),
        (
            json!({"policy": {}, "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (json!({"policy": {}, "value": "x"}), "value"),
    ] {
        let refused = change(&tenant, &body).await;
        assert_eq!(got(&refused), (400, "invalid_request"), "{body}");
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    let writer = tenant
        .make_token(json!({"permissions": ["write_secrets", "read"]}))
        .await;
    let body = Some(to(&[upstream.url("/")]));
    for (token, path) in [
        (&writer, "thing"),
        (&tenant.token, "absent"),
        (&tenant.token, "Not-A-Name"),
    ] {
        let path = format!("/secrets/{path}/policy");
        let refused = tenant.call_as(token, "PUT", &path, body.clone()).await;
        assert_eq!(got(&refused), (404, "not_found"), "{path}");
    }
    assert_eq!(versions(&tenant).await, item);
}

#[tokio::test]
async fn preconditions_repetitions_and_races_end_well() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let put = tenant.put("thing", VALUE, &upstream).await;
    let body = to(&[upstream.url("/b/")]);
    let stale = ("if-match", "\"77\"");
    assert_eq!(
        got(&change_with(&tenant, Some(stale), &body).await),
        (412, "precondition_failed")
    );
    let tag = put.header("etag").to_owned();
    assert_eq!(
        change_with(&tenant, Some(("if-match", &tag)), &body)
            .await
            .status,
        200
    );

    let key = Some(("idempotency-key", "once"));
    let first = change_with(&tenant, key, &body).await;
    assert_eq!(first.status, 200);
    assert_eq!(change(&tenant, &to(&[upstream.url("/")])).await.status, 200);
    let calls = re_encrypts(&tenant).len();
    let again = change_with(&tenant, key, &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(
        re_encrypts(&tenant).len(),
        calls,
        "a repetition asks nothing of KMS"
    );
    let other = change_with(&tenant, key, &json!({"policy": {}})).await;
    assert_eq!(got(&other), (409, "conflict"));

    // Many at once: every one lands or hears of a conflict, and the last one counts.
    let changes = (0..6).map(|n| change_owned(&tenant, to(&[upstream.url(&format!("/{n}/"))])));
    let puts = (0..3).map(|n| {
        let body = put_body(&format!("value-number-{n}"), &upstream);
        let tenant = &tenant;
        async move { tenant.call("PUT", "/secrets/thing", Some(body)).await }
    });
    let (changed, put) = tokio::join!(join_all(changes), join_all(puts));
    let mut landed = 0;
    for answer in changed.iter().chain(&put) {
        let status = answer.status.as_u16();
        assert!([200, 201, 409].contains(&status), "{}", answer.json());
        landed += u32::from(status != 409);
    }
    assert!(landed > 0);
    let policy = tenant.call("GET", "/secrets/thing", None).await.json()["policy"].clone();
    let url = policy["destinations"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        use_at(&tenant, url).await.status,
        200,
        "what is stored opens"
    );
}

async fn change_owned(tenant: &Tenant<'_>, body: Value) -> Answer {
    change(tenant, &body).await
}

#[tokio::test]
async fn a_rewrap_in_between_does_not_get_in_the_way_and_anything_else_does() {
    let world = undriven(500).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let put = tenant.put("thing", VALUE, &upstream).await;
    let revision = put.json()["revision"].as_u64().unwrap();
    let policy = to(&[upstream.url("/b/")]);

    // What a re-wrap leaves of a head: another revision.
    let rewrapped = |item: &mut Value| {
        let revision: u64 = item["revision"]["N"].as_str().unwrap().parse().unwrap();
        item["revision"]["N"] = json!((revision + 1).to_string());
    };
    let changed = in_between(&tenant, change(&tenant, &policy), "S#thing", rewrapped).await;
    assert_eq!(changed.status, 200, "{}", changed.json());
    assert_eq!(changed.json()["revision"], revision + 2);
    assert_eq!(use_at(&tenant, upstream.url("/b/c")).await.status, 200);

    let tag = changed.header("etag").to_owned();
    let strict = change_with(&tenant, Some(("if-match", &tag)), &policy);
    let refused = in_between(&tenant, strict, "S#thing", rewrapped).await;
    assert_eq!(
        got(&refused),
        (409, "conflict"),
        "it was to be exactly that one"
    );

    let policy_too = |item: &mut Value| {
        rewrapped(item);
        let narrow = item["policy"]["S"]
            .as_str()
            .unwrap()
            .replace("/b/", "/b/c/");
        item["policy"]["S"] = json!(narrow);
    };
    let refused = in_between(&tenant, change(&tenant, &policy), "S#thing", policy_too).await;
    assert_eq!(
        got(&refused),
        (409, "conflict"),
        "someone else decided meanwhile"
    );
}
