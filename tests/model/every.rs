//! Nothing goes wrong, whoever comes between whom.

use crate::{actors::Role, breaks::BACK, explore::Model, history::Flaw, table::Key};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

pub(crate) const PUT: Role = Role::Put {
    value: 3,
    keyed: false,
};
pub(crate) const OTHER_PUT: Role = Role::Put {
    value: 4,
    keyed: false,
};
/// A put, and its repetition under the same `Idempotency-Key`.
pub(crate) const REPEATED: [Role; 2] = [
    Role::Put {
        value: 3,
        keyed: true,
    },
    Role::Put {
        value: 4,
        keyed: true,
    },
];
pub(crate) const CHANGE: Role = Role::ChangePolicy { policy: 5 };
pub(crate) const PROMOTE: Role = Role::Promote { number: 1 };
pub(crate) const REVOKE: Role = Role::Revoke { number: 1 };
pub(crate) const BIND: Role = Role::Bind { key: Key::B };

/// Whoever changes a secret.
const WRITERS: [Role; 6] = [PUT, OTHER_PUT, Role::Delete, CHANGE, PROMOTE, REVOKE];

/// Every choice of so many of the writers; the two puts are as good as each other.
fn writers(count: usize) -> BTreeSet<Vec<usize>> {
    let mut chosen = BTreeSet::from([Vec::new()]);
    for _ in 0..count {
        chosen = chosen
            .into_iter()
            .flat_map(|some| {
                let from = some.last().map_or(0, |last| last + 1);
                (from..WRITERS.len()).map(move |next| [&some[..], &[next]].concat())
            })
            .collect();
    }
    chosen.retain(|some| !some.contains(&1) || some.contains(&0));
    chosen
}

/// Some always, and every choice of so many writers with them.
fn with_writers(always: &[Role], count: usize) -> Vec<Model> {
    let casts = writers(count).into_iter().map(|chosen| {
        let chosen = chosen.into_iter().map(|one| WRITERS[one]);
        Model::of(&always.iter().copied().chain(chosen).collect::<Vec<_>>())
    });
    casts.collect()
}

fn is_large() -> bool {
    std::env::var("BYOK_MODEL").is_ok_and(|size| size == "large")
}

/// Explores all of them, on all cores, and says how many states they have.
fn nothing_goes_wrong(models: &[Model]) {
    let (next, states) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let flawed = Mutex::new(Vec::new());
    let start = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let explored = model.explore();
                    states.fetch_add(explored.states, Ordering::Relaxed);
                    if let Some((flaw, way)) = explored.flaw {
                        let told = format!("{flaw:?}:\n{}", model.told(&way));
                        flawed.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let flawed = flawed.into_inner().unwrap();
    assert!(flawed.is_empty(), "{}", flawed.join("\n\n"));
    println!(
        "{} states of {} models in {:?}",
        states.into_inner(),
        models.len(),
        start.elapsed()
    );
}

#[test]
fn whoever_changes_a_secret_during_a_re_wrap_no_version_is_lost_and_none_is_left_behind() {
    let job = [BIND, Role::StartJob, Role::Run];
    let mut models = with_writers(&job, 3);
    // The smallest pages are the most steps.
    for mut model in with_writers(&job, 2) {
        model.rules.page = 1;
        models.push(model);
    }
    if is_large() {
        models.extend(with_writers(&job, 4));
    }
    nothing_goes_wrong(&models);
}

#[test]
fn a_job_that_two_runs_carry_on_at_once_or_one_after_the_others_crash_moves_each_wrap_once() {
    let job = [BIND, Role::StartJob, Role::Run, Role::Run];
    let mut models = with_writers(&job, 1);
    if is_large() {
        models.extend(with_writers(&job, 2));
        let crowd = [BIND, Role::StartJob, Role::Run, Role::Run, Role::Run];
        models.extend(with_writers(&crowd, 0));
    }
    nothing_goes_wrong(&models);
}

#[test]
fn changes_of_every_kind_at_once_lose_no_version_and_use_no_number_twice() {
    let mut models = vec![Model::of(&WRITERS)];
    for repeated in with_writers(&REPEATED, 2) {
        // One value more than there are numbers for would have nowhere to lie.
        if !repeated.cast.contains(&PUT) {
            models.push(repeated);
        }
    }
    nothing_goes_wrong(&models);
}

#[test]
fn a_use_opens_under_its_own_policy_and_the_heads_whoever_changes_the_secret_meanwhile() {
    let mut models = Vec::new();
    let count = if is_large() { 4 } else { 2 };
    for wanted in [None, Some(1), Some(2), Some(3)] {
        for mut model in with_writers(&[Role::Use { wanted }, BIND], count) {
            // What it may be told wrongly is another test's affair.
            model.rules.reads_at_one_moment = true;
            models.push(model.clone());
            model.rules.reads_at_one_moment = false;
            model.rules.absence_may_be_told = true;
            models.push(model);
        }
    }
    nothing_goes_wrong(&models);
}

#[test]
fn what_is_said_to_be_safe_to_disable_stays_safe() {
    let mut models = with_writers(&[BIND, Role::Count], 2);
    models.extend(with_writers(
        &[BIND, Role::StartJob, Role::Run, Role::Count],
        1,
    ));
    models.extend(with_writers(
        &[BIND, BACK, Role::StartJob, Role::Run, Role::Count],
        1,
    ));
    for other in [Role::Bind { key: Key::C }, BACK] {
        let two_jobs = [Role::StartJob, Role::StartJob, Role::Run, Role::Run];
        models.push(Model::of(&[&[BIND, other], &two_jobs[..]].concat()));
    }
    if is_large() {
        models.extend(with_writers(&[BIND, Role::Count], 4));
        models.extend(with_writers(
            &[BIND, Role::StartJob, Role::Run, Role::Count],
            2,
        ));
    }
    nothing_goes_wrong(&models);
}

#[test]
fn a_freeze_and_the_loss_of_a_token_hold_from_the_moment_they_are_acknowledged() {
    let mut models = Vec::new();
    for end in [Role::Freeze, Role::LoseToken] {
        models.extend(with_writers(&[end], 3));
        models.extend(with_writers(&[end, BIND, Role::StartJob, Role::Run], 1));
    }
    nothing_goes_wrong(&models);
}

/// The records of one read are of moments of their own. A version that is promoted between two
/// of them lies in neither.
#[test]
fn a_use_of_a_version_that_is_being_promoted_may_be_told_that_there_is_none() {
    let mut model = Model::of(&[Role::Use { wanted: Some(1) }, PROMOTE]);
    let found = model.explore().flaw.map(|(flaw, _)| flaw);
    assert_eq!(found, Some(Flaw::ToldAbsent));
    model.rules.reads_at_one_moment = true;
    assert_eq!(model.explore().flaw.map(|(flaw, _)| flaw), None);
}
