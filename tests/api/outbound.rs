//! Using a secret: what the upstream sees, what the caller sees, and what the
//! records say of it.

use crate::world::{Tenant, World, code, holds};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

const SECRET: &str = "the-secret-of-the-outbound-tests";

async fn put_policy(tenant: &Tenant<'_>, policy: Value) {
    let put = tenant
        .call(
            "PUT",
            "/secrets/thing",
            Some(json!({"value": SECRET, "policy": policy})),
        )
        .await;
    assert_eq!(put.status, 201, "{}", put.json());
}

async fn use_at(tenant: &Tenant<'_>, request: Value) -> Answer {
    tenant
        .call(
            "POST",
            "/secrets/thing/use",
            Some(json!({"request": request})),
        )
        .await
}

async fn via(
    tenant: &Tenant<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static [u8],
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(tenant.path(&format!("/via/thing{path}")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    tenant
        .world
        .send(request.body(Full::new(Bytes::from_static(body))).unwrap())
        .await
}

#[tokio::test]
async fn the_secret_goes_into_its_slot_and_nowhere_else() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let destinations = json!([{"url": upstream.url("/")}]);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("user:{SECRET}")));
    for (inject, header, value, query) in [
        (
            json!({"header": "x-api-key"}),
            "x-api-key",
            SECRET.to_owned(),
            None,
        ),
        (
            json!({"header": "authorization", "format": "Token {secret}"}),
            "authorization",
            format!("Token {SECRET}"),
            None,
        ),
        (
            json!({"basic": {"username": "user"}}),
            "authorization",
            basic,
            None,
        ),
        (
            json!({"query": "key"}),
            "x-absent",
            String::new(),
            Some(format!("a=1&key={SECRET}")),
        ),
    ] {
        put_policy(
            &tenant,
            json!({"destinations": destinations, "inject": inject}),
        )
        .await;
        let used = use_at(
            &tenant,
            json!({"method": "POST", "url": upstream.url("/x?a=1"), "headers": {"x-original-url": "/admin", "X_HTTP_Method_Override": "DELETE", "x-mine": "{secret}", "x-two": ["a", "b"]}, "body": "{secret}"}),
        )
        .await;
        assert_eq!(
            (used.status.as_u16(), used.json()["status"].as_u64()),
            (200, Some(200)),
            "{}",
            used.json()
        );
        let seen = upstream.take();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].header(header), value, "{inject}");
        assert_eq!(seen[0].uri.query(), Some(query.as_deref().unwrap_or("a=1")));
        assert_eq!(
            (seen[0].header("x-mine"), &seen[0].body[..]),
            ("{secret}", &b"{secret}"[..])
        );
        assert_eq!(seen[0].headers.get_all("x-two").iter().count(), 2);
        let whole = format!("{:?}", seen[0]).to_lowercase();
        assert!(
            !whole.contains("original") && !whole.contains("override"),
            "{whole}"
        );
        assert!(
            !whole.contains("byok_"),
            "the broker's token stays with the broker"
        );
        assert!(!holds(&used.body, SECRET));
    }
}

#[tokio::test]
async fn a_destination_that_the_policy_does_not_name_is_refused_before_kms_is_asked() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    put_policy(
        &tenant,
        json!({"destinations": [{"url": upstream.url("/v1/"), "methods": ["GET"]}]}),
    )
    .await;
    let asked = tenant.world.events(&tenant.workspace).len();
    for (method, url) in [
        ("GET", upstream.url("/v1x")),
        ("GET", upstream.url("/")),
        ("GET", upstream.url("/v1/../v2")),
        ("POST", upstream.url("/v1/thing")),
        ("GET", upstream.url("/v1/").replace("http://", "https://")),
        (
            "GET",
            format!("http://localhost:{}/v1/", upstream.address.port()),
        ),
    ] {
        let refused = use_at(&tenant, json!({"method": method, "url": url})).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (403, "destination_denied"),
            "{method} {url}"
        );
    }
    for url in [
        "",
        "nonsense",
        "ftp://x/",
        "http://user@127.0.0.1/",
        "http://127.1/v1/",
        &upstream.url("/v1/%2e%2e/x"),
    ] {
        let refused = use_at(&tenant, json!({"method": "GET", "url": url})).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (400, Some("request.url")),
            "{url}"
        );
    }
    assert_eq!(
        tenant.world.events(&tenant.workspace).len(),
        asked,
        "KMS must not be asked"
    );
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn a_private_or_metadata_address_is_never_dialled() {
    let tenant = Tenant::new().await;
    for url in [
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "https://[fd00:ec2::254]/",
        "http://192.0.2.1/",
    ] {
        put_policy(&tenant, json!({"destinations": [{"url": url}]})).await;
        let refused = use_at(&tenant, json!({"method": "GET", "url": url})).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (403, "destination_denied"),
            "{url}: {}",
            refused.json()
        );
    }
}

#[tokio::test]
async fn a_redirect_is_answered_as_it_is_and_not_followed() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    put_policy(
        &tenant,
        json!({"destinations": [{"url": upstream.url("/")}]}),
    )
    .await;
    let used = use_at(
        &tenant,
        json!({"method": "GET", "url": upstream.url("/redirect")}),
    )
    .await;
    assert_eq!(
        (
            used.json()["status"].as_u64(),
            used.json()["headers"]["location"].as_str()
        ),
        (Some(302), Some("/elsewhere"))
    );
    assert_eq!(upstream.take().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_said_so_and_recorded() {
    let tenant = Tenant::new().await;
    let gone = Upstream::start().await.unwrap();
    let url = gone.url("/");
    put_policy(&tenant, json!({"destinations": [{"url": url}]})).await;
    drop(gone);
    let mut refused = use_at(&tenant, json!({"method": "GET", "url": url})).await;
    // The listener may take a moment to close: then the answer is proper, and asked for again.
    for _ in 0..100 {
        if refused.status == 502 {
            break;
        }
        tokio::task::yield_now().await;
        refused = use_at(&tenant, json!({"method": "GET", "url": url})).await;
    }
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (502, "upstream_unreachable"),
        "{}",
        refused.json()
    );
    let audit = tenant.call("GET", "/audit", None).await.json();
    let last = audit["records"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["outcome"]["code"], "upstream_unreachable", "{last}");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_a_504() {
    let tenant = Tenant::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    put_policy(&tenant, json!({"destinations": [{"url": url}]})).await;
    let body = json!({"request": {"method": "GET", "url": url}, "timeout_ms": 300});
    let refused = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (504, "upstream_timeout"),
        "{}",
        refused.json()
    );
}

#[tokio::test]
async fn the_pass_through_takes_the_token_wherever_a_key_would_go_and_changes_nothing_else() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    put_policy(
        &tenant,
        json!({"destinations": [{"url": upstream.url("/v1/")}, {"url": upstream.url("/v2/")}]}),
    )
    .await;
    let bearer = format!("Bearer {}", tenant.token);
    let basic = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{}:", tenant.token))
    );
    for headers in [
        ("authorization", bearer.as_str()),
        ("authorization", &basic),
        ("x-api-key", &tenant.token),
    ] {
        let answer = via(
            &tenant,
            "POST",
            "/charges/a%2Fb?x=%20y",
            &[headers, ("x-mine", "kept")],
            b"amount=1",
        )
        .await;
        // A path with an encoded slash could be read in two ways, and is refused.
        assert_eq!(
            (answer.status.as_u16(), code(&answer)),
            (400, "invalid_request")
        );
        let answer = via(
            &tenant,
            "POST",
            "/charges?x=%20y",
            &[headers, ("x-mine", "kept")],
            b"amount=1",
        )
        .await;
        assert_eq!(
            (answer.status.as_u16(), code(&answer)),
            (200, ""),
            "{}",
            answer.json()
        );
        assert_eq!(&answer.body[..], br#"{"thanks":"for the call"}"#);
        assert!(!answer.header("byok-receipt").is_empty());
        let seen = upstream.take();
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (seen[0].uri.path(), seen[0].uri.query()),
            ("/v1/charges", Some("x=%20y"))
        );
        assert_eq!(
            (seen[0].header("authorization"), seen[0].header("x-mine")),
            (format!("Bearer {SECRET}").as_str(), "kept")
        );
        assert_eq!(seen[0].header("host"), upstream.address.to_string());
        assert!(!format!("{:?}", seen[0]).contains(&tenant.token));
        assert_eq!(&seen[0].body[..], b"amount=1");
    }
    for path in ["", "/"] {
        let answer = via(&tenant, "GET", path, &[("authorization", &bearer)], b"").await;
        assert_eq!(answer.status, 200, "{path:?}: {}", answer.json());
        assert_eq!(upstream.take()[0].uri.path(), "/v1/");
    }
    let inside = via(
        &tenant,
        "GET",
        "//evil.example/",
        &[("authorization", &bearer)],
        b"",
    )
    .await;
    assert_eq!(
        (inside.status.as_u16(), upstream.take()[0].uri.path()),
        (200, "/v1//evil.example/")
    );
    for path in ["/../v2/x", "/%2e%2e/v2/x", "/..%2fv2"] {
        let answer = via(&tenant, "GET", path, &[("authorization", &bearer)], b"").await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 403),
            "{path}: {}",
            answer.status
        );
        let seen = upstream.take();
        assert!(seen.is_empty(), "{path} reached {:?}", seen[0].uri);
    }
}

#[tokio::test]
async fn the_brokers_own_refusals_on_the_pass_through_are_told_apart_by_a_header() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    put_policy(&tenant, json!({})).await;
    let bearer = format!("Bearer {}", tenant.token);
    let denied = via(&tenant, "GET", "/x", &[("authorization", &bearer)], b"").await;
    assert_eq!(
        (denied.status.as_u16(), code(&denied)),
        (403, "destination_denied"),
        "no destination, so no use"
    );
    assert!(denied.header("byok-receipt").is_empty() && upstream.take().is_empty());
}

#[tokio::test]
async fn an_expired_secret_is_gone_for_uses_and_its_expiry_cannot_be_edited_away() {
    let (world, moved) = World::with_moved_clock().await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let end = (OffsetDateTime::now_utc() + Duration::hours(1))
        .format(&Rfc3339)
        .unwrap();
    let body = json!({"value": SECRET, "policy": {"destinations": [{"url": upstream.url("/")}]}, "expires_at": end});
    assert_eq!(
        tenant
            .call("PUT", "/secrets/thing", Some(body))
            .await
            .status,
        201
    );
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    moved.store(3601, Ordering::SeqCst);
    let _ = upstream.take();
    let refused = tenant.use_once("thing", &upstream).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (410, "secret_expired")
    );
    // The policy without its expiry is another policy: the customer's KMS does not open for it.
    let key = json!({"pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": "S#thing"}});
    let mut item = world
        .table("GetItem", json!({"TableName": "broker", "Key": key}))
        .await["Item"]
        .clone();
    let policy = item["policy"]["S"].as_str().unwrap();
    let mut edited: Value = serde_json::from_str(policy).unwrap();
    assert!(
        edited
            .as_object_mut()
            .unwrap()
            .remove("expires_at")
            .is_some(),
        "{policy}"
    );
    item["policy"] = json!({"S": edited.to_string()});
    world
        .table("PutItem", json!({"TableName": "broker", "Item": item}))
        .await;
    let refused = tenant.use_once("thing", &upstream).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (500, "integrity_failure"),
        "{}",
        refused.json()
    );
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn an_earlier_version_must_satisfy_its_own_policy_and_the_heads() {
    let tenant = Tenant::new().await;
    let (old, new) = (
        Upstream::start().await.unwrap(),
        Upstream::start().await.unwrap(),
    );
    put_policy(&tenant, json!({"destinations": [{"url": old.url("/")}]})).await;
    put_policy(&tenant, json!({"destinations": [{"url": new.url("/")}]})).await;
    for upstream in [&old, &new] {
        let body = json!({"request": {"method": "GET", "url": upstream.url("/")}, "version": 1});
        let refused = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (403, "destination_denied")
        );
        assert!(upstream.take().is_empty());
    }
}

#[tokio::test]
async fn a_dry_run_answers_what_would_be_sent_and_neither_kms_nor_the_upstream_hears_of_it() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let policy = json!({
        "destinations": [{"url": upstream.url("/v1/"), "headers": ["x-mine", "content-type"]}],
        "inject": [
            {"header": "authorization", "format": "Token {secret}", "field": "/token"},
            {"query": "key", "field": "/key"},
            {"json_pointer": "/auth", "field": "/token"},
        ],
    });
    let value = json!({"token": SECRET, "key": "another-key-of-it"});
    let put = json!({"value_json": value, "policy": policy});
    let put = tenant.call("PUT", "/secrets/thing", Some(put)).await;
    assert_eq!(put.status, 201, "{}", put.json());
    let asked = tenant.world.events(&tenant.workspace).len();
    let recorded = tenant.call("GET", "/audit", None).await.json()["records"].clone();
    let body = json!({
        "dry_run": true,
        "request": {
            "method": "POST", "url": upstream.url("/v1/x?a=1"),
            "headers": {"x-mine": "kept", "x-other": "dropped", "content-type": "application/json"},
            "body": "{\"auth\": \"\", \"b\": 1}",
        },
    });
    let shown = tenant
        .call("POST", "/secrets/thing/use", Some(body.clone()))
        .await;
    assert_eq!(shown.status, 200, "{}", shown.json());
    assert_eq!(shown.header("byok-receipt"), "");
    let mask = "[byok:secret]";
    assert_eq!(
        shown.json(),
        json!({"dryRun": true, "version": 1, "request": {
            "method": "POST",
            "url": format!("{}&key={mask}", upstream.url("/v1/x?a=1")),
            "headers": {
                "host": upstream.address.to_string(), "x-mine": "kept", "content-type": "application/json",
                "accept-encoding": "identity", "authorization": format!("Token {mask}"), "content-length": "33",
            },
            "body": format!("{{\"auth\": \"{mask}\", \"b\": 1}}"),
        }})
    );
    for (change, status, expected) in [
        (
            json!({"url": upstream.url("/v2/")}),
            403,
            "destination_denied",
        ),
        (json!({"url": "nonsense"}), 400, "invalid_request"),
        (
            json!({"url": upstream.url("/v1/x?key=1")}),
            400,
            "invalid_request",
        ),
        (json!({"body": "no JSON"}), 400, "invalid_request"),
    ] {
        let mut wrong = body.clone();
        for (name, value) in change.as_object().unwrap() {
            wrong["request"][name] = value.clone();
        }
        let mut real = wrong.clone();
        real.as_object_mut().unwrap().remove("dry_run");
        let refused = tenant.call("POST", "/secrets/thing/use", Some(wrong)).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (status, expected),
            "{change}"
        );
        let real = tenant.call("POST", "/secrets/thing/use", Some(real)).await;
        assert_eq!(real.json(), refused.json(), "the same as of a real use");
    }
    let wrong = json!({"dry_run": 1, "request": {"method": "GET", "url": upstream.url("/v1/x")}});
    let refused = tenant.call("POST", "/secrets/thing/use", Some(wrong)).await;
    assert_eq!(refused.json()["field"], "dry_run");
    assert!(upstream.take().is_empty(), "the upstream hears of nothing");
    // Two of the refusals above come of the slots, which a real use fills after its unwrap.
    let events = tenant.world.events(&tenant.workspace);
    assert_eq!(events.len(), asked + 2, "KMS is asked by real uses alone");
    let records = tenant.call("GET", "/audit", None).await.json()["records"].clone();
    let before = recorded.as_array().unwrap().len();
    assert_eq!(records.as_array().unwrap().len(), before + 2);
}

#[tokio::test]
async fn an_endpoint_that_gives_out_credentials_is_refused_in_words_of_its_own() {
    let tenant = Tenant::new().await;
    let url = "https://sts.amazonaws.com/";
    put_policy(&tenant, json!({"destinations": [{"url": url}]})).await;
    for (body, dry_run) in [("Action=AssumeRole", false), ("", true)] {
        let body =
            json!({"request": {"method": "POST", "url": url, "body": body}, "dry_run": dry_run});
        let refused = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (403, "minting_endpoint_denied"),
            "{}",
            refused.json()
        );
    }
    let bearer = format!("Bearer {}", tenant.token);
    let refused = via(&tenant, "POST", "/", &[("authorization", &bearer)], b"").await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (403, "minting_endpoint_denied")
    );
    put_policy(
        &tenant,
        json!({"destinations": [{"url": url, "mint": true}]}),
    )
    .await;
    let body = json!({"request": {"method": "POST", "url": url}, "dry_run": true});
    let shown = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
    assert_eq!(shown.status, 200, "{}", shown.json());
}

#[tokio::test]
async fn a_destination_passes_only_the_headers_that_it_names() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let destination =
        |headers: Value| json!({"destinations": [{"url": upstream.url("/"), "headers": headers}]});
    put_policy(&tenant, destination(json!(["x-one", "x-both"]))).await;
    put_policy(&tenant, destination(json!(["x-both", "x-two"]))).await;
    for (version, expected) in [(1, vec!["x-both"]), (2, vec!["x-both", "x-two"])] {
        let headers = json!({"x-one": "1", "x-both": "1", "x-two": "1", "x-three": "1"});
        let request = json!({"method": "GET", "url": upstream.url("/"), "headers": headers});
        let body = json!({"request": request, "version": version});
        let used = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(used.status, 200, "{}", used.json());
        let seen = upstream.take().remove(0);
        let mut passed: Vec<_> = seen
            .headers
            .keys()
            .map(|name| name.as_str())
            .filter(|name| name.starts_with("x-"))
            .collect();
        passed.sort_unstable();
        assert_eq!(
            passed, expected,
            "an earlier version satisfies both policies"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_use_is_said_by_field() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", SECRET, &upstream).await;
    let url = upstream.url("/");
    for (body, field) in [
        (json!({}), "request"),
        (json!({"request": 7}), "request"),
        (json!({"request": {"url": url}}), "request.method"),
        (json!({"request": {"method": "GET"}}), "request.url"),
        (
            json!({"request": {"method": "G T", "url": url}}),
            "request.method",
        ),
        (
            json!({"request": {"method": "TRACE", "url": url}}),
            "request.method",
        ),
        (
            json!({"request": {"method": "GET", "url": url, "headers": {"a b": "c"}}}),
            "request.headers",
        ),
        (
            json!({"request": {"method": "GET", "url": url, "headers": {"a": "b\r\nc: d"}}}),
            "request.headers.a",
        ),
        (
            json!({"request": {"method": "GET", "url": url, "body": "a", "body_base64": "YQ=="}}),
            "request.body",
        ),
        (
            json!({"request": {"method": "GET", "url": url, "body_base64": "?"}}),
            "request.body_base64",
        ),
        (
            json!({"request": {"method": "GET", "url": url, "what": 1}}),
            "request.what",
        ),
        (
            json!({"request": {"method": "GET", "url": url}, "version": 0}),
            "version",
        ),
        (
            json!({"request": {"method": "GET", "url": url}, "timeout_ms": 1}),
            "timeout_ms",
        ),
    ] {
        let refused = tenant
            .call("POST", "/secrets/thing/use", Some(body.clone()))
            .await;
        // A method that no policy can allow is refused either as a method or by the policy.
        if body["request"]["method"] == "TRACE" {
            assert!(matches!(refused.status.as_u16(), 400 | 403));
            continue;
        }
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (400, Some(field)),
            "{body}: {}",
            refused.json()
        );
    }
    assert!(upstream.take().is_empty());
}
