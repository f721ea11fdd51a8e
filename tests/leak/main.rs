//! Nothing secret comes out: canaries through every route of the API's document,
//! success and failure of each, over both edges, with logs at their loudest; then
//! every byte of logs, answers and stored files is searched for each of them, in
//! every form in which it might have been written.
//!
//! The document drives it: a route without a success case here fails the test by
//! its name, and so does an answer that the document does not describe.
//!
//! ```text
//! test ── starts itself again, RUST_LOG=trace, standard output and error into a file
//!           └─ the stack, both edges, all cases, some through Lambda's own runtime
//!                └─ then searches: that file, the answers, the state folder
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod cases;
mod failures;
mod people;
mod runtime;
mod schema;
mod search;

use std::{fs, net::TcpListener, path::Path, process::Command};

/// Names the folder to the process that does the work.
const INSIDE: &str = "BYOK_LEAK_FOLDER";

#[test]
fn no_secret_no_token_and_no_customers_data_comes_out_of_any_route() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        runtime::reserve();
        return people::run(Path::new(&folder));
    }
    let folder = std::env::temp_dir().join(format!("byok-leak-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let output = fs::File::create(folder.join("output")).unwrap();
    // Free now; the process takes it in a moment.
    let runtime = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("no_secret_no_token_and_no_customers_data_comes_out_of_any_route")
        .env(INSIDE, &folder)
        .env("RUST_LOG", "trace")
        .env(runtime::ADDRESS, runtime.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "all")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "all")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "all")
        .env("RUST_BACKTRACE", "0")
        .stderr(output.try_clone().unwrap())
        .stdout(output)
        .status()
        .unwrap();
    let report = fs::read_to_string(folder.join("report"));
    let output = fs::read_to_string(folder.join("output")).unwrap_or_default();
    let _ = fs::remove_dir_all(&folder);
    let panics: Vec<&str> = output
        .lines()
        .filter(|line| line.contains("tests/leak"))
        .collect();
    let report = report.unwrap_or_else(|_| panic!("it broke off: {panics:#?}"));
    assert!(report.is_empty(), "\n{report}");
    assert!(status.success(), "{panics:#?}");
}
