//! The program as a child process, and its state folder.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use local::client::{self, Answer};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

/// For what takes a tenth of a second on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A folder of one test, removed when it is dropped, unless the test failed.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn fresh() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("byok-program-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The state folder in it, which the program makes.
    pub(crate) fn state(&self) -> PathBuf {
        self.at("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for a look: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Every file of a folder and its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// The options of a run on a state folder, on free ports.
pub(crate) fn options(state: &Path) -> Vec<&OsStr> {
    let mut options = vec![OsStr::new("--state"), state.as_os_str()];
    for option in ["--http", "--kms", "--dynamodb"] {
        options.extend([OsStr::new(option), OsStr::new("127.0.0.1:0")]);
    }
    options
}

/// A line of what a program says.
enum Said {
    Out(String),
    Error(String),
}

/// A started program, of which nothing is known yet. Killed when it is dropped.
pub(crate) struct Started {
    child: Child,
    said: Receiver<Said>,
    /// What it printed so far.
    pub(crate) out: Vec<String>,
    errors: String,
}

impl Started {
    /// Starts the program.
    pub(crate) fn new(arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::with(arguments, |_| {})
    }

    /// The same, with more to say about the process.
    pub(crate) fn with(arguments: &[impl AsRef<OsStr>], more: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
        command
            .args(arguments)
            .env_remove("RUST_LOG")
            // Were there a panic, it would be seen.
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        more(&mut command);
        let mut child = command.spawn().unwrap();
        let (send, said) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            hear(out, Said::Out, send.clone());
        }
        if let Some(errors) = child.stderr.take() {
            hear(errors, Said::Error, send);
        }
        Self {
            child,
            said,
            out: Vec::new(),
            errors: String::new(),
        }
    }

    /// Listens for one more line. False when it has ended.
    fn listen(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.said.recv_timeout(left) {
            Ok(Said::Out(line)) => self.out.push(line),
            Ok(Said::Error(line)) => {
                self.errors.push_str(&line);
                self.errors.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {
                panic!(
                    "nothing more in time after {:?} and {}",
                    self.out, self.errors
                )
            }
        }
        true
    }

    /// Waits for `ready`. False if it ends first.
    pub(crate) fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + DEADLINE;
        while self.listen(deadline) {
            if self.out.last().is_some_and(|line| line == "ready") {
                return true;
            }
        }
        false
    }

    /// Waits until it ends by itself: until it can say nothing more.
    pub(crate) fn ended(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        while self.listen(deadline) {}
        Ended {
            status: self.child.wait().unwrap(),
            out: std::mem::take(&mut self.out),
            errors: std::mem::take(&mut self.errors),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ended()
    }

    /// A file that the operating system has about it.
    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(name)
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -s {name}");
    }
}

/// Tells every line of a pipe, until it is closed.
fn hear(pipe: impl io::Read + Send + 'static, said: fn(String) -> Said, send: Sender<Said>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(io::Result::ok) {
            // Where nobody listens any more, the pipe must still not fill.
            let _ = send.send(said(line));
        }
    });
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended, and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<String>,
    pub(crate) errors: String,
}

/// A program that is ready, with what its `local.json` says.
pub(crate) struct Program {
    started: Started,
    pub(crate) http: SocketAddr,
    pub(crate) kms: SocketAddr,
    pub(crate) dynamodb: SocketAddr,
    /// `local.json`.
    pub(crate) local: Value,
}

impl Program {
    /// Starts it on the folder's state and waits until it is ready.
    pub(crate) fn start(folder: &Folder) -> Self {
        let state = folder.state();
        Self::ready(Started::new(&options(&state)), &state)
    }

    /// Waits until a started one is ready.
    pub(crate) fn ready(mut started: Started, state: &Path) -> Self {
        assert!(
            started.is_ready(),
            "it ended instead of getting ready: {}",
            started.errors
        );
        let local: Value =
            serde_json::from_slice(&fs::read(state.join("local.json")).unwrap()).unwrap();
        let address = |name: &str| {
            local[name]
                .as_str()
                .and_then(|url| url.strip_prefix("http://"))
                .unwrap()
                .parse()
                .unwrap()
        };
        Self {
            http: address("http"),
            kms: address("kms"),
            dynamodb: address("dynamodb"),
            started,
            local,
        }
    }

    /// The most memory that it had resident since the last [`forget_peak`](Self::forget_peak),
    /// in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(self.started.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024
    }

    /// What is resident now is the most again (proc(5), `/proc/pid/clear_refs`).
    pub(crate) fn forget_peak(&self) {
        fs::write(self.started.proc("clear_refs"), "5").unwrap();
    }

    /// A text of `local.json`.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.local[name].as_str().unwrap()
    }

    /// Ends it by a signal, as Ctrl-C or a service manager does.
    pub(crate) fn stop(self, signal: &str) -> Ended {
        self.started.signal(signal);
        self.started.ended()
    }

    /// Sends it a signal, and goes on.
    pub(crate) fn signal(&self, name: &str) {
        self.started.signal(name);
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(self) -> Ended {
        self.started.ended()
    }

    /// SIGKILL.
    pub(crate) fn kill(self) -> Ended {
        self.started.kill()
    }

    /// How to call it, also from tasks that outlive it.
    pub(crate) fn client(&self) -> Client {
        let customer = &self.local["principals"]["customer"]["accessKeyId"];
        Client {
            http: self.http,
            kms: self.kms,
            workspace: self.text("workspace").to_owned(),
            token: self.text("token").to_owned(),
            customer: customer.as_str().unwrap().to_owned(),
        }
    }
}

/// A caller of one run of the program.
#[derive(Clone)]
pub(crate) struct Client {
    http: SocketAddr,
    kms: SocketAddr,
    workspace: String,
    token: String,
    customer: String,
}

impl Client {
    /// The head of a request to a path of the workspace, on a connection for it alone.
    pub(crate) fn head(&self, method: &str, path: &str, more: &str) -> Vec<u8> {
        format!(
            "{method} /v1/workspaces/{}{path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {}\r\nconnection: close\r\n{more}\r\n",
            self.workspace, self.token
        )
        .into_bytes()
    }

    /// Calls a path of the workspace.
    ///
    /// # Errors
    /// There was no whole answer.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/workspaces/{}{path}", self.workspace))
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        client::send(self.http, request.body(Full::new(body)).unwrap()).await
    }

    /// Calls a path of the workspace, which must be answered with this status.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Value {
        let answer = self.try_call(method, path, &[], body).await.unwrap();
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path}: {}",
            answer.json()
        );
        answer.json()
    }

    /// Makes a KMS call over its wire, as the customer.
    ///
    /// # Errors
    /// There was no whole answer.
    pub(crate) async fn try_kms(
        &self,
        operation: &str,
        input: &Value,
    ) -> io::Result<(StatusCode, Value)> {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/kms/aws4_request, SignedHeaders=host, Signature=0",
            self.customer,
            local::cast::REGION,
        );
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", credential)
            .body(Full::new(Bytes::from(input.to_string())))
            .unwrap();
        let answer = client::send(self.kms, request).await?;
        Ok((answer.status, answer.json()))
    }

    /// Makes a KMS call as the customer, which must succeed.
    pub(crate) async fn kms(&self, operation: &str, input: Value) -> Value {
        let (status, answer) = self.try_kms(operation, &input).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
        answer
    }

    /// A new key of the customer's; its ARN.
    pub(crate) async fn new_key(&self) -> String {
        let made = self.kms("CreateKey", json!({})).await;
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// Grants the broker the use of a key, as `GET /key/policy` says; the grant's id.
    pub(crate) async fn grant(&self, key: &str) -> String {
        let mut grant = self.call("GET", "/key/policy", None, 200).await["grant"].clone();
        grant["KeyId"] = json!(key);
        let granted = self.kms("CreateGrant", grant).await;
        granted["GrantId"].as_str().unwrap().to_owned()
    }

    /// The live grants on a key: id and name.
    pub(crate) async fn grants(&self, key: &str) -> BTreeMap<String, String> {
        let mut grants = BTreeMap::new();
        let mut input = json!({"KeyId": key, "Limit": 100});
        loop {
            let page = self.kms("ListGrants", input.clone()).await;
            for grant in page["Grants"].as_array().unwrap() {
                let text = |name: &str| grant[name].as_str().unwrap().to_owned();
                grants.insert(text("GrantId"), text("Name"));
            }
            if page["Truncated"] != true {
                return grants;
            }
            input["Marker"] = page["NextMarker"].clone();
        }
    }
}
