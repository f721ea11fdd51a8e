//! How values are written in an item, and read strictly: an attribute that is
//! missing, of another type or not of its grammar makes the item unreadable.
//! What can be absent is written as NULL, so that an attribute that was taken
//! away is noticed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::{fmt, fmt::Display, str::FromStr};

/// The text of an id: attribute type S.
pub(super) mod text {
    use super::*;

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        parsed(&String::deserialize(from)?)
    }
}

/// The text of an id, or NULL.
pub(super) mod text_or_null {
    use super::*;

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?
            .as_deref()
            .map(parsed)
            .transpose()
    }
}

/// The texts of ids: a list of S.
pub(super) mod texts {
    use super::*;

    pub(in super::super) fn serialize<'a, C, T, S>(values: &'a C, to: S) -> Result<S::Ok, S::Error>
    where
        &'a C: IntoIterator<Item = &'a T>,
        T: Display + 'a,
        S: Serializer,
    {
        to.collect_seq(values.into_iter().map(ToString::to_string))
    }

    pub(in super::super) fn deserialize<'de, C, T, D>(from: D) -> Result<C, D::Error>
    where
        C: FromIterator<T> + IntoIterator<Item = T>,
        T: FromStr,
        D: Deserializer<'de>,
    {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| parsed(text))
            .collect()
    }
}

/// A value or NULL; unlike a bare `Option`, never missing.
pub(super) mod or_null {
    use super::*;

    pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        Option::deserialize(from)
    }
}

/// A secret's version: attribute type N.
pub(super) mod version {
    use super::*;
    use envelope::SecretVersion;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &SecretVersion,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u32(value.number())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SecretVersion, D::Error> {
        SecretVersion::new(u64::deserialize(from)?).map_err(|_| grammar())
    }
}

/// A secret's version, or NULL.
pub(super) mod version_or_null {
    use super::*;
    use envelope::SecretVersion;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<SecretVersion>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(SecretVersion::number).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SecretVersion>, D::Error> {
        let number = Option::<u64>::deserialize(from)?;
        number
            .map(|number| SecretVersion::new(number).map_err(|_| grammar()))
            .transpose()
    }
}

/// A revision: attribute type N.
pub(super) mod revision {
    use super::*;
    use crate::Revision;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Revision,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.number())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Revision, D::Error> {
        Revision::new(u64::deserialize(from)?).map_err(|_| grammar())
    }
}

/// When a token ends: RFC 3339, or `never`. Not NULL: the end of a token's
/// rights must not be lost with a type.
pub(super) mod expiry {
    use super::*;
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    const NEVER: &str = "never";

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<OffsetDateTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => to.serialize_str(NEVER),
            Some(at) => to.serialize_str(&at.format(&Rfc3339).map_err(ser::Error::custom)?),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        match String::deserialize(from)?.as_str() {
            NEVER => Ok(None),
            text => OffsetDateTime::parse(text, &Rfc3339)
                .map(Some)
                .map_err(|_| grammar()),
        }
    }
}

/// The secrets that a token is for: a list of patterns, or the one word `*` for
/// all. Not NULL, for the same reason.
pub(super) mod patterns {
    use super::*;
    use crate::SecretPattern;

    const ALL: &str = "*";

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<Vec<SecretPattern>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => to.collect_seq([ALL]),
            Some(patterns) => texts::serialize(patterns, to),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<SecretPattern>>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        if texts == [ALL] {
            return Ok(None);
        }
        texts
            .iter()
            .map(|text| parsed(text))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// Bytes: attribute type B.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}

fn parsed<T: FromStr, E: de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|_| grammar())
}

fn grammar<E: de::Error>() -> E {
    E::custom("not of its grammar")
}
