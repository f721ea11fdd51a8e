//! Random requests to every route: no panic, no 500 but where the table of
//! errors says so, no secret in any answer.
//!
//! `BYOK_TEST_REQUESTS` says how many (10,000) and `BYOK_TEST_SEED` from which
//! seed; a failure prints the seed.

use crate::world::{Tenant, code, holds};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use local::Upstream;
use serde_json::{Value, json};

const CANARY: &str = "canary-value-that-must-never-come-out";

/// A small generator (SplitMix64), so that a seed tells the whole run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }

    /// What is now and then put where a word should be.
    fn word(&mut self) -> String {
        const WORDS: [&str; 24] = [
            "",
            "thing",
            "absent",
            "a",
            "..",
            ".",
            "%2e%2e",
            "%00",
            "%ff",
            "%",
            "é",
            "A",
            "0",
            "-1",
            "99999999999999999999",
            "null",
            "true",
            "{secret}",
            "' or 1=1",
            "<script>",
            "$probe",
            "byok:secret",
            "W#x",
            "\\",
        ];
        match self.below(4) {
            0 => String::from_utf8_lossy(&self.bytes(40)).into_owned(),
            1 => "x".repeat(self.below(300)),
            _ => (*self.one(&WORDS)).to_owned(),
        }
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.next() as i64),
            2 => json!(self.below(2) == 0),
            3 | 4 => json!(self.word()),
            5 => Value::Array((0..self.below(4)).map(|_| self.json(depth - 1)).collect()),
            _ => Value::Object(
                (0..self.below(5))
                    .map(|_| (self.field(), self.json(depth - 1)))
                    .collect(),
            ),
        }
    }

    fn field(&mut self) -> String {
        const FIELDS: [&str; 24] = [
            "value",
            "value_base64",
            "value_json",
            "policy",
            "destinations",
            "url",
            "methods",
            "inject",
            "header",
            "format",
            "basic",
            "query",
            "reveal",
            "expires_at",
            "request",
            "method",
            "headers",
            "body",
            "body_base64",
            "version",
            "timeout_ms",
            "permissions",
            "secrets",
            "key",
        ];
        if self.below(8) == 0 {
            self.word()
        } else {
            (*self.one(&FIELDS)).to_owned()
        }
    }
}

struct Aim<'a> {
    tenant: &'a Tenant<'a>,
    tokens: Vec<String>,
    upstream: &'a Upstream,
}

impl Aim<'_> {
    fn path(&self, random: &mut Random) -> String {
        const ROUTES: [&str; 23] = [
            "/key",
            "/key/checks",
            "/key/policy",
            "/key/policy/lint",
            "/secrets/{}/policy",
            "/secrets/{}/versions",
            "/secrets/{}/versions/1:{}",
            "/rewraps",
            "/rewraps/{}",
            "/rewraps/{}/resume",
            "/secrets",
            "/secrets/{}",
            "/secrets/{}/use",
            "/via/{}",
            "/via/{}/",
            "/via/{}/{}",
            "/via/{}/{}/{}",
            "/audit",
            "/tokens",
            "/tokens/{}",
            "/{}",
            "/secrets/{}/{}",
            "",
        ];
        let mut route = (*random.one(&ROUTES)).to_owned();
        while let Some(at) = route.find("{}") {
            let word = if random.below(2) == 0 {
                "thing".to_owned()
            } else {
                encode(&random.word())
            };
            route.replace_range(at..at + 2, &word);
        }
        let workspace = match random.below(6) {
            0 => encode(&random.word()),
            _ => self.tenant.workspace.to_string(),
        };
        let mut path = format!("/v1/workspaces/{workspace}{route}");
        if random.below(3) == 0 {
            path = format!(
                "{path}?{}={}",
                encode(&random.field()),
                encode(&random.word())
            );
        }
        if random.below(30) == 0 {
            format!("/{}", encode(&random.word()))
        } else {
            path
        }
    }

    fn body(&self, random: &mut Random) -> Bytes {
        let url = self.upstream.url("/v1/thing");
        let value = match random.below(9) {
            0 => return Bytes::from(random.bytes(2000)),
            1 => return Bytes::new(),
            2 => json!({"request": {"method": "GET", "url": url}}),
            3 => {
                json!({"request": {"method": random.word(), "url": random.word(), "headers": random.json(1), "body": random.word()}})
            }
            4 => json!({"value": CANARY, "policy": random.json(3)}),
            5 => {
                json!({"value": CANARY, "policy": {"destinations": [{"url": url}], "inject": random.json(2)}})
            }
            6 => {
                json!({"permissions": ["read"], "secrets": random.json(1), "label": random.word()})
            }
            7 => {
                let mut text = json!({"request": {"method": "GET", "url": url}, "value": CANARY})
                    .to_string()
                    .into_bytes();
                let at = random.below(text.len());
                text[at] = random.next() as u8;
                return Bytes::from(text);
            }
            _ => random.json(4),
        };
        Bytes::from(value.to_string())
    }

    fn request(&self, random: &mut Random) -> Option<Request<Full<Bytes>>> {
        const METHODS: [&str; 10] = [
            "GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "WAT",
        ];
        const HEADERS: [&str; 12] = [
            "content-type",
            "content-length",
            "transfer-encoding",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "cookie",
            "host",
            "expect",
            "x-api-key",
            "connection",
            "byok-receipt",
        ];
        let mut request = Request::builder()
            .method(*random.one(&METHODS))
            .uri(self.path(random));
        request = match random.below(8) {
            0 => request,
            1 => request.header("authorization", random.bytes(60)),
            2 => request.header("x-api-key", random.one(&self.tokens)),
            _ => request.header(
                "authorization",
                format!("Bearer {}", random.one(&self.tokens)),
            ),
        };
        for _ in 0..random.below(4) {
            let name = *random.one(&HEADERS);
            // Over a connection these two would describe the message itself.
            if !matches!(name, "content-length" | "transfer-encoding") {
                request = request.header(name, random.bytes(30));
            }
        }
        request.body(Full::new(self.body(random))).ok()
    }
}

fn encode(word: &str) -> String {
    word.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'%' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_random_requests_panic_nothing_and_tell_nothing() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    tenant.put("thing", CANARY, &upstream).await;
    let powerless = tenant
        .make_token(json!({"permissions": ["reveal_secrets"]}))
        .await;
    let scoped = tenant
        .make_token(
            json!({"permissions": ["use_secrets", "read", "write_secrets"], "secrets": ["thing"]}),
        )
        .await;
    let other = Tenant::new().await;
    let tokens = vec![
        tenant.token.clone(),
        tenant.token.clone(),
        scoped,
        powerless,
        other.token.clone(),
    ];
    let aim = Aim {
        tenant: &tenant,
        tokens,
        upstream: &upstream,
    };

    let (count, seed) = (
        number("BYOK_TEST_REQUESTS", 10_000),
        number("BYOK_TEST_SEED", 1),
    );
    let mut random = Random(seed);
    let (mut sent, mut succeeded) = (0, 0);
    while sent < count {
        // A request may delete it.
        if sent % 200 == 0 {
            tenant.put("thing", CANARY, &upstream).await;
        }
        let batch: Vec<_> = std::iter::from_fn(|| Some(aim.request(&mut random)))
            .flatten()
            .filter(|request| tenant.world.carries(request))
            .take(8)
            .collect();
        for answer in join_all(batch.into_iter().map(|request| {
            let line = format!("{} {}", request.method(), request.uri());
            let world = tenant.world;
            async move { (line, world.send(request).await) }
        }))
        .await
        {
            let (line, answer) = answer;
            sent += 1;
            if tenant.world.front_door_refused(&answer) {
                continue;
            }
            succeeded += usize::from(answer.status.is_success());
            let what = format!("seed {seed}: {line}: {} {}", answer.status, code(&answer));
            assert_ne!(code(&answer), "internal", "{what}");
            assert_ne!(code(&answer), "integrity_failure", "{what}");
            assert_ne!(answer.status, 500, "{what}");
            assert!(
                !holds(&answer.body, CANARY),
                "{what}: the answer tells a value"
            );
            assert!(
                !format!("{:?}", answer.headers).contains(CANARY),
                "{what}: a header tells a value"
            );
            if answer.status.is_client_error() || answer.status.is_server_error() {
                assert!(
                    !code(&answer).is_empty(),
                    "{what}: an error without its code"
                );
                assert!(
                    answer
                        .header("content-type")
                        .starts_with("application/problem+json"),
                    "{what}"
                );
            }
            assert!(
                !answer.header("byok-request-id").is_empty(),
                "{what}: an answer without its request's id"
            );
        }
    }
    assert!(
        succeeded > sent as usize / 50,
        "only {succeeded} of {sent} requests did anything"
    );
}
