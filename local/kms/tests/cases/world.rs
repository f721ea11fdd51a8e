//! A KMS in a directory of its own, with principals of three accounts.

use local_kms::{Clock, Config, KmsError, LocalKms, ManualClock, Principal};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) const CUSTOMER: &str = "111122223333";
pub(crate) const BROKER: &str = "444455556666";
pub(crate) const STRANGER: &str = "777788889999";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const ELSEWHERE: &str = "us-east-1";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Name, ARN, identity policy. The name is the access key id too.
fn principals() -> Vec<Principal> {
    let all = || allows("kms:*", "*");
    let rows: Vec<(&str, String, Option<Value>)> = vec![
        // The customer's account.
        ("root", format!("arn:aws:iam::{CUSTOMER}:root"), None),
        ("admin", user(CUSTOMER, "admin"), Some(all())),
        // A role without identity policies: only key policies and grants speak for it.
        ("bare", role(CUSTOMER, "bare"), None),
        // One that its account lets use keys, if a key's policy delegates.
        ("delegate", role(CUSTOMER, "delegate"), Some(all())),
        // One that may decrypt and describe only.
        (
            "reader",
            user(CUSTOMER, "team/reader"),
            Some(json!({"Version": "2012-10-17", "Statement": {
                "Effect": "Allow", "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*"}})),
        ),
        // One whose identity policy denies Decrypt.
        (
            "barred",
            role(CUSTOMER, "barred"),
            Some(json!([all(), {"Version": "2012-10-17", "Statement": [{
                "Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"}]}])),
        ),
        // The broker's account.
        ("broker", role(BROKER, "broker"), Some(all())),
        (
            "session",
            format!("arn:aws:sts::{BROKER}:assumed-role/broker/deploy"),
            Some(all()),
        ),
        // Across accounts without an identity policy of its own.
        ("mute", role(BROKER, "mute"), None),
        // Across accounts, allowed other keys only.
        (
            "elsewhere",
            role(BROKER, "elsewhere"),
            Some(allows("kms:*", &format!("arn:aws:kms:*:{STRANGER}:key/*"))),
        ),
        ("broker-root", format!("arn:aws:iam::{BROKER}:root"), None),
        // A third account.
        ("stranger", role(STRANGER, "admin"), Some(all())),
    ];
    rows.into_iter()
        .map(|(name, arn, identity_policy)| Principal {
            arn,
            access_key_id: name.to_owned(),
            secret_access_key: "not checked".to_owned(),
            identity_policy,
        })
        .collect()
}

pub(crate) fn allows(action: &str, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": action, "Resource": resource}]})
}

pub(crate) fn role(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

pub(crate) fn user(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:user/{name}")
}

/// A directory that goes when the test does.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "local-kms-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An open KMS, its clock, and shorthands for calling it.
pub(crate) struct World {
    pub(crate) kms: LocalKms,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: Dir,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(time::OffsetDateTime::now_utc()));
        let dir = Dir::new();
        let kms = open(&dir.0, clock.clone()).unwrap();
        Self { kms, clock, dir }
    }

    /// Closes the KMS and opens the directory again.
    pub(crate) fn reopened(self) -> Self {
        let Self { kms, clock, dir } = self;
        drop(kms);
        let kms = open(&dir.0, clock.clone()).unwrap();
        Self { kms, clock, dir }
    }

    pub(crate) fn call(&self, who: &str, operation: &str, input: Value) -> Result<Value, KmsError> {
        self.kms.call(who, REGION, operation, input)
    }

    pub(crate) fn ok(&self, who: &str, operation: &str, input: Value) -> Value {
        self.call(who, operation, input).unwrap()
    }

    /// The code of an answer: `ok`, or the exception's name.
    pub(crate) fn code(&self, who: &str, operation: &str, input: Value) -> &'static str {
        self.call(who, operation, input)
            .map_or_else(|error| error.code, |_| "ok")
    }

    /// `admin`'s call in the other Region.
    pub(crate) fn there(&self, operation: &str, input: Value) -> Result<Value, KmsError> {
        self.kms.call("admin", ELSEWHERE, operation, input)
    }

    pub(crate) fn ok_there(&self, operation: &str, input: Value) -> Value {
        self.there(operation, input).unwrap()
    }

    pub(crate) fn code_there(&self, operation: &str, input: Value) -> &'static str {
        self.there(operation, input)
            .map_or_else(|error| error.code, |_| "ok")
    }

    /// What CreateKey says of a key made from `input`; its policy delegates to the account.
    pub(crate) fn make(&self, input: Value) -> Value {
        self.ok("admin", "CreateKey", input)["KeyMetadata"].clone()
    }

    pub(crate) fn describe(&self, key: &Value) -> Value {
        self.ok("admin", "DescribeKey", json!({"KeyId": key}))["KeyMetadata"].clone()
    }

    /// The ARN of a multi-Region primary key with a replica elsewhere, and the replica's.
    pub(crate) fn related(&self) -> (Value, Value) {
        let primary = self.make(json!({"MultiRegion": true}))["Arn"].clone();
        let input = json!({"KeyId": primary, "ReplicaRegion": ELSEWHERE});
        let made = self.ok("admin", "ReplicateKey", input);
        (primary, made["ReplicaKeyMetadata"]["Arn"].clone())
    }

    /// Milliseconds of the clock as AWS JSON writes times.
    pub(crate) fn now(&self) -> f64 {
        let nanos = self.clock.now().unix_timestamp_nanos();
        i64::try_from(nanos / 1_000_000).unwrap() as f64 / 1000.0
    }

    /// A key of the customer's with these statements and one for `admin`; gives its ARN.
    pub(crate) fn key(&self, statements: &[Value]) -> String {
        let mut statements = statements.to_vec();
        statements.push(json!({"Sid": "Admin", "Effect": "Allow", "Action": "kms:*",
            "Resource": "*", "Principal": {"AWS": user(CUSTOMER, "admin")}}));
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let answer = self.ok("admin", "CreateKey", json!({"Policy": policy.to_string()}));
        answer["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// A grant by `admin`; gives CreateGrant's answer.
    pub(crate) fn grant(&self, key: &str, grantee: &str, operations: &[&str]) -> Value {
        self.ok(
            "admin",
            "CreateGrant",
            json!({"KeyId": key, "GranteePrincipal": grantee, "Operations": operations}),
        )
    }

    pub(crate) fn data_key(&self, who: &str, key: &str, context: &Value) -> Value {
        self.ok(
            who,
            "GenerateDataKey",
            json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context}),
        )
    }
}

pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<LocalKms, local_kms::OpenError> {
    LocalKms::open(Config {
        clock,
        ..Config::new(dir, principals())
    })
}
