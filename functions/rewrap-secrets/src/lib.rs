//! rewrap-secrets: moves wrapped data keys, one at a time or all of a workspace.
//!
//! ```text
//! PUT  …/secrets/{name}/policy              the same data key under another policy's context
//! POST …/secrets/{name}/versions/{action}   an earlier version becomes the current one, or nothing
//! POST …/rewraps                            everything under the key that is bound now: a job
//!                                           └─ carried on by the table's stream and a sweep: `invoke`
//! ```
//!
//! It does so by `ReEncrypt` alone: it holds [`Rewrap`], which sees no data key, and neither
//! reads nor writes the sealed bytes. What a job moves to, its record does not say: the target
//! comes from the workspace's key binding, and both records count only with their MACs.

mod jobs;
mod policy;
mod schema;
mod versions;

use api::{Admitted, Api, Fingerprint, Problem, edge::Invoke, keks, outcome};
use axum::response::Response;
use envelope::{
    EncryptionContext, KeyArn, Place, PolicyDigest, SecretName, SecretVersion, WorkspaceId,
    kms::{CheckMac, KmsCall, MakeMac, Rewrap},
};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use store::{AuditEntry, AuditRecord, Binding, Head, LiveHead, Records, StoreError, Wanted, Which};
use utoipa_axum::{router::OpenApiRouter, routes};

/// How long KMS may take for one wrap, retries included.
const KMS_TIME: Duration = Duration::from_secs(8);
/// The largest body: a policy of any size that is allowed, and some blanks.
const BODY_MAX: usize = 128 * 1024;
/// How often a change is tried where a re-wrap gets in between.
const TRIES: u32 = 4;

/// What the function needs: to move wrapped data keys, to authenticate jobs, and the records.
pub struct RewrapSecrets {
    /// What all functions share.
    pub api: Api,
    /// Moves wrapped data keys.
    pub rewrap: Rewrap,
    /// Makes the MACs of jobs.
    pub job_mac: MakeMac,
    /// Checks them.
    pub check_job: CheckMac,
    /// The deployment's own KEK, for a workspace whose binding says that it has none.
    pub deployment_key: Option<KeyArn>,
    /// How many KMS calls a second one running job makes at most.
    pub rate: NonZeroU32,
    /// How long one run of a job works before it hands over to the next.
    pub run: Duration,
}

/// The function's routes.
pub fn routes(function: Arc<RewrapSecrets>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(policy::change))
        .routes(routes!(versions::act))
        .routes(routes!(jobs::routes::start, jobs::routes::list))
        .routes(routes!(jobs::routes::show, jobs::routes::pause))
        .routes(routes!(jobs::routes::resume))
        .with_state(function)
}

/// What the function does with the table's stream and with the schedule: carries jobs on.
#[must_use]
pub fn invoke(function: Arc<RewrapSecrets>) -> Invoke {
    Arc::new(move |event| {
        let function = Arc::clone(&function);
        Box::pin(async move { function.woken(&event).await })
    })
}

/// What a change that lost a race finds afterwards.
enum Afterwards {
    /// The same request won elsewhere: its answer is the answer, and stands in the records.
    Answered(Response, Box<Records>),
    /// The records as they are now.
    Now(Box<Records>),
}

impl RewrapSecrets {
    /// What one version's data key is wrapped under, given its policy's stored bytes.
    fn context(
        &self,
        workspace: &WorkspaceId,
        name: &SecretName,
        version: SecretVersion,
        policy: &str,
    ) -> EncryptionContext {
        let place = Place {
            broker: self.api.broker.clone(),
            workspace: workspace.clone(),
            name: name.clone(),
            version,
        };
        EncryptionContext::new(&place, &PolicyDigest::of(policy.as_bytes()))
    }

    /// The KEKs of the workspace: those that a wrap may lie under.
    fn keks(&self, binding: &Binding) -> Vec<KeyArn> {
        keks(binding, self.deployment_key.as_ref())
    }

    /// Looks again after a change did not land.
    async fn afterwards(
        &self,
        admitted: &Admitted,
        version: Option<SecretVersion>,
        fingerprint: &Fingerprint,
    ) -> Result<Afterwards, Problem> {
        let wanted = Wanted {
            token: &admitted.caller.id,
            secret: admitted.secret.as_ref(),
            version,
            idempotency: admitted.idempotency.as_ref(),
            state: false,
        };
        let records = self.api.read_again(&admitted.caller, wanted).await?;
        let known = records.idempotency.as_ref();
        match known.filter(|known| !known.is_expired(admitted.now)) {
            Some(known) => {
                let answer = admitted.caller.replay(known, fingerprint)?;
                Ok(Afterwards::Answered(answer, Box::new(records)))
            }
            None => Ok(Afterwards::Now(Box::new(records))),
        }
    }

    /// An audit record of a change that KMS was asked for, if it was.
    fn audited(&self, entry: AuditEntry, kms: Option<KmsCall>) -> AuditRecord {
        let mut outcome = outcome("ok", entry.at, self.api.clock.now());
        if let Some(kms) = kms {
            outcome.kms_request_id = Some(kms.request_id);
            outcome.kms_attempts = kms.earlier;
            outcome.key_material = kms.material;
        }
        AuditRecord {
            entry,
            outcome: Some(outcome),
        }
    }
}

/// The secret, if it lives.
fn live(records: &Records) -> Option<&LiveHead> {
    records.head.as_ref().and_then(Head::live)
}

/// Which condition did not hold; any other failure is the caller's to hear of.
fn lost(error: StoreError) -> Result<Which, Problem> {
    match error {
        StoreError::Conflict(which) => Ok(which),
        error => Err(error.into()),
    }
}

/// Whether a change that lost on this condition may be tried once more on what is there
/// now: someone changed wraps or the key, and nothing that the request was about.
fn may_try_again(which: Which, before: &LiveHead, now: &LiveHead) -> bool {
    matches!(which, Which::Head | Which::Version | Which::Binding)
        && before.stored.version == now.stored.version
        && before.stored.policy == now.stored.policy
}
