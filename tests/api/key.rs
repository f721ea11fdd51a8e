//! Binding a key: it is proved before it is stored, and a failed proof says what is missing.

use crate::world::{Tenant, World, code};
use local::cast::{BROKER_ROLE, Role};
use serde_json::{Value, json};

async fn shown(tenant: &Tenant<'_>) -> Value {
    tenant.call("GET", "/key", None).await.json()
}

#[tokio::test]
async fn a_key_is_bound_after_a_round_trip_under_the_workspaces_own_context() {
    let tenant = Tenant::unbound(World::shared()).await;
    assert_eq!(shown(&tenant).await["state"], "unbound");
    tenant.grant();
    let bound = tenant
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(bound.status, 200, "{}", bound.json());
    let body = bound.json();
    assert_eq!(
        (body["state"].as_str(), body["key"].as_str()),
        (Some("active"), Some(tenant.key.as_str()))
    );
    let operations: Vec<_> = body["probes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|probe| probe["operation"].clone())
        .collect();
    assert_eq!(operations.last().unwrap(), "DescribeKey");

    // Asked first, then done: each call is in the customer's log under the id that is told.
    let events = tenant.world.events(&tenant.workspace);
    let done: Vec<_> = events
        .iter()
        .filter(|event| event["errorCode"].is_null())
        .map(|event| event["eventName"].as_str().unwrap())
        .collect();
    assert_eq!(done, ["GenerateDataKey", "Decrypt"]);
    let own = |probe: &&Value| probe["context"] == "own" && probe["operation"] != "ReEncrypt";
    for probe in body["probes"].as_array().unwrap().iter().filter(own) {
        let event = events
            .iter()
            .find(|event| event["requestID"] == probe["kmsRequestId"])
            .unwrap();
        assert_eq!(event["eventName"], probe["operation"]);
        let dry = event["errorCode"] == "DryRunOperationException";
        assert_eq!(probe["result"], if dry { "allowed" } else { "done" });
        assert_eq!(
            event["requestParameters"]["encryptionContext"]["byok:secret"],
            "$probe"
        );
    }
    let now = shown(&tenant).await;
    assert_eq!(
        (now["state"].as_str(), now["key"].as_str()),
        (Some("active"), Some(tenant.key.as_str()))
    );
    assert_eq!(now["revision"], body["revision"]);
}

#[tokio::test]
async fn a_proof_that_fails_stores_nothing_and_names_the_call_and_the_missing_statement() {
    let tenant = Tenant::unbound(World::shared()).await;
    let before = shown(&tenant).await;
    let mut pasted: Vec<Value> = Vec::new();
    for operation in ["GenerateDataKey", "Decrypt"] {
        let refused = tenant
            .call("PUT", "/key", Some(json!({"key": tenant.key})))
            .await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (424, "key_access_denied"),
            "{}",
            refused.json()
        );
        let problem = refused.json();
        assert_eq!(problem["operation"], operation);
        assert!(problem["kmsRequestIds"][0].is_string(), "{problem}");
        let statement = problem["missingStatement"].clone();
        assert_eq!(statement["Action"], format!("kms:{operation}"));
        assert_eq!(statement["Principal"]["AWS"], BROKER_ROLE);
        assert_eq!(shown(&tenant).await, before, "nothing may be stored");
        pasted.push(statement);
        tenant.paste(&tenant.key_policy(&pasted));
    }
    let bound = tenant
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(
        bound.status,
        200,
        "the statements that were named must be enough: {}",
        bound.json()
    );
    assert_eq!(
        bound.json()["probes"].as_array().unwrap().last().unwrap()["result"],
        "denied",
        "DescribeKey was not pasted"
    );
}

#[tokio::test]
async fn the_policy_that_the_broker_writes_makes_the_key_work_for_its_workspace_and_no_other() {
    let world = World::shared();
    let (tenant, other) = (Tenant::unbound(world).await, Tenant::unbound(world).await);
    let written = tenant
        .call("GET", "/key/policy?format=json", None)
        .await
        .json();
    tenant.paste(&tenant.key_policy(written["statements"].as_array().unwrap()));
    let bound = tenant
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(bound.status, 200, "{}", bound.json());
    assert!(
        bound.json()["probes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|probe| ["own", ""].contains(&probe["context"].as_str().unwrap_or_default()))
            .all(|probe| ["allowed", "done"].contains(&probe["result"].as_str().unwrap()))
    );

    let stolen = other
        .call("PUT", "/key", Some(json!({"key": tenant.key})))
        .await;
    assert_eq!(
        (stolen.status.as_u16(), code(&stolen)),
        (424, "key_access_denied"),
        "{}",
        stolen.json()
    );
    let done = world
        .events(&other.workspace)
        .iter()
        .filter(|event| event["errorCode"].is_null())
        .count();
    assert_eq!(
        done, 0,
        "no call may have succeeded for the other workspace"
    );

    let mut cut = written["statements"].as_array().unwrap().clone();
    cut.push(written["cut"].clone());
    tenant.paste(&tenant.key_policy(&cut));
    let checked = tenant.call("POST", "/key/checks", None).await;
    assert_eq!(
        (checked.status.as_u16(), code(&checked)),
        (424, "key_access_denied")
    );
}

#[tokio::test]
async fn a_key_of_the_wrong_kind_is_refused_in_words() {
    let world = World::shared();
    let tenant = Tenant::unbound(world).await;
    for (spec, usage, word) in [
        ("RSA_2048", "ENCRYPT_DECRYPT", "asymmetric"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "signs"),
        ("HMAC_256", "GENERATE_VERIFY_MAC", "HMAC"),
    ] {
        let policy = tenant.key_policy(&[json!({
            "Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:*", "Resource": "*",
        })]);
        let made = tenant
            .customer
            .call(
                "CreateKey",
                json!({"KeySpec": spec, "KeyUsage": usage, "Policy": policy.to_string()}),
            )
            .unwrap();
        let refused = tenant
            .call(
                "PUT",
                "/key",
                Some(json!({"key": made["KeyMetadata"]["Arn"]})),
            )
            .await;
        let problem = refused.json();
        assert_eq!(
            (refused.status.as_u16(), problem["field"].as_str()),
            (400, Some("key")),
            "{spec}: {problem}"
        );
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{spec}: {problem}"
        );
    }
    assert_eq!(shown(&tenant).await["key"], Value::Null);
}

#[tokio::test]
async fn what_is_no_key_arn_is_refused_without_a_call() {
    let tenant = Tenant::unbound(World::shared()).await;
    for body in [
        json!({}),
        json!({"key": 7}),
        json!({"key": "1234abcd-12ab-34cd-56ef-1234567890ab"}),
        json!({"key": tenant.key, "grant_tokens": "one"}),
        json!({"key": tenant.key, "grant_tokens": vec!["t"; 11]}),
        json!({"key": tenant.key, "force": true}),
    ] {
        let refused = tenant.call("PUT", "/key", Some(body.clone())).await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (400, "invalid_request"),
            "{body}"
        );
    }
    assert!(tenant.world.events(&tenant.workspace).is_empty());
}

#[tokio::test]
async fn a_key_that_is_absent_disabled_or_ending_is_named_by_its_own_code() {
    let tenant = Tenant::unbound(World::shared()).await;
    tenant.grant();
    let absent = tenant
        .key
        .replace(&tenant.key[tenant.key.len() - 12..], "000000000000");
    let refused = tenant
        .call("PUT", "/key", Some(json!({"key": absent})))
        .await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (424, "key_not_found"),
        "{}",
        refused.json()
    );
    for (operation, input, expected) in [
        ("DisableKey", json!({"KeyId": tenant.key}), "key_disabled"),
        (
            "ScheduleKeyDeletion",
            json!({"KeyId": tenant.key, "PendingWindowInDays": 7}),
            "key_pending_deletion",
        ),
    ] {
        tenant.customer.call(operation, input).unwrap();
        let refused = tenant
            .call("PUT", "/key", Some(json!({"key": tenant.key})))
            .await;
        assert_eq!((refused.status.as_u16(), code(&refused)), (424, expected));
    }
}

#[tokio::test]
async fn after_a_new_binding_new_puts_use_the_new_key_and_old_secrets_still_open() {
    let tenant = Tenant::new().await;
    let upstream = local::Upstream::start().await.unwrap();
    tenant
        .put("old", "value-under-the-first-key", &upstream)
        .await;
    let second = tenant.customer.create_key().unwrap();
    tenant
        .customer
        .grant(&second, &tenant.world.stack.broker, &tenant.workspace)
        .unwrap();
    assert_eq!(
        tenant
            .call("PUT", "/key", Some(json!({"key": second})))
            .await
            .status,
        200
    );
    let put = tenant
        .put("new", "value-under-the-second-key", &upstream)
        .await;
    assert_eq!(put.json()["wrappedBy"], second);
    for (name, value) in [
        ("old", "value-under-the-first-key"),
        ("new", "value-under-the-second-key"),
    ] {
        assert_eq!(tenant.use_once(name, &upstream).await.status, 200);
        assert_eq!(
            upstream.take()[0].header("authorization"),
            format!("Bearer {value}")
        );
    }
    let now = shown(&tenant).await;
    assert_eq!(
        (now["key"].as_str(), now["former"][0].as_str()),
        (Some(second.as_str()), Some(tenant.key.as_str()))
    );
}

#[tokio::test]
async fn another_customers_account_works_the_same() {
    let world = World::shared();
    let tenant = Tenant::unbound(world).await;
    let other = world.stack.customer(Role::OtherCustomer);
    let key = other.create_key().unwrap();
    let refused = tenant.call("PUT", "/key", Some(json!({"key": key}))).await;
    assert_eq!(code(&refused), "key_access_denied");
    other
        .grant(&key, &world.stack.broker, &tenant.workspace)
        .unwrap();
    assert_eq!(
        tenant
            .call("PUT", "/key", Some(json!({"key": key})))
            .await
            .status,
        200
    );
}
