//! The id of an audit record, which says where the record lies.

use envelope::InvalidId;
use std::{fmt, str::FromStr};
use time::{Date, OffsetDateTime};
use uuid::{Builder, Uuid, Variant, Version};

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
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not a UUIDv7 in its usual form, or its time is past the year 9999.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const INVALID: InvalidId = InvalidId {
            kind: "receipt id",
            rule: "a UUIDv7 in lower case with hyphens",
        };
        let uuid = Uuid::try_parse(text).map_err(|_| INVALID)?;
        let id = Self(uuid);
        let valid = uuid.get_version() == Some(Version::SortRand)
            && uuid.get_variant() == Variant::RFC4122
            && id.time().is_some()
            && id.to_string() == text;
        if valid { Ok(id) } else { Err(INVALID) }
    }

    /// The day, in UTC, that the record lies under.
    #[must_use]
    pub fn day(&self) -> Date {
        self.time().map_or(Date::MAX, OffsetDateTime::date)
    }

    /// The shard of that day, below [`SHARDS`](Self::SHARDS).
    #[must_use]
    pub fn shard(&self) -> u8 {
        self.0.as_bytes()[15] % Self::SHARDS
    }

    /// The time that the id was made for, to the millisecond.
    fn time(self) -> Option<OffsetDateTime> {
        let bytes = self.0.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
        OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok()
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
