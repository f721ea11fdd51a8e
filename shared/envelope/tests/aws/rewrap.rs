//! Moving a wrapped data key, through a KMS that authorizes both of its ends.

use crate::forged::{KEY, Liar, OTHER, base64, wrapped as forged_blob};
use crate::house::{Ask, House, SHORT, TIME, context, place};
use envelope::kms::{Rewrap, RewrapRequest, Rewrapped};
use envelope::{
    EncryptionContext, KeyArn, KmsFailure, KmsOperation, PolicyDigest, Refusal, SecretBytes,
    WrappedDataKey, open, seal,
};
use local_kms::{Fault, FaultKind};
use serde_json::json;
use std::time::Duration;

const MOVE: [&str; 5] = [
    "GenerateDataKey",
    "Decrypt",
    "DescribeKey",
    "ReEncryptFrom",
    "ReEncryptTo",
];

/// A request that stays on one key and in one context, until something is changed.
struct Move<'a> {
    wrapped: &'a WrappedDataKey,
    from: EncryptionContext,
    to_key: KeyArn,
    to: EncryptionContext,
    allowed: Vec<KeyArn>,
    receipt: Option<&'a str>,
    time: Duration,
}

impl<'a> Move<'a> {
    fn new(wrapped: &'a WrappedDataKey) -> Self {
        Self {
            wrapped,
            from: context(),
            to_key: wrapped.key.clone(),
            to: context(),
            allowed: vec![wrapped.key.clone()],
            receipt: None,
            time: TIME,
        }
    }

    fn to(wrapped: &'a WrappedDataKey, key: &KeyArn) -> Self {
        Self {
            to_key: key.clone(),
            allowed: vec![wrapped.key.clone(), key.clone()],
            ..Self::new(wrapped)
        }
    }

    fn request(&self) -> RewrapRequest<'_> {
        RewrapRequest {
            wrapped: self.wrapped,
            from: &self.from,
            to_key: &self.to_key,
            to: &self.to,
            allowed: &self.allowed,
            receipt: self.receipt,
            time: self.time,
        }
    }

    async fn rewrap(&self, rewrap: &Rewrap) -> Result<Rewrapped, KmsFailure> {
        rewrap.rewrap(self.request()).await
    }

    /// Both ways fail; how.
    async fn fails(&self, rewrap: &Rewrap) -> [KmsFailure; 2] {
        let failures = [
            self.rewrap(rewrap).await.unwrap_err(),
            rewrap.would_rewrap(self.request()).await.unwrap_err(),
        ];
        for failure in &failures {
            assert_eq!(failure.operation, KmsOperation::ReEncrypt);
        }
        failures
    }

    async fn is_refused(&self, rewrap: &Rewrap, refusal: Refusal) {
        for failure in self.fails(rewrap).await {
            assert_eq!(failure.refusal, refusal);
        }
    }
}

/// A house whose key can be moved from and to, and a second such key.
async fn two_keys() -> (House, KeyArn) {
    let house = House::open().await;
    house.grant(&house.key, &MOVE);
    let second = house.create_key(json!({}));
    house.grant(&second, &MOVE);
    (house, second)
}

#[tokio::test]
async fn the_data_key_stays_the_same_under_the_new_key_and_what_was_sealed_still_opens() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let place = place("acme", "db-password", 1);
    let sealed = seal(made.key, &place, &SecretBytes::new(b"hunter2".to_vec()));
    let moved = Move::to(&made.wrapped, &second)
        .rewrap(&house.broker().rewrap())
        .await
        .unwrap();
    assert_eq!(moved.wrapped.key, second);
    assert!(moved.wrapped.material.is_some() && moved.wrapped.material != made.wrapped.material);
    assert_eq!(moved.call.material, moved.wrapped.material);

    let opened = Ask::new(&moved.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    assert_eq!(opened.call.material, moved.wrapped.material);
    let value = open(&sealed, opened.key, &place).unwrap();
    // EXPOSE: to compare it.
    assert_eq!(value.expose_secret(), b"hunter2");

    // It opens though the former key is gone.
    house.customer("DisableKey", json!({"KeyId": house.key.as_str()}));
    Ask::new(&moved.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_re_wrap_is_one_re_encrypt_and_nothing_else_and_carries_its_receipt() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let before = house.broker_events().len();
    let mut request = Move::to(&made.wrapped, &second);
    request.receipt = Some("01936f2e");
    let moved = request.rewrap(&house.broker().rewrap()).await.unwrap();
    let events = house.broker_events().split_off(before);
    assert_eq!(events.len(), 1, "above all, no Decrypt");
    let event = &events[0];
    assert_eq!(event["eventName"], "ReEncrypt");
    assert_eq!(event["requestID"], json!(moved.call.request_id));
    assert!(moved.call.earlier.is_empty());
    let agent = event["userAgent"].as_str().unwrap();
    assert!(agent.ends_with(" byok-receipt/01936f2e"), "{agent}");
    let parameters = &event["requestParameters"];
    assert_eq!(parameters["sourceKeyId"], house.key.as_str());
    assert_eq!(parameters["destinationKeyId"], second.as_str());
    assert_eq!(
        parameters["sourceEncryptionContext"]["byok:secret"],
        "db-password"
    );
    assert_eq!(parameters.get("dryRun"), None);
}

#[tokio::test]
async fn on_one_key_the_context_can_change_and_only_the_new_one_opens() {
    let (house, _) = two_keys().await;
    let made = house.wrapped().await;
    let mut request = Move::new(&made.wrapped);
    request.to = EncryptionContext::new(
        &place("acme", "db-password", 1),
        &PolicyDigest::of(b"wider"),
    );
    let moved = request.rewrap(&house.broker().rewrap()).await.unwrap();
    let mut ask = Ask::new(&moved.wrapped);
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(failure.refusal, Refusal::Integrity);
    ask.context = request.to.clone();
    let opened = ask.unwrap(&house.unwrap()).await.unwrap();
    assert!(opened.key.is_same_as(&made.key));
}

#[tokio::test]
async fn on_one_key_newer_material_takes_over() {
    let (house, _) = two_keys().await;
    let made = house.wrapped().await;
    house.customer("RotateKeyOnDemand", json!({"KeyId": house.key.as_str()}));
    let moved = Move::new(&made.wrapped)
        .rewrap(&house.broker().rewrap())
        .await
        .unwrap();
    assert_ne!(moved.wrapped.material, made.wrapped.material);
    let opened = Ask::new(&moved.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    assert_eq!(opened.call.material, moved.wrapped.material);
}

#[tokio::test]
async fn would_rewrap_asks_about_the_very_blob_and_changes_nothing() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let rewrap = house.broker().rewrap();
    let request = Move::to(&made.wrapped, &second);
    let request_id = rewrap.would_rewrap(request.request()).await.unwrap();
    let events = house.events("ReEncrypt");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["requestID"], json!(request_id));
    assert_eq!(events[0]["errorCode"], "DryRunOperationException");

    let mut damaged = made.wrapped.clone();
    damaged.ciphertext[40] ^= 1;
    let mut request = Move::to(&damaged, &second);
    request.is_refused(&rewrap, Refusal::Integrity).await;
    request.wrapped = &made.wrapped;
    request.from =
        EncryptionContext::new(&place("acme", "db-password", 2), &PolicyDigest::of(b"{}"));
    request.is_refused(&rewrap, Refusal::Integrity).await;
}

#[tokio::test]
async fn both_ends_must_be_allowed_by_their_own_key_and_under_their_own_context() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let rewrap = house.broker().rewrap();
    let key = house.create_key(json!({}));
    let request = Move::to(&made.wrapped, &key);
    house.grant(&house.key, &["ReEncryptTo"]);
    house.grant(&key, &["ReEncryptTo"]);
    request.is_refused(&rewrap, Refusal::AccessDenied).await;
    house.grant(&house.key, &["ReEncryptFrom"]);
    request.rewrap(&rewrap).await.unwrap();

    let key = house.create_key(json!({}));
    let mut request = Move::to(&made.wrapped, &key);
    house.grant(&key, &["ReEncryptFrom", "GenerateDataKey", "Decrypt"]);
    request.is_refused(&rewrap, Refusal::AccessDenied).await;
    house.grant(&key, &["ReEncryptTo"]);
    request.rewrap(&rewrap).await.unwrap();

    request.to = EncryptionContext::new(&place("evil", "x", 1), &PolicyDigest::of(b"{}"));
    request.is_refused(&rewrap, Refusal::AccessDenied).await;
}

#[tokio::test]
async fn a_key_of_another_workspace_at_either_end_is_refused_without_a_call() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let before = house.broker_events().len();
    let mut request = Move::to(&made.wrapped, &second);
    for allowed in [
        vec![],
        vec![house.key.clone()],
        vec![second.clone()],
        vec![KeyArn::parse(OTHER).unwrap()],
    ] {
        request.allowed = allowed;
        for failure in request.fails(&house.broker().rewrap()).await {
            assert_eq!((failure.refusal, failure.code), (Refusal::Integrity, None));
            assert!(failure.request_ids.is_empty());
        }
    }
    for length in [0, 6145] {
        let mut blob = made.wrapped.clone();
        blob.ciphertext = vec![1; length];
        let request = Move::to(&blob, &second);
        request
            .is_refused(&house.broker().rewrap(), Refusal::Integrity)
            .await;
    }
    assert_eq!(house.broker_events().len(), before);
}

#[tokio::test]
async fn a_blob_that_is_forged_or_of_another_key_is_refused() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let rewrap = house.broker().rewrap();
    let intact = &made.wrapped.ciphertext;
    let damaged = (0..intact.len()).map(|at| {
        let mut blob = intact.clone();
        blob[at] ^= 0x10;
        blob
    });
    for ciphertext in damaged.chain([vec![0x42; 6144]]) {
        let blob = WrappedDataKey {
            ciphertext,
            ..made.wrapped.clone()
        };
        let failure = Move::to(&blob, &second).rewrap(&rewrap).await.unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity);
    }
    let blob = WrappedDataKey {
        key: second.clone(),
        ..made.wrapped.clone()
    };
    let failure = Move::new(&blob).rewrap(&rewrap).await.unwrap_err();
    assert_eq!(
        (failure.refusal, failure.code.as_deref()),
        (Refusal::Integrity, Some("IncorrectKeyException"))
    );
}

#[tokio::test]
async fn whichever_key_is_unusable_its_state_is_told() {
    for which in [0, 1] {
        let (house, second) = two_keys().await;
        let made = house.wrapped().await;
        let rewrap = house.broker().rewrap();
        let key = [&house.key, &second][which];
        let key_id = json!({"KeyId": key.as_str()});
        let request = Move::to(&made.wrapped, &second);
        house.customer("DisableKey", key_id.clone());
        request.is_refused(&rewrap, Refusal::Disabled).await;
        house.customer("ScheduleKeyDeletion", key_id);
        request.is_refused(&rewrap, Refusal::PendingDeletion).await;
    }
    let (house, _) = two_keys().await;
    let made = house.wrapped().await;
    let external = house.create_key_open_to_the_broker(json!({"Origin": "EXTERNAL"}));
    Move::to(&made.wrapped, &external)
        .is_refused(&house.broker().rewrap(), Refusal::MaterialMissing)
        .await;
}

#[tokio::test]
async fn a_fault_is_asked_again_and_says_nothing_of_either_key() {
    let (house, second) = two_keys().await;
    let made = house.wrapped().await;
    let rewrap = house.broker().rewrap();
    let mut request = Move::to(&made.wrapped, &second);
    house
        .kms
        .inject(Fault::times("ReEncrypt", FaultKind::Throttle, 2));
    let moved = request.rewrap(&rewrap).await.unwrap();
    assert_eq!(moved.call.earlier.len(), 2);
    request.time = SHORT;
    for (kind, refusal) in [
        (FaultKind::Throttle, Refusal::Throttled),
        (FaultKind::Internal, Refusal::Unavailable),
        (FaultKind::Hang, Refusal::Unavailable),
    ] {
        house.kms.inject(Fault::always("ReEncrypt", kind));
        request.is_refused(&rewrap, refusal).await;
        house.kms.clear_faults();
    }
}

#[tokio::test]
async fn a_key_of_another_region_that_is_no_replica_is_refused_without_a_call() {
    let (house, _) = two_keys().await;
    let made = house.wrapped().await;
    let before = house.broker_events().len();
    let there = house.create_key_in("us-east-1");
    let request = Move::to(&made.wrapped, &there);
    for failure in request.fails(&house.broker().rewrap()).await {
        assert_eq!(
            (failure.refusal, failure.code),
            (Refusal::OtherRegion, None)
        );
        assert!(!failure.refusal.is_definite() && !failure.refusal.is_transient());
    }
    assert_eq!(house.broker_events().len(), before);
}

const MRK: &str = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

#[tokio::test]
async fn into_another_region_the_replica_there_is_named_as_the_source() {
    let there = |text: &str| KeyArn::parse(&text.replace("eu-west-1", "us-east-1")).unwrap();
    let (primary, replica, target) = (KeyArn::parse(MRK).unwrap(), there(MRK), there(KEY));
    let stranger = there(&MRK.replace("1234567890ab", "1234567890ac"));
    let mut blob = forged_blob();
    blob.key = primary.clone();
    let liar = Liar::saying(
        200,
        json!({"KeyId": target.as_str(), "SourceKeyId": replica.as_str(), "CiphertextBlob": base64(9)}),
    )
    .await;
    let mut request = Move::to(&blob, &target);
    request.allowed = vec![primary.clone(), target.clone(), stranger];
    request
        .is_refused(&liar.kms.rewrap(), Refusal::OtherRegion)
        .await;
    assert!(liar.requests().is_empty());
    request.allowed.push(replica.clone());
    let moved = request.rewrap(&liar.kms.rewrap()).await.unwrap();
    assert_eq!(moved.wrapped.key, target);
    assert_eq!(liar.requests()[0]["SourceKeyId"], replica.as_str());

    // Onto the replica itself: the same key at both ends, as that Region knows it.
    request.to_key = replica.clone();
    let liar = Liar::saying(
        200,
        json!({"KeyId": replica.as_str(), "SourceKeyId": replica.as_str(), "CiphertextBlob": base64(9)}),
    )
    .await;
    request.rewrap(&liar.kms.rewrap()).await.unwrap();
    let sent = &liar.requests()[0];
    assert_eq!(
        [&sent["SourceKeyId"], &sent["DestinationKeyId"]],
        [replica.as_str(), replica.as_str()]
    );
}

#[tokio::test]
async fn a_data_key_moves_into_another_region_through_the_replica_there() {
    let house = House::open().await;
    let primary = house.create_key(json!({"MultiRegion": true}));
    let replica = house.replicate(&primary, "us-east-1");
    let target = house.create_key_in("us-east-1");
    for key in [&primary, &replica, &target] {
        house.grant(key, &MOVE);
    }
    let wrap = house.wrap();
    let made = wrap
        .generate(&primary, &context(), &[], TIME)
        .await
        .unwrap();
    let rewrap = house.broker().rewrap();
    for to_key in [&target, &replica] {
        let mut request = Move::to(&made.wrapped, to_key);
        request.allowed.push(replica.clone());
        rewrap.would_rewrap(request.request()).await.unwrap();
        let moved = request.rewrap(&rewrap).await.unwrap();
        assert_eq!(moved.wrapped.key, *to_key);
        let event = house.events("ReEncrypt").pop().unwrap();
        assert_eq!(event["awsRegion"], "us-east-1");
        assert_eq!(event["requestParameters"]["sourceKeyId"], replica.as_str());
        let opened = Ask::new(&moved.wrapped)
            .unwrap(&house.unwrap())
            .await
            .unwrap();
        assert!(opened.key.is_same_as(&made.key));
    }
    // The way back, from what the replica wraps: the primary's Region has never seen it.
    let made = wrap
        .generate(&replica, &context(), &[], TIME)
        .await
        .unwrap();
    let request = Move::to(&made.wrapped, &primary);
    let moved = request.rewrap(&rewrap).await.unwrap();
    let opened = Ask::new(&moved.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    assert!(opened.key.is_same_as(&made.key));
}

#[tokio::test]
async fn an_answer_for_other_keys_or_without_a_blob_is_not_believed() {
    let blob = forged_blob();
    let mut request = Move::to(&blob, &KeyArn::parse(OTHER).unwrap());
    let good = json!({"KeyId": OTHER, "SourceKeyId": KEY, "CiphertextBlob": base64(9), "DestinationKeyMaterialId": "0b",
        "SourceKeyMaterialId": "0a"});
    let liar = Liar::saying(200, &good).await;
    let moved = request.rewrap(&liar.kms.rewrap()).await.unwrap();
    assert_eq!(moved.wrapped.ciphertext, [7; 9]);
    assert_eq!(moved.wrapped.material.as_deref(), Some("0b"));

    // A dry run that was done in earnest is no yes.
    let failure = liar
        .kms
        .rewrap()
        .would_rewrap(request.request())
        .await
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Integrity);

    for (field, value) in [
        ("KeyId", json!(KEY)),
        ("KeyId", json!("1234abcd-12ab-34cd-56ef-1234567890ac")),
        ("KeyId", json!(null)),
        ("SourceKeyId", json!(OTHER)),
        ("SourceKeyId", json!(null)),
        ("CiphertextBlob", json!("")),
        ("CiphertextBlob", json!(base64(6145))),
        ("CiphertextBlob", json!(null)),
    ] {
        let mut answer = good.clone();
        answer[field] = value;
        let liar = Liar::saying(200, &answer).await;
        let failure = request.rewrap(&liar.kms.rewrap()).await.unwrap_err();
        assert_eq!(
            (failure.refusal, failure.request_ids),
            (Refusal::Integrity, vec!["forged".to_owned()]),
            "{answer}"
        );
        assert_eq!(liar.requests().len(), 1, "and not made again");
    }
    // A re-wrap that is answered as a dry run was not made.
    let liar = Liar::saying(400, json!({"__type": "DryRunOperationException"})).await;
    request.time = SHORT;
    let failure = request.rewrap(&liar.kms.rewrap()).await.unwrap_err();
    assert_eq!(failure.refusal, Refusal::Unsupported);
}
