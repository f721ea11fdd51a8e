//! A clean stop and a second start on the same state.

use crate::child::{DEADLINE, Folder, Program, Started, options};
use local::Upstream;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

fn put(upstream: &str, value: &str) -> Value {
    json!({"value": value, "policy": {"destinations": [{"url": upstream}]}})
}

fn use_once(url: &str) -> Value {
    json!({"request": {"method": "GET", "url": url}})
}

#[tokio::test]
async fn after_a_stop_all_is_as_it_was() {
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    let first = Program::start(&folder);
    let client = first.client();
    let former = first.local.clone();
    client
        .call(
            "PUT",
            "/secrets/thing",
            Some(&put(&upstream.url("/"), "the-value")),
            201,
        )
        .await;
    let granted = client.grant(first.text("key")).await;
    let other = client.new_key().await;
    let revoked = client.grant(&other).await;
    client
        .kms("RevokeGrant", json!({"KeyId": other, "GrantId": revoked}))
        .await;
    client.kms("DisableKey", json!({"KeyId": other})).await;
    let key = client.call("GET", "/key", None, 200).await;
    let ended = first.stop("TERM");
    assert!(ended.status.success(), "{}: {}", ended.status, ended.errors);

    // Once more by the other signal: what was read back is also written again.
    for signal in ["INT", "TERM"] {
        let again = Program::start(&folder);
        let client = again.client();
        for name in [
            "workspace",
            "token",
            "key",
            "broker",
            "region",
            "principals",
        ] {
            assert_eq!(again.local[name], former[name], "{name}");
        }
        assert_eq!(client.call("GET", "/key", None, 200).await, key);
        let body = use_once(&upstream.url("/v1"));
        client
            .call("POST", "/secrets/thing/use", Some(&body), 200)
            .await;
        assert_eq!(
            upstream.take()[0].header("authorization"),
            "Bearer the-value"
        );
        assert!(
            client
                .grants(again.text("key"))
                .await
                .contains_key(&granted)
        );
        assert!(client.grants(&other).await.is_empty());
        let described = client.kms("DescribeKey", json!({"KeyId": other})).await;
        assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
        let ended = again.stop(signal);
        assert!(
            ended.status.success(),
            "SIG{signal}: {}: {}",
            ended.status,
            ended.errors
        );
        assert!(
            !ended.errors.contains("WARN"),
            "a start is not worth a warning: {}",
            ended.errors
        );
    }
}

#[tokio::test]
async fn a_grant_that_was_taken_away_stays_away() {
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    let first = Program::start(&folder);
    let client = first.client();
    client
        .call(
            "PUT",
            "/secrets/thing",
            Some(&put(&upstream.url("/"), "the-value")),
            201,
        )
        .await;
    let key = first.text("key").to_owned();
    for grant in client.grants(&key).await.keys() {
        client
            .kms("RevokeGrant", json!({"KeyId": key, "GrantId": grant}))
            .await;
    }
    assert!(first.stop("TERM").status.success());

    let again = Program::start(&folder);
    let client = again.client();
    let body = use_once(&upstream.url("/"));
    let refused = client
        .call("POST", "/secrets/thing/use", Some(&body), 424)
        .await;
    assert_eq!(refused["code"], "key_access_denied", "{refused}");
    assert!(upstream.take().is_empty());
    client.grant(&key).await;
    client
        .call("POST", "/secrets/thing/use", Some(&body), 200)
        .await;
}

#[test]
fn what_lies_on_the_disk_is_its_owners_alone() {
    let folder = Folder::fresh();
    let state = folder.state();
    // Also a folder that was there before, empty and open to all.
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        let program = Program::start(&folder);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.clone()), 0o700);
        for file in ["local.json", "kms.json", "kms.journal", "cloudtrail.jsonl"] {
            assert_eq!(mode(state.join(file)), 0o600, "{file}");
        }
        assert!(!state.join("local.json.new").exists());
        assert!(program.stop("TERM").status.success());
    }
}

#[test]
fn what_is_printed_at_the_start_is_what_local_json_says() {
    let folder = Folder::fresh();
    let state = folder.state();
    let program = Program::start(&folder);
    let (http, token, key) = (
        program.http,
        program.text("token").to_owned(),
        program.text("key").to_owned(),
    );
    let workspace = program.text("workspace").to_owned();
    let ended = program.stop("INT");
    let out = ended.out.join("\n");
    for line in [
        format!("export BYOK=http://{http}/v1/workspaces/{workspace}"),
        format!("export TOKEN={token}"),
        format!("bound to {key}"),
        format!("state      {}", state.display()),
    ] {
        assert!(out.contains(&line), "{line} is missing:\n{out}");
    }
    assert_eq!(
        ended.out.last().map(String::as_str),
        Some("ready"),
        "nothing is printed after it"
    );
}

#[test]
fn the_cloud_alone_prints_its_environment_and_keeps_its_state() {
    let folder = Folder::fresh();
    let state = folder.state();
    let mut arguments = options(&state);
    arguments.insert(0, "cloud".as_ref());
    for signal in ["TERM", "INT"] {
        let mut cloud = Started::new(&arguments);
        assert!(cloud.is_ready());
        for name in [
            "AWS_ENDPOINT_URL_KMS",
            "AWS_ENDPOINT_URL_DYNAMODB",
            "BYOK_TABLE",
        ] {
            let start = format!("export {name}=");
            assert!(
                cloud.out.iter().any(|line| line.starts_with(&start)),
                "{name}: {:?}",
                cloud.out
            );
        }
        cloud.signal(signal);
        let ended = cloud.ended();
        assert!(
            ended.status.success() && ended.errors.is_empty(),
            "{}: {}",
            ended.status,
            ended.errors
        );
    }
    // The whole program begins anew on what it left.
    assert!(Program::start(&folder).stop("TERM").status.success());
}

#[test]
fn half_a_request_does_not_keep_it_from_stopping() {
    let folder = Folder::fresh();
    let program = Program::start(&folder);
    let mut held = Vec::new();
    for address in [program.http, program.kms, program.dynamodb] {
        let mut connection = TcpStream::connect(address).unwrap();
        connection
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-le")
            .unwrap();
        held.push(connection);
    }
    let ended = program.stop("TERM");
    assert!(ended.status.success(), "{}: {}", ended.status, ended.errors);
    Program::start(&folder);
}

/// A use that an upstream has and does not answer until it is told to.
fn slow_use(
    folder: &Folder,
) -> (
    Program,
    TcpStream,
    std::thread::JoinHandle<std::io::Result<Value>>,
) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", upstream.local_addr().unwrap());
    let program = Program::start(folder);
    let client = program.client();
    let user = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            client
                .call("PUT", "/secrets/thing", Some(&put(&url, "the-value")), 201)
                .await;
            let body = use_once(&url);
            let answer = client
                .try_call("POST", "/secrets/thing/use", &[], Some(&body))
                .await?;
            Ok(answer.json())
        })
    });
    let (mut asked, _) = upstream.accept().unwrap();
    asked.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut request = [0; 1024];
    assert!(asked.read(&mut request).unwrap() > 0);
    (program, asked, user)
}

#[test]
fn a_use_under_way_ends_before_the_program_does() {
    let folder = Folder::fresh();
    let (program, mut asked, user) = slow_use(&folder);
    let http = program.http;
    program.signal("TERM");
    // It has heard the signal when it takes no more connections.
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect_timeout(&http, Duration::from_secs(1)).is_ok() {
        assert!(Instant::now() < deadline, "it still takes connections");
        std::thread::yield_now();
    }
    asked
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .unwrap();
    let answer = user.join().unwrap().unwrap();
    assert_eq!(answer["body"], "done", "{answer}");
    assert!(program.ended().status.success());
}

#[test]
fn told_twice_it_stops_without_waiting() {
    let folder = Folder::fresh();
    let (program, asked, user) = slow_use(&folder);
    let begun = Instant::now();
    program.signal("INT");
    let ended = {
        // Two signals of one kind may become one while the first is not heard yet; of two kinds, never.
        program.stop("TERM")
    };
    assert!(ended.status.success(), "{}: {}", ended.status, ended.errors);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it waited for the use"
    );
    assert!(user.join().unwrap().is_err(), "the use was cut off");
    drop(asked);
    Program::start(&folder);
}

/// A first start that is killed at any moment leaves a state on which the next one gets ready.
#[test]
fn a_start_may_be_killed_at_any_moment() {
    let folder = Folder::fresh();
    let whole = Instant::now();
    Program::start(&folder).kill();
    let whole = whole.elapsed();
    let steps = 12;
    for step in 0..steps {
        let folder = Folder::fresh();
        let state = folder.state();
        // Twice: what the first one left is found by the second in its turn.
        for _ in 0..2 {
            let started = Started::new(&options(&state));
            std::thread::sleep(whole * step / steps);
            started.kill();
        }
        let program = Program::start(&folder);
        let ended = program.stop("TERM");
        assert!(ended.status.success(), "{}: {}", ended.status, ended.errors);
        assert!(!ended.errors.contains("panic"), "{}", ended.errors);
    }
}
