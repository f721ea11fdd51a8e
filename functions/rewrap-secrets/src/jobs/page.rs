//! One page of a job: wraps read, and for each of them what KMS says.

use super::{Footing, Keys, pace::Pace};
use crate::{KMS_TIME, RewrapSecrets};
use api::{Code, Problem};
use envelope::{
    EncryptionContext, KmsFailure, Refusal, WorkspaceId, WrappedDataKey, kms::RewrapRequest,
};
use futures_util::{StreamExt, stream};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use store::{JobFailure, JobPhase, JobRecord, JobState, Revision, StoreError, WrapItem, WrapPart};
use time::OffsetDateTime;

/// How many wraps a page has: as many as the store visits at once.
pub(super) const PAGE: u32 = 200;
/// How many KMS calls are under way at once.
const AT_ONCE: usize = 32;
/// From how many wraps on a page on which all fail for one reason tells of the key, not of them.
const TELLING: usize = 10;

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) phase: JobPhase,
    pub(super) cursor: Option<String>,
}

impl Position {
    pub(super) fn of(job: &JobRecord) -> Self {
        Self {
            phase: job.phase,
            cursor: job.cursor.clone(),
        }
    }

    /// Behind a page that ended at `cursor`; `None` is the end of the phase.
    fn behind(&self, cursor: Option<String>, dry_run: bool) -> Self {
        let phase = match (self.phase, &cursor) {
            (phase, Some(_)) => phase,
            (JobPhase::Count, None) => JobPhase::Heads,
            (JobPhase::Heads, None) => JobPhase::Earlier,
            (JobPhase::Earlier, None) if !dry_run => JobPhase::VerifyHeads,
            (JobPhase::VerifyHeads, None) => JobPhase::VerifyEarlier,
            (JobPhase::Earlier | JobPhase::VerifyEarlier | JobPhase::Ended, None) => {
                JobPhase::Ended
            }
        };
        Self { phase, cursor }
    }

    fn part(&self) -> WrapPart {
        match self.phase {
            JobPhase::Count | JobPhase::Heads | JobPhase::VerifyHeads => WrapPart::Heads,
            JobPhase::Earlier | JobPhase::VerifyEarlier | JobPhase::Ended => WrapPart::Earlier,
        }
    }

    fn verifies(&self) -> bool {
        matches!(self.phase, JobPhase::VerifyHeads | JobPhase::VerifyEarlier)
    }
}

/// A page as KMS answered it, nothing of it stored yet.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) at: Position,
    pub(super) behind: Position,
    /// What is to be stored.
    pub(super) moves: Vec<(WrapItem, WrappedDataKey)>,
    /// What a dry run would move.
    would: u64,
    already: u64,
    verified: u64,
    failures: Vec<JobFailure>,
    /// What kept KMS from answering for some of it: then the page does not count.
    pub(super) stopped: Option<Code>,
}

/// What reading a page came to.
pub(super) enum Gathered {
    Page(Page),
    /// One of its records is not readable as its kind.
    Broken,
    Frozen,
    Superseded,
    NoKey,
}

/// What reads pages and asks KMS about them: one for a run.
pub(super) struct Mover<'a> {
    function: &'a RewrapSecrets,
    workspace: &'a WorkspaceId,
    /// The job's id, which rides into the customer's log in the place of a receipt's.
    receipt: String,
    binding_revision: Revision,
    dry_run: bool,
    pace: Pace,
    /// Which key material the target wraps with now, once KMS has said so in this run.
    material: Mutex<Option<Option<String>>>,
}

/// What became of one wrap.
#[expect(
    clippy::large_enum_variant,
    reason = "a page holds a few hundred, and nearly all are moves"
)]
enum Treated {
    Move(WrapItem, WrappedDataKey),
    Would,
    Already,
    Verified,
    Failed(JobFailure),
    Stopped(Code),
    /// It was not asked for, since KMS did not answer for another one.
    Left,
}

impl<'a> Mover<'a> {
    pub(super) fn new(
        function: &'a RewrapSecrets,
        workspace: &'a WorkspaceId,
        job: &JobRecord,
    ) -> Self {
        Self {
            function,
            workspace,
            receipt: job.id.to_string(),
            binding_revision: job.binding_revision,
            dry_run: job.dry_run,
            pace: Pace::new(function.rate),
            material: Mutex::new(None),
        }
    }

    /// Reads the page at a position and asks KMS about all of it.
    pub(super) async fn gather(&self, at: Position) -> Result<Gathered, Problem> {
        let store = &self.function.api.store;
        let read = store.wraps(self.workspace, at.part(), at.cursor.as_deref(), PAGE);
        let (items, cursor) = match read.await {
            Ok(page) => page,
            Err(StoreError::Broken(_)) => return Ok(Gathered::Broken),
            Err(error) => return Err(error.into()),
        };
        // After the wraps, so that every key that they can rightly name is listed.
        let keys = match self
            .function
            .footing(self.workspace, self.binding_revision)
            .await?
        {
            Footing::Firm(keys) => keys,
            Footing::Frozen => return Ok(Gathered::Frozen),
            Footing::Superseded => return Ok(Gathered::Superseded),
            Footing::NoKey => return Ok(Gathered::NoKey),
        };
        let mut page = Page {
            behind: at.behind(cursor, self.dry_run),
            at,
            moves: Vec::with_capacity(items.len()),
            would: 0,
            already: 0,
            verified: 0,
            failures: Vec::new(),
            stopped: None,
        };
        let halted = AtomicBool::new(false);
        let verifies = page.at.verifies();
        let mut treated = stream::iter(items)
            .map(|item| self.treat_unless(&halted, &keys, item, verifies))
            .buffer_unordered(AT_ONCE);
        while let Some(treated) = treated.next().await {
            page.add(treated);
        }
        drop(treated);
        page.failures
            .sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        Ok(Gathered::Page(page))
    }

    /// Treats a wrap, unless KMS has stopped answering for others of the page.
    async fn treat_unless(
        &self,
        halted: &AtomicBool,
        keys: &Keys,
        item: WrapItem,
        verifies: bool,
    ) -> Treated {
        if halted.load(Ordering::Relaxed) {
            return Treated::Left;
        }
        let (name, version) = (item.name.clone(), item.version);
        match self.treat(keys, item, verifies).await {
            Ok(treated) => treated,
            Err(failure) => match reason(&failure) {
                Ok(reason) => {
                    if failure.refusal == Refusal::Integrity {
                        tracing::error!(
                            workspace = self.workspace.as_str(),
                            job = self.receipt,
                            secret = name.as_str(),
                            version = version.number(),
                            code = reason,
                            "a wrapped data key is not what was stored"
                        );
                    }
                    Treated::Failed(JobFailure {
                        name,
                        version,
                        reason: reason.to_owned(),
                    })
                }
                Err(code) => {
                    halted.store(true, Ordering::Relaxed);
                    Treated::Stopped(code)
                }
            },
        }
    }

    async fn treat(
        &self,
        keys: &Keys,
        item: WrapItem,
        verifies: bool,
    ) -> Result<Treated, KmsFailure> {
        let context = self
            .function
            .context(self.workspace, &item.name, item.version, &item.policy);
        let there = item.wrapped.key == keys.target;
        if self.dry_run {
            self.would_move(keys, &item.wrapped, &context).await?;
            return Ok(if there {
                Treated::Already
            } else {
                Treated::Would
            });
        }
        let found = if verifies {
            Treated::Verified
        } else {
            Treated::Already
        };
        if there && self.is_current(&item.wrapped) {
            if verifies {
                self.would_move(keys, &item.wrapped, &context).await?;
            }
            return Ok(found);
        }
        self.pace.turn().await;
        let request = self.request(keys, &item.wrapped, &context);
        let moved = self.function.rewrap.rewrap(request).await?.wrapped;
        *self.material() = Some(moved.material.clone());
        // Which material is the current one was not known before: it was this one's.
        if there && moved.material == item.wrapped.material {
            return Ok(found);
        }
        if verifies {
            self.would_move(keys, &moved, &context).await?;
        }
        Ok(Treated::Move(item, moved))
    }

    /// Asks whether KMS would move a wrap to the target now.
    async fn would_move(
        &self,
        keys: &Keys,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<(), KmsFailure> {
        self.pace.turn().await;
        let request = self.request(keys, wrapped, context);
        self.function.rewrap.would_rewrap(request).await.map(drop)
    }

    fn request<'r>(
        &'r self,
        keys: &'r Keys,
        wrapped: &'r WrappedDataKey,
        context: &'r EncryptionContext,
    ) -> RewrapRequest<'r> {
        RewrapRequest {
            wrapped,
            from: context,
            to_key: &keys.target,
            to: context,
            allowed: &keys.allowed,
            receipt: Some(&self.receipt),
            time: KMS_TIME,
        }
    }

    fn is_current(&self, wrapped: &WrappedDataKey) -> bool {
        self.material()
            .as_ref()
            .is_some_and(|known| *known == wrapped.material)
    }

    fn material(&self) -> std::sync::MutexGuard<'_, Option<Option<String>>> {
        self.material.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a wrap cannot be moved; or, where KMS did not say or the fault is the broker's own,
/// what to stop for.
fn reason(failure: &KmsFailure) -> Result<&'static str, Code> {
    let code = Problem::from(failure.clone()).code();
    match failure.refusal {
        Refusal::Throttled | Refusal::Unavailable | Refusal::Misconfigured => Err(code),
        Refusal::OtherRegion => Ok("other_region"),
        Refusal::AccessDenied
        | Refusal::Disabled
        | Refusal::PendingDeletion
        | Refusal::MaterialMissing
        | Refusal::NotFound
        | Refusal::Integrity
        | Refusal::Unsupported => Ok(code.as_str()),
    }
}

impl Page {
    fn add(&mut self, treated: Treated) {
        match treated {
            Treated::Move(item, wrapped) => self.moves.push((item, wrapped)),
            Treated::Would => self.would += 1,
            Treated::Already => self.already += 1,
            Treated::Verified => self.verified += 1,
            Treated::Failed(failure) => self.failures.push(failure),
            Treated::Stopped(code) => self.stopped = Some(code),
            Treated::Left => {}
        }
    }

    /// The reason for which all of a page failed that is long enough to tell.
    fn all_failed(&self) -> Option<&str> {
        let others = self.moves.len() as u64 + self.would + self.already + self.verified;
        let first = &self.failures.first()?.reason;
        let telling = self.failures.len() >= TELLING
            && others == 0
            && self.failures.iter().all(|failure| failure.reason == *first);
        telling.then_some(first)
    }

    /// Enters what became of the page, of whose moves `moved` landed, into the job, and puts
    /// the job behind it. A page that does not count leaves the job where it is.
    pub(super) fn enter(&self, job: &mut JobRecord, moved: u64, now: OffsetDateTime) {
        if let Some(code) = self.stopped {
            job.reason = Some(code.as_str().to_owned());
            return;
        }
        if let Some(reason) = self.all_failed() {
            job.state = JobState::Paused;
            job.reason = Some(reason.to_owned());
            return;
        }
        job.reason = None;
        job.moved += moved + self.would;
        job.already += self.already;
        job.changed += self.moves.len() as u64 - moved;
        job.verified += self.verified + if self.at.verifies() { moved } else { 0 };
        for failure in &self.failures {
            job.fail(failure.clone());
        }
        job.phase = self.behind.phase;
        job.cursor.clone_from(&self.behind.cursor);
        if job.phase == JobPhase::VerifyHeads && self.at.phase != JobPhase::VerifyHeads {
            // Each is tried once more, and counted by how that goes.
            job.failed = 0;
            job.failures.clear();
        }
        if job.phase == JobPhase::Ended {
            end(job, now);
        }
    }
}

/// Ends a job that has seen everything: done, if nothing failed.
fn end(job: &mut JobRecord, now: OffsetDateTime) {
    job.state = match job.failed {
        0 => JobState::Done,
        _ => JobState::Failed,
    };
    job.reason = job.failures.first().map(|first| first.reason.clone());
    job.ended_at = Some(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{SecretName, SecretVersion};
    use store::Actor;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-31 12:00 UTC);

    fn job(dry_run: bool, phase: JobPhase) -> JobRecord {
        let mut job = JobRecord::new(Revision::ZERO, dry_run, Actor::Operator, NOW);
        job.phase = phase;
        job
    }

    fn page(job: &JobRecord, cursor: Option<&str>, failed: usize) -> Page {
        let at = Position::of(job);
        let failure = |n| JobFailure {
            name: SecretName::parse(&format!("s{n}")).unwrap(),
            version: SecretVersion::FIRST,
            reason: "key_disabled".to_owned(),
        };
        Page {
            behind: at.behind(cursor.map(str::to_owned), job.dry_run),
            at,
            moves: Vec::new(),
            would: 0,
            already: 0,
            verified: 0,
            failures: (0..failed).map(failure).collect(),
            stopped: None,
        }
    }

    #[test]
    fn a_job_visits_heads_before_earlier_versions_and_all_of_them_twice_but_in_a_dry_run() {
        for (dry_run, phases) in [
            (
                false,
                &[
                    JobPhase::Earlier,
                    JobPhase::VerifyHeads,
                    JobPhase::VerifyEarlier,
                    JobPhase::Ended,
                ][..],
            ),
            (true, &[JobPhase::Earlier, JobPhase::Ended]),
        ] {
            let mut job = job(dry_run, JobPhase::Heads);
            for phase in phases {
                page(&job, Some("x"), 0).enter(&mut job, 0, NOW);
                assert_ne!(job.phase, *phase, "there is more of the phase before");
                page(&job, None, 0).enter(&mut job, 0, NOW);
                assert_eq!((job.phase, &job.cursor), (*phase, &None));
            }
            assert_eq!(
                (job.state, job.ended_at),
                (JobState::Done, Some(NOW)),
                "{job:?}"
            );
        }
    }

    #[test]
    fn a_page_that_kms_did_not_answer_for_leaves_the_job_where_it_is() {
        let mut job = job(false, JobPhase::Heads);
        let mut page = page(&job, Some("x"), 3);
        page.already = 5;
        page.stopped = Some(Code::KmsUnavailable);
        page.enter(&mut job, 0, NOW);
        assert_eq!(Position::of(&job), page.at);
        assert_eq!((job.already, job.failed), (0, 0));
        assert_eq!(job.reason.as_deref(), Some("kms_unavailable"));
        assert_eq!(job.state, JobState::Running);
    }

    #[test]
    fn where_all_of_a_long_page_fail_for_one_reason_the_job_waits_for_someone_to_mend_the_key() {
        let mut paused = job(false, JobPhase::Heads);
        let long = page(&paused, Some("x"), TELLING);
        long.enter(&mut paused, 0, NOW);
        assert_eq!(paused.state, JobState::Paused);
        assert_eq!(paused.reason.as_deref(), Some("key_disabled"));
        assert_eq!((Position::of(&paused), paused.failed), (long.at, 0));

        for change in [
            (|page: &mut Page| drop(page.failures.pop())) as fn(&mut Page),
            |page| page.already = 1,
            |page| page.failures[0].reason = "not_found".to_owned(),
        ] {
            let mut goes_on = job(false, JobPhase::Heads);
            let mut page = page(&goes_on, Some("x"), TELLING);
            change(&mut page);
            page.enter(&mut goes_on, 0, NOW);
            assert_eq!(goes_on.state, JobState::Running);
            assert_eq!(goes_on.failed, page.failures.len() as u64);
        }
    }

    #[test]
    fn what_failed_is_counted_by_how_its_second_chance_goes() {
        let mut job = job(false, JobPhase::Earlier);
        page(&job, None, 3).enter(&mut job, 0, NOW);
        assert_eq!((job.failed, job.failures.len()), (0, 0));
        page(&job, None, 1).enter(&mut job, 0, NOW);
        page(&job, None, 1).enter(&mut job, 0, NOW);
        assert_eq!((job.state, job.failed), (JobState::Failed, 2));
        assert_eq!(job.reason.as_deref(), Some("key_disabled"));
    }
}
