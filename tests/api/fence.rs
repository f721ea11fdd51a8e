//! A key is bound only if it serves its workspace and no other: what is not fenced is
//! graded `permissive` and refused, and of whoever names another's key its owner's log shows
//! no call that succeeded.

use crate::world::{Tenant, World, code};
use local::{
    StackConfig, Upstream,
    cast::{BROKER_ROLE, REGION, Role},
    client::Answer,
};
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};

const JOBS: [(&str, &[&str]); 3] = [
    ("ByokPutSecrets", &["GenerateDataKey"]),
    ("ByokUseSecrets", &["Decrypt"]),
    ("ByokMoveSecrets", &["ReEncrypt"]),
];

fn got(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
}

async fn bind(tenant: &Tenant<'_>, key: &str) -> Answer {
    tenant.call("PUT", "/key", Some(json!({"key": key}))).await
}

async fn statements(tenant: &Tenant<'_>) -> Vec<Value> {
    let written = tenant.call("GET", "/key/policy", None).await.json();
    written["statements"].as_array().unwrap().clone()
}

/// The statements, one of them changed.
fn with(statements: &[Value], sid: &str, change: impl Fn(&mut Value)) -> Vec<Value> {
    let mut statements = statements.to_vec();
    let statement = statements.iter_mut().find(|one| one["Sid"] == sid);
    change(statement.unwrap());
    statements
}

/// What succeeded at KMS for a workspace: its events without an error.
fn succeeded(world: &World, tenant: &Tenant<'_>) -> Vec<Value> {
    let events = world.events(&tenant.workspace).into_iter();
    events
        .filter(|event| event["errorCode"].is_null())
        .collect()
}

#[tokio::test]
async fn a_key_without_any_fence_is_refused_and_nothing_is_done_with_it() {
    let tenant = Tenant::unbound(World::shared()).await;
    let before = tenant.call("GET", "/key", None).await.json();
    tenant.paste(&tenant.key_policy(&[json!({
        "Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:*", "Resource": "*",
    })]));
    let refused = bind(&tenant, &tenant.key).await;
    assert_eq!(got(&refused), (424, "key_permissive"), "{}", refused.json());
    let problem = refused.json();
    assert_eq!(problem["grade"], "permissive");
    assert_eq!(problem["open"].as_array().unwrap().len(), 24, "{problem}");
    assert_eq!(succeeded(tenant.world, &tenant), Vec::<Value>::new());
    assert_eq!(tenant.call("GET", "/key", None).await.json(), before);
    // The statements that were named mend it.
    tenant.paste(&tenant.key_policy(problem["mendingStatements"].as_array().unwrap()));
    let bound = bind(&tenant, &tenant.key).await;
    assert_eq!(bound.json()["grade"], "strict", "{}", bound.json());
}

#[tokio::test]
async fn each_job_that_is_not_fenced_is_found_alone() {
    let tenant = Tenant::unbound(World::shared()).await;
    let fenced = statements(&tenant).await;
    let name = tenant.workspace.as_str();
    let condition =
        |pattern: Value| json!({"StringLike": {"kms:EncryptionContext:byok:workspace": pattern}});
    for (sid, operations) in JOBS {
        for (change, what) in [
            (Value::Null, "no condition"),
            (condition(json!("*")), "any name, but a context"),
            (
                condition(json!(format!("{name}*"))),
                "a name with a wildcard",
            ),
            (
                json!({"StringEqualsIfExists": {"kms:EncryptionContext:byok:workspace": name}}),
                "if there is a context",
            ),
            (
                json!({"StringNotEquals": {"kms:EncryptionContext:byok:workspace": "someone-else"}}),
                "all but one",
            ),
        ] {
            let open = with(&fenced, sid, |statement| {
                if change.is_null() {
                    statement.as_object_mut().unwrap().remove("Condition");
                } else {
                    statement["Condition"] = change.clone();
                }
            });
            tenant.paste(&tenant.key_policy(&open));
            let refused = bind(&tenant, &tenant.key).await;
            assert_eq!(got(&refused), (424, "key_permissive"), "{sid}: {what}");
            let problem = refused.json();
            for probe in problem["open"].as_array().unwrap() {
                let operation = probe["operation"].as_str().unwrap();
                assert!(operations.contains(&operation), "{sid}: {what}: {problem}");
            }
            let mend: Vec<_> = problem["mendingStatements"].as_array().unwrap().clone();
            assert_eq!(mend.len(), 1, "{sid}: {what}");
            assert_eq!(mend[0]["Sid"], sid, "{what}");
        }
    }
    tenant.paste(&tenant.key_policy(&fenced));
    assert_eq!(bind(&tenant, &tenant.key).await.json()["grade"], "strict");
}

#[tokio::test]
async fn each_half_of_a_move_is_fenced_for_itself() {
    let tenant = Tenant::unbound(World::shared()).await;
    let fenced = statements(&tenant).await;
    for half in ["kms:ReEncryptFrom", "kms:ReEncryptTo"] {
        let mut open = fenced.clone();
        open.push(json!({"Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": half, "Resource": "*"}));
        tenant.paste(&tenant.key_policy(&open));
        let refused = bind(&tenant, &tenant.key).await;
        assert_eq!(got(&refused), (424, "key_permissive"), "{half}");
    }
}

#[tokio::test]
async fn a_key_that_may_not_move_secrets_is_bound_and_says_so() {
    let tenant = Tenant::unbound(World::shared()).await;
    let fenced = statements(&tenant).await;
    let without: Vec<_> = fenced
        .into_iter()
        .filter(|one| one["Sid"] != "ByokMoveSecrets")
        .collect();
    tenant.paste(&tenant.key_policy(&without));
    let bound = bind(&tenant, &tenant.key).await;
    assert_eq!(bound.status, 200, "{}", bound.json());
    let own = bound.json()["probes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|probe| probe["operation"] == "ReEncrypt" && probe["context"] == "own")
        .cloned();
    assert_eq!(own.unwrap()["result"], "denied");
}

#[tokio::test]
async fn a_deployment_that_accepts_permissive_keys_says_that_a_key_is_one() {
    let world = World::own(|config| StackConfig {
        permissive_keys: true,
        ..config
    })
    .await;
    let tenant = Tenant::unbound(&world).await;
    tenant.paste(&tenant.key_policy(&[json!({
        "Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:*", "Resource": "*",
    })]));
    let bound = bind(&tenant, &tenant.key).await;
    assert_eq!(bound.json()["grade"], "permissive", "{}", bound.json());
    let shown = tenant.call("GET", "/key", None).await.json();
    assert_eq!(shown["grade"], "permissive");
    assert_eq!(shown["probes"], bound.json()["probes"]);
    assert!(shown["checkedAt"].is_string());
}

#[tokio::test]
async fn the_proof_is_stored_as_evidence_and_a_check_renews_it() {
    let tenant = Tenant::new().await;
    let shown = tenant.call("GET", "/key", None).await.json();
    assert_eq!(shown["grade"], "strict");
    let whose: std::collections::BTreeSet<_> = shown["probes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|probe| {
            Some((
                probe["context"].as_str()?.to_owned(),
                probe["result"].as_str()?.to_owned(),
            ))
        })
        .collect();
    let expected = [
        ("another workspace's", "denied"),
        ("a workspace's of a similar name", "denied"),
        ("none", "denied"),
        ("own", "allowed"),
        ("own", "done"),
    ];
    assert_eq!(
        whose,
        expected
            .map(|(context, result)| (context.to_owned(), result.to_owned()))
            .into()
    );
    let checked = tenant.call("POST", "/key/checks", None).await;
    assert_eq!(checked.status, 200);
    let again = tenant.call("GET", "/key", None).await.json();
    assert_eq!(again["probes"], checked.json()["probes"]);
    assert_ne!(
        again["probes"], shown["probes"],
        "the request ids are those of the check"
    );
    assert_eq!(again["since"], shown["since"], "it was active all along");
}

#[tokio::test]
async fn another_workspaces_key_is_refused_in_every_way_of_naming_it() {
    let world = World::own(|config| config).await;
    let (owner, other) = (Tenant::unbound(&world).await, Tenant::unbound(&world).await);
    // A multi-Region key with a replica, each with the owner's own fence, and an alias.
    let made = owner
        .customer
        .call("CreateKey", json!({"MultiRegion": true}))
        .unwrap();
    let key = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let fenced = owner.key_policy(&statements(&owner).await);
    let policy = json!({"KeyId": key, "PolicyName": "default", "Policy": fenced.to_string()});
    owner.customer.call("PutKeyPolicy", policy).unwrap();
    let replica = owner
        .customer
        .call(
            "ReplicateKey",
            json!({"KeyId": key, "ReplicaRegion": "eu-central-1", "Policy": fenced.to_string()}),
        )
        .unwrap();
    let replica = replica["ReplicaKeyMetadata"]["Arn"]
        .as_str()
        .unwrap()
        .to_owned();
    owner
        .customer
        .call(
            "CreateAlias",
            json!({"AliasName": "alias/theirs", "TargetKeyId": key}),
        )
        .unwrap();
    let alias = key.rsplit_once(":key/").unwrap().0.to_owned() + ":alias/theirs";
    for name in [&key, &replica, &alias] {
        let refused = bind(&other, name).await;
        assert_eq!(
            got(&refused),
            (424, "key_access_denied"),
            "{name}: {}",
            refused.json()
        );
        assert!(
            !refused.json().to_string().contains("DescribeKey"),
            "an alias is not even resolved"
        );
    }
    assert_eq!(succeeded(&world, &other), Vec::<Value>::new());
    let described = world
        .stack
        .kms
        .events()
        .unwrap()
        .into_iter()
        .filter(|event| event["eventName"] == "DescribeKey" && event["errorCode"].is_null())
        .filter(|event| {
            event["userIdentity"]["arn"]
                .as_str()
                .is_some_and(|arn| arn.contains("byok-broker"))
        })
        .count();
    assert_eq!(described, 0, "nor looked at");
    // The owner binds it in each of these ways.
    for (name, bound) in [(&alias, &key), (&replica, &replica), (&key, &key)] {
        let answer = bind(&owner, name).await;
        assert_eq!(answer.json()["key"], **bound, "{}", answer.json());
    }
}

#[tokio::test]
async fn an_alias_is_resolved_once_and_the_record_keeps_the_key() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::unbound(&world).await;
    tenant.grant();
    tenant
        .customer
        .call(
            "CreateAlias",
            json!({"AliasName": "alias/mine", "TargetKeyId": tenant.key}),
        )
        .unwrap();
    let alias = tenant.key.rsplit_once(":key/").unwrap().0.to_owned() + ":alias/mine";
    let bound = bind(&tenant, &alias).await;
    assert_eq!(bound.json()["key"], tenant.key, "{}", bound.json());
    let another = tenant.customer.create_key().unwrap();
    tenant
        .customer
        .call(
            "UpdateAlias",
            json!({"AliasName": "alias/mine", "TargetKeyId": another}),
        )
        .unwrap();
    let upstream = Upstream::start().await.unwrap();
    let put = tenant.put("thing", "a-value-of-theirs", &upstream).await;
    assert_eq!(put.json()["wrappedBy"], tenant.key);
}

#[tokio::test]
async fn a_key_in_another_region_is_called_there() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::unbound(&world).await;
    let kms = &world.stack.kms;
    let call = |operation: &str, input: Value| {
        kms.call(
            Role::Customer.access_key_id(),
            "us-east-1",
            operation,
            input,
        )
        .unwrap()
    };
    let made = call("CreateKey", json!({}));
    let key = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    assert!(key.contains("us-east-1") && !key.contains(REGION));
    let policy = tenant.key_policy(&statements(&tenant).await);
    call(
        "PutKeyPolicy",
        json!({"KeyId": key, "PolicyName": "default", "Policy": policy.to_string()}),
    );
    let bound = bind(&tenant, &key).await;
    assert_eq!(bound.json()["grade"], "strict", "{}", bound.json());
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", "a-value-of-theirs", &upstream).await;
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
}

#[tokio::test]
async fn a_fence_that_cannot_be_asked_is_no_fence() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::unbound(&world).await;
    tenant.grant();
    for (kind, expected) in [
        (FaultKind::Throttle, (429, "kms_throttled")),
        (FaultKind::Internal, (503, "kms_unavailable")),
    ] {
        world.stack.kms.inject(Fault::always("ReEncrypt", kind));
        let refused = bind(&tenant, &tenant.key).await;
        assert_eq!(got(&refused), expected, "{}", refused.json());
        world.stack.kms.clear_faults();
        assert!(tenant.call("GET", "/key", None).await.json()["key"].is_null());
    }
    assert_eq!(bind(&tenant, &tenant.key).await.status, 200);
}

#[tokio::test]
async fn a_fault_in_the_brokers_own_rights_is_no_revocation() {
    let world = World::own(|config| config).await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", "a-value-of-theirs", &upstream).await;
    let whole = world.stack.keys.rights(Role::Broker).unwrap();
    let key = Role::Broker.access_key_id();
    let mut less = whole.clone();
    less["Statement"]
        .as_array_mut()
        .unwrap()
        .retain(|statement| {
            let actions = statement["Action"].as_array();
            !actions.is_some_and(|actions| actions.contains(&json!("kms:Decrypt")))
        });
    world
        .stack
        .kms
        .set_identity_policy(key, Some(&less))
        .unwrap();
    let value = json!({"value": "another-value", "policy": {}});
    for answer in [
        tenant.use_once("thing", &upstream).await,
        tenant.call("PUT", "/secrets/new", Some(value)).await,
        tenant.call("POST", "/key/checks", None).await,
        bind(&tenant, &tenant.key).await,
    ] {
        assert_eq!(
            got(&answer),
            (503, "broker_misconfigured"),
            "{}",
            answer.json()
        );
        assert!(
            answer.json()["missingStatement"].is_null(),
            "nothing is missing at the customer's"
        );
    }
    assert_eq!(
        tenant.call("GET", "/key", None).await.json()["state"],
        "active"
    );
    world
        .stack
        .kms
        .set_identity_policy(key, Some(&whole))
        .unwrap();
    assert_eq!(tenant.use_once("thing", &upstream).await.status, 200);
    // The customer's own denial stays theirs.
    tenant.customer.revoke_all(&tenant.key).unwrap();
    assert_eq!(
        got(&tenant.use_once("thing", &upstream).await),
        (424, "key_access_denied")
    );
}
