//! Wraps moved to another KEK.

use crate::harness::*;
use envelope::WrappedDataKey;
use store::*;

async fn wraps(bench: &Bench, part: WrapPart) -> Vec<WrapItem> {
    let found = bench.store.wraps(&bench.workspace, part, None, 200).await;
    found.unwrap().0
}

async fn moved(bench: &Bench, moves: &[(&WrapItem, &WrappedDataKey)]) -> Vec<Moved> {
    bench
        .store
        .move_wraps(&bench.workspace, Revision::new(1).unwrap(), moves)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_move_changes_the_wrap_and_a_heads_revision_and_nothing_else() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    let (head, first) = (
        bench.live(&pay).await,
        bench.version(&pay, 1).await.unwrap(),
    );
    let audits = bench.items("audit").await.len();

    let (to_head, to_first) = (rewrapped("two"), rewrapped("one"));
    let (heads, earlier) = (
        wraps(&bench, WrapPart::Heads).await,
        wraps(&bench, WrapPart::Earlier).await,
    );
    let moves = [(&heads[0], &to_head), (&earlier[0], &to_first)];
    assert_eq!(moved(&bench, &moves).await, [Moved::Yes, Moved::Yes]);
    let expected = LiveHead {
        stored: StoredVersion {
            wrapped: to_head.clone(),
            ..head.stored.clone()
        },
        revision: head.revision.next(),
        ..head
    };
    assert_eq!(bench.live(&pay).await, expected);
    let expected = StoredVersion {
        wrapped: to_first.clone(),
        ..first
    };
    assert_eq!(bench.version(&pay, 1).await, Some(expected));
    assert_eq!(bench.items("audit").await.len(), audits);
    assert_eq!(
        moved(&bench, &moves).await,
        [Moved::Changed, Moved::Changed],
        "moved twice"
    );
}

#[tokio::test]
async fn of_many_moves_those_that_changed_meanwhile_are_told_and_the_others_move() {
    let bench = Bench::bound().await;
    const MANY: usize = 120;
    let names: Vec<_> = (100..100 + MANY).map(|n| name(&format!("s{n}"))).collect();
    for name in &names {
        bench.put(name, "x").await.unwrap();
    }
    let items = wraps(&bench, WrapPart::Heads).await;
    assert_eq!(items.len(), MANY);
    for n in [0, 7, 49, 50, 119] {
        bench.put(&names[n], "y").await.unwrap();
    }
    bench.delete(&names[60]).await.unwrap();
    let new: Vec<_> = (0..MANY).map(|n| rewrapped(&n.to_string())).collect();
    let moves: Vec<_> = items.iter().zip(&new).collect();
    let result = moved(&bench, &moves).await;
    for (n, name) in names.iter().enumerate() {
        let changed = [0, 7, 49, 50, 60, 119].contains(&n);
        assert_eq!(result[n] == Moved::Changed, changed, "{n}");
        if let Some(Head::Live(head)) = bench.head(name).await {
            assert_eq!(head.stored.wrapped == new[n], !changed, "{n}");
        }
    }
    assert_eq!(bench.items("audit").await.len(), 2 + MANY + 5 + 1);
}

#[tokio::test]
async fn a_head_whose_wrap_or_revision_alone_is_another_is_not_moved() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let item = wraps(&bench, WrapPart::Heads).await.remove(0);
    let new = rewrapped("one");
    let (WrapPlace::Head(revision), before) = (item.place, bench.everything().await) else {
        panic!("no head");
    };
    let other_wrap = WrapItem {
        wrapped: rewrapped("other"),
        ..item.clone()
    };
    let other_revision = WrapItem {
        place: WrapPlace::Head(revision.next()),
        ..item.clone()
    };
    for other in [other_wrap, other_revision] {
        assert_eq!(moved(&bench, &[(&other, &new)]).await, [Moved::Changed]);
        assert_eq!(bench.everything().await, before);
    }
    assert_eq!(moved(&bench, &[(&item, &new)]).await, [Moved::Yes]);
}

#[tokio::test]
async fn a_revoked_version_does_not_get_a_wrap_back() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    let item = wraps(&bench, WrapPart::Earlier).await.remove(0);
    bench.revoke(&bench.revocation_of(&pay, 1)).await.unwrap();
    let before = bench.everything().await;
    let new = rewrapped("one");
    assert_eq!(moved(&bench, &[(&item, &new)]).await, [Moved::Changed]);
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn a_wrap_that_is_moved_twice_in_one_call_is_moved_once() {
    let bench = Bench::bound().await;
    bench.put(&name("pay"), "one").await.unwrap();
    let item = wraps(&bench, WrapPart::Heads).await.remove(0);
    let (a, b) = (rewrapped("a"), rewrapped("b"));
    let result = moved(&bench, &[(&item, &a), (&item, &b)]).await;
    assert_eq!(result, [Moved::Yes, Moved::Changed]);
    assert_eq!(moved(&bench, &[]).await, []);
}

#[tokio::test]
async fn fifty_of_the_largest_secrets_move_in_one_call() {
    let bench = Bench::bound().await;
    let policy = "p".repeat(16 * 1024);
    for n in 10..60 {
        let new = StoredVersion {
            sealed: envelope::SealedSecret::from_bytes(vec![7; 64 * 1024 + 62]),
            policy: policy.clone(),
            ..stored(version(1), "x")
        };
        let name = name(&format!("s{n}"));
        let put = bench.first_put(&name, &new);
        let audit = entry(AuditKind::Put);
        bench
            .store
            .put_secret(&bench.workspace, &put, &audit)
            .await
            .unwrap();
    }
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let found = bench
            .store
            .wraps(&bench.workspace, WrapPart::Heads, after.as_deref(), 200);
        let (wraps, next) = found.await.unwrap();
        items.extend(wraps);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(items.len(), 50);
    let new = WrappedDataKey {
        ciphertext: vec![9; 6144],
        ..rewrapped("x")
    };
    let moves: Vec<_> = items.iter().map(|item| (item, &new)).collect();
    assert_eq!(moved(&bench, &moves).await, [Moved::Yes; 50]);
}

#[tokio::test]
async fn nothing_is_moved_under_a_key_that_was_replaced_meanwhile() {
    let bench = Bench::bound().await;
    for text in ["one", "two"] {
        bench.put(&name("pay"), text).await.unwrap();
    }
    let heads = wraps(&bench, WrapPart::Heads).await;
    let earlier = wraps(&bench, WrapPart::Earlier).await;
    let to = rewrapped("two");
    let before = bench.everything().await;
    for revision in [0, 2] {
        let moved = bench
            .store
            .move_wraps(
                &bench.workspace,
                Revision::new(revision).unwrap(),
                &[(&heads[0], &to), (&earlier[0], &to)],
            )
            .await;
        assert!(
            matches!(moved, Err(StoreError::Conflict(Which::Binding))),
            "{moved:?}"
        );
    }
    assert_eq!(bench.everything().await, before);
}
