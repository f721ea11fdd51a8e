//! The broker's API, driven through its edge over the embedded stack, a file per
//! subject. Status, code and headers are checked, and what the customer's KMS
//! and the upstream saw.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod wire;
mod world;

mod audit;
mod authority;
mod cut;
mod deployment_key;
mod events;
mod fence;
mod key;
mod limits;
mod openapi;
mod outbound;
mod policy;
mod policy_change;
mod put;
mod random;
mod reveal;
mod rewrap;
mod rewrap_state;
mod rights;
mod stream;
mod tamper;
mod together;
mod versions;
mod who;
