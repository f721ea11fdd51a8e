//! How many uses one process has under way at once, shared fairly.
//!
//! A secret has at most so many, a workspace so many, and no more than are still free:
//! the fuller the process, the less a workspace may hold. One noisy workspace alone gets
//! half of all at the most, two a third each, and as long as any is free, who has none gets it
//! (dynamic thresholds: A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds
//! for shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2), 1998).
//!
//! It counts in memory. Under Lambda a process serves one request at a time, and there
//! this bounds nothing; what does, docs/firewall.md says.

use api::{Code, Problem};
use envelope::{SecretName, WorkspaceId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many uses may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seats {
    /// In the process: 512.
    pub in_all: usize,
    /// Of one workspace: 128.
    pub per_workspace: usize,
    /// Of one secret: 64.
    pub per_secret: usize,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            in_all: 512,
            per_workspace: 128,
            per_secret: 64,
        }
    }
}

/// Counts the uses that are under way. A clone counts the same ones.
#[derive(Clone)]
pub struct Bulkhead(Arc<Shared>);

struct Shared {
    seats: Seats,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: usize,
    workspaces: HashMap<WorkspaceId, Workspace>,
}

#[derive(Default)]
struct Workspace {
    in_all: usize,
    secrets: HashMap<SecretName, usize>,
}

impl Bulkhead {
    /// An empty one.
    #[must_use]
    pub fn new(seats: Seats) -> Self {
        Self(Arc::new(Shared {
            seats,
            taken: Mutex::default(),
        }))
    }

    /// Takes a seat for one use, until what is returned is dropped.
    ///
    /// # Errors
    /// `busy`.
    pub(crate) fn enter(
        &self,
        workspace: &WorkspaceId,
        secret: &SecretName,
    ) -> Result<Seat, Problem> {
        let Seats {
            in_all,
            per_workspace,
            per_secret,
        } = self.0.seats;
        let busy = |detail: &str| Err(Problem::new(Code::Busy).because(detail));
        let mut taken = self.0.taken();
        let (of_workspace, of_secret) =
            taken
                .workspaces
                .get(workspace)
                .map_or((0, 0), |of_workspace| {
                    let of_secret = of_workspace.secrets.get(secret).copied();
                    (of_workspace.in_all, of_secret.unwrap_or_default())
                });
        if of_secret >= per_secret {
            return busy("Too many uses of this secret are under way.");
        }
        let free = in_all.saturating_sub(taken.in_all);
        if of_workspace >= per_workspace.min(free) {
            return busy("Too many uses of this workspace are under way.");
        }
        taken.in_all += 1;
        let of_workspace = taken.workspaces.entry(workspace.clone()).or_default();
        of_workspace.in_all += 1;
        *of_workspace.secrets.entry(secret.clone()).or_default() += 1;
        Ok(Seat {
            shared: Arc::clone(&self.0),
            workspace: workspace.clone(),
            secret: secret.clone(),
        })
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use's place among those that are under way.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    workspace: WorkspaceId,
    secret: SecretName,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        taken.in_all = taken.in_all.saturating_sub(1);
        let Some(of_workspace) = taken.workspaces.get_mut(&self.workspace) else {
            return;
        };
        of_workspace.in_all = of_workspace.in_all.saturating_sub(1);
        if let Some(of_secret) = of_workspace.secrets.get_mut(&self.secret) {
            *of_secret = of_secret.saturating_sub(1);
            if *of_secret == 0 {
                of_workspace.secrets.remove(&self.secret);
            }
        }
        if of_workspace.in_all == 0 {
            taken.workspaces.remove(&self.workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEATS: Seats = Seats {
        in_all: 12,
        per_workspace: 8,
        per_secret: 3,
    };

    /// Takes seats for secrets of a workspace in turn until it gets no more.
    fn fill(bulkhead: &Bulkhead, workspace: &str) -> Vec<Seat> {
        let workspace = WorkspaceId::parse(workspace).unwrap();
        (0..100)
            .map_while(|number| {
                let secret = SecretName::parse(&format!("secret-{number}")).unwrap();
                bulkhead.enter(&workspace, &secret).ok()
            })
            .collect()
    }

    #[test]
    fn a_noisy_workspace_never_takes_the_seats_of_a_quiet_one() {
        let bulkhead = Bulkhead::new(SEATS);
        let noisy = fill(&bulkhead, "noisy");
        assert_eq!(noisy.len(), 6, "half of all");
        assert_eq!(fill(&bulkhead, "noisy").len(), 0);
        for _ in 0..50 {
            assert_eq!(fill(&bulkhead, "quiet").len(), 3);
        }
        let second = fill(&bulkhead, "second");
        assert_eq!(second.len(), 3);
        let third = fill(&bulkhead, "third");
        assert!(!third.is_empty(), "there is one for who has none");
        drop((noisy, second, third));
        assert_eq!(fill(&bulkhead, "second").len(), 6);
        assert!(bulkhead.0.taken().workspaces.is_empty(), "nothing is kept");
        assert_eq!(bulkhead.0.taken().in_all, 0);
    }

    #[test]
    fn a_workspace_and_a_secret_have_their_own_limits() {
        let workspace = WorkspaceId::parse("acme").unwrap();
        let secret = SecretName::parse("one").unwrap();
        let bulkhead = Bulkhead::new(SEATS);
        let mut seats: Vec<_> = (0..3)
            .map(|_| bulkhead.enter(&workspace, &secret).ok().unwrap())
            .collect();
        let busy = bulkhead.enter(&workspace, &secret).err().unwrap();
        assert_eq!(busy.code(), Code::Busy);
        seats.pop();
        assert!(bulkhead.enter(&workspace, &secret).is_ok());

        let wide = Bulkhead::new(Seats {
            in_all: 1000,
            ..SEATS
        });
        assert_eq!(fill(&wide, "acme").len(), 8);
    }
}
