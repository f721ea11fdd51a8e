//! A thief with the table: copies any record, or any attribute of it, over
//! another. Nothing opens that was not sealed in that place under that policy.

use crate::world::{Tenant, World, code, holds};
use local::Upstream;
use local::client::Answer;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ONE: &str = "the-value-of-the-first-secret";
const TWO: &str = "the-value-of-the-second-secret";

async fn item(world: &World, workspace: &str, sk: &str) -> Value {
    let key = json!({"pk": {"S": format!("W#{workspace}")}, "sk": {"S": sk}});
    let input = json!({"TableName": "broker", "Key": key, "ConsistentRead": true});
    let answer = world.table("GetItem", input).await;
    assert!(answer["Item"].is_object(), "there is no {sk}");
    answer["Item"].clone()
}

async fn put_item(world: &World, item: &Value) {
    world
        .table("PutItem", json!({"TableName": "broker", "Item": item}))
        .await;
}

/// A record, moved to another place.
fn at(mut item: Value, workspace: &str, sk: &str) -> Value {
    item["pk"] = json!({"S": format!("W#{workspace}")});
    item["sk"] = json!({"S": sk});
    item
}

/// A tampered use must be refused, must not have reached either upstream, and
/// must not have told anything.
fn assert_refused(answer: &Answer, upstreams: [&Upstream; 2], allowed: &[(u16, &str)], what: &str) {
    let got = (answer.status.as_u16(), code(answer));
    assert!(allowed.contains(&got), "{what}: {got:?} {}", answer.json());
    for upstream in upstreams {
        assert!(
            upstream.take().is_empty(),
            "{what}: something reached an upstream"
        );
    }
    assert!(
        !holds(&answer.body, ONE) && !holds(&answer.body, TWO),
        "{what}: the answer tells a value"
    );
}

const REFUSED: &[(u16, &str)] = &[(500, "integrity_failure")];

#[tokio::test]
async fn a_record_copied_to_another_name_version_or_workspace_does_not_open() {
    let (tenant, other) = (Tenant::new().await, Tenant::new().await);
    let world = tenant.world;
    let (here, there) = (
        Upstream::start().await.unwrap(),
        Upstream::start().await.unwrap(),
    );
    tenant.put("one", ONE, &here).await;
    tenant.put("two", TWO, &there).await;
    tenant.put("two", TWO, &there).await;
    other.put("one", TWO, &there).await;
    let (mine, theirs) = (tenant.workspace.as_str(), other.workspace.as_str());

    let one = item(world, mine, "S#one").await;
    let earlier = item(world, mine, "V#two#0000001").await;
    let two = item(world, mine, "S#two").await;
    for (copy, what) in [
        (at(one.clone(), mine, "S#two"), "another name"),
        (
            at(earlier.clone(), mine, "S#two"),
            "an earlier version as the head",
        ),
        (at(one.clone(), theirs, "S#one"), "another workspace"),
        (
            at(one.clone(), mine, "S#three"),
            "a name that was never put",
        ),
    ] {
        let target = copy.clone();
        let (workspace, sk) = (
            target["pk"]["S"].as_str().unwrap(),
            target["sk"]["S"].as_str().unwrap(),
        );
        let name = sk.trim_start_matches("S#").to_owned();
        let before = world
            .table(
                "GetItem",
                json!({"TableName": "broker", "Key": {"pk": target["pk"], "sk": target["sk"]}}),
            )
            .await["Item"]
            .clone();
        put_item(world, &copy).await;
        let victim = if workspace.ends_with(mine) {
            &tenant
        } else {
            &other
        };
        for upstream in [&here, &there] {
            let used = victim.use_once(&name, upstream).await;
            // The copied policy may deny this very destination first.
            assert_refused(
                &used,
                [&here, &there],
                &[REFUSED[0], (403, "destination_denied")],
                what,
            );
        }
        if before.is_object() {
            put_item(world, &before).await;
        }
    }
    // An earlier version, in place of another earlier version.
    tenant.put("one", ONE, &here).await;
    put_item(world, &at(two, mine, "V#one#0000001")).await;
    for upstream in [&here, &there] {
        let body =
            json!({"request": {"method": "GET", "url": upstream.url("/v1/thing")}, "version": 1});
        let used = tenant.call("POST", "/secrets/one/use", Some(body)).await;
        assert_refused(
            &used,
            [&here, &there],
            &[REFUSED[0], (403, "destination_denied")],
            "as an earlier version",
        );
    }
    assert_eq!(
        tenant.use_once("one", &here).await.status,
        200,
        "what was not touched still works"
    );
}

#[tokio::test]
async fn any_attribute_copied_from_another_record_opens_nothing_and_leads_nowhere_else() {
    let (tenant, other) = (Tenant::new().await, Tenant::new().await);
    let world = tenant.world;
    let (here, there) = (
        Upstream::start().await.unwrap(),
        Upstream::start().await.unwrap(),
    );
    tenant.put("one", ONE, &here).await;
    tenant.put("two", TWO, &there).await;
    tenant.put("two", TWO, &there).await;
    other.put("one", TWO, &there).await;
    let (mine, theirs) = (tenant.workspace.as_str(), other.workspace.as_str());
    let victim = item(world, mine, "S#one").await;
    let donors = [
        item(world, mine, "S#two").await,
        item(world, mine, "V#two#0000001").await,
        item(world, theirs, "S#one").await,
    ];
    let mut tried = BTreeSet::new();
    for donor in &donors {
        for (attribute, value) in donor.as_object().unwrap() {
            if matches!(attribute.as_str(), "pk" | "sk") || victim[attribute] == *value {
                continue;
            }
            let mut edited = victim.clone();
            edited[attribute] = value.clone();
            put_item(world, &edited).await;
            let what = format!("attribute {attribute}");
            // What the envelope binds must be refused; what it does not bind (a time, a revision) must change nothing.
            let used = tenant.use_once("one", &here).await;
            if used.status == 200 {
                let seen = here.take();
                assert!(
                    seen.len() == 1 && seen[0].header("authorization") == format!("Bearer {ONE}"),
                    "{what}"
                );
                assert!(there.take().is_empty() && !holds(&used.body, ONE), "{what}");
                assert!(
                    !["sealed", "wrapped", "policy", "version", "key"]
                        .iter()
                        .any(|bound| attribute.contains(bound)),
                    "{what} must be bound"
                );
            } else {
                assert_refused(
                    &used,
                    [&here, &there],
                    &[REFUSED[0], (403, "destination_denied")],
                    &what,
                );
            }
            let used = tenant.use_once("one", &there).await;
            assert_refused(
                &used,
                [&here, &there],
                &[REFUSED[0], (403, "destination_denied")],
                &what,
            );
            tried.insert(attribute.clone());
        }
    }
    put_item(world, &victim).await;
    assert_eq!(tenant.use_once("one", &here).await.status, 200);
    assert!(tried.len() >= 5, "{tried:?}");
}

#[tokio::test]
async fn a_policy_widened_in_the_table_does_not_open_the_secret() {
    let tenant = Tenant::new().await;
    let world = tenant.world;
    let (here, there) = (
        Upstream::start().await.unwrap(),
        Upstream::start().await.unwrap(),
    );
    tenant.put("one", ONE, &here).await;
    let mut edited = item(world, tenant.workspace.as_str(), "S#one").await;
    let text = edited
        .to_string()
        .replace(&here.address.to_string(), &there.address.to_string());
    assert_ne!(text, edited.to_string(), "the policy names the destination");
    edited = serde_json::from_str(&text).unwrap();
    put_item(world, &edited).await;
    let used = tenant.use_once("one", &there).await;
    assert_refused(
        &used,
        [&here, &there],
        REFUSED,
        "a policy that names another destination",
    );
}

#[tokio::test]
async fn a_record_whose_attributes_are_missing_or_of_another_kind_is_refused_and_panics_nothing() {
    let tenant = Tenant::new().await;
    let world = tenant.world;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("one", ONE, &upstream).await;
    for sk in ["S#one", "KEY"] {
        let whole = item(world, tenant.workspace.as_str(), sk).await;
        for attribute in whole
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| !matches!(name.as_str(), "pk" | "sk"))
        {
            for other in [
                None,
                Some(json!({"N": "7"})),
                Some(json!({"S": "\u{0}"})),
                Some(json!({"M": {}})),
                Some(json!({"B": "AAAA"})),
            ] {
                let mut edited = whole.clone();
                match &other {
                    None => drop(edited.as_object_mut().unwrap().remove(attribute)),
                    Some(value) => edited[attribute] = value.clone(),
                }
                put_item(world, &edited).await;
                let used = tenant.use_once("one", &upstream).await;
                let seen = upstream.take();
                if used.status == 200 {
                    assert_eq!(seen.len(), 1, "{attribute}");
                    assert_eq!(
                        seen[0].header("authorization"),
                        format!("Bearer {ONE}"),
                        "{attribute}"
                    );
                } else {
                    assert!(seen.is_empty(), "{attribute}");
                    assert!(
                        matches!(code(&used), "integrity_failure" | "not_found"),
                        "{sk} {attribute}: {}",
                        used.json()
                    );
                }
                assert!(!holds(&used.body, ONE));
            }
        }
        put_item(world, &whole).await;
    }
    assert_eq!(tenant.use_once("one", &upstream).await.status, 200);
}

#[tokio::test]
async fn every_flipped_byte_of_what_is_stored_sealed_or_wrapped_is_refused() {
    let tenant = Tenant::new().await;
    let world = tenant.world;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("one", "shortest", &upstream).await;
    let whole = item(world, tenant.workspace.as_str(), "S#one").await;
    let mut flips = 0;
    for (attribute, value) in whole.as_object().unwrap() {
        let Some(text) = value["B"].as_str() else {
            continue;
        };
        let bytes = base64(text);
        for at in (0..bytes.len()).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut edited = whole.clone();
            edited[attribute] = json!({"B": to_base64(&flipped)});
            put_item(world, &edited).await;
            let used = tenant.use_once("one", &upstream).await;
            assert_refused(
                &used,
                [&upstream, &upstream],
                REFUSED,
                &format!("{attribute} byte {at}"),
            );
            flips += 1;
        }
    }
    assert!(flips > 30, "{flips}");
}

fn base64(text: &str) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(text).unwrap()
}

fn to_base64(bytes: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}
