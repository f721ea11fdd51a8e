//! Who is asking: tokens, permissions, and that nobody learns what is not theirs.

use crate::world::{Tenant, World, code, open};
use bytes::Bytes;
use envelope::WorkspaceId;
use http::Request;
use http_body_util::Full;
use local::{StackConfig, Upstream, client::Answer};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use time::{Duration, OffsetDateTime};

/// All that a caller sees of an answer, request ids and the date aside.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Bytes) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "byok-request-id" | "date"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status.as_u16(), headers, answer.body.clone())
}

/// Every route that names a secret or a workspace, with a body that it takes.
fn routes(upstream: &Upstream) -> Vec<(&'static str, &'static str, Option<Value>)> {
    let request = json!({"request": {"method": "GET", "url": upstream.url("/")}});
    vec![
        (
            "PUT",
            "/key",
            Some(
                json!({"key": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}),
            ),
        ),
        ("POST", "/key/checks", None),
        ("GET", "/key", None),
        ("GET", "/key/policy", None),
        (
            "PUT",
            "/secrets/thing",
            Some(json!({"value": "value", "policy": {}})),
        ),
        ("GET", "/secrets/thing", None),
        ("POST", "/secrets/thing/use", Some(request)),
        ("GET", "/via/thing/v1/x", None),
        ("GET", "/via/thing", None),
        ("GET", "/secrets", None),
        ("GET", "/audit", None),
        ("POST", "/tokens", Some(json!({"permissions": ["read"]}))),
        ("GET", "/tokens", None),
        (
            "DELETE",
            "/tokens/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            None,
        ),
    ]
}

#[tokio::test]
async fn anothers_workspace_a_missing_permission_and_an_absent_secret_are_one_and_the_same_404() {
    let (mine, other) = (Tenant::new().await, Tenant::new().await);
    let upstream = Upstream::start().await.unwrap();
    mine.put("thing", "the-value-of-mine", &upstream).await;
    let powerless = mine
        .make_token(json!({"permissions": ["reveal_secrets"]}))
        .await;

    let absent = mine.call("GET", "/secrets/absent", None).await;
    assert_eq!((absent.status.as_u16(), code(&absent)), (404, "not_found"));
    let expected = seen(&absent);
    for (method, path, body) in routes(&upstream) {
        let another = mine.call_as(&other.token, method, path, body.clone()).await;
        assert_eq!(
            seen(&another),
            expected,
            "{method} {path} with another workspace's token"
        );
        let unpermitted = mine.call_as(&powerless, method, path, body.clone()).await;
        assert_eq!(
            seen(&unpermitted),
            expected,
            "{method} {path} without the permission"
        );
        let nowhere = format!("/v1/workspaces/no-such-workspace{path}");
        let absent = mine.world.call(method, &nowhere, &mine.token, body).await;
        assert_eq!(
            seen(&absent),
            expected,
            "{method} {path} of a workspace that does not exist"
        );
    }
    for (method, path, body) in [
        ("GET", "/secrets/absent", None),
        ("GET", "/secrets/Not-A-Name", None),
        ("GET", "/secrets/thing?version=7", None),
        (
            "POST",
            "/secrets/absent/use",
            Some(json!({"request": {"method": "GET", "url": upstream.url("/")}})),
        ),
        ("GET", "/via/absent/v1", None),
        (
            "DELETE",
            "/tokens/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            None,
        ),
    ] {
        assert_eq!(
            seen(&mine.call(method, path, body).await),
            expected,
            "{method} {path}"
        );
    }
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn without_a_known_token_every_route_is_one_and_the_same_401() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let unknown = format!("byok_{}_{}", tenant.workspace, "A".repeat(43));
    let expected = seen(&tenant.call_as(&unknown, "GET", "/key", None).await);
    assert_eq!(expected.0, 401);
    let nowhere = format!("byok_no-such-workspace_{}", "A".repeat(43));
    for (method, path, body) in routes(&upstream) {
        for token in [
            unknown.as_str(),
            &nowhere,
            "",
            "byok_",
            "garbage",
            &tenant.token[..tenant.token.len() - 1],
        ] {
            let answer = tenant.call_as(token, method, path, body.clone()).await;
            assert_eq!(seen(&answer), expected, "{method} {path} with {token:?}");
        }
        let request = Request::builder()
            .method(method)
            .uri(tenant.path(path))
            .body(Full::new(Bytes::new()))
            .unwrap();
        assert_eq!(
            seen(&tenant.world.send(request).await),
            expected,
            "{method} {path} without a token"
        );
    }
}

#[tokio::test]
async fn a_token_does_what_it_is_for_and_nothing_else() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("pay.eu", "value-of-pay-eu", &upstream).await;
    tenant.put("pay.us", "value-of-pay-us", &upstream).await;
    tenant.put("mail", "value-of-mail", &upstream).await;
    let body = json!({"permissions": ["use_secrets", "read"], "secrets": ["pay.*", "other"]});
    let agent = tenant.make_token(body).await;
    let use_body = json!({"request": {"method": "GET", "url": upstream.url("/")}});
    for (name, allowed) in [
        ("pay.eu", true),
        ("pay.us", true),
        ("mail", false),
        ("other", false),
    ] {
        let used = tenant
            .call_as(
                &agent,
                "POST",
                &format!("/secrets/{name}/use"),
                Some(use_body.clone()),
            )
            .await;
        assert_eq!(used.status == 200, allowed, "{name}: {}", used.json());
        assert_eq!(upstream.take().len(), usize::from(allowed));
        let shown = tenant
            .call_as(&agent, "GET", &format!("/secrets/{name}"), None)
            .await;
        assert_eq!(shown.status == 200, allowed, "{name}");
    }
    let listed = tenant.call_as(&agent, "GET", "/secrets", None).await.json();
    let names: Vec<_> = listed["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].clone())
        .collect();
    assert_eq!(names, ["pay.eu", "pay.us"]);
    for (method, path) in [
        ("GET", "/audit"),
        ("GET", "/tokens"),
        ("PUT", "/secrets/pay.eu"),
    ] {
        let refused = tenant
            .call_as(
                &agent,
                method,
                path,
                Some(json!({"value": "v", "policy": {}})),
            )
            .await;
        assert_eq!(refused.status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn no_token_gives_more_than_its_maker_has() {
    let tenant = Tenant::new().await;
    let maker = tenant
        .make_token(json!({
            "permissions": ["manage_tokens", "read"], "secrets": ["pay.*"], "expires_at": "2999-01-01T00:00:00Z",
        }))
        .await;
    for (body, field) in [
        (
            json!({"permissions": ["use_secrets"], "secrets": ["pay.eu"]}),
            "permissions",
        ),
        (json!({"permissions": ["read"]}), "secrets"),
        (
            json!({"permissions": ["read"], "secrets": ["pa*"]}),
            "secrets",
        ),
        (
            json!({"permissions": ["read"], "secrets": ["pay.eu", "mail"]}),
            "secrets",
        ),
        (
            json!({"permissions": ["read"], "secrets": ["pay.eu"], "expires_at": "2999-01-02T00:00:00Z"}),
            "expires_at",
        ),
    ] {
        let refused = tenant
            .call_as(&maker, "POST", "/tokens", Some(body.clone()))
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (400, Some(field)),
            "{body}"
        );
    }
    let made = tenant
        .call_as(
            &maker,
            "POST",
            "/tokens",
            Some(json!({"permissions": ["read"], "secrets": ["pay.eu*"]})),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(
        made.json()["expiresAt"],
        "2999-01-01T00:00:00Z",
        "the maker's own end is the latest"
    );
    // What the maker does not reach, it neither sees nor revokes.
    let listed = tenant.call_as(&maker, "GET", "/tokens", None).await.json();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2, "{listed}");
    let first = tenant.call("GET", "/tokens", None).await.json();
    let first = first["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["label"] == "first token")
        .unwrap()
        .clone();
    let revoked = tenant
        .call_as(
            &maker,
            "DELETE",
            &format!("/tokens/{}", first["id"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(revoked.status, 404);
}

#[tokio::test]
async fn a_revoked_token_fails_at_the_next_call() {
    let tenant = Tenant::new().await;
    let body = json!({"permissions": ["read"], "label": "for a while"});
    let made = tenant.call("POST", "/tokens", Some(body)).await.json();
    let (token, id) = (
        made["token"].as_str().unwrap(),
        made["id"].as_str().unwrap(),
    );
    assert_eq!(tenant.call_as(token, "GET", "/key", None).await.status, 200);
    let revoked = tenant.call("DELETE", &format!("/tokens/{id}"), None).await;
    assert_eq!((revoked.status.as_u16(), revoked.body.len()), (204, 0));
    assert_eq!(tenant.call_as(token, "GET", "/key", None).await.status, 401);
    assert_eq!(
        tenant
            .call("DELETE", &format!("/tokens/{id}"), None)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_token_ends_at_its_time() {
    let moved = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&moved);
    let world = World::own(|config| StackConfig {
        clock: api::Clock::from_fn(move || {
            OffsetDateTime::now_utc() + Duration::seconds(clock.load(Ordering::SeqCst))
        }),
        ..config
    })
    .await;
    let tenant = Tenant::of(&world).await;
    let end = OffsetDateTime::now_utc() + Duration::hours(1);
    let end = end
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let token = tenant
        .make_token(json!({"permissions": ["read"], "expires_at": end}))
        .await;
    assert_eq!(
        tenant.call_as(&token, "GET", "/key", None).await.status,
        200
    );
    moved.store(3601, Ordering::SeqCst);
    assert_eq!(
        tenant.call_as(&token, "GET", "/key", None).await.status,
        401
    );
}

#[tokio::test]
async fn a_workspace_is_opened_by_the_operator_and_once() {
    let world = World::shared();
    let opened = open(world, &json!({"workspace": "opened-once"})).await;
    assert!(
        opened["token"]
            .as_str()
            .unwrap()
            .starts_with("byok_opened-once_")
    );
    assert_eq!(
        open(world, &json!({"workspace": "opened-once"})).await["code"],
        "conflict"
    );
    assert_eq!(
        open(world, &json!({"workspace": "Not An Id"})).await["field"],
        "workspace"
    );
    assert_eq!(
        open(world, &json!({"workspace": "fine", "more": 1})).await["field"],
        "more"
    );
    assert!(WorkspaceId::parse("opened-once").is_ok());
    let request = Request::builder()
        .method("POST")
        .uri("/2015-03-31/functions/open-workspace/invocations")
        .body(Full::new(Bytes::from_static(
            b"{\"workspace\":\"by-nobody\"}",
        )))
        .unwrap();
    assert_eq!(
        world.send(request).await.status,
        403,
        "nobody but the operator invokes functions"
    );
}

#[tokio::test]
async fn no_stored_byte_of_a_token_can_be_used_as_one() {
    let tenant = Tenant::new().await;
    let id = tenant.call("GET", "/tokens", None).await.json()["tokens"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!tenant.token.contains(&id));
    let forged = format!("byok_{}_{id}", tenant.workspace);
    assert_eq!(
        tenant.call_as(&forged, "GET", "/key", None).await.status,
        401
    );
}
