//! Records that give authority: their text, their MAC, and what stands beside them.

use crate::harness::*;
use envelope::RecordKind;
use store::*;
use time::Duration;

async fn found(bench: &Bench) -> Found {
    bench
        .store
        .find(&bench.workspace, bench.wanted())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_found_hands_out_the_token_and_the_binding_with_macs_that_pass() {
    let bench = Bench::bound().await;
    let attested = found(&bench).await.attested();
    let kinds: Vec<_> = attested.iter().map(Attested::kind).collect();
    assert_eq!(kinds, [RecordKind::Token, RecordKind::Binding]);
    for one in &attested {
        assert!(bench.macs.pass(one).await, "{:?}", one.kind());
        assert_eq!(one.record().pk, "W#acme");
    }
    assert_eq!(attested[0].record().sk, format!("T#{}", bench.token));
    assert_eq!(attested[1].record().sk, "KEY");
    assert!(Bench::empty().await.macs.pass(&attested[0]).await);
    assert_eq!(found(&Bench::empty().await).await.attested(), []);
}

#[tokio::test]
async fn the_bytes_that_a_mac_is_over_are_the_text_that_lies_in_the_table() {
    let bench = Bench::bound().await;
    for one in found(&bench).await.attested() {
        let item = bench.item(one.record().sk).await.unwrap();
        let Some(AttributeValue::S(body)) = item.get("body") else {
            panic!("no body");
        };
        assert_eq!(one.record().bytes, body.as_bytes());
        assert_eq!(item.get("mac").unwrap().as_b().unwrap().as_ref(), one.mac());
    }
}

#[tokio::test]
async fn a_record_edited_moved_or_taken_from_elsewhere_does_not_pass() {
    let bench = Bench::bound().await;
    let sk = format!("T#{}", bench.token);
    let item = bench.item(&sk).await.unwrap();
    let body = item["body"].as_s().unwrap().clone();

    let mut edited = item.clone();
    let space = AttributeValue::S(format!("{body} "));
    edited.insert("body".to_owned(), space);
    bench.plant(&sk, edited).await;
    let read = found(&bench).await;
    assert!(
        read.token().unwrap().is_some(),
        "a space changes nothing but the bytes"
    );
    assert!(!bench.macs.pass(&read.attested()[0]).await);

    // The other record's own MAC.
    let mut mixed = item.clone();
    let binding = bench.item("KEY").await.unwrap();
    mixed.insert("mac".to_owned(), binding["mac"].clone());
    bench.plant(&sk, mixed).await;
    assert!(!bench.macs.pass(&found(&bench).await.attested()[0]).await);

    // Bytes and MAC of another record of the same kind.
    bench.plant("KEY", item).await;
    assert!(!bench.macs.pass(&found(&bench).await.attested()[1]).await);
}

#[tokio::test]
async fn a_record_without_a_mac_or_a_text_is_handed_out_and_never_passes() {
    let bench = Bench::bound().await;
    let item = bench.item("KEY").await.unwrap();
    for (attribute, with) in [
        ("mac", None),
        ("mac", Some(AttributeValue::S("text".to_owned()))),
        ("body", None),
        ("body", Some(AttributeValue::N("1".to_owned()))),
    ] {
        let mut changed = item.clone();
        changed.remove(attribute);
        changed.extend(with.map(|value| (attribute.to_owned(), value)));
        bench.plant("KEY", changed).await;
        let attested = found(&bench).await.attested();
        let empty = match attribute {
            "mac" => attested[1].mac().is_empty(),
            _ => attested[1].record().bytes.is_empty(),
        };
        assert!(empty && !bench.macs.pass(&attested[1]).await, "{attribute}");
    }
}

#[tokio::test]
async fn nothing_is_written_where_the_mac_cannot_be_made() {
    let bench = Bench::bound().await;
    let before = bench.everything().await;
    let audit = entry(AuditKind::CreateToken);
    let (store, workspace, gone) = (&bench.store, &bench.workspace, &bench.macs.gone);
    let job = JobRecord::new(Revision::new(1).unwrap(), false, Actor::Operator, NOW);
    let change = bench.change_of_key(bench.binding().await, 'b');
    let results = [
        store
            .put_token(workspace, &token("new"), gone, None, &audit)
            .await,
        store
            .bind_key(workspace, &change, gone, &audit)
            .await
            .map(drop),
        store.start_job(workspace, &job, gone, None, &audit).await,
    ];
    for result in results {
        assert!(
            matches!(result, Err(StoreError::Unattested(_))),
            "{result:?}"
        );
    }
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn tokens_are_listed_with_macs_that_pass() {
    let bench = Bench::open().await;
    let expiring = TokenRecord {
        expires_at: Some(NOW + Duration::DAY),
        ..token("second")
    };
    let audit = entry(AuditKind::CreateToken);
    bench
        .store
        .put_token(&bench.workspace, &expiring, &bench.macs.token, None, &audit)
        .await
        .unwrap();
    let page = bench.store.list_tokens(&bench.workspace, None, 10).await;
    let tokens = page.unwrap().items;
    assert_eq!(tokens.len(), 2);
    for (record, attested) in tokens {
        assert_eq!(attested.record().sk, format!("T#{}", record.id));
        assert!(bench.macs.pass(&attested).await);
    }
}

#[tokio::test]
async fn a_record_is_read_from_its_text_alone_and_not_where_it_is_contradicted() {
    let bench = Bench::bound().await;
    let expiring = TokenRecord {
        expires_at: Some(NOW + Duration::DAY),
        ..token("expiring")
    };
    let audit = entry(AuditKind::CreateToken);
    bench
        .store
        .put_token(&bench.workspace, &expiring, &bench.macs.token, None, &audit)
        .await
        .unwrap();
    let number = |text: &str| AttributeValue::N(text.to_owned());
    let (first, second) = (format!("T#{}", bench.token), format!("T#{}", expiring.id));
    let cases = [
        ("KEY", "revision", Some(number("2"))),
        ("KEY", "revision", Some(AttributeValue::S("1".to_owned()))),
        ("KEY", "revision", None),
        (first.as_str(), "ttl", Some(number("1"))),
        (second.as_str(), "ttl", Some(number("1"))),
        (second.as_str(), "ttl", None),
    ];
    for (sk, attribute, with) in cases {
        let item = bench.item(sk).await.unwrap();
        let mut changed = item.clone();
        changed.remove(attribute);
        changed.extend(with.clone().map(|value| (attribute.to_owned(), value)));
        bench.plant(sk, changed).await;
        let id = if sk == second {
            &expiring.id
        } else {
            &bench.token
        };
        let wanted = Wanted {
            token: id,
            ..bench.wanted()
        };
        let result = bench.read(wanted).await;
        assert!(
            matches!(result, Err(StoreError::Broken(_))),
            "{sk} with {attribute} = {with:?}: {result:?}"
        );
        bench.plant(sk, item).await;
    }
    // Attributes of a record as it might be written beside its body say nothing.
    let mut item = bench.item("KEY").await.unwrap();
    let other = AttributeValue::S(key('c').to_string());
    item.insert("current".to_owned(), other);
    bench.plant("KEY", item).await;
    assert_eq!(bench.binding().await.current, Some(key('a')));
}
