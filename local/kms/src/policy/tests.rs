use super::*;

fn caller(arn: &str) -> Caller {
    Caller::parse(&crate::Principal {
        arn: arn.to_owned(),
        access_key_id: String::new(),
        secret_access_key: String::new(),
        identity_policy: None,
    })
    .unwrap()
}

const ROLE: &str = "arn:aws:iam::111122223333:role/x";

/// Whether `condition` holds for these facts.
fn holds(condition: Value, facts: Facts) -> bool {
    let policy = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition,
    }});
    let document = Document::key_policy(&policy.to_string()).unwrap();
    let question = Question::new("kms:Decrypt", None, facts);
    document.says(&caller(ROLE), &question).caller
}

fn facts(pairs: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::default();
    for (key, value) in pairs {
        facts.text(*key, value);
    }
    facts
}

/// How an Allow naming `principal` reaches the caller `arn`.
fn reaches(principal: &str, arn: &str) -> (bool, bool) {
    let policy = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*",
    }]});
    let document = Document::key_policy(&policy.to_string()).unwrap();
    let says = document.says(
        &caller(arn),
        &Question::new("kms:Decrypt", None, Facts::default()),
    );
    (says.caller, says.account)
}

#[test]
fn a_principal_is_named_itself_or_by_its_account() {
    let session = "arn:aws:sts::111122223333:assumed-role/x/s";
    let root = "arn:aws:iam::111122223333:root";
    for (principal, arn, expected) in [
        (ROLE, ROLE, (true, false)),
        (ROLE, session, (true, false)),
        (session, session, (true, false)),
        (
            session,
            "arn:aws:sts::111122223333:assumed-role/x/t",
            (false, false),
        ),
        (root, ROLE, (false, true)),
        ("111122223333", ROLE, (false, true)),
        (root, root, (true, false)),
        ("111122223333", root, (true, false)),
        ("*", root, (true, false)),
        (ROLE, root, (false, false)),
        ("arn:aws:iam::444455556666:root", ROLE, (false, false)),
        ("arn:aws:iam::444455556666:role/x", ROLE, (false, false)),
        ("arn:aws:iam::111122223333:user/x", ROLE, (false, false)),
    ] {
        assert_eq!(reaches(principal, arn), expected, "{principal} {arn}");
    }
}

#[test]
fn arn_equals_has_wildcards_as_arn_like() {
    for operator in ["ArnEquals", "ArnLike"] {
        let condition = json!({operator: {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}});
        assert!(holds(condition, facts(&[("aws:PrincipalArn", ROLE)])));
    }
    let condition = json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}});
    assert!(!holds(condition, facts(&[("aws:PrincipalArn", ROLE)])));
}

#[test]
fn a_star_or_question_mark_in_a_request_stands_for_itself() {
    let like = |pattern: &str| json!({"StringLike": {"k": pattern}});
    for (pattern, value, expected) in [
        ("*", "*x", true),
        ("a*c", "a*b*c", true),
        ("a*d", "a*b*c", false),
        ("a${*}c", "a*c", true),
        ("a${*}c", "abc", false),
        ("a?c", "a?c", true),
        ("a${?}c", "abc", false),
        ("abc", "a*c", false),
    ] {
        assert_eq!(
            holds(like(pattern), facts(&[("k", value)])),
            expected,
            "{pattern} {value}"
        );
    }
    assert!(holds(
        json!({"StringEquals": {"k": "a*c"}}),
        facts(&[("k", "a*c")])
    ));
    assert!(!holds(
        json!({"StringEquals": {"k": "a*c"}}),
        facts(&[("k", "abc")])
    ));
}

#[test]
fn policy_variables_are_filled_in_and_match_nothing_without_a_value() {
    let equals = |text: &str| json!({"StringEquals": {"k": text}});
    let with = |k: &str| facts(&[("k", k), ("aws:userid", "me")]);
    assert!(holds(equals("${aws:userid}"), with("me")));
    assert!(holds(equals("a-${aws:userid}-b"), with("a-me-b")));
    assert!(!holds(equals("${aws:userid}"), with("you")));
    assert!(!holds(equals("${aws:PrincipalTag/x}"), with("")));
    assert!(holds(equals("${aws:PrincipalTag/x, 'none'}"), with("none")));
    // A value filled in is no pattern.
    let like = json!({"StringLike": {"k": "${v}"}});
    assert!(!holds(like, facts(&[("k", "abc"), ("v", "*")])));
}

#[test]
fn variables_are_of_the_newer_language_alone() {
    let policy = json!({"Version": "2008-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
        "Condition": {"StringEquals": {"k": "${v}"}},
    }]});
    let document = Document::key_policy(&policy.to_string()).unwrap();
    let says = |k: &str| {
        let question = Question::new("kms:Decrypt", None, facts(&[("k", k), ("v", "x")]));
        document.says(&caller(ROLE), &question).caller
    };
    assert!(!says("x"));
    assert!(says("${v}"));
}

#[test]
fn dates_numbers_flags_and_absence_are_compared() {
    let now = || {
        let mut facts = facts(&[("aws:CurrentTime", "2026-11-22T12:00:00Z")]);
        facts.number("n", 7.0);
        facts.flag("b", true);
        facts
    };
    for (condition, expected) in [
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2026-11-22T11:59:59Z"}}),
            true,
        ),
        (
            json!({"DateLessThan": {"aws:CurrentTime": "2026-11-22T11:59:59Z"}}),
            false,
        ),
        (json!({"NumericLessThanEquals": {"n": 7}}), true),
        (json!({"NumericLessThan": {"n": "7"}}), false),
        (json!({"Bool": {"b": "true"}}), true),
        (json!({"Bool": {"b": false}}), false),
        (json!({"ForAllValues:Bool": {"b": "true"}}), true),
        (json!({"Null": {"absent": "true"}}), true),
        (json!({"Null": {"n": "true"}}), false),
        (json!({"Null": {"n": false}}), true),
        (json!({"StringEqualsIfExists": {"absent": "x"}}), true),
        (json!({"StringEquals": {"absent": "x"}}), false),
    ] {
        assert_eq!(holds(condition.clone(), now()), expected, "{condition}");
    }
}

#[test]
fn what_is_no_policy_is_refused_with_a_reason() {
    let statement = |change: Value| {
        let mut statement =
            json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
        for (key, value) in change.as_object().unwrap() {
            statement[key] = value.clone();
        }
        json!({"Version": "2012-10-17", "Statement": [statement]})
    };
    for bad in [
        json!([]),
        json!({}),
        json!({"Version": "2020-01-01", "Statement": []}),
        json!({"Statement": [], "Comment": "x"}),
        json!({"Statement": ["x"]}),
        statement(json!({"Effect": "allow"})),
        statement(json!({"Principal": {"AWS": 7}})),
        statement(json!({"Principal": {}})),
        statement(json!({"Principal": {"Somebody": "x"}})),
        statement(json!({"Action": 7})),
        statement(json!({"NotAction": "x"})),
        statement(json!({"Condition": []})),
        statement(json!({"Condition": {"StringEquals": "x"}})),
        statement(json!({"Condition": {"StringEquals": {"k": {"a": 1}}}})),
        statement(json!({"Condition": {"NumericEquals": {"k": "many"}}})),
        statement(json!({"Condition": {"DateLessThan": {"k": "soon"}}})),
        statement(json!({"Condition": {"IpAddress": {"k": "here"}}})),
        statement(json!({"Condition": {"Null": {"k": "perhaps"}}})),
        statement(json!({"Condition": {"ArnLike": {"k": "a"}, "ArnEquals": {"k": "b"}}})),
    ] {
        let error = Document::key_policy(&bad.to_string()).expect_err(&bad.to_string());
        assert!(!error.is_empty());
    }
    assert!(Document::key_policy("{").is_err());
    assert!(Document::identity_policy(&statement(json!({}))).is_err());
    assert!(Document::key_policy(&statement(json!({})).to_string()).is_ok());
}

#[test]
fn a_deny_that_cannot_be_evaluated_denies() {
    // A variable whose filling-in makes the value unreadable passes the trial of the parse.
    let policy = |effect: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": effect, "Principal": "*", "Action": "kms:*", "Resource": "*",
            "Condition": {"NumericEquals": {"n": "${k}"}},
        }]})
        .to_string()
    };
    let says = |effect: &str| {
        let question = Question::new("kms:Decrypt", None, facts(&[("k", "x"), ("n", "1")]));
        Document::key_policy(&policy(effect))
            .unwrap()
            .says(&caller(ROLE), &question)
    };
    assert!(says("Deny").denied);
    assert!(!says("Allow").caller);
}
