//! May this caller do that? In the order of the KMS developer guide, "Troubleshooting
//! key access" and "Policy evaluation":
//!
//! 1. an explicit Deny, in the key policy or the caller's identity policies: no;
//! 2. a live grant to the caller that covers the operation: yes;
//! 3. the key policy naming the caller (or everyone): yes;
//! 4. the key policy naming the caller's account, and its identity policies allowing: yes;
//! 5. otherwise no.
//!
//! A caller of another account also needs its identity policies to allow, on every one
//! of these ways. A root user has no identity policies and needs none. All of this comes
//! before any look at the key's state: who may not, learns nothing of it.

use crate::KmsError;
use crate::caller::Kind;
use crate::grants::{self, NewGrant};
use crate::ops::Cx;
use crate::policy::{Facts, Question};
use crate::resolve::Target;
use crate::state::{EncryptionContext, State};

/// One thing that a caller wants to do with a key.
pub(crate) struct Ask<'a> {
    /// Without its prefix: `Decrypt`. Where grants can allow it, also its name as a grant operation.
    pub(crate) action: &'a str,
    pub(crate) target: &'a Target<'a>,
    /// The encryption context, in the operations that have one.
    pub(crate) context: Option<&'a EncryptionContext>,
    pub(crate) tokens: &'a [String],
    /// Condition keys of this operation alone.
    pub(crate) facts: Facts,
    /// What CreateGrant would create: a grant may allow no more than it holds itself.
    pub(crate) new_grant: Option<&'a NewGrant>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(action: &'a str, target: &'a Target<'a>) -> Self {
        Self {
            action,
            target,
            context: None,
            tokens: &[],
            facts: Facts::default(),
            new_grant: None,
        }
    }
}

/// # Errors
///
/// AccessDeniedException; InvalidGrantTokenException for a token that was never given out.
pub(crate) fn authorize(cx: &Cx<'_>, state: &State, ask: Ask<'_>) -> Result<(), KmsError> {
    let key = ask.target.key;
    let arn = key.record.arn();
    grants::check_tokens(state, ask.tokens)?;
    let question = question(cx, state, &ask);
    let policy = key.policy.says(cx.caller, &question);
    let identity = cx
        .caller
        .identity
        .as_ref()
        .map(|document| document.says(cx.caller, &question))
        .unwrap_or_default();
    if policy.denied || identity.denied {
        let kind = if policy.denied {
            "resource"
        } else {
            "identity"
        };
        return Err(KmsError::access_denied(format!(
            "User: {} is not authorized to perform: kms:{} on resource: {arn} with an explicit \
             deny in {} {kind}-based policy",
            cx.caller.arn(),
            ask.action,
            if policy.denied { "a" } else { "an" },
        )));
    }
    let identity_allows = identity.caller || cx.caller.kind == Kind::Root;
    let way = policy.caller
        || (policy.account && identity_allows)
        || grants::covers(cx, state, &ask, identity_allows);
    let home = cx.caller.account == key.record.account;
    if !way {
        return Err(refusal(cx, ask.action, &arn, "resource-based"));
    }
    if !home && !identity_allows {
        return Err(refusal(cx, ask.action, &arn, "identity-based"));
    }
    Ok(())
}

/// Whether a Deny stands against the action, for those whom something else allows it.
pub(crate) fn is_denied(cx: &Cx<'_>, state: &State, target: &Target<'_>, action: &str) -> bool {
    let question = question(cx, state, &Ask::new(action, target));
    let identity = cx.caller.identity.as_ref();
    target.key.policy.says(cx.caller, &question).denied
        || identity.is_some_and(|document| document.says(cx.caller, &question).denied)
}

/// For what belongs to an account and not to a key: CreateKey, ListKeys, aliases.
pub(crate) fn authorize_account(
    cx: &Cx<'_>,
    action: &str,
    resource: Option<&str>,
    mut facts: Facts,
) -> Result<(), KmsError> {
    caller_facts(cx, &mut facts);
    let question = Question::new(&format!("kms:{action}"), resource, facts);
    let says = cx
        .caller
        .identity
        .as_ref()
        .map(|document| document.says(cx.caller, &question))
        .unwrap_or_default();
    if !says.denied && (says.caller || cx.caller.kind == Kind::Root) {
        return Ok(());
    }
    let everything = format!("arn:aws:kms:{}:{}:*", cx.region, cx.caller.account);
    Err(refusal(
        cx,
        action,
        resource.unwrap_or(&everything),
        "identity-based",
    ))
}

/// Whether the caller's identity policies allow `action` on `arn`, whatever is there.
pub(crate) fn identity_allows(cx: &Cx<'_>, action: &str, arn: &str) -> bool {
    authorize_account(cx, action, Some(arn), Facts::default()).is_ok()
}

/// The lock-out check of CreateKey and PutKeyPolicy: under `policy`, could the caller
/// put another? Delegating to the account is enough, whatever its identity policies say.
pub(crate) fn keeps_caller_in(
    cx: &Cx<'_>,
    state: &State,
    target: &Target<'_>,
    facts: Facts,
) -> bool {
    let mut ask = Ask::new("PutKeyPolicy", target);
    ask.facts = facts;
    let question = question(cx, state, &ask);
    let says = target.key.policy.says(cx.caller, &question);
    !says.denied && (says.caller || says.account)
}

/// AccessDeniedException in AWS's words.
pub(crate) fn refusal(cx: &Cx<'_>, action: &str, arn: &str, kind: &str) -> KmsError {
    KmsError::access_denied(format!(
        "User: {} is not authorized to perform: kms:{action} on resource: {arn} because no \
         {kind} policy allows the kms:{action} action",
        cx.caller.arn(),
    ))
}

fn question(cx: &Cx<'_>, state: &State, ask: &Ask<'_>) -> Question {
    let key = &ask.target.key.record;
    let mut facts = ask.facts.clone();
    caller_facts(cx, &mut facts);
    facts.text("kms:KeySpec", key.spec.name());
    facts.text("kms:KeyUsage", key.usage.name());
    facts.text("kms:KeyOrigin", key.origin.name());
    facts.flag("kms:MultiRegion", key.multi_region.is_some());
    if let Some(kind) = key.multi_region {
        facts.text("kms:MultiRegionKeyType", kind.name());
    }
    for (tag, value) in &key.tags {
        facts.text(format!("aws:ResourceTag/{tag}"), value);
    }
    let slot = key.slot();
    facts.list(
        "kms:ResourceAliases",
        state.aliases_of(&slot).map(|alias| alias.name.as_str()),
    );
    if let Some(alias) = &ask.target.alias {
        facts.text("kms:RequestAlias", alias);
    }
    if let Some(context) = ask.context {
        context_facts(&mut facts, context);
    }
    Question::new(&format!("kms:{}", ask.action), Some(&key.arn()), facts)
}

/// The condition keys of an encryption context. An empty one has none, so that
/// `Null` finds it absent.
pub(crate) fn context_facts(facts: &mut Facts, context: &EncryptionContext) {
    for (key, value) in context {
        facts.text(format!("kms:EncryptionContext:{key}"), value);
    }
    if !context.is_empty() {
        facts.list(
            "kms:EncryptionContextKeys",
            context.keys().map(String::as_str),
        );
    }
}

/// The condition keys that every request has. `kms:ViaService` and `aws:SourceArn` are
/// never among them: no service calls on anyone's behalf here.
fn caller_facts(cx: &Cx<'_>, facts: &mut Facts) {
    facts.text("kms:CallerAccount", &cx.caller.account);
    facts.text("aws:PrincipalAccount", &cx.caller.account);
    facts.text("aws:PrincipalArn", &cx.caller.principal_arn());
    facts.text("aws:userid", &cx.caller.user_id());
    facts.text("aws:RequestedRegion", cx.region);
    facts.text(
        "aws:PrincipalType",
        match cx.caller.kind {
            Kind::Root => "Account",
            Kind::User { .. } => "User",
            Kind::Role { .. } => "AssumedRole",
        },
    );
    if let Kind::User { name, .. } = &cx.caller.kind {
        facts.text("aws:username", name);
    }
    facts.flag("aws:PrincipalIsAWSService", false);
    facts.flag("aws:ViaAWSService", false);
    // At AWS every call of an SDK is under TLS; a policy that insists on it must work here.
    facts.flag("aws:SecureTransport", true);
    facts.text("aws:CurrentTime", &crate::clock::time_text(cx.now));
    facts.number("aws:EpochTime", crate::clock::epoch_seconds(cx.now));
}
