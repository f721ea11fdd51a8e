//! Not more than so many calls a second.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Lets callers go one after the other, evenly, at a rate. Time in which nobody went is not
/// made up for: KMS counts each second for itself.
pub(super) struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(a_second: NonZeroU32) -> Self {
        Self {
            interval: Duration::from_nanos(1_000_000_000_u64.div_ceil(a_second.get().into())),
            next: Mutex::new(None),
        }
    }

    /// Waits for the caller's turn.
    pub(super) async fn turn(&self) {
        let now = Instant::now();
        let turn = self.next_turn(now);
        if turn > now {
            sleep_until(turn).await;
        }
    }

    /// Takes the next turn, which is now or later.
    fn next_turn(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.interval);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(a_second: u32) -> (Pace, Instant) {
        (
            Pace::new(NonZeroU32::new(a_second).unwrap()),
            Instant::now(),
        )
    }

    #[test]
    fn callers_who_come_at_once_go_evenly_at_the_rate() {
        let (pace, start) = pace(500);
        for n in 0..1000 {
            assert_eq!(
                pace.next_turn(start),
                start + n * Duration::from_millis(2),
                "{n}"
            );
        }
    }

    #[test]
    fn no_second_has_more_calls_than_the_rate_however_callers_come() {
        let (pace, start) = pace(50);
        let mut now = start;
        let mut turns = Vec::new();
        for burst in [200, 0, 1, 30, 0, 0, 75, 2] {
            turns.extend((0..burst).map(|_| pace.next_turn(now)));
            now += Duration::from_millis(1700);
        }
        for from in &turns {
            let within = turns
                .iter()
                .filter(|turn| (*from..*from + Duration::from_secs(1)).contains(turn));
            assert!(within.count() <= 50);
        }
        assert_eq!(turns.len(), 308, "and nobody was turned away");
    }

    #[test]
    fn time_in_which_nobody_went_is_not_made_up_for() {
        let (pace, start) = pace(10);
        assert_eq!(pace.next_turn(start), start);
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.next_turn(later), later);
        assert_eq!(pace.next_turn(later), later + Duration::from_millis(100));
    }

    #[tokio::test]
    async fn a_turn_that_has_not_come_is_waited_for() {
        let (pace, start) = pace(20);
        for _ in 0..3 {
            pace.turn().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}
