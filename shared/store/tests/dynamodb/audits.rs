//! Audit records.

use crate::harness::*;
use store::*;
use time::{Duration, macros::date};

#[tokio::test]
async fn a_use_is_recorded_before_it_is_done_and_finished_once() {
    let bench = Bench::open().await;
    let begun = entry(AuditKind::Use);
    bench
        .store
        .begin_use(&bench.workspace, &begun)
        .await
        .unwrap();
    let read = || bench.store.read_receipt(&bench.workspace, &begun.id);
    assert_eq!(
        read().await.unwrap(),
        Some(AuditRecord {
            entry: begun.clone(),
            outcome: None
        })
    );

    bench
        .store
        .finish_use(&bench.workspace, &begun.id, &outcome("ok"))
        .await
        .unwrap();
    let finished = AuditRecord {
        entry: begun.clone(),
        outcome: Some(outcome("ok")),
    };
    assert_eq!(read().await.unwrap(), Some(finished.clone()));

    let other = bench
        .store
        .finish_use(&bench.workspace, &begun.id, &outcome("upstream_timeout"))
        .await;
    assert_eq!(conflict(other), Which::Audit);
    assert_eq!(read().await.unwrap(), Some(finished));
}

#[tokio::test]
async fn a_repeated_attempt_of_the_same_record_or_outcome_is_no_conflict() {
    let bench = Bench::open().await;
    let begun = entry(AuditKind::Use);
    for _ in 0..2 {
        bench
            .store
            .begin_use(&bench.workspace, &begun)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        bench
            .store
            .finish_use(&bench.workspace, &begun.id, &outcome("ok"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_record_is_not_overwritten_by_another_of_its_id() {
    let bench = Bench::open().await;
    let begun = entry(AuditKind::Use);
    bench
        .store
        .begin_use(&bench.workspace, &begun)
        .await
        .unwrap();
    let other = AuditEntry {
        method: Some("GET".to_owned()),
        ..begun.clone()
    };
    assert_eq!(
        conflict(bench.store.begin_use(&bench.workspace, &other).await),
        Which::Audit
    );
    let found = bench
        .store
        .read_receipt(&bench.workspace, &begun.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.entry, begun);
}

#[tokio::test]
async fn an_outcome_of_no_use_is_refused_and_makes_no_record() {
    let bench = Bench::open().await;
    let id = ReceiptId::new(NOW);
    assert_eq!(
        conflict(
            bench
                .store
                .finish_use(&bench.workspace, &id, &outcome("ok"))
                .await
        ),
        Which::Audit
    );
    assert_eq!(
        bench
            .store
            .read_receipt(&bench.workspace, &id)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_write_may_carry_its_outcome_in_its_own_record() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "x"));
    let record = AuditRecord {
        entry: entry(AuditKind::Put),
        outcome: Some(outcome("ok")),
    };
    bench
        .store
        .put_secret(&bench.workspace, &bench.first_put(&pay, &new), &record)
        .await
        .unwrap();
    let found = bench
        .store
        .read_receipt(&bench.workspace, &record.entry.id)
        .await
        .unwrap();
    assert_eq!(found, Some(record));
}

#[tokio::test]
async fn bare_records_survive_too() {
    let bench = Bench::open().await;
    let bare = AuditEntry {
        token: Actor::Operator,
        secret: None,
        version: None,
        destination: None,
        method: None,
        detail: Default::default(),
        ..entry(AuditKind::CheckKey)
    };
    bench
        .store
        .begin_use(&bench.workspace, &bare)
        .await
        .unwrap();
    let found = bench
        .store
        .read_receipt(&bench.workspace, &bare.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.entry, bare);
}

#[tokio::test]
async fn a_day_is_listed_in_the_order_of_its_ids_over_all_shards_in_pages() {
    let bench = Bench::empty().await;
    let mut expected = Vec::new();
    for n in 0..100 {
        let at = date!(2026 - 11 - 05).midnight().assume_utc() + Duration::minutes(n);
        let use_of_the_day = entry_at(AuditKind::Use, at);
        bench
            .store
            .begin_use(&bench.workspace, &use_of_the_day)
            .await
            .unwrap();
        expected.push(use_of_the_day.id);
    }
    let day_before = entry_at(
        AuditKind::Use,
        date!(2026 - 11 - 04)
            .with_hms(23, 59, 59)
            .unwrap()
            .assume_utc(),
    );
    bench
        .store
        .begin_use(&bench.workspace, &day_before)
        .await
        .unwrap();
    let shards: std::collections::BTreeSet<_> = expected.iter().map(ReceiptId::shard).collect();
    assert!(shards.len() > 8, "the ids lie in {} shards", shards.len());

    for limit in [1, 7, 100, 1000] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let day = date!(2026 - 11 - 05);
            let page = bench
                .store
                .list_audit(&bench.workspace, day, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.items.len() <= limit as usize);
            ids.extend(page.items.iter().map(|record| record.entry.id));
            let Some(next) = page.next else { break };
            after = Some(ReceiptId::parse(&next).unwrap());
        }
        assert_eq!(ids, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn a_record_lies_where_its_id_says() {
    let bench = Bench::empty().await;
    let begun = entry(AuditKind::Use);
    bench
        .store
        .begin_use(&bench.workspace, &begun)
        .await
        .unwrap();
    let items = bench.items("audit").await;
    let pk = AttributeValue::S(format!("W#acme#2026-11-05#{}", begun.id.shard()));
    assert_eq!(items[0].get("pk"), Some(&pk));
    assert_eq!(
        items[0].get("sk"),
        Some(&AttributeValue::S(begun.id.to_string()))
    );
}
