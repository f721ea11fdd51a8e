//! Wraps: what a re-wrap moves, and what says under which KEKs a workspace's secrets sit.

use crate::Revision;
use envelope::{KeyArn, SecretName, SecretVersion, WrappedDataKey};

/// Which wraps of a workspace: those of the heads or those of the earlier versions.
/// Whoever visits both takes the heads first: a version leaves a head for the archive
/// with the wrap that it has, but comes back from it with a new one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WrapPart {
    /// Of the current versions.
    Heads,
    /// Of the earlier ones.
    Earlier,
}

/// Where a wrap lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapPlace {
    /// In a head of this revision.
    Head(Revision),
    /// In an earlier version.
    Earlier,
}

/// One version's wrap, with what it is bound to. Without the sealed bytes, which a
/// re-wrap leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapItem {
    /// The secret.
    pub name: SecretName,
    /// The version.
    pub version: SecretVersion,
    /// Where it lies.
    pub place: WrapPlace,
    /// The data key under the KEK.
    pub wrapped: WrappedDataKey,
    /// The destination policy: the exact canonical bytes that the wrap is bound to.
    pub policy: String,
}

/// What became of the move of one wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The new wrap is stored.
    Yes,
    /// The version has another wrap than was read, or lies elsewhere, or is gone.
    Changed,
}

/// How many versions sit under each KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapCounts {
    /// One for each KEK and material, in the order of their names.
    pub by_key: Vec<WrapCount>,
    /// Whether every record was counted; otherwise there are at least so many.
    pub complete: bool,
}

/// How many versions sit under one KEK's material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapCount {
    /// The KEK.
    pub key: KeyArn,
    /// Which of the KEK's key material, if KMS said.
    pub material: Option<String>,
    /// Secrets whose current version sits under it.
    pub secrets: u64,
    /// Versions that do, the current ones included.
    pub versions: u64,
}
