//! Where KMS says no, and means it: DESIGN's table, "When the customer's KMS says no".

use crate::house::{Ask, House, SHORT, TIME, context, named, place};
use envelope::aws::AwsAccess;
use envelope::kms::Kms;
use envelope::{EncryptionContext, KeyArn, KmsOperation, PolicyDigest, Refusal, WrappedDataKey};
use serde_json::json;

/// Every call that needs the key: each is refused so, after one attempt, and
/// with the request id of the customer's log.
async fn every_call_is_refused(
    house: &House,
    wrapped: &WrappedDataKey,
    refusal: Refusal,
    code: &str,
) {
    let (wrap, unwrap, ask) = (house.wrap(), house.unwrap(), Ask::new(wrapped));
    let before = house.broker_events().len();
    let failures = [
        wrap.generate(&wrapped.key, &context(), &[], TIME)
            .await
            .map(|_| ())
            .unwrap_err(),
        ask.unwrap(&unwrap).await.map(|_| ()).unwrap_err(),
        ask.would_unwrap(&unwrap).await.map(|_| ()).unwrap_err(),
    ];
    let mut events = house.broker_events().split_off(before);
    events.retain(|event| event["eventName"] != "DescribeKey");
    assert_eq!(events.len(), failures.len(), "each was tried once");
    for (failure, event) in failures.iter().zip(events) {
        assert_eq!(
            (failure.refusal, failure.code.as_deref()),
            (refusal, Some(code))
        );
        assert_eq!(json!(failure.request_ids), json!([event["requestID"]]));
        assert!(failure.refusal.is_definite() && !failure.refusal.is_transient());
    }
    let operations = failures.map(|failure| failure.operation);
    assert_eq!(
        operations,
        [
            KmsOperation::GenerateDataKey,
            KmsOperation::Decrypt,
            KmsOperation::Decrypt
        ]
    );
}

#[tokio::test]
async fn a_revoked_grant_is_access_denied_and_granting_again_works_at_once() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.revoke();
    every_call_is_refused(
        &house,
        &made.wrapped,
        Refusal::AccessDenied,
        "AccessDeniedException",
    )
    .await;
    assert!(
        house.events("DescribeKey").is_empty(),
        "what is definite needs no further question"
    );
    house.grant(&house.key, &["Decrypt"]);
    assert!(
        Ask::new(&made.wrapped)
            .unwrap(&house.unwrap())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_disabled_key_is_disabled_and_enabling_it_works_at_once() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.customer("DisableKey", json!({"KeyId": house.key.as_str()}));
    every_call_is_refused(
        &house,
        &made.wrapped,
        Refusal::Disabled,
        "DisabledException",
    )
    .await;
    assert!(house.events("DescribeKey").is_empty());
    house.customer("EnableKey", json!({"KeyId": house.key.as_str()}));
    assert!(
        Ask::new(&made.wrapped)
            .unwrap(&house.unwrap())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_key_scheduled_for_deletion_is_pending_deletion_which_describe_key_tells() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.customer("ScheduleKeyDeletion", json!({"KeyId": house.key.as_str()}));
    every_call_is_refused(
        &house,
        &made.wrapped,
        Refusal::PendingDeletion,
        "KMSInvalidStateException",
    )
    .await;
    assert_eq!(
        house.events("DescribeKey").len(),
        3,
        "asked once for each, and only then"
    );
}

#[tokio::test]
async fn a_key_without_its_imported_material_is_material_missing() {
    let house = House::open().await;
    let mut wrapped = house.wrapped().await.wrapped;
    wrapped.key = house.create_key_open_to_the_broker(json!({"Origin": "EXTERNAL"}));
    every_call_is_refused(
        &house,
        &wrapped,
        Refusal::MaterialMissing,
        "KMSInvalidStateException",
    )
    .await;
}

#[tokio::test]
async fn a_key_that_does_not_exist_is_not_found() {
    let house = House::open().await;
    let mut wrapped = house.wrapped().await.wrapped;
    wrapped.key = KeyArn::parse(
        "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000",
    )
    .unwrap();
    every_call_is_refused(&house, &wrapped, Refusal::NotFound, "NotFoundException").await;
    let failure = house
        .broker()
        .inspect()
        .describe(&named(&wrapped.key), &[], TIME)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.refusal, failure.operation),
        (Refusal::NotFound, KmsOperation::DescribeKey)
    );
}

#[tokio::test]
async fn a_state_that_describe_key_may_not_tell_is_no_definite_answer() {
    let house = House::open().await;
    let key = house.create_key(json!({}));
    house.grant(&key, &["GenerateDataKey", "Decrypt"]);
    let made = house
        .wrap()
        .generate(&key, &context(), &[], TIME)
        .await
        .unwrap();
    house.customer("ScheduleKeyDeletion", json!({"KeyId": key.as_str()}));
    let mut ask = Ask::new(&made.wrapped);
    ask.time = SHORT;
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(failure.refusal, Refusal::Unavailable);
    assert!(!failure.refusal.is_definite());
    assert_eq!(failure.code.as_deref(), Some("KMSInvalidStateException"));
}

#[tokio::test]
async fn one_workspaces_grant_is_no_grant_for_another_workspace() {
    let house = House::open().await;
    let theirs = EncryptionContext::new(&place("evil", "db-password", 1), &PolicyDigest::of(b"{}"));
    let failure = house
        .wrap()
        .generate(&house.key, &theirs, &[], TIME)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::AccessDenied);
    let made = house.wrapped().await;
    let mut ask = Ask::new(&made.wrapped);
    ask.context = theirs;
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(failure.refusal, Refusal::AccessDenied);
}

#[tokio::test]
async fn a_data_key_does_not_unwrap_under_any_other_context() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let policy = PolicyDigest::of(b"{}");
    // Broker and workspace are the grant's business: see the test before.
    let contexts = [
        EncryptionContext::new(&place("acme", "db-passwore", 1), &policy),
        EncryptionContext::new(&place("acme", "db-password", 2), &policy),
        EncryptionContext::new(&place("acme", "db-password", 1), &PolicyDigest::of(b"{ }")),
        EncryptionContext::probe(
            &place("acme", "x", 1).broker,
            &place("acme", "x", 1).workspace,
        ),
    ];
    for other in contexts {
        let mut ask = Ask::new(&made.wrapped);
        ask.context = other;
        let failure = ask.unwrap(&unwrap).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity, "{:?}", ask.context);
        assert_eq!(failure.request_ids.len(), 1, "it is not asked again");
        assert_eq!(
            ask.would_unwrap(&unwrap).await.unwrap_err().refusal,
            Refusal::Integrity
        );
    }
}

#[tokio::test]
async fn a_wrapped_key_with_anything_changed_is_refused() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let intact = &made.wrapped.ciphertext;
    let mut damaged: Vec<Vec<u8>> = (0..intact.len())
        .map(|at| {
            let mut blob = intact.clone();
            blob[at] ^= 0x10;
            blob
        })
        .collect();
    damaged.extend([1, intact.len() / 2, intact.len() - 1].map(|length| intact[..length].to_vec()));
    damaged.push([intact.as_slice(), &[0]].concat());
    damaged.push(vec![0x42; 6144]);
    for ciphertext in damaged {
        let blob = WrappedDataKey {
            ciphertext,
            ..made.wrapped.clone()
        };
        let failure = Ask::new(&blob)
            .unwrap(&unwrap)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity);
    }
}

#[tokio::test]
async fn a_wrapped_key_of_another_kek_is_refused() {
    let house = House::open().await;
    let mut wrapped = house.wrapped().await.wrapped;
    wrapped.key = house.create_key(json!({}));
    house.grant(&wrapped.key, &["Decrypt"]);
    let failure = Ask::new(&wrapped)
        .unwrap(&house.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        (failure.refusal, failure.code.as_deref()),
        (Refusal::Integrity, Some("IncorrectKeyException"))
    );
}

#[tokio::test]
async fn a_kek_that_the_workspace_does_not_list_is_refused_without_a_call() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let unwrap = house.unwrap();
    let before = house.kms.events().unwrap().len();
    let mut ask = Ask::new(&made.wrapped);
    for allowed in [
        vec![],
        vec![
            house.create_key_in("us-east-1"),
            house.create_key_in("eu-west-1"),
        ],
    ] {
        ask.allowed = allowed;
        for failure in [
            ask.unwrap(&unwrap).await.map(|_| ()).unwrap_err(),
            ask.would_unwrap(&unwrap).await.map(|_| ()).unwrap_err(),
        ] {
            assert_eq!((failure.refusal, failure.code), (Refusal::Integrity, None));
            assert!(failure.request_ids.is_empty());
        }
    }
    let since = house.kms.events().unwrap().split_off(before);
    assert!(
        since.iter().all(|event| event["eventName"] == "CreateKey"),
        "the broker asked nothing"
    );
}

#[tokio::test]
async fn what_cannot_be_a_ciphertext_blob_is_refused_without_a_call() {
    let house = House::open().await;
    let mut wrapped = house.wrapped().await.wrapped;
    for length in [0, 6145] {
        wrapped.ciphertext = vec![1; length];
        let failure = Ask::new(&wrapped)
            .unwrap(&house.unwrap())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity);
    }
    assert!(house.events("Decrypt").is_empty());
}

#[tokio::test]
async fn a_kms_that_does_not_know_the_broker_is_the_brokers_own_fault() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let stranger = Kms::new(
        AwsAccess::new("AKIAIOSFODNN7NOBODY00", "x", None),
        Some(house.endpoint.clone()),
    );
    let failure = Ask::new(&made.wrapped)
        .unwrap(&stranger.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Misconfigured);
    assert!(!failure.refusal.is_definite() && !failure.refusal.is_transient());
    assert_eq!(failure.request_ids.len(), 1, "and not asked again");
    let failure = stranger
        .wrap()
        .generate(&house.key, &context(), &[], TIME)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Misconfigured);
    let failure = stranger
        .inspect()
        .describe(&named(&house.key), &[], TIME)
        .await
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Misconfigured);
}

#[tokio::test]
async fn a_key_of_the_wrong_kind_is_unsupported() {
    let house = House::open().await;
    let kind = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let key = house.create_key_open_to_the_broker(kind);
    let failure = house
        .wrap()
        .generate(&key, &context(), &[], TIME)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        (failure.refusal, failure.refusal.is_definite()),
        (Refusal::Unsupported, false)
    );
}

#[tokio::test]
async fn a_failure_says_neither_the_keys_name_nor_the_words_of_kms() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.revoke();
    let failure = Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        failure.to_string(),
        "Decrypt failed: AccessDenied (AccessDeniedException)"
    );
    let debug = format!("{failure:?}");
    for word in [
        "arn:",
        "111122223333",
        "444455556666",
        "acme",
        "db-password",
        "authorized",
    ] {
        assert!(!debug.contains(word), "{debug}");
    }
}
