//! The one source of time of the engine: the system's clock, or one that a test moves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Tells the time to the engine. Everything with a date in it (deletion, the
/// propagation of grants, events) asks here and nowhere else.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`, to the millisecond.
    pub fn new(start: OffsetDateTime) -> Self {
        Self {
            millis: AtomicI64::new(millis(start)),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the clock, backward too.
    pub fn set(&self, to: OffsetDateTime) {
        self.millis.store(millis(to), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        from_millis(self.millis.load(Ordering::SeqCst))
    }
}

/// A day in milliseconds.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;

/// Milliseconds since 1970, as times are stored.
pub(crate) fn millis(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// A stored time; what lies outside the calendar is 1970.
pub(crate) fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// As events and `aws:CurrentTime` write it, to the second.
pub(crate) fn time_text(millis: i64) -> String {
    let time = from_millis(millis);
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Milliseconds of a request's epoch seconds; none where they are no date.
pub(crate) fn millis_of(seconds: f64) -> Option<i64> {
    let date = time::Duration::checked_seconds_f64(seconds)?;
    // To the nearest: most decimal fractions have no exact double.
    let millis = (date.whole_nanoseconds() + 500_000).div_euclid(1_000_000);
    i64::try_from(millis).ok()
}

/// Epoch seconds with a fraction, as AWS JSON 1.1 writes times.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit into 53 bits for 285,000 years"
)]
pub(crate) fn epoch_seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_was_given_out_comes_back_to_the_millisecond() {
        for millis in 1_795_000_000_000..1_795_000_001_000 {
            assert_eq!(millis_of(epoch_seconds(millis)), Some(millis));
        }
        for none in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(millis_of(none), None);
        }
    }
}
