//! MACs of records that give authority, through a KMS that makes and checks them.

use crate::forged::{KEY, Liar, OTHER, base64};
use crate::house::{House, SHORT, TIME};
use envelope::kms::{CheckMac, MakeMac};
use envelope::{
    AuthorityRecord, BrokerId, KeyArn, KmsFailure, KmsOperation, MacError, RecordKind, Refusal,
};
use local_kms::{Fault, FaultKind};
use serde_json::json;

const RECORD: AuthorityRecord<'static> = AuthorityRecord {
    pk: "W#acme",
    sk: "KEY",
    bytes: br#"{"revision":1}"#,
};

fn hmac_key(house: &House) -> KeyArn {
    house.create_own_key(json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}))
}

fn broker(id: &str) -> BrokerId {
    BrokerId::parse(id).unwrap()
}

fn make(house: &House, key: &KeyArn) -> MakeMac {
    house
        .broker()
        .make_mac(RecordKind::Binding, key.clone(), broker("prod"))
}

fn check(house: &House, key: &KeyArn) -> CheckMac {
    house
        .broker()
        .check_mac(RecordKind::Binding, key.clone(), broker("prod"))
}

fn unasked(result: Result<(), MacError>) -> KmsFailure {
    match result {
        Err(MacError::Unasked(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mac_that_was_made_passes_and_two_calls_were_made_for_it() {
    let house = House::open().await;
    let key = hmac_key(&house);
    let mac = make(&house, &key).make(&RECORD, TIME).await.unwrap();
    assert_eq!(mac.len(), 32);
    check(&house, &key)
        .check(&RECORD, &mac, TIME)
        .await
        .unwrap();
    let names: Vec<_> = house
        .broker_events()
        .iter()
        .map(|event| {
            (
                event["eventName"].clone(),
                event["requestParameters"].clone(),
            )
        })
        .collect();
    let parameters = json!({"keyId": key.as_str(), "macAlgorithm": "HMAC_SHA_256"});
    assert_eq!(
        json!(names),
        json!([["GenerateMac", parameters], ["VerifyMac", parameters]])
    );
}

#[tokio::test]
async fn a_record_of_which_anything_is_changed_is_forged() {
    let house = House::open().await;
    let key = hmac_key(&house);
    let mac = make(&house, &key).make(&RECORD, TIME).await.unwrap();
    let ours = check(&house, &key);
    let other = |pk, sk, bytes| AuthorityRecord { pk, sk, bytes };
    for record in [
        other("W#acmf", RECORD.sk, RECORD.bytes),
        other(RECORD.pk, "KEZ", RECORD.bytes),
        other(RECORD.pk, RECORD.sk, br#"{"revision":2}"#),
        other(RECORD.pk, RECORD.sk, b""),
        // The same bytes in a row, cut elsewhere.
        other("W#acm", "eKEY", RECORD.bytes),
        other("W#acmeK", "EY", RECORD.bytes),
        other(RECORD.pk, "KE", br#"Y{"revision":1}"#),
        other(RECORD.pk, r#"KEY{"revision":1}"#, b""),
    ] {
        let answer = ours.check(&record, &mac, TIME).await;
        assert!(matches!(answer, Err(MacError::Forged)), "{record:?}");
    }
    for (kind, id) in [
        (RecordKind::Token, "prod"),
        (RecordKind::Job, "prod"),
        (RecordKind::AlertTarget, "prod"),
        (RecordKind::Binding, "prob"),
    ] {
        let theirs = house.broker().check_mac(kind, key.clone(), broker(id));
        let answer = theirs.check(&RECORD, &mac, TIME).await;
        assert!(matches!(answer, Err(MacError::Forged)), "{kind:?} {id}");
    }
    for bit in 0..256 {
        let mut changed = mac.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let answer = ours.check(&RECORD, &changed, TIME).await;
        assert!(matches!(answer, Err(MacError::Forged)), "{bit}");
    }
    ours.check(&RECORD, &mac, TIME).await.unwrap();
}

#[tokio::test]
async fn a_mac_by_another_key_is_forged() {
    let house = House::open().await;
    let (key, another) = (hmac_key(&house), hmac_key(&house));
    let mac = make(&house, &another).make(&RECORD, TIME).await.unwrap();
    let answer = check(&house, &key).check(&RECORD, &mac, TIME).await;
    assert!(matches!(answer, Err(MacError::Forged)));
}

#[tokio::test]
async fn what_has_not_the_length_of_a_mac_is_forged_without_a_call() {
    let house = House::open().await;
    let check = check(&house, &hmac_key(&house));
    for length in [0, 1, 31, 33, 64] {
        let answer = check.check(&RECORD, &vec![0; length], TIME).await;
        assert!(matches!(answer, Err(MacError::Forged)), "{length}");
    }
    assert!(house.broker_events().is_empty());
}

#[tokio::test]
async fn what_passed_is_asked_once_and_what_did_not_each_time() {
    let house = House::open().await;
    let key = hmac_key(&house);
    let mac = make(&house, &key).make(&RECORD, TIME).await.unwrap();
    let ours = check(&house, &key);
    for _ in 0..3 {
        ours.check(&RECORD, &mac, TIME).await.unwrap();
        ours.clone().check(&RECORD, &mac, TIME).await.unwrap();
    }
    assert_eq!(house.events("VerifyMac").len(), 1, "clones remember too");

    let mut forged = mac.clone();
    forged[0] ^= 1;
    let moved = AuthorityRecord {
        sk: "T#1",
        ..RECORD
    };
    for round in 1..=3 {
        assert!(ours.check(&RECORD, &forged, TIME).await.is_err());
        assert!(ours.check(&moved, &mac, TIME).await.is_err());
        assert_eq!(house.events("VerifyMac").len(), 1 + 2 * round);
    }
    ours.check(&RECORD, &mac, TIME).await.unwrap();
    assert_eq!(house.events("VerifyMac").len(), 7, "and it is still known");

    check(&house, &key)
        .check(&RECORD, &mac, TIME)
        .await
        .unwrap();
    assert_eq!(
        house.events("VerifyMac").len(),
        8,
        "another handle knows nothing"
    );
}

#[tokio::test]
async fn a_fault_is_unasked_and_never_forged_and_is_not_remembered() {
    let mut faults = tokio::task::JoinSet::new();
    for (kind, refusal) in [
        (FaultKind::Throttle, Refusal::Throttled),
        (FaultKind::Internal, Refusal::Unavailable),
        (FaultKind::Unavailable, Refusal::Unavailable),
        (FaultKind::DependencyTimeout, Refusal::Unavailable),
        (FaultKind::Hang, Refusal::Unavailable),
        (FaultKind::DropConnection, Refusal::Unavailable),
        (FaultKind::LoseAnswer, Refusal::Unavailable),
    ] {
        faults.spawn(async move {
            let house = House::open().await;
            let key = hmac_key(&house);
            let (make, check) = (make(&house, &key), check(&house, &key));
            let mac = make.make(&RECORD, TIME).await.unwrap();
            house.kms.inject(Fault::always("*", kind));
            let mut forged = mac.clone();
            forged[0] ^= 1;
            for mac in [&mac, &forged] {
                let failure = unasked(check.check(&RECORD, mac, SHORT).await);
                assert_eq!(
                    (failure.refusal, failure.operation),
                    (refusal, KmsOperation::VerifyMac),
                    "{kind:?}"
                );
            }
            let failure = make.make(&RECORD, SHORT).await.unwrap_err();
            assert_eq!(
                (failure.refusal, failure.operation),
                (refusal, KmsOperation::GenerateMac),
                "{kind:?}"
            );
            house.kms.clear_faults();
            check.check(&RECORD, &mac, TIME).await.unwrap();
            let answer = check.check(&RECORD, &forged, TIME).await;
            assert!(matches!(answer, Err(MacError::Forged)), "{kind:?}");
        });
    }
    faults.join_all().await;
}

#[tokio::test]
async fn a_throttled_call_is_made_again_within_its_time() {
    let house = House::open().await;
    let key = hmac_key(&house);
    for operation in ["GenerateMac", "VerifyMac"] {
        house
            .kms
            .inject(Fault::times(operation, FaultKind::Throttle, 2));
    }
    let mac = make(&house, &key).make(&RECORD, TIME).await.unwrap();
    check(&house, &key)
        .check(&RECORD, &mac, TIME)
        .await
        .unwrap();
    assert_eq!(house.events("VerifyMac").len(), 3);
}

/// Both calls fail, as the broker's own fault, after one attempt each.
async fn is_misconfigured(house: &House, key: &KeyArn, code: &str) {
    let before = house.broker_events().len();
    let failures = [
        make(house, key).make(&RECORD, TIME).await.unwrap_err(),
        unasked(check(house, key).check(&RECORD, &[7; 32], TIME).await),
    ];
    for failure in &failures {
        assert_eq!(
            (failure.refusal, failure.code.as_deref()),
            (Refusal::Misconfigured, Some(code))
        );
        assert_eq!(failure.request_ids.len(), 1);
    }
    let names: Vec<_> = house.broker_events()[before..]
        .iter()
        .map(|event| event["eventName"].clone())
        .collect();
    assert_eq!(
        names,
        ["GenerateMac", "VerifyMac"],
        "nothing else was asked"
    );
}

#[tokio::test]
async fn what_kms_has_against_a_mac_key_is_the_brokers_own_fault() {
    let house = House::open().await;
    let key = hmac_key(&house);
    let key_id = json!({"KeyId": key.as_str()});
    house.broker_may(&["kms:Decrypt", "kms:DescribeKey"]);
    is_misconfigured(&house, &key, "AccessDeniedException").await;
    house.broker_may(&["kms:*"]);
    house.deployment("DisableKey", key_id.clone());
    is_misconfigured(&house, &key, "DisabledException").await;
    house.deployment("EnableKey", key_id.clone());
    house.deployment("ScheduleKeyDeletion", key_id);
    is_misconfigured(&house, &key, "KMSInvalidStateException").await;
    let none = "arn:aws:kms:eu-west-1:444455556666:key/00000000-0000-4000-8000-000000000000";
    is_misconfigured(&house, &KeyArn::parse(none).unwrap(), "NotFoundException").await;
    let wraps = house.create_own_key(json!({}));
    is_misconfigured(&house, &wraps, "InvalidKeyUsageException").await;
}

#[tokio::test]
async fn an_answer_for_another_key_or_of_another_kind_is_not_believed() {
    let key = KeyArn::parse(KEY).unwrap();
    let good =
        json!({"KeyId": KEY, "MacAlgorithm": "HMAC_SHA_256", "Mac": base64(32), "MacValid": true});
    let liar = Liar::saying(200, &good).await;
    let make = |liar: &Liar| {
        liar.kms
            .make_mac(RecordKind::Binding, key.clone(), broker("prod"))
    };
    let check = |liar: &Liar| {
        liar.kms
            .check_mac(RecordKind::Binding, key.clone(), broker("prod"))
    };
    assert_eq!(make(&liar).make(&RECORD, TIME).await.unwrap(), [7; 32]);
    check(&liar).check(&RECORD, &[7; 32], TIME).await.unwrap();
    assert_eq!(
        liar.requests()[0]["Message"],
        liar.requests()[1]["Message"],
        "what is made is what is checked"
    );
    for (field, value) in [
        ("KeyId", json!(OTHER)),
        ("KeyId", json!(null)),
        ("MacAlgorithm", json!("HMAC_SHA_512")),
        ("MacAlgorithm", json!(null)),
        ("Mac", json!(base64(31))),
        ("Mac", json!(base64(33))),
        ("Mac", json!(null)),
        ("MacValid", json!(false)),
        ("MacValid", json!(null)),
    ] {
        let mut answer = good.clone();
        answer[field] = value;
        let liar = Liar::saying(200, &answer).await;
        if field != "MacValid" {
            let failure = make(&liar).make(&RECORD, TIME).await.unwrap_err();
            assert_eq!(
                (failure.refusal, failure.request_ids),
                (Refusal::Integrity, vec!["forged".to_owned()]),
                "{answer}"
            );
        }
        if field != "Mac" {
            let check = check(&liar);
            for _ in 0..2 {
                let failure = unasked(check.check(&RECORD, &[7; 32], TIME).await);
                assert_eq!(failure.refusal, Refusal::Integrity, "{answer}");
            }
        }
    }
}
