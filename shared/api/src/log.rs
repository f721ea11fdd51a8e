//! Logs: one JSON line per request, on standard output.
//!
//! `tracing` is built with `max_level_debug`, because at TRACE the Lambda
//! runtime prints whole events and the SDK prints answers' bodies.

use tracing_subscriber::{
    EnvFilter, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Starts logging to standard output, as `RUST_LOG` says (default `info`), and
/// lets a panic say where it was but not what it said.
pub fn start() {
    start_to(std::io::stdout);
}

/// Starts logging to a writer of one's own. The first call of the process counts.
pub fn start_to<W>(writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
