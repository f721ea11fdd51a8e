//! What a put writes, and everything that it is conditional on.

use crate::harness::*;
use envelope::SealedSecret;
use store::*;
use time::Duration;

#[tokio::test]
async fn a_put_is_read_back_to_the_byte() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "one"));
    let put = bench.first_put(&pay, &new);
    let revision = bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await
        .unwrap();
    let expected = LiveHead {
        name: pay.clone(),
        stored: new.clone(),
        first: version(1),
        last: version(1),
        revision,
        created_at: NOW,
        updated_at: NOW,
    };
    assert_eq!(bench.head(&pay).await, Some(Head::Live(expected)));

    let later = NOW + Duration::HOUR;
    let second = StoredVersion {
        expires_at: None,
        form: ValueForm::Text,
        ..stored(version(2), "two")
    };
    let head = bench.head(&pay).await;
    let put = PutSecret {
        former: head.as_ref(),
        now: later,
        ..bench.first_put(&pay, &second)
    };
    bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await
        .unwrap();
    let head = bench.head(&pay).await.unwrap();
    let head = head.live().unwrap();
    assert_eq!(
        (head.created_at, head.updated_at, &head.stored),
        (NOW, later, &second)
    );
    assert_eq!(
        bench.version(&pay, 1).await,
        Some(new),
        "the former version is archived as it was"
    );
}

#[tokio::test]
async fn a_put_over_a_head_that_moved_conflicts_and_leaves_nothing_behind() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let head = bench.head(&pay).await;
    bench.put(&pay, "two").await.unwrap();
    let before = bench.everything().await;

    let over_the_first = stored(version(2), "late");
    let put = PutSecret {
        former: head.as_ref(),
        ..bench.first_put(&pay, &over_the_first)
    };
    refused(&bench, &put, Which::Head, &before).await;
    let over_nothing = stored(version(1), "late");
    refused(
        &bench,
        &bench.first_put(&pay, &over_nothing),
        Which::Head,
        &before,
    )
    .await;
}

#[tokio::test]
async fn a_put_over_a_head_that_was_only_rewrapped_or_given_a_policy_conflicts() {
    let bench = Bench::bound().await;
    let (pay, mail) = (name("pay"), name("mail"));
    bench.put(&pay, "one").await.unwrap();
    bench.put(&mail, "one").await.unwrap();
    let (pay_read, mail_read) = (bench.head(&pay).await, bench.head(&mail).await);

    let wrapped = rewrapped("one");
    let live = bench.live(&mail).await;
    let change = bench.policy_of(&live, &wrapped);
    bench.change_policy(&change).await.unwrap();
    let (store, workspace) = (&bench.store, &bench.workspace);
    let (wraps, _) = store
        .wraps(workspace, WrapPart::Heads, None, 10)
        .await
        .unwrap();
    let moved = store
        .move_wraps(
            workspace,
            Revision::new(1).unwrap(),
            &[(&wraps[1], &wrapped)],
        )
        .await;
    assert_eq!(moved.unwrap(), [Moved::Yes]);

    // Its archive would have the wrap that was read, which nothing would move again.
    let before = bench.everything().await;
    let second = stored(version(2), "two");
    for (name, former) in [(&pay, &pay_read), (&mail, &mail_read)] {
        let put = PutSecret {
            former: former.as_ref(),
            ..bench.first_put(name, &second)
        };
        refused(&bench, &put, Which::Head, &before).await;
    }
}

#[tokio::test]
async fn a_put_whose_number_does_not_follow_the_head_is_refused() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    let before = bench.everything().await;
    let second = stored(version(2), "x");
    refused(
        &bench,
        &bench.first_put(&pay, &second),
        Which::Head,
        &before,
    )
    .await;

    bench.put(&pay, "one").await.unwrap();
    let (head, before) = (bench.head(&pay).await, bench.everything().await);
    for number in [1, 3] {
        let new = stored(version(number), "x");
        let put = PutSecret {
            former: head.as_ref(),
            ..bench.first_put(&pay, &new)
        };
        refused(&bench, &put, Which::Head, &before).await;
    }
}

#[tokio::test]
async fn a_put_never_overwrites_an_archived_version() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let head = bench.head(&pay).await;
    let archived = bench.item("S#pay").await.unwrap();
    bench.plant("V#pay#0000001", archived).await;
    let before = bench.everything().await;
    let new = stored(version(2), "two");
    let put = PutSecret {
        former: head.as_ref(),
        ..bench.first_put(&pay, &new)
    };
    refused(&bench, &put, Which::Head, &before).await;
}

#[tokio::test]
async fn a_put_wrapped_under_a_binding_that_moved_is_refused() {
    let bench = Bench::bound().await;
    bench.bind('b').await.unwrap();
    let (pay, new, before) = (
        name("pay"),
        stored(version(1), "x"),
        bench.everything().await,
    );
    refused(
        &bench,
        &bench.first_put(&pay, &new),
        Which::Binding,
        &before,
    )
    .await;
}

#[tokio::test]
async fn a_put_into_a_frozen_workspace_is_refused_until_it_is_thawed() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "x"));
    bench.freeze(true).await;
    let before = bench.everything().await;
    refused(&bench, &bench.first_put(&pay, &new), Which::Frozen, &before).await;
    bench.freeze(false).await;
    bench.put(&pay, "x").await.unwrap();
}

#[tokio::test]
async fn a_freeze_that_does_not_say_whether_it_is_one_holds() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "x"));
    bench.plant("FREEZE", Item::new()).await;
    let before = bench.everything().await;
    refused(&bench, &bench.first_put(&pay, &new), Which::Frozen, &before).await;
}

#[tokio::test]
async fn a_put_with_a_token_that_is_gone_is_refused() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "x"));
    bench.lose_token().await;
    let before = bench.everything().await;
    refused(&bench, &bench.first_put(&pay, &new), Which::Token, &before).await;
}

#[tokio::test]
async fn a_put_whose_audit_record_cannot_be_written_does_not_happen() {
    let bench = Bench::bound().await;
    let (pay, new, audit) = (name("pay"), stored(version(1), "x"), entry(AuditKind::Use));
    bench
        .store
        .begin_use(&bench.workspace, &audit)
        .await
        .unwrap();
    let before = bench.everything().await;
    let result = bench
        .store
        .put_secret(&bench.workspace, &bench.first_put(&pay, &new), &audit)
        .await;
    assert_eq!(conflict(result), Which::Audit);
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn a_put_that_is_too_large_does_not_happen() {
    let bench = Bench::bound().await;
    let (pay, before) = (name("pay"), bench.everything().await);
    let new = StoredVersion {
        sealed: SealedSecret::from_bytes(vec![7; 401 * 1024]),
        ..stored(version(1), "x")
    };
    let put = bench.first_put(&pay, &new);
    let result = bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await;
    assert!(matches!(result, Err(StoreError::TooLarge)), "{result:?}");
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn the_first_of_several_failed_conditions_is_told() {
    let bench = Bench::bound().await;
    let (pay, new) = (name("pay"), stored(version(1), "x"));
    bench.put(&pay, "one").await.unwrap();
    let record = bench.remembered();
    let with_key = PutSecret {
        idempotency: Some(&record),
        ..bench.first_put(&pay, &new)
    };
    bench.plant("I#x", Item::new()).await;
    let elsewhere = name("elsewhere");
    let first = PutSecret {
        name: &elsewhere,
        ..with_key
    };
    bench
        .store
        .put_secret(&bench.workspace, &first, &entry(AuditKind::Put))
        .await
        .unwrap();
    bench.bind('b').await.unwrap();

    let before = bench.everything().await;
    refused(
        &bench,
        &bench.first_put(&pay, &new),
        Which::Binding,
        &before,
    )
    .await;
    refused(&bench, &with_key, Which::Idempotency, &before).await;
    bench.freeze(true).await;
    let before = bench.everything().await;
    refused(&bench, &with_key, Which::Frozen, &before).await;
    let gone = TokenId::of_token(b"gone");
    refused(
        &bench,
        &PutSecret {
            token: &gone,
            ..with_key
        },
        Which::Token,
        &before,
    )
    .await;
}

#[tokio::test]
async fn an_idempotency_key_counts_until_it_expires() {
    let bench = Bench::bound().await;
    let (pay, mail) = (name("pay"), name("mail"));
    let new = stored(version(1), "x");
    let record = bench.remembered();
    let put = PutSecret {
        idempotency: Some(&record),
        ..bench.first_put(&pay, &new)
    };
    bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await
        .unwrap();
    let wanted = Wanted {
        idempotency: Some(&record.id),
        ..bench.wanted()
    };
    let expected = IdempotencyRecord {
        expires_at: record.expires_at.replace_nanosecond(0).unwrap(),
        ..record.clone()
    };
    assert_eq!(
        bench.read(wanted).await.unwrap().idempotency,
        Some(expected)
    );

    let before = bench.everything().await;
    for (now, expired) in [
        (NOW, false),
        (record.expires_at - Duration::SECOND, false),
        (record.expires_at, true),
    ] {
        assert_eq!(record.is_expired(now), expired);
        let put = PutSecret {
            name: &mail,
            now,
            ..put
        };
        if expired {
            let next = IdempotencyRecord {
                expires_at: now + Duration::DAY,
                fingerprint: [2; 32],
                ..record.clone()
            };
            let put = PutSecret {
                idempotency: Some(&next),
                ..put
            };
            bench
                .store
                .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
                .await
                .unwrap();
            assert_eq!(
                bench
                    .read(wanted)
                    .await
                    .unwrap()
                    .idempotency
                    .unwrap()
                    .fingerprint,
                [2; 32]
            );
        } else {
            refused(&bench, &put, Which::Idempotency, &before).await;
        }
    }
}

#[tokio::test]
async fn an_idempotency_record_says_when_it_may_be_swept() {
    let bench = Bench::bound().await;
    let (pay, new, record) = (name("pay"), stored(version(1), "x"), bench.remembered());
    let put = PutSecret {
        idempotency: Some(&record),
        ..bench.first_put(&pay, &new)
    };
    bench
        .store
        .put_secret(&bench.workspace, &put, &entry(AuditKind::Put))
        .await
        .unwrap();
    let item = bench
        .item(&format!("I#{}", record.id.as_str()))
        .await
        .unwrap();
    let ttl = AttributeValue::N(record.expires_at.unix_timestamp().to_string());
    assert_eq!(item.get("ttl"), Some(&ttl));
}

async fn refused(
    bench: &Bench,
    put: &PutSecret<'_>,
    which: Which,
    before: &std::collections::BTreeSet<String>,
) {
    let audit = entry(AuditKind::Put);
    let result = bench.store.put_secret(&bench.workspace, put, &audit).await;
    bench.refused(result, which, before).await;
}
