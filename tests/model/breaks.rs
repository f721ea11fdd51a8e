//! Without each condition of the store, and each rule of whoever calls it, something goes
//! wrong: so the checker would find it, were it gone.

use crate::{
    actors::{Role, Rules},
    conditions::{Condition, Without},
    every::{BIND, CHANGE, OTHER_PUT, PROMOTE, PUT, REPEATED, REVOKE},
    explore::{Model, Step},
    history::Flaw,
    table::Key,
};
use Condition::*;

const JOB: [Role; 3] = [BIND, Role::StartJob, Role::Run];
/// The workspace goes back to the key that it came from: what a job that stalled meanwhile still
/// has to store would lie under the key that was left.
pub(crate) const BACK: Role = Role::Bind { key: Key::A };

/// A model without some of the conditions, and what it does wrong.
pub(crate) struct Break {
    pub(crate) without: &'static [Condition],
    pub(crate) cast: Vec<Role>,
    pub(crate) flaw: Flaw,
}

impl Break {
    /// The shortest way to what goes wrong.
    pub(crate) fn way(&self) -> Vec<Step> {
        let mut model = Model::of(&self.cast);
        model.rules.without = Without::of(self.without);
        let (flaw, way) = model.explore().flaw.expect("something goes wrong");
        assert_eq!(flaw, self.flaw, "{:?}", self.without);
        // It is this condition that keeps it from going wrong.
        assert!(Model::of(&self.cast).explore().flaw.is_none());
        way
    }
}

fn with(cast: &[Role], more: &[Role]) -> Vec<Role> {
    [cast, more].concat()
}

/// Tests of one break each, and the list of them all.
macro_rules! breaks {
    ($($name:ident: $without:expr, $cast:expr, $flaw:ident;)*) => {
        /// Every break, for the replay.
        pub(crate) fn all() -> Vec<Break> {
            vec![$(Break { without: &$without, cast: $cast, flaw: Flaw::$flaw },)*]
        }

        $(
            #[test]
            fn $name() {
                Break { without: &$without, cast: $cast, flaw: Flaw::$flaw }.way();
            }
        )*
    };
}

breaks! {
    without_the_condition_on_a_puts_token_the_checker_finds_a_change_by_nobody:
        [PutToken], vec![PUT, Role::LoseToken], ChangedWithoutToken;
    without_the_condition_on_a_puts_freeze_the_checker_finds_a_change_while_frozen:
        [PutFreeze], vec![PUT, Role::Freeze], ChangedWhileFrozen;
    without_the_condition_on_the_idempotency_record_the_checker_finds_a_put_made_twice:
        [PutIdempotency], REPEATED.to_vec(), MadeTwice;
    without_the_condition_on_a_puts_binding_the_checker_finds_a_version_under_a_former_key_after_the_job:
        [PutBinding], with(&JOB, &[PUT]), LeftUnderFormer;
    without_the_conditions_on_a_puts_head_and_archive_the_checker_finds_a_number_used_twice:
        [PutHead, PutArchive], vec![PUT, OTHER_PUT], NumberTwice;
    without_the_condition_on_a_puts_head_the_checker_finds_a_deleted_version_again:
        [PutHead], vec![PUT, Role::Delete], Resurrected;
    without_the_condition_on_a_puts_head_the_checker_finds_what_the_job_moved_under_the_former_key_again:
        [PutHead], with(&JOB, &[PUT, Role::Count]), MovedTwice;
    without_the_condition_on_a_policys_token_the_checker_finds_a_change_by_nobody:
        [ChangeToken], vec![CHANGE, Role::LoseToken], ChangedWithoutToken;
    without_the_condition_on_a_policys_freeze_the_checker_finds_a_change_while_frozen:
        [ChangeFreeze], vec![CHANGE, Role::Freeze], ChangedWhileFrozen;
    without_the_condition_on_a_policys_binding_the_checker_finds_a_wrap_moved_twice:
        [ChangeBinding], with(&JOB, &[CHANGE]), MovedTwice;
    without_the_condition_on_a_policys_head_the_checker_finds_a_lost_version:
        [ChangeHead], vec![PUT, CHANGE], LostVersion;
    without_the_condition_on_a_promotions_token_the_checker_finds_a_change_by_nobody:
        [PromoteToken], vec![PROMOTE, Role::LoseToken], ChangedWithoutToken;
    without_the_condition_on_a_promotions_freeze_the_checker_finds_a_change_while_frozen:
        [PromoteFreeze], vec![PROMOTE, Role::Freeze], ChangedWhileFrozen;
    without_the_condition_on_a_promotions_binding_the_checker_finds_a_wrap_moved_twice:
        [PromoteBinding], with(&JOB, &[PROMOTE]), MovedTwice;
    without_the_condition_on_a_promotions_head_the_checker_finds_a_change_of_policy_undone:
        [PromoteHead], vec![CHANGE, PROMOTE], PolicyUndone;
    without_the_conditions_on_a_promotions_head_and_archive_the_checker_finds_a_lost_version:
        [PromoteHead, PromoteArchive], vec![PUT, PROMOTE], LostVersion;
    without_the_condition_on_the_promoted_version_the_checker_finds_a_revoked_version_again:
        [PromoteVersion], vec![PROMOTE, REVOKE], Resurrected;
    without_the_condition_on_a_revocations_token_the_checker_finds_a_change_by_nobody:
        [RevokeToken], vec![REVOKE, Role::LoseToken], ChangedWithoutToken;
    without_the_conditions_on_a_revoked_version_and_its_head_the_checker_finds_a_broken_record:
        [RevokeHead, RevokeVersion], vec![PROMOTE, REVOKE], Broken;
    without_the_condition_on_a_deletions_token_the_checker_finds_a_change_by_nobody:
        [DeleteToken], vec![Role::Delete, Role::LoseToken], ChangedWithoutToken;
    without_the_condition_on_a_deletions_head_the_checker_finds_a_lost_version:
        [DeleteHead], vec![PUT, Role::Delete], LostVersion;
    without_the_condition_on_a_moves_binding_the_checker_finds_a_version_under_the_key_that_was_left:
        [MoveBinding], vec![BIND, BACK, Role::StartJob, Role::Run, Role::Count], LeftUnderFormer;
    without_the_conditions_on_a_moved_heads_wrap_and_revision_the_checker_finds_a_lost_version:
        [MoveHeadRevision, MoveHeadWrap], with(&JOB, &[PUT]), LostVersion;
    without_the_condition_on_a_moved_archives_wrap_the_checker_finds_a_wrap_moved_twice:
        [MoveEarlierWrap], with(&JOB, &[Role::Run]), MovedTwice;
    without_the_condition_on_a_moved_archives_wrap_the_checker_finds_a_broken_record:
        [MoveEarlierWrap], with(&JOB, &[PROMOTE]), Broken;
    without_the_condition_on_a_bindings_token_the_checker_finds_a_change_by_nobody:
        [BindToken], vec![BIND, Role::LoseToken], ChangedWithoutToken;
    without_the_condition_on_the_binding_that_was_read_the_checker_finds_a_lost_version:
        [BindBinding], vec![BIND, Role::Bind { key: Key::C }, PUT], LostVersion;
    without_the_condition_on_a_jobs_token_the_checker_finds_a_change_by_nobody:
        [StartToken], with(&JOB, &[Role::LoseToken]), ChangedWithoutToken;
    without_the_condition_on_the_job_that_lives_the_checker_finds_two_jobs:
        [StartExists], vec![BIND, Role::StartJob, Role::StartJob], TwoJobs;
    without_the_conditions_on_the_job_as_it_was_read_the_checker_finds_one_changed_after_its_end:
        [SaveRevision, SaveState], with(&JOB, &[Role::Run]), ChangedAfterItsEnd;
}

/// Every cast that a single condition is tried with, where nothing is to be found.
fn casts() -> Vec<Vec<Role>> {
    vec![
        vec![PUT, OTHER_PUT, Role::Delete, PROMOTE],
        vec![PUT, CHANGE, PROMOTE, REVOKE],
        vec![Role::Delete, CHANGE, PROMOTE, REVOKE],
        with(&JOB, &[PUT, Role::Delete]),
        with(&JOB, &[CHANGE, PROMOTE]),
        with(&JOB, &[Role::Run]),
        with(&JOB, &[Role::Run, REVOKE]),
        with(
            &[BIND, Role::Bind { key: Key::C }],
            &[Role::StartJob, Role::StartJob, Role::Run],
        ),
    ]
}

/// Some conditions stand behind another: the store has them all the same, against records
/// that it did not write itself. Without both of them something is found: above.
#[test]
fn conditions_that_stand_behind_another_are_known() {
    let behind = [
        PutArchive,
        PromoteArchive,
        RevokeHead,
        RevokeVersion,
        MoveHeadRevision,
        MoveHeadWrap,
        StartBinding,
        SaveRevision,
        SaveState,
    ];
    for condition in behind {
        for cast in casts() {
            let mut model = Model::of(&cast);
            model.rules.without = Without::of(&[condition]);
            let found = model.explore().flaw.map(|(flaw, _)| flaw);
            assert_eq!(found, None, "{condition:?} {cast:?}");
        }
    }
    // Every condition is of one kind or the other.
    let alone = |condition| all().iter().any(|one| one.without == [condition]);
    for condition in Condition::ALL {
        let known = behind.contains(condition) || alone(*condition);
        assert!(known, "{condition:?} is nobody's");
    }
}

/// What a model with other rules does wrong.
fn found(cast: &[Role], change: impl Fn(&mut Rules)) -> Option<Flaw> {
    let mut model = Model::of(cast);
    model.rules.reads_at_one_moment = true;
    assert!(model.explore().flaw.is_none(), "{cast:?}");
    change(&mut model.rules);
    model.explore().flaw.map(|(flaw, _)| flaw)
}

#[test]
fn a_use_that_does_not_judge_the_heads_policy_is_found() {
    let cast = [Role::Use { wanted: Some(1) }];
    let found = found(&cast, |rules| rules.own_policy_alone = true);
    assert_eq!(found, Some(Flaw::PolicyNotJudged));
}

#[test]
fn a_promotion_that_keeps_a_wrap_under_a_former_key_is_found() {
    let found = found(&with(&JOB, &[PROMOTE, Role::Count]), |rules| {
        rules.promote_keeps_wrap = true;
    });
    assert_eq!(found, Some(Flaw::LeftUnderFormer));
}

/// The order and the second visit each make up for the other.
#[test]
fn a_job_that_visits_the_archive_first_and_nothing_twice_is_found() {
    let cast = with(&JOB, &[PUT]);
    let both = found(&cast, |rules| {
        rules.earlier_first = true;
        rules.no_verifying = true;
    });
    assert_eq!(both, Some(Flaw::LeftUnderFormer));
    assert_eq!(found(&cast, |rules| rules.earlier_first = true), None);
    assert_eq!(found(&cast, |rules| rules.no_verifying = true), None);
}

#[test]
fn a_job_that_says_that_it_is_behind_a_page_before_it_has_stored_it_is_found() {
    let found = found(&with(&JOB, &[Role::Run]), |rules| rules.saves_first = true);
    assert_eq!(found, Some(Flaw::LeftUnderFormer));
}

#[test]
fn a_count_of_the_archive_before_the_heads_is_found() {
    let found = found(&[BIND, PUT, REVOKE, Role::Count], |rules| {
        rules.counts_earlier_first = true;
    });
    assert_eq!(found, Some(Flaw::LeftUnderFormer));
}
