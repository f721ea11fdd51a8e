//! The MACs of the records that give authority: a token, a key binding.
//!
//! Whoever can write the table, and may call no KMS, can make no such record: each
//! carries a MAC of the deployment's own KMS over its place and its exact bytes.
//! The checks run beside the calls that a request makes anyway; nothing comes of
//! the request before they have passed.

use crate::{Code, Problem};
use envelope::{
    BrokerId, KeyArn, MacError, RecordKind,
    kms::{CheckMac, Kms},
};
use std::{future::Future, sync::Arc, time::Duration};
use store::Attested;
use tokio::{sync::watch, task::JoinHandle};

/// How long one check may take, retries included.
const TIME: Duration = Duration::from_secs(5);

/// What checks the MACs of a kind of record each.
#[derive(Clone)]
pub struct Macs {
    /// Of tokens.
    pub token: CheckMac,
    /// Of key bindings.
    pub binding: CheckMac,
}

impl Macs {
    /// By the deployment's keys for tokens and for bindings.
    #[must_use]
    pub fn new(kms: &Kms, broker: &BrokerId, tokens: KeyArn, bindings: KeyArn) -> Self {
        Self {
            token: kms.check_mac(RecordKind::Token, tokens, broker.clone()),
            binding: kms.check_mac(RecordKind::Binding, bindings, broker.clone()),
        }
    }

    /// Begins to check records, all at once.
    pub fn verify(&self, records: Vec<Attested>) -> Verifying {
        let (tell, told) = watch::channel(None);
        let macs = self.clone();
        let checking = tokio::spawn(async move {
            let checks = records.iter().map(|record| macs.check(record));
            let passed = futures_util::future::try_join_all(checks).await;
            let _ = tell.send(Some(passed.map(drop).map_err(Arc::new)));
        });
        Verifying {
            told,
            _checking: Arc::new(AbortOnDrop(checking)),
        }
    }

    async fn check(&self, record: &Attested) -> Result<(), MacError> {
        let check = match record.kind() {
            RecordKind::Token => &self.token,
            RecordKind::Binding => &self.binding,
            // Their own functions check them, where they are read.
            RecordKind::Job | RecordKind::AlertTarget => return Err(MacError::Forged),
        };
        check.check(&record.record(), record.mac(), TIME).await
    }
}

impl From<MacError> for Problem {
    fn from(error: MacError) -> Self {
        match error {
            MacError::Forged => Self::new(Code::IntegrityFailure)
                .from_source("a record that gives authority has not the MAC of this deployment"),
            MacError::Unasked(failure) => failure.into(),
        }
    }
}

/// Checks under way. A clone is the same checks; they end when the last one is dropped.
#[derive(Clone)]
#[must_use = "nothing may come of a request before its checks have passed"]
pub struct Verifying {
    told: watch::Receiver<Option<Result<(), Arc<MacError>>>>,
    _checking: Arc<AbortOnDrop>,
}

impl Verifying {
    /// Waits for the checks.
    ///
    /// # Errors
    /// `integrity_failure` where a record is not of this deployment's making; what KMS
    /// says where it could not be asked.
    pub async fn passed(&self) -> Result<(), Problem> {
        let mut told = self.told.clone();
        let told = told.wait_for(Option::is_some).await;
        match told.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) => Err(match error.as_ref() {
                MacError::Forged => MacError::Forged.into(),
                MacError::Unasked(failure) => failure.clone().into(),
            }),
            Ok(None) | Err(_) => {
                Err(Problem::new(Code::Internal).from_source("a check of a MAC did not end"))
            }
        }
    }

    /// Runs a use case, and lets its answer out, or its problem, only once the checks
    /// have passed: on the word of a forged record nobody learns anything.
    ///
    /// # Errors
    /// Those of the checks, before those of the use case.
    pub async fn answer<T>(
        &self,
        use_case: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let answer = use_case.await;
        self.passed().await?;
        answer
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
