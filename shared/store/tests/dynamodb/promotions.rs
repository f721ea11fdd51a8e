//! An earlier version becomes the current one again.

use crate::harness::*;
use store::*;

/// With three versions of `pay`.
async fn three() -> Bench {
    let bench = Bench::bound().await;
    for value in ["one", "two", "three"] {
        bench.put(&name("pay"), value).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn a_promoted_version_is_the_head_under_its_own_number_and_the_former_head_is_archived() {
    let bench = three().await;
    let pay = name("pay");
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let wrapped = rewrapped("one");
    let promotion = bench.promotion_of(&head, &first, &wrapped);
    let revision = bench.promote(&promotion).await.unwrap();
    let expected = LiveHead {
        stored: StoredVersion {
            wrapped,
            ..first.clone()
        },
        revision: head.revision.next(),
        updated_at: LATER,
        ..head.clone()
    };
    assert_eq!(revision, expected.revision);
    assert_eq!(bench.live(&pay).await, expected);
    assert_eq!((expected.first, expected.last), (version(1), version(3)));
    assert_eq!(bench.version(&pay, 3).await, Some(head.stored));
    assert!(bench.item("V#pay#0000001").await.is_none(), "it lies twice");
}

#[tokio::test]
async fn a_put_after_a_promotion_uses_no_number_again_and_loses_no_version() {
    let bench = three().await;
    let pay = name("pay");
    bench.promote_to(&pay, 1).await;
    assert_eq!(bench.put(&pay, "four").await.unwrap(), version(4));
    for number in 1..=4 {
        assert!(bench.version(&pay, number).await.is_some(), "{number}");
    }
    // Forward and back again.
    bench.promote_to(&pay, 2).await;
    bench.promote_to(&pay, 3).await;
    bench.promote_to(&pay, 4).await;
    assert_eq!(bench.put(&pay, "five").await.unwrap(), version(5));
    for number in 1..=5 {
        let found = bench.version(&pay, number).await.unwrap();
        assert_eq!(found.version, version(number));
    }
}

#[tokio::test]
async fn a_deletion_after_a_promotion_takes_the_later_versions_too_and_keeps_the_last_number() {
    let bench = three().await;
    let pay = name("pay");
    bench.promote_to(&pay, 1).await;
    bench.delete(&pay).await.unwrap();
    let stamp = bench.head(&pay).await.unwrap().stamp();
    assert_eq!((stamp.last, stamp.deleted), (version(3), true));
    for number in 1..=3 {
        let sk = format!("V#pay#{number:07}");
        assert!(bench.item(&sk).await.is_none(), "{sk} was left");
    }
    assert_eq!(bench.put(&pay, "four").await.unwrap(), version(4));
}

#[tokio::test]
async fn what_an_interrupted_deletion_left_is_neither_read_nor_promoted_nor_revoked() {
    let bench = three().await;
    let pay = name("pay");
    let second = bench.version(&pay, 2).await.unwrap();
    let left = bench.item("V#pay#0000002").await.unwrap();
    bench.delete(&pay).await.unwrap();
    bench.plant("V#pay#0000002", left).await;
    assert_eq!(bench.version(&pay, 2).await, None, "of a deleted secret");
    bench.put(&pay, "four").await.unwrap();
    assert_eq!(bench.version(&pay, 2).await, None, "of another's life");

    let (head, wrapped) = (bench.live(&pay).await, rewrapped("two"));
    assert_eq!((head.first, head.last), (version(4), version(4)));
    let before = bench.everything().await;
    let result = bench
        .promote(&bench.promotion_of(&head, &second, &wrapped))
        .await;
    bench.refused(result, Which::Version, &before).await;
    let result = bench.revoke(&bench.revocation_of(&pay, 2)).await;
    bench.refused(result, Which::Head, &before).await;
    let listed = bench
        .store
        .list_versions(&bench.workspace, &head, None, 10)
        .await;
    assert_eq!(listed.unwrap().items, []);
    // The next deletion takes it along.
    bench.delete(&pay).await.unwrap();
    assert!(bench.item("V#pay#0000002").await.is_none());
}

#[tokio::test]
async fn a_promotion_is_refused_where_anything_that_it_relies_on_moved() {
    let bench = three().await;
    let pay = name("pay");
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let wrapped = rewrapped("one");
    let promotion = bench.promotion_of(&head, &first, &wrapped);

    // The earlier version was re-wrapped meanwhile.
    let (wraps, _) = bench
        .store
        .wraps(&bench.workspace, WrapPart::Earlier, None, 10)
        .await
        .unwrap();
    let other = rewrapped("moved");
    let moved = bench
        .store
        .move_wraps(
            &bench.workspace,
            Revision::new(1).unwrap(),
            &[(&wraps[0], &other)],
        )
        .await;
    assert_eq!(moved.unwrap(), [Moved::Yes]);
    let before = bench.everything().await;
    let result = bench.promote(&promotion).await;
    bench.refused(result, Which::Version, &before).await;

    // The head moved as well, which outranks that.
    bench.put(&pay, "four").await.unwrap();
    let before = bench.everything().await;
    let result = bench.promote(&promotion).await;
    bench.refused(result, Which::Head, &before).await;

    bench.bind('b').await.unwrap();
    let before = bench.everything().await;
    let result = bench.promote(&promotion).await;
    bench.refused(result, Which::Binding, &before).await;

    bench.freeze(true).await;
    let before = bench.everything().await;
    let result = bench.promote(&promotion).await;
    bench.refused(result, Which::Frozen, &before).await;

    bench.lose_token().await;
    let before = bench.everything().await;
    let result = bench.promote(&promotion).await;
    bench.refused(result, Which::Token, &before).await;
}

#[tokio::test]
async fn a_promotion_over_a_head_that_moved_is_refused_for_that_alone() {
    let bench = three().await;
    let pay = name("pay");
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let wrapped = rewrapped("one");
    bench
        .change_policy(&bench.policy_of(&head, &wrapped))
        .await
        .unwrap();
    let before = bench.everything().await;
    let result = bench
        .promote(&bench.promotion_of(&head, &first, &wrapped))
        .await;
    bench.refused(result, Which::Head, &before).await;
}

#[tokio::test]
async fn a_promotion_never_overwrites_an_archived_version() {
    let bench = three().await;
    let pay = name("pay");
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let wrapped = rewrapped("one");
    let second = bench.item("V#pay#0000002").await.unwrap();
    bench.plant("V#pay#0000003", second).await;
    let before = bench.everything().await;
    let result = bench
        .promote(&bench.promotion_of(&head, &first, &wrapped))
        .await;
    bench.refused(result, Which::Head, &before).await;
}

#[tokio::test]
async fn the_current_version_a_revoked_one_and_one_that_never_was_are_not_promoted() {
    let bench = three().await;
    let pay = name("pay");
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let wrapped = rewrapped("one");
    bench.revoke(&bench.revocation_of(&pay, 1)).await.unwrap();
    let before = bench.everything().await;
    for promoted in [first, head.stored.clone(), stored(version(4), "four")] {
        let result = bench
            .promote(&bench.promotion_of(&head, &promoted, &wrapped))
            .await;
        bench.refused(result, Which::Version, &before).await;
    }
}
