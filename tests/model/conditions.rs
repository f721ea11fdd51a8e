//! The conditions of the store's transactions: each of the model's stands for one of these,
//! can be left out alone, and names the test of the store's own suite that holds it there.

/// Conditions by the transaction and the record that they are on.
macro_rules! conditions {
    ($($name:ident: $which:ident, $file:literal, $test:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Condition {
            $($name,)*
        }

        impl Condition {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the store says where it does not hold; `Moved` is said of one item of a move.
            pub(crate) fn refusal(self) -> Refusal {
                match self {
                    $(Self::$name => Refusal::$which,)*
                }
            }

            /// The file and the name of its test in the store's suite.
            pub(crate) fn test(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($file, $test),)*
                }
            }
        }
    };
}

/// As [`store::Which`], and what a move of wraps says of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    Token,
    Frozen,
    Idempotency,
    Binding,
    Head,
    Version,
    Exists,
    Job,
    Changed,
}

impl Refusal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Frozen => "frozen",
            Self::Idempotency => "idempotency",
            Self::Binding => "binding",
            Self::Head => "head",
            Self::Version => "version",
            Self::Exists => "exists",
            Self::Job => "job",
            Self::Changed => "changed",
        }
    }
}

conditions! {
    PutToken: Token, "puts", "a_put_with_a_token_that_is_gone_is_refused";
    PutFreeze: Frozen, "puts", "a_put_into_a_frozen_workspace_is_refused_until_it_is_thawed";
    PutIdempotency: Idempotency, "puts", "an_idempotency_key_counts_until_it_expires";
    PutBinding: Binding, "puts", "a_put_wrapped_under_a_binding_that_moved_is_refused";
    PutHead: Head, "puts", "a_put_over_a_head_that_moved_conflicts_and_leaves_nothing_behind";
    PutArchive: Head, "puts", "a_put_never_overwrites_an_archived_version";
    ChangeToken: Token, "policies", "a_change_of_policy_is_refused_where_anything_that_it_relies_on_moved";
    ChangeFreeze: Frozen, "policies", "a_change_of_policy_is_refused_where_anything_that_it_relies_on_moved";
    ChangeBinding: Binding, "policies", "a_change_of_policy_is_refused_where_anything_that_it_relies_on_moved";
    ChangeHead: Head, "policies", "a_change_of_policy_is_refused_where_anything_that_it_relies_on_moved";
    PromoteToken: Token, "promotions", "a_promotion_is_refused_where_anything_that_it_relies_on_moved";
    PromoteFreeze: Frozen, "promotions", "a_promotion_is_refused_where_anything_that_it_relies_on_moved";
    PromoteBinding: Binding, "promotions", "a_promotion_is_refused_where_anything_that_it_relies_on_moved";
    PromoteHead: Head, "promotions", "a_promotion_over_a_head_that_moved_is_refused_for_that_alone";
    PromoteArchive: Head, "promotions", "a_promotion_never_overwrites_an_archived_version";
    PromoteVersion: Version, "promotions", "a_promotion_is_refused_where_anything_that_it_relies_on_moved";
    RevokeToken: Token, "revocations", "nobody_whose_token_is_gone_revokes_or_deletes_and_a_freeze_stops_neither";
    RevokeHead: Head, "revocations", "the_current_version_is_not_revoked_even_where_an_archive_of_it_lies_there";
    RevokeVersion: Version, "revocations", "what_is_not_an_earlier_version_that_is_stored_is_not_revoked";
    DeleteToken: Token, "revocations", "nobody_whose_token_is_gone_revokes_or_deletes_and_a_freeze_stops_neither";
    DeleteHead: Head, "versions", "a_deletion_of_a_head_that_moved_conflicts";
    MoveBinding: Binding, "moves", "nothing_is_moved_under_a_key_that_was_replaced_meanwhile";
    MoveHeadRevision: Changed, "moves", "a_head_whose_wrap_or_revision_alone_is_another_is_not_moved";
    MoveHeadWrap: Changed, "moves", "a_head_whose_wrap_or_revision_alone_is_another_is_not_moved";
    MoveEarlierWrap: Changed, "moves", "a_revoked_version_does_not_get_a_wrap_back";
    BindToken: Token, "workspaces", "a_key_is_bound_by_nobody_whose_token_is_gone";
    BindBinding: Binding, "workspaces", "a_binding_that_moved_since_it_was_read_is_not_overwritten";
    StartToken: Token, "jobs", "a_job_of_another_binding_or_of_nobody_does_not_start";
    StartBinding: Binding, "jobs", "a_job_of_another_binding_or_of_nobody_does_not_start";
    StartExists: Exists, "jobs", "a_second_job_starts_only_when_the_first_has_ended";
    SaveRevision: Job, "jobs", "a_job_that_was_saved_since_it_was_read_is_not_overwritten";
    SaveState: Job, "jobs", "an_ended_job_stays_ended_and_ends_no_other";
}

/// The conditions that a model goes without: none, but where a test breaks one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Without(u64);

impl Without {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(conditions: &[Condition]) -> Self {
        Self(conditions.iter().fold(0, |all, one| all | 1 << *one as u32))
    }

    /// The first of a transaction's conditions that does not hold, in the store's own order.
    pub(crate) fn judge(self, conditions: &[(Condition, bool)]) -> Result<(), Condition> {
        let failed = conditions
            .iter()
            .find(|(condition, holds)| !holds && self.0 & 1 << *condition as u32 == 0);
        failed.map_or(Ok(()), |(condition, _)| Err(*condition))
    }
}
