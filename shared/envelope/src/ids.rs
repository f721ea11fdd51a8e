//! The names of things, parsed once.
//!
//! Each id is a newtype that exists only in its valid form: text from outside
//! goes through `parse` and nowhere else. Parsing normalizes nothing, so equal
//! ids are equal bytes.

use std::{fmt, str::FromStr};

/// A text was not of the grammar of the id that it was to be. Names the kind
/// and the rule, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {rule}")]
pub struct InvalidId {
    /// What it was to be, in words.
    pub kind: &'static str,
    /// The rule that it must follow.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes untrusted text.
            ///
            /// # Errors
            /// The text is not of the grammar.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&[u8]) -> bool = $valid;
                if valid(text.as_bytes()) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { kind: $kind, rule: $rule })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

text_id!(
    /// A tenant: `[a-z][a-z0-9-]{1,62}`.
    WorkspaceId,
    "workspace id",
    "a lower-case letter, then 1 to 62 lower-case letters, digits or hyphens",
    is_dns_like
);

text_id!(
    /// A deployment of the broker: `[a-z][a-z0-9-]{1,62}`.
    BrokerId,
    "broker id",
    "a lower-case letter, then 1 to 62 lower-case letters, digits or hyphens",
    is_dns_like
);

text_id!(
    /// The name of a secret within its workspace: `[a-z0-9][a-z0-9._-]{0,127}`.
    /// Names are not secret: the customer's log shows them.
    SecretName,
    "secret name",
    "1 to 128 lower-case letters, digits, dots, underscores or hyphens, beginning with a letter or digit",
    |text| {
        (1..=128).contains(&text.len())
            && (text[0].is_ascii_lowercase() || text[0].is_ascii_digit())
            && text.iter().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
            })
    }
);

fn is_dns_like(text: &[u8]) -> bool {
    (2..=63).contains(&text.len())
        && text[0].is_ascii_lowercase()
        && text
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// The number of a secret's version: 1 to 9,999,999, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretVersion(u32);

impl SecretVersion {
    /// The version of a secret that is put for the first time.
    pub const FIRST: Self = Self(1);
    /// The last version that a secret can have.
    pub const LAST: Self = Self(9_999_999);

    /// Takes an untrusted number.
    ///
    /// # Errors
    /// The number is 0 or above 9,999,999.
    pub fn new(number: u64) -> Result<Self, InvalidId> {
        match u32::try_from(number) {
            Ok(n @ 1..=9_999_999) => Ok(Self(n)),
            _ => Err(InvalidId {
                kind: "version",
                rule: "a whole number from 1 to 9999999",
            }),
        }
    }

    /// The next number, if there is one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then(|| Self(self.0 + 1))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bounds_of_each_grammar_hold() {
        assert!(WorkspaceId::parse("a").is_err() && WorkspaceId::parse("ab").is_ok());
        assert!(
            WorkspaceId::parse(&"a".repeat(63)).is_ok()
                && WorkspaceId::parse(&"a".repeat(64)).is_err()
        );
        assert!(SecretName::parse("").is_err() && SecretName::parse("0").is_ok());
        assert!(
            SecretName::parse(&"a".repeat(128)).is_ok()
                && SecretName::parse(&"a".repeat(129)).is_err()
        );
        assert!(
            SecretName::parse("$probe").is_err(),
            "a probe's name must stay impossible for a secret"
        );
        assert!(SecretVersion::new(0).is_err() && SecretVersion::new(10_000_000).is_err());
        assert_eq!(SecretVersion::LAST.next(), None);
    }

    proptest! {
        #[test]
        fn parsing_changes_nothing_and_admits_only_the_grammar(text in ".{0,70}") {
            if let Ok(id) = WorkspaceId::parse(&text) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
            if let Ok(name) = SecretName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(!text.contains(['#', '/', '$', ' ']));
            }
        }

        #[test]
        fn every_well_formed_name_parses(ws in "[a-z][a-z0-9-]{1,62}", name in "[a-z0-9][a-z0-9._-]{0,127}", n in 1u64..=9_999_999) {
            prop_assert!(WorkspaceId::parse(&ws).is_ok());
            prop_assert!(BrokerId::parse(&ws).is_ok());
            prop_assert!(SecretName::parse(&name).is_ok());
            prop_assert_eq!(u64::from(SecretVersion::new(n).unwrap().number()), n);
        }
    }
}
