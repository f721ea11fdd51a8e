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
            bench.macs.authority(),
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
async fn a_workspace_is_not_opened_with_a_token_that_is_there() {
    let bench = Bench::open().await;
    let sk = format!("T#{}", bench.token);
    let empty = Bench::empty().await;
    empty.plant(&sk, bench.item(&sk).await.unwrap()).await;
    let before = empty.everything().await;
    let audit = entry(AuditKind::OpenWorkspace);
    let (store, macs) = (&empty.store, empty.macs.authority());
    let result = store
        .open_workspace(&empty.workspace, &token("first"), macs, &audit)
        .await;
    empty.refused(result, Which::Exists, &before).await;
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
        grade: Some(Grade::Strict),
        probes: "[]".to_owned(),
        checked_at: NOW,
    };
    assert_eq!(records.state, Some(state));
}

#[tokio::test]
async fn a_binding_that_moved_since_it_was_read_is_not_overwritten() {
    let bench = Bench::open().await;
    let read = bench.binding().await;
    bench.bind('a').await.unwrap();
    let before = bench.everything().await;
    let late = bench.bind_as(&bench.change_of_key(read, 'b')).await;
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
    let change = bench.change_of_key(Binding::unbound(NOW), 'a');
    let result = bench.bind_as(&change).await;
    // Nobody's token is there either, and that outranks what it would do.
    assert_eq!(conflict(result), Which::Token);
    assert!(bench.everything().await.is_empty());
}

#[tokio::test]
async fn a_key_is_bound_by_nobody_whose_token_is_gone() {
    let bench = Bench::bound().await;
    let change = bench.change_of_key(bench.binding().await, 'b');
    bench.lose_token().await;
    let before = bench.everything().await;
    let result = bench.bind_as(&change).await;
    bench.refused(result, Which::Token, &before).await;
}

#[tokio::test]
async fn the_deployments_own_key_becomes_a_former_one_of_the_first_binding() {
    let bench = Bench::open().await;
    for (digit, former) in [('a', vec![key('d')]), ('b', vec![key('a'), key('d')])] {
        let change = BindKey {
            deployment_key: Some(key('d')),
            ..bench.change_of_key(bench.binding().await, digit)
        };
        bench.bind_as(&change).await.unwrap();
        assert_eq!(bench.binding().await.former, former);
    }
}

#[tokio::test]
async fn what_a_key_was_seen_to_be_is_noted_over_what_was_noted_before() {
    let bench = Bench::bound().await;
    let seen = KeyStateRecord {
        state: KeyStateName::AccessDenied,
        since: NOW,
        evidence: "request".to_owned(),
        grade: None,
        probes: r#"[{"probe":"decrypt"}]"#.to_owned(),
        checked_at: LATER,
    };
    bench
        .store
        .note_key_state(&bench.workspace, &seen)
        .await
        .unwrap();
    let wanted = Wanted {
        state: true,
        ..bench.wanted()
    };
    assert_eq!(bench.read(wanted).await.unwrap().state, Some(seen));
}

#[tokio::test]
async fn a_job_reads_the_binding_and_the_freeze_without_a_token() {
    let bench = Bench::bound().await;
    let (binding, attested, freeze) = bench
        .store
        .binding_for_job(&bench.workspace)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((binding, freeze), (bench.binding().await, None));
    assert!(bench.macs.pass(&attested).await);
    bench.freeze(true).await;
    let read = bench.store.binding_for_job(&bench.workspace).await.unwrap();
    assert!(read.unwrap().2.unwrap().frozen);
    let nowhere = WorkspaceId::parse("nowhere").unwrap();
    let read = bench.store.binding_for_job(&nowhere).await.unwrap();
    assert!(read.is_none());
}
