//! What goes on while the program is killed: puts, binds, changes of grants and
//! keys, uses. Each loop has one request under way at a time, goes on until an
//! answer stays out, and tells what was acknowledged and what is in doubt.

use crate::{child::Client, random::Random};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The secrets that are put, by as many loops as there are names and one more.
pub(crate) const SECRETS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What the loops of one round share.
#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) client: Client,
    /// The upstream, as the beginning of URLs.
    pub(crate) upstream: String,
    /// Set before the kill: an answer that stays out earlier is a failure.
    pub(crate) killed: Arc<AtomicBool>,
    /// Gives names that are used once.
    pub(crate) number: Arc<AtomicU64>,
}

impl Round {
    fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    fn cut_off(&self, what: &str, error: &io::Error) {
        assert!(
            self.killed.load(Ordering::SeqCst),
            "{what} had no answer before the kill: {error}"
        );
    }
}

/// One put.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) secret: &'static str,
    pub(crate) value: Vec<u8>,
    pub(crate) key: Option<String>,
    body: Value,
}

impl Put {
    /// A put of random bytes, which an upstream gets exactly: in a query's parameter.
    pub(crate) fn new(
        secret: &'static str,
        random: &mut Random,
        key: Option<String>,
        upstream: &str,
    ) -> Self {
        let count = 16 + random.below(600);
        let value = random.bytes(count);
        let body = json!({
            "value_base64": BASE64_STANDARD.encode(&value),
            "policy": {"destinations": [{"url": upstream}], "inject": {"query": "k"}},
        });
        Self {
            secret,
            value,
            key,
            body,
        }
    }

    /// Sends it; the status, and the version of a 201.
    ///
    /// # Errors
    /// There was no whole answer.
    pub(crate) async fn send(&self, client: &Client) -> io::Result<Result<u64, (u16, Value)>> {
        let key = self.key.as_deref().map(|key| ("idempotency-key", key));
        let path = format!("/secrets/{}", self.secret);
        let answer = client
            .try_call("PUT", &path, key.as_slice(), Some(&self.body))
            .await?;
        let body = answer.json();
        Ok(match answer.status.as_u16() {
            201 => Ok(body["version"].as_u64().unwrap()),
            status => Err((status, body)),
        })
    }
}

/// What a loop leaves: acknowledged, in order, and the one thing in doubt.
pub(crate) struct Done<A, D> {
    pub(crate) acknowledged: Vec<A>,
    pub(crate) doubt: D,
}

/// Puts new versions, half of them with an `Idempotency-Key`.
pub(crate) async fn puts(round: Round, mut random: Random) -> Done<(Put, u64), Put> {
    let mut acknowledged = Vec::new();
    loop {
        let secret = *random.one(&SECRETS);
        let key = random
            .percent(50)
            .then(|| format!("put-{}", round.number()));
        let put = Put::new(secret, &mut random, key, &round.upstream);
        match put.send(&round.client).await {
            Err(error) => {
                round.cut_off("a put", &error);
                return Done {
                    acknowledged,
                    doubt: put,
                };
            }
            Ok(Ok(version)) => acknowledged.push((put, version)),
            // Another put or a bind came before it, or its key was disabled.
            Ok(Err((409 | 424, _))) => {}
            Ok(Err(other)) => panic!("a put: {other:?}"),
        }
    }
}

/// A binding: the key, and the binding's revision.
pub(crate) type Binding = (String, u64);

/// Binds one key after the other, again and again.
pub(crate) async fn binds(round: Round, keys: [String; 2]) -> Done<Binding, String> {
    let mut acknowledged = Vec::new();
    for key in keys.iter().cycle() {
        let body = json!({"key": key});
        match round.client.try_call("PUT", "/key", &[], Some(&body)).await {
            Err(error) => {
                round.cut_off("a bind", &error);
                return Done {
                    acknowledged,
                    doubt: key.clone(),
                };
            }
            Ok(answer) => match answer.status.as_u16() {
                200 => {
                    acknowledged.push((key.clone(), answer.json()["revision"].as_u64().unwrap()))
                }
                // The key was disabled: before the proof, or while it was under way.
                424 => {}
                400 if answer.json()["detail"] == "a key that is enabled" => {}
                status => panic!("a bind: {status} {}", answer.json()),
            },
        }
    }
    unreachable!("the keys go round for ever")
}

/// What a customer has done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyModel {
    /// Live grants: id and name.
    pub(crate) grants: BTreeMap<String, String>,
    pub(crate) enabled: bool,
    /// The grant by which the broker works, which stays.
    pub(crate) first: String,
    /// Whether it may be disabled.
    pub(crate) may_stop: bool,
}

/// The customer's keys, by ARN.
pub(crate) type Keys = BTreeMap<String, KeyModel>;

/// One change of the customer's.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create(String),
    Revoke(String),
    Enable,
    Disable,
}

impl Change {
    fn random(round: &Round, random: &mut Random, key: &KeyModel) -> Self {
        let extra: Vec<_> = key.grants.keys().filter(|id| **id != key.first).collect();
        match random.below(10) {
            0..3 if key.may_stop && key.enabled => Self::Disable,
            0..8 if !key.enabled => Self::Enable,
            0..7 if extra.len() < 20 => Self::Create(format!("grant-{}", round.number())),
            _ if !extra.is_empty() => Self::Revoke((*random.one(&extra)).clone()),
            _ if key.enabled => Self::Create(format!("grant-{}", round.number())),
            _ => Self::Enable,
        }
    }

    /// As it is once the change is made; a new grant's id comes with the answer.
    pub(crate) fn apply(&self, key: &mut KeyModel, id: &str) {
        match self {
            Self::Create(name) => {
                key.grants.insert(id.to_owned(), name.clone());
            }
            Self::Revoke(id) => {
                key.grants.remove(id);
            }
            Self::Enable => key.enabled = true,
            Self::Disable => key.enabled = false,
        }
    }
}

/// Changes grants and keys over KMS's own wire; answers with the keys as acknowledged,
/// how many changes that were, and the change that is in doubt.
pub(crate) async fn changes(
    round: Round,
    mut random: Random,
    mut keys: Keys,
    template: Value,
) -> (Keys, usize, (String, Change)) {
    let arns: Vec<_> = keys.keys().cloned().collect();
    for count in 0.. {
        let arn = random.one(&arns).clone();
        let key = keys.get_mut(&arn).unwrap();
        // A disabled key takes no new grants.
        let change = Change::random(&round, &mut random, key);
        let (operation, input) = match &change {
            Change::Create(name) => {
                let mut input = template.clone();
                input["KeyId"] = json!(arn);
                input["Name"] = json!(name);
                ("CreateGrant", input)
            }
            Change::Revoke(id) => ("RevokeGrant", json!({"KeyId": arn, "GrantId": id})),
            Change::Enable => ("EnableKey", json!({"KeyId": arn})),
            Change::Disable => ("DisableKey", json!({"KeyId": arn})),
        };
        match round.client.try_kms(operation, &input).await {
            Err(error) => {
                round.cut_off(operation, &error);
                return (keys, count, (arn, change));
            }
            Ok((status, answer)) => {
                assert_eq!(status, 200, "{operation}: {answer}");
                change.apply(key, answer["GrantId"].as_str().unwrap_or_default());
            }
        }
    }
    unreachable!("it counts for ever")
}

/// Uses versions that are there; answers with the ids of the receipts, and the URL of
/// the use in doubt. A URL is used once, so that a record of its use is known by it.
pub(crate) async fn uses(
    round: Round,
    mut random: Random,
    there: Vec<(String, u64)>,
) -> Done<String, String> {
    let mut acknowledged = Vec::new();
    loop {
        let (secret, version) = random.one(&there);
        let url = format!("{}loop/{}", round.upstream, round.number());
        let body = json!({"request": {"method": "GET", "url": url}, "version": version});
        match round
            .client
            .try_call("POST", &format!("/secrets/{secret}/use"), &[], Some(&body))
            .await
        {
            Err(error) => {
                round.cut_off("a use", &error);
                return Done {
                    acknowledged,
                    doubt: url,
                };
            }
            Ok(answer) => match answer.status.as_u16() {
                200 => {
                    acknowledged.push(answer.json()["receipt"]["id"].as_str().unwrap().to_owned())
                }
                424 => {}
                status => panic!("a use of {secret} {version}: {status} {}", answer.json()),
            },
        }
    }
}
