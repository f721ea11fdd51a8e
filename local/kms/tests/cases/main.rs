//! The KMS from outside: over its HTTP handler, or in process where the wire does not matter.

// clippy.toml allows it in test functions; these helpers serve nothing else.
#![allow(clippy::unwrap_used)]

mod aliases_and_keys;
mod events;
mod faults;
mod grants;
mod import;
mod lives;
mod persistence;
mod regions;
mod rotation;
mod table;
mod tags;
mod wire;
mod world;
mod wrapping;
