//! The broker's API, driven through its edge over the embedded stack, a file per
//! subject. Status, code and headers are checked, and what the customer's KMS
//! and the upstream saw.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod world;

mod audit;
mod cut;
mod events;
mod key;
mod openapi;
mod outbound;
mod put;
mod random;
mod rights;
mod tamper;
mod who;
