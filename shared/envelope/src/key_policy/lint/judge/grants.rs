//! What grants allow.

use super::{Judge, named, told};
use crate::key_policy::lint::{
    Severity,
    actions::{self, Kind},
    grants::Grant,
    whom,
};
use serde_json::Value;

impl Judge<'_> {
    pub(super) fn grants(&mut self) {
        let draft = self.draft;
        let mut ours = 0;
        for (index, value) in draft.grants.iter().enumerate() {
            let name = value
                .get("Name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let at = named("grant", index, "", name);
            match Grant::parse(value) {
                Ok(grant) => ours += usize::from(self.grant(&at, &grant, name)),
                Err(rule) => self.malformed(&at, rule),
            }
        }
        if ours > 1 {
            let message = format!(
                "The broker has {ours} grants: each allows until it is revoked itself. Revoke all but one."
            );
            self.find(
                Severity::Warning,
                "several_grants",
                "grants",
                message,
                Vec::new(),
            );
        }
    }

    /// Judges one grant; whether it reaches the broker.
    fn grant(&mut self, at: &str, grant: &Grant, name: &str) -> bool {
        let mend = || vec![self.policy.grant()];
        let meant = name.to_ascii_lowercase().starts_with("byok")
            || (grant.subset.iter()).any(|(key, _)| key.to_ascii_lowercase().starts_with("byok:"));
        if let Some(stranger) = whom::stranger(&grant.grantee, meant, &self.own) {
            let mend = mend();
            self.find(Severity::Error, stranger.code, at, stranger.message, mend);
            return false;
        }
        let account = whom::is_account(&grant.grantee, &self.own);
        if grant.grantee != self.own.role && !account {
            return false;
        }
        let mend = mend();
        if account {
            self.opens = true;
            self.find(
                Severity::Error,
                "principal_account",
                at,
                "The grantee is the broker's whole account. Name the broker's role.",
                mend.clone(),
            );
        }
        if let (Some(own), Some(key)) = (&self.draft.key, &grant.key)
            && key != own.as_str()
            && key != own.as_str().rsplit('/').next().unwrap_or_default()
        {
            self.find(
                Severity::Error,
                "resource_other_key",
                at,
                "The grant is on another key.",
                mend,
            );
            return false;
        }
        let covered = grant.covered();
        let of = |wanted: Kind| {
            // A grantee may give its own grant back: that harms nobody.
            told(covered.iter().filter(|action| {
                **action != "RetireGrant" && actions::kind(action) == Some(wanted)
            }))
        };
        let (administration, unneeded) = (of(Kind::Administration), of(Kind::Unneeded));
        if !administration.is_empty() {
            self.opens = true;
            let message = format!(
                "The broker needs no administration of the key, and must not have it: {administration}."
            );
            self.find(Severity::Error, "administration", at, message, mend.clone());
        }
        if !unneeded.is_empty() {
            let message = format!("The broker never does this: {unneeded}.");
            self.find(
                Severity::Warning,
                "unneeded_action",
                at,
                message,
                mend.clone(),
            );
        }
        let judged = grant.constrained(&self.own);
        let fences = covered.iter().any(|action| actions::has_context(action));
        if fences {
            self.opens |= !judged.closed;
            for (code, message) in &judged.errors {
                self.find(Severity::Error, code, at, *message, mend.clone());
            }
            if judged.other_case {
                self.find(
                    Severity::Warning,
                    "context_key_case",
                    at,
                    "The context's key is written in another case. A constraint disregards it, a key \
                     policy's kms:EncryptionContextKeys does not: write byok:broker and byok:workspace.",
                    mend,
                );
            }
        }
        let allowed = covered
            .iter()
            .copied()
            .filter(|action| judged.holds || !actions::has_context(action));
        self.by_grant.extend(allowed);
        true
    }
}
