//! One run of a job: a page after the other, until its time is up.

use super::{
    Footing,
    page::{Gathered, Mover, PAGE, Page, Position},
};
use crate::RewrapSecrets;
use api::{Code, Problem, outcome};
use envelope::WorkspaceId;
use std::collections::BTreeMap;
use store::{
    AuditEntry, AuditKind, AuditRecord, JobId, JobPhase, JobRecord, JobState, Moved, ReceiptId,
    SaveJob, StoreError, Which, WrapPart,
};
use time::OffsetDateTime;
use tokio::time::Instant;

/// How often the outcome of a page is entered anew where someone paused the job meanwhile.
const TRIES: u32 = 4;

/// A run: the job as it was last saved, and until when to work on it.
struct Run<'a> {
    function: &'a RewrapSecrets,
    workspace: &'a WorkspaceId,
    job: JobRecord,
    until: Instant,
}

impl RewrapSecrets {
    /// Works on a job until `until`, if it is one to go on with and `due` says so. Whether it did.
    ///
    /// # Errors
    /// `integrity_failure`, with nothing done, where the job or the binding has not this
    /// deployment's MAC; what the store or KMS says where they could not be asked.
    pub(super) async fn run_job(
        &self,
        workspace: &WorkspaceId,
        id: &JobId,
        due: impl Fn(&JobRecord) -> bool,
        until: Instant,
    ) -> Result<bool, Problem> {
        let Some(job) = self.job(workspace, id).await? else {
            return Ok(false);
        };
        if job.state != JobState::Running || !due(&job) {
            return Ok(false);
        }
        let footing = self.footing(workspace, job.binding_revision).await?;
        let mut run = Run {
            function: self,
            workspace,
            job,
            until,
        };
        match footing {
            Footing::Frozen => return Ok(false),
            Footing::Superseded => run.end(JobState::Superseded, None).await?,
            Footing::NoKey => {
                run.end(JobState::Failed, Some(Code::NoWorkspaceKey))
                    .await?
            }
            Footing::Firm(_) => {
                if !run.claim().await? {
                    return Ok(false);
                }
                run.work().await?;
            }
        }
        Ok(true)
    }
}

impl Run<'_> {
    /// Takes the job, so that of two that find it at once one works on it.
    async fn claim(&mut self) -> Result<bool, Problem> {
        match self.save(|job, _| job.handoff = false).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict(Which::Job)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn work(&mut self) -> Result<(), Problem> {
        if self.job.phase == JobPhase::Count && !self.count().await? {
            return Ok(());
        }
        let mover = Mover::new(self.function, self.workspace, &self.job);
        let mut ahead = None;
        loop {
            let gathered = match ahead.take() {
                Some(gathered) => gathered,
                None => mover.gather(Position::of(&self.job)).await?,
            };
            let page = match gathered {
                Gathered::Page(page) => page,
                Gathered::Frozen => return Ok(()),
                Gathered::Broken => return self.pause_broken().await,
                Gathered::Superseded => return self.end(JobState::Superseded, None).await,
                Gathered::NoKey => {
                    return self.end(JobState::Failed, Some(Code::NoWorkspaceKey)).await;
                }
            };
            let last = Instant::now() >= self.until;
            // A phase begins when all of the one before is stored: what left a head for an
            // earlier version until then is found there.
            let next = (!last && page.stopped.is_none() && page.behind.phase == page.at.phase)
                .then(|| page.behind.clone());
            let (goes_on, gathered) = tokio::join!(self.store(&page, last), async {
                match next {
                    Some(position) => Some(mover.gather(position).await),
                    None => None,
                }
            });
            if !goes_on? || last {
                return Ok(());
            }
            ahead = gathered.transpose()?;
        }
    }

    /// Stores a page and saves the job behind it. Whether the run may go on.
    async fn store(&mut self, page: &Page, hand_over: bool) -> Result<bool, Problem> {
        let moves: Vec<_> = page.moves.iter().map(|(item, to)| (item, to)).collect();
        let store = &self.function.api.store;
        let binding = self.job.binding_revision;
        let moved = match store.move_wraps(self.workspace, binding, &moves).await {
            Ok(moved) => moved,
            // Another key was bound since: nothing more may come to lie under this one.
            Err(StoreError::Conflict(Which::Binding)) => {
                self.end(JobState::Superseded, None).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let moved = moved.iter().filter(|moved| **moved == Moved::Yes).count() as u64;
        let entered = self
            .advance(&page.at, |job, now| {
                page.enter(job, moved, now);
                job.handoff = hand_over && job.state == JobState::Running;
            })
            .await?;
        Ok(entered && self.job.state == JobState::Running && page.stopped.is_none())
    }

    /// Counts what there is to do. Whether the run may go on to do it.
    async fn count(&mut self) -> Result<bool, Problem> {
        let at = Position::of(&self.job);
        let (mut part, mut cursor) = counted_to(at.cursor.as_deref());
        let mut total = 0;
        let place = loop {
            let store = &self.function.api.store;
            let page = store.wraps(self.workspace, part, cursor.as_deref(), PAGE);
            let (items, next) = match page.await {
                Ok(page) => page,
                Err(StoreError::Broken(_)) => return self.pause_broken().await.map(|()| false),
                Err(error) => return Err(error.into()),
            };
            total += items.len() as u64;
            match (part, next) {
                (_, Some(next)) => cursor = Some(next),
                (WrapPart::Heads, None) => (part, cursor) = (WrapPart::Earlier, None),
                (WrapPart::Earlier, None) => break None,
            }
            if Instant::now() >= self.until {
                break Some(count_cursor(part, cursor.as_deref()));
            }
        };
        let all = place.is_none();
        let entered = self.advance(&at, |job, now| {
            job.total += total;
            job.cursor.clone_from(&place);
            job.handoff = !all && job.state == JobState::Running;
            if all {
                job.phase = JobPhase::Heads;
                job.started_moving_at = Some(now);
            }
        });
        Ok(entered.await? && all && self.job.state == JobState::Running)
    }

    /// A record that cannot be read stops the job, for someone to look.
    async fn pause_broken(&mut self) -> Result<(), Problem> {
        let code = Code::IntegrityFailure.as_str();
        tracing::error!(
            workspace = self.workspace.as_str(),
            job = %self.job.id,
            code,
            "a record that a re-wrap came to is not readable"
        );
        let at = Position::of(&self.job);
        let paused = self.advance(&at, |job, _| {
            job.state = JobState::Paused;
            job.reason = Some(code.to_owned());
        });
        paused.await.map(drop)
    }

    async fn end(&mut self, state: JobState, reason: Option<Code>) -> Result<(), Problem> {
        let at = Position::of(&self.job);
        let ended = self.advance(&at, |job, now| {
            job.state = state;
            job.phase = JobPhase::Ended;
            job.cursor = None;
            job.handoff = false;
            job.reason = reason.map(|code| code.as_str().to_owned());
            job.ended_at = Some(now);
        });
        ended.await.map(drop)
    }

    /// Changes the job as long as it is at `at`; where someone paused it meanwhile, what was
    /// done is entered all the same. `false`: someone else went on with it.
    async fn advance(
        &mut self,
        at: &Position,
        change: impl Fn(&mut JobRecord, OffsetDateTime),
    ) -> Result<bool, Problem> {
        for _ in 0..TRIES {
            match self.save(&change).await {
                Ok(()) => return Ok(true),
                Err(StoreError::Conflict(Which::Job)) => {}
                Err(error) => return Err(error.into()),
            }
            match self.function.job(self.workspace, &self.job.id).await? {
                Some(job) if !job.state.is_ended() && Position::of(&job) == *at => self.job = job,
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Saves the job with a change. A change of state is audited, in the name of who started it.
    async fn save(
        &mut self,
        change: impl Fn(&mut JobRecord, OffsetDateTime),
    ) -> Result<(), StoreError> {
        let now = self.function.api.clock.now();
        let mut job = self.job.clone();
        change(&mut job, now);
        job.updated_at = now;
        job.revision = self.job.revision.next();
        let audit = (job.state != self.job.state).then(|| audit(&job, now));
        let save = SaveJob {
            read: self.job.revision,
            job: &job,
            token: None,
            idempotency: None,
        };
        let store = &self.function.api.store;
        let audit = audit.as_ref().map(Into::into);
        store
            .save_job(self.workspace, &save, &self.function.job_mac, audit)
            .await?;
        self.job = job;
        Ok(())
    }
}

/// The audit record of a job that ended or paused by itself.
fn audit(job: &JobRecord, now: OffsetDateTime) -> AuditRecord {
    let counts = [
        ("total", job.total),
        ("moved", job.moved),
        ("already", job.already),
        ("verified", job.verified),
        ("failed", job.failed),
    ];
    let mut detail = BTreeMap::from([
        ("rewrap".to_owned(), job.id.to_string()),
        ("state".to_owned(), job.state.as_str().to_owned()),
    ]);
    detail.extend(counts.map(|(name, count)| (name.to_owned(), count.to_string())));
    let code = job.reason.as_deref().unwrap_or("ok");
    AuditRecord {
        entry: AuditEntry {
            id: ReceiptId::new(now),
            kind: AuditKind::RewrapState,
            at: now,
            token: job.created_by.clone(),
            secret: None,
            version: None,
            request_id: String::new(),
            destination: None,
            method: None,
            detail,
        },
        outcome: Some(outcome(code, now, now)),
    }
}

const HEADS: &str = "heads/";
const EARLIER: &str = "earlier/";

/// The place of a count, which goes over both parts: the part, and where in it.
fn count_cursor(part: WrapPart, cursor: Option<&str>) -> String {
    let part = match part {
        WrapPart::Heads => HEADS,
        WrapPart::Earlier => EARLIER,
    };
    format!("{part}{}", cursor.unwrap_or_default())
}

fn counted_to(cursor: Option<&str>) -> (WrapPart, Option<String>) {
    let in_part = |rest: &str| (!rest.is_empty()).then(|| rest.to_owned());
    let cursor = cursor.unwrap_or_default();
    match cursor.strip_prefix(EARLIER) {
        Some(rest) => (WrapPart::Earlier, in_part(rest)),
        None => (
            WrapPart::Heads,
            cursor.strip_prefix(HEADS).and_then(in_part),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_on_where_it_was() {
        for part in [WrapPart::Heads, WrapPart::Earlier] {
            for cursor in [None, Some("a.name"), Some("a.name#0000007")] {
                let text = count_cursor(part, cursor);
                assert_eq!(
                    counted_to(Some(&text)),
                    (part, cursor.map(str::to_owned)),
                    "{text}"
                );
            }
        }
        assert_eq!(counted_to(None), (WrapPart::Heads, None));
    }
}
