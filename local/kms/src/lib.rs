//! A KMS for developing and testing that really enforces key policies and grants.
//!
//! It speaks AWS's wire protocol (AWS JSON 1.1, `X-Amz-Target: TrentService.*`, and
//! STS GetCallerIdentity), so the AWS SDKs and the AWS CLI talk to it unchanged. It
//! holds any number of accounts and Regions, evaluates key policies, grants and
//! identity policies in the order that the KMS developer guide gives, refuses by
//! AWS's codes, writes a CloudTrail-shaped event for every call, and fails on demand.
//! Keys rotate, expire, are replicated into other Regions and are deleted as at AWS, on a
//! clock that a test can move.
//!
//! It is an instrument: **never linked by a Lambda, never given a real secret.**
//!
//! - A request's signature is not checked. Callers are told apart by the access key
//!   id in the Authorization header alone.
//! - Key material lies in the clear in the state directory (files of mode 0600).
//! - No key store, no quotas but the ones that a caller can trip over (pairs of a
//!   constraint, size of a policy, tags, rotations on demand), no TLS. RSA and ECC keys exist
//!   only to be refused where a symmetric one is needed.
//! - What takes AWS a moment is done at once: no key is ever Creating or Updating, no rotation in
//!   progress (OnDemandRotationStartDate), and related keys are never out of step (no event
//!   SynchronizeMultiRegionKey). Grants alone can be late ([`LocalKms::set_grant_delay`]).
//! - Imported material travels under RSAES_OAEP, not under RSA_AES_KEY_WRAP.
//! - Not there: GenerateDataKeyPair, GenerateRandom, GetKeyLastUsage, GetPublicKey,
//!   ListKeyPolicies, Sign, Verify, DeriveSharedSecret, Encapsulate, Decapsulate,
//!   UpdateKeyDescription, and the operations of key stores: UnknownOperationException.
//! - Where AWS documents no answer, one is chosen and held by a test: an operation that does not
//!   work across accounts is AccessDenied there; a blob that names no key that ever was is
//!   InvalidCiphertext; a failed grant token comes before a failed authorization; a key that is
//!   pending import is not replicated, and a replica in the primary key's own Region is
//!   AlreadyExists; one import at a time can await its rotation, and a rotation without one is
//!   KMSInvalidState; EnableKeyRotation counts from the time of the call, each time.
//! - A call whose access key nobody has leaves no event: there is no account to log it for.
//!
//! ```text
//! server  HTTP in, HTTP out ──► LocalKms::perform ──► faults ─► ops ─► events ──► answer
//!                                         │              authz ┤ policy, grants
//!                                       settle           state ┤ journal
//!                                 (what time has done)    blob ┘
//! ```

mod authz;
mod blob;
mod caller;
mod clock;
mod error;
mod events;
mod faults;
mod grants;
mod journal;
mod key;
mod ops;
mod policy;
mod resolve;
mod server;
mod settle;
mod state;
mod sts;
mod wrapping;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{KmsError, OpenError};
pub use faults::{Fault, FaultKind};
pub use server::{router, serve};

use caller::Caller;
use events::{EventLog, Origin};
use faults::Faults;
use journal::Journal;
use serde_json::Value;
use state::{Change, State};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// What a [`LocalKms`] is opened with.
pub struct Config {
    /// Where `kms.json`, `kms.journal`, `kms.lock` and `cloudtrail.jsonl` live. Made if absent.
    pub state_dir: PathBuf,
    /// Everyone who may call, of all accounts. More can be added while it runs.
    pub principals: Vec<Principal>,
    /// The time; [`SystemClock`] unless a test wants to move it.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// On the machine's clock.
    pub fn new(state_dir: impl Into<PathBuf>, principals: Vec<Principal>) -> Self {
        Self {
            state_dir: state_dir.into(),
            principals,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Someone who may call: an IAM user, a role (or a session of one), or an account's root.
#[derive(Clone)]
pub struct Principal {
    /// `arn:aws:iam::<account>:role/…`, `:user/…` or `:root`, or
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`. A role works in a session called
    /// `local`, which is the ARN that GetCallerIdentity and events show. A session's ARN does not
    /// tell its role's path: give the role itself where it has one.
    pub arn: String,
    /// What tells the principal apart on the wire.
    pub access_key_id: String,
    /// For whoever hands the pair on to a client. Not checked here.
    pub secret_access_key: String,
    /// One IAM identity policy document, or an array of them; asked where a key policy
    /// delegates to the account, and always when the key is another account's.
    pub identity_policy: Option<Value>,
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principal")
            .field("arn", &self.arn)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The engine. A clone is the same engine.
#[derive(Clone)]
pub struct LocalKms(Arc<Engine>);

pub(crate) struct Engine {
    live: RwLock<Live>,
    callers: RwLock<HashMap<String, Arc<Caller>>>,
    faults: Faults,
    grant_delay: Mutex<Duration>,
    clock: Arc<dyn Clock>,
    events: EventLog,
}

/// The state in memory and its journal: they change together.
pub(crate) struct Live {
    pub(crate) state: State,
    journal: Journal,
}

impl Live {
    /// Makes the changes durable, all or none, then visible.
    pub(crate) fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), KmsError> {
        let change = match changes.len() {
            0 => return Ok(()),
            1 => changes.remove(0),
            _ => Change::All(changes),
        };
        self.journal
            .append(&change)
            .map_err(|_| KmsError::internal())?;
        self.state.apply(change).map_err(|_| KmsError::internal())
    }
}

impl Engine {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn grant_delay(&self) -> Duration {
        *self
            .grant_delay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn caller(&self, access_key_id: &str) -> Option<Arc<Caller>> {
        self.callers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(access_key_id)
            .cloned()
    }
}

impl LocalKms {
    /// Opens the state directory, or makes a new one.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, a file in it is broken (nothing is changed then),
    /// another process works on it, or a principal is not one.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let mut callers = HashMap::new();
        for principal in &config.principals {
            let caller = Caller::parse(principal)?;
            if callers
                .insert(principal.access_key_id.clone(), Arc::new(caller))
                .is_some()
            {
                return Err(OpenError::Principal {
                    arn: principal.arn.clone(),
                    reason: "its access key id is another principal's".into(),
                });
            }
        }
        let (journal, state) = Journal::open(&config.state_dir)?;
        Ok(Self(Arc::new(Engine {
            live: RwLock::new(Live { state, journal }),
            callers: RwLock::new(callers),
            faults: Faults::default(),
            grant_delay: Mutex::new(Duration::ZERO),
            clock: config.clock,
            events: EventLog::open(&config.state_dir)?,
        })))
    }

    /// Adds a principal, or replaces the one with the same access key id.
    ///
    /// # Errors
    ///
    /// The ARN or the identity policy cannot be read.
    pub fn add_principal(&self, principal: &Principal) -> Result<(), OpenError> {
        let caller = Arc::new(Caller::parse(principal)?);
        self.0
            .callers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(principal.access_key_id.clone(), caller);
        Ok(())
    }

    /// Changes what the identity policies of the principal with this access key id say.
    /// The next call is judged by it.
    ///
    /// # Errors
    ///
    /// Nobody has this access key id, or the policy cannot be read.
    pub fn set_identity_policy(
        &self,
        access_key_id: &str,
        policy: Option<&Value>,
    ) -> Result<(), OpenError> {
        let refuse = |reason: String| OpenError::Principal {
            arn: access_key_id.to_owned(),
            reason,
        };
        let identity = policy
            .map(policy::Document::identity_policy)
            .transpose()
            .map_err(refuse)?;
        let mut callers = self
            .0
            .callers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let caller = callers
            .get_mut(access_key_id)
            .ok_or_else(|| refuse("nobody has this access key id".into()))?;
        Arc::make_mut(caller).identity = identity;
        Ok(())
    }

    /// The ARN of the key that an alias names, if there is one: a look from outside, which
    /// nobody is asked for and no log tells of.
    #[must_use]
    pub fn key_of_alias(&self, account: &str, region: &str, alias: &str) -> Option<String> {
        let live = self.0.live.read().unwrap_or_else(PoisonError::into_inner);
        let index = (account.to_owned(), region.to_owned(), alias.to_owned());
        let alias = live.state.aliases.get(&index)?;
        let key = live.state.keys.get(&alias.key)?;
        Some(key.record.arn_in(region))
    }

    /// How long a created grant stays without effect (unless its token is shown) and
    /// an ended one keeps it, by the engine's clock. Zero at first. At AWS "usually
    /// less than five minutes" (KMS developer guide, "Grant concepts": eventual consistency).
    pub fn set_grant_delay(&self, delay: Duration) {
        *self
            .0
            .grant_delay
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Makes calls fail.
    pub fn inject(&self, fault: Fault) {
        self.0.faults.inject(fault);
    }

    /// Ends the failures of `operation` as it was named when they were injected, other than
    /// of calls that hang already.
    pub fn clear_fault(&self, operation: &str) {
        self.0.faults.clear_one(operation);
    }

    /// Ends all failures but the calls that hang already.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }

    /// Every event so far, read back from the log, oldest first.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn events(&self) -> std::io::Result<Vec<Value>> {
        self.0.events.read()
    }

    /// The log's path.
    pub fn events_path(&self) -> &Path {
        self.0.events.path()
    }

    /// One KMS call without HTTP: `operation` as `CreateKey`, `input` as its JSON.
    /// Authorized, logged and failed on demand like any other.
    ///
    /// # Errors
    ///
    /// As the operation has them at AWS.
    pub fn call(
        &self,
        access_key_id: &str,
        region: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, KmsError> {
        let caller = self
            .0
            .caller(access_key_id)
            .ok_or_else(KmsError::unrecognized_client)?;
        let fault = self.0.faults.take(operation).map(|kind| match kind {
            FaultKind::Hang | FaultKind::DropConnection => FaultKind::DependencyTimeout,
            other => other,
        });
        let origin = Origin {
            source_ip: "127.0.0.1".into(),
            user_agent: "in-process".into(),
            request_id: state::random_uuid()?.to_string(),
        };
        self.perform(&caller, region, operation, Some(input), fault, &origin)
    }

    /// Does one call and writes its event. `input` is absent where the body was no JSON object.
    pub(crate) fn perform(
        &self,
        caller: &Caller,
        region: &str,
        operation: &str,
        input: Option<Value>,
        fault: Option<FaultKind>,
        origin: &Origin,
    ) -> Result<Value, KmsError> {
        let operation = ops::Operation::parse(operation).ok_or_else(KmsError::unknown_operation)?;
        let cx = ops::Cx::new(&self.0, caller, region);
        settle::settle(&self.0, cx.now)?;
        let parameters = input.as_ref().and_then(events::request_parameters);
        let result = match (fault.and_then(FaultKind::answer), input) {
            (Some(error), _) => Err(error),
            (None, Some(input)) => operation.run(&cx, input),
            (None, None) => Err(KmsError::serialization()),
        };
        self.0
            .events
            .write(&cx, operation, parameters, &result, origin)
            .map_err(|_| KmsError::internal())?;
        result
    }
}
