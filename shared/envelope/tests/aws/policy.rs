//! What a customer is told to write, held against a KMS that enforces it.

use crate::house::{Ask, BROKER_ROLE, House, TIME, context, place};
use envelope::{
    BrokerId, EncryptionContext, KeyArn, KeyPolicy, KmsOperation, PolicyDigest, Refusal,
    WorkspaceId, WrappedDataKey,
};
use serde_json::{Value, json};

const JOBS: [KmsOperation; 3] = [
    KmsOperation::GenerateDataKey,
    KmsOperation::Decrypt,
    KmsOperation::DescribeKey,
];

struct Names {
    broker: BrokerId,
    workspace: WorkspaceId,
}

impl Names {
    fn new() -> Self {
        Self {
            broker: BrokerId::parse("prod").unwrap(),
            workspace: WorkspaceId::parse("acme").unwrap(),
        }
    }

    fn policy(&self) -> KeyPolicy<'_> {
        KeyPolicy {
            role: BROKER_ROLE,
            broker: &self.broker,
            workspace: &self.workspace,
        }
    }
}

/// Which jobs the broker can do with a key now; `blob` is one that it wraps.
async fn can(house: &House, blob: &WrappedDataKey) -> Vec<KmsOperation> {
    let mut done = Vec::new();
    for job in JOBS {
        let refusal = match job {
            KmsOperation::GenerateDataKey => house
                .wrap()
                .generate(&blob.key, &context(), &[], TIME)
                .await
                .map(|_| ())
                .err(),
            KmsOperation::Decrypt => Ask::new(blob)
                .unwrap(&house.unwrap())
                .await
                .map(|_| ())
                .err(),
            KmsOperation::DescribeKey => house
                .broker()
                .inspect()
                .describe(&blob.key, &[], TIME)
                .await
                .map(|_| ())
                .err(),
        };
        match refusal {
            None => done.push(job),
            Some(failure) => assert_eq!(failure.refusal, Refusal::AccessDenied, "{job}"),
        }
    }
    done
}

/// A key under the policy alone, and a blob that it wraps.
async fn under_policy(house: &House) -> WrappedDataKey {
    let key: KeyArn = house.create_key(json!({}));
    house.put_policy(&key, Names::new().policy().statements());
    house
        .wrap()
        .generate(&key, &context(), &[], TIME)
        .await
        .unwrap()
        .wrapped
}

#[tokio::test]
async fn each_statement_allows_one_job_and_without_it_that_job_alone_stops() {
    let house = House::open().await;
    let blob = under_policy(&house).await;
    assert_eq!(can(&house, &blob).await, JOBS);
    let names = Names::new();
    for job in JOBS {
        house.put_policy(&blob.key, vec![names.policy().statement(job)]);
        assert_eq!(can(&house, &blob).await, [job]);
        let others = JOBS.into_iter().filter(|other| *other != job);
        house.put_policy(
            &blob.key,
            others
                .clone()
                .map(|other| names.policy().statement(other))
                .collect(),
        );
        assert_eq!(can(&house, &blob).await, others.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_policy_lets_no_other_workspace_and_no_other_deployment_use_the_key() {
    let house = House::open().await;
    let blob = under_policy(&house).await;
    let mut other_broker = place("acme", "db-password", 1);
    other_broker.broker = BrokerId::parse("staging").unwrap();
    for theirs in [place("evil", "db-password", 1), other_broker] {
        let context = EncryptionContext::new(&theirs, &PolicyDigest::of(b"{}"));
        let failure = house
            .wrap()
            .generate(&blob.key, &context, &[], TIME)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failure.refusal, Refusal::AccessDenied);
        let mut ask = Ask::new(&blob);
        ask.context = context;
        let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.refusal, Refusal::AccessDenied);
    }
}

#[tokio::test]
async fn the_policy_allows_neither_a_context_with_more_pairs_nor_one_without_any() {
    let house = House::open().await;
    let blob = under_policy(&house).await;
    let ours: Value = context()
        .pairs()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let mut more = ours.clone();
    more["byok:else"] = json!("x");
    let input = |context: Value| json!({"KeyId": blob.key.as_str(), "KeySpec": "AES_256", "EncryptionContext": context});
    assert!(house.call_as_broker("GenerateDataKey", input(ours)).is_ok());
    for context in [more, json!({})] {
        let error = house
            .call_as_broker("GenerateDataKey", input(context))
            .unwrap_err();
        assert_eq!(error.code, "AccessDeniedException");
    }
}

#[tokio::test]
async fn the_cut_beats_policy_and_grant_and_taking_it_out_leaves_them_as_they_were() {
    let house = House::open().await;
    let blob = under_policy(&house).await;
    house.grant(&blob.key, &["GenerateDataKey", "Decrypt", "DescribeKey"]);
    let names = Names::new();
    let mut statements = names.policy().statements();
    statements.push(names.policy().cut());
    house.put_policy(&blob.key, statements);
    assert_eq!(can(&house, &blob).await, []);
    house.put_policy(&blob.key, names.policy().statements());
    assert_eq!(can(&house, &blob).await, JOBS);
}

#[tokio::test]
async fn the_grant_does_what_the_statements_do_and_revoking_it_ends_all_of_it() {
    let house = House::open().await;
    let key = house.create_key(json!({}));
    let mut input = Names::new().policy().grant();
    input["KeyId"] = json!(key.as_str());
    let made = house.customer("CreateGrant", input.clone());
    let again = house.customer("CreateGrant", input);
    assert_eq!(
        made["GrantId"], again["GrantId"],
        "named, so that a repeat leaves no second grant"
    );

    let blob = house
        .wrap()
        .generate(&key, &context(), &[], TIME)
        .await
        .unwrap()
        .wrapped;
    assert_eq!(can(&house, &blob).await, JOBS);
    let theirs = EncryptionContext::new(&place("evil", "db-password", 1), &PolicyDigest::of(b"{}"));
    let failure = house
        .wrap()
        .generate(&key, &theirs, &[], TIME)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::AccessDenied);

    house.customer(
        "RevokeGrant",
        json!({"KeyId": key.as_str(), "GrantId": made["GrantId"]}),
    );
    assert_eq!(can(&house, &blob).await, []);
}
