//! The API's document: complete, true, and committed as it is.

use crate::world::World;
use api::Code;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The one command that writes `openapi.yaml`.
const COMMAND: &str = "BYOK_WRITE_OPENAPI=1 cargo test -p tests --test api openapi";
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

fn document() -> Value {
    json!(local::openapi().unwrap())
}

/// Every operation: path, method, and itself.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.iter()
                .map(move |(method, operation)| (path.clone(), method.as_str(), operation))
        })
        .collect()
}

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    path.replace("{workspace}", "nowhere")
        .replace(['{', '}'], "")
}

#[test]
fn the_committed_document_is_the_one_that_the_code_makes() {
    let made = format!(
        "# Made from the code by: {COMMAND}\n{}",
        yaml_serde::to_string(&local::openapi().unwrap()).unwrap()
    );
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml"));
    if std::env::var_os("BYOK_WRITE_OPENAPI").is_some() {
        fs::write(path, &made).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == made,
        "openapi.yaml is not what the code makes; to write it: {COMMAND}"
    );
}

#[tokio::test]
async fn the_local_port_serves_the_document_to_everyone() {
    let served = World::shared().call("GET", "/openapi.json", "", None).await;
    assert_eq!(served.status, 200);
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.json(), document());
}

#[test]
fn every_error_code_is_in_the_document_with_its_own_status() {
    let document = document();
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    assert_eq!(*listed, json!(Code::ALL.map(Code::as_str)));
    let told: BTreeSet<(String, String)> = operations(&document)
        .iter()
        .flat_map(|(_, _, operation)| operation["responses"].as_object().unwrap())
        .flat_map(|(status, response)| {
            let codes = response["headers"]["byok-error"]["schema"]["enum"].as_array();
            codes
                .into_iter()
                .flatten()
                .map(|code| (status.clone(), code.as_str().unwrap().to_owned()))
        })
        .collect();
    let all: BTreeSet<(String, String)> = Code::ALL
        .iter()
        .map(|code| (code.status().as_str().to_owned(), code.as_str().to_owned()))
        .collect();
    assert_eq!(told, all);
}

#[test]
fn every_operation_says_who_it_is_what_it_answers_and_what_its_parameters_are() {
    let document = document();
    assert_eq!(document["security"].as_array().unwrap().len(), 3);
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(METHODS.contains(&method), "{what}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{what}: its id is taken"
        );
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter["description"].is_string(), "{what}: {parameter}");
        }
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            let named = operation["parameters"].as_array().unwrap().iter();
            assert_eq!(
                named
                    .filter(|it| it["name"] == name && it["in"] == "path")
                    .count(),
                1,
                "{what}: {name}"
            );
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let empty = status == "204" || path.contains("/via/") && status == "default";
            assert!(
                empty || response["content"].is_object(),
                "{what}: {status} has no schema"
            );
        }
        assert!(operation["summary"].is_string(), "{what}");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} leads nowhere"
        );
    }
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_no_other_method_of_its_path() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let answer = World::shared()
                .call(&method.to_ascii_uppercase(), &filled(path), "", None)
                .await;
            // GET answers HEAD as well (RFC 9110, section 9.3.2).
            let documented =
                item.get(method).is_some() || (method == "head" && item.get("get").is_some());
            let expected = if documented { 401 } else { 405 };
            assert_eq!(answer.status, expected, "{method} {path}");
        }
    }
}

/// A router does not list its routes; but a route that is made by `routes!` is in
/// the document by itself. So no other is made, but the pass-through's three forms.
#[test]
fn no_route_is_made_beside_the_document() {
    let functions = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../functions"));
    let mut found = Vec::new();
    for function in fs::read_dir(functions).unwrap() {
        for path in sources(&function.unwrap().path().join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            for call in [".route(", ".nest(", ".route_service(", ".fallback"] {
                let lines = text.lines().filter(|line| line.contains(call));
                found.extend(lines.map(|line| line.trim().to_owned()));
            }
        }
    }
    let via = "any(via::pass_through))";
    assert!(
        found.len() == 3 && found.iter().all(|line| line.contains(via)),
        "{found:#?}"
    );
    let document = document();
    let documented = use_secret_via().replace("{*path}", "{path}");
    assert!(document["paths"][documented].is_object());
}

/// Every file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

fn use_secret_via() -> String {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../functions/use-secret/src/lib.rs"
    );
    let text = fs::read_to_string(source).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("pub const VIA"))
        .unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}
