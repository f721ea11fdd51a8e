//! The record of one use: its intent, stored before the secret leaves, and its
//! outcome.

use api::{Admitted, Api, Code, Problem};
use envelope::{WorkspaceId, kms::KmsCall};
use store::{AuditEntry, AuditOutcome};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

/// One use's record. Dropped without an outcome, because its caller went away, it
/// notes that by itself.
pub(crate) struct Intent {
    pub(crate) entry: AuditEntry,
    /// The unwrap, once there was one.
    pub(crate) kms: Option<KmsCall>,
    /// What the upstream answered, once it did.
    pub(crate) upstream_status: Option<u16>,
    api: Api,
    workspace: WorkspaceId,
    state: State,
}

enum State {
    /// Nothing is stored, or all of it.
    Settled,
    /// The intent is, or is on its way.
    Pending,
    /// How it went is known, and on its way.
    Ending(Box<AuditOutcome>),
}

impl Intent {
    pub(crate) fn new(api: &Api, admitted: &Admitted, entry: AuditEntry) -> Self {
        Self {
            entry,
            kms: None,
            upstream_status: None,
            api: api.clone(),
            workspace: admitted.caller.workspace.clone(),
            state: State::Settled,
        }
    }

    /// Stores the intent.
    ///
    /// # Errors
    /// `audit_unavailable`: then there is no use.
    pub(crate) async fn begin(&mut self, until: Instant) -> Result<(), Problem> {
        self.state = State::Pending;
        let stored = timeout_at(
            until,
            self.api.store.begin_use(&self.workspace, &self.entry),
        );
        let problem = match stored.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Problem::new(Code::AuditUnavailable).from_source(error),
            Err(late) => Problem::new(Code::AuditUnavailable).from_source(late),
        };
        self.state = State::Settled;
        Err(problem)
    }

    /// Stores the outcome: `ok`, or the code of the error that the caller gets.
    pub(crate) async fn finish(&mut self, code: &str) {
        let outcome = self.outcome(code);
        self.finish_with(outcome).await;
    }

    /// Stores the outcome. If that fails the intent stands, which says that the
    /// secret may have left; the upstream's answer is not withheld for it.
    pub(crate) async fn finish_with(&mut self, outcome: AuditOutcome) {
        self.state = State::Ending(Box::new(outcome.clone()));
        let stored = self
            .api
            .store
            .finish_use(&self.workspace, &self.entry.id, &outcome)
            .await;
        self.state = State::Settled;
        if let Err(error) = stored {
            tracing::error!(receipt = %self.entry.id, %error, "the outcome of a use could not be stored");
        }
    }

    /// How the use went, as far as it is known.
    pub(crate) fn outcome(&self, code: &str) -> AuditOutcome {
        let kms = self.kms.as_ref();
        AuditOutcome {
            upstream_status: self.upstream_status,
            kms_request_id: kms.map(|kms| kms.request_id.clone()),
            kms_attempts: kms.map(|kms| kms.earlier.clone()).unwrap_or_default(),
            key_material: kms.and_then(|kms| kms.material.clone()),
            ..api::outcome(code, self.entry.at, self.api.clock.now())
        }
    }

    /// How long it has taken so far, in milliseconds.
    pub(crate) fn milliseconds(&self) -> u64 {
        self.outcome("").milliseconds
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        let outcome = match std::mem::replace(&mut self.state, State::Settled) {
            State::Settled => return,
            State::Pending => self.outcome("cancelled"),
            State::Ending(outcome) => *outcome,
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (store, workspace, id) = (
            self.api.store.clone(),
            self.workspace.clone(),
            self.entry.id,
        );
        runtime.spawn(async move {
            if let Err(error) = store.finish_use(&workspace, &id, &outcome).await {
                tracing::warn!(receipt = %id, %error, "a use whose caller went away has no outcome");
            }
        });
    }
}
