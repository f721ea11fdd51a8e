//! The whole broker on one machine: an instrument for developing, testing and
//! showing. Never linked by a Lambda.
//!
//! ```text
//!                 ┌────────────── one process ──────────────┐
//!  HTTP  ───────► the functions, each as its own role        │
//!                 │      │ DynamoDB protocol   │ KMS protocol │
//!  AWS CLI ─────► │  embedded DynamoDB      the local KMS    │ ◄───── AWS CLI
//!                 └───────┬─────────────────────┬───────────┘
//!                     broker.sqlite      kms journal, cloudtrail.jsonl
//! ```
//!
//! There is no other code path than on AWS: the functions speak the protocols of
//! DynamoDB and KMS over loopback; what differs is an endpoint.

pub mod cast;
pub mod client;
mod cloud;
mod customer;
pub mod demo;
mod functions;
mod keys;
mod options;
mod rewraps;
mod stack;
mod tables;
mod template;
mod upstream;
mod workspace;

pub use cloud::Cloud;
pub use customer::Customer;
pub use functions::{AssembleError, Route, openapi, routes};
pub use keys::{DeploymentKeys, KeysError};
pub use options::{Command, HELP, Options, UsageError};
pub use stack::{Stack, StackConfig, StartError};
pub use tables::{TableRight, Tables};
pub use template::template;
pub use upstream::{Seen, Upstream};
pub use workspace::{DemoWorkspace, LocalFile};
