//! The roles' rights are template.yaml's, and each of them is needed: the local KMS
//! and the tables enforce the template, so a right that is missing there is missing
//! here, in every test; one that is not needed fails below.

use crate::world::{Tenant, World, code};
use local::{Upstream, cast::Role};
use serde_json::{Value, json};

/// The jobs, as they fail without one right: proving a key, putting, using, watching.
#[derive(Debug, PartialEq, Eq)]
struct Jobs {
    prove: bool,
    put: bool,
    use_it: bool,
    watch: bool,
}

const ALL: Jobs = Jobs {
    prove: true,
    put: true,
    use_it: true,
    watch: true,
};

#[tokio::test]
async fn every_right_to_keys_in_the_template_is_needed_by_the_job_that_it_is_for() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", "a-secret", &upstream).await;
    let whole = Role::Broker.principal().identity_policy.unwrap();
    let set = |policy: &Value| {
        let key = Role::Broker.access_key_id();
        world
            .stack
            .kms
            .set_identity_policy(key, Some(policy))
            .unwrap();
    };
    assert_eq!(jobs(&tenant, &upstream).await, ALL);
    let actions = actions(&whole);
    assert!(actions.len() >= 3, "{actions:?}");
    for action in actions {
        let left = match action.as_str() {
            "kms:GenerateDataKey" => Jobs {
                prove: false,
                put: false,
                watch: false,
                ..ALL
            },
            "kms:Decrypt" => Jobs {
                prove: false,
                use_it: false,
                watch: false,
                ..ALL
            },
            "kms:DescribeKey" => Jobs {
                watch: false,
                ..ALL
            },
            other => panic!("no job needs {other}: take it out of the template, or name its job"),
        };
        set(&without(&whole, &action));
        assert_eq!(jobs(&tenant, &upstream).await, left, "without {action}");
        set(&whole);
        assert_eq!(jobs(&tenant, &upstream).await, ALL, "with {action} again");
    }
}

#[tokio::test]
async fn every_right_to_a_table_in_the_template_is_used_by_its_role() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    // Everything that a caller can do, once.
    for value in ["the-first-value", "the-second-value"] {
        tenant.put("thing", value, &upstream).await;
    }
    assert_eq!(jobs(&tenant, &upstream).await, ALL);
    let token = tenant.make_token(json!({"permissions": ["read"]})).await;
    let tokens = tenant.call("GET", "/tokens", None).await.json();
    let own = tokens["tokens"].as_array().unwrap();
    let id = |one: &Value| one["permissions"] == json!(["read"]);
    let made = own.iter().find(|one| id(one)).unwrap()["id"]
        .as_str()
        .unwrap();
    for path in [
        "/key",
        "/key/policy",
        "/secrets",
        "/secrets/thing",
        "/audit",
    ] {
        assert_eq!(tenant.call("GET", path, None).await.status, 200, "{path}");
    }
    let revoked = tenant
        .call("DELETE", &format!("/tokens/{made}"), None)
        .await;
    assert_eq!(revoked.status, 204);
    assert_eq!(
        tenant.call_as(&token, "GET", "/key", None).await.status,
        401
    );
    assert_eq!(world.stack.tables.done(), world.stack.tables.rights());
}

/// Which jobs work. One that does not must say that KMS denied it, and nothing else.
async fn jobs(tenant: &Tenant<'_>, upstream: &Upstream) -> Jobs {
    let proved = tenant.call("POST", "/key/checks", None).await;
    let value = json!({"value": "another", "policy": {}});
    let put = tenant.call("PUT", "/secrets/another", Some(value)).await;
    let used = tenant.use_once("thing", upstream).await;
    let works = |answer: &local::client::Answer| {
        let denied = (answer.status.as_u16(), code(answer)) == (424, "key_access_denied");
        assert!(answer.status.is_success() || denied, "{}", answer.json());
        !denied
    };
    Jobs {
        prove: works(&proved),
        put: works(&put),
        use_it: works(&used),
        watch: proved.json()["probes"][2]["result"] == "allowed",
    }
}

fn actions(policy: &Value) -> Vec<String> {
    let statements = policy["Statement"].as_array().unwrap();
    statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let actions = statement["Action"].as_array_mut().unwrap();
        actions.retain(|one| one != action);
    }
    policy
}
