//! Jobs: started, saved, read, listed.

use super::{
    Store, condition::Condition, failure::unavailable, keys, list::Range, transact::Transaction,
    wire_authority, wire_job,
};
use crate::{
    Attested, Audit, IdempotencyRecord, JobId, JobRecord, Page, SaveJob, StoreError, Which,
};
use envelope::{RecordKind, WorkspaceId, kms::MakeMac};

impl Store {
    /// Starts a job, where none lives in the workspace.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts, `Binding` where the binding moved, `Exists` where a job
    /// lives; the first of these that holds. `Unattested`.
    pub async fn start_job<'a>(
        &self,
        workspace: &WorkspaceId,
        job: &JobRecord,
        mac: &MakeMac,
        idempotency: Option<&IdempotencyRecord>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        let audit = audit.into();
        let item = wire_job::job_item(workspace, job, mac).await?;
        let mut write = Transaction::new(self, workspace);
        write.check_actor(&audit, None);
        write.remember(idempotency, job.created_at)?;
        write.check(
            keys::BINDING,
            Which::Binding,
            Condition::revision(job.binding_revision),
        );
        write.put_live_job(
            wire_job::live_job_item(&job.id),
            Which::Exists,
            Condition::absent(),
        );
        write.put(
            &keys::job(&job.id),
            item,
            Which::Exists,
            Condition::absent(),
        );
        write.commit("start job", Some(audit)).await
    }

    /// Stores a job's next state; where it ended, another may start.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts, `Job` where it is no longer the one that was read or has
    /// ended; the first of these that holds. `Unattested`, `TooLarge`.
    pub async fn save_job(
        &self,
        workspace: &WorkspaceId,
        save: &SaveJob<'_>,
        mac: &MakeMac,
        audit: Option<Audit<'_>>,
    ) -> Result<(), StoreError> {
        let job = save.job;
        if job.revision != save.read.next() {
            return Err(StoreError::Conflict(Which::Job));
        }
        let item = wire_job::job_item(workspace, job, mac).await?;
        let mut write = Transaction::new(self, workspace);
        if let Some(token) = save.token {
            write.check_token(token);
        }
        write.remember(save.idempotency, job.updated_at)?;
        write.put(
            &keys::job(&job.id),
            item,
            Which::Job,
            Condition::live_job(save.read),
        );
        if job.state.is_ended() {
            write.delete_live_job(Which::Job, Condition::lives(&job.id));
        }
        write.commit("save job", audit).await
    }

    /// A job, read and raw.
    ///
    /// # Errors
    /// The record is broken, or DynamoDB could not be asked.
    pub async fn read_job(
        &self,
        workspace: &WorkspaceId,
        id: &JobId,
    ) -> Result<Option<(JobRecord, Attested)>, StoreError> {
        let (pk, sk) = (keys::workspace(workspace), keys::job(id));
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::primary(&pk, &sk)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable("read job", &error))?;
        let Some(item) = output.item else {
            return Ok(None);
        };
        let job = wire_job::job(workspace, &id.to_string(), &item)?;
        let attested = wire_authority::attested(RecordKind::Job, &pk, &sk, &item);
        Ok(Some((job, attested)))
    }

    /// A workspace's latest jobs, the newest first, each read and raw.
    ///
    /// # Errors
    /// A job is broken, or DynamoDB could not be asked.
    pub async fn list_jobs(
        &self,
        workspace: &WorkspaceId,
        limit: u32,
    ) -> Result<Vec<(JobRecord, Attested)>, StoreError> {
        let pk = keys::workspace(workspace);
        let parse = |id: &str, item| {
            let job = wire_job::job(workspace, id, &item)?;
            let sk = keys::job(&job.id);
            let attested = wire_authority::attested(RecordKind::Job, &pk, &sk, &item);
            Ok(Some((job, attested)))
        };
        let range = Range::prefixed(self, pk.clone(), keys::JOBS).backwards();
        Ok(range.list(None, limit, parse).await?.items)
    }

    /// The jobs that live, by workspace. Where to look, no more: what a job is its own
    /// record tells. An entry that names none is left out.
    ///
    /// # Errors
    /// DynamoDB could not be asked.
    pub async fn live_jobs(
        &self,
        after: Option<&WorkspaceId>,
        limit: u32,
    ) -> Result<Page<(WorkspaceId, JobId)>, StoreError> {
        Range::live_jobs(self)
            .list(after.map(WorkspaceId::as_str), limit, |workspace, item| {
                // The index is advice; a broken entry must not keep others' jobs waiting.
                Ok(wire_job::live_job(workspace, &item).ok())
            })
            .await
    }
}
