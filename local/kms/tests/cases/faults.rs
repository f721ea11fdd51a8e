//! Failures on demand.

use crate::wire::{post, scope};
use crate::world::{REGION, World};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use local_kms::{Fault, FaultKind};
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;

#[tokio::test]
async fn errors_come_as_often_as_told_with_aws_s_codes_and_statuses() {
    let world = World::new();
    for (kind, code, expected) in [
        (FaultKind::Throttle, "ThrottlingException", 400),
        (FaultKind::Internal, "KMSInternalException", 500),
        (FaultKind::Unavailable, "KeyUnavailableException", 500),
        (
            FaultKind::DependencyTimeout,
            "DependencyTimeoutException",
            500,
        ),
    ] {
        world.kms.inject(Fault::times("ListKeys", kind, 2));
        for _ in 0..2 {
            let (status, _, body) = post(&world.kms, "admin", "ListKeys", &json!({})).await;
            assert_eq!((status, body["__type"].as_str()), (expected, Some(code)));
            assert_eq!(
                world.kms.events().unwrap().pop().unwrap()["errorCode"],
                code
            );
        }
        let (status, _, _) = post(&world.kms, "admin", "ListKeys", &json!({})).await;
        assert_eq!(status, 200);
    }
}

#[test]
fn a_fault_is_for_its_operation_and_lasts_until_cleared() {
    let world = World::new();
    world
        .kms
        .inject(Fault::always("ListKeys", FaultKind::Throttle));
    assert_eq!(world.code("admin", "ListAliases", json!({})), "ok");
    for _ in 0..5 {
        assert_eq!(
            world.code("admin", "ListKeys", json!({})),
            "ThrottlingException"
        );
    }
    world.kms.clear_faults();
    assert_eq!(world.code("admin", "ListKeys", json!({})), "ok");
    world.kms.inject(Fault::times("*", FaultKind::Internal, 1));
    assert_eq!(
        world.code("admin", "ListAliases", json!({})),
        "KMSInternalException"
    );
    assert_eq!(world.code("admin", "ListAliases", json!({})), "ok");
}

fn create_key() -> Request<Body> {
    Request::post("/")
        .header("x-amz-target", "TrentService.CreateKey")
        .header("authorization", scope("admin", REGION))
        .body(Body::from("{}"))
        .unwrap()
}

#[tokio::test]
async fn a_hanging_call_does_nothing_and_never_answers() {
    let world = World::new();
    world
        .kms
        .inject(Fault::times("CreateKey", FaultKind::Hang, 1));
    let call = local_kms::router(world.kms.clone()).oneshot(create_key());
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    assert_eq!(world.ok("admin", "ListKeys", json!({}))["Keys"], json!([]));
    assert_eq!(world.kms.events().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_call_does_nothing_and_a_lost_answer_is_of_work_done() {
    let world = World::new();
    for (kind, keys) in [(FaultKind::DropConnection, 0), (FaultKind::LoseAnswer, 1)] {
        world.kms.inject(Fault::times("CreateKey", kind, 1));
        let response = local_kms::router(world.kms.clone())
            .oneshot(create_key())
            .await
            .unwrap();
        assert!(response.into_body().collect().await.is_err());
        let listed = world.ok("admin", "ListKeys", json!({}));
        assert_eq!(listed["Keys"].as_array().unwrap().len(), keys, "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_that_ends_lets_go_of_hanging_calls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    world
        .kms
        .inject(Fault::times("ListKeys", FaultKind::Hang, 1));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(local_kms::serve(listener, world.kms.clone(), async {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: TrentService.ListKeys\r\nauthorization: {}\r\n\
         content-length: 2\r\n\r\n{{}}",
        scope("admin", REGION)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let early = tokio::time::timeout(Duration::from_millis(100), stream.read_to_end(&mut answer));
    assert!(early.await.is_err());
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
    ended.unwrap().unwrap().unwrap();
    // No whole answer came: at most a head without its body.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("Keys"));
}

#[test]
fn one_operation_s_fault_is_cleared_and_the_others_stay() {
    let world = World::new();
    for operation in ["ListKeys", "ListAliases"] {
        world
            .kms
            .inject(Fault::always(operation, FaultKind::Internal));
    }
    world.kms.clear_fault("ListKeys");
    assert_eq!(world.code("admin", "ListKeys", json!({})), "ok");
    assert_eq!(
        world.code("admin", "ListAliases", json!({})),
        "KMSInternalException"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_turned_on_and_off_while_calls_are_in_flight() {
    let world = World::new();
    let key = world.key(&[]);
    world
        .kms
        .inject(Fault::times("DescribeKey", FaultKind::Hang, 1));
    let describe = || {
        let (kms, input) = (world.kms.clone(), json!({"KeyId": key}));
        async move { post(&kms, "admin", "DescribeKey", &input).await.0 }
    };
    let mut hanging = Box::pin(describe());
    let hung = tokio::time::timeout(Duration::from_millis(100), &mut hanging);
    assert!(hung.await.is_err());
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (kms, input) = (world.kms.clone(), json!({"KeyId": key}));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..100 {
                    seen.push(post(&kms, "admin", "DescribeKey", &input).await.0);
                }
                seen
            })
        })
        .collect();
    for _ in 0..200 {
        world
            .kms
            .inject(Fault::always("DescribeKey", FaultKind::Unavailable));
        assert_eq!(describe().await, 500);
        world.kms.clear_fault("DescribeKey");
        assert_eq!(describe().await, 200);
    }
    for caller in callers {
        let seen = caller.await.unwrap();
        assert!(seen.iter().all(|status| [200, 500].contains(status)));
    }
    // What hangs already is not let go.
    let hung = tokio::time::timeout(Duration::from_millis(100), &mut hanging);
    assert!(hung.await.is_err());
}
