//! Where KMS does not answer, or says "not now": an outage is not a revocation.

use crate::house::{Ask, House, SHORT, TIME, context, named};
use envelope::aws::AwsAccess;
use envelope::kms::Kms;
use envelope::{KmsFailure, Refusal};
use local_kms::{Fault, FaultKind};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How much later than its time a call may end on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

/// An unwrap that KMS makes fail for ever, inside the time that it was given.
async fn unwrap_fails(kind: FaultKind) -> (House, KmsFailure) {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.kms.inject(Fault::always("Decrypt", kind));
    let mut ask = Ask::new(&made.wrapped);
    ask.time = SHORT;
    let started = Instant::now();
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert!(
        started.elapsed() < SHORT + MARGIN,
        "{:?}",
        started.elapsed()
    );
    assert!(failure.refusal.is_transient() && !failure.refusal.is_definite());
    (house, failure)
}

#[tokio::test]
async fn a_kms_that_throttles_for_ever_is_throttled_after_several_attempts() {
    let (house, failure) = unwrap_fails(FaultKind::Throttle).await;
    assert_eq!(
        (failure.refusal, failure.code.as_deref()),
        (Refusal::Throttled, Some("ThrottlingException"))
    );
    let ids: Vec<_> = house
        .events("Decrypt")
        .iter()
        .map(|event| event["requestID"].clone())
        .collect();
    assert!(ids.len() >= 3, "{}", ids.len());
    assert!(ids.len() < 20, "with pauses between");
    assert!(
        json!(failure.request_ids)
            .as_array()
            .unwrap()
            .iter()
            .eq(ids.iter().take(failure.request_ids.len()))
    );
    assert!(
        failure.request_ids.len() + 1 >= ids.len(),
        "at most the last one was not waited for"
    );
}

#[tokio::test]
async fn a_kms_that_throttles_twice_is_asked_a_third_time() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house
        .kms
        .inject(Fault::times("Decrypt", FaultKind::Throttle, 2));
    let mut ask = Ask::new(&made.wrapped);
    ask.receipt = Some("01936f2e");
    let opened = ask.unwrap(&house.unwrap()).await.unwrap();
    let events = house.events("Decrypt");
    let ids: Vec<_> = events
        .iter()
        .map(|event| event["requestID"].clone())
        .collect();
    assert_eq!(opened.call.earlier.len(), 2);
    assert_eq!(
        json!([
            opened.call.earlier[0],
            opened.call.earlier[1],
            opened.call.request_id
        ]),
        json!(ids)
    );
    let carries = |event: &serde_json::Value| {
        event["userAgent"]
            .as_str()
            .unwrap()
            .ends_with(" byok-receipt/01936f2e")
    };
    assert!(
        events.iter().all(carries),
        "every attempt carries the receipt, once"
    );
    assert!(opened.key.is_same_as(&made.key));
}

#[tokio::test]
async fn wrap_and_describe_are_asked_again_too() {
    let house = House::open().await;
    for operation in ["GenerateDataKey", "DescribeKey"] {
        house
            .kms
            .inject(Fault::times(operation, FaultKind::Throttle, 2));
        house
            .kms
            .inject(Fault::times(operation, FaultKind::Internal, 1));
    }
    assert_eq!(house.wrapped().await.call.earlier.len(), 3);
    house
        .broker()
        .inspect()
        .describe(&named(&house.key), &[], TIME)
        .await
        .unwrap();
    assert_eq!(house.events("DescribeKey").len(), 4);
    house.kms.inject(Fault::always("*", FaultKind::Throttle));
    let failure = house
        .wrap()
        .generate(&house.key, &context(), &[], SHORT)
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Throttled);
    let failure = house
        .broker()
        .inspect()
        .describe(&named(&house.key), &[], SHORT)
        .await
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Throttled);
}

#[tokio::test]
async fn a_kms_that_fails_inside_is_unavailable() {
    for (kind, code) in [
        (FaultKind::Internal, "KMSInternalException"),
        (FaultKind::Unavailable, "KeyUnavailableException"),
        (FaultKind::DependencyTimeout, "DependencyTimeoutException"),
    ] {
        let (house, failure) = unwrap_fails(kind).await;
        assert_eq!(
            (failure.refusal, failure.code.as_deref()),
            (Refusal::Unavailable, Some(code))
        );
        assert!(house.events("Decrypt").len() >= 3);
    }
}

#[tokio::test]
async fn a_kms_that_hangs_is_unavailable_when_the_time_is_up() {
    let (_house, failure) = unwrap_fails(FaultKind::Hang).await;
    assert_eq!(
        (failure.refusal, failure.code),
        (Refusal::Unavailable, None)
    );
    assert!(failure.request_ids.is_empty());
}

#[tokio::test]
async fn a_kms_that_throttled_before_it_hung_is_throttled() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house
        .kms
        .inject(Fault::times("Decrypt", FaultKind::Throttle, 1));
    house.kms.inject(Fault::always("Decrypt", FaultKind::Hang));
    let mut ask = Ask::new(&made.wrapped);
    ask.time = SHORT;
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(
        (failure.refusal, failure.code.as_deref()),
        (Refusal::Throttled, Some("ThrottlingException"))
    );
}

#[tokio::test]
async fn a_connection_that_kms_drops_is_unavailable() {
    let (house, failure) = unwrap_fails(FaultKind::DropConnection).await;
    assert_eq!(
        (failure.refusal, failure.code),
        (Refusal::Unavailable, None)
    );
    assert!(house.events("Decrypt").is_empty());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_leaves_two_events() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house
        .kms
        .inject(Fault::times("Decrypt", FaultKind::LoseAnswer, 1));
    let opened = Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .unwrap();
    let events = house.events("Decrypt");
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["requestID"], json!(opened.call.request_id));
}

#[tokio::test]
async fn nothing_listening_is_unavailable() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let kms = Kms::new(
        AwsAccess::new("AKIAIOSFODNN7BROKER00", "secret", None),
        Some(endpoint),
    );
    let mut ask = Ask::new(&made.wrapped);
    ask.time = SHORT;
    let started = Instant::now();
    let failure = ask.unwrap(&kms.unwrap()).await.map(|_| ()).unwrap_err();
    assert!(started.elapsed() < SHORT + MARGIN);
    assert_eq!(
        (failure.refusal, failure.code),
        (Refusal::Unavailable, None)
    );
}

#[tokio::test]
async fn a_call_without_any_time_is_unavailable_at_once() {
    let house = House::open().await;
    let made = house.wrapped().await;
    let mut ask = Ask::new(&made.wrapped);
    ask.time = Duration::ZERO;
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(failure.refusal, Refusal::Unavailable);
}

#[tokio::test]
async fn a_refusal_after_a_throttle_is_the_refusal() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house
        .kms
        .inject(Fault::times("Decrypt", FaultKind::Throttle, 1));
    house.revoke();
    let failure = Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        (failure.refusal, failure.request_ids.len()),
        (Refusal::AccessDenied, 2)
    );
}

#[tokio::test]
async fn a_describe_key_that_fails_is_asked_again_before_a_state_is_believed() {
    let house = House::open().await;
    let made = house.wrapped().await;
    house.customer("ScheduleKeyDeletion", json!({"KeyId": house.key.as_str()}));
    house
        .kms
        .inject(Fault::times("DescribeKey", FaultKind::Internal, 2));
    let failure = Ask::new(&made.wrapped)
        .unwrap(&house.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::PendingDeletion);
    house
        .kms
        .inject(Fault::always("DescribeKey", FaultKind::Internal));
    let mut ask = Ask::new(&made.wrapped);
    ask.time = SHORT;
    let failure = ask.unwrap(&house.unwrap()).await.map(|_| ()).unwrap_err();
    assert_eq!(failure.refusal, Refusal::Unavailable);
}
