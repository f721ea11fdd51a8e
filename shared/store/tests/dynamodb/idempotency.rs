//! Every write that someone asks for can remember what it was answered with.

use crate::harness::*;
use store::*;

/// One write of each kind, by name; each over a workspace of its own that has what it needs.
const WRITES: [&str; 11] = [
    "put_secret",
    "delete_secret",
    "change_policy",
    "promote",
    "revoke_version",
    "bind_key",
    "put_token",
    "delete_token",
    "start_job",
    "save_job",
    "set_freeze",
];

/// A workspace with two versions of `pay` and a job that lives, unless one is to start.
async fn ready(write: &str) -> (Bench, JobRecord) {
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    let revision = Revision::new(1).unwrap();
    let job = JobRecord::new(revision, false, Actor::Operator, NOW);
    if write != "start_job" {
        let audit = entry(AuditKind::Rewrap);
        let (workspace, mac) = (&bench.workspace, &bench.macs.job);
        let started = bench.store.start_job(workspace, &job, mac, None, &audit);
        started.await.unwrap();
    }
    (bench, job)
}

async fn write(
    bench: &Bench,
    job: &JobRecord,
    write: &str,
    idempotency: Option<&IdempotencyRecord>,
) -> Result<(), StoreError> {
    let (store, workspace) = (&bench.store, &bench.workspace);
    let pay = name("pay");
    let audit = entry(AuditKind::Put);
    let head = bench.live(&pay).await;
    let first = bench.version(&pay, 1).await.unwrap();
    let wrapped = rewrapped("new");
    match write {
        "put_secret" => {
            let (former, new) = (Head::Live(head.clone()), stored(version(3), "three"));
            let put = PutSecret {
                former: Some(&former),
                idempotency,
                ..bench.first_put(&pay, &new)
            };
            store.put_secret(workspace, &put, &audit).await.map(drop)
        }
        "delete_secret" => {
            let stamp = head.stamp();
            store
                .delete_secret(workspace, &pay, &stamp, idempotency, &audit)
                .await
        }
        "change_policy" => {
            let change = ChangePolicy {
                idempotency,
                ..bench.policy_of(&head, &wrapped)
            };
            bench.change_policy(&change).await.map(drop)
        }
        "promote" => {
            let promotion = Promote {
                idempotency,
                ..bench.promotion_of(&head, &first, &wrapped)
            };
            bench.promote(&promotion).await.map(drop)
        }
        "revoke_version" => {
            let revocation = RevokeVersion {
                idempotency,
                ..bench.revocation_of(&pay, 1)
            };
            bench.revoke(&revocation).await
        }
        "bind_key" => {
            let change = BindKey {
                idempotency,
                ..bench.change_of_key(bench.binding().await, 'b')
            };
            bench.bind_as(&change).await.map(drop)
        }
        "put_token" => {
            let (made, mac) = (token("second"), &bench.macs.token);
            store
                .put_token(workspace, &made, mac, idempotency, &audit)
                .await
        }
        "delete_token" => store
            .delete_token(workspace, &bench.token, idempotency, &audit)
            .await
            .map(drop),
        "start_job" => {
            let mac = &bench.macs.job;
            store
                .start_job(workspace, job, mac, idempotency, &audit)
                .await
        }
        "save_job" => {
            let paused = JobRecord {
                state: JobState::Paused,
                revision: job.revision.next(),
                ..job.clone()
            };
            let save = SaveJob {
                read: job.revision,
                job: &paused,
                token: Some(&bench.token),
                idempotency,
            };
            let audit = Some((&audit).into());
            store
                .save_job(workspace, &save, &bench.macs.job, audit)
                .await
        }
        "set_freeze" => {
            let freeze = freeze(true, "drill");
            store
                .set_freeze(workspace, &freeze, None, idempotency, &audit)
                .await
        }
        other => panic!("no such write: {other}"),
    }
}

#[tokio::test]
async fn every_write_remembers_its_answer_in_its_own_transaction() {
    for one in WRITES {
        let (bench, job) = ready(one).await;
        let record = bench.remembered();
        write(&bench, &job, one, Some(&record)).await.unwrap();
        let wanted = Wanted {
            idempotency: Some(&record.id),
            ..bench.wanted()
        };
        let expected = IdempotencyRecord {
            expires_at: record.expires_at.replace_nanosecond(0).unwrap(),
            ..record.clone()
        };
        let found = bench.read(wanted).await.unwrap().idempotency;
        assert_eq!(found, Some(expected), "{one}");
    }
}

#[tokio::test]
async fn no_write_happens_under_a_key_that_counts_and_every_one_where_it_has_expired() {
    for one in WRITES {
        let (bench, job) = ready(one).await;
        let record = bench.remembered();
        let first = stored(version(1), "x");
        let elsewhere = name("elsewhere");
        let put = PutSecret {
            idempotency: Some(&record),
            ..bench.first_put(&elsewhere, &first)
        };
        let audit = entry(AuditKind::Put);
        bench
            .store
            .put_secret(&bench.workspace, &put, &audit)
            .await
            .unwrap();
        let before = bench.everything().await;
        let result = write(&bench, &job, one, Some(&record)).await;
        bench.refused(result, Which::Idempotency, &before).await;

        let sk = format!("I#{}", record.id.as_str());
        let mut expired = bench.item(&sk).await.unwrap();
        let past = AttributeValue::N(NOW.unix_timestamp().to_string());
        expired.insert("ttl".to_owned(), past);
        bench.plant(&sk, expired).await;
        write(&bench, &job, one, Some(&record)).await.unwrap();
    }
}

#[tokio::test]
async fn no_write_happens_whose_audit_record_cannot_be_written() {
    // What each of these would write is refused by the one record that is there already.
    let bench = Bench::bound().await;
    let pay = name("pay");
    bench.put(&pay, "one").await.unwrap();
    bench.put(&pay, "two").await.unwrap();
    let audit = entry(AuditKind::Use);
    let (store, workspace) = (&bench.store, &bench.workspace);
    store.begin_use(workspace, &audit).await.unwrap();
    let before = bench.everything().await;
    let head = bench.live(&pay).await;
    let first = bench.version(&pay, 1).await.unwrap();
    let wrapped = rewrapped("new");
    let job = JobRecord::new(Revision::new(1).unwrap(), false, Actor::Operator, NOW);
    let change = bench.change_of_key(bench.binding().await, 'b');
    let (mac, freeze) = (&bench.macs.job, freeze(true, "drill"));
    let results = [
        store
            .change_policy(workspace, &bench.policy_of(&head, &wrapped), &audit)
            .await
            .map(drop),
        store
            .promote(
                workspace,
                &bench.promotion_of(&head, &first, &wrapped),
                &audit,
            )
            .await
            .map(drop),
        store
            .revoke_version(workspace, &bench.revocation_of(&pay, 1), &audit)
            .await,
        store
            .delete_secret(workspace, &pay, &head.stamp(), None, &audit)
            .await,
        store
            .bind_key(workspace, &change, &bench.macs.binding, &audit)
            .await
            .map(drop),
        store.start_job(workspace, &job, mac, None, &audit).await,
        store
            .set_freeze(workspace, &freeze, None, None, &audit)
            .await,
    ];
    for result in results {
        bench.refused(result, Which::Audit, &before).await;
    }
}
