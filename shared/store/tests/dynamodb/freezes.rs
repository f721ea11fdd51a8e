//! The broker's own switch.

use crate::harness::*;
use store::*;

async fn set(bench: &Bench, freeze: &Freeze, read: Option<&Freeze>) -> Result<(), StoreError> {
    let audit = entry(AuditKind::Freeze);
    bench
        .store
        .set_freeze(&bench.workspace, freeze, read, None, &audit)
        .await
}

async fn now(bench: &Bench) -> Option<Freeze> {
    bench.read(bench.wanted()).await.unwrap().freeze
}

#[tokio::test]
async fn a_freeze_is_read_back_and_so_is_a_thaw() {
    let bench = Bench::bound().await;
    for (frozen, reason) in [(true, "drill"), (false, "over")] {
        let read = now(&bench).await;
        let freeze = freeze(frozen, reason);
        set(&bench, &freeze, read.as_ref()).await.unwrap();
        assert_eq!(now(&bench).await, Some(freeze));
    }
    // The opening, the binding, the freeze and the thaw.
    assert_eq!(bench.items("audit").await.len(), 4);
}

#[tokio::test]
async fn a_thaw_does_not_end_a_freeze_that_came_after_the_one_that_was_read() {
    let bench = Bench::bound().await;
    let thaw = freeze(false, "over");
    let (first, second) = (
        freeze(true, "drill"),
        Freeze {
            since: LATER,
            ..freeze(true, "incident")
        },
    );
    set(&bench, &first, None).await.unwrap();
    let read = now(&bench).await;
    set(&bench, &second, None).await.unwrap();
    let before = bench.everything().await;
    for read in [None, read.as_ref()] {
        let result = set(&bench, &thaw, read).await;
        bench.refused(result, Which::Frozen, &before).await;
    }
    set(&bench, &thaw, Some(&second)).await.unwrap();
    // What was read as frozen is not thawed a second time, even in the same moment.
    assert_eq!(thaw.since, first.since);
    for read in [&second, &first] {
        let again = set(&bench, &thaw, Some(read)).await;
        assert_eq!(conflict(again), Which::Frozen);
    }
}

#[tokio::test]
async fn a_freeze_lands_whatever_is_there() {
    let bench = Bench::bound().await;
    bench.plant("FREEZE", Item::new()).await;
    let freeze = freeze(true, "incident");
    set(&bench, &freeze, None).await.unwrap();
    assert_eq!(now(&bench).await, Some(freeze));
}

#[tokio::test]
async fn nobody_whose_token_is_gone_freezes_or_thaws() {
    let bench = Bench::bound().await;
    set(&bench, &freeze(true, "drill"), None).await.unwrap();
    let read = now(&bench).await;
    bench.lose_token().await;
    let before = bench.everything().await;
    for frozen in [true, false] {
        let result = set(&bench, &freeze(frozen, "late"), read.as_ref()).await;
        bench.refused(result, Which::Token, &before).await;
    }
}
