//! The real store over an embedded DynamoDB, and what lies in it, read as the model sees it.

use crate::table::{
    Binding, Earlier, Head, Job, JobState, Key, LiveHead, Phase, Stored, Table, VERSIONS, Wrap,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use envelope::{
    BrokerId, KeyArn, RecordKind, SealedSecret, SecretName, SecretVersion, WorkspaceId,
    WrappedDataKey,
    aws::AwsAccess,
    kms::{Kms, MakeMac},
};
use http::Request;
use http_body_util::Full;
use local::client;
use local_kms::{Config, LocalKms, Principal};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, path::Path};
use store::{
    AuditEntry, AuditKind, Authority, BindKey, JobId, Permission, PutSecret, ReceiptId, Records,
    Store, StoreConfig, StoredVersion, TokenId, TokenRecord, ValueForm, Wanted,
};
use time::{OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;

pub(crate) const NOW: OffsetDateTime = datetime!(2030-01-31 12:00 UTC);
const REGION: &str = "eu-west-1";
const OPERATOR: &str = "AKIAIOSFODNN7OPERATOR";
const TABLE: &str = "broker";

/// A store, and what makes the MACs of its records.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) binding_mac: MakeMac,
    pub(crate) token_mac: MakeMac,
    pub(crate) job_mac: MakeMac,
    dynamodb: SocketAddr,
}

/// A workspace of its own for each way.
pub(crate) struct Room<'b> {
    pub(crate) bench: &'b Bench,
    pub(crate) workspace: WorkspaceId,
    pub(crate) token: TokenId,
    pub(crate) name: SecretName,
    /// The job that was started last.
    pub(crate) job: Option<JobId>,
}

impl Bench {
    pub(crate) async fn new(folder: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb = listener.local_addr().unwrap();
        tokio::spawn(dynoxide::server::serve_on(
            listener,
            dynoxide::Database::memory().unwrap(),
        ));
        let store = Store::new(StoreConfig {
            access: AwsAccess::new("AKIALOCAL", "secret", None),
            region: REGION.to_owned(),
            endpoint: Some(format!("http://{dynamodb}")),
            table: TABLE.to_owned(),
            audit_table: "audit".to_owned(),
        });
        store.create_tables().await.unwrap();

        let operator = Principal {
            arn: "arn:aws:iam::444455556666:root".to_owned(),
            access_key_id: OPERATOR.to_owned(),
            secret_access_key: "secret".to_owned(),
            identity_policy: Some(json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
            })),
        };
        let state = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("byok-model-{}-{folder}", std::process::id()));
        let kms = LocalKms::open(Config::new(&state, vec![operator])).unwrap();
        let keys = [(); 3].map(|()| {
            let input = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
            let made = kms.call(OPERATOR, REGION, "CreateKey", input).unwrap();
            KeyArn::parse(made["KeyMetadata"]["Arn"].as_str().unwrap()).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(local_kms::serve(listener, kms, std::future::pending()));
        let kms = Kms::new(AwsAccess::new(OPERATOR, "secret", None), Some(endpoint));
        let broker = BrokerId::parse("prod").unwrap();
        let [binding, token, job] = keys;
        Self {
            store,
            binding_mac: kms.make_mac(RecordKind::Binding, binding, broker.clone()),
            token_mac: kms.make_mac(RecordKind::Token, token, broker.clone()),
            job_mac: kms.make_mac(RecordKind::Job, job, broker),
            dynamodb,
        }
    }

    /// A workspace with what every model begins with: two puts under the first key.
    pub(crate) async fn room(&self, workspace: &str) -> Room<'_> {
        let room = Room {
            bench: self,
            workspace: WorkspaceId::parse(workspace).unwrap(),
            token: TokenId::of_token(b"first"),
            name: SecretName::parse("pay").unwrap(),
            job: None,
        };
        let first = TokenRecord {
            id: room.token.clone(),
            permissions: Permission::ALL.into(),
            secrets: None,
            expires_at: None,
            created_at: NOW,
            created_by: None,
            label: None,
        };
        let macs = Authority {
            binding: &self.binding_mac,
            token: &self.token_mac,
        };
        let audit = room.audit(AuditKind::OpenWorkspace);
        let opened = self
            .store
            .open_workspace(&room.workspace, &first, macs, &audit);
        opened.await.unwrap();
        let read = room.read(None).await.binding.unwrap();
        room.bind(read, Key::A).await.unwrap();
        for number in [1, 2] {
            let records = room.read(None).await;
            let new = room.version(Stored {
                version: number,
                value: number,
                policy: number,
                wrap: Wrap {
                    key: Key::A,
                    value: number,
                    policy: number,
                    by: 0,
                },
            });
            let put = PutSecret {
                name: &room.name,
                former: records.head.as_ref(),
                new: &new,
                binding_revision: records.binding.unwrap().revision,
                token: &room.token,
                idempotency: None,
                now: NOW,
            };
            let audit = room.audit(AuditKind::Put);
            let made = self.store.put_secret(&room.workspace, &put, &audit);
            made.await.unwrap();
        }
        room
    }
}

impl Room<'_> {
    pub(crate) fn audit(&self, kind: AuditKind) -> AuditEntry {
        AuditEntry {
            id: ReceiptId::new(NOW),
            kind,
            at: NOW,
            token: self.token.clone().into(),
            secret: Some(self.name.clone()),
            version: None,
            request_id: "request".to_owned(),
            destination: None,
            method: None,
            detail: BTreeMap::new(),
        }
    }

    /// What an admission reads.
    pub(crate) async fn read(&self, version: Option<u8>) -> Records {
        let wanted = Wanted {
            token: &self.token,
            secret: Some(&self.name),
            version: version.map(number),
            idempotency: None,
            state: false,
        };
        let read = self.bench.store.read(&self.workspace, wanted);
        read.await.unwrap()
    }

    pub(crate) async fn bind(
        &self,
        read: store::Binding,
        key: Key,
    ) -> Result<store::Revision, store::StoreError> {
        let change = BindKey {
            read,
            key: arn(key),
            deployment_key: None,
            evidence: "probe".to_owned(),
            grade: None,
            probes: "[]".to_owned(),
            idempotency: None,
            now: NOW,
        };
        let audit = self.audit(AuditKind::BindKey);
        let mac = &self.bench.binding_mac;
        self.bench
            .store
            .bind_key(&self.workspace, &change, mac, &audit)
            .await
    }

    pub(crate) fn version(&self, stored: Stored) -> StoredVersion {
        StoredVersion {
            version: number(stored.version),
            sealed: SealedSecret::from_bytes(format!("sealed {}", stored.value).into_bytes()),
            wrapped: wrapped(stored.wrap),
            policy: policy(stored.policy),
            form: ValueForm::Text,
            put_at: NOW,
            expires_at: None,
        }
    }

    /// Everything that lies there, by sort key, in DynamoDB's own JSON.
    async fn items(&self) -> BTreeMap<String, Value> {
        let input = json!({
            "TableName": TABLE,
            "ConsistentRead": true,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": format!("W#{}", self.workspace)}},
        });
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("x-amz-target", "DynamoDB_20120810.Query")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20300131T120000Z")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=ANYBODY/20300131/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .body(Full::new(Bytes::from(input.to_string())))
            .unwrap();
        let answer = client::send(self.bench.dynamodb, request).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.json());
        let items = answer.json()["Items"].as_array().cloned().unwrap();
        let by_place = items.into_iter().map(|item| (text(&item, "sk"), item));
        by_place.collect()
    }

    /// The table as the model has it.
    pub(crate) async fn table(&self) -> Table {
        let items = self.items().await;
        let begins = |prefix: &str| items.keys().filter(|sk| sk.starts_with(prefix)).count();
        let mut earlier = [Earlier::Absent; VERSIONS];
        for (place, found) in (1..).zip(&mut earlier) {
            if let Some(item) = items.get(&format!("V#{}#{place:07}", self.name)) {
                *found = match text(item, "kind").as_str() {
                    "revoked" => Earlier::Revoked,
                    "stored" if item["sealed"]["B"].is_string() => Earlier::Stored(stored(item)),
                    _ => Earlier::Broken,
                };
            }
        }
        let job = self.job.map(|id| &items[&format!("J#{id}")]).map(|item| {
            let body: Value = serde_json::from_str(&text(item, "body")).unwrap();
            let cursor = body["cursor"].as_str().and_then(|at| at.rsplit('#').next());
            Job {
                id: begins("J#") as u8,
                binding_revision: small(&body["binding_revision"]),
                state: match body["state"].as_str().unwrap() {
                    "running" => JobState::Running,
                    "done" => JobState::Done,
                    "superseded" => JobState::Superseded,
                    other => panic!("{other}"),
                },
                phase: match body["phase"].as_str().unwrap() {
                    "heads" => Phase::Heads,
                    "earlier" => Phase::Earlier,
                    "verify_heads" => Phase::VerifyHeads,
                    "verify_earlier" => Phase::VerifyEarlier,
                    other => panic!("{other}"),
                },
                cursor: cursor.map_or(0, |digits| digits.parse().unwrap()),
                revision: small(&body["revision"]),
            }
        });
        let binding: Value = serde_json::from_str(&text(&items["KEY"], "body")).unwrap();
        let former = binding["former"].as_array().unwrap().iter();
        Table {
            token: begins("T#") == 1,
            frozen: items
                .get("FREEZE")
                .is_some_and(|freeze| freeze["frozen"]["BOOL"] == true),
            binding: Binding {
                current: key(binding["current"].as_str().unwrap()),
                former: former.fold(0, |all, one| all | key(one.as_str().unwrap()).bit()),
                revision: small(&binding["revision"]),
            },
            remembered: begins("I#") == 1,
            head: match items.get(&format!("S#{}", self.name)) {
                None => Head::Absent,
                Some(item) if text(item, "kind") == "deleted" => Head::Deleted {
                    last: count(item, "last"),
                    revision: count(item, "revision"),
                },
                Some(item) => Head::Live(LiveHead {
                    stored: stored(item),
                    first: count(item, "first"),
                    last: count(item, "last"),
                    revision: count(item, "revision"),
                }),
            },
            earlier,
            job,
        }
    }
}

pub(crate) fn number(number: u8) -> SecretVersion {
    SecretVersion::new(number.into()).unwrap()
}

pub(crate) fn policy(policy: u8) -> String {
    format!(r#"{{"policy":{policy}}}"#)
}

pub(crate) fn wrapped(wrap: Wrap) -> WrappedDataKey {
    WrappedDataKey {
        ciphertext: format!("{} {} {}", wrap.value, wrap.policy, wrap.by).into_bytes(),
        key: arn(wrap.key),
        material: None,
    }
}

fn arn(key: Key) -> KeyArn {
    let digit = ['a', 'b', 'c'][key as usize];
    let id = format!("1234abcd-12ab-34cd-56ef-00000000000{digit}");
    KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{id}")).unwrap()
}

fn key(arn: &str) -> Key {
    match arn.chars().last() {
        Some('a') => Key::A,
        Some('b') => Key::B,
        Some('c') => Key::C,
        _ => panic!("{arn}"),
    }
}

fn stored(item: &Value) -> Stored {
    let bytes = |name: &str| BASE64_STANDARD.decode(item[name]["B"].as_str().unwrap());
    let text_of = |name: &str| String::from_utf8(bytes(name).unwrap()).unwrap();
    let wrap: Vec<u8> = text_of("wrapped")
        .split(' ')
        .map(|part| part.parse().unwrap())
        .collect();
    let policy: Value = serde_json::from_str(&text(item, "policy")).unwrap();
    Stored {
        version: count(item, "version"),
        value: text_of("sealed")
            .trim_start_matches("sealed ")
            .parse()
            .unwrap(),
        policy: small(&policy["policy"]),
        wrap: Wrap {
            key: key(&text(item, "wrapped_by")),
            value: wrap[0],
            policy: wrap[1],
            by: wrap[2],
        },
    }
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn count(item: &Value, name: &str) -> u8 {
    item[name]["N"].as_str().unwrap().parse().unwrap()
}

fn small(value: &Value) -> u8 {
    value.as_u64().unwrap().try_into().unwrap()
}
