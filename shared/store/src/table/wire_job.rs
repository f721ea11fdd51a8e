//! Jobs as items.

use super::{Item, form, keys, wire::agrees, wire_authority};
use crate::{Actor, JobFailure, JobId, JobPhase, JobRecord, JobState, Revision, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretName, SecretVersion, WorkspaceId, kms::MakeMac};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const JOB: &str = "job";
/// What the attribute `kind` of every job says, for whoever filters the table's stream.
const KIND: &str = "rewrap job";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobBody {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    id: JobId,
    #[serde(with = "form::revision")]
    binding_revision: Revision,
    dry_run: bool,
    #[serde(with = "form::text")]
    state: JobState,
    #[serde(with = "form::text")]
    phase: JobPhase,
    #[serde(with = "form::or_null")]
    cursor: Option<String>,
    handoff: bool,
    total: u64,
    moved: u64,
    already: u64,
    changed: u64,
    verified: u64,
    failed: u64,
    failures: Vec<FailureBody>,
    #[serde(with = "form::or_null")]
    reason: Option<String>,
    #[serde(with = "form::text")]
    created_by: Actor,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_moving_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    #[serde(with = "form::revision")]
    revision: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureBody {
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    reason: String,
}

pub(super) async fn job_item(
    workspace: &WorkspaceId,
    job: &JobRecord,
    mac: &MakeMac,
) -> Result<Item, StoreError> {
    let JobRecord {
        id,
        binding_revision,
        dry_run,
        state,
        phase,
        cursor,
        handoff,
        total,
        moved,
        already,
        changed,
        verified,
        failed,
        failures,
        reason,
        created_by,
        created_at,
        started_moving_at,
        updated_at,
        ended_at,
        revision,
    } = job.clone();
    let failures = failures.into_iter().map(
        |JobFailure {
             name,
             version,
             reason,
         }| FailureBody {
            name,
            version,
            reason,
        },
    );
    let body = JobBody {
        workspace: workspace.clone(),
        id,
        binding_revision,
        dry_run,
        state,
        phase,
        cursor,
        handoff,
        total,
        moved,
        already,
        changed,
        verified,
        failed,
        failures: failures.collect(),
        reason,
        created_by,
        created_at,
        started_moving_at,
        updated_at,
        ended_at,
        revision,
    };
    let place = (keys::workspace(workspace), keys::job(&id));
    wire_authority::item(JOB, (&place.0, &place.1), &body, beside(job), mac).await
}

/// What conditions read and streams are filtered by.
fn beside(job: &JobRecord) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    [
        ("kind", text(KIND)),
        ("state", text(job.state.as_str())),
        ("handoff", AttributeValue::Bool(job.handoff)),
        ("revision", AttributeValue::N(job.revision.to_string())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// `id` is what the job's place says.
pub(super) fn job(workspace: &WorkspaceId, id: &str, item: &Item) -> Result<JobRecord, StoreError> {
    let JobBody {
        workspace: own,
        id: own_id,
        binding_revision,
        dry_run,
        state,
        phase,
        cursor,
        handoff,
        total,
        moved,
        already,
        changed,
        verified,
        failed,
        failures,
        reason,
        created_by,
        created_at,
        started_moving_at,
        updated_at,
        ended_at,
        revision,
    } = wire_authority::record(JOB, item)?;
    agrees(JOB, own == *workspace && own_id.to_string() == id)?;
    let failures = failures.into_iter().map(
        |FailureBody {
             name,
             version,
             reason,
         }| JobFailure {
            name,
            version,
            reason,
        },
    );
    let job = JobRecord {
        id: own_id,
        binding_revision,
        dry_run,
        state,
        phase,
        cursor,
        handoff,
        total,
        moved,
        already,
        changed,
        verified,
        failed,
        failures: failures.collect(),
        reason,
        created_by,
        created_at,
        started_moving_at,
        updated_at,
        ended_at,
        revision,
    };
    wire_authority::repeats(JOB, item, &beside(&job), &[])?;
    Ok(job)
}

/// What says which job lives in a workspace.
pub(super) fn live_job_item(id: &JobId) -> Item {
    Item::from([("job".to_owned(), AttributeValue::S(id.to_string()))])
}

/// The live job of the workspace that the place says.
pub(super) fn live_job(workspace: &str, item: &Item) -> Result<(WorkspaceId, JobId), StoreError> {
    const BROKEN: StoreError = StoreError::Broken("live job");
    let Some(AttributeValue::S(id)) = item.get("job") else {
        return Err(BROKEN);
    };
    Ok((
        WorkspaceId::parse(workspace).map_err(|_| BROKEN)?,
        JobId::parse(id).map_err(|_| BROKEN)?,
    ))
}
