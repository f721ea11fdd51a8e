//! Pauses between the attempts that are the store's own.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first pause; each further one is up to twice as long.
const FIRST: Duration = Duration::from_millis(20);
/// How often something is asked again.
const REPEATS: u32 = 5;

/// A bounded number of pauses within the time of one call.
pub(super) struct Pauses {
    left: u32,
    next: Duration,
    until: Instant,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            left: REPEATS,
            next: FIRST,
            until: Instant::now() + super::OPERATION,
        }
    }

    /// Pauses, with jitter, so that callers who met do not meet again; `false`
    /// at once when there were enough.
    pub(super) async fn pause(&mut self) -> bool {
        if self.left == 0 || Instant::now() + self.next > self.until {
            return false;
        }
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        sleep(self.next.mul_f64(share)).await;
        self.left -= 1;
        self.next *= 2;
        true
    }
}
