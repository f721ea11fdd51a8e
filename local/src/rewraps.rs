//! What drives re-wraps on this machine. On AWS the table's stream wakes
//! rewrap-secrets and a schedule sweeps up what the stream lost; here the same
//! sweep runs in a loop, and takes every job as it finds it.

use crate::cloud::Stopped;
use api::edge::Invoke;
use serde_json::json;
use std::{convert::Infallible, num::NonZeroU32, time::Duration};

/// How re-wraps are driven.
#[derive(Debug, Clone, Copy)]
pub struct Rewraps {
    /// How often jobs are looked for; `None` is never, where a test drives them itself.
    pub every: Option<Duration>,
    /// KMS calls a second that one run makes at most.
    pub rate: NonZeroU32,
    /// How long one run works before it hands over.
    pub run: Duration,
}

impl Default for Rewraps {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_millis(250)),
            rate: NonZeroU32::new(500).expect("500 is not 0"),
            run: Duration::from_secs(10),
        }
    }
}

/// Sweeps until it is stopped. A run that is cut off goes on after a restart.
pub(crate) async fn drive(
    rewrap: Invoke,
    every: Duration,
    mut stopped: Stopped,
) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let run = async {
            ticks.tick().await;
            if let Err(problem) = rewrap(json!({"sweep": {"stalled_seconds": 0}})).await {
                tracing::warn!(code = problem.code().as_str(), "a sweep of re-wraps failed");
            }
        };
        tokio::select! {
            () = &mut stopped => return Ok(()),
            () = run => {}
        }
    }
}
