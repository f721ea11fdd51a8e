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
    api: Api,
    workspace: WorkspaceId,
    pending: bool,
}

impl Intent {
    pub(crate) fn new(api: &Api, admitted: &Admitted, entry: AuditEntry) -> Self {
        Self {
            entry,
            api: api.clone(),
            workspace: admitted.caller.workspace.clone(),
            pending: false,
        }
    }

    /// Stores the intent.
    ///
    /// # Errors
    /// `audit_unavailable`: then there is no use.
    pub(crate) async fn begin(&mut self, until: Instant) -> Result<(), Problem> {
        self.pending = true;
        let stored = timeout_at(
            until,
            self.api.store.begin_use(&self.workspace, &self.entry),
        );
        let problem = match stored.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Problem::new(Code::AuditUnavailable).from_source(error),
            Err(late) => Problem::new(Code::AuditUnavailable).from_source(late),
        };
        self.pending = false;
        Err(problem)
    }

    /// Stores the outcome. If that fails the intent stands, which says that the
    /// secret may have left; the upstream's answer is not withheld for it.
    pub(crate) async fn finish(&mut self, outcome: &AuditOutcome) {
        let stored = self
            .api
            .store
            .finish_use(&self.workspace, &self.entry.id, outcome)
            .await;
        self.pending = false;
        if let Err(error) = stored {
            tracing::error!(receipt = %self.entry.id, %error, "the outcome of a use could not be stored");
        }
    }

    /// How the use went.
    pub(crate) fn outcome(
        &self,
        code: &str,
        upstream_status: Option<u16>,
        kms: Option<&KmsCall>,
    ) -> AuditOutcome {
        AuditOutcome {
            upstream_status,
            kms_request_id: kms.map(|kms| kms.request_id.clone()),
            kms_attempts: kms.map(|kms| kms.earlier.clone()).unwrap_or_default(),
            key_material: kms.and_then(|kms| kms.material.clone()),
            ..api::outcome(code, self.entry.at, self.api.clock.now())
        }
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        if !self.pending {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (store, workspace, id) = (
            self.api.store.clone(),
            self.workspace.clone(),
            self.entry.id,
        );
        let outcome = self.outcome("cancelled", None, None);
        runtime.spawn(async move {
            if let Err(error) = store.finish_use(&workspace, &id, &outcome).await {
                tracing::warn!(receipt = %id, %error, "a use whose caller went away has no outcome");
            }
        });
    }
}
