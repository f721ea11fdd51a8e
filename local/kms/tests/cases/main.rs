//! The KMS from outside: over its HTTP handler, or in process where the wire does not matter.

mod aliases_and_keys;
mod events;
mod faults;
mod grants;
mod persistence;
mod policies;
mod table;
mod wire;
mod world;
