//! Failures on demand: what a caller must survive, made to happen.

use crate::KmsError;
use std::sync::{Mutex, PoisonError};

/// One failure to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The operation's name, as `Decrypt`; `*` is any KMS operation.
    pub operation: String,
    /// What happens to it.
    pub kind: FaultKind,
    /// To how many calls; `None` is to all until [`crate::LocalKms::clear_faults`].
    pub times: Option<u32>,
}

impl Fault {
    /// A fault for the next `times` calls of `operation`.
    pub fn times(operation: impl Into<String>, kind: FaultKind, times: u32) -> Self {
        Self {
            operation: operation.into(),
            kind,
            times: Some(times),
        }
    }

    /// A fault for every call of `operation` until the faults are cleared.
    pub fn always(operation: impl Into<String>, kind: FaultKind) -> Self {
        Self {
            operation: operation.into(),
            kind,
            times: None,
        }
    }
}

/// How a call fails. Nothing but [`FaultKind::LoseAnswer`] does the work first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `ThrottlingException`.
    Throttle,
    /// `KMSInternalException`, status 500.
    Internal,
    /// `KeyUnavailableException`, status 500.
    Unavailable,
    /// `DependencyTimeoutException`, status 500.
    DependencyTimeout,
    /// No answer comes, and no event is written. Ends when the server shuts down. HTTP only:
    /// an in-process call answers as for `DependencyTimeout`.
    Hang,
    /// The connection closes without an answer, nothing done, no event. In process as for `Hang`.
    DropConnection,
    /// The work is done and its event written, then the connection closes. In process the
    /// answer arrives.
    LoseAnswer,
}

impl FaultKind {
    /// The error answer of this kind, if it is one that answers.
    pub(crate) fn answer(self) -> Option<KmsError> {
        match self {
            Self::Throttle => Some(KmsError::throttled()),
            Self::Internal => Some(KmsError::internal()),
            Self::Unavailable => Some(KmsError::key_unavailable()),
            Self::DependencyTimeout => Some(KmsError::dependency_timeout()),
            Self::Hang | Self::DropConnection | Self::LoseAnswer => None,
        }
    }
}

/// The failures still to come, in the order in which they were injected.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.list().push(fault);
    }

    pub(crate) fn clear_one(&self, operation: &str) {
        self.list().retain(|fault| fault.operation != operation);
    }

    pub(crate) fn clear(&self) {
        self.list().clear();
    }

    /// Takes the first fault for `operation`, and one from its count.
    pub(crate) fn take(&self, operation: &str) -> Option<FaultKind> {
        let mut list = self.list();
        list.retain(|fault| fault.times != Some(0));
        let fault = list
            .iter_mut()
            .find(|fault| fault.operation == operation || fault.operation == "*")?;
        if let Some(left) = &mut fault.times {
            *left -= 1;
        }
        Some(fault.kind)
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
