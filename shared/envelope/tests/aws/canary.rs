//! Whose a denial is: the customer's, or the broker's own.

use crate::house::{Ask, House, SHORT, TIME, context, named};
use envelope::kms::{Asked, Kms, RewrapRequest};
use envelope::{KeyArn, KmsFailure, KmsOperation, Refusal, WrappedDataKey};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const OPERATIONS: [KmsOperation; 4] = [
    KmsOperation::GenerateDataKey,
    KmsOperation::Decrypt,
    KmsOperation::ReEncrypt,
    KmsOperation::DescribeKey,
];

/// What the broker's IAM must allow for each.
fn actions(operation: KmsOperation) -> &'static [&'static str] {
    match operation {
        KmsOperation::ReEncrypt => &["kms:ReEncryptFrom", "kms:ReEncryptTo"],
        KmsOperation::GenerateDataKey => &["kms:GenerateDataKey"],
        KmsOperation::Decrypt => &["kms:Decrypt"],
        _ => &["kms:DescribeKey"],
    }
}

/// A customer's key of which a data key is wrapped, and a canary.
struct Cage {
    house: House,
    canary: KeyArn,
    kms: Kms,
    blob: WrappedDataKey,
}

impl Cage {
    async fn open() -> Self {
        let house = House::open().await;
        let blob = house.wrapped().await.wrapped;
        house.grant(&house.key, &["ReEncryptFrom", "ReEncryptTo"]);
        let canary = house.create_own_key(json!({}));
        let broker = crate::house::place("acme", "x", 1).broker;
        let kms = house.broker().with_canary(canary.clone(), &broker);
        Self {
            house,
            canary,
            kms,
            blob,
        }
    }

    /// The customer takes everything back.
    fn deny(&self) {
        self.house.put_policy(
            &self.house.key,
            vec![json!({
                "Effect": "Deny",
                "Principal": {"AWS": crate::house::BROKER_ROLE},
                "Action": "kms:*",
                "Resource": "*",
            })],
        );
    }

    /// Every handle's calls of one operation.
    async fn calls(
        &self,
        kms: &Kms,
        operation: KmsOperation,
        time: Duration,
    ) -> Vec<Result<(), KmsFailure>> {
        let ours = context();
        let key = named(&self.house.key);
        let probe = kms.probe();
        let would = async |asked| probe.would(&key, asked, &[], time).await.map(drop);
        let mut ask = Ask::new(&self.blob);
        ask.time = time;
        match operation {
            KmsOperation::GenerateDataKey => vec![
                kms.wrap()
                    .generate(&self.house.key, &ours, &[], time)
                    .await
                    .map(drop),
                would(Asked::GenerateDataKey(Some(&ours))).await,
            ],
            KmsOperation::Decrypt => vec![
                ask.unwrap(&kms.unwrap()).await.map(drop),
                ask.would_unwrap(&kms.unwrap()).await.map(drop),
                would(Asked::Decrypt(Some(&ours))).await,
            ],
            KmsOperation::ReEncrypt => {
                let request = RewrapRequest {
                    wrapped: &self.blob,
                    from: &ours,
                    to_key: &self.blob.key,
                    to: &ours,
                    allowed: std::slice::from_ref(&self.blob.key),
                    receipt: None,
                    time,
                };
                vec![
                    kms.rewrap().rewrap(request).await.map(drop),
                    kms.rewrap().would_rewrap(request).await.map(drop),
                    would(Asked::ReEncrypt {
                        from: Some(&ours),
                        to: Some(&ours),
                    })
                    .await,
                ]
            }
            _ => vec![kms.inspect().describe(&key, &[], time).await.map(drop)],
        }
    }

    async fn all_are(&self, refusal: Refusal, time: Duration) {
        for operation in OPERATIONS {
            for call in self.calls(&self.kms, operation, time).await {
                let failure = call.unwrap_err();
                assert_eq!(
                    (failure.operation, failure.refusal, failure.code.as_deref()),
                    (operation, refusal, Some("AccessDeniedException"))
                );
            }
        }
    }

    /// What the canary was asked, since there were `before` events.
    fn canary_events(&self, before: usize) -> Vec<Value> {
        let mut events = self.house.broker_events().split_off(before);
        events.retain(|event| event["resources"][0]["ARN"] == self.canary.as_str());
        events
    }
}

#[tokio::test]
async fn what_works_asks_the_canary_nothing() {
    let cage = Cage::open().await;
    for operation in OPERATIONS {
        for call in cage.calls(&cage.kms, operation, TIME).await {
            call.unwrap();
        }
    }
    // Nor does a refusal that is none of rights.
    let key_id = json!({"KeyId": cage.house.key.as_str()});
    cage.house.customer("DisableKey", key_id);
    let failed = cage.calls(&cage.kms, KmsOperation::Decrypt, TIME).await;
    assert!(
        failed
            .iter()
            .all(|call| call.as_ref().unwrap_err().refusal == Refusal::Disabled)
    );
    assert!(cage.canary_events(0).is_empty());
}

#[tokio::test]
async fn a_denial_of_the_customer_stays_theirs_and_the_canary_was_asked_the_same() {
    let cage = Cage::open().await;
    cage.deny();
    let before = cage.house.broker_events().len();
    cage.all_are(Refusal::AccessDenied, TIME).await;
    let events = cage.canary_events(before);
    let names: Vec<_> = events
        .iter()
        .map(|event| event["eventName"].as_str().unwrap())
        .collect();
    let expected = [
        ["GenerateDataKey"; 2].as_slice(),
        &["Decrypt"; 3],
        &["ReEncrypt"; 3],
        &["DescribeKey"],
    ];
    assert_eq!(names, expected.concat());
    for event in &events {
        let parameters = &event["requestParameters"];
        if event["eventName"] == "DescribeKey" {
            assert_eq!(event.get("errorCode"), None);
            continue;
        }
        assert_eq!(event["errorCode"], "DryRunOperationException");
        let contexts = match event["eventName"].as_str() {
            Some("ReEncrypt") => vec!["sourceEncryptionContext", "destinationEncryptionContext"],
            _ => vec!["encryptionContext"],
        };
        for context in contexts {
            assert_eq!(parameters[context]["byok:broker"], "prod");
            assert_eq!(parameters[context]["byok:workspace"], "$canary");
        }
    }
    assert_eq!(
        cage.house.broker_events().len() - before,
        2 * events.len(),
        "each was asked once of the customer, and once of the canary"
    );
}

#[tokio::test]
async fn a_failure_names_the_request_ids_of_the_customers_log_alone() {
    let cage = Cage::open().await;
    cage.deny();
    let failures = cage.calls(&cage.kms, KmsOperation::Decrypt, TIME).await;
    let mut events = cage.house.events("Decrypt");
    events.retain(|event| event["resources"][0]["ARN"] == cage.house.key.as_str());
    let ids: Vec<_> = failures
        .into_iter()
        .flat_map(|failure| failure.unwrap_err().request_ids)
        .collect();
    let logged: Vec<_> = events.iter().map(|event| &event["requestID"]).collect();
    assert_eq!(json!(ids), json!(logged));
}

#[tokio::test]
async fn rights_that_the_brokers_own_iam_lacks_are_its_own_fault_operation_by_operation() {
    let cage = Cage::open().await;
    for missing in OPERATIONS {
        let others: Vec<_> = OPERATIONS
            .into_iter()
            .filter(|operation| *operation != missing)
            .flat_map(actions)
            .copied()
            .collect();
        cage.house.broker_may(&others);
        for operation in OPERATIONS {
            for call in cage.calls(&cage.kms, operation, TIME).await {
                if operation == missing {
                    let failure = call.unwrap_err();
                    assert_eq!(failure.refusal, Refusal::Misconfigured, "{operation}");
                    assert_eq!(failure.request_ids.len(), 1, "{operation}");
                    assert!(!failure.refusal.is_definite());
                } else {
                    call.unwrap();
                }
            }
        }
    }
    // Half of a re-wrap's rights is none.
    for half in ["kms:ReEncryptFrom", "kms:ReEncryptTo"] {
        cage.house.broker_may(&[half]);
        for call in cage.calls(&cage.kms, KmsOperation::ReEncrypt, TIME).await {
            assert_eq!(call.unwrap_err().refusal, Refusal::Misconfigured, "{half}");
        }
    }
    // Where both say no, the broker's own comes first: nothing is known of the customer.
    cage.deny();
    cage.house.broker_may(&["sts:GetCallerIdentity"]);
    cage.all_are(Refusal::Misconfigured, TIME).await;
}

#[tokio::test]
async fn without_a_canary_a_denial_is_taken_for_the_customers() {
    let cage = Cage::open().await;
    cage.house.broker_may(&["sts:GetCallerIdentity"]);
    for operation in OPERATIONS {
        for call in cage.calls(&cage.house.broker(), operation, TIME).await {
            assert_eq!(call.unwrap_err().refusal, Refusal::AccessDenied);
        }
    }
    assert!(cage.canary_events(0).is_empty());
}

#[tokio::test]
async fn a_canary_that_cannot_be_reached_leaves_it_open_whose_the_denial_was() {
    let mut moods = tokio::task::JoinSet::new();
    for mood in [Mood::Drop, Mood::Hang, Mood::Throttle] {
        moods.spawn(async move {
            let mut cage = Cage::open().await;
            cage.deny();
            let gate = Gate::before(&cage, mood, u32::MAX).await;
            cage.kms = gate.kms(&cage);
            for operation in OPERATIONS {
                let calls = cage.calls(&cage.kms, operation, SHORT).await;
                for call in calls {
                    let failure = call.unwrap_err();
                    assert_eq!(failure.refusal, Refusal::Unavailable, "{mood:?}");
                    assert!(!failure.refusal.is_definite());
                }
            }
        });
    }
    moods.join_all().await;
}

#[tokio::test]
async fn a_canary_that_answers_a_moment_later_decides() {
    let mut cage = Cage::open().await;
    cage.deny();
    for mood in [Mood::Drop, Mood::Throttle] {
        let gate = Gate::before(&cage, mood, 2).await;
        cage.kms = gate.kms(&cage);
        let wrap = cage.kms.wrap();
        let call = wrap.generate(&cage.house.key, &context(), &[], TIME).await;
        let failure = call.map(drop).unwrap_err();
        assert_eq!(failure.refusal, Refusal::AccessDenied, "{mood:?}");
        assert_eq!(failure.request_ids.len(), 3, "{mood:?}");
    }
}

#[tokio::test]
async fn the_canary_has_no_more_time_than_the_call() {
    let mut cage = Cage::open().await;
    cage.deny();
    let gate = Gate::before(&cage, Mood::Hang, u32::MAX).await;
    cage.kms = gate.kms(&cage);
    let began = Instant::now();
    let wrap = cage.kms.wrap();
    let call = wrap.generate(&cage.house.key, &context(), &[], SHORT).await;
    assert_eq!(call.map(drop).unwrap_err().refusal, Refusal::Unavailable);
    assert!(began.elapsed() < SHORT + Duration::from_secs(2));
}

#[tokio::test]
async fn a_canary_that_is_of_no_use_leaves_it_open_at_once() {
    let cage = Cage::open().await;
    cage.deny();
    let canary_id = json!({"KeyId": cage.canary.as_str()});
    cage.house.deployment("DisableKey", canary_id.clone());
    let before = cage.house.broker_events().len();
    let began = Instant::now();
    for call in cage.calls(&cage.kms, KmsOperation::Decrypt, TIME).await {
        let failure = call.unwrap_err();
        assert_eq!(failure.refusal, Refusal::Unavailable);
        assert!(!failure.refusal.is_definite());
    }
    assert!(began.elapsed() < TIME / 2);
    assert_eq!(cage.canary_events(before).len(), 3, "each was asked once");
    cage.house.deployment("ScheduleKeyDeletion", canary_id);
    for call in cage.calls(&cage.kms, KmsOperation::Decrypt, TIME).await {
        assert_eq!(call.unwrap_err().refusal, Refusal::Unavailable);
    }
}

/// What happens to calls that name the canary.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Drop,
    Hang,
    Throttle,
}

/// A way to the KMS on which only what names the canary goes wrong.
struct Gate(String);

impl Gate {
    /// For the first `times` calls of the canary.
    async fn before(cage: &Cage, mood: Mood, times: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self(format!("http://{}", listener.local_addr().unwrap()));
        let kms = cage
            .house
            .endpoint
            .strip_prefix("http://")
            .unwrap()
            .to_owned();
        let canary = cage.canary.as_str().to_owned();
        let left = Arc::new(AtomicU32::new(times));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kms, canary, left) = (kms.clone(), canary.clone(), Arc::clone(&left));
                tokio::spawn(async move {
                    while let Ok(request) = read_message(&mut stream).await {
                        let names_it = String::from_utf8_lossy(&request).contains(&canary);
                        let ill = names_it
                            && left
                                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                                    left.checked_sub(1)
                                })
                                .is_ok();
                        let answer = match mood {
                            _ if !ill => through(&kms, &request).await,
                            Mood::Drop => return,
                            Mood::Hang => std::future::pending().await,
                            Mood::Throttle => {
                                let body = r#"{"__type":"ThrottlingException"}"#;
                                format!(
                                    "HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}",
                                    body.len()
                                )
                                .into_bytes()
                            }
                        };
                        stream.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        gate
    }

    fn kms(&self, cage: &Cage) -> Kms {
        let broker = crate::house::place("acme", "x", 1).broker;
        cage.house
            .broker_at(&self.0)
            .with_canary(cage.canary.clone(), &broker)
    }
}

async fn through(kms: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(kms).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_message(&mut stream).await.unwrap()
}

/// One HTTP/1.1 message whose body has a known length, as it came.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        message.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(message.clone())
        .unwrap()
        .to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    message.extend(body);
    Ok(message)
}
