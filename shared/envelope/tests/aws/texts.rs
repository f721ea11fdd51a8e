//! The texts that a customer pastes, run or read by what they are for: a shell, a YAML
//! parser, and HCL's own grammar as far as it is used.

use crate::house::{BROKER_ROLE, House};
use crate::policy::{Names, can, nobody_else_can, own_context};
use envelope::{Job, KeyArn, KeyPolicy, PolicyFormat, Way};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const CUSTOMER_ROOT: &str = "arn:aws:iam::111122223333:root";
/// What no ARN is, and what means something to a shell, to YAML or to HCL.
const HOSTILE: &str = "arn:aws:iam::4:role/'; touch x; '\"$(touch y)`touch z`\\${var.a}%{if b}\n# \t- : \u{7}\u{c}\u{8}\r\u{85}\u{2028}é";

fn hostile(names: &Names) -> KeyPolicy<'_> {
    KeyPolicy {
        role: HOSTILE,
        ..names.policy()
    }
}

/// The whole policy that a text is to make.
fn whole(policy: &KeyPolicy<'_>, way: Way, cut: bool) -> Value {
    let mut statements = vec![json!({
        "Sid": "AccountAdministersKey", "Effect": "Allow", "Principal": {"AWS": CUSTOMER_ROOT},
        "Action": "kms:*", "Resource": "*",
    })];
    if way == Way::Policy {
        statements.extend(policy.statements());
    }
    if cut {
        statements.push(policy.cut());
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// A shell in a folder of its own, whose `aws` writes down what it was called with.
struct Shell(PathBuf);

impl Shell {
    fn run(name: &str, script: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("texts-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let aws = "aws() {\n  printf '%s\\0' \"$@\" >> calls; printf '\\1\\0' >> calls\n  \
                   case \"$*\" in *get-caller-identity*) echo 111122223333;; *get-key-policy*) echo before;; esac\n}\n";
        let done = Command::new("sh")
            .args(["-euc", &format!("KEY=key\n{aws}{script}")])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Self(folder)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The calls of the CLI, as lists of words.
    fn calls(&self) -> Vec<Vec<String>> {
        let all = self.read("calls");
        all.trim_end_matches('\0')
            .split("\u{1}")
            .map(|call| {
                let words = call.split('\0').filter(|word| !word.is_empty());
                words.map(str::to_owned).collect::<Vec<_>>()
            })
            .filter(|words| !words.is_empty())
            .collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // What stays behind is removed with the target folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What follows an option, up to the next.
fn option<'a>(words: &'a [String], name: &str) -> Vec<&'a str> {
    words
        .iter()
        .skip_while(|word| *word != name)
        .skip(1)
        .take_while(|word| !word.starts_with("--"))
        .map(String::as_str)
        .collect()
}

fn grant_of(words: &[String]) -> Value {
    let constraints: Value = serde_json::from_str(option(words, "--constraints")[0]).unwrap();
    json!({
        "GranteePrincipal": option(words, "--grantee-principal")[0],
        "Operations": option(words, "--operations"),
        "Constraints": constraints,
        "Name": option(words, "--name")[0],
    })
}

/// The text after the marks of its comments.
fn uncommented(text: &str, from: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(from));
    lines
        .map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n")
        .collect()
}

#[tokio::test]
async fn the_commands_let_the_broker_in_for_the_workspace_alone_and_cut_it_off_again() {
    let house = House::open().await;
    let text = Names::new().policy().text(PolicyFormat::Cli, Way::Policy);
    let shell = Shell::run("policy", &text);
    let key = house.create_key(json!({}));
    let put = |file: &str| {
        let input =
            json!({"KeyId": key.as_str(), "PolicyName": "default", "Policy": shell.read(file)});
        house.customer("PutKeyPolicy", input);
    };
    put("byok-policy.json");
    assert_eq!(can(&house, &key, &own_context()), Job::ALL);
    nobody_else_can(&house, &key);
    put("byok-cut.json");
    assert_eq!(can(&house, &key, &own_context()), []);
    let last = shell.calls().pop().unwrap();
    assert_eq!(option(&last, "--policy"), ["file://byok-policy.json"]);
    assert_eq!(shell.read("byok-policy-before.json"), "before\n");
    assert!(text.contains("# aws kms put-key-policy --key-id \"$KEY\" --policy-name default --policy file://byok-cut.json\n"));
    assert!(text.contains("# aws kms disable-key --key-id \"$KEY\"\n"));
    assert!(text.contains("# aws kms enable-key --key-id \"$KEY\"\n"));
}

#[tokio::test]
async fn the_command_for_a_grant_makes_the_grant_that_is_written_and_nothing_else() {
    let house = House::open().await;
    let names = Names::new();
    let shell = Shell::run(
        "grant",
        &names.policy().text(PolicyFormat::Cli, Way::Grants),
    );
    let calls = shell.calls();
    let [call] = &calls[..] else {
        panic!("{calls:?}");
    };
    assert_eq!(call[..2], ["kms", "create-grant"]);
    let mut grant = grant_of(call);
    assert_eq!(grant, names.policy().grant());
    let key: KeyArn = house.create_key(json!({}));
    grant["KeyId"] = json!(key.as_str());
    house.customer("CreateGrant", grant);
    assert_eq!(can(&house, &key, &own_context()), Job::ALL);
    nobody_else_can(&house, &key);
}

#[test]
fn the_template_is_a_stack_that_can_be_deployed_as_it_is() {
    let names = Names::new();
    for way in [Way::Policy, Way::Grants] {
        let text = names.policy().text(PolicyFormat::CloudFormation, way);
        let key = &template(&text)["Resources"]["ByokKey"];
        assert_eq!(key["Type"], "AWS::KMS::Key");
        assert_eq!(key["DeletionPolicy"], "Retain");
        assert_eq!(
            key["Properties"]["KeyPolicy"],
            whole(&names.policy(), way, false)
        );
    }
    let text = names
        .policy()
        .text(PolicyFormat::CloudFormation, Way::Policy);
    let cut: Value = yaml_serde::from_str(&uncommented(&text, "# - Sid")).unwrap();
    assert_eq!(cut, json!([names.policy().cut()]));
    let text = names
        .policy()
        .text(PolicyFormat::CloudFormation, Way::Grants);
    let commands = uncommented(&text, "# aws kms create-grant");
    let commands = commands.split("AWSTemplateFormatVersion").next().unwrap();
    let shell = Shell::run("template", commands);
    assert_eq!(grant_of(&shell.calls()[0]), names.policy().grant());
}

/// A template as JSON, its one function of CloudFormation done.
fn template(text: &str) -> Value {
    let template: Value = yaml_serde::from_str(text).unwrap();
    let root = json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"});
    assert_eq!(
        template["Resources"]["ByokKey"]["Properties"]["KeyPolicy"]["Statement"][0]["Principal"]["AWS"],
        root
    );
    let text = template
        .to_string()
        .replace(&root.to_string(), &json!(CUSTOMER_ROOT).to_string());
    serde_json::from_str(&text).unwrap()
}

/// The value that an expression of HCL is, of those that are written here.
fn hcl(expression: &str) -> Value {
    let root = "\"arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root\"";
    let text = expression.replace(root, &json!(CUSTOMER_ROOT).to_string());
    assert!(
        !text.replace("$${", "").contains("${") && !text.replace("%%{", "").contains("%{"),
        "a template: {text}"
    );
    let mut json = String::new();
    for line in text.replace("$${", "${").replace("%%{", "%{").lines() {
        let line = line.trim();
        let pair = match line.split_once(" = ") {
            Some((key, value)) if key.starts_with('"') => format!("{key}: {value}"),
            Some((key, value)) if key.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                format!("\"{key}\": {value}")
            }
            _ => line.to_owned(),
        };
        let begins = pair.ends_with(['{', '[', ',']);
        if pair.starts_with(['}', ']']) {
            json.truncate(json.trim_end_matches([',', '\n']).len());
        }
        json.push_str(&pair);
        json.push_str(if begins { "\n" } else { ",\n" });
    }
    serde_json::from_str(json.trim_end_matches([',', '\n'])).unwrap()
}

/// What stands between two marks, each once in the text.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

#[test]
fn the_terraform_configuration_makes_the_same_policy_cut_and_grant() {
    let names = Names::new();
    for policy in [names.policy(), hostile(&names)] {
        for way in [Way::Policy, Way::Grants] {
            let text = policy.text(PolicyFormat::Terraform, way);
            let statements = between(&text, "Statement = concat(", ", [for cut in ");
            assert_eq!(hcl(statements), whole(&policy, way, false)["Statement"]);
            let cut = between(&text, "[for cut in ", " : cut if var.byok_cut]");
            assert_eq!(hcl(cut), json!([policy.cut()]));
        }
        let text = policy.text(PolicyFormat::Terraform, Way::Grants);
        let grant = policy.grant();
        let (_, text) = text.split_once("resource \"aws_kms_grant\"").unwrap();
        for (name, to, value) in [
            ("  name              = ", "\n  key_id", &grant["Name"]),
            (
                "  grantee_principal = ",
                "\n  operations",
                &grant["GranteePrincipal"],
            ),
            (
                "  operations        = ",
                "\n\n  constraints",
                &grant["Operations"],
            ),
            (
                "    encryption_context_subset = ",
                "\n  }\n}",
                &grant["Constraints"]["EncryptionContextSubset"],
            ),
        ] {
            assert_eq!(hcl(between(text, name, to)), *value, "{name}");
        }
    }
    assert!(
        !names
            .policy()
            .text(PolicyFormat::Terraform, Way::Policy)
            .contains("aws_kms_grant")
    );
}

#[test]
fn a_name_that_means_something_to_a_shell_or_a_parser_stays_a_name() {
    let names = Names::new();
    let policy = hostile(&names);
    let shell = Shell::run("hostile", &policy.text(PolicyFormat::Cli, Way::Policy));
    for (file, cut) in [("byok-policy.json", false), ("byok-cut.json", true)] {
        let written: Value = serde_json::from_str(&shell.read(file)).unwrap();
        assert_eq!(written, whole(&policy, Way::Policy, cut));
    }
    assert_eq!(
        shell.files(),
        [
            "byok-cut.json",
            "byok-policy-before.json",
            "byok-policy.json",
            "calls"
        ]
    );
    let shell = Shell::run(
        "hostile-grant",
        &policy.text(PolicyFormat::Cli, Way::Grants),
    );
    assert_eq!(grant_of(&shell.calls()[0]), policy.grant());
    assert_eq!(shell.files(), ["calls"]);
    for way in [Way::Policy, Way::Grants] {
        let text = policy.text(PolicyFormat::CloudFormation, way);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.clone().count() > 20 && lines.clone().all(str::is_ascii));
        let written = template(&text);
        let written = &written["Resources"]["ByokKey"]["Properties"]["KeyPolicy"];
        assert_eq!(*written, whole(&policy, way, false));
    }
}

#[test]
fn no_text_names_another_principal_than_the_role_and_the_account_of_the_key() {
    let names = Names::new();
    for format in [
        PolicyFormat::CloudFormation,
        PolicyFormat::Terraform,
        PolicyFormat::Cli,
    ] {
        for way in [Way::Policy, Way::Grants] {
            let text = names.policy().text(format, way);
            assert!(text.contains(BROKER_ROLE) && text.ends_with('\n'));
            let arns = text.matches("arn:aws:iam::").count();
            let named = text.matches(BROKER_ROLE).count()
                + text.matches("arn:aws:iam::${ACCOUNT}:root").count();
            assert_eq!(arns, named, "{format:?} {way:?}");
        }
    }
}
