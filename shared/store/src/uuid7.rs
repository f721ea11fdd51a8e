//! Ids that sort by the time that they were made at: UUIDv7 (RFC 9562, section
//! 5.7) in its lower-case hyphenated form.

use time::OffsetDateTime;
use uuid::{Builder, Uuid, Variant, Version};

/// A fresh id of the time `now`, to the millisecond.
///
/// # Panics
/// If the operating system gives no randomness.
pub(crate) fn fresh(now: OffsetDateTime) -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The id of a text, exactly so spelt; `None` also where its time is past the year 9999.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let valid = uuid.get_version() == Some(Version::SortRand)
        && uuid.get_variant() == Variant::RFC4122
        && time(uuid).is_some()
        && uuid.hyphenated().to_string() == text;
    valid.then_some(uuid)
}

/// The time that an id was made for, to the millisecond.
pub(crate) fn time(uuid: Uuid) -> Option<OffsetDateTime> {
    let millis = uuid.as_bytes()[..6]
        .iter()
        .fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok()
}
