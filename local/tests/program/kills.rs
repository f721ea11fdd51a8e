//! The program is killed at random moments while puts, binds, grant changes and
//! uses are under way, and started again: what it acknowledged stands, and what it
//! did not acknowledge is there wholly or not at all.
//!
//! `BYOK_TEST_KILLS` says how often, and `BYOK_TEST_SEED` from which seed, which is
//! printed. Thirty is the default: that takes a quarter of a minute on two cores.

use crate::{
    child::{Client, Folder, Program, Started, options},
    loops::{self, Binding, Change, KeyModel, Keys, Put, Round, SECRETS},
    random::Random,
};
use local::Upstream;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use time::{OffsetDateTime, macros::format_description};

/// The longest time from the loops' beginning to the kill, in milliseconds.
const LONGEST: usize = 150;
/// How many of the older versions are opened after each kill; all are in the end.
const SAMPLE: usize = 10;

/// All that stands.
struct Model {
    /// By secret and version, the value.
    values: BTreeMap<(String, u64), Vec<u8>>,
    binding: Binding,
    /// The keys that are bound in turn.
    bindable: [String; 2],
    /// How many bindings were ever made.
    binds: usize,
    keys: Keys,
    /// Receipts of uses that were answered, until they were looked up.
    receipts: BTreeSet<String>,
    /// URLs of uses that were cut off.
    cut_off: BTreeSet<String>,
    /// URLs that the upstream saw, until they were looked up.
    seen: BTreeSet<String>,
    audit: Audit,
}

/// What the audit trail was found to hold, so far.
#[derive(Default)]
struct Audit {
    puts: BTreeSet<(String, u64)>,
    binds: usize,
    last: Option<String>,
    days: BTreeSet<String>,
}

/// What was in doubt over all kills, and was found done.
#[derive(Debug, Default)]
struct Tally {
    puts: usize,
    puts_done: usize,
    repeated: usize,
    binds: usize,
    binds_done: usize,
    changes: usize,
    changes_done: usize,
    uses: usize,
    uses_without_outcome: usize,
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills_at_random_moments() {
    let kills = number("BYOK_TEST_KILLS").unwrap_or(30);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("BYOK_TEST_SEED").unwrap_or(u64::from(since.subsec_nanos()));
    println!("BYOK_TEST_KILLS={kills} BYOK_TEST_SEED={seed}");
    let mut random = Random(seed);
    let folder = Folder::fresh();
    let state = folder.state();
    let upstream = Upstream::start().await.unwrap();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut tally = Tally::default();

    let mut program = Program::start(&folder);
    let (mut model, template) = Model::prepare(&program, &mut random, &upstream).await;
    for kill in 1..=kills {
        let round = Round {
            client: program.client(),
            upstream: upstream.url("/"),
            killed: Arc::new(AtomicBool::new(false)),
            number: Arc::clone(&numbers),
        };
        let puts = [(); SECRETS.len() + 1]
            .map(|()| tokio::spawn(loops::puts(round.clone(), random.fork())));
        let binds = tokio::spawn(loops::binds(round.clone(), model.bindable.clone()));
        let changes = tokio::spawn(loops::changes(
            round.clone(),
            random.fork(),
            model.keys.clone(),
            template.clone(),
        ));
        let there = model.values.keys().cloned().collect();
        let uses = tokio::spawn(loops::uses(round.clone(), random.fork(), there));
        tokio::time::sleep(Duration::from_millis(random.below(LONGEST) as u64)).await;
        round.killed.store(true, Ordering::SeqCst);
        let ended = program.kill();
        assert!(!ended.errors.contains("panic"), "{}", ended.errors);
        // Now and then the next start does not get far either.
        if random.percent(30) {
            let started = Started::new(&options(&state));
            tokio::time::sleep(Duration::from_millis(random.below(LONGEST) as u64)).await;
            started.kill();
        }
        program = Program::start(&folder);
        let client = program.client();

        let what = format!("BYOK_TEST_SEED={seed}, kill {kill}");
        let (keys, _, doubt) = changes.await.unwrap();
        model
            .check_keys(&client, keys, doubt, &mut tally, &what)
            .await;
        let binds = binds.await.unwrap();
        model
            .check_binding(
                &client,
                &binds.acknowledged,
                &binds.doubt,
                &mut tally,
                &what,
            )
            .await;
        let mut done = Vec::new();
        for put in puts {
            done.push(put.await.unwrap());
        }
        let uses = uses.await.unwrap();
        model.receipts.extend(uses.acknowledged);
        model.cut_off.insert(uses.doubt);
        tally.uses += 1;
        model.see(&upstream);
        let mut acknowledged = Vec::new();
        let mut doubts = Vec::new();
        for done in done {
            acknowledged.extend(done.acknowledged);
            doubts.push(done.doubt);
        }
        model
            .check_puts(
                &client,
                &upstream,
                acknowledged,
                doubts,
                &mut random,
                &mut tally,
                &what,
            )
            .await;
        model.check_audit(&client, &mut tally, &what).await;
    }
    let all: Vec<_> = model.values.keys().cloned().collect();
    for (secret, version) in &all {
        let found = open(&program.client(), &upstream, secret, *version).await;
        assert!(
            found == model.values[&(secret.clone(), *version)],
            "BYOK_TEST_SEED={seed}: {secret} {version}"
        );
    }
    let ended = program.stop("TERM");
    assert!(
        ended.status.success() && !ended.errors.contains("panic"),
        "{}",
        ended.errors
    );
    println!(
        "{} versions, {} bindings; {tally:?}",
        all.len(),
        model.binds
    );
}

impl Model {
    /// Three keys, all granted: the demo workspace's own, a second to bind, and one
    /// that is bound to nothing. One version of each secret. And a grant to make more of.
    async fn prepare(program: &Program, random: &mut Random, upstream: &Upstream) -> (Self, Value) {
        let client = program.client();
        let own = program.text("key").to_owned();
        let template = client.call("GET", "/key/policy", None, 200).await["grant"].clone();
        let (second, third) = (client.new_key().await, client.new_key().await);
        client.grant(&second).await;
        client.grant(&third).await;
        let mut keys = Keys::new();
        for arn in [own.clone(), second.clone(), third] {
            let grants = client.grants(&arn).await;
            let first = grants.keys().next().unwrap().clone();
            let may_stop = arn != own;
            keys.insert(
                arn,
                KeyModel {
                    grants,
                    enabled: true,
                    first,
                    may_stop,
                },
            );
        }
        let mut values = BTreeMap::new();
        for secret in SECRETS {
            let put = Put::new(secret, random, None, &upstream.url("/"));
            assert_eq!(put.send(&client).await.unwrap().unwrap(), 1);
            values.insert((secret.to_owned(), 1), put.value);
        }
        let shown = client.call("GET", "/key", None, 200).await;
        let model = Self {
            values,
            bindable: [own.clone(), second],
            binding: (own, shown["revision"].as_u64().unwrap()),
            binds: 1,
            keys,
            receipts: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            seen: BTreeSet::new(),
            audit: Audit::default(),
        };
        (model, template)
    }

    /// Grants and key states are those that were acknowledged, but for the one in doubt.
    async fn check_keys(
        &mut self,
        client: &Client,
        acknowledged: Keys,
        (arn, change): (String, Change),
        tally: &mut Tally,
        what: &str,
    ) {
        let mut found = acknowledged.clone();
        for (arn, key) in &mut found {
            key.grants = client.grants(arn).await;
            let described = client.kms("DescribeKey", json!({"KeyId": arn})).await;
            key.enabled = match described["KeyMetadata"]["KeyState"].as_str().unwrap() {
                "Enabled" => true,
                "Disabled" => false,
                other => panic!("{what}: {arn} is {other}"),
            };
        }
        let mut done = acknowledged.clone();
        let new = match &change {
            Change::Create(name) => {
                let mut named = found[&arn]
                    .grants
                    .iter()
                    .filter(|(_, grant)| *grant == name);
                named.next().map(|(id, _)| id.clone())
            }
            _ => Some(String::new()),
        };
        if let Some(id) = new {
            change.apply(done.get_mut(&arn).unwrap(), &id);
        }
        tally.changes += 1;
        if found == done && done != acknowledged {
            tally.changes_done += 1;
        } else {
            assert_eq!(
                found, acknowledged,
                "{what}: in doubt is {change:?} on {arn}"
            );
        }
        // What is disabled opens nothing: it is enabled for the checks that follow.
        for (arn, key) in &mut found {
            if !key.enabled {
                client.kms("EnableKey", json!({"KeyId": arn})).await;
                key.enabled = true;
            }
        }
        self.keys = found;
    }

    /// The binding is the last that was acknowledged, or the one in doubt after it.
    async fn check_binding(
        &mut self,
        client: &Client,
        acknowledged: &[Binding],
        doubt: &str,
        tally: &mut Tally,
        what: &str,
    ) {
        for (key, revision) in acknowledged {
            assert_eq!(
                *revision,
                self.binding.1 + 1,
                "{what}: every bind is the next revision"
            );
            self.binding = (key.clone(), *revision);
            self.binds += 1;
        }
        let shown = client.call("GET", "/key", None, 200).await;
        let found = (
            shown["key"].as_str().unwrap().to_owned(),
            shown["revision"].as_u64().unwrap(),
        );
        assert_eq!(shown["state"], "active", "{what}: {shown}");
        tally.binds += 1;
        if found == (doubt.to_owned(), self.binding.1 + 1) {
            tally.binds_done += 1;
            self.binds += 1;
            self.binding = found;
        }
        assert_eq!(shown["revision"], self.binding.1, "{what}");
        assert_eq!(shown["key"], self.binding.0, "{what}");
    }

    /// Every acknowledged version opens to its bytes; the versions beyond are puts in doubt,
    /// each whole; a repetition finds its own.
    #[expect(clippy::too_many_arguments, reason = "what one round left")]
    async fn check_puts(
        &mut self,
        client: &Client,
        upstream: &Upstream,
        acknowledged: Vec<(Put, u64)>,
        mut doubts: Vec<Put>,
        random: &mut Random,
        tally: &mut Tally,
        what: &str,
    ) {
        let older: Vec<_> = self.values.keys().cloned().collect();
        let mut look_at: BTreeSet<_> = (0..SAMPLE).map(|_| random.one(&older).clone()).collect();
        for (put, version) in &acknowledged {
            let place = (put.secret.to_owned(), *version);
            let twice = self.values.insert(place.clone(), put.value.clone());
            assert!(twice.is_none(), "{what}: {place:?} was acknowledged twice");
            look_at.insert(place);
        }
        tally.puts += doubts.len();
        let heads = client.call("GET", "/secrets", None, 200).await;
        for head in heads["secrets"].as_array().unwrap() {
            let secret = head["name"].as_str().unwrap();
            let newest = head["version"].as_u64().unwrap();
            let at_rest = client
                .call("GET", &format!("/secrets/{secret}"), None, 200)
                .await;
            assert_eq!(at_rest["brokerCanDecrypt"], true, "{what}: {at_rest}");
            // Numbers have no gaps, so the last one that is known tells how many there should be.
            let of_secret = self
                .values
                .range((secret.to_owned(), 0)..=(secret.to_owned(), u64::MAX));
            let known: BTreeSet<_> = of_secret.map(|((_, version), _)| *version).collect();
            assert!(
                known.last().unwrap() <= &newest,
                "{what}: {secret} is at {newest}, and {known:?} were acknowledged"
            );
            for version in (1..=newest).filter(|version| !known.contains(version)) {
                let value = open(client, upstream, secret, version).await;
                let put = doubts
                    .iter()
                    .position(|put| put.secret == secret && put.value == value);
                let put = doubts.swap_remove(
                    put.unwrap_or_else(|| panic!("{what}: nobody put {secret} {version}")),
                );
                tally.puts_done += 1;
                if put.key.is_some() {
                    tally.repeated += 1;
                    let again = put.send(client).await.unwrap();
                    assert_eq!(
                        again,
                        Ok(version),
                        "{what}: the repetition of a put that was made"
                    );
                }
                self.values.insert((secret.to_owned(), version), value);
            }
        }
        // A put that was not made is made by its repetition.
        for put in doubts.into_iter().filter(|put| put.key.is_some()) {
            let (version, again) = (
                put.send(client).await.unwrap(),
                put.send(client).await.unwrap(),
            );
            assert_eq!(version, again, "{what}: a put and its repetition");
            let place = (put.secret.to_owned(), version.unwrap());
            look_at.insert(place.clone());
            assert!(
                self.values.insert(place, put.value).is_none(),
                "{what}: a number was used twice"
            );
        }
        // So it is for one that was acknowledged.
        let keyed: Vec<_> = acknowledged
            .iter()
            .filter(|(put, _)| put.key.is_some())
            .collect();
        if !keyed.is_empty() {
            let (put, version) = random.one(&keyed);
            assert_eq!(
                put.send(client).await.unwrap(),
                Ok(*version),
                "{what}: the repetition of an acknowledged put"
            );
        }
        for (secret, version) in look_at {
            let found = open(client, upstream, &secret, version).await;
            assert!(
                found == self.values[&(secret.clone(), version)],
                "{what}: {secret} {version} has other bytes"
            );
        }
    }

    /// Takes note of what the upstream saw of the loop's uses.
    fn see(&mut self, upstream: &Upstream) {
        let seen = upstream
            .take()
            .into_iter()
            .map(|seen| upstream.url(seen.uri.path()));
        self.seen.extend(seen);
    }

    /// The trail has one record for every put and bind that stands, one for every use that the
    /// upstream saw, an outcome for every use that was answered, and none only for those cut off.
    async fn check_audit(&mut self, client: &Client, tally: &mut Tally, what: &str) {
        let today = OffsetDateTime::now_utc().date();
        self.audit.days.insert(
            today
                .format(format_description!("[year]-[month]-[day]"))
                .unwrap(),
        );
        for day in self.audit.days.clone() {
            loop {
                let after = self
                    .audit
                    .last
                    .as_ref()
                    .map(|id| format!("&after={id}"))
                    .unwrap_or_default();
                let page = client
                    .call(
                        "GET",
                        &format!("/audit?day={day}&limit=100{after}"),
                        None,
                        200,
                    )
                    .await;
                for record in page["records"].as_array().unwrap() {
                    self.look_at(record, tally, what);
                }
                if page["next"].is_null() {
                    break;
                }
            }
        }
        let standing: BTreeSet<_> = self.values.keys().cloned().collect();
        assert!(
            self.audit.puts == standing,
            "{what}: puts and their records differ"
        );
        assert_eq!(
            self.audit.binds, self.binds,
            "{what}: bindings and their records"
        );
        assert!(
            self.receipts.is_empty(),
            "{what}: uses were answered and have no record: {:?}",
            self.receipts
        );
        assert!(
            self.seen.is_empty(),
            "{what}: uses without a record: {:?}",
            self.seen
        );
    }

    fn look_at(&mut self, record: &Value, tally: &mut Tally, what: &str) {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let id = text("id");
        assert!(
            self.audit.last.as_ref().is_none_or(|last| *last < id),
            "{what}: records are in order"
        );
        self.audit.last = Some(id.clone());
        match record["kind"].as_str().unwrap() {
            "put" => {
                let place = (text("secret"), record["version"].as_u64().unwrap());
                assert_eq!(record["outcome"]["code"], "ok", "{what}: {record}");
                assert!(
                    self.audit.puts.insert(place),
                    "{what}: two records: {record}"
                );
            }
            "bind_key" => self.audit.binds += 1,
            "use" => {
                let url = text("destination");
                self.seen.remove(&url);
                if self.receipts.remove(&id) {
                    assert_eq!(record["outcome"]["code"], "ok", "{what}: {record}");
                } else if record["outcome"].is_null() {
                    tally.uses_without_outcome += 1;
                    assert!(
                        self.cut_off.remove(&url),
                        "{what}: it was not cut off: {record}"
                    );
                }
            }
            "open_workspace" => {}
            other => panic!("{what}: a record of {other}"),
        }
    }
}

/// Uses a version, and answers with the bytes that the upstream got.
pub(crate) async fn open(
    client: &Client,
    upstream: &Upstream,
    secret: &str,
    version: u64,
) -> Vec<u8> {
    let body =
        json!({"request": {"method": "GET", "url": upstream.url("/check")}, "version": version});
    let used = client
        .call("POST", &format!("/secrets/{secret}/use"), Some(&body), 200)
        .await;
    assert_eq!(used["receipt"]["version"], version, "{used}");
    let mut seen = upstream.take();
    // A request of a killed use may still have been on its way.
    seen.retain(|seen| seen.uri.path() == "/check");
    assert_eq!(seen.len(), 1, "one use, one request");
    let query = seen[0].uri.query().unwrap();
    percent_decode_str(query.strip_prefix("k=").unwrap()).collect()
}

pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}
