//! The store over an embedded DynamoDB.

mod answers;
mod audits;
mod broken;
mod harness;
mod puts;
mod tokens;
mod versions;
mod workspaces;
