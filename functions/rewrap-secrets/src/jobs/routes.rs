//! `…/rewraps`: starting, watching, pausing and resuming a re-wrap.

use super::report::shown;
use crate::{
    Afterwards, BODY_MAX, RewrapSecrets,
    schema::{
        NewRewrap, Nothing, RewrapList, ShowProblems, ShownRewrap, StartProblems, StateProblems,
    },
};
use api::{
    Admitted, Call, Code, Fields, Need, Problem, idempotency_key, json,
    openapi::{IdempotencyKey, OfWorkspace},
};
use axum::{extract::State, response::Response};
use futures_util::future::try_join_all;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use store::{
    Actor, AuditKind, AuditRecord, JobId, JobRecord, JobState, Permission, Records, SaveJob,
    StoreError, Which,
};

/// How many jobs a list has.
const LISTED: u32 = 20;
/// How often a job's state is set anew where the job itself got on meanwhile.
const TRIES: u32 = 16;

fn need<'a>(call: &'a Call, key: &'a Result<Option<String>, Problem>) -> Need<'a> {
    Need {
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), Permission::ManageKey)
    }
}

/// Starts a re-wrap.
///
/// It moves every version, earlier ones included, to the key that is bound now and to its
/// current key material, and then asks for each once more. A workspace has one at a time.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/rewraps", operation_id = "startRewrap",
    params(OfWorkspace, IdempotencyKey), request_body = Option<NewRewrap>,
    responses((status = 202, description = "The re-wrap has begun.", body = ShownRewrap, headers(("location" = String, description = "Where to watch it."))), StartProblems)
)]
pub(crate) async fn start(
    State(this): State<Arc<RewrapSecrets>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let key = idempotency_key(&call);
    let admitted = this.api.admit(&call.headers, need(&call, &key)).await?;
    key?;
    let body = call.body(BODY_MAX).await?;
    let mut fields = Fields::parse(&body)?;
    let dry_run: Option<bool> = fields.optional("dry_run", "true or false")?;
    fields.finish()?;
    let fingerprint = call.fingerprint(&admitted.caller, &body);
    if let Some(answer) = admitted.replayed(&fingerprint)? {
        return Ok(located(&admitted, answer, told_before(&admitted.records)));
    }
    let binding = admitted.binding()?;
    let target = this.target(binding);
    if target.is_none() {
        return Err(Problem::new(Code::NoWorkspaceKey));
    }
    let job = JobRecord::new(
        binding.revision,
        dry_run.unwrap_or(false),
        Actor::Token(admitted.caller.id.clone()),
        admitted.now,
    );
    let answer = shown(&job, target);
    let remembered = admitted.remember(fingerprint, StatusCode::ACCEPTED, &answer, None);
    let audit = this.audited_job(&admitted, &call, AuditKind::Rewrap, &job);
    let started = this.api.store.start_job(
        &admitted.caller.workspace,
        &job,
        &this.job_mac,
        remembered.as_ref(),
        &audit,
    );
    match started.await {
        Ok(()) => {
            let answer = json(StatusCode::ACCEPTED, answer);
            Ok(located(&admitted, answer, Some(job.id.to_string())))
        }
        Err(StoreError::Conflict(Which::Exists)) => Err(this.one_lives(&admitted).await?),
        Err(StoreError::Conflict(Which::Idempotency)) => {
            match this.afterwards(&admitted, None, &fingerprint).await? {
                Afterwards::Answered(answer, records) => {
                    Ok(located(&admitted, answer, told_before(&records)))
                }
                Afterwards::Now(_) => Err(Problem::new(Code::Conflict)),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Lists the latest re-wraps, at most 20, the newest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/rewraps", operation_id = "listRewraps",
    params(OfWorkspace),
    responses((status = 200, description = "The latest re-wraps.", body = RewrapList), ShowProblems)
)]
pub(crate) async fn list(
    State(this): State<Arc<RewrapSecrets>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&[]);
    let admitted = this
        .api
        .admit(&call.headers, need(&call, &Ok(None)))
        .await?;
    query?;
    let workspace = &admitted.caller.workspace;
    let jobs = this.api.store.list_jobs(workspace, LISTED).await?;
    try_join_all(jobs.iter().map(|(_, attested)| this.check(attested))).await?;
    let target = this.target(admitted.binding()?);
    let rewraps = jobs.iter().map(|(job, _)| shown(job, target)).collect();
    Ok(json(StatusCode::OK, RewrapList { rewraps }))
}

/// Shows a re-wrap.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/rewraps/{id}", operation_id = "showRewrap",
    params(OfWorkspace, ("id" = String, Path, description = "The re-wrap's id.")),
    responses((status = 200, description = "The re-wrap, and how far it is.", body = ShownRewrap), ShowProblems)
)]
pub(crate) async fn show(
    State(this): State<Arc<RewrapSecrets>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&[]);
    let admitted = this
        .api
        .admit(&call.headers, need(&call, &Ok(None)))
        .await?;
    query?;
    let job = this.job_of(&admitted, call.param("id")).await?;
    this.answered(&admitted, &job)
}

/// Pauses a re-wrap.
///
/// What is under way ends; nothing is undone, and every secret can be used as before.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/rewraps/{id}", operation_id = "pauseRewrap",
    params(OfWorkspace, IdempotencyKey, ("id" = String, Path, description = "The re-wrap's id.")),
    responses((status = 200, description = "The re-wrap is paused.", body = ShownRewrap), StateProblems)
)]
pub(crate) async fn pause(
    State(this): State<Arc<RewrapSecrets>>,
    call: Call,
) -> Result<Response, Problem> {
    this.set_state(call, JobState::Paused).await
}

/// Lets a paused re-wrap go on.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/rewraps/{id}/resume", operation_id = "resumeRewrap",
    params(OfWorkspace, IdempotencyKey, ("id" = String, Path, description = "The re-wrap's id.")),
    request_body = Option<Nothing>,
    responses((status = 200, description = "The re-wrap goes on.", body = ShownRewrap), StateProblems)
)]
pub(crate) async fn resume(
    State(this): State<Arc<RewrapSecrets>>,
    call: Call,
) -> Result<Response, Problem> {
    this.set_state(call, JobState::Running).await
}

/// The answer to a start, with where its job is to be watched.
fn located(admitted: &Admitted, mut answer: Response, id: Option<String>) -> Response {
    let workspace = &admitted.caller.workspace;
    let path = id.map(|id| format!("/v1/workspaces/{workspace}/rewraps/{id}"));
    if let Some(Ok(path)) = path.map(HeaderValue::try_from) {
        answer.headers_mut().insert(header::LOCATION, path);
    }
    answer
}

/// The id of the job that the remembered answer tells of.
fn told_before(records: &Records) -> Option<String> {
    let known = records.idempotency.as_ref()?;
    let answer: Value = serde_json::from_str(&known.answer).ok()?;
    Some(answer.get("id")?.as_str()?.to_owned())
}

impl RewrapSecrets {
    /// The job of the path. A malformed id names nothing that exists.
    async fn job_of(&self, admitted: &Admitted, id: &str) -> Result<JobRecord, Problem> {
        let absent = || Problem::new(Code::NotFound);
        let id = JobId::parse(id).map_err(|_| absent())?;
        let workspace = &admitted.caller.workspace;
        self.job(workspace, &id).await?.ok_or_else(absent)
    }

    fn answered(&self, admitted: &Admitted, job: &JobRecord) -> Result<Response, Problem> {
        let target = self.target(admitted.binding()?);
        Ok(json(StatusCode::OK, shown(job, target)))
    }

    /// What is said where a job lives already: which.
    async fn one_lives(&self, admitted: &Admitted) -> Result<Problem, Problem> {
        let workspace = &admitted.caller.workspace;
        let jobs = self.api.store.list_jobs(workspace, LISTED).await?;
        let refused = Problem::new(Code::Conflict);
        let Some((job, attested)) = jobs.iter().find(|(job, _)| !job.state.is_ended()) else {
            return Ok(refused);
        };
        self.check(attested).await?;
        Ok(refused
            .because("A re-wrap of this workspace has not ended yet.")
            .with("rewrap", job.id.to_string()))
    }

    async fn set_state(&self, mut call: Call, wanted: JobState) -> Result<Response, Problem> {
        let key = idempotency_key(&call);
        let admitted = self.api.admit(&call.headers, need(&call, &key)).await?;
        key?;
        let body = call.body(BODY_MAX).await?;
        Fields::parse(&body)?.finish()?;
        let fingerprint = call.fingerprint(&admitted.caller, &[]);
        if let Some(answer) = admitted.replayed(&fingerprint)? {
            return Ok(answer);
        }
        let target = self.target(admitted.binding()?);
        for _ in 0..TRIES {
            let read = self.job_of(&admitted, call.param("id")).await?;
            if read.state.is_ended() {
                return Err(Problem::new(Code::Conflict).because("This re-wrap has ended."));
            }
            if read.state == wanted {
                return self.answered(&admitted, &read);
            }
            let job = JobRecord {
                state: wanted,
                handoff: wanted == JobState::Running,
                reason: None,
                updated_at: admitted.now,
                revision: read.revision.next(),
                ..read.clone()
            };
            let answer = shown(&job, target);
            let remembered = admitted.remember(fingerprint, StatusCode::OK, &answer, None);
            let audit = self.audited_job(&admitted, &call, AuditKind::RewrapState, &job);
            let save = SaveJob {
                read: read.revision,
                job: &job,
                token: Some(&admitted.caller.id),
                idempotency: remembered.as_ref(),
            };
            let (workspace, audit) = (&admitted.caller.workspace, Some((&audit).into()));
            let store = &self.api.store;
            match store.save_job(workspace, &save, &self.job_mac, audit).await {
                Ok(()) => return Ok(json(StatusCode::OK, answer)),
                // The job itself got on.
                Err(StoreError::Conflict(Which::Job)) => {}
                Err(StoreError::Conflict(Which::Idempotency)) => {
                    match self.afterwards(&admitted, None, &fingerprint).await? {
                        Afterwards::Answered(answer, _) => return Ok(answer),
                        Afterwards::Now(_) => {}
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Which::Job).into())
    }

    fn audited_job(
        &self,
        admitted: &Admitted,
        call: &Call,
        kind: AuditKind,
        job: &JobRecord,
    ) -> AuditRecord {
        let mut entry = admitted.audit(kind, &call.request_id);
        let state = match (kind, job.dry_run) {
            (AuditKind::Rewrap, true) => "dry_run",
            _ => job.state.as_str(),
        };
        entry.detail.extend([
            ("rewrap".to_owned(), job.id.to_string()),
            ("state".to_owned(), state.to_owned()),
        ]);
        self.audited(entry, None)
    }
}
