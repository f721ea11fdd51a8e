//! What has been acknowledged so far, and what must hold of the table because of it.

use crate::table::{Earlier, JobState, Table, VERSIONS};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    /// An acknowledged version cannot be opened any more, and nobody took it away.
    LostVersion,
    /// A change of policy that was acknowledged is undone.
    PolicyUndone,
    /// A number was used twice.
    NumberTwice,
    /// A version that was deleted or revoked can be opened again.
    Resurrected,
    /// A record is none of ours, or a version lies in two places.
    Broken,
    /// A use opened under less than its own policy and the head's.
    PolicyNotJudged,
    /// A use was told that there is no such version, while there was one all along.
    ToldAbsent,
    /// A repetition of a put made a second version.
    MadeTwice,
    /// Something lies under a former key that was said to be safe to disable.
    LeftUnderFormer,
    /// A job moved one wrap twice.
    MovedTwice,
    /// Two jobs live at once.
    TwoJobs,
    /// A job that had ended was changed.
    ChangedAfterItsEnd,
    /// Nothing goes on, and the job has not ended.
    NeverDone,
    /// A frozen workspace's secrets were changed.
    ChangedWhileFrozen,
    /// Something was changed in the name of a token that was revoked.
    ChangedWithoutToken,
}

/// What was acknowledged, and what was seen to go wrong on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// By number, whose value was put under it and still has to be there; 0: none has.
    pub(crate) there: [u8; VERSIONS],
    /// By number, the policy that was acknowledged last.
    pub(crate) policies: [u8; VERSIONS],
    /// Numbers that were used.
    pub(crate) used: u8,
    /// Numbers that were deleted or revoked.
    pub(crate) gone: u8,
    /// Numbers whose wrap the job moved.
    pub(crate) moved: u8,
    /// Whether the put with an `Idempotency-Key` made a version.
    pub(crate) made: bool,
    /// The revision of the binding whose former keys a count said to be safe to disable; 0: none.
    pub(crate) counted_safe: u8,
    pub(crate) flaw: Option<Flaw>,
}

impl History {
    /// Of a table that began with these versions.
    pub(crate) fn of(table: &Table) -> Self {
        let mut history = Self::default();
        for number in numbers() {
            if let Some(stored) = table.version(number) {
                history.there[usize::from(number) - 1] = stored.value;
                history.policies[usize::from(number) - 1] = stored.policy;
                history.used |= bit(number);
            }
        }
        history
    }

    /// Something went wrong; the first counts.
    pub(crate) fn saw(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    pub(crate) fn put(&mut self, number: u8, value: u8, policy: u8) {
        if self.used & bit(number) != 0 {
            self.saw(Flaw::NumberTwice);
        }
        self.used |= bit(number);
        self.there[usize::from(number) - 1] = value;
        self.policies[usize::from(number) - 1] = policy;
    }

    pub(crate) fn take_away(&mut self, number: u8) {
        self.gone |= bit(number);
        self.there[usize::from(number) - 1] = 0;
    }

    pub(crate) fn moved(&mut self, number: u8) {
        if self.moved & bit(number) != 0 {
            self.saw(Flaw::MovedTwice);
        }
        self.moved |= bit(number);
    }
}

/// What is wrong with a table after its history, if anything is.
pub(crate) fn flaw(table: &Table, history: &History) -> Option<Flaw> {
    if history.flaw.is_some() {
        return history.flaw;
    }
    let head = table.head.live();
    for number in numbers() {
        let lies_twice = head.is_some_and(|head| head.stored.version == number)
            && matches!(table.at(number), Earlier::Stored(_));
        if lies_twice || table.at(number) == Earlier::Broken {
            return Some(Flaw::Broken);
        }
        let found = table.version(number);
        if history.gone & bit(number) != 0 && found.is_some() {
            return Some(Flaw::Resurrected);
        }
        let value = history.there[usize::from(number) - 1];
        // It opens to its value: under a key that the binding lists, with its own data key, bound
        // to the policy that lies beside it.
        let opens = found.is_some_and(|found| {
            found.value == value
                && found.wrap.value == value
                && found.wrap.policy == found.policy
                && table.binding.knows(found.wrap.key)
        });
        if value != 0 && !opens {
            return Some(Flaw::LostVersion);
        }
    }
    let undone = |number| {
        let policy = history.policies[usize::from(number) - 1];
        let found = table.version(number);
        found.is_some_and(|found| found.policy != policy)
    };
    if numbers().any(undone) {
        return Some(Flaw::PolicyUndone);
    }
    let done = table.job.is_some_and(|job| {
        job.state == JobState::Done && job.binding_revision == table.binding.revision
    });
    let safe = done || history.counted_safe == table.binding.revision;
    let left = |key| key != table.binding.current;
    (safe && table.wraps().any(|wrap| left(wrap.key))).then_some(Flaw::LeftUnderFormer)
}

pub(crate) fn numbers() -> impl Iterator<Item = u8> {
    1..=VERSIONS as u8
}

pub(crate) fn bit(number: u8) -> u8 {
    1 << number
}
