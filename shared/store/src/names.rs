//! Enumerations that are written by name: in records, in requests, in answers.

/// Defines an enumeration of which each variant has one name.
macro_rules! named {
    (
        $(#[$doc:meta])*
        pub enum $enum:ident, $kind:literal { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $enum {
            /// All of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Its name, in snake case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of a name, exactly so spelt.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == name)
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = envelope::InvalidId;
            fn from_str(name: &str) -> Result<Self, envelope::InvalidId> {
                Self::parse(name)
                    .ok_or(envelope::InvalidId { kind: $kind, rule: "one of a fixed list of names" })
            }
        }
    };
}

pub(crate) use named;
