//! A workspace's key: which it is, whether its use is frozen, what was last seen of it.

use crate::{IdempotencyRecord, Revision, names::named};
use envelope::KeyArn;
use time::OffsetDateTime;

/// Which KEKs a workspace has. A workspace without a key has a binding that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The KEK that new secrets are wrapped under.
    pub current: Option<KeyArn>,
    /// KEKs that earlier secrets may still sit under, the latest first.
    pub former: Vec<KeyArn>,
    /// Goes up with every change, and with every re-wrap; puts are conditional on it.
    pub revision: Revision,
    /// When it was last changed.
    pub changed_at: OffsetDateTime,
}

impl Binding {
    /// The binding of a workspace that is being opened.
    #[must_use]
    pub fn unbound(now: OffsetDateTime) -> Self {
        Self {
            current: None,
            former: Vec::new(),
            revision: Revision::ZERO,
            changed_at: now,
        }
    }

    /// Every KEK that may unwrap a secret of the workspace, the current one first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyArn> {
        self.current.iter().chain(&self.former).cloned().collect()
    }

    /// The binding after a change: the current KEK becomes the latest of the
    /// former ones, unless it is the new one itself; the deployment's own KEK
    /// becomes one where there never was another.
    #[must_use]
    pub(crate) fn changed_to(
        &self,
        key: &KeyArn,
        deployment_key: Option<&KeyArn>,
        now: OffsetDateTime,
    ) -> Self {
        let mut former = self.keys();
        if former.is_empty() {
            former.extend(deployment_key.cloned());
        }
        former.retain(|known| known != key);
        Self {
            current: Some(key.clone()),
            former,
            revision: self.revision.next(),
            changed_at: now,
        }
    }
}

/// A change of the workspace's KEK, after the new one was proved.
#[derive(Debug, Clone)]
pub struct BindKey<'a> {
    /// The binding as it was read; the change is conditional on its revision.
    pub read: Binding,
    /// The KEK to wrap under from now on.
    pub key: KeyArn,
    /// The deployment's own KEK, which becomes a former one where the binding that was
    /// read had none and never had one.
    pub deployment_key: Option<KeyArn>,
    /// What proved the new KEK, in short, for the state record. No key material.
    pub evidence: String,
    /// How well it is fenced, for the state record.
    pub grade: Option<Grade>,
    /// The probes as a list in JSON, for the state record.
    pub probes: String,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
    /// The time of the change.
    pub now: OffsetDateTime,
}

/// Whether the workspace's secrets may be used at all, by the broker's own switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Whether it is frozen now.
    pub frozen: bool,
    /// Since when that is so.
    pub since: OffsetDateTime,
    /// Who did it: a token's id, or `operator`.
    pub by: String,
    /// Why, in the words of who did it.
    pub reason: String,
}

/// What a KEK was last seen to be. Advice: a use asks KMS and never this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStateRecord {
    /// The state.
    pub state: KeyStateName,
    /// When it was first seen so.
    pub since: OffsetDateTime,
    /// What showed it, in short: a KMS request id, a probe. No key material.
    pub evidence: String,
    /// How well it is fenced, where that was asked.
    pub grade: Option<Grade>,
    /// What was asked of KMS and how it answered: a list in JSON, as evidence for people.
    pub probes: String,
    /// When it was last looked at.
    pub checked_at: OffsetDateTime,
}

named! {
    /// How well a key is fenced.
    pub enum Grade, "grade" {
        /// It serves this workspace and refuses every other.
        Strict = "strict",
        /// It works, and beyond the workspace too.
        Permissive = "permissive",
    }
}

named! {
    /// The states that a definite answer of KMS puts a key in.
    pub enum KeyStateName, "key state" {
        /// No key was bound yet.
        Unbound = "unbound",
        /// The key wraps and unwraps.
        Active = "active",
        /// The grant or the policy is gone.
        AccessDenied = "access_denied",
        /// The key is disabled.
        Disabled = "disabled",
        /// The key is scheduled for deletion.
        PendingDeletion = "pending_deletion",
        /// The key's imported material expired or was deleted.
        MaterialMissing = "material_missing",
        /// There is no such key.
        NotFound = "not_found",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn key(digit: char) -> KeyArn {
        let id = "0".repeat(11) + &digit.to_string();
        KeyArn::parse(&format!(
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-{id}"
        ))
        .unwrap()
    }

    #[test]
    fn a_change_moves_the_current_key_to_the_former_ones_and_lists_no_key_twice() {
        let now = datetime!(2026-11-05 12:00 UTC);
        let (a, b) = (key('a'), key('b'));
        let mut binding = Binding::unbound(now);
        for (next, former) in [
            (&a, vec![]),
            (&a, vec![]),
            (&b, vec![a.clone()]),
            (&a, vec![b.clone()]),
        ] {
            binding = binding.changed_to(next, None, now);
            assert_eq!(
                (binding.current.as_ref(), &binding.former),
                (Some(next), &former)
            );
        }
        assert_eq!(binding.revision.number(), 4);
        assert_eq!(binding.keys(), [a, b]);
    }

    #[test]
    fn the_deployments_own_key_becomes_a_former_one_only_where_there_never_was_another() {
        let now = datetime!(2026-11-05 12:00 UTC);
        let (own, a, b) = (key('d'), key('a'), key('b'));
        let unbound = Binding::unbound(now);
        let first = unbound.changed_to(&a, Some(&own), now);
        assert_eq!(first.keys(), [a.clone(), own.clone()]);
        assert_eq!(
            first.changed_to(&b, Some(&own), now).keys(),
            [b.clone(), a.clone(), own.clone()]
        );
        let without = unbound.changed_to(&a, None, now);
        assert_eq!(without.changed_to(&b, Some(&own), now).keys(), [b, a]);
        assert_eq!(unbound.changed_to(&own, Some(&own), now).keys(), [own]);
    }
}
