//! What a customer is told to write, held against a KMS that enforces it: its parts,
//! and the texts that they paste.

use crate::house::{BROKER_ROLE, House};
use envelope::{BrokerId, EncryptionContext, Job, KeyArn, KeyPolicy, WorkspaceId};
use serde_json::{Value, json};

pub(crate) struct Names {
    pub(crate) broker: BrokerId,
    pub(crate) workspace: WorkspaceId,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            broker: BrokerId::parse("prod").unwrap(),
            workspace: WorkspaceId::parse("acme").unwrap(),
        }
    }

    pub(crate) fn policy(&self) -> KeyPolicy<'_> {
        KeyPolicy {
            role: BROKER_ROLE,
            broker: &self.broker,
            workspace: &self.workspace,
        }
    }
}

/// The context of a call for the workspace itself.
pub(crate) fn own_context() -> Value {
    let names = Names::new();
    EncryptionContext::probe(&names.broker, &names.workspace)
        .pairs()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect()
}

/// Contexts of calls that are not the workspace's: of others, of fewer pairs, of none.
pub(crate) fn foreign_contexts() -> Vec<Value> {
    let with = |pair: &str, value: &str| {
        let mut context = own_context();
        context[pair] = json!(value);
        context
    };
    let without = |pair: &str| {
        let mut context = own_context();
        context.as_object_mut().unwrap().remove(pair);
        context
    };
    vec![
        with("byok:workspace", "evil"),
        with("byok:workspace", "acme2"),
        with("byok:workspace", "ACME"),
        with("byok:broker", "staging"),
        without("byok:workspace"),
        without("byok:broker"),
        json!({}),
    ]
}

/// Whether KMS would do an operation for the broker's role: a dry run says so by an
/// error of its own. ReEncrypt is asked from one context to another, on one key.
pub(crate) fn would(
    house: &House,
    key: &KeyArn,
    operation: &str,
    from: &Value,
    to: &Value,
) -> bool {
    let input = match operation {
        "ReEncrypt" => json!({
            "SourceKeyId": key.as_str(), "SourceEncryptionContext": from,
            "DestinationKeyId": key.as_str(), "DestinationEncryptionContext": to,
            "DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"],
        }),
        "Decrypt" => json!({
            "KeyId": key.as_str(), "EncryptionContext": from,
            "DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"],
        }),
        "GenerateDataKey" => json!({
            "KeyId": key.as_str(), "EncryptionContext": from, "KeySpec": "AES_256", "DryRun": true,
        }),
        _ => json!({"KeyId": key.as_str()}),
    };
    let code = match house.call_as_broker(operation, input) {
        Ok(_) => return true,
        Err(error) => error.code,
    };
    assert!(
        ["DryRunOperationException", "AccessDeniedException"].contains(&code),
        "{operation}: {code}"
    );
    code == "DryRunOperationException"
}

/// Which jobs the broker can do with a key now, under a context.
pub(crate) fn can(house: &House, key: &KeyArn, context: &Value) -> Vec<Job> {
    let operation = |job: &Job| match job {
        Job::Put => "GenerateDataKey",
        Job::Use => "Decrypt",
        Job::Move => "ReEncrypt",
        Job::Watch => "DescribeKey",
    };
    Job::ALL
        .into_iter()
        .filter(|job| would(house, key, operation(job), context, context))
        .collect()
}

/// No job that has a context, under any that is not the workspace's; and no move into one or out of one.
pub(crate) fn nobody_else_can(house: &House, key: &KeyArn) {
    for foreign in foreign_contexts() {
        assert_eq!(can(house, key, &foreign), [Job::Watch], "{foreign}");
        for (from, to) in [(&own_context(), &foreign), (&foreign, &own_context())] {
            assert!(!would(house, key, "ReEncrypt", from, to), "{from} to {to}");
        }
    }
}

fn under_policy(house: &House) -> KeyArn {
    let key = house.create_key(json!({}));
    house.put_policy(&key, Names::new().policy().statements());
    key
}

/// Gives the grant that is written; its id.
fn grant(house: &House, key: &KeyArn) -> Value {
    let mut input = Names::new().policy().grant();
    input["KeyId"] = json!(key.as_str());
    house.customer("CreateGrant", input)["GrantId"].clone()
}

#[tokio::test]
async fn each_statement_allows_one_job_and_without_it_that_job_alone_stops() {
    let house = House::open().await;
    let key = under_policy(&house);
    assert_eq!(can(&house, &key, &own_context()), Job::ALL);
    let names = Names::new();
    for job in Job::ALL {
        house.put_policy(&key, vec![names.policy().statement(job)]);
        assert_eq!(can(&house, &key, &own_context()), [job]);
        let others = Job::ALL.into_iter().filter(|other| *other != job);
        let statements = others.clone().map(|other| names.policy().statement(other));
        house.put_policy(&key, statements.collect());
        assert_eq!(
            can(&house, &key, &own_context()),
            others.collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn the_policy_allows_no_other_workspace_no_other_deployment_and_no_other_set_of_keys() {
    let house = House::open().await;
    let key = under_policy(&house);
    nobody_else_can(&house, &key);
    let mut broader = own_context();
    broader["byok:else"] = json!("x");
    assert_eq!(can(&house, &key, &broader), [Job::Watch]);
}

#[tokio::test]
async fn the_cut_beats_policy_and_grant_and_taking_it_out_leaves_them_as_they_were() {
    let house = House::open().await;
    let key = under_policy(&house);
    grant(&house, &key);
    let names = Names::new();
    let mut statements = names.policy().statements();
    statements.push(names.policy().cut());
    house.put_policy(&key, statements);
    assert_eq!(can(&house, &key, &own_context()), []);
    house.put_policy(&key, names.policy().statements());
    assert_eq!(can(&house, &key, &own_context()), Job::ALL);
}

#[tokio::test]
async fn the_grant_does_what_the_statements_do_and_revoking_it_ends_all_of_it() {
    let house = House::open().await;
    let key = house.create_key(json!({}));
    let made = grant(&house, &key);
    assert_eq!(
        made,
        grant(&house, &key),
        "named, so that a repeat leaves no second grant"
    );
    assert_eq!(can(&house, &key, &own_context()), Job::ALL);
    nobody_else_can(&house, &key);
    house.customer(
        "RevokeGrant",
        json!({"KeyId": key.as_str(), "GrantId": made}),
    );
    assert_eq!(can(&house, &key, &own_context()), []);
}
