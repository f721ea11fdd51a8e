//! KMS's actions, and the patterns that name them.

use super::super::Job;

/// What an action is to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of a job.
    Job(Job),
    /// Cryptography that no job does.
    Unneeded,
    /// The key's life, its policy, its grants: for its owner alone.
    Administration,
    /// Reading about the key.
    Reading,
}

/// Every action that a key policy can name (Service Authorization Reference, "Actions,
/// resources, and condition keys for AWS Key Management Service").
pub(super) const ALL: [(&str, Kind); 50] = [
    ("GenerateDataKey", Kind::Job(Job::Put)),
    ("Decrypt", Kind::Job(Job::Use)),
    ("ReEncryptFrom", Kind::Job(Job::Move)),
    ("ReEncryptTo", Kind::Job(Job::Move)),
    ("DescribeKey", Kind::Job(Job::Watch)),
    ("Encrypt", Kind::Unneeded),
    ("GenerateDataKeyWithoutPlaintext", Kind::Unneeded),
    ("GenerateDataKeyPair", Kind::Unneeded),
    ("GenerateDataKeyPairWithoutPlaintext", Kind::Unneeded),
    ("GenerateMac", Kind::Unneeded),
    ("VerifyMac", Kind::Unneeded),
    ("Sign", Kind::Unneeded),
    ("Verify", Kind::Unneeded),
    ("DeriveSharedSecret", Kind::Unneeded),
    ("GenerateRandom", Kind::Unneeded),
    ("GetPublicKey", Kind::Reading),
    ("GetKeyPolicy", Kind::Reading),
    ("GetKeyRotationStatus", Kind::Reading),
    ("GetKeyLastUsage", Kind::Reading),
    ("ListAliases", Kind::Reading),
    ("ListGrants", Kind::Reading),
    ("ListKeyPolicies", Kind::Reading),
    ("ListKeyRotations", Kind::Reading),
    ("ListKeys", Kind::Reading),
    ("ListResourceTags", Kind::Reading),
    ("ListRetirableGrants", Kind::Reading),
    ("CancelKeyDeletion", Kind::Administration),
    ("CreateAlias", Kind::Administration),
    ("CreateGrant", Kind::Administration),
    ("CreateKey", Kind::Administration),
    ("DeleteAlias", Kind::Administration),
    ("DeleteImportedKeyMaterial", Kind::Administration),
    ("DisableKey", Kind::Administration),
    ("DisableKeyRotation", Kind::Administration),
    ("EnableKey", Kind::Administration),
    ("EnableKeyRotation", Kind::Administration),
    ("GetParametersForImport", Kind::Administration),
    ("ImportKeyMaterial", Kind::Administration),
    ("PutKeyPolicy", Kind::Administration),
    ("ReplicateKey", Kind::Administration),
    ("RetireGrant", Kind::Administration),
    ("RevokeGrant", Kind::Administration),
    ("RotateKeyOnDemand", Kind::Administration),
    ("ScheduleKeyDeletion", Kind::Administration),
    ("SynchronizeMultiRegionKey", Kind::Administration),
    ("TagResource", Kind::Administration),
    ("UntagResource", Kind::Administration),
    ("UpdateAlias", Kind::Administration),
    ("UpdateKeyDescription", Kind::Administration),
    ("UpdatePrimaryRegion", Kind::Administration),
];

/// Whether an encryption context goes with an action's calls, so that one can fence it.
pub(super) fn has_context(action: &str) -> bool {
    action.starts_with("ReEncrypt")
        || action.starts_with("GenerateDataKey")
        || matches!(action, "Decrypt" | "Encrypt")
}

/// What an action is; none where KMS has no such action.
pub(super) fn kind(action: &str) -> Option<Kind> {
    ALL.iter()
        .find(|(name, _)| *name == action)
        .map(|(_, kind)| *kind)
}

/// Whether a pattern of a statement names an action. Action names know no case, and
/// `*` and `?` are wildcards (IAM User Guide, "IAM JSON policy elements: Action").
pub(super) fn names(pattern: &str, action: &str) -> bool {
    match pattern.split_at_checked("kms:".len()) {
        Some((service, pattern)) if service.eq_ignore_ascii_case("kms:") => {
            matches(pattern, action, |a, b| a.eq_ignore_ascii_case(&b))
        }
        _ => pattern == "*",
    }
}

/// Whether a text is of a pattern, in which `*` is any characters and `?` is one.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    matches(pattern, text, |a, b| a == b)
}

fn matches(pattern: &str, text: &str, same: fn(u8, u8) -> bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how far it has reached: only the last needs to grow.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern
            .get(p)
            .is_some_and(|b| *b == b'?' || same(*b, text[t]))
        {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, reached)) = star {
            star = Some((at, reached + 1));
            (p, t) = (at + 1, reached + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}
