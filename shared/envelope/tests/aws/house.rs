//! A customer with a KMS key, a broker with a grant on it, and the KMS between them.

use envelope::aws::AwsAccess;
use envelope::kms::{Kms, Unwrap, UnwrapRequest, Unwrapped, Wrap, Wrapped};
use envelope::{
    BrokerId, EncryptionContext, KeyArn, KeyName, KmsFailure, Place, PolicyDigest, SecretName,
    SecretVersion, WorkspaceId, WrappedDataKey,
};
use local_kms::{Config, KmsError, LocalKms, Principal};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) const REGION: &str = "eu-west-1";
const CUSTOMER: &str = "AKIAIOSFODNN7CUSTOMER";
const BROKER: &str = "AKIAIOSFODNN7BROKER00";
/// The account that the broker's role is of.
const DEPLOYMENT: &str = "AKIAIOSFODNN7DEPLOY00";
pub(crate) const BROKER_ROLE: &str = "arn:aws:iam::444455556666:role/broker";

/// Longer than any call here takes that is not made to fail.
pub(crate) const TIME: Duration = Duration::from_secs(20);
/// Enough for several attempts at a call that is made to fail.
pub(crate) const SHORT: Duration = Duration::from_millis(900);

pub(crate) struct House {
    pub(crate) kms: LocalKms,
    pub(crate) endpoint: String,
    /// The customer's key, under a grant to the broker for the workspace `acme`.
    pub(crate) key: KeyArn,
    pub(crate) grant_id: String,
    state_dir: PathBuf,
}

impl House {
    /// Serves a KMS on a port of its own until the test's runtime ends.
    pub(crate) async fn open() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "kms-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let state_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let principal = |arn: &str, access_key_id: &str| Principal {
            arn: arn.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: "secret".to_owned(),
            identity_policy: Some(json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
            })),
        };
        let principals = vec![
            principal("arn:aws:iam::111122223333:root", CUSTOMER),
            principal("arn:aws:iam::444455556666:root", DEPLOYMENT),
            principal(BROKER_ROLE, BROKER),
        ];
        let kms = LocalKms::open(Config::new(&state_dir, principals)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(local_kms::serve(
            listener,
            kms.clone(),
            std::future::pending(),
        ));

        let key = create_key(&kms, CUSTOMER, REGION, json!({}));
        let (grant_id, _) = grant(&kms, &key, &["GenerateDataKey", "Decrypt", "DescribeKey"]);
        Self {
            kms,
            endpoint,
            key,
            grant_id,
            state_dir,
        }
    }

    /// The adapter as the broker has it.
    pub(crate) fn broker(&self) -> Kms {
        self.broker_at(&self.endpoint)
    }

    /// The same, by another way to KMS.
    pub(crate) fn broker_at(&self, endpoint: &str) -> Kms {
        Kms::new(
            AwsAccess::new(BROKER, "secret", None),
            Some(endpoint.to_owned()),
        )
    }

    pub(crate) fn wrap(&self) -> Wrap {
        self.broker().wrap()
    }

    pub(crate) fn unwrap(&self) -> Unwrap {
        self.broker().unwrap()
    }

    /// A data key of the place `acme/db-password/1`.
    pub(crate) async fn wrapped(&self) -> Wrapped {
        self.wrap()
            .generate(&self.key, &context(), &[], TIME)
            .await
            .unwrap()
    }

    /// The customer does something to a key.
    pub(crate) fn customer(&self, operation: &str, input: Value) -> Value {
        self.kms.call(CUSTOMER, REGION, operation, input).unwrap()
    }

    pub(crate) fn create_key(&self, input: Value) -> KeyArn {
        create_key(&self.kms, CUSTOMER, REGION, input)
    }

    /// A key of the broker's own account, for whose roles its IAM alone decides.
    pub(crate) fn create_own_key(&self, input: Value) -> KeyArn {
        create_key(&self.kms, DEPLOYMENT, REGION, input)
    }

    /// The deployment does something to a key of its own.
    pub(crate) fn deployment(&self, operation: &str, input: Value) -> Value {
        self.kms.call(DEPLOYMENT, REGION, operation, input).unwrap()
    }

    /// From now on the broker's IAM allows its role these actions and no other.
    pub(crate) fn broker_may(&self, actions: &[&str]) {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        });
        self.kms.set_identity_policy(BROKER, Some(&policy)).unwrap();
    }

    /// A key of another kind, whose policy, not a grant, lets the broker do everything.
    pub(crate) fn create_key_open_to_the_broker(&self, mut input: Value) -> KeyArn {
        let open = json!({
            "Effect": "Allow",
            "Principal": {"AWS": BROKER_ROLE},
            "Action": "kms:*",
            "Resource": "*",
        });
        input["Policy"] = json!(policy_of(vec![open]));
        self.create_key(input)
    }

    /// The customer writes these statements into a key's policy, beside their own.
    pub(crate) fn put_policy(&self, key: &KeyArn, statements: Vec<Value>) {
        let policy = policy_of(statements);
        let input = json!({"KeyId": key.as_str(), "PolicyName": "default", "Policy": policy});
        self.customer("PutKeyPolicy", input);
    }

    /// The same, where KMS may refuse the policy.
    pub(crate) fn try_put_policy(
        &self,
        key: &KeyArn,
        statements: Vec<Value>,
    ) -> Result<Value, KmsError> {
        let policy = policy_of(statements);
        let input = json!({"KeyId": key.as_str(), "PolicyName": "default", "Policy": policy});
        self.try_customer("PutKeyPolicy", input)
    }

    /// The customer does something to a key that KMS may refuse.
    pub(crate) fn try_customer(&self, operation: &str, input: Value) -> Result<Value, KmsError> {
        self.kms.call(CUSTOMER, REGION, operation, input)
    }

    /// A call of the broker's role that its own code cannot make.
    pub(crate) fn call_as_broker(&self, operation: &str, input: Value) -> Result<Value, KmsError> {
        self.kms.call(BROKER, REGION, operation, input)
    }

    pub(crate) fn create_key_in(&self, region: &str) -> KeyArn {
        create_key(&self.kms, CUSTOMER, region, json!({}))
    }

    /// The same multi-Region key in another Region, without the grants of this one.
    pub(crate) fn replicate(&self, key: &KeyArn, region: &str) -> KeyArn {
        let input = json!({"KeyId": key.as_str(), "ReplicaRegion": region});
        let made = self.customer("ReplicateKey", input);
        KeyArn::parse(made["ReplicaKeyMetadata"]["Arn"].as_str().unwrap()).unwrap()
    }

    /// Grants the broker these operations; gives the grant's id and token.
    pub(crate) fn grant(&self, key: &KeyArn, operations: &[&str]) -> (String, String) {
        grant(&self.kms, key, operations)
    }

    pub(crate) fn revoke(&self) {
        self.customer(
            "RevokeGrant",
            json!({"KeyId": self.key.as_str(), "GrantId": self.grant_id}),
        );
    }

    /// What the customer's log shows of the broker's calls of one operation.
    pub(crate) fn events(&self, operation: &str) -> Vec<Value> {
        let mut events = self.broker_events();
        events.retain(|event| event["eventName"] == operation);
        events
    }

    /// What the log shows of the broker's calls, with whosever key.
    pub(crate) fn broker_events(&self) -> Vec<Value> {
        let mut events = self.kms.events().unwrap();
        // A root user, who makes the keys of the broker's account, has no session.
        events.retain(|event| {
            let who = &event["userIdentity"];
            who["accountId"] == "444455556666" && who["sessionContext"].is_object()
        });
        events
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // What stays behind is removed with the target folder.
        let _ = std::fs::remove_dir_all(&self.state_dir);
    }
}

fn policy_of(mut statements: Vec<Value>) -> String {
    statements.push(json!({
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "kms:*",
        "Resource": "*",
    }));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn create_key(kms: &LocalKms, who: &str, region: &str, input: Value) -> KeyArn {
    let made = kms.call(who, region, "CreateKey", input).unwrap();
    KeyArn::parse(made["KeyMetadata"]["Arn"].as_str().unwrap()).unwrap()
}

fn grant(kms: &LocalKms, key: &KeyArn, operations: &[&str]) -> (String, String) {
    let input = json!({
        "KeyId": key.as_str(),
        "GranteePrincipal": BROKER_ROLE,
        "Operations": operations,
        "Constraints": {"EncryptionContextSubset": {"byok:broker": "prod", "byok:workspace": "acme"}},
    });
    let made = kms
        .call(CUSTOMER, key.region(), "CreateGrant", input)
        .unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("GrantId"), text("GrantToken"))
}

pub(crate) fn place(workspace: &str, name: &str, version: u64) -> Place {
    Place {
        broker: BrokerId::parse("prod").unwrap(),
        workspace: WorkspaceId::parse(workspace).unwrap(),
        name: SecretName::parse(name).unwrap(),
        version: SecretVersion::new(version).unwrap(),
    }
}

pub(crate) fn named(key: &KeyArn) -> KeyName {
    key.clone().into()
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::new(&place("acme", "db-password", 1), &PolicyDigest::of(b"{}"))
}

/// A request to unwrap, where only the wrapped key's own KEK is allowed.
pub(crate) struct Ask<'a> {
    pub(crate) wrapped: &'a WrappedDataKey,
    pub(crate) context: EncryptionContext,
    pub(crate) allowed: Vec<KeyArn>,
    pub(crate) receipt: Option<&'a str>,
    pub(crate) grant_tokens: Vec<String>,
    pub(crate) time: Duration,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(wrapped: &'a WrappedDataKey) -> Self {
        let allowed = vec![wrapped.key.clone()];
        Self {
            wrapped,
            context: context(),
            allowed,
            receipt: None,
            grant_tokens: Vec::new(),
            time: TIME,
        }
    }

    pub(crate) async fn unwrap(&self, unwrap: &Unwrap) -> Result<Unwrapped, KmsFailure> {
        unwrap.unwrap(self.request()).await
    }

    pub(crate) async fn would_unwrap(&self, unwrap: &Unwrap) -> Result<String, KmsFailure> {
        unwrap.would_unwrap(self.request()).await
    }

    fn request(&self) -> UnwrapRequest<'_> {
        UnwrapRequest {
            wrapped: self.wrapped,
            context: &self.context,
            allowed: &self.allowed,
            receipt: self.receipt,
            grant_tokens: &self.grant_tokens,
            time: self.time,
        }
    }
}

/// The role whose session an event was written for.
pub(crate) fn role_of(event: &Value) -> &str {
    event["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"]
        .as_str()
        .unwrap()
}
