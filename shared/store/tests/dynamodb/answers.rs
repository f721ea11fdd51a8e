//! What the embedded DynamoDB never says, from a server that says what it is told.

use crate::harness::*;
use envelope::WorkspaceId;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use store::*;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A server that answers each request with the next of its answers, the last
/// one for ever, and keeps what it was asked.
struct Script {
    store: Store,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Script {
    async fn new(answers: Vec<(u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = store_at(format!("http://{}", listener.local_addr().unwrap()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answers) = (Arc::clone(&asked), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(converse(connection, Arc::clone(&log), Arc::clone(&answers)));
            }
        });
        Self { store, asked }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    async fn put(&self) -> Result<Revision, StoreError> {
        let (pay, new, token) = (
            name("pay"),
            stored(version(1), "x"),
            TokenId::of_token(b"first"),
        );
        let put = PutSecret {
            name: &pay,
            former: None,
            new: &new,
            binding_revision: Revision::new(1).unwrap(),
            token: &token,
            idempotency: None,
            now: NOW,
        };
        self.store
            .put_secret(&workspace(), &put, &entry(AuditKind::Put))
            .await
    }

    async fn read(&self) -> Result<Records, StoreError> {
        let token = TokenId::of_token(b"first");
        let wanted = Wanted {
            token: &token,
            secret: None,
            version: None,
            idempotency: None,
            state: false,
        };
        self.store.read(&workspace(), wanted).await
    }
}

async fn converse(
    connection: TcpStream,
    log: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Vec<(u16, Value)>>,
) {
    let mut connection = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.unwrap();
        let nth = {
            let mut log = log.lock().unwrap();
            log.push(serde_json::from_slice(&body).unwrap());
            log.len() - 1
        };
        let (status, answer) = &answers[nth.min(answers.len() - 1)];
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: request-{nth}\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        connection
            .write_all((head + &answer).as_bytes())
            .await
            .unwrap();
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn error(code: &str) -> (u16, Value) {
    (
        400,
        json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "W#acme SECRET"}),
    )
}

/// A transaction cancelled for these reasons; those of a put are of its token, freeze,
/// binding, head and audit record.
fn cancelled<const N: usize>(reasons: [&str; N]) -> (u16, Value) {
    let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
    let (status, mut body) = error("TransactionCanceledException");
    body["CancellationReasons"] = Value::Array(reasons);
    (status, body)
}

const NONE: &str = "None";
const FAILED: &str = "ConditionalCheckFailed";
const CONTENDED: &str = "TransactionConflict";

#[tokio::test]
async fn a_workspace_is_read_consistently_and_in_one_call() {
    let script = Script::new(vec![(200, json!({"Responses": {}, "UnprocessedKeys": {}}))]).await;
    assert_eq!(script.read().await.unwrap(), Records::default());
    let asked = script.asked();
    assert_eq!(asked.len(), 1);
    let batch = &asked[0]["RequestItems"]["broker"];
    assert_eq!(batch["ConsistentRead"], json!(true));
    assert_eq!(batch["Keys"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn keys_that_were_left_unread_are_asked_for_again_consistently() {
    let place = json!({"pk": {"S": "W#acme"}, "sk": {"S": "STATE"}});
    let left = json!({"broker": {"Keys": [place], "ConsistentRead": true}});
    let mut binding = place.clone();
    for (attribute, value) in [
        ("sk", json!({"S": "KEY"})),
        (
            "body",
            json!({"S": r#"{"workspace":"acme","current":null,"former":[],"revision":0,"changed_at":"2026-11-05T12:00:00.123456789Z"}"#}),
        ),
        ("revision", json!({"N": "0"})),
    ] {
        binding[attribute] = value;
    }
    let script = Script::new(vec![
        (
            200,
            json!({"Responses": {"broker": [binding]}, "UnprocessedKeys": left}),
        ),
        (
            200,
            json!({"Responses": {"broker": []}, "UnprocessedKeys": {}}),
        ),
    ])
    .await;
    assert_eq!(
        script.read().await.unwrap().binding,
        Some(Binding::unbound(NOW))
    );
    let asked = script.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[1]["RequestItems"], left,
        "only what was left is asked for"
    );
}

#[tokio::test]
async fn keys_that_stay_unread_make_the_store_unavailable_not_the_records_absent() {
    let left = json!({"broker": {"Keys": [{"pk": {"S": "W#acme"}, "sk": {"S": "KEY"}}], "ConsistentRead": true}});
    let script = Script::new(vec![(
        200,
        json!({"Responses": {}, "UnprocessedKeys": left}),
    )])
    .await;
    let result = script.read().await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    assert_eq!(script.asked().len(), 6);
}

#[tokio::test]
async fn a_put_that_met_another_one_is_repeated_as_the_same_transaction() {
    let script = Script::new(vec![
        cancelled([NONE, NONE, CONTENDED, NONE, NONE]),
        cancelled([CONTENDED, CONTENDED, CONTENDED, NONE, NONE]),
        error("TransactionInProgressException"),
        (200, json!({})),
    ])
    .await;
    script.put().await.unwrap();
    let asked = script.asked();
    assert_eq!(asked.len(), 4);
    assert!(
        asked.iter().all(|request| *request == asked[0]),
        "token or conditions differ"
    );
    assert!(
        asked[0]["ClientRequestToken"]
            .as_str()
            .is_some_and(|token| token.len() == 22)
    );
}

#[tokio::test]
async fn a_put_that_keeps_meeting_others_gives_up_without_blaming_a_condition() {
    let script = Script::new(vec![cancelled([CONTENDED, NONE, CONTENDED, NONE, NONE])]).await;
    let result = script.put().await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    assert_eq!(script.asked().len(), 6);
    let script = Script::new(vec![cancelled([NONE, NONE, NONE, CONTENDED, NONE])]).await;
    assert_eq!(conflict(script.put().await), Which::Head);
}

#[tokio::test]
async fn each_condition_of_a_put_is_told_by_its_place() {
    let conditions = [
        Which::Token,
        Which::Frozen,
        Which::Binding,
        Which::Head,
        Which::Audit,
    ];
    for (place, which) in conditions.into_iter().enumerate() {
        let mut reasons = [NONE; 5];
        reasons[place] = FAILED;
        let script = Script::new(vec![cancelled(reasons)]).await;
        assert_eq!(conflict(script.put().await), which);
        assert_eq!(
            script.asked().len(),
            1,
            "a failed condition is not asked again"
        );
    }
}

impl Script {
    /// Moves the wraps of this many heads.
    async fn move_heads(&self, many: usize) -> Result<Vec<Moved>, StoreError> {
        let items: Vec<_> = (0..many)
            .map(|n| WrapItem {
                name: name(&format!("s{n}")),
                version: version(1),
                place: WrapPlace::Head(Revision::new(1).unwrap()),
                wrapped: stored(version(1), "x").wrapped,
                policy: String::new(),
            })
            .collect();
        let new = rewrapped("x");
        let moves: Vec<_> = items.iter().map(|item| (item, &new)).collect();
        self.store
            .move_wraps(&workspace(), Revision::new(1).unwrap(), &moves)
            .await
    }

    /// How many writes each transaction had, and its token.
    fn transactions(&self) -> Vec<(usize, String)> {
        self.asked()
            .iter()
            .map(|request| {
                (
                    request["TransactItems"].as_array().unwrap().len(),
                    request["ClientRequestToken"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }
}

#[tokio::test]
async fn moves_go_fifty_at_a_time() {
    let script = Script::new(vec![(200, json!({}))]).await;
    assert_eq!(script.move_heads(120).await.unwrap(), [Moved::Yes; 120]);
    let sizes: Vec<_> = script
        .transactions()
        .iter()
        .map(|(size, _)| *size)
        .collect();
    // With the check of the binding.
    assert_eq!(sizes, [51, 51, 21]);
}

#[tokio::test]
async fn moves_whose_conditions_fail_are_left_out_at_once_and_the_others_written_again() {
    let script = Script::new(vec![
        cancelled([NONE, NONE, FAILED, CONTENDED]),
        cancelled([NONE, NONE, CONTENDED]),
        (200, json!({})),
    ])
    .await;
    let moved = script.move_heads(3).await.unwrap();
    assert_eq!(moved, [Moved::Yes, Moved::Changed, Moved::Yes]);
    let asked = script.transactions();
    let sizes: Vec<_> = asked.iter().map(|(size, _)| *size).collect();
    assert_eq!(sizes, [4, 3, 3]);
    assert_ne!(asked[0].1, asked[1].1, "another transaction, another token");
    assert_eq!(
        asked[1].1, asked[2].1,
        "the same transaction, the same token"
    );

    let script = Script::new(vec![cancelled([NONE, FAILED, FAILED])]).await;
    assert_eq!(script.move_heads(2).await.unwrap(), [Moved::Changed; 2]);
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn moves_that_keep_meeting_others_make_the_store_unavailable() {
    let script = Script::new(vec![cancelled([NONE, NONE, CONTENDED])]).await;
    let result = script.move_heads(2).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    assert_eq!(script.asked().len(), 6);
}

#[tokio::test]
async fn moves_that_are_too_large_together_are_halved_and_one_alone_is_too_large() {
    let script = Script::new(vec![error("ValidationException"), (200, json!({}))]).await;
    assert_eq!(script.move_heads(5).await.unwrap(), [Moved::Yes; 5]);
    let sizes: Vec<_> = script
        .transactions()
        .iter()
        .map(|(size, _)| *size)
        .collect();
    assert_eq!(sizes, [6, 3, 4]);
    let script = Script::new(vec![error("ValidationException")]).await;
    let result = script.move_heads(1).await;
    assert!(matches!(result, Err(StoreError::TooLarge)), "{result:?}");
}

#[tokio::test]
async fn neither_a_visit_nor_a_count_nor_a_list_asks_for_sealed_bytes() {
    let none = json!({"Items": [], "Count": 0, "ScannedCount": 0});
    let script = Script::new(vec![(200, none)]).await;
    let head = LiveHead {
        name: name("pay"),
        stored: stored(version(3), "x"),
        first: version(1),
        last: version(3),
        revision: Revision::new(1).unwrap(),
        created_at: NOW,
        updated_at: NOW,
    };
    let (store, workspace) = (&script.store, workspace());
    for part in [WrapPart::Heads, WrapPart::Earlier] {
        store.wraps(&workspace, part, None, 1000).await.unwrap();
    }
    store.count_wraps(&workspace, 1000).await.unwrap();
    store
        .list_versions(&workspace, &head, None, 10)
        .await
        .unwrap();
    let asked = script.asked();
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0]["Limit"], json!(200));
    for request in asked {
        let names = request["ExpressionAttributeNames"].as_object().unwrap();
        assert!(request["ProjectionExpression"].is_string());
        assert!(names.values().all(|name| name != "sealed"), "{request}");
        assert_eq!(request["ConsistentRead"], json!(true));
    }
}

#[tokio::test]
async fn a_throttled_transaction_is_unavailable_and_one_too_large_is_too_large() {
    for reason in [
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "Unheard",
    ] {
        let script = Script::new(vec![cancelled([NONE, NONE, NONE, reason, NONE])]).await;
        let result = script.put().await;
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{reason}: {result:?}"
        );
    }
    for reason in ["ItemCollectionSizeLimitExceeded", "ValidationError"] {
        let script = Script::new(vec![cancelled([NONE, NONE, NONE, reason, NONE])]).await;
        let result = script.put().await;
        assert!(
            matches!(result, Err(StoreError::TooLarge)),
            "{reason}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_the_service_throttles_is_repeated() {
    let script = Script::new(vec![
        error("ThrottlingException"),
        (200, json!({"Responses": {}, "UnprocessedKeys": {}})),
    ])
    .await;
    script.read().await.unwrap();
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn no_error_tells_a_name_a_key_or_the_words_of_the_service() {
    let script = Script::new(vec![error("ResourceNotFoundException")]).await;
    for result in [script.read().await.map(drop), script.put().await.map(drop)] {
        let failure = result.unwrap_err();
        assert_eq!(failure.to_string(), "the store is unavailable");
        let source = std::error::Error::source(&failure).unwrap().to_string();
        assert!(
            source.contains("ResourceNotFoundException") && source.contains("request-"),
            "{source}"
        );
        let everything = format!("{failure:?} {source}");
        assert!(
            !everything.contains("SECRET") && !everything.contains("acme"),
            "{everything}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = store_at(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let result = store.begin_use(&workspace(), &entry(AuditKind::Use)).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}
