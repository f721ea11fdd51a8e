//! The wraps of a workspace: visited, and counted.

use crate::harness::*;
use store::*;

/// With `a`, `b` and `c`, of which `b` has three versions, one of them revoked, and `c`
/// is deleted.
async fn mixed() -> Bench {
    let bench = Bench::bound().await;
    for text in ["a", "b", "b", "b", "c", "d"] {
        bench.put(&name(text), text).await.unwrap();
    }
    bench
        .revoke(&bench.revocation_of(&name("b"), 1))
        .await
        .unwrap();
    bench.delete(&name("c")).await.unwrap();
    bench
}

async fn visited(bench: &Bench, part: WrapPart, limit: u32) -> Vec<WrapItem> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (wraps, next) = bench
            .store
            .wraps(&bench.workspace, part, after.as_deref(), limit)
            .await
            .unwrap();
        assert!(wraps.len() <= limit as usize);
        found.extend(wraps);
        after = next;
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn every_wrap_is_visited_once_without_the_deleted_and_the_revoked() {
    let bench = mixed().await;
    for limit in [1, 2, 3, 200] {
        let heads = visited(&bench, WrapPart::Heads, limit).await;
        let names: Vec<_> = heads.iter().map(|wrap| wrap.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"], "limit {limit}");
        let earlier = visited(&bench, WrapPart::Earlier, limit).await;
        let expected = WrapItem {
            name: name("b"),
            version: version(2),
            place: WrapPlace::Earlier,
            wrapped: stored(version(2), "b").wrapped,
            policy: stored(version(2), "b").policy,
        };
        assert_eq!(earlier, [expected], "limit {limit}");
    }
    let head = bench.live(&name("b")).await;
    let expected = WrapItem {
        name: name("b"),
        version: version(3),
        place: WrapPlace::Head(head.revision),
        wrapped: head.stored.wrapped,
        policy: head.stored.policy,
    };
    let heads = visited(&bench, WrapPart::Heads, 200).await;
    assert_eq!(heads[1], expected);
}

#[tokio::test]
async fn wraps_are_counted_by_key_and_material() {
    let bench = mixed().await;
    let (b, other) = (bench.live(&name("b")).await, rewrapped("other"));
    let change = bench.policy_of(&b, &other);
    bench.change_policy(&change).await.unwrap();
    let counts = bench.store.count_wraps(&bench.workspace, 1000).await;
    let one = |digit, material: Option<&str>, secrets, versions| WrapCount {
        key: key(digit),
        material: material.map(str::to_owned),
        secrets,
        versions,
    };
    let expected = WrapCounts {
        by_key: vec![one('a', Some("material"), 2, 3), one('b', None, 1, 1)],
        complete: true,
    };
    assert_eq!(counts.unwrap(), expected);
    // Four heads, of which one is a tombstone, and two earlier versions.
    for (limit, complete) in [(0, false), (1, false), (5, false), (7, true)] {
        let counts = bench.store.count_wraps(&bench.workspace, limit).await;
        assert_eq!(counts.unwrap().complete, complete, "limit {limit}");
    }
}

#[tokio::test]
async fn the_wraps_of_another_workspace_are_not_among_them() {
    let bench = mixed().await;
    let other = envelope::WorkspaceId::parse("acme-2").unwrap();
    for part in [WrapPart::Heads, WrapPart::Earlier] {
        let found = bench.store.wraps(&other, part, None, 10).await.unwrap();
        assert_eq!(found, (Vec::new(), None));
    }
    let counts = bench.store.count_wraps(&other, 10).await.unwrap();
    assert!(counts.complete && counts.by_key.is_empty());
}
