//! Which KEKs count for a workspace, given that its binding is authentic.

use envelope::KeyArn;
use store::Binding;

/// The KEK that is wrapped under: the workspace's own, or, where its binding says that it
/// has none, the deployment's, if that has one.
#[must_use]
pub fn current_kek<'a>(binding: &'a Binding, deployment: Option<&'a KeyArn>) -> Option<&'a KeyArn> {
    binding.current.as_ref().or(deployment)
}

/// The KEKs that may unwrap what the workspace holds, the current one first.
#[must_use]
pub fn keks(binding: &Binding, deployment: Option<&KeyArn>) -> Vec<KeyArn> {
    let current = current_kek(binding, deployment);
    current
        .into_iter()
        .chain(&binding.former)
        .cloned()
        .collect()
}
