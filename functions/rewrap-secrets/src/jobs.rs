//! Re-wrap jobs: everything that a workspace holds, under the key that is bound now.
//!
//! ```text
//! Count ─► Heads ─► Earlier ─► VerifyHeads ─► VerifyEarlier ─► Ended
//!          └──── moved ────┘   └──── every one asked for ───┘
//!
//! a page   read: up to 200 wraps, the binding, the freeze        (MAC)
//!          ReEncrypt: 32 at once, below the rate                 ─┐ of the next page,
//!          write: each wrap on the condition that it is as read,  │ while this one is
//!                 and the binding the job's                      ─┘ written
//!          save: the job's counts, and where it is               (MAC)
//! ```
//!
//! **Invariant**: a job misses no version. A version's wrap goes from a head to an earlier
//! version only, never back but under the current key ([`versions`](crate::versions)); so heads
//! are visited first. Whatever else writes a wrap writes it under the current key of the
//! binding that its transaction checks. And what a job moved it visits once more.
//!
//! **Invariant**: the place that a job's record says is never beyond what is stored. A run
//! that is cut off, by a kill or by a pause, does a page again, and finds it done.
//!
//! What this room refuses to do: it takes no target from a job's record, and does nothing at
//! all on the word of one that has not the deployment's MAC.

mod pace;
mod page;
mod report;
pub(crate) mod routes;
mod run;
mod wake;

use crate::RewrapSecrets;
use api::{Problem, current_kek};
use envelope::{KeyArn, WorkspaceId};
use std::time::Duration;
use store::{Attested, Binding, JobId, JobRecord, Revision};

/// How long the check of a MAC may take, retries included.
const MAC_TIME: Duration = Duration::from_secs(5);

/// What a run stands on: read anew for every page.
enum Footing {
    /// The binding is the job's.
    Firm(Keys),
    /// The workspace is frozen: the job waits.
    Frozen,
    /// Another key was bound since.
    Superseded,
    /// There is no key to move to any more.
    NoKey,
}

/// The keys that a page moves between.
struct Keys {
    /// The KEK to move to.
    target: KeyArn,
    /// The KEKs that a wrap may lie under.
    allowed: Vec<KeyArn>,
}

impl RewrapSecrets {
    /// A job of the workspace, its MAC checked.
    async fn job(&self, workspace: &WorkspaceId, id: &JobId) -> Result<Option<JobRecord>, Problem> {
        let Some((job, attested)) = self.api.store.read_job(workspace, id).await? else {
            return Ok(None);
        };
        self.check(&attested).await?;
        Ok(Some(job))
    }

    async fn check(&self, job: &Attested) -> Result<(), Problem> {
        let record = job.record();
        Ok(self.check_job.check(&record, job.mac(), MAC_TIME).await?)
    }

    /// The key that the workspace's secrets are to lie under, by a binding that is authentic.
    fn target<'a>(&'a self, binding: &'a Binding) -> Option<&'a KeyArn> {
        current_kek(binding, self.deployment_key.as_ref())
    }

    /// Reads what a job for the binding of this revision stands on, its MAC checked.
    async fn footing(
        &self,
        workspace: &WorkspaceId,
        revision: Revision,
    ) -> Result<Footing, Problem> {
        let store = &self.api.store;
        let Some((binding, attested, freeze)) = store.binding_for_job(workspace).await? else {
            return Err(Problem::new(api::Code::IntegrityFailure)
                .from_source("a workspace with a job has no record of its binding"));
        };
        self.api.macs.verify(vec![attested]).passed().await?;
        if binding.revision != revision {
            return Ok(Footing::Superseded);
        }
        if freeze.is_some_and(|freeze| freeze.frozen) {
            return Ok(Footing::Frozen);
        }
        Ok(match self.target(&binding) {
            None => Footing::NoKey,
            Some(target) => Footing::Firm(Keys {
                target: target.clone(),
                allowed: self.keks(&binding),
            }),
        })
    }
}
