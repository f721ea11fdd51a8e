//! AWS JSON 1.1 and the Query protocol, as clients see them.

use crate::world::{BROKER, REGION, World};
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use local_kms::LocalKms;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) fn scope(who: &str, region: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={who}/20261122/{region}/kms/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000"
    )
}

/// One call over the HTTP handler: status, headers, body.
pub(crate) async fn post(
    kms: &LocalKms,
    who: &str,
    operation: &str,
    input: &Value,
) -> (u16, HeaderMap, Value) {
    let request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("TrentService.{operation}"))
        .header("authorization", scope(who, REGION))
        .header("user-agent", "test/1 receipt/42")
        .body(Body::from(input.to_string()))
        .unwrap();
    let (status, headers, body) = send(kms, request).await;
    (status, headers, serde_json::from_slice(&body).unwrap())
}

pub(crate) async fn send(kms: &LocalKms, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
    let response = local_kms::router(kms.clone())
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status.as_u16(), parts.headers, body)
}

async fn code(world: &World, request: Request<Body>) -> String {
    let (status, headers, body) = send(&world.kms, request).await;
    assert_eq!(status, 400);
    assert!(uuid(headers["x-amzn-requestid"].to_str().unwrap()));
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["__type"].as_str().unwrap().to_owned()
}

fn uuid(text: &str) -> bool {
    text.len() == 36 && text.matches('-').count() == 4
}

fn target(operation: &str) -> axum::http::request::Builder {
    Request::post("/").header("x-amz-target", format!("TrentService.{operation}"))
}

#[tokio::test]
async fn an_answer_has_a_request_id_and_the_content_type_of_aws_json() {
    let world = World::new();
    let (status, headers, body) = post(&world.kms, "admin", "CreateKey", &json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    assert!(uuid(headers["x-amzn-requestid"].to_str().unwrap()));
    let key = &body["KeyMetadata"];
    assert_eq!(key["AWSAccountId"], "111122223333");
    assert_eq!(
        key["Arn"],
        format!(
            "arn:aws:kms:{REGION}:111122223333:key/{}",
            key["KeyId"].as_str().unwrap()
        )
    );
    assert!(key["CreationDate"].is_f64());
    assert_eq!(key["KeyState"], "Enabled");
    assert_eq!(key["EncryptionAlgorithms"], json!(["SYMMETRIC_DEFAULT"]));
    assert_eq!(key["CurrentKeyMaterialId"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn who_is_unknown_or_unsigned_is_refused() {
    let world = World::new();
    let unsigned = target("ListKeys").body(Body::from("{}")).unwrap();
    assert_eq!(
        code(&world, unsigned).await,
        "MissingAuthenticationTokenException"
    );
    let garbled = target("ListKeys")
        .header("authorization", "Bearer x")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(
        code(&world, garbled).await,
        "MissingAuthenticationTokenException"
    );
    let unknown = target("ListKeys")
        .header("authorization", scope("AKIANOBODY", REGION))
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(code(&world, unknown).await, "UnrecognizedClientException");
}

#[tokio::test]
async fn what_is_no_operation_or_no_json_is_refused() {
    let world = World::new();
    let get = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(code(&world, get).await, "UnknownOperationException");
    let unknown = target("MakeCoffee")
        .header("authorization", scope("admin", REGION))
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(code(&world, unknown).await, "UnknownOperationException");
    for body in ["", "{", "[]", "7"] {
        let broken = target("ListKeys")
            .header("authorization", scope("admin", REGION))
            .body(Body::from(body))
            .unwrap();
        assert_eq!(
            code(&world, broken).await,
            "SerializationException",
            "{body}"
        );
    }
}

#[tokio::test]
async fn keys_live_in_the_region_of_the_credential_scope() {
    let world = World::new();
    let key = world.key(&[]);
    let there =
        |operation: &str, input: Value| world.kms.call("admin", "us-east-1", operation, input);
    assert_eq!(there("ListKeys", json!({})).unwrap()["Keys"], json!([]));
    let error = there("DescribeKey", json!({"KeyId": key})).unwrap_err();
    assert_eq!(error.code, "NotFoundException");
    let other = there("CreateKey", json!({})).unwrap()["KeyMetadata"]["Arn"].clone();
    assert!(
        other
            .as_str()
            .unwrap()
            .starts_with("arn:aws:kms:us-east-1:")
    );
    let data_key = there(
        "GenerateDataKey",
        json!({"KeyId": other, "KeySpec": "AES_128"}),
    )
    .unwrap();
    let input = json!({"CiphertextBlob": data_key["CiphertextBlob"]});
    assert_eq!(
        world.code("admin", "Decrypt", input),
        "AccessDeniedException"
    );
}

#[tokio::test]
async fn get_caller_identity_speaks_the_query_protocol() {
    let world = World::new();
    let form = |who: &str| {
        Request::post("/")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("authorization", scope(who, REGION))
            .body(Body::from("Action=GetCallerIdentity&Version=2011-06-15"))
            .unwrap()
    };
    let (status, headers, body) = send(&world.kms, form("broker")).await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "text/xml")
    );
    assert!(
        body.contains(&format!("<Account>{BROKER}</Account>")),
        "{body}"
    );
    assert!(
        body.contains(&format!(
            "<Arn>arn:aws:sts::{BROKER}:assumed-role/broker/local</Arn>"
        )),
        "{body}"
    );
    let (status, _, body) = send(&world.kms, form("nobody")).await;
    assert_eq!(status, 403);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("InvalidClientTokenId")
    );
}

#[tokio::test]
async fn a_server_on_a_socket_answers_and_ends() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(local_kms::serve(listener, world.kms.clone(), async {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: TrentService.ListKeys\r\n\
         authorization: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        scope("admin", REGION)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_a_request_id() {
    let world = World::new();
    let large = target("ListKeys")
        .header("authorization", scope("admin", REGION))
        .body(Body::from(vec![b' '; 3 << 20]))
        .unwrap();
    assert_eq!(code(&world, large).await, "SerializationException");
}
