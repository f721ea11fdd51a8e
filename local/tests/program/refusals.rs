//! What is broken, taken or misspelt: one line that says where, a failure, and
//! the state as it was.

use crate::child::{Ended, Folder, Program, Started, files, options};
use local::Upstream;
use serde_json::json;
use std::{
    ffi::{OsStr, OsString},
    fs,
    net::TcpListener,
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    path::Path,
};

/// Runs it, and checks that it refuses in one line that has all these parts.
fn refused(arguments: &[impl AsRef<OsStr>], code: i32, parts: &[&str]) -> Ended {
    let ended = Started::new(arguments).ended();
    let line = &ended.errors;
    assert_eq!(ended.status.code(), Some(code), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("local: "), "{line}");
    assert!(
        !line.contains("panic") && !line.contains("backtrace"),
        "{line}"
    );
    for part in parts {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert!(ended.out.is_empty(), "{:?}", ended.out);
    ended
}

/// A state with a secret in it, whose program was stopped or killed.
async fn made(folder: &Folder, upstream: &Upstream, killed: bool) {
    let program = Program::start(folder);
    let body =
        json!({"value": "the-value", "policy": {"destinations": [{"url": upstream.url("/")}]}});
    program
        .client()
        .call("PUT", "/secrets/thing", Some(&body), 201)
        .await;
    if killed {
        program.kill();
    } else {
        assert!(program.stop("TERM").status.success());
    }
}

/// A state is whole if the program starts on it and the secret in it is used.
async fn check(folder: &Folder, upstream: &Upstream) {
    let program = Program::start(folder);
    let body = json!({"request": {"method": "GET", "url": upstream.url("/")}});
    program
        .client()
        .call("POST", "/secrets/thing/use", Some(&body), 200)
        .await;
    assert_eq!(
        upstream.take()[0].header("authorization"),
        "Bearer the-value"
    );
    assert!(program.stop("TERM").status.success());
}

#[test]
fn a_misspelt_command_line_is_refused_in_one_line() {
    for (line, part) in [
        ("--what", "\"--what\" is no option"),
        ("serve", "\"serve\" is no option"),
        ("demo too", "\"too\" is no option"),
        ("--state", "--state needs a value"),
        ("--http", "--http needs a value"),
        ("--http 8080", "\"8080\" is no address"),
        ("--kms localhost:1", "\"localhost:1\" is no address"),
        ("--http 0.0.0.0:0", "0.0.0.0:0 is not on loopback"),
        ("--kms 192.0.2.1:0", "192.0.2.1:0 is not on loopback"),
        ("--dynamodb [::]:0", "[::]:0 is not on loopback"),
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        refused(&arguments, 2, &[part, "--help tells how"]);
    }
    let not_text = OsString::from_vec(vec![b'-', 0xff]);
    refused(&[&not_text], 2, &["is not UTF-8", "--help tells how"]);
    refused(
        &[OsStr::new("--http"), &not_text],
        2,
        &["is not UTF-8", "--help tells how"],
    );
}

#[test]
fn help_is_no_failure() {
    for option in ["--help", "-h"] {
        let ended = Started::new(&[option]).ended();
        assert!(ended.status.success() && ended.errors.is_empty());
        assert_eq!(ended.out, local::HELP.lines().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_option() {
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    made(&folder, &upstream, true).await;
    let (state, before) = (folder.state(), files(&folder.state()));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--http", "--kms", "--dynamodb"] {
        let mut arguments = options(&state);
        arguments.extend([OsStr::new(option), OsStr::new(&address)]);
        refused(&arguments, 1, &["cannot listen on", &address, option]);
    }
    assert_eq!(files(&state), before);
    check(&folder, &upstream).await;
}

#[tokio::test]
async fn a_second_one_on_the_same_state_is_refused_and_the_first_goes_on() {
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    made(&folder, &upstream, false).await;
    let state = folder.state();
    let first = Program::start(&folder);
    let before = files(&state);
    refused(
        &options(&state),
        1,
        &["kms.lock is in use by another process"],
    );
    assert_eq!(files(&state), before);
    let body = json!({"request": {"method": "GET", "url": upstream.url("/")}});
    first
        .client()
        .call("POST", "/secrets/thing/use", Some(&body), 200)
        .await;
    // The lock is the process's, not the file's: it ends with a kill.
    first.kill();
    assert_eq!(upstream.take().len(), 1);
    check(&folder, &upstream).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_is_named() {
    let folder = Folder::fresh();
    let file = folder.at("file");
    fs::write(&file, "a file").unwrap();
    // A file instead, a folder below one, and a place where even root makes none.
    for state in [file.clone(), file.join("state"), "/proc/byok".into()] {
        refused(&options(&state), 1, &[state.to_str().unwrap()]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"a file");

    let closed = folder.at("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if fs::write(closed.join("probe"), "").is_err() {
        refused(
            &options(&closed.join("state")),
            1,
            &[closed.to_str().unwrap(), "denied"],
        );
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_with_other_things_in_it_is_not_taken_over() {
    let folder = Folder::fresh();
    let state = folder.state();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(state.join("thesis.txt"), "42").unwrap();
    let before = files(&state);
    refused(
        &options(&state),
        1,
        &[state.to_str().unwrap(), "other things", "empty folder"],
    );
    assert_eq!(files(&state), before);
    assert_eq!(
        fs::metadata(&state).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

/// A way to break a file, and the words that name what is wrong.
type Break = (&'static str, fn(&Path), &'static str);

fn overwrite(path: &Path) {
    fs::write(path, "garbage\nmore of it\n{}\n").unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let from = (bytes.len() / 4).min(4096);
    let until = (from + 4096).min(bytes.len() / 2);
    bytes[from..until].fill(0xff);
    fs::write(path, bytes).unwrap();
}

fn not_ours(path: &Path) {
    fs::write(path, r#"{"workspace":"demo","token":7}"#).unwrap();
}

fn elsewhere(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(
        path,
        text.replace(r#""workspace": "demo""#, r#""workspace": "other""#),
    )
    .unwrap();
}

fn token_gone(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace("byok_demo_", "byok-demo-")).unwrap();
}

fn another_format(path: &Path) {
    fs::write(path, r#"{"format":3,"keys":[],"grants":[],"aliases":[]}"#).unwrap();
}

/// Breaks a file of a state in every way, and sees that the start names it, leaves
/// all files but `may_change` as they are, and works again once it is mended.
async fn broken(name: &str, killed: bool, ways: &[Break], may_change: &[&str]) {
    let folder = Folder::fresh();
    let upstream = Upstream::start().await.unwrap();
    made(&folder, &upstream, killed).await;
    let state = folder.state();
    let path = state.join(name);
    for (way, break_it, words) in ways {
        let whole = fs::read(&path).unwrap();
        break_it(&path);
        let before = files(&state);
        assert_ne!(before.get(name), Some(&whole), "{way}: nothing is broken");
        let parts = [path.to_str().unwrap(), *words];
        // It is no less broken the second time.
        for _ in 0..2 {
            refused(&options(&state), 1, &parts);
            let mut after = files(&state);
            for other in may_change {
                after.insert((*other).to_owned(), before[*other].clone());
            }
            assert!(after == before, "{name}, {way}: files were changed");
        }
        fs::write(&path, whole).unwrap();
    }
    check(&folder, &upstream).await;
}

#[tokio::test]
async fn a_broken_local_json_is_named_and_nothing_is_changed() {
    let ways: &[Break] = &[
        ("garbage", overwrite, "it is not JSON"),
        ("empty", empty, "it is not JSON"),
        ("half of it", halve, "it is not JSON"),
        ("another's", not_ours, "it has no token"),
    ];
    broken("local.json", true, ways, &[]).await;
}

#[tokio::test]
async fn a_local_json_of_another_table_is_named() {
    // This is seen only when the table can be asked, and the KMS has folded its journal by then.
    let ways: &[Break] = &[
        ("another workspace", elsewhere, "has no workspace other"),
        ("no token", token_gone, "token"),
    ];
    broken("local.json", false, ways, &["kms.json", "kms.journal"]).await;
}

#[tokio::test]
async fn a_broken_kms_json_is_named_and_nothing_is_changed() {
    let ways: &[Break] = &[
        ("garbage", overwrite, "is broken"),
        ("empty", empty, "missing or empty"),
        ("gone", remove, "missing or empty"),
        ("half of it", halve, "is broken"),
        ("damage", damage, "is broken"),
        (
            "another format",
            another_format,
            "format 3 is not one that this program knows",
        ),
    ];
    broken("kms.json", true, ways, &[]).await;
}

#[tokio::test]
async fn a_broken_kms_journal_is_named_and_nothing_is_changed() {
    let ways: &[Break] = &[
        ("garbage", overwrite, "line 1 is damaged"),
        ("damage", damage, "is damaged"),
        ("gone", remove, "missing or empty"),
    ];
    broken("kms.journal", true, ways, &[]).await;
}

#[tokio::test]
async fn a_broken_table_is_named_and_left_as_it_is() {
    // Gone or empty is seen before anything is touched; what is within, only after
    // the KMS has folded its journal into kms.json, which loses nothing.
    let ways: &[Break] = &[
        ("empty", empty, "missing or empty"),
        ("gone", remove, "missing or empty"),
    ];
    broken("broker.sqlite", true, ways, &[]).await;
    let ways: &[Break] = &[
        ("garbage", overwrite, "cannot open the table"),
        ("half of it", halve, "cannot open the table"),
        ("damage", damage, "cannot open the table"),
    ];
    broken("broker.sqlite", false, ways, &["kms.json", "kms.journal"]).await;
}
