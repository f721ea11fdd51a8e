//! Where an existing value may go, changed.

use crate::harness::*;
use store::*;

#[tokio::test]
async fn a_change_of_policy_changes_the_wrap_and_the_expiry_with_it_and_nothing_sealed() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let read = bench.live(&pay).await;
    let wrapped = rewrapped("one");
    let revision = bench
        .change_policy(&bench.policy_of(&read, &wrapped))
        .await
        .unwrap();
    let expected = LiveHead {
        stored: StoredVersion {
            wrapped: wrapped.clone(),
            policy: r#"{"changed":true}"#.to_owned(),
            expires_at: None,
            ..read.stored.clone()
        },
        revision: read.revision.next(),
        updated_at: LATER,
        ..read.clone()
    };
    assert_eq!(revision, expected.revision);
    assert_eq!(bench.live(&pay).await, expected);

    let until = ChangePolicy {
        expires_at: Some(LATER),
        ..bench.policy_of(&expected, &wrapped)
    };
    bench.change_policy(&until).await.unwrap();
    assert_eq!(bench.live(&pay).await.stored.expires_at, Some(LATER));
    // The opening, the binding, the put and the two changes.
    assert_eq!(bench.items("audit").await.len(), 5);
}

#[tokio::test]
async fn a_change_of_policy_is_refused_where_anything_that_it_relies_on_moved() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let (read, wrapped) = (bench.live(&pay).await, rewrapped("one"));
    let change = bench.policy_of(&read, &wrapped);
    bench.change_policy(&change).await.unwrap();
    let before = bench.everything().await;
    let result = bench.change_policy(&change).await;
    bench.refused(result, Which::Head, &before).await;

    // From here on the head is as it was read.
    let read = bench.live(&pay).await;
    let change = bench.policy_of(&read, &wrapped);
    bench.bind('b').await.unwrap();
    let before = bench.everything().await;
    let result = bench.change_policy(&change).await;
    bench.refused(result, Which::Binding, &before).await;

    bench.freeze(true).await;
    let before = bench.everything().await;
    let result = bench.change_policy(&change).await;
    bench.refused(result, Which::Frozen, &before).await;

    bench.lose_token().await;
    let before = bench.everything().await;
    let result = bench.change_policy(&change).await;
    bench.refused(result, Which::Token, &before).await;
}

#[tokio::test]
async fn a_change_of_policy_of_a_deleted_secret_makes_no_secret() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let (read, wrapped) = (bench.live(&pay).await, rewrapped("one"));
    bench.delete(&pay).await.unwrap();
    let before = bench.everything().await;
    let result = bench.change_policy(&bench.policy_of(&read, &wrapped)).await;
    bench.refused(result, Which::Head, &before).await;
}

#[tokio::test]
async fn a_policy_that_is_too_large_is_not_stored() {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    let (read, wrapped) = (bench.live(&pay).await, rewrapped("one"));
    let policy = "x".repeat(401 * 1024);
    let change = ChangePolicy {
        policy: &policy,
        ..bench.policy_of(&read, &wrapped)
    };
    let before = bench.everything().await;
    let result = bench.change_policy(&change).await;
    assert!(matches!(result, Err(StoreError::TooLarge)), "{result:?}");
    assert_eq!(bench.everything().await, before);
}
