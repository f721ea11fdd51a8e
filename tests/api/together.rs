//! One secret, and everybody at it at once: two puts and the repetition of one, uses, a deletion,
//! a change of policy, a promotion, a revocation, and another key with the re-wrap under it, over
//! the embedded stack, many times.
//! What then stands is what was acknowledged: in the table, in the audit trail, and upstream.
//! The model in tests/model goes through every order; this goes through the real program's.
//!
//! `BYOK_TEST_ROUNDS` says how often (24), `BYOK_TEST_SEED` from which seed, which is printed.

use crate::{
    rewrap::show,
    world::{Tenant, World, code, until},
};
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const NAME: &str = "together";
/// The longest that anyone waits before it goes, in milliseconds: one of these in each round.
const LONGEST: [u64; 3] = [20, 150, 500];

/// What one takes part with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// A put of the value of this number; the second and its repetition have one key.
    Put(u64),
    Repeat(u64),
    Use(Option<u64>),
    Delete,
    ChangePolicy,
    Promote,
    Revoke,
    /// Binds another key, and re-wraps.
    Rewrap,
}

/// Who takes part in every round; the deletion and the revocation in some.
const ALWAYS: [Doing; 11] = [
    Doing::Put(3),
    Doing::Put(4),
    Doing::Repeat(4),
    Doing::Use(None),
    Doing::Use(None),
    Doing::Use(Some(1)),
    Doing::Use(Some(2)),
    Doing::Use(Some(3)),
    Doing::ChangePolicy,
    Doing::Promote,
    Doing::Rewrap,
];

/// A small generator (SplitMix64), so that a seed tells who waits how long.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn value(number: u64) -> String {
    format!("the-value-of-number-{number:04}")
}

/// Where the value of a number may go: to a place of its own, and to one for all.
fn policy(upstream: &Upstream, own: &str) -> Value {
    json!({"destinations": [{"url": upstream.url(&format!("/{own}/"))}, {"url": upstream.url("/all/")}]})
}

fn put_body(upstream: &Upstream, number: u64) -> Value {
    json!({"value": value(number), "policy": policy(upstream, &format!("put-{number}"))})
}

/// Sends one request, with the `Idempotency-Key` that a put and its repetition share.
async fn act(tenant: &Tenant<'_>, upstream: &Upstream, doing: Doing) -> Answer {
    let secret = format!("/secrets/{NAME}");
    let (method, path, body) = match doing {
        Doing::Put(4) | Doing::Repeat(4) => {
            let request = Request::builder()
                .method("PUT")
                .uri(tenant.path(&secret))
                .header("authorization", format!("Bearer {}", tenant.token))
                .header("idempotency-key", "together-4")
                .body(Full::new(put_body(upstream, 4).to_string().into()));
            return tenant.world.send(request.unwrap()).await;
        }
        Doing::Put(number) | Doing::Repeat(number) => {
            ("PUT", secret, Some(put_body(upstream, number)))
        }
        Doing::Use(version) => {
            let mut body =
                json!({"request": {"method": "GET", "url": upstream.url("/all/together")}});
            if let Some(version) = version {
                body["version"] = json!(version);
            }
            ("POST", format!("{secret}/use"), Some(body))
        }
        Doing::Delete => ("DELETE", secret, None),
        Doing::ChangePolicy => {
            let body = json!({"policy": policy(upstream, "changed")});
            ("PUT", format!("{secret}/policy"), Some(body))
        }
        Doing::Promote => ("POST", format!("{secret}/versions/1:promote"), None),
        Doing::Revoke => ("POST", format!("{secret}/versions/2:revoke"), None),
        Doing::Rewrap => {
            let key = json!({"key": tenant.key});
            let bound = tenant.call("PUT", "/key", Some(key)).await;
            if bound.status != 200 {
                return bound;
            }
            ("POST", "/rewraps".to_owned(), None)
        }
    };
    tenant.call(method, &path, body).await
}

/// What may be answered to whom comes between others; nothing else is.
fn is_expected(doing: Doing, answer: &Answer) -> bool {
    let told = (answer.status.as_u16(), code(answer));
    let lost = matches!(told, (409, "conflict") | (404, "not_found"));
    match doing {
        Doing::Put(_) | Doing::Repeat(_) => told.0 == 201 || lost,
        Doing::Use(_) => told.0 == 200 || told.0 == 404 || told == (410, "version_revoked"),
        Doing::Delete => told.0 == 204 || lost,
        Doing::Rewrap => told.0 == 202,
        Doing::ChangePolicy | Doing::Promote | Doing::Revoke => {
            told.0 == 200 || lost || told == (410, "version_revoked")
        }
    }
}

#[tokio::test]
async fn whatever_is_done_to_one_secret_at_once_what_stands_is_what_was_acknowledged() {
    let rounds = number("BYOK_TEST_ROUNDS").unwrap_or(24);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("BYOK_TEST_SEED").unwrap_or(since.subsec_nanos().into());
    let world = World::own(|mut config| {
        config.rewraps.every = Some(Duration::from_millis(5));
        config
    })
    .await;
    let upstream = Upstream::start().await.unwrap();
    let mut random = Random(seed);
    let mut done: BTreeMap<Doing, u64> = BTreeMap::new();
    for round in 0..rounds {
        let what = format!("BYOK_TEST_SEED={seed}, round {round}");
        let mut tenant = Tenant::of(&world).await;
        for number in [1, 2] {
            let path = format!("/secrets/{NAME}");
            let put = tenant
                .call("PUT", &path, Some(put_body(&upstream, number)))
                .await;
            assert_eq!(put.status, 201, "{what}: {}", put.json());
        }
        let next = tenant.customer.create_key().unwrap();
        let former = std::mem::replace(&mut tenant.key, next);
        tenant.grant();
        let mut cast = ALWAYS.to_vec();
        cast.extend((random.below(2) == 0).then_some(Doing::Delete));
        cast.extend((random.below(2) == 0).then_some(Doing::Revoke));
        let longest = LONGEST[random.below(LONGEST.len() as u64) as usize];
        let going = cast.iter().map(|doing| {
            let wait = Duration::from_millis(random.below(longest));
            let (tenant, upstream) = (&tenant, &upstream);
            async move {
                tokio::time::sleep(wait).await;
                (*doing, act(tenant, upstream, *doing).await)
            }
        });
        let going: Vec<_> = going.collect();
        let answers = join_all(going).await;
        for (doing, answer) in &answers {
            let told = String::from_utf8_lossy(&answer.body);
            assert!(
                is_expected(*doing, answer),
                "{what}: {doing:?} was told {} {}: {told}",
                answer.status,
                code(answer)
            );
            if answer.status.is_success() {
                *done.entry(*doing).or_default() += 1;
            }
        }
        let round = Round {
            tenant: &tenant,
            upstream: &upstream,
            answers: &answers,
            what: &what,
        };
        round.check(&former).await;
    }
    println!("BYOK_TEST_SEED={seed}: done of {rounds} rounds: {done:?}");
}

/// What a round left to be looked at.
struct Round<'r> {
    tenant: &'r Tenant<'r>,
    upstream: &'r Upstream,
    answers: &'r [(Doing, Answer)],
    what: &'r str,
}

impl Round<'_> {
    /// The one answer to what is done once, if it succeeded.
    fn success(&self, doing: Doing) -> Option<Value> {
        let of = self.answers.iter().find(|(one, _)| *one == doing);
        of.filter(|(_, answer)| answer.status.is_success())
            .map(|(_, answer)| answer.json())
    }

    async fn check(&self, former: &str) {
        let (tenant, what) = (self.tenant, self.what);
        // The job ends by itself, and nothing is under the former key ever after.
        let job = self.success(Doing::Rewrap).unwrap();
        let job = job["id"].as_str().unwrap();
        until("the job has ended", async || {
            !show(tenant, job).await["endedAt"].is_null()
        })
        .await;
        let ended = show(tenant, job).await;
        assert_eq!(ended["state"], "done", "{what}: {ended}");
        let shown = tenant.call("GET", "/key", None).await.json();
        let old = &shown["usage"]["former"][0];
        assert_eq!(old["key"], former, "{what}: {shown}");
        assert_eq!(old["safe_to_disable"], true, "{what}: {shown}");
        let disable = json!({"KeyId": former});
        tenant.customer.call("DisableKey", disable).unwrap();

        let seen = self.upstream.take();
        let mut numbers = BTreeMap::from([(1, 1), (2, 2)]);
        for put in [3, 4] {
            let made = [Doing::Put(put), Doing::Repeat(put)];
            let made: BTreeSet<_> = made
                .into_iter()
                .filter_map(|doing| self.success(doing))
                .map(|answer| answer["version"].as_u64().unwrap())
                .collect();
            assert!(
                made.len() <= 1,
                "{what}: a repetition made another: {made:?}"
            );
            for version in made {
                let twice = numbers.insert(version, put);
                assert_eq!(twice, None, "{what}: {version} was used twice");
            }
        }
        let moved = ended["moved"].as_u64().unwrap();
        assert!(moved <= numbers.len() as u64, "{what}: {ended}");
        let records = self.audit().await;
        let put: Vec<u64> = records
            .iter()
            .filter(|record| record["kind"] == "put")
            .map(|record| record["version"].as_u64().unwrap())
            .collect();
        assert!(
            put.iter().eq(numbers.keys()),
            "{what}: {put:?} and {numbers:?}"
        );
        self.check_uses(&records, &numbers, seen.len());
        self.check_versions(&numbers).await;
    }

    /// The whole trail, the puts in the order of their numbers.
    async fn audit(&self) -> Vec<Value> {
        let answer = self.tenant.call("GET", "/audit?limit=100", None).await;
        let page = answer.json();
        assert!(page["next"].is_null(), "{}: one page holds it", self.what);
        let mut records = page["records"].as_array().unwrap().clone();
        records.sort_by_key(|record| record["version"].as_u64());
        records
    }

    /// Every use that was answered reached the upstream once, with its record.
    fn check_uses(&self, records: &[Value], numbers: &BTreeMap<u64, u64>, seen: usize) {
        let what = self.what;
        let mut answered = 0;
        for (doing, answer) in self.answers {
            let (Doing::Use(wanted), true) = (doing, answer.status.is_success()) else {
                continue;
            };
            answered += 1;
            let receipt = &answer.json()["receipt"];
            let version = receipt["version"].as_u64().unwrap();
            assert!(wanted.is_none_or(|wanted| wanted == version), "{what}");
            assert!(
                numbers.contains_key(&version),
                "{what}: {version} was never put"
            );
            let of = |record: &&Value| record["id"] == receipt["id"];
            let record = records.iter().find(of).expect("a use has its record");
            assert_eq!(record["outcome"]["code"], "ok", "{what}: {record}");
            assert_eq!(record["version"], version, "{what}: {record}");
        }
        assert_eq!(seen, answered, "{what}: what reached the upstream");
        let used = records
            .iter()
            .filter(|record| record["kind"] == "use" && record["outcome"]["code"] == "ok");
        assert_eq!(used.count(), answered, "{what}: records of uses");
    }

    /// Every version that was acknowledged opens to its own value, but what was deleted or
    /// revoked by one who was told so; and the head's policy holds for each.
    async fn check_versions(&self, numbers: &BTreeMap<u64, u64>) {
        let (tenant, what) = (self.tenant, self.what);
        let list = tenant.call("GET", "/secrets", None).await.json();
        let head = list["secrets"].as_array().unwrap().first().cloned();
        let deleted = self.success(Doing::Delete).is_some();
        let revoked = self.success(Doing::Revoke).is_some();
        let first = match self.item("S#").await {
            Some(item) if item["kind"]["S"] == "live" => {
                item["first"]["N"].as_str().unwrap().parse().unwrap()
            }
            Some(_) => u64::MAX,
            None => panic!("{what}: nothing is left under the name"),
        };
        assert_eq!(deleted, first > 1, "{what}: {head:?}");
        let changed = self.success(Doing::ChangePolicy);
        for (version, number) in numbers {
            let one = self.use_at("all", *version).await;
            if *version < first {
                assert_eq!(code(&one), "not_found", "{what}: {version} was deleted");
                continue;
            }
            if revoked && *version == 2 {
                assert_eq!(code(&one), "version_revoked", "{what}");
                continue;
            }
            assert_eq!(one.status, 200, "{what}: {version}: {}", one.json());
            let seen = self.upstream.take();
            let expected = format!("Bearer {}", value(*number));
            assert_eq!(
                seen[0].header("authorization"),
                expected,
                "{what}: {version}"
            );

            // Where the version alone may go, or the head alone, nothing goes.
            let is_head = head
                .as_ref()
                .is_some_and(|head| head["version"] == *version);
            let was_changed = changed
                .as_ref()
                .is_some_and(|changed| changed["version"] == *version);
            let own = if was_changed {
                "changed".to_owned()
            } else {
                format!("put-{number}")
            };
            let told = self.use_at(&own, *version).await;
            let expected = if is_head {
                (200, "")
            } else {
                (403, "destination_denied")
            };
            assert_eq!(
                (told.status.as_u16(), code(&told)),
                expected,
                "{what}: {version}"
            );
            if was_changed {
                let before = self.use_at(&format!("put-{number}"), *version).await;
                assert_eq!(code(&before), "destination_denied", "{what}: {version}");
            }
            let _ = self.upstream.take();
        }
    }

    async fn use_at(&self, place: &str, version: u64) -> Answer {
        let url = self.upstream.url(&format!("/{place}/check"));
        let body = json!({"request": {"method": "GET", "url": url}, "version": version});
        let path = format!("/secrets/{NAME}/use");
        self.tenant.call("POST", &path, Some(body)).await
    }

    /// The secret's item of a kind, as it lies in the table.
    async fn item(&self, kind: &str) -> Option<Value> {
        let input = json!({
            "TableName": "broker",
            "ConsistentRead": true,
            "Key": {"pk": {"S": format!("W#{}", self.tenant.workspace)}, "sk": {"S": format!("{kind}{NAME}")}},
        });
        let answer = self.tenant.world.table("GetItem", input).await;
        Some(answer["Item"].clone()).filter(|item| !item.is_null())
    }
}
