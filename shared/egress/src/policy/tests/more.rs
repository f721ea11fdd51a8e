//! Lists of injections, signatures, headers and minting.

use super::*;

const HMAC: &str = r#"{"algorithm": "sha256", "message": "{timestamp}.{method}.{path}.{body}", "encoding": "hex",
    "header": "X-Signature", "format": "t={timestamp},v1={signature}"}"#;

fn hmac(changes: Value) -> Value {
    let mut hmac: Value = serde_json::from_str(HMAC).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => hmac.as_object_mut().unwrap().remove(name),
            value => hmac
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    json!({"hmac": hmac})
}

fn sigv4(changes: Value) -> Value {
    let mut sigv4 = json!({"region": "eu-west-1", "service": "s3", "access_key_id": "/id", "secret_access_key": "/key"});
    for (name, value) in changes.as_object().unwrap() {
        sigv4[name] = value.clone();
    }
    json!({"sigv4": sigv4})
}

fn refused(inject: Value) -> Option<String> {
    let parsed = Policy::parse(&json!({"inject": inject}), None);
    parsed.err().map(|error| error.field)
}

/// The digests of policies that are stored already: what is new must not move them.
#[test]
fn what_was_said_before_is_said_in_the_same_bytes() {
    for (policy, canonical) in [
        (
            json!({}),
            r#"{"destinations":[],"expires_at":null,"inject":{"format":"Bearer {secret}","header":"authorization"},"reveal":false}"#,
        ),
        (
            json!({"destinations": [{"url": "https://a.example/v1", "methods": ["GET"]}], "inject": {"basic": {"username": "u"}}}),
            r#"{"destinations":[{"methods":["GET"],"url":"https://a.example/v1"}],"expires_at":null,"inject":{"basic":{"username":"u"}},"reveal":false}"#,
        ),
        (
            json!({"inject": {"query": "key"}}),
            r#"{"destinations":[],"expires_at":null,"inject":{"query":"key"},"reveal":false}"#,
        ),
        (
            json!({"inject": {"cookie": "sid"}}),
            r#"{"destinations":[],"expires_at":null,"inject":{"cookie":"sid"},"reveal":false}"#,
        ),
        (
            json!({"inject": {"form": "key"}}),
            r#"{"destinations":[],"expires_at":null,"inject":{"form":"key"},"reveal":false}"#,
        ),
        (
            json!({"inject": {"json_pointer": "/a"}}),
            r#"{"destinations":[],"expires_at":null,"inject":{"json_pointer":"/a"},"reveal":false}"#,
        ),
        (
            json!({"inject": {"path": "bot{secret}"}}),
            r#"{"destinations":[],"expires_at":null,"inject":{"path":"bot{secret}"},"reveal":false}"#,
        ),
    ] {
        assert_eq!(parse(&policy).canonical().as_str(), canonical);
    }
}

#[test]
fn what_is_new_is_bound_as_well() {
    for (policy, part) in [
        (
            json!({"inject": [{"header": "x-id", "field": "/id"}, {"header": "x-key", "field": "/key"}]}),
            r#""inject":[{"field":"/id","format":"{secret}","header":"x-id"},{"field":"/key","format":"{secret}","header":"x-key"}]"#,
        ),
        (
            json!({"inject": hmac(json!({}))}),
            r#""inject":{"hmac":{"algorithm":"sha256","encoding":"hex","format":"t={timestamp},v1={signature}","header":"x-signature","message":"{timestamp}.{method}.{path}.{body}","timestamp":{"form":"unix"}}}"#,
        ),
        (
            json!({"inject": hmac(json!({"field": "/k", "timestamp": {"form": "unix_ms", "header": "X-Time"}}))}),
            r#""timestamp":{"form":"unix_ms","header":"x-time"}}}"#,
        ),
        (
            json!({"inject": sigv4(json!({"session_token": "/token", "unsigned_payload": true}))}),
            r#""inject":{"sigv4":{"access_key_id":"/id","region":"eu-west-1","secret_access_key":"/key","service":"s3","session_token":"/token","unsigned_payload":true}}"#,
        ),
        (
            json!({"destinations": [{"url": "https://a.example/", "methods": ["GET"], "mint": true, "headers": ["X-B", "accept", "x-b"]}]}),
            r#"{"headers":["accept","x-b"],"methods":["GET"],"mint":true,"url":"https://a.example/"}"#,
        ),
        (
            json!({"destinations": [{"url": "https://a.example/", "methods": ["GET"], "mint": false, "headers": []}]}),
            r#"{"headers":[],"methods":["GET"],"url":"https://a.example/"}"#,
        ),
    ] {
        let policy = parse(&policy);
        let canonical = policy.canonical();
        assert!(canonical.as_str().contains(part), "{}", canonical.as_str());
        assert_eq!(Policy::from_canonical(canonical.as_str()), Ok(policy));
    }
}

#[test]
fn what_says_the_same_is_the_same() {
    let canonical = |inject: Value| parse(&json!({"inject": inject})).canonical();
    for (one, other) in [
        (
            json!({"bearer": true}),
            json!({"header": "authorization", "format": "Bearer {secret}"}),
        ),
        (json!([{"query": "key"}]), json!({"query": "key"})),
        (
            json!([{"query": "key", "field": "/a"}]),
            json!({"query": "key", "field": "/a"}),
        ),
        (hmac(json!({"timestamp": {}})), hmac(json!({}))),
        (
            hmac(json!({"format": null, "message": "{body}"})),
            hmac(json!({"format": "{signature}", "message": "{body}"})),
        ),
        (sigv4(json!({"unsigned_payload": false})), sigv4(json!({}))),
    ] {
        assert_eq!(canonical(one), canonical(other));
    }
}

#[test]
fn what_breaks_a_rule_of_an_injection_is_refused_by_field() {
    let two = |one: Value, other: Value| json!([one, other]);
    for (inject, field) in [
        (json!([]), "policy.inject"),
        (
            json!(vec![json!({"query": "a", "field": "/a"}); 9]),
            "policy.inject",
        ),
        (json!("bearer"), "policy.inject"),
        (json!({"bearer": false}), "policy.inject.bearer"),
        (
            json!({"bearer": true, "format": "{secret}"}),
            "policy.inject",
        ),
        (json!({"query": "a", "field": ""}), "policy.inject.field"),
        (json!({"query": "a", "field": "a"}), "policy.inject.field"),
        (json!({"query": "a", "field": 1}), "policy.inject.field"),
        (
            two(json!({"query": "a", "field": "/a"}), json!({"query": "b"})),
            "policy.inject[1].field",
        ),
        (
            two(
                json!({"query": "a", "field": "/a"}),
                json!({"qeury": "b", "field": "/b"}),
            ),
            "policy.inject[1].qeury",
        ),
        (
            hmac(json!({"algorithm": "sha1"})),
            "policy.inject.hmac.algorithm",
        ),
        (
            hmac(json!({"algorithm": null})),
            "policy.inject.hmac.algorithm",
        ),
        (
            hmac(json!({"encoding": "base64url"})),
            "policy.inject.hmac.encoding",
        ),
        (hmac(json!({"message": ""})), "policy.inject.hmac.message"),
        (hmac(json!({"message": null})), "policy.inject.hmac.message"),
        (
            hmac(json!({"message": "{secret}"})),
            "policy.inject.hmac.message",
        ),
        (
            hmac(json!({"message": "{signature}"})),
            "policy.inject.hmac.message",
        ),
        (
            hmac(json!({"message": "{body"})),
            "policy.inject.hmac.message",
        ),
        (
            hmac(json!({"message": "body}"})),
            "policy.inject.hmac.message",
        ),
        (hmac(json!({"message": "é"})), "policy.inject.hmac.message"),
        (
            hmac(json!({"format": "{timestamp}"})),
            "policy.inject.hmac.format",
        ),
        (
            hmac(json!({"format": "{signature}{signature}"})),
            "policy.inject.hmac.format",
        ),
        (
            hmac(json!({"format": "{signature} {body}"})),
            "policy.inject.hmac.format",
        ),
        (
            hmac(json!({"format": "{signature}\n"})),
            "policy.inject.hmac.format",
        ),
        (hmac(json!({"header": "host"})), "policy.inject.hmac.header"),
        (hmac(json!({"header": null})), "policy.inject.hmac.header"),
        (
            hmac(json!({"format": "{signature}"})),
            "policy.inject.hmac.timestamp",
        ),
        (
            hmac(
                json!({"format": "{signature}", "message": "{body}", "timestamp": {"form": "unix"}}),
            ),
            "policy.inject.hmac.timestamp",
        ),
        (
            hmac(json!({"timestamp": {"form": "iso"}})),
            "policy.inject.hmac.timestamp.form",
        ),
        (
            hmac(json!({"timestamp": {"header": "te"}})),
            "policy.inject.hmac.timestamp.header",
        ),
        (
            hmac(json!({"timestamp": {"header": "x_signature"}})),
            "policy.inject.hmac.timestamp.header",
        ),
        (
            hmac(json!({"timestamp": {"unit": "s"}})),
            "policy.inject.hmac.timestamp.unit",
        ),
        (hmac(json!({"field": "k"})), "policy.inject.hmac.field"),
        (hmac(json!({"key": "k"})), "policy.inject.hmac.key"),
        (sigv4(json!({"region": "EU"})), "policy.inject.sigv4.region"),
        (sigv4(json!({"region": ""})), "policy.inject.sigv4.region"),
        (
            sigv4(json!({"service": "s3/x"})),
            "policy.inject.sigv4.service",
        ),
        (
            sigv4(json!({"access_key_id": "AKIAIOSFODNN7EXAMPLE"})),
            "policy.inject.sigv4.access_key_id",
        ),
        (
            sigv4(json!({"secret_access_key": null})),
            "policy.inject.sigv4.secret_access_key",
        ),
        (
            sigv4(json!({"session_token": null})),
            "policy.inject.sigv4.session_token",
        ),
        (
            sigv4(json!({"service": "sqs", "unsigned_payload": true})),
            "policy.inject.sigv4.unsigned_payload",
        ),
        (sigv4(json!({"role": "x"})), "policy.inject.sigv4.role"),
    ] {
        assert_eq!(refused(inject.clone()).as_deref(), Some(field), "{inject}");
    }
    let mut beside = sigv4(json!({}));
    beside["field"] = json!("/a");
    assert_eq!(refused(beside).as_deref(), Some("policy.inject.field"));
}

#[test]
fn two_injections_never_want_one_place() {
    let of = |slot: Value| {
        let mut slot = slot;
        if slot.get("sigv4").is_none() && slot.get("hmac").is_none() {
            slot["field"] = json!("/a");
        }
        slot
    };
    let signature = |header: &str| hmac(json!({"field": "/b", "header": header}));
    for (one, other, clash) in [
        (json!({"header": "x-a"}), json!({"header": "X_A"}), true),
        (json!({"header": "x-a"}), json!({"header": "x-b"}), false),
        (
            json!({"bearer": true}),
            json!({"basic": {"username": ""}}),
            true,
        ),
        (json!({"query": "a"}), json!({"query": "A"}), true),
        (json!({"query": "a"}), json!({"form": "a"}), false),
        (json!({"cookie": "a"}), json!({"cookie": "b"}), false),
        (json!({"cookie": "a"}), json!({"cookie": "a"}), true),
        (json!({"cookie": "a"}), json!({"header": "cookie"}), true),
        (json!({"form": "a"}), json!({"form": "b"}), false),
        (json!({"form": "a"}), json!({"json_pointer": "/a"}), true),
        (
            json!({"json_pointer": "/a"}),
            json!({"json_pointer": "/a/b"}),
            true,
        ),
        (
            json!({"json_pointer": "/a"}),
            json!({"json_pointer": "/ab"}),
            false,
        ),
        (
            json!({"path": "{secret}"}),
            json!({"path": "x{secret}"}),
            true,
        ),
        (json!({"header": "x-a"}), signature("x-a"), true),
        (json!({"header": "x-a"}), signature("x-b"), false),
        (json!({"header": "x-amz-meta-a"}), sigv4(json!({})), true),
        (json!({"bearer": true}), sigv4(json!({})), true),
        (json!({"query": "a"}), sigv4(json!({})), false),
        (sigv4(json!({})), sigv4(json!({})), true),
    ] {
        for list in [
            json!([of(one.clone()), of(other.clone())]),
            json!([of(other.clone()), of(one.clone())]),
        ] {
            assert_eq!(
                refused(list.clone()).as_deref(),
                clash.then_some("policy.inject[1]"),
                "{list}"
            );
        }
    }
}

#[test]
fn what_breaks_a_rule_of_a_destination_is_refused_by_field() {
    for (name, value, field) in [
        ("headers", json!("accept"), "policy.destinations[0].headers"),
        (
            "headers",
            json!(vec!["accept"; 65]),
            "policy.destinations[0].headers",
        ),
        (
            "headers",
            json!(["accept", "te"]),
            "policy.destinations[0].headers[1]",
        ),
        (
            "headers",
            json!(["x-forwarded-for"]),
            "policy.destinations[0].headers[0]",
        ),
        (
            "headers",
            json!(["range"]),
            "policy.destinations[0].headers[0]",
        ),
        (
            "headers",
            json!(["a b"]),
            "policy.destinations[0].headers[0]",
        ),
        ("headers", json!([1]), "policy.destinations[0].headers[0]"),
        ("headers", json!(null), "policy.destinations[0].headers"),
        ("mint", json!("yes"), "policy.destinations[0].mint"),
        ("mint", json!(null), "policy.destinations[0].mint"),
        ("mints", json!(true), "policy.destinations[0].mints"),
    ] {
        let mut destination = json!({"url": "https://a.example/"});
        destination[name] = value;
        let parsed = Policy::parse(&json!({"destinations": [destination]}), None);
        assert_eq!(parsed.err().map(|it| it.field).as_deref(), Some(field));
    }
}

#[test]
fn an_endpoint_that_gives_out_credentials_takes_a_destination_that_says_so() {
    let judged = |destinations: Value, method: Method, text: &str| {
        parse(&json!({"destinations": destinations}))
            .judge(&method, &url(text))
            .map(Destination::mint)
    };
    let host = "https://api.stripe.com/";
    let keys = "https://api.stripe.com/v1/ephemeral_keys";
    assert_eq!(
        judged(json!([{"url": host}]), Method::POST, keys),
        Err(Denied::Minting)
    );
    assert_eq!(
        judged(json!([{"url": keys}]), Method::POST, keys),
        Err(Denied::Minting)
    );
    assert_eq!(
        judged(json!([{"url": host, "mint": true}]), Method::POST, keys),
        Ok(true)
    );
    assert_eq!(
        judged(
            json!([{"url": host}, {"url": keys, "mint": true}]),
            Method::POST,
            keys
        ),
        Ok(true)
    );
    assert_eq!(
        judged(
            json!([{"url": host}, {"url": keys, "mint": true}]),
            Method::POST,
            "https://api.stripe.com/v1/charges"
        ),
        Ok(false)
    );
    // The method is asked first, and one that mints nothing needs nothing.
    assert_eq!(
        judged(
            json!([{"url": host, "methods": ["GET"], "mint": true}]),
            Method::POST,
            keys
        ),
        Err(Denied::Method)
    );
    assert_eq!(
        judged(
            json!([{"url": host, "methods": ["GET"]}, {"url": host}]),
            Method::POST,
            keys
        ),
        Err(Denied::Minting)
    );
    assert_eq!(
        judged(
            json!([{"url": host}, {"url": host, "methods": ["GET"]}]),
            Method::POST,
            keys
        ),
        Err(Denied::Minting)
    );
    assert_eq!(judged(json!([{"url": host}]), Method::GET, keys), Ok(false));
}

#[test]
fn a_segment_that_the_policy_adds_does_not_hide_such_an_endpoint() {
    let policy = |segment: &str, mint: bool| {
        parse(
            &json!({"inject": {"path": segment}, "destinations": [{"url": "https://login.microsoftonline.com/", "mint": mint}]}),
        )
    };
    // What goes out is /<secret>/oauth2/token.
    let asked = url("https://login.microsoftonline.com/oauth2/token");
    assert_eq!(
        policy("{secret}", false).judge(&Method::POST, &asked),
        Err(Denied::Minting)
    );
    assert!(
        policy("{secret}", true)
            .judge(&Method::POST, &asked)
            .is_ok()
    );
    assert!(
        policy("{secret}", false)
            .judge(&Method::POST, &url("https://login.microsoftonline.com/x"))
            .is_ok()
    );
}

#[test]
fn which_policies_need_the_whole_body_is_known() {
    for (inject, needs) in [
        (json!({"bearer": true}), false),
        (json!({"query": "a"}), false),
        (json!({"form": "a"}), true),
        (json!({"json_pointer": "/a"}), true),
        (hmac(json!({})), true),
        (hmac(json!({"message": "{timestamp}{path}"})), false),
        (sigv4(json!({})), true),
        (sigv4(json!({"unsigned_payload": true})), false),
        (
            json!([{"query": "a", "field": "/a"}, {"form": "b", "field": "/b"}]),
            true,
        ),
    ] {
        assert_eq!(
            parse(&json!({"inject": inject.clone()})).needs_whole_body(),
            needs,
            "{inject}"
        );
    }
}
