//! Who is asking, and what they may.
//!
//! **Invariant**: absent, malformed, unknown and expired tokens are one 401;
//! "another workspace's", "not permitted" and "absent" are one 404. Nobody
//! learns from an answer whether a workspace or a secret exists that is not theirs.
//!
//! **Invariant**: nothing is answered, sealed, stored or injected on the word of a
//! token or a binding whose MAC has not passed ([`Verifying`]).

use crate::{Clock, Code, Macs, Problem, Token, Verifying};
use envelope::{BrokerId, SecretName, SecretVersion, WorkspaceId};
use http::HeaderMap;
use store::{
    Binding, IdempotencyId, Permission, Records, SecretPattern, Store, TokenId, TokenRecord, Wanted,
};
use time::OffsetDateTime;

/// What all functions share.
#[derive(Clone)]
pub struct Api {
    /// The records.
    pub store: Store,
    /// The deployment's id.
    pub broker: BrokerId,
    /// The one clock.
    pub clock: Clock,
    /// Checks the records that give authority.
    pub macs: Macs,
}

/// What a request needs to be let in, and what it wants to read.
pub struct Need<'a> {
    /// The workspace of the path, unparsed.
    pub workspace: &'a str,
    /// The permission that the token must have.
    pub permission: Permission,
    /// The secret of the path, unparsed.
    pub secret: Option<&'a str>,
    /// An earlier version of it.
    pub version: Option<SecretVersion>,
    /// The value of `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// Whether to read what the key was last seen to be.
    pub state: bool,
}

impl<'a> Need<'a> {
    /// A permission in a workspace, and nothing more to read.
    #[must_use]
    pub fn new(workspace: &'a str, permission: Permission) -> Self {
        Self {
            workspace,
            permission,
            secret: None,
            version: None,
            idempotency_key: None,
            state: false,
        }
    }
}

/// Who is asking, authenticated.
pub struct Caller {
    /// Their workspace: the token's own, and the path's.
    pub workspace: WorkspaceId,
    /// The token as presented.
    pub token: Token,
    /// Its id.
    pub id: TokenId,
    /// What it may do.
    pub record: TokenRecord,
}

/// A request that was let in.
pub struct Admitted {
    /// Who is asking.
    pub caller: Caller,
    /// What was read, in the same call as the token.
    pub records: Records,
    /// The secret of the path, if there is one and it is of the grammar.
    pub secret: Option<SecretName>,
    /// The id of the idempotency record, if a key was given.
    pub idempotency: Option<IdempotencyId>,
    /// The time of the request.
    pub now: OffsetDateTime,
}

impl Api {
    /// Authenticates and authorizes a request, and reads what it needs: one
    /// consistent BatchGetItem. The MACs of what gives authority have passed.
    ///
    /// # Errors
    /// `unauthenticated`, `not_found`, `integrity_failure`, or what the store or KMS says.
    pub async fn admit(&self, headers: &HeaderMap, need: Need<'_>) -> Result<Admitted, Problem> {
        let (admitted, verifying) = self.admit_beside(headers, need).await?;
        verifying.passed().await?;
        Ok(admitted)
    }

    /// As [`admit`](Self::admit), with the MACs still being checked while the use case goes
    /// on: for those whose next step is a call to the customer's KMS.
    ///
    /// # Errors
    /// `unauthenticated`, `not_found`, or what the store says.
    pub async fn admit_beside(
        &self,
        headers: &HeaderMap,
        need: Need<'_>,
    ) -> Result<(Admitted, Verifying), Problem> {
        let token =
            Token::of_request(headers).ok_or_else(|| Problem::new(Code::Unauthenticated))?;
        let id = token.id();
        let now = self.clock.now();
        let secret = need.secret.and_then(|name| SecretName::parse(name).ok());
        let idempotency = need.idempotency_key.map(|key| IdempotencyId::of(&id, key));
        let wanted = Wanted {
            token: &id,
            secret: secret.as_ref(),
            version: need.version,
            idempotency: idempotency.as_ref(),
            state: need.state,
        };
        // The records of the token's own workspace: another's are not even read.
        let found = self.store.find(token.workspace(), wanted).await?;
        let Some(record) = found.token()?.filter(|record| !record.is_expired(now)) else {
            return Err(Problem::new(Code::Unauthenticated));
        };
        let span = tracing::Span::current();
        span.record("workspace", token.workspace().as_str());
        span.record("caller", id.as_str());
        if let Some(name) = &secret {
            span.record("secret", name.as_str());
        }

        let own = token.workspace().as_str() == need.workspace;
        let may = record.permits(need.permission);
        let reaches = match (need.secret, &secret) {
            (None, _) => record.secrets.is_none() || !need.permission.is_of_the_whole_workspace(),
            (Some(_), Some(name)) => record.is_for(name),
            (Some(_), None) => record.secrets.is_none(),
        };
        let verifying = self.macs.verify(found.attested());
        if !(own && may && reaches) {
            // A forged record raises its alarm here, too.
            verifying.passed().await?;
            return Err(Problem::new(Code::NotFound));
        }
        // Only now is anything else looked at: what is broken tells nobody else that it is there.
        let records = found.records()?;
        let workspace = token.workspace().clone();
        let admitted = Admitted {
            caller: Caller {
                workspace,
                token,
                id,
                record,
            },
            records,
            secret,
            idempotency,
            now,
        };
        Ok((admitted, verifying))
    }

    /// Reads the records of an admitted caller anew, and has their MACs checked again.
    ///
    /// # Errors
    /// `integrity_failure`, or what the store or KMS says.
    pub async fn read_again(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
    ) -> Result<Records, Problem> {
        let found = self.store.find(&caller.workspace, wanted).await?;
        self.macs.verify(found.attested()).passed().await?;
        let records = found.records()?;
        // The token may be gone since.
        let now = self.clock.now();
        let gone = |token: &TokenRecord| token.is_expired(now);
        if records.token.as_ref().is_none_or(gone) {
            return Err(Problem::new(Code::Unauthenticated));
        }
        Ok(records)
    }
}

impl Caller {
    /// Whether everything that `secrets` would reach is within this token's own reach.
    #[must_use]
    pub fn covers(&self, secrets: Option<&[SecretPattern]>) -> bool {
        match (&self.record.secrets, secrets) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(wanted)) => wanted
                .iter()
                .all(|one| own.iter().any(|mine| mine.covers(one))),
        }
    }
}

impl Caller {
    /// Whether a token gives nothing that this caller does not have: so that it may
    /// take it away.
    #[must_use]
    pub fn is_above(&self, token: &TokenRecord) -> bool {
        token.permissions.is_subset(&self.record.permissions)
            && self.covers(token.secrets.as_deref())
    }
}

impl Admitted {
    /// The binding of the workspace.
    ///
    /// # Errors
    /// `integrity_failure`: an opened workspace always has the record.
    pub fn binding(&self) -> Result<&Binding, Problem> {
        self.records.binding.as_ref().ok_or_else(|| {
            Problem::new(Code::IntegrityFailure)
                .from_source("an opened workspace has no record of its binding")
        })
    }

    /// Refuses a frozen workspace.
    ///
    /// # Errors
    /// `workspace_frozen`.
    pub fn not_frozen(&self) -> Result<(), Problem> {
        match &self.records.freeze {
            Some(freeze) if freeze.frozen => Err(Problem::new(Code::WorkspaceFrozen)),
            _ => Ok(()),
        }
    }
}
