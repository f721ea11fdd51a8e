//! The house's arrows, held by reading the manifests and the sources.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod arrows;
mod names;
mod template;
mod tree;
