//! The tables of hostile URLs and addresses, against the dialler: what a name says the
//! second time is never heard.

use super::{upstream::*, *};
use crate::{address, url};

#[test]
fn the_tables_have_more_than_two_hundred_entries() {
    let entries = url::tests::TABLE.len() + address::tests::TABLE.len();
    assert!(entries >= 280, "{entries}");
}

fn at(ip: &str) -> Vec<&str> {
    vec![ip]
}

/// As a name that is rebound would have it: good when it is judged, bad when it is dialled.
#[tokio::test]
async fn a_name_that_changes_its_answer_is_dialled_where_it_was_judged() {
    for (bad, verdict) in address::tests::TABLE {
        if verdict.is_ok() {
            continue;
        }
        let (port, seen) = upstream("HTTP/1.1 204 No Content\r\n\r\n").await;
        let resolver = Scripted::new(&[&at("127.0.0.1"), &at(bad), &at(bad)]);
        let dialler = dialler("127.0.0.0/8", Limits::default(), resolver.clone());
        let sent = dialler
            .send(get(&format!("http://up.example:{port}/")), AMPLE)
            .await;
        assert_eq!(sent.ok().unwrap().status(), StatusCode::NO_CONTENT, "{bad}");
        assert!(seen.await.unwrap().starts_with("GET / "), "{bad}");
        assert_eq!(resolver.asked(), 1, "{bad}");
    }
}

#[tokio::test]
async fn a_name_that_points_to_a_bad_address_is_not_asked_for_a_better_one() {
    for (bad, verdict) in address::tests::TABLE {
        let Err(denied) = verdict else { continue };
        for list in [vec![*bad], vec!["8.8.8.8", bad], vec![bad, "8.8.8.8"]] {
            let resolver = Scripted::new(&[&list, &at("8.8.8.8")]);
            let dialler = dialler("", Limits::default(), resolver.clone());
            let sent = dialler.send(get("https://up.example/"), AMPLE).await;
            assert_eq!(
                sent.err(),
                Some(EgressError::AddressDenied(*denied)),
                "{list:?}"
            );
            assert_eq!(resolver.asked(), 1, "{list:?}");
        }
    }
}

#[tokio::test]
async fn every_url_that_passes_is_looked_up_once_and_a_literal_address_never() {
    let mut named = 0;
    for text in url::tests::TABLE
        .iter()
        .filter_map(|(_, verdict)| verdict.ok())
    {
        let url = CanonicalUrl::parse(text).unwrap();
        let resolver = Scripted::new(&[&at("169.254.169.254"), &at("127.0.0.1")]);
        let dialler = dialler("127.0.0.0/8", Limits::default(), resolver.clone());
        let sent = dialler.send(get(text), AMPLE).await.err();
        match url.host() {
            Host::Domain(_) => {
                named += 1;
                assert_eq!(
                    sent,
                    Some(EgressError::AddressDenied(AddressDenied::Never)),
                    "{text}"
                );
                assert_eq!(resolver.asked(), 1, "{text}");
            }
            Host::Ip(ip) => {
                let verdict = AddressGuard::parse_list("127.0.0.0/8")
                    .unwrap()
                    .judge(*ip, url.scheme());
                assert_eq!(
                    sent,
                    verdict.err().map(EgressError::AddressDenied),
                    "{text}"
                );
                assert!(
                    sent.is_some(),
                    "{text}: no public address is dialled from a test"
                );
                assert_eq!(resolver.asked(), 0, "{text}");
            }
        }
    }
    assert!(named > 20);
}
