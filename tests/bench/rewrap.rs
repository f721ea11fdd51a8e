//! How fast a re-wrap is, beside bare ReEncrypt calls of the same wraps through the same
//! adapter, as many at once, in the same run. The tables are in memory; KMS and DynamoDB
//! are spoken to over loopback, in this process.
//!
//! ```text
//! cargo bench -p tests --bench rewrap            as it is deployed
//! cargo test  -p tests --bench rewrap            as it is tested
//! ```
//!
//! A job is measured twice: while it moves (its records read, written and saved), which is
//! what is held against the bare calls; and as a whole, in which every version is asked for
//! once more. All servers share the machine's processors with the job, so what the embedded
//! DynamoDB takes for its transactions is in the ratio. At the rate that a deployment allows,
//! which comes last, the tables' work is behind that of KMS.
#![allow(clippy::print_stdout, reason = "it is for people")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use api::{Api, Clock, Macs};
use dynoxide::Database;
use envelope::{
    BrokerId, EncryptionContext, KeyArn, Place, PolicyDigest, RecordKind, SecretBytes, SecretName,
    SecretVersion, WorkspaceId,
    aws::AwsAccess,
    kms::{Kms, MakeMac, Rewrap, RewrapRequest},
    seal,
};
use futures_util::{StreamExt, stream};
use local::{
    Cloud, Customer, StackConfig,
    cast::{AUDIT_TABLE, BROKER_ID, REGION, Role, TABLE},
};
use rewrap_secrets::RewrapSecrets;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
    time::Duration,
};
use store::{
    Actor, AuditEntry, AuditKind, Authority, BindKey, Binding, JobPhase, JobRecord, JobState,
    PutSecret, ReceiptId, Store, StoreConfig, StoredVersion, TokenId, TokenRecord, ValueForm,
    WrapItem, WrapPart,
};
use time::OffsetDateTime;
use tokio::{net::TcpListener, time::Instant};

const SECRETS: usize = 4000;
const ROUNDS: usize = 3;
/// KMS calls a second that a job makes at most where a deployment does not say.
const RATE: u32 = 500;
/// As many as a job has under way.
const AT_ONCE: usize = 32;
const POLICY: &str = r#"{"destinations":[],"inject":{"format":"Bearer {secret}","header":"authorization"},"reveal":false}"#;

struct Bench {
    store: Store,
    kms: Kms,
    broker: BrokerId,
    workspace: WorkspaceId,
    token: TokenId,
    binding_mac: MakeMac,
    job_mac: MakeMac,
    /// As fast as it can.
    function: Arc<RewrapSecrets>,
    /// At the rate of a deployment that does not say another.
    paced: Arc<RewrapSecrets>,
    customer: Customer,
    binding: Binding,
}

#[tokio::main]
async fn main() {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rewrap-{}", std::process::id()));
    let config = StackConfig::on_free_ports(&folder);
    let cloud = Cloud::start(&config).await.unwrap();
    let mut bench = Bench::start(&cloud).await;
    bench.seed().await;
    println!(
        "{SECRETS} secrets, {AT_ONCE} calls at once, {}",
        if cfg!(debug_assertions) {
            "dev profile"
        } else {
            "release profile"
        }
    );
    println!(
        "{:>5} {:>14} {:>12} {:>7} {:>16}",
        "round", "bare calls/s", "moved/s", "ratio", "whole job, moved/s"
    );
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        bench.rebind().await;
        let before = bench.bare().await;
        let (moved, whole) = bench.job(&bench.function).await;
        // What the machine did meanwhile is in both of them.
        let bare = (before + bench.bare().await) / 2.0;
        println!(
            "{round:>5} {bare:>14.0} {moved:>12.0} {:>7.2} {whole:>16.0}",
            moved / bare
        );
        ratios.push(moved / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ROUNDS / 2]);
    bench.rebind().await;
    let (moved, _) = bench.job(&bench.paced).await;
    let ratio = moved / f64::from(RATE);
    println!("at {RATE} KMS calls a second: {moved:.0} moved/s, ratio {ratio:.2}");
    cloud.stop().await;
    std::fs::remove_dir_all(folder).unwrap();
}

impl Bench {
    async fn start(cloud: &Cloud) -> Self {
        let role = Role::Broker;
        let access = AwsAccess::new(role.access_key_id(), &role.secret_access_key(), None);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let tables = listener.local_addr().unwrap();
        let memory = Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_on(listener, memory));
        let store = Store::new(StoreConfig {
            access: access.clone(),
            region: REGION.to_owned(),
            endpoint: Some(format!("http://{tables}")),
            table: TABLE.to_owned(),
            audit_table: AUDIT_TABLE.to_owned(),
        });
        store.create_tables().await.unwrap();
        let broker = BrokerId::parse(BROKER_ID).unwrap();
        let kms = Kms::new(access, Some(format!("http://{}", cloud.kms_address)));
        // Bindings and tokens are made here by whoever may make both.
        let operator = Role::Operator;
        let operator = AwsAccess::new(
            operator.access_key_id(),
            &operator.secret_access_key(),
            None,
        );
        let own = Kms::new(operator, Some(format!("http://{}", cloud.kms_address)));
        let keys = &cloud.keys;
        let mac = |kind, key: &KeyArn| own.make_mac(kind, key.clone(), broker.clone());
        let binding_mac = mac(RecordKind::Binding, &keys.binding_mac);
        let job_mac = kms.make_mac(RecordKind::Job, keys.job_mac.clone(), broker.clone());
        let function = |rate: u32| {
            Arc::new(RewrapSecrets {
                api: Api {
                    store: store.clone(),
                    broker: broker.clone(),
                    clock: Clock::system(),
                    macs: Macs::new(
                        &kms,
                        &broker,
                        keys.token_mac.clone(),
                        keys.binding_mac.clone(),
                    ),
                },
                rewrap: kms.rewrap(),
                job_mac: job_mac.clone(),
                check_job: kms.check_mac(RecordKind::Job, keys.job_mac.clone(), broker.clone()),
                deployment_key: None,
                rate: NonZeroU32::new(rate).unwrap(),
                run: Duration::from_secs(600),
            })
        };
        let (fastest, paced) = (function(u32::MAX), function(RATE));
        let workspace = WorkspaceId::parse("measured").unwrap();
        let token = TokenId::of_token(b"measured");
        let now = OffsetDateTime::now_utc();
        let first = TokenRecord {
            id: token.clone(),
            permissions: BTreeSet::new(),
            secrets: None,
            expires_at: None,
            created_at: now,
            created_by: None,
            label: None,
        };
        let token_mac = mac(RecordKind::Token, &keys.token_mac);
        let macs = Authority {
            binding: &binding_mac,
            token: &token_mac,
        };
        store
            .open_workspace(&workspace, &first, macs, &entry(AuditKind::OpenWorkspace))
            .await
            .unwrap();
        let mut bench = Self {
            store,
            kms,
            broker,
            workspace,
            token,
            binding_mac,
            job_mac,
            function: fastest,
            paced,
            customer: Customer::new(cloud.kms.clone(), Role::Customer),
            binding: Binding::unbound(now),
        };
        bench.rebind().await;
        bench
    }

    /// Binds a fresh key.
    async fn rebind(&mut self) {
        let key = self.customer.create_key().unwrap();
        self.customer
            .grant(&key, &self.broker, &self.workspace)
            .unwrap();
        let change = BindKey {
            read: self.binding.clone(),
            key: KeyArn::parse(&key).unwrap(),
            deployment_key: None,
            evidence: String::new(),
            grade: None,
            probes: "[]".to_owned(),
            idempotency: None,
            now: OffsetDateTime::now_utc(),
        };
        let audit = entry(AuditKind::BindKey);
        let bound = self
            .store
            .bind_key(&self.workspace, &change, &self.binding_mac, &audit);
        bound.await.unwrap();
        let read = self.store.binding_for_job(&self.workspace).await.unwrap();
        self.binding = read.unwrap().0;
    }

    fn current(&self) -> &KeyArn {
        self.binding.current.as_ref().unwrap()
    }

    fn context(&self, name: &SecretName, version: SecretVersion) -> (Place, EncryptionContext) {
        let place = Place {
            broker: self.broker.clone(),
            workspace: self.workspace.clone(),
            name: name.clone(),
            version,
        };
        let context = EncryptionContext::new(&place, &PolicyDigest::of(POLICY.as_bytes()));
        (place, context)
    }

    async fn seed(&self) {
        let wrap = self.kms.wrap();
        let puts = stream::iter(0..SECRETS).map(|n| {
            let wrap = wrap.clone();
            async move {
                let name = SecretName::parse(&format!("secret-{n:05}")).unwrap();
                let (place, context) = self.context(&name, SecretVersion::FIRST);
                let time = Duration::from_secs(8);
                let made = wrap
                    .generate(self.current(), &context, &[], time)
                    .await
                    .unwrap();
                let now = OffsetDateTime::now_utc();
                let value = SecretBytes::new(b"a value of about the usual length".to_vec());
                let new = StoredVersion {
                    version: SecretVersion::FIRST,
                    sealed: seal(made.key, &place, &value),
                    wrapped: made.wrapped,
                    policy: POLICY.to_owned(),
                    form: ValueForm::Text,
                    put_at: now,
                    expires_at: None,
                };
                let put = PutSecret {
                    name: &name,
                    former: None,
                    new: &new,
                    binding_revision: self.binding.revision,
                    token: &self.token,
                    idempotency: None,
                    now,
                };
                let audit = entry(AuditKind::Put);
                self.store
                    .put_secret(&self.workspace, &put, &audit)
                    .await
                    .unwrap();
            }
        });
        puts.buffer_unordered(8).collect::<()>().await;
    }

    async fn wraps(&self) -> Vec<WrapItem> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .store
                .wraps(&self.workspace, WrapPart::Heads, after.as_deref(), 200);
            let (items, next) = page.await.unwrap();
            all.extend(items);
            after = next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// ReEncrypt of everything to the current key and nothing else: calls a second.
    async fn bare(&self) -> f64 {
        let rewrap: Rewrap = self.kms.rewrap();
        let items = self.wraps().await;
        assert_eq!(items.len(), SECRETS);
        let allowed = self.binding.keys();
        let started = Instant::now();
        let calls = stream::iter(&items).map(|item| {
            let (rewrap, allowed) = (&rewrap, &allowed);
            async move {
                let (_, context) = self.context(&item.name, item.version);
                let request = RewrapRequest {
                    wrapped: &item.wrapped,
                    from: &context,
                    to_key: self.current(),
                    to: &context,
                    allowed,
                    receipt: Some("018f3b2e-7c1a-7000-8000-000000000000"),
                    time: Duration::from_secs(8),
                };
                rewrap.rewrap(request).await.unwrap();
            }
        });
        calls.buffer_unordered(AT_ONCE).collect::<()>().await;
        a_second(started.elapsed())
    }

    /// A whole job: what it moves a second while it moves, and over all of its time.
    async fn job(&self, function: &Arc<RewrapSecrets>) -> (f64, f64) {
        let actor = Actor::Token(self.token.clone());
        let now = OffsetDateTime::now_utc();
        let job = JobRecord::new(self.binding.revision, false, actor, now);
        let audit = entry(AuditKind::Rewrap);
        let started = self
            .store
            .start_job(&self.workspace, &job, &self.job_mac, None, &audit);
        started.await.unwrap();
        let began = Instant::now();
        let invoke = rewrap_secrets::invoke(Arc::clone(function));
        let running = tokio::spawn(invoke(json!({"sweep": {"stalled_seconds": 0}})));
        let until = async |phase: JobPhase| {
            loop {
                let read = self.store.read_job(&self.workspace, &job.id).await.unwrap();
                let now = read.unwrap().0;
                if now.phase >= phase {
                    return now;
                }
                assert_eq!((now.state, &now.reason), (JobState::Running, &None));
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        until(JobPhase::Heads).await;
        let counted = Instant::now();
        let moved = until(JobPhase::VerifyHeads).await;
        let moving = counted.elapsed();
        assert_eq!(moved.moved, SECRETS as u64);
        running.await.unwrap().unwrap();
        let whole = began.elapsed();
        let ended = until(JobPhase::Ended).await;
        assert_eq!(
            (ended.state, ended.verified),
            (JobState::Done, SECRETS as u64)
        );
        (a_second(moving), a_second(whole))
    }
}

fn a_second(time: Duration) -> f64 {
    SECRETS as f64 / time.as_secs_f64()
}

fn entry(kind: AuditKind) -> AuditEntry {
    let now = OffsetDateTime::now_utc();
    AuditEntry {
        id: ReceiptId::new(now),
        kind,
        at: now,
        token: Actor::Operator,
        secret: None,
        version: None,
        request_id: String::new(),
        destination: None,
        method: None,
        detail: BTreeMap::new(),
    }
}
