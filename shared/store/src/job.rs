//! Jobs: the re-wrap of a workspace's secrets under its current KEK.

use crate::{Actor, IdempotencyRecord, Revision, TokenId, names::named, uuid7};
use envelope::{InvalidId, SecretName, SecretVersion};
use std::{fmt, str::FromStr};
use time::OffsetDateTime;
use uuid::Uuid;

/// The name of a job: a UUIDv7 (RFC 9562, section 5.7), so that jobs lie in the
/// order of their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// A fresh id of the time `now`.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self(uuid7::fresh(now))
    }

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not a UUIDv7 in its usual form, or its time is past the year 9999.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        uuid7::parse(text).map(Self).ok_or(InvalidId {
            kind: "job id",
            rule: "a UUIDv7 in lower case with hyphens",
        })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

named! {
    /// How a job stands.
    pub enum JobState, "job state" {
        /// It goes on.
        Running = "running",
        /// It waits until someone lets it go on.
        Paused = "paused",
        /// It did all that it was to do.
        Done = "done",
        /// It ended, and something was left undone.
        Failed = "failed",
        /// The binding that it was started for is no longer the workspace's.
        Superseded = "superseded",
    }
}

impl JobState {
    /// Whether it is over. A workspace has one job at most that has not ended.
    #[must_use]
    pub fn is_ended(self) -> bool {
        match self {
            Self::Running | Self::Paused => false,
            Self::Done | Self::Failed | Self::Superseded => true,
        }
    }
}

named! {
    /// What a job is at.
    pub enum JobPhase, "job phase" {
        /// Counting what there is to do.
        Count = "count",
        /// Moving the wraps of the current versions.
        Heads = "heads",
        /// Moving those of the earlier versions.
        Earlier = "earlier",
        /// Checking those of the current versions.
        VerifyHeads = "verify_heads",
        /// Checking those of the earlier versions.
        VerifyEarlier = "verify_earlier",
        /// Nothing more.
        Ended = "ended",
    }
}

/// A job, and how far it is. It names a revision of the binding and never a key:
/// the target comes from the binding alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// The binding that it was started for.
    pub binding_revision: Revision,
    /// Whether it only asks KMS whether it would.
    pub dry_run: bool,
    /// How it stands.
    pub state: JobState,
    /// What it is at.
    pub phase: JobPhase,
    /// Where in the phase: what [`wraps`](crate::Store::wraps) goes on after.
    pub cursor: Option<String>,
    /// Whether another invocation is to go on with it: what the table's stream is filtered by.
    pub handoff: bool,
    /// Wraps that there were to begin with.
    pub total: u64,
    /// Wraps that it moved, or would.
    pub moved: u64,
    /// Wraps that were where they belong already.
    pub already: u64,
    /// Wraps that something else changed meanwhile.
    pub changed: u64,
    /// Wraps that were found where they belong afterwards.
    pub verified: u64,
    /// Wraps that could not be moved.
    pub failed: u64,
    /// The first [`FAILURES`](Self::FAILURES) of these.
    pub failures: Vec<JobFailure>,
    /// Why it paused or failed: a stable code.
    pub reason: Option<String>,
    /// Who started it.
    pub created_by: Actor,
    /// When.
    pub created_at: OffsetDateTime,
    /// When it had counted and began to move.
    pub started_moving_at: Option<OffsetDateTime>,
    /// When it was last saved.
    pub updated_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// Goes up with every save.
    pub revision: Revision,
}

/// One wrap that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The secret.
    pub name: SecretName,
    /// The version.
    pub version: SecretVersion,
    /// Why: a stable code.
    pub reason: String,
}

impl JobRecord {
    /// How many failures a record tells of one by one. With names of 128 characters and
    /// short reasons that is far below the 400 KB of an item.
    pub const FAILURES: usize = 100;

    /// A job that begins, counting, to go on in another invocation.
    #[must_use]
    pub fn new(
        binding_revision: Revision,
        dry_run: bool,
        created_by: Actor,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: JobId::new(now),
            binding_revision,
            dry_run,
            state: JobState::Running,
            phase: JobPhase::Count,
            cursor: None,
            handoff: true,
            total: 0,
            moved: 0,
            already: 0,
            changed: 0,
            verified: 0,
            failed: 0,
            failures: Vec::new(),
            reason: None,
            created_by,
            created_at: now,
            started_moving_at: None,
            updated_at: now,
            ended_at: None,
            revision: Revision::ZERO,
        }
    }

    /// Counts a failure and keeps it if it is among the first.
    pub fn fail(&mut self, failure: JobFailure) {
        self.failed += 1;
        if self.failures.len() < Self::FAILURES {
            self.failures.push(failure);
        }
    }
}

/// A job's next state, with all that it is conditional on.
#[derive(Debug, Clone, Copy)]
pub struct SaveJob<'a> {
    /// The revision that was read; the job must still have it, and not have ended.
    pub read: Revision,
    /// The job as it is now; its revision is the one after `read`.
    pub job: &'a JobRecord,
    /// The token of whoever asked for the change, which must still exist; `None` where
    /// the job itself goes on.
    pub token: Option<&'a TokenId>,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
}
