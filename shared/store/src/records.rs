//! What one read of a workspace asks for and finds.

use crate::{
    Binding, EarlierVersion, Freeze, Head, IdempotencyId, IdempotencyRecord, KeyStateRecord,
    TokenId, TokenRecord,
};
use envelope::{SecretName, SecretVersion};

/// What to read beside the binding and the freeze, which are always read.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The caller's token.
    pub token: &'a TokenId,
    /// A secret's head.
    pub secret: Option<&'a SecretName>,
    /// An earlier version of that secret. The current one lies in the head alone.
    pub version: Option<SecretVersion>,
    /// The record of an `Idempotency-Key`.
    pub idempotency: Option<&'a IdempotencyId>,
    /// What was last seen of the key.
    pub state: bool,
}

/// What was found, each record whole or not at all. It is no snapshot: two of
/// them may be of two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The key binding; every workspace has one.
    pub binding: Option<Binding>,
    /// The freeze; a workspace that was never frozen has none.
    pub freeze: Option<Freeze>,
    /// What was last seen of the key.
    pub state: Option<KeyStateRecord>,
    /// The caller's token.
    pub token: Option<TokenRecord>,
    /// The secret's head.
    pub head: Option<Head>,
    /// The earlier version, if it is one of the secret that the head tells of: what
    /// an interrupted deletion left is not.
    pub version: Option<EarlierVersion>,
    /// The record of the `Idempotency-Key`, expired ones included.
    pub idempotency: Option<IdempotencyRecord>,
}
