//! A thief who can write any item of the table, and can call no KMS of the deployment's:
//! every way to give themselves authority fails. The tests are named after the tries.
//!
//! The thief has an AWS account of their own, with a key that the broker may use for
//! every workspace, and knows every name, ARN and record. What they can do is put back a
//! whole record that was once valid in its place.

use crate::world::{Tenant, World, code, put_body};
use local::{
    Upstream,
    cast::{BROKER_ROLE, Role},
    client::Answer,
};
use serde_json::{Value, json};

const FORGED: (u16, &str) = (500, "integrity_failure");

fn got(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
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

async fn delete(tenant: &Tenant<'_>, sk: &str) {
    let key = json!({"pk": {"S": format!("W#{}", tenant.workspace)}, "sk": {"S": sk}});
    let input = json!({"TableName": "broker", "Key": key});
    tenant.world.table("DeleteItem", input).await;
}

fn token_sk(token: &str) -> String {
    format!("T#{}", api::Token::parse(token).unwrap().id())
}

/// A record's text, changed.
fn edited(item: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut item = item.clone();
    let mut body: Value = serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap();
    change(&mut body);
    item["body"]["S"] = json!(body.to_string());
    item
}

/// A key of the thief's own, which lets the broker do everything for everyone.
fn thiefs_key(world: &World) -> String {
    let thief = world.stack.customer(Role::OtherCustomer);
    let key = thief.create_key().unwrap();
    let account = key.split(':').nth(4).unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:*", "Resource": "*"},
    ]});
    let input = json!({"KeyId": key, "PolicyName": "default", "Policy": policy.to_string()});
    thief.call("PutKeyPolicy", input).unwrap();
    key
}

/// Every route, as a caller with every permission would try it.
async fn tries(tenant: &Tenant<'_>, token: &str, upstream: &Upstream) -> Vec<(String, Answer)> {
    let put = put_body("a-value-to-be-sealed", upstream);
    let use_it = json!({"request": {"method": "GET", "url": upstream.url("/v1/thing")}});
    let calls = [
        ("GET", "/key", None),
        ("GET", "/key/policy", None),
        ("PUT", "/key", Some(json!({"key": tenant.key}))),
        ("POST", "/key/checks", None),
        ("PUT", "/secrets/thing", Some(put.clone())),
        ("PUT", "/secrets/new", Some(put)),
        ("GET", "/secrets", None),
        ("GET", "/secrets/thing", None),
        ("GET", "/secrets/thing/versions", None),
        ("POST", "/secrets/thing/use", Some(use_it)),
        ("GET", "/via/thing/v1/thing", None),
        ("PUT", "/secrets/thing/policy", Some(json!({"policy": {}}))),
        ("POST", "/secrets/thing/versions/1:promote", None),
        ("POST", "/secrets/thing/versions/1:revoke", None),
        ("POST", "/rewraps", None),
        ("GET", "/rewraps", None),
        ("POST", "/tokens", Some(json!({"permissions": ["read"]}))),
        ("GET", "/tokens", None),
        ("GET", "/audit", None),
        ("DELETE", "/secrets/thing", None),
    ];
    let mut answers = Vec::new();
    for (method, path, body) in calls {
        let answer = tenant.call_as(token, method, path, body).await;
        answers.push((format!("{method} {path}"), answer));
    }
    answers
}

/// Nothing may come of any call: every answer is the same, no secret left, nothing changed.
async fn nothing_comes_of(tenant: &Tenant<'_>, token: &str, upstream: &Upstream, what: &str) {
    let before = item(tenant, "S#thing").await;
    for (call, answer) in tries(tenant, token, upstream).await {
        assert_eq!(got(&answer), FORGED, "{what}: {call}: {}", answer.json());
        assert_eq!(
            answer.json().as_object().unwrap().len(),
            4,
            "{what}: {call} tells more: {}",
            answer.json()
        );
    }
    assert!(upstream.take().is_empty(), "{what}: a secret left");
    assert_eq!(item(tenant, "S#thing").await, before, "{what}");
    assert!(item(tenant, "S#new").await.is_null(), "{what}");
}

async fn victim(world: &World) -> (Tenant<'_>, Upstream) {
    let tenant = Tenant::of(world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant
        .put("thing", "a-value-that-is-theirs", &upstream)
        .await;
    tenant
        .put("thing", "a-value-that-is-theirs", &upstream)
        .await;
    (tenant, upstream)
}

#[tokio::test]
async fn pointing_the_binding_at_a_key_of_their_own() {
    let (tenant, upstream) = victim(World::shared()).await;
    let key = thiefs_key(tenant.world);
    let real = item(&tenant, "KEY").await;
    let with = |change: &dyn Fn(&mut Value)| edited(&real, |body| change(body));
    for (forged, what) in [
        (
            with(&|body| body["current"] = json!(key)),
            "as the current key",
        ),
        (
            with(&|body| {
                body["former"] = json!([body["current"].clone()]);
                body["current"] = json!(key);
            }),
            "as the current key, the real one as a former one",
        ),
        (
            with(&|body| body["former"] = json!([key])),
            "as a former key",
        ),
        (
            with(&|body| body["current"] = Value::Null),
            "with no key at all",
        ),
    ] {
        write(tenant.world, &forged).await;
        nothing_comes_of(&tenant, &tenant.token, &upstream, what).await;
    }
    write(tenant.world, &real).await;
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    // What was asked of their key beside the check of the MAC came to nothing.
    drop(upstream.take());
}

#[tokio::test]
async fn copying_the_binding_of_a_workspace_of_their_own() {
    let (tenant, upstream) = victim(World::shared()).await;
    let own = Tenant::new().await;
    let real = item(&tenant, "KEY").await;
    let mut copied = item(&own, "KEY").await;
    copied["pk"] = real["pk"].clone();
    write(tenant.world, &copied).await;
    nothing_comes_of(&tenant, &tenant.token, &upstream, "as it is").await;
    let renamed = edited(&copied, |body| {
        body["workspace"] = json!(tenant.workspace.as_str())
    });
    write(tenant.world, &renamed).await;
    nothing_comes_of(&tenant, &tenant.token, &upstream, "with the name changed").await;
}

#[tokio::test]
async fn taking_the_binding_away() {
    let (tenant, upstream) = victim(World::shared()).await;
    delete(&tenant, "KEY").await;
    for (call, answer) in tries(&tenant, &tenant.token, &upstream).await {
        // What asks nothing of a key needs no binding.
        let allowed = [
            "/key/policy",
            "/secrets",
            "/tokens",
            "/audit",
            "/versions",
            "DELETE",
        ];
        let may = allowed
            .iter()
            .any(|part| call.ends_with(part) || call.starts_with(part))
            || call.contains(":revoke")
            || call.starts_with("GET /rewraps");
        assert!(
            got(&answer) == FORGED || (may && answer.status.as_u16() < 500),
            "{call}: {}",
            answer.json()
        );
    }
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn inventing_a_token() {
    let (tenant, upstream) = victim(World::shared()).await;
    let real = item(&tenant, &token_sk(&tenant.token)).await;
    let invented = format!("byok_{}_{}", tenant.workspace, "A".repeat(43));
    let sk = token_sk(&invented);
    let id = sk.trim_start_matches("T#").to_owned();
    let mut forged = edited(&real, |body| body["id"] = json!(id));
    forged["sk"] = json!({"S": sk});
    for (mac, what) in [
        (real["mac"].clone(), "with the MAC of a real one"),
        (
            item(&tenant, "KEY").await["mac"].clone(),
            "with the MAC of the binding",
        ),
        (
            json!({"B": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
            "with zeros for a MAC",
        ),
        (json!({"B": ""}), "with an empty MAC"),
        (json!({"S": "a text"}), "with a text for a MAC"),
        (Value::Null, "without a MAC"),
    ] {
        let mut forged = forged.clone();
        match mac {
            Value::Null => drop(forged.as_object_mut().unwrap().remove("mac")),
            mac => forged["mac"] = mac,
        }
        write(tenant.world, &forged).await;
        nothing_comes_of(&tenant, &invented, &upstream, what).await;
    }
    // It is shown for what it is, and can be taken away.
    let listed = tenant.call("GET", "/tokens", None).await.json();
    let shown = listed["tokens"].as_array().unwrap();
    let authentic = |wanted: &str| {
        let found = shown.iter().find(|token| token["id"] == wanted);
        found.unwrap()["authentic"].clone()
    };
    assert_eq!(authentic(&id), false);
    assert_eq!(
        authentic(token_sk(&tenant.token).trim_start_matches("T#")),
        true
    );
    let revoked = tenant.call("DELETE", &format!("/tokens/{id}"), None).await;
    assert_eq!(revoked.status, 204);
}

#[tokio::test]
async fn giving_a_token_more_than_it_has() {
    let (tenant, upstream) = victim(World::shared()).await;
    let body = json!({"permissions": ["read"], "secrets": ["other"], "expires_at": "2099-01-01T00:00:00Z"});
    let token = tenant.make_token(body).await;
    let real = item(&tenant, &token_sk(&token)).await;
    let all = tenant.call("GET", "/tokens", None).await.json()["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["createdBy"].is_null())
        .unwrap()["permissions"]
        .clone();
    let forged = edited(&real, |body| {
        body["permissions"] = all;
        body["secrets"] = Value::Null;
    });
    write(tenant.world, &forged).await;
    nothing_comes_of(&tenant, &token, &upstream, "every permission").await;
}

#[tokio::test]
async fn letting_a_token_live_longer() {
    let (world, ahead) = World::with_moved_clock().await;
    let (tenant, upstream) = victim(&world).await;
    let end = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    let end = end
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let all = tenant.call("GET", "/tokens", None).await.json()["tokens"][0]["permissions"].clone();
    let token = tenant
        .make_token(json!({"permissions": all, "expires_at": end}))
        .await;
    let real = item(&tenant, &token_sk(&token)).await;
    ahead.store(7200, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        tenant.call_as(&token, "GET", "/key", None).await.status,
        401
    );
    let longer = |change: &dyn Fn(&mut Value)| {
        let mut forged = edited(&real, |body| change(body));
        forged.as_object_mut().unwrap().remove("ttl");
        forged
    };
    let forged = longer(&|body| body["expires_at"] = Value::Null);
    write(&world, &forged).await;
    nothing_comes_of(&tenant, &token, &upstream, "for ever").await;
}

#[tokio::test]
async fn moving_a_token_of_their_own_workspace_into_another() {
    let (tenant, upstream) = victim(World::shared()).await;
    let own = Tenant::new().await;
    let mine = item(&own, &token_sk(&own.token)).await;
    // The token that names the victim's workspace, under the record of one that names theirs.
    let (_, random) = own.token.split_at(own.token.len() - 43);
    let token = format!("byok_{}_{random}", tenant.workspace);
    let sk = token_sk(&token);
    let mut forged = edited(&mine, |body| {
        body["workspace"] = json!(tenant.workspace.as_str());
        body["id"] = json!(sk.trim_start_matches("T#"));
    });
    forged["pk"] = json!({"S": format!("W#{}", tenant.workspace)});
    forged["sk"] = json!({"S": sk});
    write(tenant.world, &forged).await;
    nothing_comes_of(&tenant, &token, &upstream, "renamed").await;
}

#[tokio::test]
async fn editing_any_attribute_of_a_record_that_gives_authority() {
    let (tenant, upstream) = victim(World::shared()).await;
    for sk in ["KEY".to_owned(), token_sk(&tenant.token)] {
        let real = item(&tenant, &sk).await;
        let names: Vec<String> = real.as_object().unwrap().keys().cloned().collect();
        for name in names
            .iter()
            .filter(|name| !["pk", "sk"].contains(&name.as_str()))
        {
            let others = [
                None,
                Some(json!({"S": ""})),
                Some(json!({"S": "{}"})),
                Some(json!({"N": "7"})),
                Some(json!({"BOOL": true})),
                Some(json!({"NULL": true})),
                Some(json!({"B": "AAAA"})),
            ];
            for other in others {
                let mut forged = real.clone();
                match other.clone() {
                    None => drop(forged.as_object_mut().unwrap().remove(name)),
                    Some(value) => forged[name] = value,
                }
                write(tenant.world, &forged).await;
                let what = format!("{sk} {name}: {other:?}");
                let used = tenant.use_once("thing", &upstream).await;
                assert_eq!(got(&used), FORGED, "{what}");
                let value = put_body("a-value-to-be-sealed", &upstream);
                let put = tenant.call("PUT", "/secrets/new", Some(value)).await;
                assert_eq!(got(&put), FORGED, "{what}");
            }
        }
        // Each character of the text itself.
        let text = real["body"]["S"].as_str().unwrap();
        for at in (0..text.len()).step_by(7) {
            let mut forged = real.clone();
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            forged["body"]["S"] = json!(text);
            write(tenant.world, &forged).await;
            let used = tenant.use_once("thing", &upstream).await;
            assert_eq!(got(&used), FORGED, "{sk} at {at}");
        }
        write(tenant.world, &real).await;
        assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
        drop(upstream.take());
    }
    assert!(item(&tenant, "S#new").await.is_null());
}

#[tokio::test]
async fn a_check_that_cannot_be_asked_is_no_pass_and_no_forgery() {
    use local_kms::{Fault, FaultKind};
    let world = World::own(|config| config).await;
    let (tenant, upstream) = victim(&world).await;
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    drop(upstream.take());
    // A token that no function has seen yet.
    let fresh = tenant
        .make_token(json!({"permissions": ["use_secrets", "write_secrets", "read"]}))
        .await;
    world
        .stack
        .kms
        .inject(Fault::always("VerifyMac", FaultKind::Throttle));
    let body = json!({"request": {"method": "GET", "url": upstream.url("/v1/thing")}});
    let used = tenant
        .call_as(&fresh, "POST", "/secrets/thing/use", Some(body))
        .await;
    assert_eq!(got(&used), (429, "kms_throttled"), "{}", used.json());
    let put = tenant
        .call_as(
            &fresh,
            "PUT",
            "/secrets/new",
            Some(put_body("another-value", &upstream)),
        )
        .await;
    assert_eq!(got(&put), (429, "kms_throttled"), "{}", put.json());
    assert!(upstream.take().is_empty() && item(&tenant, "S#new").await.is_null());
    // What was verified before stays so: the bytes are the same.
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
}

#[tokio::test]
async fn widening_the_policy_of_the_current_version_for_the_use_of_an_earlier_one() {
    let tenant = Tenant::new().await;
    let (narrow, wide) = (
        Upstream::start().await.unwrap(),
        Upstream::start().await.unwrap(),
    );
    let both = json!({"value": "the-first-value", "policy": {"destinations": [{"url": narrow.url("/")}, {"url": wide.url("/")}]}});
    let put = tenant.call("PUT", "/secrets/thing", Some(both)).await;
    assert_eq!(put.status, 201);
    tenant.put("thing", "the-second-value", &narrow).await;
    let first = |upstream: &Upstream| {
        let body =
            json!({"version": 1, "request": {"method": "GET", "url": upstream.url("/v1/thing")}});
        tenant.call("POST", "/secrets/thing/use", Some(body))
    };
    assert_eq!(first(&narrow).await.status, 200);
    assert_eq!(got(&first(&wide).await), (403, "destination_denied"));
    let mut head = item(&tenant, "S#thing").await;
    head["policy"] = item(&tenant, "V#thing#0000001").await["policy"].clone();
    write(tenant.world, &head).await;
    assert_eq!(got(&first(&wide).await), FORGED);
    assert!(wide.take().is_empty());
}

#[tokio::test]
async fn making_up_what_a_repeated_request_is_answered() {
    let (tenant, upstream) = victim(World::shared()).await;
    let repeated = |method: &'static str, path: &'static str, key: &'static str| {
        let request = http::Request::builder()
            .method(method)
            .uri(tenant.path(path))
            .header("authorization", format!("Bearer {}", tenant.token))
            .header("idempotency-key", key)
            .body(http_body_util::Full::new(bytes::Bytes::new()));
        tenant.world.send(request.unwrap())
    };
    let promoted = repeated("POST", "/secrets/thing/versions/1:promote", "one").await;
    assert_eq!(promoted.status, 200, "{}", promoted.json());
    let again = repeated("POST", "/secrets/thing/versions/1:promote", "one").await;
    assert_eq!(again.body, promoted.body);
    let id = |key: &str| {
        let token = api::Token::parse(&tenant.token).unwrap().id();
        format!("I#{}", store::IdempotencyId::of(&token, key).as_str())
    };
    let real = item(&tenant, &id("one")).await;
    let mut copied = real.clone();
    copied["sk"] = json!({"S": id("two")});
    let changed = |name: &str, value: Value| {
        let mut item = real.clone();
        item[name] = value;
        item
    };
    for (forged, key) in [
        (copied, "two"),
        (
            changed("answer", json!({"S": "{\"state\":\"done\"}"})),
            "one",
        ),
        (changed("status", json!({"N": "204"})), "one"),
        (changed("ttl", json!({"N": "253402300799"})), "one"),
        (changed("etag", json!({"S": "\"7\""})), "one"),
    ] {
        write(tenant.world, &forged).await;
        let answer = repeated("POST", "/secrets/thing/versions/1:promote", key).await;
        assert_eq!(got(&answer), FORGED, "{forged}: {}", answer.json());
    }
    drop(upstream);
}
