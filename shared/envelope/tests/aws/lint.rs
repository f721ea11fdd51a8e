//! Mistakes that customers make in key policies and grants: each is found by its
//! own name, and what the linter says of the whole is what a KMS that enforces it does.

mod cases;

use crate::house::{BROKER_ROLE, House};
use crate::policy::{Names, foreign_contexts, own_context, would};
use cases::{
    BROKER, Case, KEY, KEYS, WORKSPACE, also, case, changed, deny, fenced_by, good, good_grant,
    mistakes, right, unknowable,
};
use envelope::{
    KeyArn,
    lint::{self, Draft, Grade, Report, Severity},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn lint(case: &Case, key: Option<&KeyArn>) -> Report {
    Names::new().policy().lint(&Draft {
        policy: None,
        statements: Some(json!(case.statements)),
        grants: case.grants.clone(),
        key: key.cloned(),
    })
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn each_mistake_is_found_by_its_own_name() {
    let cases: Vec<Case> = [mistakes(), unknowable()].into_iter().flatten().collect();
    assert!(cases.len() > 60, "{}", cases.len());
    let key = KeyArn::parse(KEY).unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let report = lint(&case, Some(&key));
        if !codes(&report).contains(&case.code) || report.grade != case.grade {
            wrong.push((case.what, report.grade, codes(&report)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_right_is_strict_and_nothing_is_found_in_it() {
    for case in right() {
        let report = lint(&case, None);
        assert_eq!(codes(&report), Vec::<&str>::new(), "{}", case.what);
        assert_eq!(report.grade, Grade::Strict, "{}", case.what);
    }
}

#[test]
fn a_finding_says_where_and_what_to_put_there_instead() {
    let mut statements = fenced_by(json!({}));
    statements[1]["Sid"] = json!(format!("Mine\u{7}{}", "e".repeat(90)));
    let report = lint(&case("", "", Grade::Permissive, statements), None);
    let finding = &report.findings[1];
    assert_eq!(
        (finding.severity, finding.code, finding.at.as_str()),
        (
            Severity::Error,
            "missing_fence",
            // Cut at 64 characters.
            format!("statement 2 (Sid Mine{})", "e".repeat(60)).as_str()
        )
    );
    assert_eq!(finding.mend, [good()[1].clone()]);
    let mended = report
        .findings
        .iter()
        .filter(|finding| finding.code == "missing_fence")
        .flat_map(|finding| finding.mend.clone())
        .chain([good()[3].clone()])
        .collect();
    assert_eq!(
        lint(&case("", "", Grade::Strict, mended), None).grade,
        Grade::Strict
    );
}

/// What a KMS does that enforces it: the proof of the key, made by hand.
fn proven(house: &House, case: &Case, key: &KeyArn) -> Grade {
    if house.try_put_policy(key, case.statements.clone()).is_err() {
        return Grade::Refused;
    }
    for grant in &case.grants {
        let mut input = grant.clone();
        input["KeyId"] = json!(key.as_str());
        if house.try_customer("CreateGrant", input).is_err() {
            return Grade::Refused;
        }
    }
    let own = own_context();
    let asked = |operation: &str, context: &Value| would(house, key, operation, context, context);
    if !(asked("GenerateDataKey", &own) && asked("Decrypt", &own)) {
        return Grade::Refused;
    }
    let open = foreign_contexts().iter().any(|context| {
        ["GenerateDataKey", "Decrypt", "ReEncrypt"]
            .iter()
            .any(|operation| asked(operation, context))
    });
    match open {
        true => Grade::Permissive,
        false => Grade::Strict,
    }
}

/// Mistakes that no call of the broker's role under a foreign context can show: it
/// would be someone else who calls, or another operation.
const NOT_TO_BE_PROVEN: [&str; 6] = [
    "principal_everyone",
    "principal_account",
    "action_everything",
    "administration",
    "not_action",
    "not_resource",
];

#[tokio::test]
async fn the_grade_is_what_a_kms_that_enforces_it_does() {
    let house = House::open().await;
    let mut wrong = Vec::new();
    for case in [mistakes(), right()].into_iter().flatten() {
        let key = house.create_key(json!({}));
        let report = lint(&case, Some(&key));
        let proven = proven(&house, &case, &key);
        let agreed = report.grade == proven
            || (report.grade == Grade::Permissive
                && proven == Grade::Strict
                && codes(&report)
                    .iter()
                    .any(|code| NOT_TO_BE_PROVEN.contains(code)));
        if !agreed {
            wrong.push((case.what, report.grade, proven, codes(&report)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_whole_policy_is_read_as_an_object_and_as_the_text_that_get_key_policy_gives() {
    let root = json!({
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*",
    });
    let whole = |statements: Vec<Value>| json!({"Version": "2012-10-17", "Id": "x", "Statement": statements});
    let judged = |policy: Value| {
        Names::new().policy().lint(&Draft {
            policy: Some(policy),
            ..Draft::default()
        })
    };
    let policy = whole(also(good(), root));
    assert_eq!(codes(&judged(policy.clone())), Vec::<&str>::new());
    assert_eq!(
        codes(&judged(json!(policy.to_string()))),
        Vec::<&str>::new()
    );
    assert_eq!(codes(&judged(whole(good()))), ["nobody_administers"]);
    for broken in [
        json!("{"),
        json!([]),
        json!({"Statement": []}),
        json!({"Version": "2012-10-17", "Statement": good(), "Else": 1}),
        json!({"Version": "2020-01-01", "Statement": good()}),
        json!(
            policy
                .to_string()
                .replace("\"Version\"", "\"Id\":\"y\",\"Version\"")
        ),
    ] {
        let report = judged(broken.clone());
        assert_eq!(codes(&report)[0], "malformed", "{broken}");
        assert_eq!(report.grade, Grade::Refused, "{broken}");
    }
}

#[test]
fn a_named_resource_is_judged_as_far_as_the_key_is_known() {
    let named = case(
        "",
        "",
        Grade::Strict,
        changed(1, |it| it["Resource"] = json!(KEY)),
    );
    assert_eq!(codes(&lint(&named, None)), ["resource_named"]);
    let key = KeyArn::parse(KEY).unwrap();
    assert_eq!(codes(&lint(&named, Some(&key))), Vec::<&str>::new());
}

#[test]
fn a_name_that_stands_twice_is_not_read() {
    assert!(lint::value(r#"{"a": [{"b": 1, "c": {"b": 2}}]}"#).is_ok());
    assert!(lint::value(r#"{"a": [{"b": 1, "b": 2}]}"#).is_err());
    assert!(lint::value(&"[".repeat(100_000)).is_err());
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(lint::value(&deep).is_err());
}

/// JSON that is almost a policy: its words, in places where they are and are not expected.
fn almost() -> impl Strategy<Value = Value> {
    const WORDS: [&str; 34] = [
        "Statement",
        "Sid",
        "Effect",
        "Allow",
        "Deny",
        "Principal",
        "NotPrincipal",
        "AWS",
        "*",
        BROKER_ROLE,
        "444455556666",
        "Action",
        "NotAction",
        "kms:*",
        "kms:Decrypt",
        "KMS:Re?*",
        "Resource",
        "NotResource",
        KEY,
        "Condition",
        "StringEquals",
        "ForAllValues:StringLike",
        "StringNotEqualsIfExists",
        "Null",
        "true",
        WORKSPACE,
        BROKER,
        KEYS,
        "acme",
        "aws:PrincipalArn",
        "Operations",
        "GranteePrincipal",
        "Constraints",
        "EncryptionContextSubset",
    ];
    let word = || prop::sample::select(&WORDS[..]).prop_map(str::to_owned);
    let text = prop_oneof![8 => word(), 1 => ".{0,8}"];
    let leaf = prop_oneof![
        8 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..7)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn anything_at_all_is_judged(policy in almost(), mut statement in almost(), grant in almost(), part in almost(), at in 0usize..6) {
        // Most of what is tried is a whole statement with one part replaced.
        let elements = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
        let mut whole = good()[0].clone();
        whole[elements[at]] = part.clone();
        if let Some(map) = statement.as_object_mut() {
            map.entry("Effect").or_insert_with(|| json!("Allow"));
        }
        let mut given = good_grant();
        given["Constraints"] = part;
        let report = Names::new().policy().lint(&Draft {
            policy: Some(policy),
            statements: Some(json!([statement, whole])),
            grants: vec![grant, given],
            key: KeyArn::parse(KEY).ok(),
        });
        prop_assert!(report.findings.len() <= lint::FINDINGS_MAX);
        // Nothing but the names of statements and grants is repeated.
        for finding in &report.findings {
            prop_assert!(finding.at.chars().all(|c| c.is_ascii_graphic() || c == ' '));
            prop_assert!(finding.at.len() < 100);
        }
    }
}

#[test]
fn what_is_huge_is_judged_soon_and_answered_short() {
    let names = Names::new();
    let began = std::time::Instant::now();
    for statements in [
        json!(vec![json!({}); 20_000]),
        json!(vec![
            json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
            1_000
        ]),
        json!([{"Effect": "Allow", "Principal": "*", "Action": vec!["*"; 16_000], "Resource": "*"}]),
        json!([{"Effect": "Allow", "Principal": "*", "Action": format!("kms:{}", "*a?".repeat(20_000)), "Resource": "*"}]),
        json!(vec![
            deny(
                json!("kms:*"),
                json!({"StringNotEquals": {WORKSPACE: "acme"}})
            );
            400
        ]),
    ] {
        let report = names.policy().lint(&Draft {
            statements: Some(statements),
            ..Draft::default()
        });
        assert!(report.findings.len() <= lint::FINDINGS_MAX);
    }
    // Far above what they take, and far below what a product of their lengths would.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}
