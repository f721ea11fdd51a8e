//! The one route that tells a secret: who may ask it, when it tells, and what it leaves.

use crate::{
    wire::ended,
    world::{Tenant, code, deny},
};
use local::client::Answer;
use serde_json::{Value, json};

const SECRET: &str = "the-secret-that-may-be-told";

async fn put(tenant: &Tenant<'_>, body: Value) {
    let put = tenant.call("PUT", "/secrets/thing", Some(body)).await;
    assert_eq!(put.status, 201, "{}", put.json());
}

async fn revealer(tenant: &Tenant<'_>) -> String {
    tenant
        .make_token(json!({"permissions": ["reveal_secrets"]}))
        .await
}

async fn reveal(tenant: &Tenant<'_>, token: &str, body: Option<Value>) -> Answer {
    tenant
        .call_as(token, "POST", "/secrets/thing/reveal", body)
        .await
}

#[tokio::test]
async fn a_value_is_told_in_the_form_that_it_was_put_in() {
    let tenant = Tenant::new().await;
    let token = revealer(&tenant).await;
    for (field, value) in [
        ("value", json!(SECRET)),
        ("value_base64", json!("AP+AAQI=")),
        ("value_json", json!({"user": "me", "keys": [1, 2.50, null]})),
    ] {
        put(&tenant, json!({field: value, "policy": {"reveal": true}})).await;
        let told = reveal(&tenant, &token, None).await;
        assert_eq!(told.status, 200, "{}", told.json());
        assert_eq!(told.header("cache-control"), "no-store");
        let body = told.json();
        assert_eq!(body[field], value, "{body}");
        let forms = ["value", "value_base64", "value_json"];
        assert_eq!(forms.iter().filter(|it| !body[**it].is_null()).count(), 1);
        assert_eq!(body["receipt"]["id"], told.header("byok-receipt"));
        let record = ended(&tenant, "reveal").await;
        assert_eq!(record["id"], told.header("byok-receipt"), "{record}");
        assert_eq!(record["outcome"]["code"], "ok", "{record}");
        assert_eq!(
            record["outcome"]["kmsRequestId"], body["receipt"]["kmsRequestId"],
            "{record}"
        );
        assert!(record["destination"].is_null(), "{record}");
    }
}

#[tokio::test]
async fn it_takes_both_the_tokens_permission_and_the_policys_word() {
    let tenant = Tenant::new().await;
    let token = revealer(&tenant).await;
    let user = tenant
        .make_token(json!({"permissions": ["use_secrets", "read", "write_secrets"]}))
        .await;
    put(
        &tenant,
        json!({"value": SECRET, "policy": {"reveal": true}}),
    )
    .await;
    let refused = reveal(&tenant, &user, None).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (404, "not_found")
    );

    // The earlier version may be told by its own policy, but not by the current one.
    put(
        &tenant,
        json!({"value": SECRET, "policy": {"reveal": false}}),
    )
    .await;
    let asked = tenant.world.events(&tenant.workspace).len();
    for body in [
        None,
        Some(json!({"version": 1})),
        Some(json!({"version": 2})),
    ] {
        let refused = reveal(&tenant, &token, body).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (403, "destination_denied")
        );
        assert!(!refused.json().to_string().contains(SECRET));
        assert_eq!(refused.header("byok-receipt"), "");
    }
    assert_eq!(tenant.world.events(&tenant.workspace).len(), asked, "KMS");
    put(
        &tenant,
        json!({"value": SECRET, "policy": {"reveal": true}}),
    )
    .await;
    for (version, status) in [(1, 200), (2, 403), (3, 200), (4, 404)] {
        let answer = reveal(&tenant, &token, Some(json!({"version": version}))).await;
        assert_eq!(answer.status, status, "{version}: {}", answer.json());
    }
    for body in [json!({"what": 1}), json!({"version": 0}), json!([])] {
        let refused = reveal(&tenant, &token, Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (400, "invalid_request")
        );
    }
}

#[tokio::test]
async fn a_reveal_is_cut_as_a_use_is_and_the_attempt_is_recorded() {
    let tenant = Tenant::new().await;
    let token = revealer(&tenant).await;
    put(
        &tenant,
        json!({"value": SECRET, "policy": {"reveal": true}}),
    )
    .await;
    tenant.paste(&tenant.key_policy(&[deny()]));
    let refused = reveal(&tenant, &token, None).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (424, "key_access_denied")
    );
    let record = ended(&tenant, "reveal").await;
    assert_eq!(record["outcome"]["code"], "key_access_denied", "{record}");
}
