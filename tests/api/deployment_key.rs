//! Start on ours, bring yours later: a deployment with a KEK of its own seals for
//! workspaces that have bound none, says so, and everything can be moved away.

use crate::world::{Tenant, World, code, until};
use local::{Stack, StackConfig, Upstream, cast::Role};
use serde_json::{Value, json};

async fn world() -> World {
    World::own(|config| StackConfig {
        deployment_key: true,
        ..config
    })
    .await
}

fn own(stack: &Stack) -> String {
    stack.keys.deployment.as_ref().unwrap().to_string()
}

async fn shown(tenant: &Tenant<'_>) -> Value {
    tenant.call("GET", "/key", None).await.json()
}

#[tokio::test]
async fn a_workspace_without_a_key_is_sealed_under_the_deployments_and_says_so() {
    let world = world().await;
    let tenant = Tenant::unbound(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let put = tenant.put("thing", "a-value-of-theirs", &upstream).await;
    assert_eq!(put.json()["wrappedBy"], own(&world.stack));
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    assert_eq!(shown(&tenant).await["key"], Value::Null);
    assert_eq!(
        shown(&tenant).await["usage"]["keys"][0]["key"],
        own(&world.stack)
    );
}

#[tokio::test]
async fn binding_a_key_and_a_rewrap_move_everything_away_from_the_deployments() {
    let world = world().await;
    let tenant = Tenant::unbound(&world).await;
    let upstream = Upstream::start().await.unwrap();
    for value in ["the-first-value", "the-second-value"] {
        tenant.put("thing", value, &upstream).await;
    }
    tenant.grant();
    let bound = tenant
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(bound.status, 200, "{}", bound.json());
    // What was put before still opens, and what is put now is under the new key.
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    let put = tenant.put("later", "a-later-value", &upstream).await;
    assert_eq!(put.json()["wrappedBy"], tenant.key);
    let former = shown(&tenant).await["usage"]["former"][0].clone();
    assert_eq!(former["key"], own(&world.stack));
    assert_eq!(
        (&former["versions"], &former["safe_to_disable"]),
        (&json!(2), &json!(false))
    );

    let started = tenant.call("POST", "/rewraps", None).await;
    assert_eq!(started.status, 202, "{}", started.json());
    let job = format!("/rewraps/{}", started.json()["id"].as_str().unwrap());
    until("the re-wrap is done", async || {
        tenant.call("GET", &job, None).await.json()["state"] == "done"
    })
    .await;
    let former = shown(&tenant).await["usage"]["former"][0].clone();
    assert_eq!(
        (&former["versions"], &former["safe_to_disable"]),
        (&json!(0), &json!(true))
    );
    let disable = json!({"KeyId": own(&world.stack)});
    let operator = Role::Operator.access_key_id();
    let region = local::cast::REGION;
    world
        .stack
        .kms
        .call(operator, region, "DisableKey", disable)
        .unwrap();
    for body in [json!({}), json!({"version": 1})] {
        let mut body = body;
        body["request"] = json!({"method": "GET", "url": upstream.url("/v1/thing")});
        let used = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(used.status, 200, "{}", used.json());
    }
}

#[tokio::test]
async fn a_bound_workspace_does_not_fall_back_to_the_deployments_key() {
    let world = world().await;
    let tenant = Tenant::of(&world).await;
    tenant.customer.revoke_all(&tenant.key).unwrap();
    let value = json!({"value": "a-value-of-theirs", "policy": {}});
    let put = tenant.call("PUT", "/secrets/thing", Some(value)).await;
    assert_eq!(
        (put.status.as_u16(), code(&put)),
        (424, "key_access_denied")
    );
}

#[tokio::test]
async fn without_the_setting_a_put_before_a_key_is_bound_is_refused() {
    let tenant = Tenant::unbound(World::shared()).await;
    let value = json!({"value": "a-value-of-theirs", "policy": {}});
    let put = tenant.call("PUT", "/secrets/thing", Some(value)).await;
    assert_eq!((put.status.as_u16(), code(&put)), (409, "no_workspace_key"));
}
