//! A run of a re-wrap: functions/rewrap-secrets/src/jobs. It claims the job, and then, page by
//! page, reads wraps, reads what it stands on, has KMS move what lies under a former key,
//! stores that and saves where it is. Another may take the job up meanwhile.

use crate::{
    actors::{Local, Rules, Taken},
    conditions::Condition,
    history::numbers,
    table::{Earlier, Job, JobState, Key, Phase, Wrap},
    transact::{Item, World},
};

/// The largest page that is tried. What matters of larger ones is that wraps are read before
/// others are stored.
const PAGE_MAX: usize = 2;
/// How often the place is saved anew where another run has claimed the job meanwhile.
const TRIES: u8 = 2;

/// A run, and the job as it last read or saved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) stage: Stage,
    /// What is read of the page and not yet stored.
    pub(crate) page: [Option<Item>; PAGE_MAX],
    /// How far the page reaches; `None`: to the end of the phase.
    until: Option<u8>,
    /// What the page is wrapped under anew.
    target: Key,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Claim,
    /// Reads on after this number.
    Read(u8),
    Footing,
    Move,
    Save,
    /// Superseded: the job is ended so.
    End,
    /// Another has saved the job.
    LookAgain,
}

impl Run {
    /// Whether there is a job to go on with.
    pub(crate) fn can_begin(world: &World) -> bool {
        let job = world.table.job;
        job.is_some_and(|job| job.state == JobState::Running)
    }

    pub(crate) fn begin(world: &World) -> Local {
        let table = &world.table;
        let Some(job) = table.job.filter(|_| !table.frozen) else {
            return Local::Over;
        };
        let firm = job.binding_revision == table.binding.revision;
        Local::Run(Self {
            job,
            stage: if firm { Stage::Claim } else { Stage::End },
            page: [None; PAGE_MAX],
            until: None,
            target: Key::A,
            tries: 0,
        })
    }

    pub(crate) fn step(self, rules: Rules, me: u8, world: &mut World) -> Taken {
        match self.stage {
            Stage::Claim => {
                let claimed = Job {
                    revision: self.job.revision + 1,
                    ..self.job
                };
                let said = world.save_job(rules.without, self.job.revision, claimed);
                let next = match said {
                    Ok(()) => self.turn(claimed),
                    Err(_) => Local::Over,
                };
                Taken::said(said, next)
            }
            Stage::Read(after) => Taken::to(self.read(rules, after, world)),
            Stage::Footing => Taken::to(self.footing(rules, world)),
            Stage::Move => self.store(rules, me, world),
            Stage::Save => {
                let next = self.behind(rules);
                self.save(rules, next, world)
            }
            Stage::End => {
                let ended = Job {
                    state: JobState::Superseded,
                    ..self.job
                };
                self.save(rules, ended, world)
            }
            Stage::LookAgain => Taken::to(self.look_again(world)),
        }
    }

    /// The next page.
    fn turn(self, job: Job) -> Local {
        Local::Run(Self {
            job,
            stage: Stage::Read(job.cursor),
            page: [None; PAGE_MAX],
            until: None,
            target: Key::A,
            tries: 0,
        })
    }

    /// Reads one item: a query shows each as it is when it comes to it.
    fn read(mut self, rules: Rules, after: u8, world: &World) -> Local {
        let table = &world.table;
        let heads = matches!(self.job.phase, Phase::Heads | Phase::VerifyHeads);
        let (item, end) = if heads {
            let head = table.head.live().map(|head| Item {
                number: head.stored.version,
                head_revision: Some(head.revision),
                wrap: head.stored.wrap,
            });
            (head, true)
        } else {
            let mut later = numbers().filter(|number| *number > after);
            let found = later.find_map(|number| match table.at(number) {
                Earlier::Stored(stored) => Some(Item {
                    number,
                    head_revision: None,
                    wrap: stored.wrap,
                }),
                _ => None,
            });
            (found, found.is_none())
        };
        if let Some(item) = item {
            let free = self.page.iter_mut().find(|place| place.is_none());
            *free.expect("a full page is not read on") = Some(item);
            self.until = Some(item.number);
        }
        if end {
            self.until = None;
        }
        let full = self.page.iter().flatten().count() == usize::from(rules.page);
        self.stage = match item {
            Some(item) if !end && !full => Stage::Read(item.number),
            _ => Stage::Footing,
        };
        Local::Run(self)
    }

    /// Reads the binding and the freeze after the wraps, and passes over what lies under the
    /// current key already.
    fn footing(mut self, rules: Rules, world: &World) -> Local {
        let table = &world.table;
        if table.binding.revision != self.job.binding_revision {
            self.stage = Stage::End;
            return Local::Run(self);
        }
        if table.frozen {
            return Local::Over;
        }
        self.target = table.binding.current;
        let target = self.target;
        self.page = self
            .page
            .map(|item| item.filter(|item| item.wrap.key != target));
        self.stage = if rules.saves_first {
            Stage::Save
        } else {
            Stage::Move
        };
        if self.page == [None; PAGE_MAX] {
            self.stage = Stage::Save;
        }
        Local::Run(self)
    }

    /// Stores one wrap of the page; in the store they share a transaction, and stand each for
    /// itself all the same.
    fn store(mut self, rules: Rules, me: u8, world: &mut World) -> Taken {
        let place = self.page.iter_mut().find(|place| place.is_some());
        let item = place
            .and_then(Option::take)
            .expect("there is something to store");
        let wrap = Wrap {
            key: self.target,
            by: me,
            ..item.wrap
        };
        let revision = self.job.binding_revision;
        let said = world.move_wrap(rules.without, revision, item, wrap);
        if said == Err(Condition::MoveBinding) {
            // Another key was bound since: nothing more may come to lie under this one.
            self.stage = Stage::End;
            return Taken::said(said, Local::Run(self));
        }
        if self.page == [None; PAGE_MAX] {
            if rules.saves_first {
                return Taken::said(said, self.turn(self.job));
            }
            self.stage = Stage::Save;
        }
        Taken::said(said, Local::Run(self))
    }

    /// The job behind the page.
    fn behind(self, rules: Rules) -> Job {
        let mut job = self.job;
        job.cursor = self.until.unwrap_or(0);
        if self.until.is_some() {
            return job;
        }
        let next = match (job.phase, rules.earlier_first) {
            (Phase::Heads, false) => Some(Phase::Earlier),
            (Phase::Earlier, false) => Some(Phase::VerifyHeads),
            (Phase::VerifyHeads, false) => Some(Phase::VerifyEarlier),
            (Phase::VerifyEarlier, false) => None,
            (Phase::Earlier, true) => Some(Phase::Heads),
            (Phase::Heads, true) => Some(Phase::VerifyEarlier),
            (Phase::VerifyEarlier, true) => Some(Phase::VerifyHeads),
            (Phase::VerifyHeads, true) => None,
        };
        let verifies = |phase| matches!(phase, Phase::VerifyHeads | Phase::VerifyEarlier);
        match next.filter(|next| !(rules.no_verifying && verifies(*next))) {
            Some(phase) => job.phase = phase,
            None => job.state = JobState::Done,
        }
        job
    }

    fn save(mut self, rules: Rules, next: Job, world: &mut World) -> Taken {
        let next = Job {
            revision: self.job.revision + 1,
            ..next
        };
        let said = world.save_job(rules.without, self.job.revision, next);
        let local = match said {
            Ok(()) if next.state != JobState::Running => Local::Over,
            Ok(()) if rules.saves_first && self.page != [None; PAGE_MAX] => {
                self.job = next;
                self.stage = Stage::Move;
                Local::Run(self)
            }
            Ok(()) => self.turn(next),
            Err(_) if self.tries + 1 < TRIES => {
                self.tries += 1;
                self.until = match self.stage {
                    Stage::End => Some(u8::MAX),
                    _ => self.until,
                };
                self.stage = Stage::LookAgain;
                Local::Run(self)
            }
            Err(_) => Local::Over,
        };
        Taken::said(said, local)
    }

    /// Goes on where the job is still at the place that this run began its page at.
    fn look_again(mut self, world: &World) -> Local {
        let own = self.job;
        let job = world.table.job.filter(|job| {
            job.state == JobState::Running
                && (job.id, job.phase, job.cursor) == (own.id, own.phase, own.cursor)
        });
        let Some(job) = job else {
            return Local::Over;
        };
        self.job = job;
        self.stage = match self.until {
            Some(u8::MAX) => Stage::End,
            _ => Stage::Save,
        };
        Local::Run(self)
    }
}
