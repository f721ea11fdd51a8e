//! The id of an audit record, which says where the record lies.

use crate::uuid7;
use envelope::InvalidId;
use std::{fmt, str::FromStr};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// The id of an audit record, a use's receipt among them: a UUIDv7 (RFC 9562,
/// section 5.7) in its lower-case hyphenated form. Its time tells the day and
/// its last random bits the shard that the record lies in, and the ids of a
/// shard lie in the order of their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(Uuid);

impl ReceiptId {
    /// How many shards a day has.
    pub const SHARDS: u8 = 16;

    /// A fresh id of the time `now`.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self(uuid7::fresh(now))
    }

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not a UUIDv7 in its usual form, or its time is past the year 9999.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        uuid7::parse(text).map(Self).ok_or(InvalidId {
            kind: "receipt id",
            rule: "a UUIDv7 in lower case with hyphens",
        })
    }

    /// The day, in UTC, that the record lies under.
    #[must_use]
    pub fn day(&self) -> Date {
        uuid7::time(self.0).map_or(Date::MAX, OffsetDateTime::date)
    }

    /// The shard of that day, below [`SHARDS`](Self::SHARDS).
    #[must_use]
    pub fn shard(&self) -> u8 {
        self.0.as_bytes()[15] % Self::SHARDS
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ReceiptId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    #[test]
    fn a_receipt_id_tells_its_day_and_survives_its_text() {
        for now in [
            datetime!(2026-11-05 00:00 UTC),
            datetime!(2026-11-05 23:59:59.999 UTC),
            datetime!(2026-11-06 00:30 +1),
        ] {
            let id = ReceiptId::new(now);
            assert_eq!(id.day(), date!(2026 - 11 - 05));
            assert_eq!(ReceiptId::parse(&id.to_string()), Ok(id));
        }
    }

    #[test]
    fn receipt_ids_spread_over_all_shards() {
        let now = datetime!(2026-11-05 12:00 UTC);
        let mut seen = [false; 16];
        for _ in 0..2000 {
            seen[usize::from(ReceiptId::new(now).shard())] = true;
        }
        assert_eq!(seen, [true; 16]);
    }

    #[test]
    fn receipt_ids_sort_by_time_as_ids_and_as_text() {
        let early = ReceiptId::new(datetime!(2026-11-05 12:00:00.001 UTC));
        let late = ReceiptId::new(datetime!(2026-11-05 12:00:00.002 UTC));
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn what_is_not_a_uuid_v7_is_no_receipt_id() {
        let id = ReceiptId::new(datetime!(2026-11-05 12:00 UTC)).to_string();
        let version_4 = format!("{}4{}", &id[..14], &id[15..]);
        let other_variant = format!("{}c{}", &id[..19], &id[20..]);
        let far = format!("ffffffff-ffff-{}", &id[14..]);
        for text in [
            "",
            &id.to_uppercase(),
            &id.replace('-', ""),
            &format!("{{{id}}}"),
            &version_4,
            &other_variant,
            &far,
        ] {
            assert!(ReceiptId::parse(text).is_err(), "{text}");
        }
    }
}
