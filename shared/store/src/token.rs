//! Tokens: what their bearer may do, and with which secrets.

use crate::{TokenId, names::named};
use envelope::{InvalidId, SecretName};
use std::{collections::BTreeSet, fmt, str::FromStr};
use time::OffsetDateTime;

/// What a token's bearer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its name: the token's hash.
    pub id: TokenId,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
    /// The secrets that it is for; `None` is all of them, an empty list none.
    pub secrets: Option<Vec<SecretPattern>>,
    /// From when on it is unknown; `None` is never.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// The token that made it; `None` is the operator.
    pub created_by: Option<TokenId>,
    /// What its maker calls it.
    pub label: Option<String>,
}

impl TokenRecord {
    /// Whether it has a permission.
    #[must_use]
    pub fn permits(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether it is for a secret.
    #[must_use]
    pub fn is_for(&self, name: &SecretName) -> bool {
        match &self.secrets {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }

    /// Whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

named! {
    /// One thing that a token may allow.
    pub enum Permission, "permission" {
        /// Bind the workspace's key, re-wrap, freeze.
        ManageKey = "manage_key",
        /// Put new versions, with their policy, and delete.
        WriteSecrets = "write_secrets",
        /// Change where an existing value may go.
        ManagePolicies = "manage_policies",
        /// Have a secret injected into a request.
        UseSecrets = "use_secrets",
        /// Have a value given back, where its policy allows it.
        RevealSecrets = "reveal_secrets",
        /// Read what lies at rest.
        Read = "read",
        /// Read the audit records.
        ReadAudit = "read_audit",
        /// Make and delete tokens, never with more than its own.
        ManageTokens = "manage_tokens",
    }
}

/// Secrets by name: one, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretPattern {
    /// `abc`: the secret of this name.
    Name(SecretName),
    /// `abc*`: every secret whose name begins so. What a name begins with is
    /// itself of a name's grammar.
    Prefix(SecretName),
}

impl Permission {
    /// Whether it is about the workspace as a whole: a token that reaches only some
    /// secrets cannot have it.
    #[must_use]
    pub fn is_of_the_whole_workspace(self) -> bool {
        match self {
            Self::ManageKey | Self::ReadAudit => true,
            Self::WriteSecrets
            | Self::ManagePolicies
            | Self::UseSecrets
            | Self::RevealSecrets
            | Self::Read
            | Self::ManageTokens => false,
        }
    }
}

impl SecretPattern {
    /// Takes untrusted text: a name, or a name's beginning and `*`. A bare `*`
    /// is refused: all secrets is the absence of a list.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let parsed = match text.strip_suffix('*') {
            Some(prefix) => SecretName::parse(prefix).map(Self::Prefix),
            None => SecretName::parse(text).map(Self::Name),
        };
        parsed.map_err(|_| InvalidId {
            kind: "secret pattern",
            rule: "a secret's name, or the beginning of one followed by *",
        })
    }

    /// Whether a secret is among these.
    #[must_use]
    pub fn matches(&self, name: &SecretName) -> bool {
        match self {
            Self::Name(only) => only == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix.as_str()),
        }
    }

    /// The patterns in the order of what they match, without those that another covers:
    /// no two match one name.
    #[must_use]
    pub fn disjoint(patterns: &[Self]) -> Vec<&Self> {
        let mut kept: Vec<&Self> = Vec::new();
        let mut sorted: Vec<&Self> = patterns.iter().collect();
        // Of two that begin alike the wider comes first.
        sorted.sort_by_key(|pattern| match pattern {
            Self::Prefix(prefix) => (prefix.as_str(), 0),
            Self::Name(name) => (name.as_str(), 1),
        });
        for pattern in sorted {
            if !kept.iter().any(|wider| wider.covers(pattern)) {
                kept.push(pattern);
            }
        }
        kept
    }

    /// Whether every secret that `other` can match is among these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.matches(name),
            (Self::Prefix(_), Self::Prefix(narrower)) => self.matches(narrower),
            (Self::Name(_), Self::Prefix(_)) => false,
        }
    }
}

impl fmt::Display for SecretPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl FromStr for SecretPattern {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> SecretPattern {
        SecretPattern::parse(text).unwrap()
    }

    #[test]
    fn a_permission_survives_its_name() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        assert_eq!(Permission::parse("admin"), None);
    }

    #[test]
    fn a_pattern_matches_its_name_or_its_beginning() {
        let name = |text| SecretName::parse(text).unwrap();
        assert!(pattern("pay").matches(&name("pay")) && !pattern("pay").matches(&name("pay2")));
        assert!(pattern("pay*").matches(&name("pay")) && pattern("pay*").matches(&name("pay.eu")));
        assert!(!pattern("pay*").matches(&name("pa")));
    }

    #[test]
    fn a_pattern_covers_only_what_it_wholly_includes() {
        for (wide, narrow) in [
            ("a", "a"),
            ("a*", "a"),
            ("a*", "ab"),
            ("a*", "a*"),
            ("a*", "ab*"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("a", "b"),
            ("a", "a*"),
            ("ab*", "a"),
            ("ab*", "a*"),
            ("ab", "a*"),
        ] {
            assert!(!pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
    }

    #[test]
    fn what_is_no_name_or_beginning_of_one_is_no_pattern() {
        for text in ["", "*", "a**", "*a", "a*b", "A", "-a*"] {
            assert!(SecretPattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(pattern("a.b*").to_string(), "a.b*");
    }
}
