//! Who is asking: tokens, permissions, and that nobody learns what is not theirs.

use crate::world::{Tenant, World, code, open};
use bytes::Bytes;
use envelope::WorkspaceId;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use time::{Duration, OffsetDateTime};

/// How an edge frames an answer: its body, which is compared, is the same.
const FRAMING: [&str; 4] = [
    "content-length",
    "transfer-encoding",
    "x-amzn-remapped-content-length",
    "lambda-runtime-function-response-mode",
];

/// All that a caller sees of an answer, request ids, the date and the framing aside.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Bytes) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "byok-request-id" | "date"))
        .filter(|(name, _)| !FRAMING.contains(&name.as_str()))
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
        ("POST", "/key/policy/lint", Some(json!({"statements": []}))),
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
    let (world, moved) = World::with_moved_clock().await;
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
}

#[tokio::test]
async fn nobody_but_the_operator_invokes_functions() {
    let world = World::own(|config| config).await;
    let request = Request::builder()
        .method("POST")
        .uri("/2015-03-31/functions/open-workspace/invocations")
        .body(Full::new(Bytes::from_static(
            b"{\"workspace\":\"by-nobody\"}",
        )))
        .unwrap();
    assert_eq!(world.send(request).await.status, 403);
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

#[tokio::test]
async fn a_token_for_some_secrets_hears_of_no_other_not_even_by_where_a_page_ends() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    for name in ["aa", "bb.1", "bb.2", "cc", "dd.1", "ee"] {
        tenant.put(name, "value-of-a-list", &upstream).await;
    }
    let permissions = json!(["read", "manage_tokens"]);
    for (secrets, expected) in [
        (json!(["bb.*", "dd.1", "zz*"]), vec!["bb.1", "bb.2", "dd.1"]),
        (
            json!(["dd.1", "bb.*", "bb.1"]),
            vec!["bb.1", "bb.2", "dd.1"],
        ),
        (json!(["nothing-here"]), vec![]),
    ] {
        let token = tenant
            .make_token(json!({"permissions": permissions, "secrets": secrets}))
            .await;
        for limit in 1..=4 {
            let (mut names, mut after) = (Vec::new(), String::new());
            loop {
                let page = tenant
                    .call_as(
                        &token,
                        "GET",
                        &format!("/secrets?limit={limit}{after}"),
                        None,
                    )
                    .await;
                let text = String::from_utf8(page.body.to_vec()).unwrap();
                for foreign in ["\"aa\"", "\"cc\"", "\"ee\""] {
                    assert!(!text.contains(foreign), "{text}");
                }
                let page = page.json();
                names.extend(
                    page["secrets"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|one| one["name"].as_str().unwrap().to_owned()),
                );
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            assert_eq!(names, expected, "limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_token_for_some_secrets_has_no_permission_over_the_whole_workspace() {
    let tenant = Tenant::new().await;
    for permission in ["manage_key", "read_audit"] {
        let body = json!({"permissions": [permission], "secrets": ["aa*"]});
        let refused = tenant.call("POST", "/tokens", Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (400, Some("secrets"))
        );
    }
    // One that was made so nevertheless, by an older rule, has it no more.
    let token = api::Token::generate(&tenant.workspace);
    let record = store::TokenRecord {
        id: token.id(),
        permissions: [store::Permission::ManageKey, store::Permission::ReadAudit].into(),
        secrets: Some(vec![store::SecretPattern::parse("aa*").unwrap()]),
        expires_at: None,
        created_at: OffsetDateTime::now_utc(),
        created_by: None,
        label: None,
    };
    tenant.world.write_token(&tenant.workspace, &record).await;
    let token = token.tell();
    for (method, path) in [("PUT", "/key"), ("POST", "/key/checks"), ("GET", "/audit")] {
        let refused = tenant
            .call_as(&token, method, path, Some(json!({"key": tenant.key})))
            .await;
        assert_eq!(refused.status, 404, "{method} {path}: {}", refused.json());
    }
}

#[tokio::test]
async fn nobody_revokes_a_token_that_has_more_than_they_have() {
    let tenant = Tenant::new().await;
    let weak = tenant
        .make_token(json!({"permissions": ["manage_tokens"]}))
        .await;
    let strong = tenant
        .call(
            "POST",
            "/tokens",
            Some(json!({"permissions": ["manage_key"]})),
        )
        .await
        .json();
    let (token, id) = (
        strong["token"].as_str().unwrap(),
        strong["id"].as_str().unwrap(),
    );
    let refused = tenant
        .call_as(&weak, "DELETE", &format!("/tokens/{id}"), None)
        .await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (404, "not_found")
    );
    assert_eq!(
        tenant
            .call_as(token, "POST", "/key/checks", None)
            .await
            .status,
        200
    );
    assert_eq!(
        tenant
            .call("DELETE", &format!("/tokens/{id}"), None)
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn a_broken_record_tells_nobody_that_it_is_there_who_may_not_know() {
    let (tenant, other) = (Tenant::new().await, Tenant::new().await);
    let upstream = Upstream::start().await.unwrap();
    tenant
        .put("thing", "value-of-a-broken-one", &upstream)
        .await;
    let key = json!({"pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": "S#thing"}});
    let mut item = tenant
        .world
        .table("GetItem", json!({"TableName": "broker", "Key": key}))
        .await["Item"]
        .clone();
    item["policy"] = json!({"N": "1"});
    tenant
        .world
        .table("PutItem", json!({"TableName": "broker", "Item": item}))
        .await;
    assert_eq!(
        tenant.call("GET", "/secrets/thing", None).await.status,
        500,
        "its own people hear of it"
    );
    let unknown = format!("byok_{}_{}", tenant.workspace, "A".repeat(43));
    assert_eq!(
        tenant
            .call_as(&unknown, "GET", "/secrets/thing", None)
            .await
            .status,
        401
    );
    assert_eq!(
        tenant
            .call_as(&other.token, "GET", "/secrets/thing", None)
            .await
            .status,
        404
    );
    let scoped = tenant
        .make_token(json!({"permissions": ["read"], "secrets": ["else"]}))
        .await;
    assert_eq!(
        tenant
            .call_as(&scoped, "GET", "/secrets/thing", None)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn without_a_token_no_body_is_even_looked_at() {
    let tenant = Tenant::new().await;
    let headers: serde_json::Map<String, Value> = (0..40_000)
        .map(|n| (format!("x-{n}"), json!("v")))
        .collect();
    let body =
        json!({"request": {"method": "GET", "url": "https://example.com/", "headers": headers}});
    let path = tenant.path("/secrets/thing/use");
    let refused = tenant
        .world
        .call("POST", &path, "nobody", Some(body.clone()))
        .await;
    assert_eq!(refused.status, 401);
    let upstream = Upstream::start().await.unwrap();
    tenant
        .put("thing", "value-of-many-headers", &upstream)
        .await;
    let refused = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
    assert!(
        matches!(
            code(&refused),
            "invalid_request" | "destination_denied" | "too_large"
        ),
        "{}",
        refused.json()
    );
}
