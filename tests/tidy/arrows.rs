//! Who may depend on whom: `functions → api, egress`, `api → store → envelope`,
//! `egress → envelope`, `local → functions`, `tests → local`.

use crate::tree::{dependencies, files};
use std::collections::{BTreeMap, BTreeSet};

const SHARED: [&str; 4] = ["envelope", "store", "egress", "api"];

fn members() -> BTreeMap<String, Vec<String>> {
    ["shared", "functions", "local", "tests"]
        .into_iter()
        .flat_map(|folder| files(folder, &["Cargo.toml"]))
        .map(|(path, manifest)| {
            (
                path.trim_end_matches("/Cargo.toml").to_owned(),
                dependencies(&manifest),
            )
        })
        .collect()
}

fn functions() -> BTreeSet<String> {
    members()
        .keys()
        .filter_map(|path| path.strip_prefix("functions/"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_room_depends_only_on_the_rooms_below_it() {
    let functions = functions();
    assert!(functions.len() >= 6, "{functions:?}");
    let ours: BTreeSet<String> = SHARED
        .into_iter()
        .chain(["local", "local-kms", "tests"])
        .map(str::to_owned)
        .chain(functions.iter().cloned())
        .collect();
    for (path, needs) in members() {
        let allowed: Vec<&str> = match path.as_str() {
            "shared/envelope" | "local/kms" => vec![],
            "shared/store" | "shared/egress" => vec!["envelope"],
            "shared/egress/fuzz" => vec!["egress", "envelope"],
            "shared/api" => vec!["store", "envelope"],
            "local" => SHARED
                .into_iter()
                .chain(["local-kms"])
                .chain(functions.iter().map(String::as_str))
                .collect(),
            "tests" => vec![],
            function => {
                assert!(
                    function.starts_with("functions/"),
                    "{function} is no room of the house"
                );
                SHARED.to_vec()
            }
        };
        for need in needs.iter().filter(|need| ours.contains(*need)) {
            assert!(
                allowed.contains(&need.as_str()),
                "{path} must not depend on {need}"
            );
        }
    }
}

#[test]
fn no_lambda_links_the_local_stack_or_an_embedded_server() {
    for (path, needs) in members()
        .iter()
        .filter(|(path, _)| !path.starts_with("local") && *path != "tests")
    {
        for forbidden in ["local", "local-kms", "dynoxide-rs", "iam-rs"] {
            assert!(
                !needs.iter().any(|need| need == forbidden),
                "{path} must not link {forbidden}"
            );
        }
    }
}

#[test]
fn a_function_holds_no_more_handles_than_its_job_needs() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("put-secret", &["Wrap"][..]),
        ("use-secret", &["Unwrap"]),
        (
            "set-workspace-key",
            &["Wrap", "Unwrap", "Inspect", "Probe", "MakeMac"],
        ),
        ("rewrap-secrets", &["Rewrap", "MakeMac", "CheckMac"]),
        ("manage-tokens", &["MakeMac"]),
        ("open-workspace", &["MakeMac"]),
        ("read-workspace", &["CheckMac"]),
    ]);
    for function in functions() {
        let allowed = allowed.get(function.as_str()).copied().unwrap_or_default();
        for (path, text) in files(&format!("functions/{function}/src"), &[".rs"]) {
            for (handle, maker) in [
                ("Wrap", ".wrap()"),
                ("Unwrap", ".unwrap()"),
                ("Inspect", ".inspect()"),
                ("Probe", ".probe()"),
                ("Rewrap", ".rewrap()"),
                ("MakeMac", "mac()"),
                ("CheckMac", ".job_macs()"),
            ] {
                let field = text
                    .lines()
                    .any(|line| line.trim().ends_with(&format!(": {handle},")));
                let made = path.ends_with("main.rs") && text.contains(maker);
                assert!(
                    allowed.contains(&handle) || !(field || made),
                    "{path} must not hold {handle}"
                );
            }
        }
    }
}
