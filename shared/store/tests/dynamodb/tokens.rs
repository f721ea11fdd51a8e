//! Tokens.

use crate::harness::*;
use std::collections::BTreeSet;
use store::*;
use time::Duration;

#[tokio::test]
async fn a_token_is_read_back_as_it_was_made() {
    let bench = Bench::open().await;
    let patterns = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| SecretPattern::parse(text).unwrap())
            .collect()
    };
    let full = TokenRecord {
        permissions: [Permission::UseSecrets, Permission::Read].into(),
        secrets: Some(patterns(&["pay", "mail.*"])),
        expires_at: Some(NOW + Duration::DAY),
        created_by: Some(bench.token.clone()),
        label: Some("ci".to_owned()),
        ..token("full")
    };
    let bare = TokenRecord {
        permissions: BTreeSet::new(),
        secrets: Some(Vec::new()),
        ..token("bare")
    };
    for made in [full, bare] {
        bench
            .store
            .put_token(
                &bench.workspace,
                &made,
                &bench.macs.token,
                None,
                &entry(AuditKind::CreateToken),
            )
            .await
            .unwrap();
        let wanted = Wanted {
            token: &made.id,
            ..bench.wanted()
        };
        assert_eq!(bench.read(wanted).await.unwrap().token, Some(made));
    }
}

#[tokio::test]
async fn a_token_is_not_overwritten() {
    let bench = Bench::open().await;
    let before = bench.everything().await;
    let other = TokenRecord {
        label: Some("other".to_owned()),
        ..token("first")
    };
    let result = bench
        .store
        .put_token(
            &bench.workspace,
            &other,
            &bench.macs.token,
            None,
            &entry(AuditKind::CreateToken),
        )
        .await;
    assert_eq!(conflict(result), Which::Exists);
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn a_deleted_token_is_unknown_at_once_and_a_second_deletion_says_that_there_was_none() {
    let bench = Bench::open().await;
    let audit = entry(AuditKind::DeleteToken);
    assert!(
        bench
            .store
            .delete_token(&bench.workspace, &bench.token, None, &audit)
            .await
            .unwrap()
    );
    assert_eq!(bench.read(bench.wanted()).await.unwrap().token, None);
    let before = bench.everything().await;
    let audit = entry(AuditKind::DeleteToken);
    assert!(
        !bench
            .store
            .delete_token(&bench.workspace, &bench.token, None, &audit)
            .await
            .unwrap()
    );
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn a_token_may_be_swept_a_day_after_it_expired_and_never_where_it_does_not() {
    let bench = Bench::open().await;
    let expiring = TokenRecord {
        expires_at: Some(NOW),
        ..token("expiring")
    };
    bench
        .store
        .put_token(
            &bench.workspace,
            &expiring,
            &bench.macs.token,
            None,
            &entry(AuditKind::CreateToken),
        )
        .await
        .unwrap();
    let item = bench.item(&format!("T#{}", expiring.id)).await.unwrap();
    let swept = AttributeValue::N((NOW + Duration::DAY).unix_timestamp().to_string());
    assert_eq!(item.get("ttl"), Some(&swept));
    assert!(
        !bench
            .item(&format!("T#{}", bench.token))
            .await
            .unwrap()
            .contains_key("ttl")
    );
}

#[tokio::test]
async fn tokens_are_listed_by_id_in_pages() {
    let bench = Bench::open().await;
    let mut expected = vec![bench.token.clone()];
    for n in 0..10 {
        let made = token(&n.to_string());
        bench
            .store
            .put_token(
                &bench.workspace,
                &made,
                &bench.macs.token,
                None,
                &entry(AuditKind::CreateToken),
            )
            .await
            .unwrap();
        expected.push(made.id);
    }
    expected.sort();
    for limit in [1, 3, 11, 100] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = bench
                .store
                .list_tokens(&bench.workspace, after.as_ref(), limit)
                .await
                .unwrap();
            ids.extend(page.items.into_iter().map(|(token, _)| token.id));
            let Some(next) = page.next else { break };
            after = Some(TokenId::parse(&next).unwrap());
        }
        assert_eq!(ids, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn nobody_whose_token_is_gone_makes_or_deletes_another() {
    let bench = Bench::open().await;
    let (store, workspace, mac) = (&bench.store, &bench.workspace, &bench.macs.token);
    let (second, third) = (token("second"), token("third"));
    let audit = entry(AuditKind::CreateToken);
    store
        .put_token(workspace, &second, mac, None, &audit)
        .await
        .unwrap();
    bench.lose_token().await;
    let before = bench.everything().await;
    let audit = entry(AuditKind::CreateToken);
    let result = store.put_token(workspace, &third, mac, None, &audit).await;
    bench.refused(result, Which::Token, &before).await;
    let result = store
        .delete_token(workspace, &second.id, None, &audit)
        .await;
    bench.refused(result, Which::Token, &before).await;
}
