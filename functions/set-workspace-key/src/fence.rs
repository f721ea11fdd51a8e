//! The proof that a key is fenced: that it serves this workspace and no other.
//!
//! One role works for all workspaces, so a key whose policy names the role and
//! nothing more would serve every one of them: whoever knows its ARN could bind it to
//! a workspace of their own (the confused deputy, AWS IAM User Guide). Each job is
//! therefore asked for in contexts that are not the workspace's, with `DryRun`, so that
//! nothing is done. The broker's own rights allow all of it: a denial is the customer's.

use crate::{SetWorkspaceKey, proof::CALL, schema::Probe};
use api::Problem;
use envelope::{
    EncryptionContext, Job, KeyName, KmsFailure, KmsOperation, Refusal, WorkspaceId, kms::Asked,
};
use futures_util::future::{join_all, try_join_all};
use std::fmt::Write;
use store::Grade;

/// Whose context a probe goes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The workspace's own.
    Own,
    /// That of a workspace of another name.
    Another,
    /// That of a workspace whose name is nearly this one's, for a fence with a wildcard.
    Neighbour,
    /// No context at all.
    None,
}

impl Whose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Another => "another workspace's",
            Self::Neighbour => "a workspace's of a similar name",
            Self::None => "none",
        }
    }
}

/// What the probes of the fence found.
pub(crate) struct Fence {
    pub(crate) probes: Vec<Probe>,
    /// The jobs that the key does for others, too.
    pub(crate) open: Vec<Job>,
}

impl Fence {
    pub(crate) fn grade(&self) -> Grade {
        if self.open.is_empty() {
            Grade::Strict
        } else {
            Grade::Permissive
        }
    }
}

/// One probe, and the job that it is of.
struct Asking<'a> {
    job: Job,
    whose: Whose,
    asked: Asked<'a>,
}

impl SetWorkspaceKey {
    /// Asks whether the key does the workspace's own jobs: puts and uses it must do,
    /// moves it may.
    ///
    /// # Errors
    /// The failure of the first that it must do and does not.
    pub(crate) async fn ask_own(
        &self,
        key: &KeyName,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<Vec<Probe>, KmsFailure> {
        let own = EncryptionContext::probe(&self.api.broker, workspace);
        let own = Some(&own);
        let asked = [
            Asked::GenerateDataKey(own),
            Asked::Decrypt(own),
            Asked::ReEncrypt { from: own, to: own },
        ];
        let asking = asked.map(|asked| async move {
            let answer = self.probe.would(key, asked, grant_tokens, CALL).await;
            let operation = asked.operation();
            match answer {
                Ok(request_id) => Ok(probe(operation, Whose::Own, true, Some(request_id))),
                Err(failure)
                    if operation == KmsOperation::ReEncrypt
                        && failure.refusal == Refusal::AccessDenied =>
                {
                    let request_id = failure.request_ids.last().cloned();
                    Ok(probe(operation, Whose::Own, false, request_id))
                }
                Err(failure) => Err(failure),
            }
        });
        // All are asked at once; of several failures the first job's is told.
        join_all(asking).await.into_iter().collect()
    }

    /// Asks for every job in contexts that are not the workspace's.
    ///
    /// # Errors
    /// KMS could not be asked: an answer that is not there is no fence.
    pub(crate) async fn ask_fence(
        &self,
        key: &KeyName,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<Fence, Problem> {
        let broker = &self.api.broker;
        let own = EncryptionContext::probe(broker, workspace);
        let another = EncryptionContext::probe(broker, &another_workspace());
        let neighbours = neighbours(workspace).map(|name| EncryptionContext::probe(broker, &name));
        let neighbours: Vec<_> = neighbours.collect();
        let own = Some(&own);
        let foreign = neighbours
            .iter()
            .map(|context| (Whose::Neighbour, Some(context)))
            .chain([(Whose::Another, Some(&another)), (Whose::None, None)]);
        let mut asking = Vec::new();
        for (whose, context) in foreign {
            for (job, asked) in [
                (Job::Put, Asked::GenerateDataKey(context)),
                (Job::Use, Asked::Decrypt(context)),
                // Each half of a move is fenced for itself.
                (
                    Job::Move,
                    Asked::ReEncrypt {
                        from: context,
                        to: own,
                    },
                ),
                (
                    Job::Move,
                    Asked::ReEncrypt {
                        from: own,
                        to: context,
                    },
                ),
            ] {
                asking.push(Asking { job, whose, asked });
            }
        }
        let answers = asking.iter().map(|asking| async move {
            let operation = asking.asked.operation();
            let answer = self
                .probe
                .would(key, asking.asked, grant_tokens, CALL)
                .await;
            match answer {
                Ok(request_id) => {
                    Ok((true, probe(operation, asking.whose, true, Some(request_id))))
                }
                Err(failure) if failure.refusal == Refusal::AccessDenied => {
                    let request_id = failure.request_ids.last().cloned();
                    Ok((false, probe(operation, asking.whose, false, request_id)))
                }
                Err(failure) => Err(Problem::from(failure)),
            }
        });
        let answers = try_join_all(answers).await?;
        let mut fence = Fence {
            probes: Vec::new(),
            open: Vec::new(),
        };
        for (asking, (allowed, probe)) in asking.iter().zip(answers) {
            if allowed && !fence.open.contains(&asking.job) {
                fence.open.push(asking.job);
            }
            fence.probes.push(probe);
        }
        Ok(fence)
    }
}

fn probe(
    operation: KmsOperation,
    whose: Whose,
    allowed: bool,
    kms_request_id: Option<String>,
) -> Probe {
    Probe {
        operation: operation.as_str(),
        context: Some(whose.as_str()),
        result: if allowed { "allowed" } else { "denied" },
        kms_request_id,
    }
}

/// A name that no policy was written for.
fn another_workspace() -> WorkspaceId {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    let mut name = "byok-probe-".to_owned();
    for byte in random {
        let _ = write!(name, "{byte:02x}");
    }
    WorkspaceId::parse(&name).expect("letters, hyphens and digits, beginning with a letter")
}

/// Names that a wildcard at the end, at the beginning or within the workspace's own would
/// match; without those that are longer than a name can be.
fn neighbours(workspace: &WorkspaceId) -> impl Iterator<Item = WorkspaceId> {
    let own = workspace.as_str();
    let (rest, last) = own.split_at(own.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    let first = if own.starts_with('a') { "b" } else { "a" };
    [
        format!("{own}0"),
        format!("a{own}"),
        format!("{rest}{other}"),
        format!("{first}{}", &own[1..]),
    ]
    .into_iter()
    .filter_map(|name| WorkspaceId::parse(&name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_go_under_names_that_are_not_the_workspaces() {
        let workspace = WorkspaceId::parse("acme").unwrap();
        assert_ne!(another_workspace(), another_workspace());
        let names = |workspace| -> Vec<String> {
            neighbours(workspace).map(|name| name.to_string()).collect()
        };
        assert_eq!(names(&workspace), ["acme0", "aacme", "acm0", "bcme"]);
        let longest = WorkspaceId::parse(&"z0".repeat(32)[..63]).unwrap();
        assert_eq!(names(&longest).len(), 2);
        assert!(!names(&longest).contains(&longest.to_string()));
    }
}
