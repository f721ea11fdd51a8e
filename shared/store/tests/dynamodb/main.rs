//! The store over an embedded DynamoDB.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not what they call"
)]

mod answers;
mod audits;
mod broken;
mod harness;
mod puts;
mod tokens;
mod versions;
mod workspaces;
