//! Opening a workspace and binding its key.

use crate::harness::*;
use envelope::WorkspaceId;
use store::*;

#[tokio::test]
async fn tables_are_made_once_and_making_them_again_changes_nothing() {
    let bench = Bench::bound().await;
    let before = bench.everything().await;
    bench.store.create_tables().await.unwrap();
    assert_eq!(bench.everything().await, before);
}

#[tokio::test]
async fn an_opened_workspace_says_that_it_has_no_key_and_knows_its_first_token() {
    let bench = Bench::open().await;
    let records = bench
        .read(Wanted {
            state: true,
            ..bench.wanted()
        })
        .await
        .unwrap();
    let expected = Records {
        binding: Some(Binding::unbound(NOW)),
        token: Some(token("first")),
        ..Records::default()
    };
    assert_eq!(records, expected);
    assert_eq!(bench.items("audit").await.len(), 1);
}

#[tokio::test]
async fn a_workspace_opens_once() {
    let bench = Bench::bound().await;
    let before = bench.everything().await;
    let again = bench
        .store
        .open_workspace(
            &bench.workspace,
            &token("second"),
            &entry(AuditKind::OpenWorkspace),
        )
        .await;
    assert_eq!(conflict(again), Which::Exists);
    assert_eq!(
        bench.everything().await,
        before,
        "a second token or audit record was left behind"
    );
}

#[tokio::test]
async fn what_lies_in_one_workspace_is_not_read_in_another() {
    let bench = Bench::bound().await;
    bench.put(&name("pay"), "x").await.unwrap();
    let other = WorkspaceId::parse("acme-2").unwrap();
    let pay = name("pay");
    let wanted = Wanted {
        secret: Some(&pay),
        state: true,
        ..bench.wanted()
    };
    assert_eq!(
        bench.store.read(&other, wanted).await.unwrap(),
        Records::default()
    );
    assert!(
        bench
            .store
            .list_secrets(&other, None, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        bench
            .store
            .list_tokens(&other, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn binding_a_key_makes_the_one_before_it_former_and_the_state_active() {
    let bench = Bench::open().await;
    assert_eq!(bench.bind('a').await.unwrap().number(), 1);
    assert_eq!(bench.bind('b').await.unwrap().number(), 2);
    let records = bench
        .read(Wanted {
            state: true,
            ..bench.wanted()
        })
        .await
        .unwrap();
    let binding = records.binding.unwrap();
    assert_eq!(
        (binding.current.as_ref(), &binding.former[..]),
        (Some(&key('b')), &[key('a')][..])
    );
    let state = KeyStateRecord {
        state: KeyStateName::Active,
        since: NOW,
        evidence: "probe".to_owned(),
    };
    assert_eq!(records.state, Some(state));
}

#[tokio::test]
async fn a_binding_that_moved_since_it_was_read_is_not_overwritten() {
    let bench = Bench::open().await;
    let read = bench.binding().await;
    bench.bind('a').await.unwrap();
    let before = bench.everything().await;
    let change = BindKey {
        read,
        key: key('b'),
        evidence: "late".to_owned(),
        now: NOW,
    };
    let late = bench
        .store
        .bind_key(&bench.workspace, &change, &entry(AuditKind::BindKey))
        .await;
    assert_eq!(conflict(late), Which::Binding);
    assert_eq!(
        bench.everything().await,
        before,
        "a state or audit record was left behind"
    );
}

#[tokio::test]
async fn a_workspace_that_was_never_opened_gets_no_key() {
    let bench = Bench::empty().await;
    let change = BindKey {
        read: Binding::unbound(NOW),
        key: key('a'),
        evidence: String::new(),
        now: NOW,
    };
    let result = bench
        .store
        .bind_key(&bench.workspace, &change, &entry(AuditKind::BindKey))
        .await;
    // Nobody's token is there either, and that outranks what it would do.
    assert_eq!(conflict(result), Which::Token);
    assert!(bench.everything().await.is_empty());
}

#[tokio::test]
async fn a_freeze_is_read() {
    let bench = Bench::bound().await;
    bench.freeze(true).await;
    let freeze = bench.read(bench.wanted()).await.unwrap().freeze.unwrap();
    assert!(freeze.frozen);
    assert_eq!(
        (freeze.by.as_str(), freeze.reason.as_str()),
        ("operator", "drill")
    );
}
