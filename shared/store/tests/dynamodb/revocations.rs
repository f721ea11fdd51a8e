//! Earlier versions that are revoked, and the list of versions.

use crate::harness::*;
use store::*;

async fn three() -> Bench {
    let bench = Bench::bound().await;
    for value in ["one", "two", "three"] {
        bench.put(&name("pay"), value).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn a_revoked_version_has_lost_its_sealed_bytes_and_its_wrap_and_says_so() {
    let bench = three().await;
    let pay = name("pay");
    bench.revoke(&bench.revocation_of(&pay, 2)).await.unwrap();
    let wanted = Wanted {
        secret: Some(&pay),
        version: Some(version(2)),
        ..bench.wanted()
    };
    let revoked = EarlierVersion::Revoked {
        version: version(2),
        revoked_at: LATER,
    };
    assert_eq!(bench.read(wanted).await.unwrap().version, Some(revoked));
    let item = bench.item("V#pay#0000002").await.unwrap();
    for value in item.values() {
        assert!(!value.is_b(), "bytes were left: {value:?}");
    }
    assert_eq!(
        bench.version(&pay, 1).await,
        Some(stored(version(1), "one"))
    );
    assert_eq!(
        bench.put(&pay, "four").await.unwrap(),
        version(4),
        "its number stays used"
    );
}

#[tokio::test]
async fn what_is_not_an_earlier_version_that_is_stored_is_not_revoked() {
    let bench = three().await;
    let pay = name("pay");
    bench.revoke(&bench.revocation_of(&pay, 2)).await.unwrap();
    bench.put(&name("other"), "x").await.unwrap();
    let before = bench.everything().await;
    for (number, which) in [(2, Which::Version), (3, Which::Head), (4, Which::Version)] {
        let result = bench.revoke(&bench.revocation_of(&pay, number)).await;
        bench.refused(result, which, &before).await;
    }
    let result = bench.revoke(&bench.revocation_of(&name("none"), 1)).await;
    bench.refused(result, Which::Head, &before).await;

    bench.delete(&pay).await.unwrap();
    let before = bench.everything().await;
    let result = bench.revoke(&bench.revocation_of(&pay, 1)).await;
    bench.refused(result, Which::Head, &before).await;
}

#[tokio::test]
async fn the_current_version_is_not_revoked_even_where_an_archive_of_it_lies_there() {
    let bench = three().await;
    let second = bench.item("V#pay#0000002").await.unwrap();
    bench.plant("V#pay#0000003", second).await;
    let before = bench.everything().await;
    let result = bench.revoke(&bench.revocation_of(&name("pay"), 3)).await;
    bench.refused(result, Which::Head, &before).await;
}

#[tokio::test]
async fn nobody_whose_token_is_gone_revokes_or_deletes_and_a_freeze_stops_neither() {
    let bench = three().await;
    let pay = name("pay");
    bench.freeze(true).await;
    bench.revoke(&bench.revocation_of(&pay, 1)).await.unwrap();
    bench.lose_token().await;
    let before = bench.everything().await;
    let result = bench.revoke(&bench.revocation_of(&pay, 2)).await;
    bench.refused(result, Which::Token, &before).await;
    let result = bench.delete(&pay).await;
    bench.refused(result, Which::Token, &before).await;
}

#[tokio::test]
async fn a_frozen_workspaces_secrets_can_be_deleted() {
    let bench = three().await;
    bench.freeze(true).await;
    bench.delete(&name("pay")).await.unwrap();
}

#[tokio::test]
async fn the_earlier_versions_are_listed_by_number_in_pages_revoked_ones_included() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    for n in 1..=12 {
        bench.put(&pay, &n.to_string()).await.unwrap();
        bench.put(&name("pay.eu"), "other").await.unwrap();
    }
    bench.promote_to(&pay, 5).await;
    bench.revoke(&bench.revocation_of(&pay, 2)).await.unwrap();
    let head = bench.live(&pay).await;
    let expected: Vec<u32> = (1..=12).filter(|n| *n != 5).collect();
    for limit in [1, 3, 11, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = bench
                .store
                .list_versions(&bench.workspace, &head, after, limit)
                .await
                .unwrap();
            assert!(page.items.len() <= limit as usize);
            found.extend(page.items);
            let Some(next) = page.next else { break };
            after = Some(version(next.parse().unwrap()));
        }
        let numbers: Vec<_> = found.iter().map(|one| one.version.number()).collect();
        assert_eq!(numbers, expected, "limit {limit}");
        let first = stored(version(1), "1");
        let summary = VersionSummary {
            version: version(1),
            put_at: first.put_at,
            expires_at: first.expires_at,
            wrapped_by: first.wrapped.key,
            material: first.wrapped.material,
            revoked_at: None,
        };
        assert_eq!(found[0], summary);
        assert_eq!(found[1].revoked_at, Some(LATER));
    }
}
