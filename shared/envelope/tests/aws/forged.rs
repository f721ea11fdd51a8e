//! A KMS, or something in its place, that answers what was not asked.

use crate::house::{Ask, SHORT, TIME, context, named};
use base64::{Engine, prelude::BASE64_STANDARD};
use envelope::aws::AwsAccess;
use envelope::kms::Kms;
use envelope::{KeyArn, Refusal, WrappedDataKey};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const KEY: &str =
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const OTHER: &str =
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ac";

/// Answers every request with one status and body, and keeps the requests' bodies.
pub(crate) struct Liar {
    pub(crate) kms: Kms,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Liar {
    pub(crate) async fn saying(status: u16, body: impl ToString) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nx-amzn-requestid: forged\r\ncontent-type: application/x-amz-json-1.1\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_body(&mut stream).await;
                seen.lock()
                    .unwrap()
                    .push(serde_json::from_slice(&request).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            kms: Kms::new(
                AwsAccess::new("AKIAIOSFODNN7BROKER00", "secret", None),
                Some(endpoint),
            ),
            requests,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads one HTTP/1.1 request whose body has a known length.
async fn read_body(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

pub(crate) fn wrapped() -> WrappedDataKey {
    WrappedDataKey {
        ciphertext: vec![1; 100],
        key: KeyArn::parse(KEY).unwrap(),
        material: None,
    }
}

pub(crate) fn base64(length: usize) -> String {
    BASE64_STANDARD.encode(vec![7; length])
}

#[tokio::test]
async fn the_forger_can_also_tell_the_truth() {
    // Else every refusal below could be its bad grammar.
    let liar = Liar::saying(
        200,
        json!({"KeyId": KEY, "Plaintext": base64(32), "CiphertextBlob": base64(9)}),
    )
    .await;
    let opened = Ask::new(&wrapped())
        .unwrap(&liar.kms.unwrap())
        .await
        .unwrap();
    let made = liar
        .kms
        .wrap()
        .generate(&wrapped().key, &context(), &[], TIME)
        .await
        .unwrap();
    assert!(opened.key.is_same_as(&made.key));
    assert_eq!(
        (opened.call.request_id.as_str(), opened.call.material),
        ("forged", None)
    );
    assert_eq!(
        made.wrapped,
        WrappedDataKey {
            ciphertext: vec![7; 9],
            key: wrapped().key,
            material: None
        }
    );
}

#[tokio::test]
async fn an_answer_to_unwrap_for_another_key_or_of_another_length_is_not_believed() {
    for answer in [
        json!({"KeyId": OTHER, "Plaintext": base64(32)}),
        json!({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Plaintext": base64(32)}),
        json!({"KeyId": "", "Plaintext": base64(32)}),
        json!({"Plaintext": base64(32)}),
        json!({"KeyId": KEY}),
        json!({"KeyId": KEY, "Plaintext": ""}),
        json!({"KeyId": KEY, "Plaintext": base64(16)}),
        json!({"KeyId": KEY, "Plaintext": base64(31)}),
        json!({"KeyId": KEY, "Plaintext": base64(33)}),
        json!({"KeyId": KEY, "Plaintext": base64(64)}),
        json!({}),
    ] {
        let liar = Liar::saying(200, &answer).await;
        let failure = Ask::new(&wrapped())
            .unwrap(&liar.kms.unwrap())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(
            (failure.refusal, failure.code),
            (Refusal::Integrity, None),
            "{answer}"
        );
        assert_eq!(
            failure.request_ids,
            ["forged"],
            "the call that lied is on record"
        );
        assert_eq!(liar.requests().len(), 1, "and not made again");
    }
}

#[tokio::test]
async fn an_answer_to_wrap_for_another_key_or_without_all_its_parts_is_not_believed() {
    for answer in [
        json!({"KeyId": OTHER, "Plaintext": base64(32), "CiphertextBlob": base64(9)}),
        json!({"Plaintext": base64(32), "CiphertextBlob": base64(9)}),
        json!({"KeyId": KEY, "Plaintext": base64(31), "CiphertextBlob": base64(9)}),
        json!({"KeyId": KEY, "Plaintext": base64(64), "CiphertextBlob": base64(9)}),
        json!({"KeyId": KEY, "CiphertextBlob": base64(9)}),
        json!({"KeyId": KEY, "Plaintext": base64(32)}),
        json!({"KeyId": KEY, "Plaintext": base64(32), "CiphertextBlob": ""}),
        json!({"KeyId": KEY, "Plaintext": base64(32), "CiphertextBlob": base64(6145)}),
    ] {
        let liar = Liar::saying(200, &answer).await;
        let made = liar
            .kms
            .wrap()
            .generate(&wrapped().key, &context(), &[], TIME)
            .await;
        let failure = made.map(|_| ()).unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity, "{answer}");
        assert_eq!(failure.request_ids, ["forged"]);
    }
}

#[tokio::test]
async fn a_description_of_another_key_is_not_believed() {
    for answer in [
        json!({"KeyMetadata": {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ac", "Arn": OTHER, "KeyState": "Enabled"}}),
        json!({"KeyMetadata": {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "KeyState": "Enabled"}}),
        json!({}),
    ] {
        let liar = Liar::saying(200, &answer).await;
        let failure = liar
            .kms
            .inspect()
            .describe(&named(&wrapped().key), &[], TIME)
            .await
            .unwrap_err();
        assert_eq!(failure.refusal, Refusal::Integrity, "{answer}");
        assert_eq!(failure.request_ids, ["forged"]);
    }
}

#[tokio::test]
async fn a_key_in_a_state_that_this_program_does_not_know_is_not_called_enabled() {
    for state in ["Creating", "Unavailable", "Updating", "SomethingNew"] {
        let metadata =
            json!({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Arn": KEY, "KeyState": state});
        let liar = Liar::saying(200, json!({"KeyMetadata": metadata})).await;
        let described = liar
            .kms
            .inspect()
            .describe(&named(&wrapped().key), &[], TIME)
            .await
            .unwrap();
        assert_eq!(
            described.state,
            envelope::kms::KeyState::Transient,
            "{state}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_that_is_answered_with_a_plaintext_is_no_yes() {
    let liar = Liar::saying(200, json!({"KeyId": KEY, "Plaintext": base64(32)})).await;
    let failure = Ask::new(&wrapped())
        .would_unwrap(&liar.kms.unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.refusal, failure.request_ids),
        (Refusal::Integrity, vec!["forged".to_owned()])
    );
    assert_eq!(liar.requests()[0]["DryRun"], json!(true));
}

#[tokio::test]
async fn a_use_that_is_answered_as_a_dry_run_is_refused() {
    let liar = Liar::saying(
        400,
        json!({"__type": "DryRunOperationException", "message": ""}),
    )
    .await;
    let failure = Ask::new(&wrapped())
        .unwrap(&liar.kms.unwrap())
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(failure.refusal, Refusal::Unsupported);
    assert_eq!(liar.requests()[0].get("DryRun"), None);
}

#[tokio::test]
async fn every_call_names_the_key_the_context_and_the_grant_tokens() {
    let liar = Liar::saying(
        200,
        json!({"KeyId": KEY, "Plaintext": base64(32), "CiphertextBlob": base64(9)}),
    )
    .await;
    let (wrapped, tokens) = (wrapped(), vec!["token".to_owned()]);
    let mut ask = Ask::new(&wrapped);
    ask.grant_tokens = tokens.clone();
    ask.unwrap(&liar.kms.unwrap()).await.unwrap();
    liar.kms
        .wrap()
        .generate(&wrapped.key, &context(), &tokens, TIME)
        .await
        .unwrap();
    let pairs: Value = context()
        .pairs()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let expected = json!([
        {"KeyId": KEY, "CiphertextBlob": BASE64_STANDARD.encode(&wrapped.ciphertext), "EncryptionContext": pairs,
         "GrantTokens": tokens},
        {"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": pairs, "GrantTokens": tokens},
    ]);
    assert_eq!(json!(liar.requests()), expected);
}

#[tokio::test]
async fn an_answer_that_is_not_of_kms_says_nothing_about_the_key() {
    let mut calls = tokio::task::JoinSet::new();
    for (status, body) in [
        (200, "not JSON"),
        (200, "<html>Sign in to the network</html>"),
        (403, "<html>Forbidden by the proxy</html>"),
        (404, ""),
        (502, "<html>Bad gateway</html>"),
        (503, "{}"),
        (500, r#"{"__type":"SomethingNew"}"#),
    ] {
        calls.spawn(async move {
            let liar = Liar::saying(status, body).await;
            let wrapped = wrapped();
            let mut ask = Ask::new(&wrapped);
            ask.time = SHORT;
            let failure = ask
                .unwrap(&liar.kms.unwrap())
                .await
                .map(|_| ())
                .unwrap_err();
            assert_eq!(failure.refusal, Refusal::Unavailable, "{status} {body}");
            assert!(liar.requests().len() >= 2, "{status} {body}");
        });
    }
    calls.join_all().await;
}

#[tokio::test]
async fn only_the_code_of_an_error_counts_not_its_words_or_its_namespace() {
    for (code, refusal) in [
        ("AccessDeniedException", Refusal::AccessDenied),
        ("com.amazonaws.kms#DisabledException", Refusal::Disabled),
        (
            "NotFoundException:http://internal.amazon.com/coral/com.amazonaws.kms/",
            Refusal::NotFound,
        ),
        ("InvalidCiphertextException", Refusal::Integrity),
        ("IncorrectKeyException", Refusal::Integrity),
        ("ExpiredTokenException", Refusal::Misconfigured),
        ("InvalidSignatureException", Refusal::Misconfigured),
        ("InvalidKeyUsageException", Refusal::Unsupported),
        ("ValidationException", Refusal::Unsupported),
    ] {
        let words = "AccessDeniedException: the key is disabled, not found, pending deletion";
        let liar = Liar::saying(400, json!({"__type": code, "message": words})).await;
        let failure = Ask::new(&wrapped())
            .unwrap(&liar.kms.unwrap())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failure.refusal, refusal, "{code}");
        assert_eq!(liar.requests().len(), 1, "{code}");
    }
}
