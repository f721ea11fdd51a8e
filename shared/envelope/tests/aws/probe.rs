//! Asking whether KMS would: nothing is done, and every answer is told apart.

use crate::forged::{KEY, Liar, base64};
use crate::house::{House, SHORT, TIME, context, named, place};
use envelope::kms::Asked;
use envelope::{
    EncryptionContext, KeyArn, KeyName, KmsFailure, KmsOperation, PolicyDigest, Refusal,
};
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};

/// Everything that can be asked, under one context.
fn all(context: Option<&EncryptionContext>) -> [Asked<'_>; 3] {
    [
        Asked::GenerateDataKey(context),
        Asked::Decrypt(context),
        Asked::ReEncrypt {
            from: context,
            to: context,
        },
    ]
}

const ALL: [&str; 5] = [
    "GenerateDataKey",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "DescribeKey",
];

async fn fails(house: &House, key: &KeyArn, asked: Asked<'_>) -> KmsFailure {
    let probe = house.broker().probe();
    let failure = probe
        .would(&named(key), asked, &[], SHORT)
        .await
        .unwrap_err();
    assert_eq!(failure.operation, asked.operation());
    failure
}

async fn refusals(
    house: &House,
    key: &KeyArn,
    context: Option<&EncryptionContext>,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for asked in all(context) {
        refusals.push(fails(house, key, asked).await.refusal);
    }
    refusals
}

#[tokio::test]
async fn what_is_allowed_would_be_done_and_is_not() {
    let house = House::open().await;
    house.grant(&house.key, &ALL);
    let (context, probe) = (context(), house.broker().probe());
    let alias = json!({"AliasName": "alias/mine", "TargetKeyId": house.key.id()});
    house.customer("CreateAlias", alias);
    let alias = KeyName::parse("arn:aws:kms:eu-west-1:111122223333:alias/mine").unwrap();
    for asked in all(Some(&context)) {
        for key in [&named(&house.key), &alias] {
            let request_id = probe.would(key, asked, &[], TIME).await.unwrap();
            let events = house.events(asked.operation().as_str());
            let event = events.last().unwrap();
            assert_eq!(event["requestID"], json!(request_id));
            assert_eq!(event["errorCode"], "DryRunOperationException");
            assert_eq!(event["requestParameters"]["dryRun"], true);
            if asked.operation() != KmsOperation::GenerateDataKey {
                assert_eq!(
                    event["requestParameters"]["dryRunModifiers"],
                    json!(["IGNORE_CIPHERTEXT"])
                );
            }
        }
    }
    assert_eq!(house.broker_events().len(), 6, "and no other call");
}

#[tokio::test]
async fn each_right_is_asked_alone() {
    let house = House::open().await;
    let context = context();
    for (operations, expected) in [
        (&["GenerateDataKey"][..], [true, false, false]),
        (&["Decrypt"], [false, true, false]),
        (&["ReEncryptFrom", "ReEncryptTo"], [false, false, true]),
        (&["ReEncryptFrom"], [false; 3]),
        (&["ReEncryptTo"], [false; 3]),
    ] {
        let key = house.create_key(json!({}));
        house.grant(&key, operations);
        for (asked, allowed) in all(Some(&context)).into_iter().zip(expected) {
            let probe = house.broker().probe();
            match probe.would(&named(&key), asked, &[], TIME).await {
                Ok(_) => assert!(allowed, "{operations:?} {asked:?}"),
                Err(failure) => {
                    assert!(!allowed, "{operations:?} {asked:?}");
                    assert_eq!(failure.refusal, Refusal::AccessDenied);
                }
            }
        }
    }
}

#[tokio::test]
async fn another_workspaces_context_and_none_at_all_are_denied_where_the_key_is_fenced() {
    let house = House::open().await;
    house.grant(&house.key, &ALL);
    let theirs = EncryptionContext::new(&place("evil", "x", 1), &PolicyDigest::of(b"{}"));
    let denied = [Refusal::AccessDenied; 3];
    assert_eq!(refusals(&house, &house.key, Some(&theirs)).await, denied);
    assert_eq!(refusals(&house, &house.key, None).await, denied);
    let ours = context();
    for (from, to) in [
        (Some(&ours), Some(&theirs)),
        (Some(&theirs), Some(&ours)),
        (None, Some(&ours)),
        (Some(&ours), None),
    ] {
        let failure = fails(&house, &house.key, Asked::ReEncrypt { from, to }).await;
        assert_eq!(failure.refusal, Refusal::AccessDenied);
    }
    // A key that is not fenced lets all of it pass: what a negative probe finds.
    let open = house.create_key_open_to_the_broker(json!({}));
    for asked in all(None).into_iter().chain(all(Some(&theirs))) {
        let probe = house.broker().probe();
        probe.would(&named(&open), asked, &[], TIME).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_is_disabled_or_pending_or_gone_is_said_to_be() {
    let house = House::open().await;
    house.grant(&house.key, &ALL);
    let (ours, key_id) = (context(), json!({"KeyId": house.key.as_str()}));
    house.customer("DisableKey", key_id.clone());
    let found = refusals(&house, &house.key, Some(&ours)).await;
    assert_eq!(found, [Refusal::Disabled; 3]);
    house.customer("ScheduleKeyDeletion", key_id);
    let found = refusals(&house, &house.key, Some(&ours)).await;
    assert_eq!(found, [Refusal::PendingDeletion; 3]);
    let none = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000";
    let found = refusals(&house, &KeyArn::parse(none).unwrap(), Some(&ours)).await;
    assert_eq!(found, [Refusal::NotFound; 3]);
}

#[tokio::test]
async fn a_throttle_is_asked_again_and_is_no_denial() {
    let house = House::open().await;
    house.grant(&house.key, &ALL);
    let ours = context();
    for asked in all(Some(&ours)) {
        house.kms.inject(Fault::times("*", FaultKind::Throttle, 2));
        let probe = house.broker().probe();
        probe
            .would(&named(&house.key), asked, &[], TIME)
            .await
            .unwrap();
    }
    house.kms.inject(Fault::always("*", FaultKind::Throttle));
    let found = refusals(&house, &house.key, Some(&ours)).await;
    assert_eq!(found, [Refusal::Throttled; 3]);
    house.kms.clear_faults();
    house.kms.inject(Fault::always("*", FaultKind::Hang));
    let failure = fails(&house, &house.key, Asked::Decrypt(Some(&ours))).await;
    assert_eq!(failure.refusal, Refusal::Unavailable);
}

#[tokio::test]
async fn a_grant_token_makes_a_grant_count_that_has_not_spread() {
    let house = House::open().await;
    house
        .kms
        .set_grant_delay(std::time::Duration::from_secs(300));
    let key = house.create_key(json!({}));
    let (_, token) = house.grant(&key, &ALL);
    let (ours, probe) = (context(), house.broker().probe());
    for asked in all(Some(&ours)) {
        let failure = fails(&house, &key, asked).await;
        assert_eq!(failure.refusal, Refusal::AccessDenied);
        probe
            .would(&named(&key), asked, std::slice::from_ref(&token), TIME)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_dry_run_that_is_answered_in_earnest_is_no_yes() {
    let key = KeyName::parse(KEY).unwrap();
    let ours = context();
    for asked in all(Some(&ours)) {
        let answer = json!({"KeyId": KEY, "SourceKeyId": KEY, "Plaintext": base64(32), "CiphertextBlob": base64(9)});
        let liar = Liar::saying(200, answer).await;
        let failure = liar
            .kms
            .probe()
            .would(&key, asked, &[], TIME)
            .await
            .unwrap_err();
        assert_eq!(
            (failure.refusal, failure.request_ids),
            (Refusal::Integrity, vec!["forged".to_owned()])
        );
        let request = &liar.requests()[0];
        assert_eq!(request["DryRun"], true);
        assert_eq!(request.get("CiphertextBlob"), None);
    }
}

#[tokio::test]
async fn no_context_at_all_is_none_on_the_wire() {
    let key = KeyName::parse(KEY).unwrap();
    let liar = Liar::saying(400, json!({"__type": "DryRunOperationException"})).await;
    for asked in all(None) {
        liar.kms
            .probe()
            .would(&key, asked, &[], TIME)
            .await
            .unwrap();
    }
    for request in liar.requests() {
        let contexts = request
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.contains("Context"));
        assert_eq!(contexts.count(), 0, "{request}");
        assert_eq!(request["DryRun"], Value::Bool(true));
    }
}
