//! The model's steps on the real store, one by one: what the store says of each, and what then
//! lies in its table, is what the model says.

mod bench;
mod cast;

use crate::{
    actors::{Local, Role},
    breaks,
    conditions::Condition,
    every::{BIND, CHANGE, OTHER_PUT, PROMOTE, PUT, REPEATED, REVOKE},
    explore::{Model, State, Step},
    table::Key,
};
use bench::{Bench, Room};
use cast::Memory;
use std::{
    collections::BTreeSet,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// A way through a model, gone on the store at the same time.
struct Replay<'b> {
    model: Model,
    state: State,
    room: Room<'b>,
    memories: Vec<Memory>,
    refused: BTreeSet<&'static str>,
    told: String,
}

impl<'b> Replay<'b> {
    async fn new(bench: &'b Bench, workspace: &str, model: Model) -> Self {
        let room = bench.room(workspace).await;
        let state = model.first();
        assert_eq!(room.table().await, state.world.table, "to begin with");
        Self {
            memories: model.cast.iter().map(|_| Memory::default()).collect(),
            model,
            state,
            room,
            refused: BTreeSet::new(),
            told: String::new(),
        }
    }

    /// Takes one step, if it is one that can be taken here.
    async fn take(&mut self, step: Step) {
        if !self.model.steps(&self.state).any(|one| one == step) {
            return;
        }
        let actor = usize::from(step.actor);
        let (role, before) = (self.model.cast[actor], self.state.locals[actor]);
        let (mut next, taken) = self.model.take(&self.state, step);
        // The store deletes a secret's versions in the same call as the secret.
        while let Local::Sweep { .. } = next.locals[actor] {
            next = self.model.take(&next, step).0;
        }
        self.told += &format!("{role:?} {before:?}: {:?}\n", taken.said);
        let after = &next.world.table;
        let memory = &mut self.memories[actor];
        let said = memory
            .step(&mut self.room, role, step.actor + 1, before, after)
            .await;
        let expected = taken.said.map(|said| said.map_err(Condition::refusal));
        assert_eq!(said, expected, "the store's answer, after\n{}", self.told);
        if let Some(Err(refusal)) = said {
            self.refused.insert(refusal.name());
        }
        let found = self.room.table().await;
        assert_eq!(&found, after, "the store's records, after\n{}", self.told);
        // A change that begins anew has read the binding in the model's same step.
        if said.is_some() && matches!(next.locals[actor], Local::Change(_) | Local::Promote(_)) {
            let memory = &mut self.memories[actor];
            memory
                .step(&mut self.room, role, step.actor + 1, Local::Outside, after)
                .await;
        }
        self.state = next;
    }
}

async fn bench(folder: &str) -> Bench {
    // What it leaves is removed with the target folder; what was left before, now.
    let _ = std::fs::remove_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder));
    Bench::new(folder).await
}

/// On the way on which a model without a condition goes wrong, the store refuses, and for that
/// very reason: it has the condition.
#[tokio::test]
async fn the_store_refuses_where_a_model_without_the_condition_goes_wrong() {
    let bench = bench("breaks").await;
    for (n, one) in breaks::all().into_iter().enumerate() {
        let way = one.way();
        let model = Model::of(&one.cast);
        let mut replay = Replay::new(&bench, &format!("break-{n}"), model).await;
        for step in way {
            replay.take(step).await;
        }
        let refusals = one
            .without
            .iter()
            .map(|condition| condition.refusal().name());
        let expected: BTreeSet<_> = refusals.collect();
        assert!(
            !replay.refused.is_disjoint(&expected),
            "{:?}: it was refused for {:?} alone, on\n{}",
            one.without,
            replay.refused,
            replay.told
        );
    }
}

#[tokio::test]
async fn on_random_ways_the_store_does_what_the_model_does() {
    let walks = number("BYOK_MODEL_WALKS").unwrap_or(40);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("BYOK_TEST_SEED").unwrap_or(since.subsec_nanos().into());
    println!("BYOK_MODEL_WALKS={walks} BYOK_TEST_SEED={seed}");
    let mut random = Random(seed);
    let bench = bench("walks").await;
    let (mut steps, mut refused) = (0, BTreeSet::new());
    for walk in 0..walks {
        let mut model = Model::of(&random.cast());
        model.rules.page = 1 + random.below(2) as u8;
        model.rules.absence_may_be_told = true;
        let mut replay = Replay::new(&bench, &format!("walk-{walk}"), model).await;
        replay.told = format!("BYOK_TEST_SEED={seed}, walk {walk}\n");
        loop {
            let ways: Vec<Step> = replay.model.steps(&replay.state).collect();
            if ways.is_empty() {
                break;
            }
            replay.take(ways[random.below(ways.len())]).await;
            steps += 1;
        }
        refused.extend(replay.refused);
    }
    println!("{steps} steps, refused for {refused:?}");
}

/// Each condition's test is there in the store's own suite.
#[test]
fn every_condition_has_a_test_in_the_stores_suite() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/store/tests/dynamodb");
    for condition in Condition::ALL {
        let (file, test) = condition.test();
        let text = std::fs::read_to_string(suite.join(format!("{file}.rs"))).unwrap();
        assert!(
            text.contains(&format!("async fn {test}()")),
            "{condition:?}: {file}.rs has no {test}"
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// A small generator (SplitMix64), so that a seed tells the whole walk.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Most of those who change a secret, and a re-wrap among them.
    fn cast(&mut self) -> Vec<Role> {
        let puts = if self.below(2) == 0 {
            [PUT, OTHER_PUT]
        } else {
            REPEATED
        };
        let mut cast = vec![BIND, Role::StartJob, Role::Run, Role::Run];
        cast.extend(puts);
        let rest = [
            (Role::Delete, 3),
            (CHANGE, 8),
            (PROMOTE, 8),
            (REVOKE, 3),
            (Role::Bind { key: Key::C }, 2),
            (breaks::BACK, 2),
            (Role::Freeze, 1),
            (Role::LoseToken, 1),
        ];
        for (role, tenths) in rest {
            if cast.len() < crate::explore::CAST_MAX && self.below(10) < tenths {
                cast.push(role);
            }
        }
        cast
    }
}
