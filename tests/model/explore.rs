//! Every interleaving of some actors' steps, breadth first, so that a flaw is found at the end
//! of a shortest way to it.
//!
//! A checker of its own, since it is these few lines: a library for it brings a web server and
//! more than a dozen crates along, and keeps no more of a state than 64 bits.

use crate::{
    actors::{Local, Role, Rules, Taken},
    history::{self, Flaw},
    table::{JobState, Table},
    transact::World,
};
use std::{
    collections::{HashSet, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, Hash, Hasher},
};

/// The most actors at once.
pub(crate) const CAST_MAX: usize = 10;

/// Who takes part, and by which rules.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) cast: Vec<Role>,
    pub(crate) rules: Rules,
}

/// The table, and where every actor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) locals: [Local; CAST_MAX],
}

/// Which actor goes, and which of its ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) actor: u8,
    pub(crate) choice: u8,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Explored {
    /// How many states there are, or were seen until the flaw.
    pub(crate) states: usize,
    pub(crate) flaw: Option<(Flaw, Vec<Step>)>,
}

impl Model {
    pub(crate) fn of(cast: &[Role]) -> Self {
        Self {
            cast: cast.to_vec(),
            rules: Rules::KEPT,
        }
    }

    pub(crate) fn first(&self) -> State {
        let mut locals = [Local::Over; CAST_MAX];
        locals[..self.cast.len()].fill(Local::Outside);
        State {
            world: World::new(Table::of_two_versions()),
            locals,
        }
    }

    /// Every step that can be taken in a state.
    pub(crate) fn steps(&self, state: &State) -> impl Iterator<Item = Step> {
        let roles = self.cast.iter().zip(&state.locals).enumerate();
        roles.flat_map(|(actor, (role, local))| {
            let choices = role.choices(*local, &state.world);
            let actor = actor as u8;
            (0..choices).map(move |choice| Step { actor, choice })
        })
    }

    /// The state after a step, and what the store said of it.
    pub(crate) fn take(&self, state: &State, step: Step) -> (State, Taken) {
        let mut next = *state;
        let actor = usize::from(step.actor);
        let (role, local) = (self.cast[actor], state.locals[actor]);
        // 0 made what was there to begin with.
        let me = step.actor + 1;
        let taken = role.step(self.rules, me, local, step.choice, &mut next.world);
        next.locals[actor] = taken.local;
        for local in &mut next.locals {
            if let Local::Use(it) = local {
                it.see(&next.world);
            }
        }
        (next, taken)
    }

    /// Goes through all states, until one is flawed.
    pub(crate) fn explore(&self) -> Explored {
        let hashers = [RandomState::new(), RandomState::new()];
        let first = self.first();
        // The way to each state: by which step from which other.
        let mut ways: Vec<(u32, Step)> = vec![(
            0,
            Step {
                actor: 0,
                choice: 0,
            },
        )];
        let mut seen = HashSet::from([mark(&hashers, &first)]);
        let mut left = VecDeque::from([(0, first)]);
        while let Some((number, state)) = left.pop_front() {
            let flaw = history::flaw(&state.world.table, &state.world.history);
            if let Some(flaw) = flaw.or_else(|| self.stuck(&state)) {
                return Explored {
                    states: ways.len(),
                    flaw: Some((flaw, way(&ways, number))),
                };
            }
            for step in self.steps(&state) {
                let (next, _) = self.take(&state, step);
                if seen.insert(mark(&hashers, &next)) {
                    let next_number = u32::try_from(ways.len()).expect("fewer than 2^32 states");
                    ways.push((number, step));
                    left.push_back((next_number, next));
                }
            }
        }
        Explored {
            states: ways.len(),
            flaw: None,
        }
    }

    /// Where nothing goes on, a job has ended, unless it waits for a freeze to end.
    fn stuck(&self, state: &State) -> Option<Flaw> {
        let table = &state.world.table;
        let lives = table.job.is_some_and(|job| job.state == JobState::Running);
        let of = |role| self.cast.iter().filter(|one| **one == role).count();
        // Of more jobs than one the runs here may have been about the first.
        let runs = of(Role::StartJob) == 1 && of(Role::Run) > 0;
        (lives && runs && !table.frozen && self.steps(state).next().is_none())
            .then_some(Flaw::NeverDone)
    }

    /// A way in words, for a person.
    pub(crate) fn told(&self, way: &[Step]) -> String {
        let mut state = self.first();
        let mut lines = String::new();
        for step in way {
            let role = self.cast[usize::from(step.actor)];
            let (next, taken) = self.take(&state, *step);
            lines += &format!("{role:?} {:?} -> {:?}\n", taken.said, taken.local);
            state = next;
        }
        lines + &format!("{:?}", state.world.table)
    }
}

/// 128 bits by which a state is known: of ten million states, two share one with a chance of
/// less than one in 10^24.
fn mark(hashers: &[RandomState; 2], state: &State) -> u128 {
    let mut written = Written(Vec::with_capacity(size_of::<State>()));
    state.hash(&mut written);
    let [a, b] = hashers.each_ref().map(|hasher| hasher.hash_one(&written.0));
    u128::from(a) << 64 | u128::from(b)
}

/// What a state writes of itself, gone through once for both marks.
struct Written(Vec<u8>);

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("what was written is taken as it is")
    }
}

fn way(ways: &[(u32, Step)], mut number: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    while number != 0 {
        let (before, step) = ways[number as usize];
        steps.push(step);
        number = before;
    }
    steps.reverse();
    steps
}
