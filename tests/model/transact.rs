//! The store's transactions, each with exactly the conditions that the store has, in its
//! order: `shared/store/src/table`. The replay holds the two together.

use crate::{
    conditions::{Condition, Without},
    history::{Flaw, History, numbers},
    table::{Binding, Earlier, Head, Job, JobState, Key, LiveHead, Phase, Stored, Table, Wrap},
};

/// The table and what was acknowledged of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) history: History,
}

/// Who asks for a change: what its transaction relies on beside the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The binding's revision that was read.
    pub(crate) binding_revision: u8,
    /// Whether the request has the `Idempotency-Key`.
    pub(crate) keyed: bool,
}

/// A wrap as a job read it, and where: in a head of this revision, or in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) number: u8,
    pub(crate) head_revision: Option<u8>,
    pub(crate) wrap: Wrap,
}

impl World {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            history: History::of(&table),
        }
    }

    /// `put_secret`.
    pub(crate) fn put(
        &mut self,
        without: Without,
        asked: Asked,
        former: Head,
        new: Stored,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        let archived = former.live().map(|head| head.stored);
        without.judge(&[
            (Condition::PutToken, table.token),
            (Condition::PutFreeze, !table.frozen),
            (
                Condition::PutIdempotency,
                !(asked.keyed && table.remembered),
            ),
            (
                Condition::PutBinding,
                table.binding.revision == asked.binding_revision,
            ),
            (
                Condition::PutHead,
                table.head.revision() == former.revision(),
            ),
            (
                Condition::PutArchive,
                archived.is_none_or(|stored| table.at(stored.version) == Earlier::Absent),
            ),
        ])?;
        let last = new.version;
        table.head = Head::Live(LiveHead {
            stored: new,
            first: former.live().map_or(last, |head| head.first),
            last,
            revision: former.revision() + 1,
        });
        if let Some(stored) = archived {
            *table.place(stored.version) = Earlier::Stored(stored);
        }
        table.remembered |= asked.keyed;
        if asked.keyed && self.history.made {
            self.history.saw(Flaw::MadeTwice);
        }
        self.history.made |= asked.keyed;
        self.history.put(last, new.value, new.policy);
        self.changed(true);
        Ok(())
    }

    /// `change_policy`.
    pub(crate) fn change_policy(
        &mut self,
        without: Without,
        asked: Asked,
        read: LiveHead,
        wrap: Wrap,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        without.judge(&[
            (Condition::ChangeToken, table.token),
            (Condition::ChangeFreeze, !table.frozen),
            (
                Condition::ChangeBinding,
                table.binding.revision == asked.binding_revision,
            ),
            (
                Condition::ChangeHead,
                table.head.revision() == read.revision,
            ),
        ])?;
        // An update: of a record that is another by now it changes these attributes alone.
        if let Head::Live(head) = &mut table.head {
            head.stored.wrap = wrap;
            head.stored.policy = wrap.policy;
            head.revision = read.revision + 1;
            let changed = usize::from(read.stored.version) - 1;
            self.history.policies[changed] = wrap.policy;
        } else {
            self.history.saw(Flaw::Broken);
        }
        self.changed(true);
        Ok(())
    }

    /// `promote`.
    pub(crate) fn promote(
        &mut self,
        without: Without,
        asked: Asked,
        read: LiveHead,
        version: Stored,
        wrap: Wrap,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        let former = read.stored;
        without.judge(&[
            (Condition::PromoteToken, table.token),
            (Condition::PromoteFreeze, !table.frozen),
            (Condition::PromoteBinding, table.binding.revision == asked.binding_revision),
            (Condition::PromoteHead, table.head.revision() == read.revision),
            (Condition::PromoteArchive, table.at(former.version) == Earlier::Absent),
            (
                Condition::PromoteVersion,
                matches!(table.at(version.version), Earlier::Stored(found) if found.wrap == version.wrap),
            ),
        ])?;
        table.head = Head::Live(LiveHead {
            stored: Stored { wrap, ..version },
            revision: read.revision + 1,
            ..read
        });
        *table.place(former.version) = Earlier::Stored(former);
        *table.place(version.version) = Earlier::Absent;
        self.changed(true);
        Ok(())
    }

    /// `revoke_version`.
    pub(crate) fn revoke(&mut self, without: Without, number: u8) -> Result<(), Condition> {
        let table = &mut self.table;
        let beside = table
            .head
            .live()
            .is_some_and(|head| head.first <= number && head.stored.version != number);
        without.judge(&[
            (Condition::RevokeToken, table.token),
            (Condition::RevokeHead, beside),
            (
                Condition::RevokeVersion,
                matches!(table.at(number), Earlier::Stored(_)),
            ),
        ])?;
        let place = table.place(number);
        *place = match *place {
            Earlier::Absent | Earlier::Broken => Earlier::Broken,
            Earlier::Stored(_) | Earlier::Revoked => Earlier::Revoked,
        };
        self.history.take_away(number);
        self.changed(false);
        Ok(())
    }

    /// The tombstone of `delete_secret`.
    pub(crate) fn delete(&mut self, without: Without, read: LiveHead) -> Result<(), Condition> {
        let table = &mut self.table;
        without.judge(&[
            (Condition::DeleteToken, table.token),
            (
                Condition::DeleteHead,
                table.head.revision() == read.revision,
            ),
        ])?;
        table.head = Head::Deleted {
            last: read.last,
            revision: read.revision + 1,
        };
        for number in numbers().filter(|number| *number <= read.last) {
            self.history.take_away(number);
        }
        self.changed(false);
        Ok(())
    }

    /// The deletion of one archived version, unconditional.
    pub(crate) fn sweep(&mut self, number: u8) {
        *self.table.place(number) = Earlier::Absent;
    }

    /// One item of `move_wraps`.
    pub(crate) fn move_wrap(
        &mut self,
        without: Without,
        binding_revision: u8,
        read: Item,
        wrap: Wrap,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        let Item {
            number,
            head_revision,
            wrap: former,
        } = read;
        without.judge(&[(
            Condition::MoveBinding,
            table.binding.revision == binding_revision,
        )])?;
        if let Some(revision) = head_revision {
            let live = table.head.live();
            without.judge(&[
                (
                    Condition::MoveHeadRevision,
                    table.head.revision() == revision,
                ),
                (
                    Condition::MoveHeadWrap,
                    live.is_some_and(|head| head.stored.wrap == former),
                ),
            ])?;
            let Head::Live(head) = &mut table.head else {
                self.history.saw(Flaw::Broken);
                return Ok(());
            };
            head.stored.wrap = wrap;
            head.revision = revision + 1;
        } else {
            without.judge(&[(
                Condition::MoveEarlierWrap,
                matches!(table.at(number), Earlier::Stored(found) if found.wrap == former),
            )])?;
            match table.place(number) {
                Earlier::Stored(found) => found.wrap = wrap,
                // An update makes what is not there.
                place => *place = Earlier::Broken,
            }
        }
        self.history.moved(number);
        Ok(())
    }

    /// `bind_key`. What was read decides which keys become former ones.
    pub(crate) fn bind(
        &mut self,
        without: Without,
        read: Binding,
        key: Key,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        without.judge(&[
            (Condition::BindToken, table.token),
            (
                Condition::BindBinding,
                table.binding.revision == read.revision,
            ),
        ])?;
        table.binding = Binding {
            current: key,
            former: (read.former | read.current.bit()) & !key.bit(),
            revision: read.revision + 1,
        };
        self.changed(false);
        Ok(())
    }

    /// `start_job`.
    pub(crate) fn start_job(
        &mut self,
        without: Without,
        binding_revision: u8,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        let lives = table.job.is_some_and(|job| job.state == JobState::Running);
        without.judge(&[
            (Condition::StartToken, table.token),
            (
                Condition::StartBinding,
                table.binding.revision == binding_revision,
            ),
            (Condition::StartExists, !lives),
        ])?;
        table.job = Some(Job {
            id: table.job.map_or(1, |job| job.id + 1),
            binding_revision,
            state: JobState::Running,
            phase: Phase::Heads,
            cursor: 0,
            revision: 0,
        });
        // Another job may move what the one before it moved.
        self.history.moved = 0;
        if lives {
            self.history.saw(Flaw::TwoJobs);
        }
        self.changed(false);
        Ok(())
    }

    /// `save_job`, of the job itself: nobody's token is looked at.
    pub(crate) fn save_job(
        &mut self,
        without: Without,
        read: u8,
        next: Job,
    ) -> Result<(), Condition> {
        let table = &mut self.table;
        let latest = table.job.filter(|job| job.id == next.id);
        // One that is not the latest has ended.
        let lives = latest.is_some_and(|job| job.state == JobState::Running);
        let as_read = latest.is_some_and(|job| job.revision == read);
        without.judge(&[
            (Condition::SaveRevision, as_read),
            (Condition::SaveState, lives),
        ])?;
        if !lives {
            self.history.saw(Flaw::ChangedAfterItsEnd);
        }
        if latest.is_some() {
            table.job = Some(next);
        }
        Ok(())
    }

    /// Someone's change has landed.
    fn changed(&mut self, frozen_too: bool) {
        if !self.table.token {
            self.history.saw(Flaw::ChangedWithoutToken);
        }
        if frozen_too && self.table.frozen {
            self.history.saw(Flaw::ChangedWhileFrozen);
        }
    }
}
