//! The house's arrows, held by reading the manifests and the sources.

mod arrows;
mod names;
mod tree;
