//! `GET …/key`: which key the workspace has, how it is fenced, what it was last seen to
//! be, and what still sits under which key.
//!
//! A former key is safe to disable once nothing sits under it and nothing can come to: a
//! put, and a move, commits only under the binding that it was wrapped under, and a version
//! comes back from the archive with a new wrap only. What a record says of its own wrap is no
//! proof, and a count of it none either: the verdict is yes only where a re-wrap, whose record
//! is authentic, has asked KMS about every item under this very binding.

use crate::{
    ReadWorkspace,
    schema::{FormerKey, KeyUsage, ReadProblems, ShownKey, UsedKey},
};
use api::{Admitted, Call, Need, Problem, json, openapi::OfWorkspace, rfc3339};
use axum::{extract::State, response::Response};
use envelope::KeyArn;
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use store::{Binding, JobState, KeyStateRecord, Permission, WrapCounts};

/// How many records one answer counts.
const COUNTED_MAX: u32 = 10_000;
/// How many of the latest re-wraps are looked at, where there is too much to count.
const JOBS: u32 = 10;
/// How long the check of a re-wrap's MAC may take.
const MAC_TIME: Duration = Duration::from_secs(5);

/// Shows the workspace's key.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/key", operation_id = "showKey",
    params(OfWorkspace),
    responses((status = 200, description = "The key binding, what the key was last seen to be, and what sits under which key.", body = ShownKey), ReadProblems)
)]
pub(crate) async fn show(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&[]);
    let need = Need {
        state: true,
        ..Need::new(call.param("workspace"), Permission::Read)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    query?;
    let binding = admitted.binding()?;
    let usage = match &admitted.caller.record.secrets {
        None => Some(this.usage(&admitted, binding).await?),
        // How much there is of what it may not see is not told to it.
        Some(_) => None,
    };
    let state = admitted.records.state.as_ref();
    let freeze = admitted.records.freeze.as_ref();
    let shown = ShownKey {
        key: binding.current.as_ref().map(ToString::to_string),
        former: binding.former.iter().map(ToString::to_string).collect(),
        revision: binding.revision.number(),
        changed_at: rfc3339(binding.changed_at),
        state: state.map_or("unbound", |state| state.state.as_str()),
        since: state.map(|state| rfc3339(state.since)),
        grade: state
            .and_then(|state| state.grade)
            .map(|grade| grade.as_str()),
        checked_at: state.map(|state| rfc3339(state.checked_at)),
        evidence: state.map(|state| state.evidence.clone()),
        probes: state.map(probes).unwrap_or_default(),
        frozen: freeze.is_some_and(|freeze| freeze.frozen),
        usage,
    };
    Ok(json(StatusCode::OK, shown))
}

fn probes(state: &KeyStateRecord) -> Vec<serde_json::Value> {
    serde_json::from_str(&state.probes).unwrap_or_default()
}

impl ReadWorkspace {
    async fn usage(&self, admitted: &Admitted, binding: &Binding) -> Result<KeyUsage, Problem> {
        let workspace = &admitted.caller.workspace;
        let counts = self.api.store.count_wraps(workspace, COUNTED_MAX).await?;
        let moved = self.all_moved(admitted, binding).await?;
        let former = binding
            .former
            .iter()
            .map(|key| verdict(key, &counts, moved))
            .collect();
        let keys = counts
            .by_key
            .into_iter()
            .map(|count| UsedKey {
                key: count.key.to_string(),
                key_material_id: count.material,
                secrets: count.secrets,
                versions: count.versions,
            })
            .collect();
        Ok(KeyUsage {
            complete: counts.complete,
            keys,
            former,
        })
    }

    /// Whether a re-wrap has verified every item under this very binding.
    async fn all_moved(&self, admitted: &Admitted, binding: &Binding) -> Result<bool, Problem> {
        let workspace = &admitted.caller.workspace;
        for (job, attested) in self.api.store.list_jobs(workspace, JOBS).await? {
            let done = job.state == JobState::Done
                && !job.dry_run
                && job.binding_revision == binding.revision
                // A revision of an older binding that was put back is not this one's.
                && job.created_at >= binding.changed_at;
            if done {
                self.check_job
                    .check(&attested.record(), attested.mac(), MAC_TIME)
                    .await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn verdict(key: &KeyArn, counts: &WrapCounts, moved: bool) -> FormerKey {
    let under = counts.by_key.iter().filter(|count| count.key == *key);
    let versions: u64 = under.map(|count| count.versions).sum();
    let (safe_to_disable, because) = match (versions, moved) {
        (0, true) => (
            true,
            "A re-wrap has verified that everything lies under the current key.".to_owned(),
        ),
        (0, false) => (
            false,
            "Nothing was counted under it. A re-wrap asks KMS about every item: POST …/rewraps."
                .to_owned(),
        ),
        (1, ..) => (
            false,
            "1 version still sits under it. Move it: POST …/rewraps.".to_owned(),
        ),
        (versions, ..) => (
            false,
            format!("{versions} versions still sit under it. Move them: POST …/rewraps."),
        ),
    };
    FormerKey {
        key: key.to_string(),
        versions,
        safe_to_disable,
        because,
    }
}
