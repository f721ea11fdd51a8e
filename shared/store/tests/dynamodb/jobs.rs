//! Jobs: one lives in a workspace at a time.

use crate::harness::*;
use envelope::WorkspaceId;
use store::*;
use time::Duration;

fn job() -> JobRecord {
    let revision = Revision::new(1).unwrap();
    JobRecord::new(revision, false, Actor::Operator, NOW)
}

async fn start(bench: &Bench, job: &JobRecord) -> Result<(), StoreError> {
    let audit = entry(AuditKind::Rewrap);
    bench
        .store
        .start_job(&bench.workspace, job, &bench.macs.job, None, &audit)
        .await
}

/// Saves a job's next state over the one that is given.
async fn save(bench: &Bench, read: &JobRecord, next: JobRecord) -> Result<JobRecord, StoreError> {
    let next = JobRecord {
        revision: read.revision.next(),
        ..next
    };
    let save = SaveJob {
        read: read.revision,
        job: &next,
        token: None,
        idempotency: None,
    };
    bench
        .store
        .save_job(&bench.workspace, &save, &bench.macs.job, None)
        .await?;
    Ok(next)
}

fn as_(job: &JobRecord, state: JobState) -> JobRecord {
    JobRecord {
        state,
        ended_at: state.is_ended().then_some(LATER),
        ..job.clone()
    }
}

async fn read(bench: &Bench, id: &JobId) -> JobRecord {
    let found = bench.store.read_job(&bench.workspace, id).await.unwrap();
    found.unwrap().0
}

async fn live(bench: &Bench) -> Vec<(WorkspaceId, JobId)> {
    bench.store.live_jobs(None, 10).await.unwrap().items
}

#[tokio::test]
async fn a_job_is_read_back_as_it_was_started_and_as_it_was_saved() {
    let bench = Bench::bound().await;
    let started = job();
    start(&bench, &started).await.unwrap();
    let found = bench
        .store
        .read_job(&bench.workspace, &started.id)
        .await
        .unwrap();
    let (record, attested) = found.unwrap();
    assert_eq!(record, started);
    assert!(bench.macs.pass(&attested).await);
    assert_eq!(live(&bench).await, [(bench.workspace.clone(), started.id)]);

    let mut next = JobRecord {
        state: JobState::Paused,
        phase: JobPhase::Earlier,
        cursor: Some("pay#0000007".to_owned()),
        handoff: false,
        dry_run: true,
        total: 1,
        moved: 2,
        already: 3,
        changed: 4,
        verified: 5,
        reason: Some("kms_throttled".to_owned()),
        started_moving_at: Some(NOW),
        updated_at: LATER,
        ..started.clone()
    };
    next.fail(JobFailure {
        name: name("pay"),
        version: version(7),
        reason: "key_disabled".to_owned(),
    });
    let saved = save(&bench, &started, next).await.unwrap();
    assert_eq!((saved.failed, saved.failures.len()), (1, 1));
    assert_eq!(read(&bench, &started.id).await, saved);
    assert_eq!(live(&bench).await.len(), 1, "a paused job lives");
    let item = bench.item(&format!("J#{}", started.id)).await.unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    assert_eq!(item["kind"], text("rewrap job"));
    assert_eq!(item["state"], text("paused"));
    assert_eq!(item["handoff"], AttributeValue::Bool(false));
    assert_eq!(item["revision"], AttributeValue::N("1".to_owned()));
}

#[tokio::test]
async fn a_second_job_starts_only_when_the_first_has_ended() {
    for end in [JobState::Done, JobState::Failed, JobState::Superseded] {
        let bench = Bench::bound().await;
        let first = job();
        start(&bench, &first).await.unwrap();
        let before = bench.everything().await;
        bench
            .refused(start(&bench, &job()).await, Which::Exists, &before)
            .await;
        let paused = save(&bench, &first, as_(&first, JobState::Paused))
            .await
            .unwrap();
        let before = bench.everything().await;
        bench
            .refused(start(&bench, &job()).await, Which::Exists, &before)
            .await;
        save(&bench, &paused, as_(&paused, end)).await.unwrap();
        assert_eq!(live(&bench).await, []);
        let second = job();
        start(&bench, &second).await.unwrap();
        assert_eq!(live(&bench).await, [(bench.workspace.clone(), second.id)]);
    }
}

#[tokio::test]
async fn a_job_of_another_binding_or_of_nobody_does_not_start() {
    let bench = Bench::bound().await;
    let job = job();
    bench.bind('b').await.unwrap();
    let before = bench.everything().await;
    bench
        .refused(start(&bench, &job).await, Which::Binding, &before)
        .await;
    bench.lose_token().await;
    let before = bench.everything().await;
    bench
        .refused(start(&bench, &job).await, Which::Token, &before)
        .await;
}

#[tokio::test]
async fn a_job_is_not_started_over_another_of_its_id() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    save(&bench, &first, as_(&first, JobState::Done))
        .await
        .unwrap();
    let before = bench.everything().await;
    bench
        .refused(start(&bench, &first).await, Which::Exists, &before)
        .await;
}

#[tokio::test]
async fn a_job_that_was_saved_since_it_was_read_is_not_overwritten() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    let second = save(&bench, &first, first.clone()).await.unwrap();
    let before = bench.everything().await;
    for state in [JobState::Running, JobState::Done] {
        let late = save(&bench, &first, as_(&first, state)).await;
        bench.refused(late, Which::Job, &before).await;
    }
    // Nor under a revision that does not follow.
    let skipping = SaveJob {
        read: second.revision,
        job: &JobRecord {
            revision: second.revision.next().next(),
            ..second.clone()
        },
        token: None,
        idempotency: None,
    };
    let result = bench
        .store
        .save_job(&bench.workspace, &skipping, &bench.macs.job, None)
        .await;
    bench.refused(result, Which::Job, &before).await;
}

#[tokio::test]
async fn an_ended_job_stays_ended_and_ends_no_other() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    let done = save(&bench, &first, as_(&first, JobState::Done))
        .await
        .unwrap();
    let before = bench.everything().await;
    for state in [JobState::Running, JobState::Paused] {
        let result = save(&bench, &done, as_(&done, state)).await;
        bench.refused(result, Which::Job, &before).await;
    }
    start(&bench, &job()).await.unwrap();
    let before = bench.everything().await;
    let again = save(&bench, &done, as_(&done, JobState::Failed)).await;
    bench.refused(again, Which::Job, &before).await;
}

#[tokio::test]
async fn a_job_that_is_not_the_one_that_lives_does_not_end_it() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    let other = Item::from([
        ("pk".to_owned(), AttributeValue::S("JOBS".to_owned())),
        ("sk".to_owned(), AttributeValue::S("acme".to_owned())),
        (
            "job".to_owned(),
            AttributeValue::S(JobId::new(NOW).to_string()),
        ),
    ]);
    bench.plant_in("broker", other).await;
    let before = bench.everything().await;
    let result = save(&bench, &first, as_(&first, JobState::Done)).await;
    bench.refused(result, Which::Job, &before).await;
}

#[tokio::test]
async fn a_change_of_state_that_someone_asks_for_needs_their_token_and_leaves_a_record() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    let paused = JobRecord {
        revision: first.revision.next(),
        ..as_(&first, JobState::Paused)
    };
    let save = SaveJob {
        read: first.revision,
        job: &paused,
        token: Some(&bench.token),
        idempotency: None,
    };
    let audit = entry(AuditKind::RewrapState);
    let saving = || {
        let audit = Some((&audit).into());
        bench
            .store
            .save_job(&bench.workspace, &save, &bench.macs.job, audit)
    };
    let audits = bench.items("audit").await.len();
    saving().await.unwrap();
    assert_eq!(bench.items("audit").await.len(), audits + 1);

    bench.lose_token().await;
    let before = bench.everything().await;
    bench.refused(saving().await, Which::Token, &before).await;
}

#[tokio::test]
async fn the_latest_jobs_are_listed_first() {
    let bench = Bench::bound().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let at = NOW + Duration::minutes(n);
        let one = JobRecord::new(Revision::new(1).unwrap(), n == 0, Actor::Operator, at);
        start(&bench, &one).await.unwrap();
        save(&bench, &one, as_(&one, JobState::Done)).await.unwrap();
        ids.insert(0, one.id);
    }
    for limit in [1, 3, 5, 100] {
        let found = bench
            .store
            .list_jobs(&bench.workspace, limit)
            .await
            .unwrap();
        let found_ids: Vec<_> = found.iter().map(|(job, _)| job.id).collect();
        assert_eq!(found_ids, ids[..ids.len().min(limit as usize)]);
        for (_, attested) in &found {
            assert!(bench.macs.pass(attested).await);
        }
    }
}

#[tokio::test]
async fn the_jobs_that_live_are_listed_by_workspace_in_pages() {
    let bench = Bench::empty().await;
    let mut expected = Vec::new();
    for n in 10..20 {
        let workspace = WorkspaceId::parse(&format!("ws-{n}")).unwrap();
        let unbound = JobRecord::new(Revision::ZERO, false, Actor::Operator, NOW);
        let audit = entry(AuditKind::OpenWorkspace);
        let (store, macs) = (&bench.store, &bench.macs);
        let first = token("first");
        store
            .open_workspace(&workspace, &first, macs.authority(), &audit)
            .await
            .unwrap();
        let audit = entry(AuditKind::Rewrap);
        store
            .start_job(&workspace, &unbound, &macs.job, None, &audit)
            .await
            .unwrap();
        expected.push((workspace, unbound.id));
    }
    for limit in [1, 3, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = bench.store.live_jobs(after.as_ref(), limit).await.unwrap();
            found.extend(page.items);
            let Some(next) = page.next else { break };
            after = Some(WorkspaceId::parse(&next).unwrap());
        }
        assert_eq!(found, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn a_job_with_the_most_failures_stays_far_below_the_size_of_an_item() {
    let bench = Bench::bound().await;
    let first = job();
    start(&bench, &first).await.unwrap();
    let mut failed = first.clone();
    for n in 0..250 {
        failed.fail(JobFailure {
            name: name(&"n".repeat(128)),
            version: version(9_000_000 + n),
            reason: "r".repeat(64),
        });
    }
    let saved = save(&bench, &first, failed).await.unwrap();
    assert_eq!((saved.failed, saved.failures.len()), (250, 100));
    assert_eq!(read(&bench, &first.id).await, saved);
    let item = bench.item(&format!("J#{}", first.id)).await.unwrap();
    let size = item["body"].as_s().unwrap().len();
    assert!(size < 40 * 1024, "{size}");
}

#[test]
fn what_is_not_a_uuid_v7_is_no_job_id() {
    let id = JobId::new(NOW).to_string();
    assert_eq!(JobId::parse(&id).unwrap().to_string(), id);
    for text in ["", &id.to_uppercase(), &id.replace('-', "")] {
        assert!(JobId::parse(text).is_err(), "{text}");
    }
}
