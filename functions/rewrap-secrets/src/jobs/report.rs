//! A job as its people see it.

use crate::schema::{ShownFailure, ShownRewrap};
use api::rfc3339;
use envelope::KeyArn;
use store::{JobRecord, JobState};
use time::Duration;

/// A job; `key` is the one that the binding names now.
pub(super) fn shown(job: &JobRecord, key: Option<&KeyArn>) -> ShownRewrap {
    let visited = job.moved + job.already + job.changed;
    let remaining = job.total.saturating_sub(visited + job.failed);
    let progress = Progress::of(job);
    ShownRewrap {
        id: job.id.to_string(),
        state: job.state.as_str(),
        phase: job.phase.as_str(),
        dry_run: job.dry_run,
        binding_revision: job.binding_revision.number(),
        key: key.map(ToString::to_string),
        total: job.total,
        moved: job.moved,
        already: job.already,
        changed: job.changed,
        verified: job.verified,
        failed: job.failed,
        failures: job
            .failures
            .iter()
            .map(|failure| ShownFailure {
                name: failure.name.to_string(),
                version: failure.version.number(),
                reason: failure.reason.clone(),
            })
            .collect(),
        remaining,
        rate_per_second: progress.as_ref().map(|progress| progress.rate),
        estimated_end: progress
            .and_then(|progress| progress.left(job))
            .and_then(|left| job.updated_at.checked_add(left))
            .map(rfc3339),
        created_at: rfc3339(job.created_at),
        updated_at: rfc3339(job.updated_at),
        ended_at: job.ended_at.map(rfc3339),
        reason: job.reason.clone(),
    }
}

/// How fast a job is.
struct Progress {
    /// Visits a second: a version is visited once to be moved, and once to be verified.
    rate: f64,
    visits: f64,
}

impl Progress {
    fn of(job: &JobRecord) -> Option<Self> {
        let began = job.started_moving_at?;
        let seconds = (job.updated_at - began).as_seconds_f64();
        let visits = (job.moved + job.already + job.changed + job.verified + job.failed) as f64;
        let rate = visits / seconds;
        rate.is_finite().then_some(Self { rate, visits })
    }

    /// How long a job that goes on still takes at this rate.
    fn left(&self, job: &JobRecord) -> Option<Duration> {
        let rounds = if job.dry_run { 1 } else { 2 };
        let left = ((job.total * rounds) as f64 - self.visits).max(0.0);
        let goes_on = job.state == JobState::Running && self.rate > 0.0;
        goes_on
            .then(|| Duration::checked_seconds_f64(left / self.rate))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Actor, Revision};
    use time::macros::datetime;

    #[test]
    fn the_end_is_estimated_from_all_visits_that_are_left() {
        let began = datetime!(2030-01-31 12:00 UTC);
        let mut job = JobRecord::new(Revision::ZERO, false, Actor::Operator, began);
        let before = shown(&job, None);
        assert_eq!((before.rate_per_second, before.estimated_end), (None, None));

        job.total = 1000;
        job.started_moving_at = Some(began);
        let at_once = shown(&job, None);
        assert_eq!((at_once.rate_per_second, at_once.remaining), (None, 1000));

        job.updated_at = began + Duration::seconds(10);
        job.moved = 480;
        job.already = 15;
        job.failed = 5;
        let half = shown(&job, None);
        assert_eq!((half.rate_per_second, half.remaining), (Some(50.0), 500));
        // 500 to move and 1000 to verify.
        assert_eq!(half.estimated_end.as_deref(), Some("2030-01-31T12:00:40Z"));

        job.state = JobState::Paused;
        assert_eq!(shown(&job, None).estimated_end, None);
    }
}
