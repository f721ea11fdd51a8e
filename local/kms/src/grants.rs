//! What a grant covers (KMS developer guide, "Grants in AWS KMS"): its grantee, its
//! operations, its constraints, and the time at which it has effect.

use crate::KmsError;
use crate::authz::Ask;
use crate::caller::Caller;
use crate::ops::Cx;
use crate::state::{Constraints, EncryptionContext, GrantRecord, State};

/// The part of a CreateGrant request by which repeats are told and chains are limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewGrant {
    pub(crate) name: Option<String>,
    pub(crate) grantee: String,
    pub(crate) retiring: Option<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) constraints: Constraints,
}

impl NewGrant {
    /// Whether `grant` is what this request would make.
    pub(crate) fn equals(&self, grant: &GrantRecord) -> bool {
        let sorted = |operations: &[String]| {
            let mut operations = operations.to_vec();
            operations.sort();
            operations.dedup();
            operations
        };
        self.name == grant.name
            && self.grantee == grant.grantee
            && self.retiring == grant.retiring
            && sorted(&self.operations) == sorted(&grant.operations)
            && self.constraints == grant.constraints
    }
}

/// Refuses tokens that no CreateGrant ever gave out. One of an ended grant is no error,
/// and no help.
pub(crate) fn check_tokens(state: &State, tokens: &[String]) -> Result<(), KmsError> {
    if tokens.len() > 10 {
        return Err(KmsError::validation(
            "1 validation error detected: Value at 'grantTokens' failed to satisfy constraint: \
             Member must have length less than or equal to 10",
        ));
    }
    match tokens.iter().all(|token| state.tokens.contains_key(token)) {
        true => Ok(()),
        false => Err(KmsError::invalid_grant_token()),
    }
}

/// Whether a grant allows what is asked.
pub(crate) fn covers(cx: &Cx<'_>, state: &State, ask: &Ask<'_>, identity_allows: bool) -> bool {
    state
        .grants_of(&ask.target.key.record.slot())
        .filter(|grant| grant.operations.iter().any(|name| name == ask.action))
        .filter(|grant| has_effect(cx, grant, ask.tokens))
        .filter(|grant| is_principal(cx.caller, &grant.grantee, identity_allows))
        .any(|grant| match ask.action {
            "DescribeKey" | "RetireGrant" => true,
            "CreateGrant" => ask.new_grant.is_some_and(|new| narrows(grant, new)),
            _ => {
                let none = EncryptionContext::new();
                grant.constraints.met_by(ask.context.unwrap_or(&none))
            }
        })
}

/// Whether `arn`, as a grantee or a retiring principal, is the caller; an account's root
/// stands for all in it whom their identity policies allow.
pub(crate) fn is_principal(caller: &Caller, arn: &str, identity_allows: bool) -> bool {
    caller.is_named_by(arn) || (identity_allows && caller.account_is_named_by(arn))
}

/// Whether the grant has effect now: created and ended when the delay has passed, at once
/// for a caller who shows its token.
fn has_effect(cx: &Cx<'_>, grant: &GrantRecord, tokens: &[String]) -> bool {
    let delay = i64::try_from(cx.engine.grant_delay().as_millis()).unwrap_or(i64::MAX);
    let shown = tokens.iter().any(|token| grant.tokens.contains(token));
    let begun = shown || cx.now >= grant.created.saturating_add(delay);
    let over = grant
        .ended
        .is_some_and(|ended| cx.now >= ended.saturating_add(delay));
    begun && !over
}

impl Constraints {
    /// Exact, case and all, in the cryptographic call.
    fn met_by(&self, context: &EncryptionContext) -> bool {
        let subset = self
            .subset
            .as_ref()
            .is_none_or(|subset| contains(context, subset));
        subset && self.equals.as_ref().is_none_or(|equals| equals == context)
    }

    /// Whether every context that meets these constraints meets `outer` too.
    fn at_least(&self, outer: &Self) -> bool {
        let subset = outer.subset.as_ref().is_none_or(|outer| {
            [&self.subset, &self.equals]
                .into_iter()
                .flatten()
                .any(|own| contains(own, outer))
        });
        subset
            && outer
                .equals
                .as_ref()
                .is_none_or(|outer| self.equals.as_ref() == Some(outer))
    }
}

fn contains(context: &EncryptionContext, part: &EncryptionContext) -> bool {
    part.iter()
        .all(|(key, value)| context.get(key) == Some(value))
}

/// "Granting CreateGrant permission": a grantee may only hand on what the grant holds,
/// under constraints at least as strict.
fn narrows(grant: &GrantRecord, new: &NewGrant) -> bool {
    new.operations
        .iter()
        .all(|operation| grant.operations.contains(operation))
        && new.constraints.at_least(&grant.constraints)
}
