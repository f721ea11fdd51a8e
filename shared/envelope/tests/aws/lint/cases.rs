//! The mistakes, prepared, each with the code that it must be found by; and what is right.

use crate::house::BROKER_ROLE;
use crate::policy::Names;
use envelope::{EncryptionContext, lint::Grade};
use serde_json::{Value, json};

pub(crate) const KEY: &str =
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const BROKER: &str = "kms:EncryptionContext:byok:broker";
pub(crate) const WORKSPACE: &str = "kms:EncryptionContext:byok:workspace";
pub(crate) const KEYS: &str = "kms:EncryptionContextKeys";

/// The four statements as they should be.
pub(crate) fn good() -> Vec<Value> {
    Names::new().policy().statements()
}

pub(crate) fn good_grant() -> Value {
    Names::new().policy().grant()
}

/// The four statements, the one of a job (put, use, move, watch) changed.
pub(crate) fn changed(job: usize, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut statements = good();
    change(&mut statements[job]);
    statements
}

/// The four statements, the condition of each that has one replaced.
pub(crate) fn fenced_by(condition: Value) -> Vec<Value> {
    let mut statements = good();
    for statement in &mut statements[..3] {
        statement["Condition"] = condition.clone();
    }
    statements
}

pub(crate) fn fence() -> Value {
    good()[0]["Condition"].clone()
}

/// The fence, one operator's part of it replaced.
pub(crate) fn fence_with(operator: &str, part: Value) -> Value {
    let mut fence = fence();
    fence[operator] = part;
    fence
}

pub(crate) fn both() -> Value {
    json!({BROKER: "prod", WORKSPACE: "acme"})
}

/// The fence, its `StringEquals` over the workspace replaced by another operator over a value.
pub(crate) fn workspace_by(operator: &str, value: Value) -> Value {
    let mut fence = fence_with("StringEquals", json!({BROKER: "prod"}));
    fence[operator][WORKSPACE] = value;
    fence
}

pub(crate) struct Case {
    /// The mistake, in words.
    pub(crate) what: &'static str,
    /// Its code; empty for what is right.
    pub(crate) code: &'static str,
    pub(crate) grade: Grade,
    pub(crate) statements: Vec<Value>,
    pub(crate) grants: Vec<Value>,
}

pub(crate) fn case(
    what: &'static str,
    code: &'static str,
    grade: Grade,
    statements: Vec<Value>,
) -> Case {
    Case {
        what,
        code,
        grade,
        statements,
        grants: Vec::new(),
    }
}

pub(crate) fn granted(
    what: &'static str,
    code: &'static str,
    grade: Grade,
    grants: Vec<Value>,
) -> Case {
    Case {
        what,
        code,
        grade,
        statements: Vec::new(),
        grants,
    }
}

/// A grant, changed.
pub(crate) fn grant_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut grant = good_grant();
    change(&mut grant);
    grant
}

pub(crate) fn subset(pairs: Value) -> Value {
    json!({"EncryptionContextSubset": pairs})
}

pub(crate) fn also(mut statements: Vec<Value>, statement: Value) -> Vec<Value> {
    statements.push(statement);
    statements
}

pub(crate) fn deny(action: Value, condition: Value) -> Value {
    let mut deny = json!({
        "Sid": "Stop", "Effect": "Deny", "Principal": {"AWS": BROKER_ROLE}, "Action": action, "Resource": "*",
    });
    if !condition.is_null() {
        deny["Condition"] = condition;
    }
    deny
}

pub(crate) fn principals() -> Vec<Case> {
    use Grade::{Permissive, Refused};
    let by = |principal: Value| changed(1, |use_| use_["Principal"] = principal.clone());
    vec![
        case("everyone", "principal_everyone", Permissive, by(json!("*"))),
        case(
            "every AWS principal",
            "principal_everyone",
            Permissive,
            by(json!({"AWS": "*"})),
        ),
        case(
            "everyone, in a list with the role",
            "principal_everyone",
            Permissive,
            by(json!({"AWS": [BROKER_ROLE, "*"]})),
        ),
        case(
            "the broker's account",
            "principal_account",
            Permissive,
            by(json!({"AWS": "444455556666"})),
        ),
        case(
            "the broker's account root",
            "principal_account",
            Permissive,
            by(json!({"AWS": "arn:aws:iam::444455556666:root"})),
        ),
        case(
            "the same role of another account",
            "wrong_role",
            Refused,
            by(json!({"AWS": "arn:aws:iam::555566667777:role/broker"})),
        ),
        case(
            "another role of the broker's account",
            "wrong_role",
            Refused,
            by(json!({"AWS": "arn:aws:iam::444455556666:role/deployer"})),
        ),
        case(
            "another role beside the right one",
            "wrong_role",
            Grade::Strict,
            by(json!({"AWS": [BROKER_ROLE, "arn:aws:iam::555566667777:role/x"]})),
        ),
        case(
            "a session of the role",
            "principal_session",
            Refused,
            by(json!({"AWS": "arn:aws:sts::444455556666:assumed-role/broker/use-secret"})),
        ),
        case(
            "a user",
            "principal_user",
            Refused,
            by(json!({"AWS": "arn:aws:iam::444455556666:user/broker"})),
        ),
        case(
            "a service",
            "wrong_role",
            Refused,
            by(json!({"Service": "lambda.amazonaws.com"})),
        ),
        case(
            "all but someone",
            "not_principal",
            Refused,
            changed(1, |use_| {
                use_.as_object_mut().unwrap().remove("Principal");
                use_["NotPrincipal"] = json!({"AWS": "arn:aws:iam::111122223333:root"});
            }),
        ),
    ]
}

pub(crate) fn actions_and_resources() -> Vec<Case> {
    use Grade::{Permissive, Refused, Strict};
    let by = |action: Value| changed(1, |use_| use_["Action"] = action.clone());
    let resource = |resource: Value| changed(1, |use_| use_["Resource"] = resource.clone());
    vec![
        case(
            "every action of KMS",
            "action_everything",
            Permissive,
            by(json!("kms:*")),
        ),
        case(
            "every action",
            "action_everything",
            Permissive,
            by(json!("*")),
        ),
        case(
            "a wildcard that names what is needed",
            "action_wildcard",
            Strict,
            by(json!("kms:Decrypt*")),
        ),
        case(
            "a wildcard that names administration",
            "administration",
            Permissive,
            changed(2, |it| it["Action"] = json!("KMS:re*")),
        ),
        case(
            "PutKeyPolicy",
            "administration",
            Permissive,
            by(json!(["kms:Decrypt", "kms:PutKeyPolicy"])),
        ),
        case(
            "CreateGrant",
            "administration",
            Permissive,
            by(json!(["kms:Decrypt", "kms:CreateGrant"])),
        ),
        case(
            "ScheduleKeyDeletion",
            "administration",
            Permissive,
            by(json!(["kms:Decrypt", "kms:ScheduleKeyDeletion"])),
        ),
        case(
            "what the broker never does",
            "unneeded_action",
            Strict,
            by(json!(["kms:Decrypt", "kms:Encrypt"])),
        ),
        case(
            "all actions but some",
            "not_action",
            Permissive,
            changed(1, |use_| {
                use_.as_object_mut().unwrap().remove("Action");
                use_["NotAction"] = json!("kms:ScheduleKeyDeletion");
            }),
        ),
        case(
            "all resources but some",
            "not_resource",
            Permissive,
            changed(1, |use_| {
                use_.as_object_mut().unwrap().remove("Resource");
                use_["NotResource"] = json!(
                    "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
                );
            }),
        ),
        case(
            "another key",
            "resource_other_key",
            Refused,
            resource(json!(
                "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
            )),
        ),
        case(
            "an alias",
            "resource_other_key",
            Refused,
            resource(json!("arn:aws:kms:eu-west-1:111122223333:alias/byok")),
        ),
        case(
            "no Decrypt",
            "missing_decrypt",
            Refused,
            changed(1, |it| *it = good()[0].clone()),
        ),
        case(
            "no GenerateDataKey",
            "missing_generate_data_key",
            Refused,
            good()[1..].to_vec(),
        ),
        case(
            "no DescribeKey",
            "missing_describe_key",
            Strict,
            good()[..3].to_vec(),
        ),
        case(
            "no ReEncrypt",
            "missing_re_encrypt",
            Strict,
            changed(2, |it| *it = good()[3].clone()),
        ),
        case(
            "ReEncryptFrom without To",
            "half_re_encrypt",
            Strict,
            changed(2, |it| it["Action"] = json!("kms:ReEncryptFrom")),
        ),
        case(
            "ReEncryptTo without From",
            "half_re_encrypt",
            Strict,
            changed(2, |it| it["Action"] = json!("kms:ReEncryptTo")),
        ),
        case(
            "DescribeKey under the fence",
            "describe_key_fenced",
            Strict,
            changed(1, |it| {
                it["Action"] = json!(["kms:Decrypt", "kms:DescribeKey"])
            }),
        ),
        case(
            "an action of no service",
            "malformed",
            Refused,
            by(json!("Decrypt")),
        ),
    ]
}

pub(crate) fn fences() -> Vec<Case> {
    use Grade::{Permissive, Refused, Strict};
    let lower = json!([
        "byok:broker",
        "byok:workspace",
        "byok:secret",
        "byok:version",
        "byok:policy"
    ]);
    let mut more = lower.clone();
    more.as_array_mut().unwrap().push(json!("byok:else"));
    let mut other_case = lower.clone();
    other_case[1] = json!("BYOK:workspace");
    vec![
        case(
            "no condition",
            "missing_fence",
            Permissive,
            fenced_by(json!({})),
        ),
        case(
            "the context's keys alone",
            "missing_fence",
            Permissive,
            fenced_by(json!({"ForAllValues:StringEquals": {KEYS: lower}})),
        ),
        case(
            "presence of the workspace alone",
            "missing_fence",
            Permissive,
            fenced_by(json!({"Null": {WORKSPACE: "false"}})),
        ),
        case(
            "the broker alone",
            "missing_workspace",
            Permissive,
            fenced_by(fence_with("StringEquals", json!({BROKER: "prod"}))),
        ),
        case(
            "the workspace alone",
            "missing_broker",
            Permissive,
            fenced_by(fence_with("StringEquals", json!({WORKSPACE: "acme"}))),
        ),
        case(
            "a wildcard",
            "pattern",
            Permissive,
            fenced_by(workspace_by("StringLike", json!("ac*"))),
        ),
        case(
            "the wildcard for anything",
            "pattern",
            Permissive,
            fenced_by(workspace_by("StringLike", json!("*"))),
        ),
        case(
            "another spelling",
            "ignore_case",
            Permissive,
            fenced_by(workspace_by("StringEqualsIgnoreCase", json!("acme"))),
        ),
        case(
            "if it exists",
            "if_exists",
            Permissive,
            fenced_by(workspace_by("StringEqualsIfExists", json!("acme"))),
        ),
        case(
            "not another",
            "negated",
            Permissive,
            fenced_by(workspace_by("StringNotEquals", json!("evil"))),
        ),
        case(
            "ForAnyValue on a single value",
            "set_operator",
            Refused,
            fenced_by(workspace_by("ForAnyValue:StringEquals", json!("acme"))),
        ),
        case(
            "ForAllValues on a single value",
            "set_operator",
            Refused,
            fenced_by(workspace_by("ForAllValues:StringEquals", json!("acme"))),
        ),
        case(
            "an operator for numbers",
            "wrong_operator",
            Refused,
            fenced_by(workspace_by("NumericEquals", json!("7"))),
        ),
        case(
            "keys without a set operator",
            "context_keys_operator",
            Strict,
            fenced_by(json!({"StringEquals": {BROKER: "prod", WORKSPACE: "acme", KEYS: lower}})),
        ),
        case(
            "keys by ForAnyValue",
            "context_keys_any",
            Strict,
            fenced_by(json!({"StringEquals": both(), "ForAnyValue:StringEquals": {KEYS: lower}})),
        ),
        case(
            "no condition on the keys",
            "missing_context_keys",
            Strict,
            fenced_by(json!({"StringEquals": both()})),
        ),
        case(
            "a key too many",
            "context_keys_too_many",
            Strict,
            fenced_by(fence_with("ForAllValues:StringEquals", json!({KEYS: more}))),
        ),
        case(
            "a key too few",
            "context_keys_too_few",
            Refused,
            fenced_by(fence_with(
                "ForAllValues:StringEquals",
                json!({KEYS: ["byok:broker", "byok:workspace"]}),
            )),
        ),
        case(
            "a key of another case among the keys",
            "context_keys_too_few",
            Refused,
            fenced_by(fence_with(
                "ForAllValues:StringEquals",
                json!({KEYS: other_case}),
            )),
        ),
        case(
            "another workspace",
            "other_workspace",
            Refused,
            fenced_by(workspace_by("StringEquals", json!("evil"))),
        ),
        case(
            "another broker",
            "other_broker",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "staging", WORKSPACE: "acme"}),
            )),
        ),
        case(
            "several workspaces",
            "several_workspaces",
            Permissive,
            fenced_by(workspace_by("StringEquals", json!(["acme", "evil"]))),
        ),
        case(
            "several brokers",
            "several_brokers",
            Permissive,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: ["prod", "staging"], WORKSPACE: "acme"}),
            )),
        ),
        case(
            "the key in another case",
            "context_key_case",
            Strict,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", "kms:EncryptionContext:BYOK:workspace": "acme"}),
            )),
        ),
        case(
            "a misspelt key",
            "unknown_context_key",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", WORKSPACE: "acme", "kms:EncryptionContext:byok:tenant": "acme"}),
            )),
        ),
        case(
            "one secret alone",
            "narrowed",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", WORKSPACE: "acme", "kms:EncryptionContext:byok:secret": "db-password"}),
            )),
        ),
        case(
            "kms:ViaService",
            "service_condition",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", WORKSPACE: "acme", "kms:ViaService": "s3.eu-west-1.amazonaws.com"}),
            )),
        ),
        case(
            "aws:SourceArn",
            "service_condition",
            Refused,
            fenced_by(
                json!({"StringEquals": both(), "ArnLike": {"aws:SourceArn": "arn:aws:lambda:*:444455556666:function:*"}}),
            ),
        ),
        case(
            "aws:SourceAccount",
            "service_condition",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", WORKSPACE: "acme", "aws:SourceAccount": "444455556666"}),
            )),
        ),
        case(
            "another calling account",
            "caller_condition",
            Refused,
            fenced_by(fence_with(
                "StringEquals",
                json!({BROKER: "prod", WORKSPACE: "acme", "kms:CallerAccount": "111122223333"}),
            )),
        ),
        case(
            "an unknown operator",
            "malformed",
            Refused,
            fenced_by(json!({"StringEqual": both()})),
        ),
        case(
            "an open statement beside a fenced one",
            "opens_what_another_fences",
            Permissive,
            also(
                good(),
                json!({
                    "Sid": "Temporary", "Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:Decrypt", "Resource": "*",
                }),
            ),
        ),
        case(
            "the cut",
            "cut_in_place",
            Refused,
            also(good(), Names::new().policy().cut()),
        ),
        case(
            "a Deny of uses",
            "denied",
            Refused,
            also(good(), deny(json!("kms:Decrypt"), Value::Null)),
        ),
        case(
            "a Deny for everyone",
            "cut_in_place",
            Refused,
            also(
                good(),
                json!({
                    "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
                    "Condition": {"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}},
                }),
            ),
        ),
        case(
            "a Deny for all but the customer's own",
            "cut_in_place",
            Refused,
            also(
                good(),
                json!({
                    "Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*",
                }),
            ),
        ),
        case(
            "a Deny that spares the broker",
            "not_principal",
            Strict,
            also(
                good(),
                json!({
                    "Effect": "Deny", "NotPrincipal": {"AWS": [BROKER_ROLE, "arn:aws:iam::444455556666:root", "arn:aws:iam::111122223333:root"]},
                    "Action": "kms:*", "Resource": "*",
                }),
            ),
        ),
        case(
            "not this one",
            "negated",
            Refused,
            fenced_by(workspace_by("StringNotEquals", json!("acme"))),
        ),
        case(
            "an open statement on another key",
            "resource_other_key",
            Strict,
            also(
                good(),
                json!({
                    "Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:Decrypt",
                    "Resource": "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555",
                }),
            ),
        ),
        case(
            "an element that there is not",
            "malformed",
            Refused,
            changed(1, |it| it["Actions"] = json!([])),
        ),
    ]
}

pub(crate) fn grants() -> Vec<Case> {
    use Grade::{Permissive, Refused, Strict};
    let by = |change: fn(&mut Value)| vec![grant_with(change)];
    vec![
        granted(
            "no constraints",
            "grant_without_constraints",
            Permissive,
            by(|it| {
                it.as_object_mut().unwrap().remove("Constraints");
            }),
        ),
        granted(
            "the whole context asked for",
            "grant_equals",
            Refused,
            by(|it| {
                it["Constraints"] = json!({"EncryptionContextEquals": {"byok:broker": "prod", "byok:workspace": "acme"}});
            }),
        ),
        granted(
            "the broker alone",
            "missing_workspace",
            Permissive,
            by(|it| it["Constraints"] = subset(json!({"byok:broker": "prod"}))),
        ),
        granted(
            "the workspace alone",
            "missing_broker",
            Permissive,
            by(|it| it["Constraints"] = subset(json!({"byok:workspace": "acme"}))),
        ),
        granted(
            "another workspace",
            "other_workspace",
            Refused,
            by(|it| {
                it["Constraints"] = subset(json!({"byok:broker": "prod", "byok:workspace": "evil"}))
            }),
        ),
        granted(
            "an unknown key",
            "unknown_context_key",
            Refused,
            by(|it| {
                it["Constraints"] = subset(
                    json!({"byok:broker": "prod", "byok:workspace": "acme", "tenant": "acme"}),
                )
            }),
        ),
        granted(
            "no Decrypt",
            "missing_decrypt",
            Refused,
            by(|it| it["Operations"] = json!(["GenerateDataKey", "DescribeKey"])),
        ),
        granted(
            "no DescribeKey",
            "missing_describe_key",
            Strict,
            by(|it| {
                it["Operations"] =
                    json!(["GenerateDataKey", "Decrypt", "ReEncryptFrom", "ReEncryptTo"])
            }),
        ),
        granted(
            "half a move",
            "half_re_encrypt",
            Strict,
            by(|it| {
                it["Operations"] =
                    json!(["GenerateDataKey", "Decrypt", "ReEncryptTo", "DescribeKey"])
            }),
        ),
        granted(
            "handing on",
            "administration",
            Permissive,
            by(|it| {
                it["Operations"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!("CreateGrant"));
            }),
        ),
        granted(
            "the broker's account",
            "principal_account",
            Permissive,
            by(|it| it["GranteePrincipal"] = json!("arn:aws:iam::444455556666:root")),
        ),
        granted(
            "another role",
            "wrong_role",
            Refused,
            by(|it| it["GranteePrincipal"] = json!("arn:aws:iam::555566667777:role/broker")),
        ),
        granted(
            "a session",
            "principal_session",
            Refused,
            by(|it| {
                it["GranteePrincipal"] = json!("arn:aws:sts::444455556666:assumed-role/broker/x")
            }),
        ),
        granted(
            "two",
            "several_grants",
            Strict,
            vec![good_grant(), grant_with(|it| it["Name"] = json!("again"))],
        ),
        Case {
            grants: vec![good_grant()],
            ..case("a policy and a grant", "policy_and_grant", Strict, good())
        },
    ]
}

/// What depends on what is not known here, so that no grade is held against a KMS.
pub(crate) fn unknowable() -> Vec<Case> {
    use Grade::{Refused, Strict};
    let organization = json!({"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}});
    let mut in_organization = fence();
    in_organization["StringEquals"]["aws:PrincipalOrgID"] = json!("o-1234567890");
    let mut from_address = fence();
    from_address["IpAddress"] = json!({"aws:SourceIp": "203.0.113.0/24"});
    vec![
        case(
            "an organization beside the fence",
            "organization_fence",
            Strict,
            fenced_by(in_organization),
        ),
        case(
            "everyone of an organization",
            "organization_fence",
            Strict,
            also(
                good(),
                json!({
                    "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*", "Condition": organization,
                }),
            ),
        ),
        case(
            "an address beside the fence",
            "extra_condition",
            Strict,
            fenced_by(from_address),
        ),
        case(
            "a Deny by address",
            "conditional_deny",
            Strict,
            also(
                good(),
                deny(
                    json!("kms:Decrypt"),
                    json!({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
                ),
            ),
        ),
        case(
            "the id of a role that is gone",
            "principal_deleted",
            Refused,
            changed(1, |it| {
                it["Principal"] = json!({"AWS": "AROAIOSFODNN7EXAMPLE"});
            }),
        ),
    ]
}

/// What is right, in the different ways in which customers write it.
pub(crate) fn right() -> Vec<Case> {
    let one = json!({
        "Sid": "Broker", "Effect": "Allow", "Principal": {"AWS": [BROKER_ROLE]},
        "Action": ["kms:generatedatakey", "KMS:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"],
        "Resource": ["*"], "Condition": fence(),
    });
    let own_people = json!({
        "Sid": "OwnPeople", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:CreateGrant"], "Resource": "*",
    });
    let own_services = json!({
        "Sid": "OwnServices", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["kms:Decrypt", "kms:CreateGrant"], "Resource": "*",
        "Condition": {"StringEquals": {"kms:CallerAccount": "111122223333", "kms:ViaService": "ec2.eu-west-1.amazonaws.com"}},
    });
    let ways: [(&'static str, Vec<Value>); 7] = [
        ("as the broker writes it", good()),
        ("in one statement", vec![one, good()[3].clone()]),
        (
            "beside the customer's own people and services",
            also(also(good(), own_people), own_services),
        ),
        (
            "with a Deny of everything else",
            also(
                good(),
                deny(
                    json!(["kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncrypt*"]),
                    json!({"StringNotEquals": {WORKSPACE: "acme"}}),
                ),
            ),
        ),
        ("fenced by Deny statements alone", {
            let jobs = json!([
                "kms:Decrypt",
                "kms:GenerateDataKey",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo"
            ]);
            vec![
                json!({"Effect": "Allow", "Principal": {"AWS": BROKER_ROLE}, "Action": jobs, "Resource": "*",
                    "Condition": {"ForAllValues:StringEquals": {KEYS: EncryptionContext::KEYS}}}),
                good()[3].clone(),
                deny(
                    jobs.clone(),
                    json!({"StringNotEquals": {WORKSPACE: "acme"}}),
                ),
                deny(jobs, json!({"StringNotEquals": {BROKER: "prod"}})),
            ]
        }),
        ("with StringLike over a whole name, and over TLS", {
            let like = json!({
                "StringLike": both(), "Bool": {"aws:SecureTransport": "true"},
                "ForAllValues:StringEquals": {KEYS: EncryptionContext::KEYS},
                "StringEquals": {"aws:PrincipalArn": BROKER_ROLE},
            });
            fenced_by(like)
        }),
        (
            "with more secrets than the proof",
            fenced_by({
                let mut fence = fence();
                fence["StringLike"] =
                    json!({"kms:EncryptionContext:byok:secret": ["$probe", "db-*"]});
                fence
            }),
        ),
    ];
    ways.into_iter()
        .map(|(what, statements)| case(what, "", Grade::Strict, statements))
        .chain([
            granted("as a grant", "", Grade::Strict, vec![good_grant()]),
            granted(
                "as a grant that can be given back",
                "",
                Grade::Strict,
                vec![grant_with(|it| {
                    it["Operations"]
                        .as_array_mut()
                        .unwrap()
                        .push(json!("RetireGrant"));
                })],
            ),
        ])
        .collect()
}

/// All that a KMS can be held against.
pub(crate) fn mistakes() -> Vec<Case> {
    [principals(), actions_and_resources(), fences(), grants()]
        .into_iter()
        .flatten()
        .collect()
}
