//! The program is killed at random moments while it re-wraps a workspace, and started again:
//! the job goes on by itself, loses nothing, leaves nothing behind, and moves each wrap once.
//!
//! A thousand secrets of three versions each by default, which takes a minute on two cores; all of
//! ten thousand, in which every name is used through the API afterwards too (a quarter of an hour), with
//!
//! ```text
//! BYOK_TEST_REWRAP=10000 cargo test -p local --test program rewraps -- --nocapture
//! ```
//!
//! `BYOK_TEST_REWRAP_KILLS` says how often it is killed (20), `BYOK_TEST_SEED` from which seed.
//! The versions are made by the real KMS and sealed as put-secret seals them; their records are
//! copies of those that three puts left, with another name, since as many puts would take minutes.

use crate::{
    child::{Client, DEADLINE, Ended, Folder, Program},
    kills::{number, open},
    random::Random,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use envelope::{
    BrokerId, EncryptionContext, KeyArn, Place, PolicyDigest, SealedSecret, SecretBytes,
    SecretName, SecretVersion, WorkspaceId, WrappedDataKey,
    aws::AwsAccess,
    kms::{Kms, UnwrapRequest},
    seal,
};
use http::Request;
use http_body_util::Full;
use local::{
    Cloud, StackConfig, Upstream,
    cast::{Role, TABLE},
    client,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Semaphore, task::JoinSet};

const VERSIONS: u64 = 3;
/// How many calls of KMS are under way at once.
const AT_ONCE: usize = 16;
const KMS_TIME: Duration = Duration::from_secs(30);
/// How many KMS calls a second the program's jobs make at most.
const RATE: u64 = 500;

/// A place of the table, and what lies there in DynamoDB's own JSON.
type Items = BTreeMap<String, Value>;

/// Whose versions they are, and what they hold.
struct Given {
    broker: BrokerId,
    workspace: WorkspaceId,
    seed: u64,
    secrets: u64,
    /// The policy of all of them: the stored bytes.
    policy: String,
}

#[tokio::test]
async fn a_re_wrap_survives_kills_at_random_moments_and_moves_each_wrap_once() {
    let secrets = number("BYOK_TEST_REWRAP").unwrap_or(1000);
    let kills = number("BYOK_TEST_REWRAP_KILLS").unwrap_or(20);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("BYOK_TEST_SEED").unwrap_or(since.subsec_nanos().into());
    println!("BYOK_TEST_REWRAP={secrets} BYOK_TEST_REWRAP_KILLS={kills} BYOK_TEST_SEED={seed}");
    let what = format!("BYOK_TEST_SEED={seed}");
    let mut random = Random(seed);
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    let all = secrets * VERSIONS;

    // Three puts as all others will be, and then all others.
    let program = Program::start(&folder);
    let former = KeyArn::parse(program.text("key")).unwrap();
    let mut given = Given {
        broker: BrokerId::parse(program.text("broker")).unwrap(),
        workspace: WorkspaceId::parse(program.text("workspace")).unwrap(),
        seed,
        secrets,
        policy: String::new(),
    };
    for version in 1..=VERSIONS {
        let value = BASE64_STANDARD.encode(given.value(0, version));
        let body = json!({
            "value_base64": value,
            "policy": {"destinations": [{"url": upstream.url("/")}], "inject": {"query": "k"}},
        });
        let path = format!("/secrets/{}", given.name(0));
        program.client().call("PUT", &path, Some(&body), 201).await;
    }
    stopped(program.stop("TERM"));
    let began = Instant::now();
    let cloud = cloud(&folder).await;
    let items = items(cloud.dynamodb, &given.workspace).await;
    given.policy = text(&items[&given.head(0)], "policy");
    let given = Arc::new(given);
    given.make(&cloud, &former, &items).await;
    cloud.stop().await;
    println!("{all} versions made in {:?}", began.elapsed());

    // Another key, and the re-wrap.
    let mut program = Program::start(&folder);
    let key = program.client().new_key().await;
    program.client().grant(&key).await;
    let bound = json!({"key": key});
    program
        .client()
        .call("PUT", "/key", Some(&bound), 200)
        .await;
    let seeded = wraps(program.dynamodb, &given.workspace).await;
    assert_eq!(
        seeded.len() as u64,
        all,
        "{what}: what lies there to begin with"
    );
    let log = folder.state().join("cloudtrail.jsonl");
    let before = fs::read(&log).unwrap().len();
    let job = program.client().call("POST", "/rewraps", None, 202).await;
    let job = format!("/rewraps/{}", job["id"].as_str().unwrap());

    // Two rounds over all of it, at the rate: so long, at least, the job lasts without the kills.
    let shortest = all * 2 * 1000 / RATE;
    let longest = usize::try_from(shortest * 6 / 5 / kills).unwrap();
    let mut moved = BTreeSet::new();
    let mut last = seeded.clone();
    let began = Instant::now();
    for kill in 1..=kills {
        tokio::time::sleep(Duration::from_millis(random.below(longest) as u64)).await;
        let ended = program.kill();
        assert!(!ended.errors.contains("panic"), "{}", ended.errors);
        program = Program::start(&folder);
        let shown = program.client().call("GET", &job, None, 200).await;
        assert_eq!(shown["state"], "running", "{what}, kill {kill}: {shown}");
        last = once(
            &last,
            wraps(program.dynamodb, &given.workspace).await,
            &mut moved,
            &what,
        );
    }
    println!(
        "{} of {all} moved after {kills} kills in {:?}",
        moved.len(),
        began.elapsed()
    );
    let done = ended(&program.client(), &job).await;
    println!("done in {:?}: {done}", began.elapsed());
    let count = |name: &str| done[name].as_u64().unwrap();
    assert_eq!(done["state"], "done", "{what}: {done}");
    assert_eq!(
        (count("failed"), count("verified")),
        (0, all),
        "{what}: {done}"
    );

    // Each was moved, once, and lies under the new key.
    let last = once(
        &last,
        wraps(program.dynamodb, &given.workspace).await,
        &mut moved,
        &what,
    );
    assert_eq!(
        moved.len() as u64,
        all,
        "{what}: not all of them were moved"
    );
    for (place, wrap) in &last {
        assert_eq!(wrap.key, key, "{what}: {place} was left behind");
        let revision = seeded[place].revision.map(|revision| revision + 1);
        assert_eq!(
            wrap.revision, revision,
            "{what}: {place} was written more often"
        );
    }
    let shown = program.client().call("GET", "/key", None, 200).await;
    let old = &shown["usage"]["former"][0];
    assert_eq!(old["safe_to_disable"], true, "{what}: {shown}");
    check_log(&log, before, &given, all, &what);

    // Without the former key, every version opens to its exact bytes.
    let disabled = json!({"KeyId": former.as_str()});
    program.client().kms("DisableKey", disabled).await;
    let used: BTreeSet<u64> = match secrets {
        10_000.. => (0..secrets).collect(),
        _ => (0..50)
            .map(|_| random.below(secrets as usize) as u64)
            .collect(),
    };
    for secret in used {
        let version = 1 + random.below(VERSIONS as usize) as u64;
        let name = given.name(secret);
        let found = open(&program.client(), &upstream, name.as_str(), version).await;
        assert!(
            found == given.value(secret, version),
            "{what}: {name} {version}"
        );
    }
    stopped(program.stop("TERM"));
    let began = Instant::now();
    let cloud = self::cloud(&folder).await;
    given
        .open_all(&cloud, &KeyArn::parse(&key).unwrap(), &what)
        .await;
    cloud.stop().await;
    println!("{all} versions opened in {:?}", began.elapsed());
}

/// The KMS and the tables of a folder, in this process.
async fn cloud(folder: &Folder) -> Cloud {
    let config = StackConfig::on_free_ports(folder.state());
    Cloud::start(&config).await.unwrap()
}

/// The KMS as the broker's functions call it.
fn kms(cloud: &Cloud) -> Kms {
    let role = Role::Broker;
    let access = AwsAccess::new(role.access_key_id(), &role.secret_access_key(), None);
    Kms::new(access, Some(format!("http://{}", cloud.kms_address)))
}

fn stopped(ended: Ended) {
    assert!(ended.status.success(), "{}", ended.errors);
}

impl Given {
    fn name(&self, secret: u64) -> SecretName {
        SecretName::parse(&format!("secret-{secret:05}")).unwrap()
    }

    fn head(&self, secret: u64) -> String {
        format!("S#{}", self.name(secret))
    }

    fn earlier(&self, secret: u64, version: u64) -> String {
        format!("V#{}#{version:07}", self.name(secret))
    }

    /// The place of a version in the table: the last is the current one.
    fn at(&self, secret: u64, version: u64) -> String {
        if version == VERSIONS {
            self.head(secret)
        } else {
            self.earlier(secret, version)
        }
    }

    fn place(&self, secret: u64, version: u64) -> Place {
        Place {
            broker: self.broker.clone(),
            workspace: self.workspace.clone(),
            name: self.name(secret),
            version: SecretVersion::new(version).unwrap(),
        }
    }

    fn context(&self, place: &Place) -> EncryptionContext {
        EncryptionContext::new(place, &PolicyDigest::of(self.policy.as_bytes()))
    }

    /// The bytes of a version, its own.
    fn value(&self, secret: u64, version: u64) -> Vec<u8> {
        Random(self.seed ^ (secret * VERSIONS + version) << 20).bytes(32)
    }

    /// Every version but the first secret's: wrapped by the KMS, sealed, stored.
    async fn make(self: &Arc<Self>, cloud: &Cloud, key: &KeyArn, like: &Items) {
        let (wrap, seats) = (kms(cloud).wrap(), Arc::new(Semaphore::new(AT_ONCE)));
        let mut made = JoinSet::new();
        for (secret, version) in self.all().filter(|(secret, _)| *secret != 0) {
            let seat = Arc::clone(&seats).acquire_owned().await.unwrap();
            let (given, wrap, key) = (Arc::clone(self), wrap.clone(), key.clone());
            let mut item = like[&self.at(0, version)].clone();
            made.spawn(async move {
                let place = given.place(secret, version);
                let context = given.context(&place);
                let made = wrap.generate(&key, &context, &[], KMS_TIME).await.unwrap();
                drop(seat);
                let value = SecretBytes::new(given.value(secret, version));
                let sealed = seal(made.key, &place, &value);
                item["sk"] = json!({"S": given.at(secret, version)});
                item["name"] = json!({"S": place.name.as_str()});
                item["sealed"] = json!({"B": BASE64_STANDARD.encode(sealed.as_bytes())});
                item["wrapped"] = json!({"B": BASE64_STANDARD.encode(&made.wrapped.ciphertext)});
                item
            });
        }
        for batch in made.join_all().await.chunks(25) {
            let puts: Vec<_> = batch
                .iter()
                .map(|item| json!({"PutRequest": {"Item": item}}))
                .collect();
            let input = json!({"RequestItems": {TABLE: puts}});
            let answer = table(cloud.dynamodb, "BatchWriteItem", &input).await;
            assert_eq!(answer["UnprocessedItems"], json!({}));
        }
    }

    /// Opens every version as a use does: its data key unwrapped by the KMS.
    async fn open_all(self: &Arc<Self>, cloud: &Cloud, key: &KeyArn, what: &str) {
        let (unwrap, seats) = (kms(cloud).unwrap(), Arc::new(Semaphore::new(AT_ONCE)));
        let items = items(cloud.dynamodb, &self.workspace).await;
        let mut opened = JoinSet::new();
        for (secret, version) in self.all() {
            let seat = Arc::clone(&seats).acquire_owned().await.unwrap();
            let (given, unwrap, key) = (Arc::clone(self), unwrap.clone(), key.clone());
            let item = items[&self.at(secret, version)].clone();
            opened.spawn(async move {
                let place = given.place(secret, version);
                let context = given.context(&place);
                let wrapped = WrappedDataKey {
                    ciphertext: bytes(&item, "wrapped"),
                    key: key.clone(),
                    material: None,
                };
                let request = UnwrapRequest {
                    wrapped: &wrapped,
                    context: &context,
                    allowed: &[key],
                    receipt: None,
                    grant_tokens: &[],
                    time: KMS_TIME,
                };
                let unwrapped = unwrap.unwrap(request).await;
                drop(seat);
                let sealed = SealedSecret::from_bytes(bytes(&item, "sealed"));
                let opened = envelope::open(&sealed, unwrapped.ok()?.key, &place).ok()?;
                let value = given.value(secret, version);
                (opened.expose_secret() == value).then_some(())
            });
        }
        let lost = opened.join_all().await.into_iter().filter(Option::is_none);
        assert_eq!(
            lost.count(),
            0,
            "{what}: versions that do not open to their bytes"
        );
    }

    fn all(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        (0..self.secrets).flat_map(|secret| (1..=VERSIONS).map(move |version| (secret, version)))
    }
}

/// A version's wrap as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrap {
    ciphertext: Vec<u8>,
    key: String,
    /// Of a head.
    revision: Option<u64>,
}

/// What has changed since the last look had not changed before.
fn once(
    last: &BTreeMap<String, Wrap>,
    now: BTreeMap<String, Wrap>,
    moved: &mut BTreeSet<String>,
    what: &str,
) -> BTreeMap<String, Wrap> {
    assert!(
        last.keys().eq(now.keys()),
        "{what}: other versions are there"
    );
    for (place, wrap) in &now {
        if wrap != &last[place] {
            assert!(
                moved.insert(place.clone()),
                "{what}: {place} was moved twice"
            );
        }
    }
    now
}

/// Waits until the job has ended.
async fn ended(client: &Client, job: &str) -> Value {
    let mut deadline = Instant::now() + DEADLINE;
    let mut last = Value::Null;
    loop {
        let shown = client.call("GET", job, None, 200).await;
        if !shown["endedAt"].is_null() {
            return shown;
        }
        // As long as it gets on it may take its time.
        if shown != last {
            deadline = Instant::now() + DEADLINE;
            last = shown;
        }
        assert!(Instant::now() < deadline, "it does not get on: {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the customer's log has since the job began: every version was moved by ReEncrypt, and
/// none of them was unwrapped.
fn check_log(log: &Path, before: usize, given: &Given, all: u64, what: &str) {
    let text = String::from_utf8(fs::read(log).unwrap().split_off(before)).unwrap();
    let mut moved = BTreeSet::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let name = event["eventName"].as_str().unwrap();
        assert!(
            !["Decrypt", "GenerateDataKey", "Encrypt"].contains(&name),
            "{what}: {event}"
        );
        let request = &event["requestParameters"];
        if name != "ReEncrypt" || request["dryRun"] == true || !event["errorCode"].is_null() {
            continue;
        }
        let (from, to) = (
            &request["sourceEncryptionContext"],
            &request["destinationEncryptionContext"],
        );
        assert_eq!(from, to, "{what}: a re-wrap keeps what a wrap is bound to");
        assert_eq!(from["byok:workspace"], given.workspace.as_str(), "{what}");
        moved.insert((
            from["byok:secret"].to_string(),
            from["byok:version"].to_string(),
        ));
    }
    assert_eq!(
        moved.len() as u64,
        all,
        "{what}: moves in the customer's log"
    );
}

/// The wraps of all versions that are stored, by place.
async fn wraps(dynamodb: SocketAddr, workspace: &WorkspaceId) -> BTreeMap<String, Wrap> {
    let items = items(dynamodb, workspace).await.into_iter();
    let wraps = items.filter(|(_, item)| !item["wrapped"].is_null());
    wraps
        .map(|(place, item)| {
            let revision = item["revision"]["N"]
                .as_str()
                .map(|digits| digits.parse().unwrap());
            let wrap = Wrap {
                ciphertext: bytes(&item, "wrapped"),
                key: text(&item, "wrapped_by"),
                revision,
            };
            (place, wrap)
        })
        .collect()
}

/// Everything of a workspace, by its place.
async fn items(dynamodb: SocketAddr, workspace: &WorkspaceId) -> Items {
    let mut found = Items::new();
    let mut after = Value::Null;
    loop {
        let mut input = json!({
            "TableName": TABLE,
            "ConsistentRead": true,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": format!("W#{workspace}")}},
        });
        if !after.is_null() {
            input["ExclusiveStartKey"] = after;
        }
        let mut page = table(dynamodb, "Query", &input).await;
        let Value::Array(items) = page["Items"].take() else {
            panic!("a page without items: {page}");
        };
        found.extend(items.into_iter().map(|item| (text(&item, "sk"), item)));
        after = page["LastEvaluatedKey"].take();
        if after.is_null() {
            return found;
        }
    }
}

/// One call of DynamoDB's own protocol, as someone who can reach the table.
async fn table(dynamodb: SocketAddr, operation: &str, input: &Value) -> Value {
    let request = Request::builder()
        .method("POST")
        .uri("/")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-date", "20300131T120000Z")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=ANYBODY/20300131/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
        .body(Full::new(Bytes::from(input.to_string())))
        .unwrap();
    let answer = client::send(dynamodb, request).await.unwrap();
    assert!(answer.status.is_success(), "{operation}: {}", answer.json());
    answer.json()
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn bytes(item: &Value, name: &str) -> Vec<u8> {
    BASE64_STANDARD
        .decode(item[name]["B"].as_str().unwrap())
        .unwrap()
}
