//! The store over an embedded DynamoDB.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not what they call"
)]

mod answers;
mod audits;
mod authority;
mod broken;
mod freezes;
mod harness;
mod idempotency;
mod jobs;
mod macs;
mod moves;
mod policies;
mod promotions;
mod puts;
mod races;
mod revocations;
mod tokens;
mod versions;
mod workspaces;
mod wraps;
