//! template.yaml against the code: what is deployed is what was tested. Its routes
//! and variables are exactly those that the code has and reads. Its rights to keys
//! and tables are enforced by the local stack, so tests/api holds those.

use crate::tree::{files, root};
use local::{cast::Role, routes, template};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// A function, a method, a path.
type Routes = BTreeSet<(String, String, String)>;

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// One, or a list.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![],
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}

fn resources(kind: &str) -> Vec<(String, &'static Value)> {
    let all = template()["Resources"].as_object().unwrap();
    let found: Vec<_> = all
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.clone(), resource))
        .collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

/// The template's functions, by the binary that each is built from.
fn functions() -> BTreeMap<String, &'static Value> {
    resources("AWS::Serverless::Function")
        .into_iter()
        .map(|(_, function)| {
            let binary = text(&function["Metadata"]["BuildProperties"]["Binary"]);
            (binary, function)
        })
        .collect()
}

/// The pass-through, which the HTTP API does not have: it would decode the path.
const PASS_THROUGH: &str = "/v1/workspaces/{workspace}/via/{name}/{path}";

/// The routes of the code's own routers, without the pass-through.
fn routes_of_the_code() -> Routes {
    let routes: Routes = routes()
        .unwrap()
        .into_iter()
        .filter(|route| route.path != PASS_THROUGH)
        .map(|route| (route.function.to_owned(), route.method, route.path))
        .collect();
    assert!(routes.len() >= 12, "{routes:?}");
    routes
}

/// The logical name of the role of a function.
fn role_of(function: &Value) -> String {
    let role = &function["Properties"]["Role"]["Fn::GetAtt"];
    assert_eq!(role[1], "Arn", "{role}");
    text(&role[0])
}

/// The functions' programs, with the texts of their crate's sources: a crate may have
/// two programs.
fn sources() -> BTreeMap<String, Vec<(String, String)>> {
    let all = files("functions", &[".rs"]);
    let mut sources = BTreeMap::new();
    for (path, manifest) in files("functions", &["Cargo.toml"]) {
        let folder = path.trim_end_matches("Cargo.toml");
        let own: Vec<_> = all
            .iter()
            .filter(|(path, _)| path.starts_with(folder))
            .cloned()
            .collect();
        for program in programs(&manifest) {
            sources.insert(program, own.clone());
        }
    }
    sources
}

/// The names of a manifest's programs.
fn programs(manifest: &str) -> Vec<String> {
    let programs: Vec<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|program| program.split('"').nth(1).unwrap().to_owned())
        .collect();
    assert!(!programs.is_empty(), "a function without a program");
    programs
}

#[test]
fn every_function_is_deployed_under_its_own_name() {
    let deployed: Vec<_> = functions().into_keys().collect();
    let written: Vec<_> = sources().into_keys().collect();
    assert_eq!(deployed, written);
    for (binary, function) in functions() {
        let name = text(&function["Properties"]["FunctionName"]["Fn::Sub"]);
        assert_eq!(name, format!("${{FunctionPrefix}}{binary}"));
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
    }
}

#[test]
fn the_http_api_has_exactly_the_routes_of_the_code() {
    let mut found = Routes::new();
    for (binary, function) in functions() {
        for (name, event) in function["Properties"]["Events"]
            .as_object()
            .into_iter()
            .flatten()
        {
            if ["DynamoDB", "ScheduleV2"].contains(&event["Type"].as_str().unwrap()) {
                continue;
            }
            assert_eq!(event["Type"], "HttpApi", "{name}");
            let route = &event["Properties"];
            assert_eq!(route["ApiId"]["Ref"], "Api", "{name}");
            assert_eq!(route["PayloadFormatVersion"], "2.0", "{name}");
            let route = (binary.clone(), text(&route["Method"]), text(&route["Path"]));
            assert!(found.insert(route), "{name} is there twice");
        }
    }
    assert_eq!(found, routes_of_the_code());
}

#[test]
fn the_pass_through_alone_has_a_function_url() {
    for (binary, function) in functions() {
        let url = &function["Properties"]["FunctionUrlConfig"];
        assert_eq!(url.is_object(), binary == "use-secret-stream", "{binary}");
        if url.is_object() {
            assert_eq!(url["InvokeMode"], "RESPONSE_STREAM");
        }
    }
}

#[test]
fn cargo_lambda_watch_has_exactly_the_routes_of_the_code() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let router = &metadata["metadata"]["lambda"]["watch"]["router"];
    let mut found = Routes::new();
    for (path, methods) in router.as_object().unwrap() {
        for one in methods.as_array().unwrap() {
            found.insert((text(&one["function"]), text(&one["method"]), path.clone()));
        }
    }
    assert_eq!(found, routes_of_the_code());
}

#[test]
fn every_function_is_given_exactly_the_variables_that_it_reads() {
    let read = |source: &str| -> BTreeSet<String> {
        // Lambda sets its own, and no variable is read but through these.
        ["required(\"", "optional(\"", "endpoint(\"", " key(\""]
            .into_iter()
            .flat_map(|call| source.split(call).skip(1))
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .filter(|name| !name.starts_with("AWS_"))
            .collect()
    };
    // Every function reads what `from_env` does; what another one reads, who calls it.
    let settings = files("shared/api/src", &["settings.rs"]);
    let mut common = BTreeSet::new();
    let mut on_demand: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for block in settings[0].1.split("pub fn ").skip(1) {
        let (name, _) = block.split_once('(').unwrap();
        match name {
            "from_env" => common = read(block),
            "required" | "optional" => {}
            name => drop(on_demand.insert(name.to_owned(), read(block))),
        }
    }
    assert!(common.len() >= 5, "{common:?}");
    let called: usize = on_demand.values().map(BTreeSet::len).sum();
    assert!(called >= 4, "{on_demand:?}");
    let global = &template()["Globals"]["Function"]["Environment"]["Variables"];
    let own = sources();
    for (binary, function) in functions() {
        let variables = &function["Properties"]["Environment"]["Variables"];
        let given: BTreeSet<String> = [global, variables]
            .into_iter()
            .flat_map(|variables| variables.as_object().into_iter().flatten())
            .map(|(name, _)| name.clone())
            .collect();
        let mut needed = common.clone();
        for (_, source) in &own[&binary] {
            needed.extend(read(source));
            let called = |name: &str| {
                source.contains(&format!("settings.{name}("))
                    || source.contains(&format!("Settings::{name}("))
            };
            let called = on_demand.iter().filter(|(name, _)| called(name));
            needed.extend(called.flat_map(|(_, variables)| variables.clone()));
        }
        assert_eq!(given, needed, "{binary}");
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    let elsewhere: Vec<_> = ["shared", "functions"]
        .into_iter()
        .flat_map(|folder| files(folder, &[".rs"]))
        .filter(|(path, text)| {
            text.contains("env::var") && !path.contains("/tests/") && !path.contains("/benches/")
        })
        .map(|(path, _)| path)
        .filter(|path| path != "shared/api/src/settings.rs")
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn a_role_has_rights_to_the_tables_and_its_own_logs_and_only_those_written_here() {
    let mut logs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, function) in functions() {
        let own = text(&function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]);
        assert!(logs.entry(role_of(function)).or_default().insert(own));
    }
    for (name, role) in resources("AWS::IAM::Role") {
        let role = &role["Properties"];
        for elsewhere in ["ManagedPolicyArns", "PermissionsBoundary"] {
            assert!(role[elsewhere].is_null(), "{name}: {elsewhere}");
        }
        let mut own = BTreeSet::new();
        for policy in list(&role["Policies"]) {
            for statement in list(&policy["PolicyDocument"]["Statement"]) {
                assert_eq!(statement["Effect"], "Allow", "{name}");
                assert!(statement["NotAction"].is_null() && statement["NotResource"].is_null());
                for action in list(&statement["Action"]).iter().map(text) {
                    assert!(!action.contains('*'), "{name}: {action}");
                    let (service, _) = action.split_once(':').unwrap();
                    for resource in list(&statement["Resource"]) {
                        let resource = &resource["Fn::GetAtt"][0];
                        // What the table's stream and the dead letters need has its own test.
                        if stream_or_queue(&action) {
                            assert_eq!(name, "BrokerRole", "{action}");
                            continue;
                        }
                        match service {
                            "kms" => {}
                            "dynamodb" => assert!(
                                ["BrokerTable", "AuditTable"].contains(&text(resource).as_str()),
                                "{name}: {action} on {resource}"
                            ),
                            "logs" => drop(own.insert(text(resource))),
                            _ => panic!("{name}: {action}"),
                        }
                    }
                }
            }
        }
        assert_eq!(own, logs[&name], "{name}");
    }
    assert_eq!(logs.len(), resources("AWS::IAM::Role").len());
}

fn stream_or_queue(action: &str) -> bool {
    [
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "sqs:SendMessage",
    ]
    .contains(&action)
}

#[test]
fn the_broker_role_alone_has_rights_to_customers_keys_and_is_the_one_that_they_name() {
    const OWN: [&str; 3] = ["TokenMacKey", "BindingMacKey", "JobMacKey"];
    for (name, role) in resources("AWS::IAM::Role") {
        let policies = list(&role["Properties"]["Policies"]);
        let statements = policies
            .iter()
            .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]));
        for statement in statements {
            let of_keys = |action: &Value| text(action).starts_with("kms:");
            if !list(&statement["Action"]).iter().any(of_keys) {
                continue;
            }
            for resource in list(&statement["Resource"]) {
                let own = resource["Fn::GetAtt"][0].as_str();
                match own {
                    Some(key) => assert!(OWN.contains(&key), "{name}: {key}"),
                    None => assert_eq!(name, "BrokerRole", "{resource}"),
                }
            }
        }
    }
    for key in OWN {
        let key = &template()["Resources"][key];
        assert_eq!(key["DeletionPolicy"], "Retain");
        assert_eq!(key["Properties"]["KeyUsage"], "GENERATE_VERIFY_MAC");
    }
    let role = &template()["Resources"]["BrokerRole"];
    assert_eq!(role["DeletionPolicy"], "Retain");
    assert_eq!(role["Properties"]["RoleName"]["Ref"], "BrokerRoleName");
    let name = text(&template()["Parameters"]["BrokerRoleName"]["Default"]);
    assert!(Role::Broker.arn().ends_with(&format!(":role/{name}")));
    for (binary, function) in functions() {
        let has = sources()[&binary]
            .iter()
            .any(|(_, text)| text.contains(".kms()"));
        assert_eq!(role_of(function) == "BrokerRole", has, "{binary}");
    }
}

#[test]
fn the_records_outlive_the_stack_and_are_kept_as_the_code_makes_them_locally() {
    let tables = resources("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 2);
    for (name, table) in tables {
        assert_eq!(
            (&table["DeletionPolicy"], &table["UpdateReplacePolicy"]),
            (&"Retain".into(), &"Retain".into()),
            "{name}"
        );
        let table = &table["Properties"];
        let keys: Vec<_> = list(&table["KeySchema"])
            .iter()
            .map(|key| (text(&key["AttributeName"]), text(&key["KeyType"])))
            .collect();
        assert_eq!(
            keys,
            [
                ("pk".to_owned(), "HASH".to_owned()),
                ("sk".to_owned(), "RANGE".to_owned())
            ],
            "{name}"
        );
        assert!(
            list(&table["AttributeDefinitions"])
                .iter()
                .all(|attribute| attribute["AttributeType"] == "S"),
            "{name}"
        );
        assert_eq!(
            table["TimeToLiveSpecification"]["AttributeName"], "ttl",
            "{name}"
        );
        for (group, switch) in [
            ("TimeToLiveSpecification", "Enabled"),
            (
                "PointInTimeRecoverySpecification",
                "PointInTimeRecoveryEnabled",
            ),
            ("SSESpecification", "SSEEnabled"),
        ] {
            assert_eq!(table[group][switch], true, "{name}: {switch}");
        }
        assert_eq!(table["DeletionProtectionEnabled"], true, "{name}");
    }
}
