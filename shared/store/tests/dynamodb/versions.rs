//! No version is lost, no number is used twice.

use crate::harness::*;
use futures_util::future::join_all;
use std::{collections::BTreeMap, sync::Arc};
use store::*;

const AT_ONCE: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn of_puts_at_once_each_lands_whole_under_a_number_of_its_own_or_conflicts() {
    let bench = Arc::new(Bench::bound().await);
    let pay = name("pay");
    let puts = (0..AT_ONCE).map(|n| {
        let (bench, pay, value) = (Arc::clone(&bench), pay.clone(), format!("value {n}"));
        tokio::spawn(async move { (bench.put(&pay, &value).await, value) })
    });
    let results = join_all(puts).await.into_iter().map(Result::unwrap);

    let mut acknowledged = BTreeMap::new();
    for (result, value) in results {
        match result {
            Ok(number) => assert!(
                acknowledged.insert(number, value).is_none(),
                "{number} was given twice"
            ),
            Err(error) => assert!(
                matches!(error, StoreError::Conflict(Which::Head)),
                "{error:?}"
            ),
        }
    }
    assert!(!acknowledged.is_empty());
    for (number, value) in &acknowledged {
        let found = bench.version(&pay, number.number().into()).await;
        assert_eq!(
            found.as_ref(),
            Some(&stored(*number, value)),
            "version {number} was lost"
        );
    }
    let numbers: Vec<_> = acknowledged
        .keys()
        .map(|number| number.number() as usize)
        .collect();
    assert_eq!(numbers, (1..=acknowledged.len()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_at_once_that_are_repeated_until_they_land_make_every_number_once() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    let landed = join_all((0..AT_ONCE).map(|n| {
        let (bench, pay) = (&bench, &pay);
        async move {
            let value = format!("value {n}");
            loop {
                match bench.put(pay, &value).await {
                    Ok(number) => return (number, value),
                    Err(StoreError::Conflict(Which::Head)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }))
    .await;
    let landed: BTreeMap<_, _> = landed.into_iter().collect();
    let numbers: Vec<_> = landed
        .keys()
        .map(|number| number.number() as usize)
        .collect();
    assert_eq!(numbers, (1..=AT_ONCE).collect::<Vec<_>>());
    for (number, value) in landed {
        assert_eq!(
            bench.version(&pay, number.number().into()).await,
            Some(stored(number, &value))
        );
    }
    // The opening, the binding, and one for each put that landed.
    assert_eq!(bench.items("audit").await.len(), AT_ONCE + 2);
}

#[tokio::test]
async fn a_deleted_secret_leaves_its_last_number_and_nothing_sealed() {
    let bench = Bench::bound().await;
    let (pay, other) = (name("pay"), name("pay.eu"));
    for value in ["one", "two", "three"] {
        bench.put(&pay, value).await.unwrap();
        bench.put(&other, value).await.unwrap();
    }
    bench.delete(&pay).await.unwrap();
    let tombstone = Tombstone {
        last: version(3),
        revision: Revision::new(4).unwrap(),
        deleted_at: NOW,
    };
    assert_eq!(bench.head(&pay).await, Some(Head::Deleted(tombstone)));
    let of_pay = |item: &&Item| item.get("name") == Some(&AttributeValue::S("pay".to_owned()));
    let items = bench.items("broker").await;
    assert_eq!(
        items.iter().filter(of_pay).count(),
        1,
        "earlier versions were left"
    );
    assert!(
        !items
            .iter()
            .filter(of_pay)
            .any(|item| item.contains_key("sealed"))
    );
    for number in 1..=3 {
        assert!(
            bench.version(&other, number).await.is_some(),
            "another secret's version was deleted"
        );
    }
}

#[tokio::test]
async fn a_number_is_not_used_again_after_a_deletion() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    bench.delete(&pay).await.unwrap();
    assert_eq!(bench.put(&pay, "three").await.unwrap(), version(3));
    assert_eq!(bench.put(&pay, "four").await.unwrap(), version(4));
    assert_eq!(
        bench.version(&pay, 2).await,
        None,
        "a tombstone is not archived as a version"
    );
    assert_eq!(
        bench.version(&pay, 3).await,
        Some(stored(version(3), "three"))
    );
    // A put that never saw the tombstone may not begin at 1 again.
    let new = stored(version(1), "late");
    let put = bench.first_put(&pay, &new);
    let late = bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await;
    assert_eq!(conflict(late), Which::Head);
}

#[tokio::test]
async fn a_deletion_of_a_head_that_moved_conflicts() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let stamp = bench.head(&pay).await.unwrap().stamp();
    bench.put(&pay, "two").await.unwrap();
    let before = bench.everything().await;
    let result = bench
        .store
        .delete_secret(
            &bench.workspace,
            &pay,
            &stamp,
            None,
            &entry(AuditKind::Delete),
        )
        .await;
    assert_eq!(conflict(result), Which::Head);
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_finished_by_deleting_again() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    // More than one batch of deletions takes.
    for n in 1..=60 {
        bench.put(&pay, &n.to_string()).await.unwrap();
    }
    let archived = bench.item("V#pay#0000007").await.unwrap();
    bench.delete(&pay).await.unwrap();
    let done = bench.everything().await;
    bench.plant("V#pay#0000007", archived).await;
    assert_ne!(bench.everything().await, done);
    bench.delete(&pay).await.unwrap();
    assert_eq!(
        bench.everything().await,
        done,
        "the rest is deleted, and no second tombstone or audit record is written"
    );
}

#[tokio::test]
async fn finishing_a_deletion_spares_what_was_put_after_it() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.delete(&pay).await.unwrap();
    let tombstone = bench.head(&pay).await.unwrap().stamp();
    bench.put(&pay, "two").await.unwrap();
    bench.put(&pay, "three").await.unwrap();
    let before = bench.everything().await;
    bench
        .store
        .delete_secret(
            &bench.workspace,
            &pay,
            &tombstone,
            None,
            &entry(AuditKind::Delete),
        )
        .await
        .unwrap();
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn secrets_are_listed_by_name_in_pages_without_the_deleted_ones() {
    let bench = Bench::bound().await;
    for text in ["a", "b", "c", "d", "e", "f", "g"] {
        bench.put(&name(text), text).await.unwrap();
    }
    bench.put(&name("c"), "again").await.unwrap();
    for text in ["b", "d", "g"] {
        bench.delete(&name(text)).await.unwrap();
    }
    for limit in 1..=8 {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = bench
                .store
                .list_secrets(&bench.workspace, None, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.items.len() <= limit as usize);
            names.extend(page.items.iter().map(|item| item.name.to_string()));
            let Some(next) = page.next else { break };
            after = Some(name(&next));
        }
        assert_eq!(names, ["a", "c", "e", "f"], "limit {limit}");
    }
    let page = bench
        .store
        .list_secrets(&bench.workspace, None, Some(&name("a")), 1)
        .await
        .unwrap();
    let summary = SecretSummary {
        name: name("c"),
        version: version(2),
        wrapped_by: key('a'),
        material: Some("material".to_owned()),
        policy: stored(version(2), "").policy,
        updated_at: NOW,
        expires_at: stored(version(2), "").expires_at,
        revision: Revision::new(2).unwrap(),
    };
    assert_eq!(page.items, [summary]);
}

#[tokio::test]
async fn a_long_row_of_deleted_secrets_does_not_end_the_list() {
    let bench = Bench::bound().await;
    for n in 10..60 {
        bench.put(&name(&format!("a{n}")), "x").await.unwrap();
        bench.delete(&name(&format!("a{n}"))).await.unwrap();
    }
    bench.put(&name("z"), "x").await.unwrap();
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bench
            .store
            .list_secrets(&bench.workspace, None, after.as_ref(), 1)
            .await
            .unwrap();
        found.extend(page.items);
        pages += 1;
        let Some(next) = page.next else { break };
        after = Some(name(&next));
    }
    assert_eq!(found.len(), 1);
    assert!(pages > 1, "one page asks a bounded number of times");
}
