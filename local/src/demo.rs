//! The whole story in one terminal. Each step is checked: a story that does not
//! come true ends with an error, not with a nice text.

use crate::{
    Customer, DemoWorkspace, LocalFile, Stack, StackConfig, StartError, Upstream,
    cast::{CUSTOMER_ACCOUNT, Role},
    client::{self, Answer},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::StatusCode;
use local_kms::KmsError;
use serde_json::{Value, json};
use std::{io, path::PathBuf, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// The secret of the story.
const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

/// How long the story waits for its re-wrap.
const REWRAP_TIME: Duration = Duration::from_secs(30);

/// Why the story did not come true.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The stack did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A connection failed.
    #[error("the demo lost a connection: {0}")]
    Io(#[from] io::Error),
    /// The customer's KMS refused its own customer.
    #[error("the customer's KMS refused: {0}")]
    Kms(#[from] KmsError),
    /// A step did not do what it says.
    #[error("the demo's step did not come true: {0}")]
    Untrue(&'static str),
}

/// Tells the story, a line at a time, on a stack of its own, which is then removed.
///
/// # Errors
/// A step did not come true.
pub async fn tell(say: impl Fn(&str)) -> Result<(), DemoError> {
    let state = Scratch::fresh();
    let stack = Stack::start(StackConfig::on_free_ports(&state.0)).await?;
    let told = match Story::new(&stack, &state.0, &say).await {
        Ok(story) => story.tell().await,
        Err(error) => Err(error),
    };
    stack.stop().await;
    state.remove()?;
    told
}

/// A folder of the story's own, gone when the story is over, however it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn fresh() -> Self {
        let name = format!("byok-demo-{}", Uuid::now_v7());
        Self(std::env::temp_dir().join(name))
    }

    fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Removed already, or never made.
        let _ = self.remove();
    }
}

struct Story<'a> {
    stack: &'a Stack,
    demo: DemoWorkspace,
    customer: Customer,
    upstream: Upstream,
    say: &'a dyn Fn(&str),
}

impl<'a> Story<'a> {
    async fn new(
        stack: &'a Stack,
        state: &std::path::Path,
        say: &'a dyn Fn(&str),
    ) -> Result<Self, DemoError> {
        Ok(Self {
            stack,
            demo: LocalFile::of(state).prepare(stack).await?,
            customer: stack.customer(Role::Customer),
            upstream: Upstream::start().await?,
            say,
        })
    }

    async fn tell(&self) -> Result<(), DemoError> {
        self.bind().await?;
        self.put().await?;
        self.step("4. An agent uses it in an outbound request, and never sees it.");
        self.use_works().await?;
        self.at_rest(true).await?;
        self.step("6. The customer takes the grant away.");
        let revoked = self.customer.revoke_all(&self.demo.key)?;
        self.line(&format!(
            "RevokeGrant                 {revoked} grant(s) of {}",
            Role::Broker.arn()
        ));
        self.use_fails("key_access_denied").await?;
        self.at_rest(false).await?;
        self.step("8. The customer grants again. The secret was never put anew.");
        self.customer
            .grant(&self.demo.key, &self.stack.broker, &self.demo.workspace)?;
        self.line("CreateGrant                 ok");
        self.use_works().await?;
        self.rotate()?;
        self.rewrap().await?;
        self.log()
    }

    /// New material inside the same key. What was wrapped before still opens.
    fn rotate(&self) -> Result<(), DemoError> {
        self.step(
            "9. The customer rotates the key. Nothing is put anew: KMS keeps the old material.",
        );
        let key = json!({"KeyId": self.demo.key});
        self.customer.call("RotateKeyOnDemand", key)?;
        self.line("RotateKeyOnDemand           ok");
        Ok(())
    }

    /// Another key, and everything moved to it, without a plaintext data key on the way.
    async fn rewrap(&self) -> Result<(), DemoError> {
        self.step("10. The customer moves to another key. Everything is re-wrapped inside KMS; no value is opened.");
        let key = self.customer.create_key()?;
        self.customer
            .grant(&key, &self.stack.broker, &self.demo.workspace)?;
        let body = json!({"key": key});
        let bound = self.call("PUT", "/key", Some(&body)).await?;
        check(bound.status == StatusCode::OK, "the new key is bound")?;
        check(
            !self.safe_to_disable().await?,
            "the former key is still needed",
        )?;
        self.line("safe_to_disable (before)    false");
        let started = self.call("POST", "/rewraps", None).await?;
        check(
            started.status == StatusCode::ACCEPTED,
            "the re-wrap is started",
        )?;
        let id = started.json()["id"].as_str().unwrap_or_default().to_owned();
        let deadline = Instant::now() + REWRAP_TIME;
        let ended = loop {
            let job = self.call("GET", &format!("/rewraps/{id}"), None).await?;
            let job = job.json();
            if !["running", "paused"].contains(&job["state"].as_str().unwrap_or_default()) {
                break job;
            }
            check(Instant::now() < deadline, "the re-wrap ends")?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        check(
            ended["state"] == "done" && ended["moved"] == 1 && ended["verified"] == 1,
            "the re-wrap moved the secret and verified it",
        )?;
        self.line("POST /rewraps               done: 1 moved, 1 verified");
        check(
            self.safe_to_disable().await?,
            "the former key is needed no more",
        )?;
        self.line("safe_to_disable (after)     true");
        self.customer
            .call("DisableKey", json!({"KeyId": self.demo.key}))?;
        self.line("DisableKey                  the former key is off");
        self.use_works().await
    }

    async fn safe_to_disable(&self) -> Result<bool, DemoError> {
        let shown = self.call("GET", "/key", None).await?.json();
        Ok(shown["usage"]["former"][0]["safe_to_disable"] == true)
    }

    async fn bind(&self) -> Result<(), DemoError> {
        self.step("1. A customer makes a KMS key in their own account, and grants the broker its use, fenced by context.");
        self.line(&format!("CreateKey, CreateGrant      {}", self.demo.key));
        self.step("2. The workspace binds the key. The broker proves that it works, and for no other, before it stores anything.");
        let answer = self
            .call("PUT", "/key", Some(&json!({"key": self.demo.key})))
            .await?;
        check(answer.status == StatusCode::OK, "the key is bound")?;
        for probe in answer.json()["probes"].as_array().into_iter().flatten() {
            let text = |name: &str| probe[name].as_str().unwrap_or_default().to_owned();
            let (operation, result) = (text("operation"), text("result"));
            self.line(&format!("{operation:27} {result:8} {}", text("context")));
        }
        Ok(())
    }

    async fn put(&self) -> Result<(), DemoError> {
        self.step("3. A developer puts a secret, and says where it may go.");
        let body = json!({
            "value": SECRET,
            "policy": {"destinations": [{"url": self.upstream.url("/v1/"), "methods": ["POST"]}]},
        });
        let answer = self.call("PUT", "/secrets/payments", Some(&body)).await?;
        check(answer.status == StatusCode::CREATED, "the secret is put")?;
        self.line(&format!(
            "PUT /secrets/payments       {} {}",
            answer.status.as_u16(),
            answer.json()
        ));
        Ok(())
    }

    /// A use that must succeed: the upstream sees the secret, the caller does not.
    async fn use_works(&self) -> Result<(), DemoError> {
        let answer = self.use_once("/v1/charges").await?;
        check(
            answer.status == StatusCode::OK && answer.json()["status"] == 200,
            "the use succeeds",
        )?;
        let seen = self.upstream.take();
        check(
            seen.len() == 1 && seen[0].header("authorization") == format!("Bearer {SECRET}"),
            "the upstream saw the secret",
        )?;
        check(
            !contains(&answer.body, SECRET.as_bytes()),
            "the caller did not see the secret",
        )?;
        self.line(&format!(
            "the upstream saw            authorization: {}",
            seen[0].header("authorization")
        ));
        self.line(&format!("the caller saw              {}", answer.json()));

        let denied = self.use_once("/elsewhere").await?;
        check(
            denied.header("byok-error") == "destination_denied",
            "another destination is refused",
        )?;
        check(
            self.upstream.take().is_empty(),
            "another destination sees nothing",
        )?;
        self.line("to another destination      403 destination_denied, and nothing was sent");
        Ok(())
    }

    async fn use_fails(&self, code: &'static str) -> Result<(), DemoError> {
        self.step("7. The very next use fails, and nothing reaches the upstream.");
        let answer = self.use_once("/v1/charges").await?;
        check(
            answer.header("byok-error") == code,
            "the next use is refused",
        )?;
        check(self.upstream.take().is_empty(), "the upstream saw nothing")?;
        self.line(&format!(
            "POST …/use                  {} {code}",
            answer.status.as_u16()
        ));
        Ok(())
    }

    async fn at_rest(&self, can_decrypt: bool) -> Result<(), DemoError> {
        if can_decrypt {
            self.step("5. At rest it is ciphertext, and whether it opens is asked of the customer's KMS, now.");
        }
        let answer = self.call("GET", "/secrets/payments", None).await?;
        let shown = answer.json();
        check(
            answer.status == StatusCode::OK,
            "the secret is shown at rest",
        )?;
        check(
            shown["brokerCanDecrypt"] == can_decrypt,
            "brokerCanDecrypt says what KMS says",
        )?;
        let ciphertext = BASE64_STANDARD
            .decode(shown["ciphertext"].as_str().unwrap_or_default())
            .unwrap_or_default();
        check(
            !ciphertext.is_empty() && !contains(&ciphertext, SECRET.as_bytes()),
            "what is stored is ciphertext",
        )?;
        self.line(&format!("brokerCanDecrypt            {can_decrypt}"));
        if can_decrypt {
            let text = shown["ciphertext"].as_str().unwrap_or_default();
            self.line(&format!(
                "ciphertext                  {}…",
                text.get(..48).unwrap_or(text)
            ));
            self.line(&format!(
                "wrappedBy                   {}",
                shown["wrappedBy"].as_str().unwrap_or_default()
            ));
        }
        Ok(())
    }

    fn log(&self) -> Result<(), DemoError> {
        self.step("11. All of it stands in the customer's own KMS log, by the secret's name.");
        let (mut uses, mut probes) = (0, 0);
        for event in self.stack.kms.events()? {
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
            if text("/recipientAccountId") != Some(CUSTOMER_ACCOUNT) {
                // The deployment's own keys, in the deployment's own log.
                continue;
            }
            let operation = text("/eventName").unwrap_or_default();
            let error = text("/errorCode");
            let secret = ["encryptionContext", "sourceEncryptionContext"]
                .into_iter()
                .find_map(|of| text(&format!("/requestParameters/{of}/byok:secret")))
                .unwrap_or("-");
            uses += usize::from(operation == "Decrypt" && error.is_none() && secret == "payments");
            if error.is_some() && ["$probe", "-"].contains(&secret) {
                probes += 1;
                continue;
            }
            let who = text("/userIdentity/arn").unwrap_or_default();
            self.line(&format!(
                "{operation:17} {secret:10} {:24} {}",
                error.unwrap_or("ok"),
                who.rsplit(':').next().unwrap_or_default()
            ));
        }
        self.line(&format!("and {probes} dry runs with which the broker proved the two keys, most of them denied as they must be"));
        check(uses == 3, "the log shows exactly one Decrypt for each use")?;
        self.line(&format!("{uses} uses succeeded, and the log shows {uses} successful Decrypt calls for the secret"));
        Ok(())
    }

    async fn use_once(&self, path: &str) -> io::Result<Answer> {
        let body = json!({"request": {"method": "POST", "url": self.upstream.url(path), "body": "amount=100"}});
        self.call("POST", "/secrets/payments/use", Some(&body))
            .await
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let path = format!("/v1/workspaces/{}{path}", self.demo.workspace);
        client::call(self.stack.http, method, &path, &self.demo.token, body).await
    }

    fn step(&self, text: &str) {
        (self.say)("");
        (self.say)(text);
    }

    fn line(&self, text: &str) {
        (self.say)(&format!("   {text}"));
    }
}

fn check(held: bool, what: &'static str) -> Result<(), DemoError> {
    if held {
        Ok(())
    } else {
        Err(DemoError::Untrue(what))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
