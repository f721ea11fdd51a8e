//! The roles' rights are template.yaml's, and each of them is needed: the local KMS
//! and the tables enforce the template, so a right that is missing there is missing
//! here, in every test; one that is not needed fails below.

use crate::world::{Tenant, World, code, open};
use local::{Upstream, cast::Role, client::Answer};
use serde_json::{Value, json};

/// The broker role's jobs, as they fail without one right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jobs {
    put: bool,
    use_it: bool,
    change_policy: bool,
    check: bool,
    watch: bool,
    bind: bool,
    admit: bool,
}

const ALL: Jobs = Jobs {
    put: true,
    use_it: true,
    change_policy: true,
    check: true,
    watch: true,
    bind: true,
    admit: true,
};

#[tokio::test]
async fn every_right_to_keys_of_the_broker_role_is_needed_by_the_job_that_it_is_for() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", "a-secret", &upstream).await;
    let whole = world.stack.keys.rights(Role::Broker).unwrap();
    assert_eq!(jobs(&tenant, &upstream).await, ALL);
    let actions = actions(&whole);
    assert!(actions.len() >= 7, "{actions:?}");
    // A proof asks for every job of the customer's key, and binding begins with one.
    let unproven = Jobs {
        check: false,
        watch: false,
        bind: false,
        ..ALL
    };
    for action in actions {
        let left = match action.as_str() {
            "kms:GenerateDataKey" => Jobs {
                put: false,
                ..unproven
            },
            "kms:Decrypt" => Jobs {
                use_it: false,
                ..unproven
            },
            "kms:ReEncryptFrom" | "kms:ReEncryptTo" => Jobs {
                change_policy: false,
                ..unproven
            },
            "kms:DescribeKey" => Jobs {
                watch: false,
                ..ALL
            },
            "kms:GenerateMac" => Jobs { bind: false, ..ALL },
            // What a function has seen before it verifies no more; the binding is new.
            "kms:VerifyMac" => Jobs {
                put: false,
                use_it: false,
                admit: false,
                ..unproven
            },
            other => panic!("no job needs {other}: take it out of the template, or name its job"),
        };
        set(&world, Role::Broker, &without(&whole, &action));
        assert_eq!(jobs(&tenant, &upstream).await, left, "without {action}");
        set(&world, Role::Broker, &whole);
        assert_eq!(jobs(&tenant, &upstream).await, ALL, "with {action} again");
    }
}

#[tokio::test]
async fn every_right_to_keys_of_the_other_roles_is_needed() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let all = tenant.call("GET", "/tokens", None).await.json()["tokens"][0]["permissions"].clone();
    for (role, method, path) in [
        (Role::ReadWorkspace, "GET", "/secrets"),
        (Role::ManageTokens, "POST", "/tokens"),
        (Role::DeleteSecret, "DELETE", "/secrets/thing"),
        (Role::OpenWorkspace, "", ""),
    ] {
        let whole = world.stack.keys.rights(role).unwrap();
        let actions = actions(&whole);
        assert!(!actions.is_empty(), "{role:?}");
        for action in [None].into_iter().chain(actions.iter().map(Some)) {
            tenant.put("thing", "a-secret", &upstream).await;
            // One that no function has seen yet.
            let token = tenant.make_token(json!({"permissions": all})).await;
            if let Some(action) = action {
                set(&world, role, &without(&whole, action));
            }
            let works = if role == Role::OpenWorkspace {
                let name = format!("opened-{}", action.is_some());
                open(&world, &json!({"workspace": name})).await["token"].is_string()
            } else {
                let body = (method == "POST").then(|| json!({"permissions": ["read"]}));
                works(&tenant.call_as(&token, method, path, body).await)
            };
            assert_eq!(works, action.is_none(), "{role:?} without {action:?}");
            set(&world, role, &whole);
        }
    }
}

fn set(world: &World, role: Role, policy: &Value) {
    let key = role.access_key_id();
    world
        .stack
        .kms
        .set_identity_policy(key, Some(policy))
        .unwrap();
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
        "/secrets/thing/versions",
        "/audit",
        "/rewraps",
    ] {
        assert_eq!(tenant.call("GET", path, None).await.status, 200, "{path}");
    }
    for (path, status) in [
        ("/secrets/thing/versions/1:promote", 200),
        ("/secrets/thing/versions/2:revoke", 200),
    ] {
        let answer = tenant.call("POST", path, None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.json());
    }
    let started = tenant.call("POST", "/rewraps", None).await;
    assert_eq!(started.status, 202, "{}", started.json());
    let job = format!("/rewraps/{}", started.json()["id"].as_str().unwrap());
    crate::world::until("the re-wrap is done", async || {
        tenant.call("GET", &job, None).await.json()["state"] == "done"
    })
    .await;
    let deleted = tenant.call("DELETE", "/secrets/thing", None).await;
    assert_eq!(deleted.status, 204);
    let revoked = tenant
        .call("DELETE", &format!("/tokens/{made}"), None)
        .await;
    assert_eq!(revoked.status, 204);
    assert!(works(&tenant.call("GET", "/key", None).await));
    drop(token);
    assert_eq!(world.stack.tables.done(), world.stack.tables.rights());
}

/// Which jobs work.
async fn jobs(tenant: &Tenant<'_>, upstream: &Upstream) -> Jobs {
    let value = json!({"value": "another", "policy": {}});
    let put = tenant.call("PUT", "/secrets/another", Some(value)).await;
    let used = tenant.use_once("thing", upstream).await;
    let policy = json!({"policy": {"destinations": [{"url": upstream.url("/")}]}});
    let changed = tenant
        .call("PUT", "/secrets/thing/policy", Some(policy))
        .await;
    let checked = tenant.call("POST", "/key/checks", None).await;
    let probes = checked.json()["probes"].clone();
    let described = probes.as_array().and_then(|probes| probes.last().cloned());
    let bound = tenant
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    // A token that no function has seen yet; the binding is new as well.
    let token = tenant
        .make_token(json!({"permissions": ["manage_key"]}))
        .await;
    let admitted = tenant.call_as(&token, "GET", "/rewraps", None).await;
    Jobs {
        put: works(&put),
        use_it: works(&used),
        change_policy: works(&changed),
        check: works(&checked),
        watch: described.is_some_and(|probe| probe["result"] == "allowed"),
        bind: works(&bound),
        admit: works(&admitted),
    }
}

/// Whether a job worked. One that did not must say whose fault it is, and nothing else.
fn works(answer: &Answer) -> bool {
    let at_fault = (answer.status.as_u16(), code(answer)) == (503, "broker_misconfigured");
    assert!(answer.status.is_success() || at_fault, "{}", answer.json());
    !at_fault
}

fn actions(policy: &Value) -> Vec<String> {
    let statements = policy["Statement"].as_array().unwrap();
    statements
        .iter()
        .flat_map(|statement| list(&statement["Action"]))
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().unwrap();
    for statement in statements.iter_mut() {
        let left = list(&statement["Action"]).into_iter();
        statement["Action"] = left.filter(|one| one != action).collect();
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    policy
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}
