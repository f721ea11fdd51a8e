//! What carries jobs on: the table's stream, which wakes the next run of a job as soon as
//! one has handed over, and a sweep on a schedule, which finds what the stream lost.
//!
//! ```text
//! {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"pk": …, "sk": …}, …}}, …]}
//!     -> {"batchItemFailures": [{"itemIdentifier": …}]}
//! {"sweep": {"stalled_seconds"?: 120}}
//!     -> {"jobs": …, "ran": …, "failed": …}
//! ```
//!
//! (AWS Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB": the event, and
//! "Configuring partial batch response".) An event says where to look, and nothing of it
//! is believed: what a job is its own record says, by its MAC.

use crate::RewrapSecrets;
use api::{Code, Fields, Problem};
use envelope::WorkspaceId;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::{JobId, JobRecord};
use time::Duration;
use tokio::time::Instant;

/// After how many seconds without a save a job that goes on is taken for left alone.
const STALLED: u32 = 120;
/// How many jobs one invocation works on at once.
const AT_ONCE: usize = 8;
/// How many live jobs are listed at once.
const LISTED: u32 = 100;

/// A job, and where it is.
type Found = (WorkspaceId, JobId);

impl RewrapSecrets {
    /// Carries on the jobs that an event is about.
    pub(crate) async fn woken(&self, event: &Value) -> Result<Value, Problem> {
        if event.get("Records").is_some() {
            return self.streamed(event).await;
        }
        let text = event.to_string();
        let mut fields = Fields::parse(text.as_bytes())?;
        let mut sweep = fields.object("sweep")?;
        let stalled: Option<u32> = sweep.optional("stalled_seconds", "a number of seconds")?;
        sweep.finish()?;
        fields.finish()?;
        self.swept(Duration::seconds(stalled.unwrap_or(STALLED).into()))
            .await
    }

    async fn swept(&self, stalled: Duration) -> Result<Value, Problem> {
        let until = Instant::now() + self.run;
        let (mut jobs, mut ran, mut failed) = (0, 0, 0);
        let mut after: Option<WorkspaceId> = None;
        loop {
            let store = &self.api.store;
            let page = store.live_jobs(after.as_ref(), LISTED).await?;
            jobs += page.items.len();
            let now = self.api.clock.now();
            let due = |job: &JobRecord| job.handoff || job.updated_at + stalled <= now;
            let mut runs = stream::iter(page.items)
                .map(|found| self.run_one(found, due, until))
                .buffer_unordered(AT_ONCE);
            while let Some(outcome) = runs.next().await {
                match outcome {
                    Ok(worked) => ran += usize::from(worked),
                    // One job's failure is no reason to leave the others.
                    Err(_) => failed += 1,
                }
            }
            drop(runs);
            let Some(next) = page.next else {
                return Ok(json!({"jobs": jobs, "ran": ran, "failed": failed}));
            };
            after = WorkspaceId::parse(&next).ok();
        }
    }

    async fn streamed(&self, event: &Value) -> Result<Value, Problem> {
        let until = Instant::now() + self.run;
        let distinct = distinct_jobs(event)?;
        let runs = stream::iter(distinct).map(|(found, sequence)| async move {
            let outcome = self.run_one(found, |job| job.handoff, until).await;
            outcome.is_err_and(is_transient).then_some(sequence)
        });
        let again: Vec<Value> = runs
            .buffer_unordered(AT_ONCE)
            .filter_map(|sequence| async move { sequence })
            .map(|sequence| json!({"itemIdentifier": sequence}))
            .collect()
            .await;
        Ok(json!({"batchItemFailures": again}))
    }

    /// Runs one job among others: what is wrong with it goes to the log.
    async fn run_one(
        &self,
        (workspace, id): Found,
        due: impl Fn(&JobRecord) -> bool,
        until: Instant,
    ) -> Result<bool, Code> {
        let outcome = self.run_job(&workspace, &id, due, until).await;
        outcome.map_err(|problem| {
            tracing::warn!(
                workspace = workspace.as_str(),
                job = %id,
                code = problem.code().as_str(),
                "a re-wrap did not get on"
            );
            problem.log();
            problem.code()
        })
    }
}

/// Whether the same may succeed a moment later. What is forged does not.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::StoreUnavailable | Code::KmsUnavailable | Code::KmsThrottled
    )
}

#[derive(Deserialize)]
struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamRecord {
    event_source: String,
    dynamodb: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    keys: Keys,
    sequence_number: String,
}

#[derive(Deserialize)]
struct Keys {
    pk: Text,
    sk: Text,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

/// The jobs that a batch of the stream is about, each once, with the number of its first
/// record: Lambda begins again at the lowest that it is given. What is no job is passed over.
fn distinct_jobs(event: &Value) -> Result<BTreeMap<Found, String>, Problem> {
    let foreign = || Problem::invalid("event", "records of the table's stream, or a sweep");
    let event = StreamEvent::deserialize(event).map_err(|_| foreign())?;
    let mut jobs = BTreeMap::new();
    for record in event.records {
        if record.event_source != "aws:dynamodb" {
            return Err(foreign());
        }
        let Change {
            keys,
            sequence_number,
        } = record.dynamodb;
        if let Some(found) = job_at(&keys.pk.text, &keys.sk.text) {
            jobs.entry(found).or_insert(sequence_number);
        }
    }
    Ok(jobs)
}

/// The job of a place in the table.
fn job_at(pk: &str, sk: &str) -> Option<Found> {
    let workspace = WorkspaceId::parse(pk.strip_prefix("W#")?).ok()?;
    let id = JobId::parse(sk.strip_prefix("J#")?).ok()?;
    Some((workspace, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_batch_of_the_stream_names_each_job_once_with_its_first_record() {
        let [a, b] =
            [1, 2].map(|n| JobId::new(datetime!(2030-01-31 12:00 UTC) + Duration::hours(n)));
        let record = |pk: &str, sk: String, number: u32| {
            json!({
                "eventID": "c4ca4238a0b923820dcc509a6f75849b", "eventName": "MODIFY", "awsRegion": "eu-west-1",
                "eventSource": "aws:dynamodb", "eventVersion": "1.1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_900_000_000, "SizeBytes": 60, "StreamViewType": "KEYS_ONLY",
                    "Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "SequenceNumber": number.to_string(),
                },
            })
        };
        let event = json!({"Records": [
            record("W#acme", format!("J#{b}"), 1),
            record("W#acme", format!("J#{a}"), 2),
            record("W#acme", format!("J#{b}"), 3),
            record("W#other", format!("J#{b}"), 4),
            record("W#acme", "S#payments".to_owned(), 5),
            record("JOBS", "acme".to_owned(), 6),
            record("W#acme", "J#nonsense".to_owned(), 7),
            record("W#NO", format!("J#{b}"), 8),
        ]});
        let jobs = distinct_jobs(&event).unwrap();
        let acme = WorkspaceId::parse("acme").unwrap();
        let other = WorkspaceId::parse("other").unwrap();
        let expected = [
            ((acme.clone(), a), "2"),
            ((acme, b), "1"),
            ((other, b), "4"),
        ];
        assert!(
            jobs.iter()
                .map(|(found, number)| (found.clone(), number.as_str()))
                .eq(expected)
        );

        let mut foreign = event;
        foreign["Records"][0]["eventSource"] = json!("aws:sqs");
        assert_eq!(
            distinct_jobs(&foreign).unwrap_err().code(),
            Code::InvalidRequest
        );
        assert!(distinct_jobs(&json!({"Records": [{}]})).is_err());
    }
}
