//! Who does what to the secret, call by call: each step is one call of the store, with what
//! KMS answers before it (KMS keeps nothing of it, so that no order of its own matters).
//!
//! Whoever crashes takes no further step. Every property is judged in every state, so what
//! stands after a crash is what stands while its actor is not scheduled; what a crash leaves to
//! be taken up again, a job, is taken up by a second run.

use crate::{
    conditions::{Condition, Without},
    history::{Flaw, numbers},
    job::Run,
    table::{Binding, Earlier, Head, Key, LiveHead, Stored, Wrap},
    transact::{Asked, World},
};

/// One who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// put-secret: this value. Puts with the `Idempotency-Key` are repetitions of one another.
    Put { value: u8, keyed: bool },
    /// use-secret: the current version, or the one of a number.
    Use { wanted: Option<u8> },
    /// delete-secret.
    Delete,
    /// `PUT …/policy`.
    ChangePolicy { policy: u8 },
    /// `…:promote`.
    Promote { number: u8 },
    /// `…:revoke`.
    Revoke { number: u8 },
    /// set-workspace-key.
    Bind { key: Key },
    /// `POST /rewraps`, over a binding that has former keys.
    StartJob,
    /// A run of the job.
    Run,
    /// `GET /key`, which counts and says which former keys are safe to disable.
    Count,
    /// A freeze.
    Freeze,
    /// A revocation of everybody's token.
    LoseToken,
}

/// Where an actor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Local {
    /// Before its first call.
    Outside,
    Put(Put),
    Use(Use),
    Sweep {
        next: u8,
        last: u8,
    },
    /// A deletion has read the head.
    Delete(LiveHead),
    Change(Change),
    Promote(Promote),
    Bind(Binding),
    StartJob {
        binding_revision: u8,
    },
    Run(Run),
    Count(Count),
    /// After its last.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Put {
    /// What it wraps under, and the binding that said so.
    key: Key,
    asked: Asked,
    /// What it will be over; none while it has yet to read that.
    pub(crate) former: Option<Head>,
    /// Its number, once it has one.
    number: u8,
    pub(crate) tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Use {
    wanted: u8,
    /// The records of its second read, which may be of two moments.
    head: Option<Head>,
    version: Option<Earlier>,
    /// Whether there was such a version from its beginning on.
    there: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    key: Key,
    asked: Asked,
    pub(crate) head: Option<LiveHead>,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Promote {
    key: Key,
    asked: Asked,
    pub(crate) head: Option<LiveHead>,
    pub(crate) earlier: Option<Stored>,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Count {
    binding: Binding,
    /// The last number that was looked at; 0: the heads are to be counted.
    heads_counted: bool,
    cursor: u8,
}

/// How often a change is tried where a re-wrap gets in between. The code does four times; two
/// are as much as two others can spoil.
const TRIES: u8 = 2;

/// One step of one actor, and what the store said if it was a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) local: Local,
    pub(crate) said: Option<Result<(), Condition>>,
}

impl Taken {
    pub(crate) fn to(local: Local) -> Self {
        Self { local, said: None }
    }

    pub(crate) fn said(said: Result<(), Condition>, local: Local) -> Self {
        Self {
            local,
            said: Some(said),
        }
    }
}

/// How the protocol is followed, where a test breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Conditions that the transactions go without.
    pub(crate) without: Without,
    /// A use judges its own version's policy alone.
    pub(crate) own_policy_alone: bool,
    /// A promotion keeps the wrap that the version has, under whatever key.
    pub(crate) promote_keeps_wrap: bool,
    /// A job visits the archive before the heads.
    pub(crate) earlier_first: bool,
    /// A job is done when it has moved, and verifies nothing.
    pub(crate) no_verifying: bool,
    /// A job says that it is behind a page before it has moved it.
    pub(crate) saves_first: bool,
    /// `GET /key` counts the archive before the heads.
    pub(crate) counts_earlier_first: bool,
    /// A use reads the head and the version at one moment: the code does not.
    pub(crate) reads_at_one_moment: bool,
    /// That a use is told of no version where there is one does not count.
    pub(crate) absence_may_be_told: bool,
    /// How many wraps a page of a job has.
    pub(crate) page: u8,
}

impl Rules {
    /// As the code follows them.
    pub(crate) const KEPT: Self = Self {
        without: Without::NONE,
        own_policy_alone: false,
        promote_keeps_wrap: false,
        earlier_first: false,
        no_verifying: false,
        saves_first: false,
        counts_earlier_first: false,
        reads_at_one_moment: false,
        absence_may_be_told: false,
        page: 2,
    };
}

impl Role {
    /// The steps that it can take now: more than one where the order is not its own to choose.
    pub(crate) fn choices(self, local: Local, world: &World) -> u8 {
        match (self, local) {
            (_, Local::Over) => 0,
            (Self::Use { .. }, Local::Use(Use { head, version, .. })) => {
                u8::from(head.is_none()) + u8::from(version.is_none())
            }
            (Self::StartJob | Self::Count, Local::Outside) => {
                u8::from(world.table.binding.former != 0)
            }
            (Self::Run, Local::Outside) => u8::from(Run::can_begin(world)),
            _ => 1,
        }
    }

    /// Takes a step. `me` is the actor's number, which its wraps are known by.
    pub(crate) fn step(
        self,
        rules: Rules,
        me: u8,
        local: Local,
        choice: u8,
        world: &mut World,
    ) -> Taken {
        match (self, local) {
            (Self::Put { keyed, .. }, Local::Outside) => Taken::to(admit_put(world, keyed)),
            (Self::Put { value, .. }, Local::Put(put)) => put.step(rules, me, value, world),
            (Self::Use { wanted }, Local::Outside) => Taken::to(Use::begin(wanted, world)),
            (Self::Use { .. }, Local::Use(it)) => Taken::to(it.read(rules, choice, world)),
            (Self::Delete, Local::Outside) => Taken::to(match world.table.head {
                Head::Live(head) if world.table.token => Local::Delete(head),
                Head::Deleted { last, .. } if world.table.token => Local::Sweep { next: 1, last },
                _ => Local::Over,
            }),
            (Self::Delete, Local::Delete(read)) => {
                let said = world.delete(rules.without, read);
                let last = read.last;
                let next = if said.is_ok() {
                    sweep(1, last)
                } else {
                    Local::Over
                };
                Taken::said(said, next)
            }
            (Self::Delete, Local::Sweep { next, last }) => {
                world.sweep(next);
                Taken::to(sweep(next + 1, last))
            }
            (Self::ChangePolicy { .. }, Local::Outside) => Taken::to(Change::admit(0, world)),
            (Self::ChangePolicy { policy }, Local::Change(change)) => {
                change.step(rules, me, policy, world)
            }
            (Self::Promote { .. }, Local::Outside) => Taken::to(Promote::admit(0, world)),
            (Self::Promote { number }, Local::Promote(promote)) => {
                promote.step(rules, me, number, world)
            }
            (Self::Revoke { number }, _) => {
                Taken::said(world.revoke(rules.without, number), Local::Over)
            }
            (Self::Bind { .. }, Local::Outside) => Taken::to(Local::Bind(world.table.binding)),
            (Self::Bind { key }, Local::Bind(read)) => {
                Taken::said(world.bind(rules.without, read, key), Local::Over)
            }
            (Self::StartJob, Local::Outside) => Taken::to(Local::StartJob {
                binding_revision: world.table.binding.revision,
            }),
            (Self::StartJob, Local::StartJob { binding_revision }) => Taken::said(
                world.start_job(rules.without, binding_revision),
                Local::Over,
            ),
            (Self::Run, Local::Outside) => Taken::to(Run::begin(world)),
            (Self::Run, Local::Run(run)) => run.step(rules, me, world),
            (Self::Count, Local::Outside) => Taken::to(Local::Count(Count {
                binding: world.table.binding,
                heads_counted: false,
                cursor: 0,
            })),
            (Self::Count, Local::Count(count)) => Taken::to(count.step(rules, world)),
            (Self::Freeze, _) => {
                world.table.frozen = true;
                Taken::to(Local::Over)
            }
            (Self::LoseToken, _) => {
                world.table.token = false;
                Taken::to(Local::Over)
            }
            (role, local) => unreachable!("{role:?} at {local:?}"),
        }
    }
}

fn sweep(next: u8, last: u8) -> Local {
    if next > last {
        Local::Over
    } else {
        Local::Sweep { next, last }
    }
}

fn asked(world: &World, keyed: bool) -> Asked {
    Asked {
        binding_revision: world.table.binding.revision,
        keyed,
    }
}

/// Admission: one read of several records, each of a moment of its own. The head is read last;
/// what else a writer has read counts only if its transaction finds it unchanged.
fn admit_put(world: &World, keyed: bool) -> Local {
    let table = &world.table;
    if !table.token || table.frozen || (keyed && table.remembered) {
        return Local::Over;
    }
    Local::Put(Put {
        key: table.binding.current,
        asked: asked(world, keyed),
        former: None,
        number: 0,
        tries: 0,
    })
}

impl Put {
    fn step(self, rules: Rules, me: u8, value: u8, world: &mut World) -> Taken {
        let Some(former) = self.former else {
            return Taken::to(self.read(world));
        };
        let new = Stored {
            version: self.number,
            value,
            policy: value,
            wrap: Wrap {
                key: self.key,
                value,
                policy: value,
                by: me,
            },
        };
        let said = world.put(rules.without, self.asked, former, new);
        let next = match said {
            Err(condition) if condition.refusal() == crate::conditions::Refusal::Head => {
                if self.tries + 1 < TRIES {
                    Local::Put(Self {
                        former: None,
                        tries: self.tries + 1,
                        ..self
                    })
                } else {
                    Local::Over
                }
            }
            _ => Local::Over,
        };
        Taken::said(said, next)
    }

    /// Reads the head: the first time for its number, then to see whether this is still right.
    fn read(self, world: &World) -> Local {
        let table = &world.table;
        let number = table.head.last() + 1;
        let again = self.tries > 0;
        if usize::from(number) > table.earlier.len()
            || (again && (number != self.number || (self.asked.keyed && table.remembered)))
        {
            return Local::Over;
        }
        Local::Put(Self {
            former: Some(table.head),
            number,
            ..self
        })
    }
}

impl Use {
    /// Looks whether there still is such a version.
    pub(crate) fn see(&mut self, world: &World) {
        self.there &= world.table.version(self.wanted).is_some();
    }

    fn begin(wanted: Option<u8>, world: &mut World) -> Local {
        let table = &world.table;
        let (Some(head), true) = (table.head.live(), table.token && !table.frozen) else {
            return Local::Over;
        };
        match wanted {
            Some(wanted) if wanted != head.stored.version => Local::Use(Self {
                wanted,
                head: None,
                version: None,
                there: table.version(wanted).is_some(),
            }),
            _ => {
                open(head.stored, &[head.stored.policy], head, world);
                Local::Over
            }
        }
    }

    /// Reads the head or the version: one call, and two moments.
    fn read(mut self, rules: Rules, choice: u8, world: &mut World) -> Local {
        let table = &world.table;
        let head_now = self.head.is_none() && (choice == 0 || self.version.is_some());
        if head_now || rules.reads_at_one_moment {
            self.head = Some(table.head);
        }
        if !head_now || rules.reads_at_one_moment {
            self.version = Some(table.at(self.wanted));
        }
        let (Some(head), Some(version)) = (self.head, self.version) else {
            return Local::Use(self);
        };
        let Some(head) = head.live() else {
            return Local::Over;
        };
        if head.stored.version == self.wanted {
            open(head.stored, &[head.stored.policy], head, world);
            return Local::Over;
        }
        match version {
            Earlier::Stored(stored) if (head.first..=head.last).contains(&self.wanted) => {
                let both = [stored.policy, head.stored.policy];
                let judged = if rules.own_policy_alone {
                    &both[..1]
                } else {
                    &both
                };
                open(stored, judged, head, world);
            }
            Earlier::Revoked => {}
            _ if self.there && !rules.absence_may_be_told => {
                world.history.saw(Flaw::ToldAbsent);
            }
            _ => {}
        }
        Local::Over
    }
}

/// KMS unwraps a data key under the context that it was wrapped under and no other.
fn open(stored: Stored, judged: &[u8], head: LiveHead, world: &mut World) {
    let unwraps = world.table.binding.knows(stored.wrap.key)
        && stored.wrap.policy == stored.policy
        && stored.wrap.value == stored.value;
    if !unwraps {
        world.history.saw(Flaw::LostVersion);
    }
    if !judged.contains(&stored.wrap.policy) || !judged.contains(&head.stored.policy) {
        world.history.saw(Flaw::PolicyNotJudged);
    }
}

impl Change {
    fn admit(tries: u8, world: &World) -> Local {
        let table = &world.table;
        if !table.token || table.frozen {
            return Local::Over;
        }
        Local::Change(Self {
            key: table.binding.current,
            asked: asked(world, false),
            head: None,
            tries,
        })
    }

    fn step(self, rules: Rules, me: u8, policy: u8, world: &mut World) -> Taken {
        let Some(head) = self.head else {
            let head = world.table.head.live();
            return Taken::to(head.map_or(Local::Over, |head| {
                Local::Change(Self {
                    head: Some(head),
                    ..self
                })
            }));
        };
        let wrap = Wrap {
            key: self.key,
            policy,
            by: me,
            ..head.stored.wrap
        };
        let said = world.change_policy(rules.without, self.asked, head, wrap);
        let next = if self.tries + 1 < TRIES && may_try_again(said, head, world) {
            Self::admit(self.tries + 1, world)
        } else {
            Local::Over
        };
        Taken::said(said, next)
    }
}

impl Promote {
    fn admit(tries: u8, world: &World) -> Local {
        let table = &world.table;
        if !table.token || table.frozen {
            return Local::Over;
        }
        Local::Promote(Self {
            key: table.binding.current,
            asked: asked(world, false),
            head: None,
            earlier: None,
            tries,
        })
    }

    fn step(self, rules: Rules, me: u8, number: u8, world: &mut World) -> Taken {
        let Some(head) = self.head else {
            let head = world.table.head.live();
            let head = head.filter(|head| head.stored.version != number);
            return Taken::to(head.map_or(Local::Over, |head| {
                Local::Promote(Self {
                    head: Some(head),
                    ..self
                })
            }));
        };
        let Some(earlier) = self.earlier else {
            let own = (head.first..=head.last).contains(&number);
            return Taken::to(match world.table.at(number) {
                Earlier::Stored(stored) if own => Local::Promote(Self {
                    earlier: Some(stored),
                    ..self
                }),
                _ => Local::Over,
            });
        };
        let wrap = if earlier.wrap.key == self.key || rules.promote_keeps_wrap {
            earlier.wrap
        } else {
            Wrap {
                key: self.key,
                by: me,
                ..earlier.wrap
            }
        };
        let said = world.promote(rules.without, self.asked, head, earlier, wrap);
        let next = if self.tries + 1 < TRIES && may_try_again(said, head, world) {
            Self::admit(self.tries + 1, world)
        } else {
            Local::Over
        };
        Taken::said(said, next)
    }
}

/// Whether someone changed wraps or the key, and nothing that the request was about.
fn may_try_again(said: Result<(), Condition>, before: LiveHead, world: &World) -> bool {
    use crate::conditions::Refusal::{Binding, Head, Version};
    let lost = said.is_err_and(|it| matches!(it.refusal(), Head | Version | Binding));
    lost && world.table.head.live().is_some_and(|now| {
        now.stored.version == before.stored.version && now.stored.policy == before.stored.policy
    })
}

impl Count {
    fn step(self, rules: Rules, world: &mut World) -> Local {
        let former = |key: Key| key != self.binding.current;
        let first = numbers().next();
        let heads_now = if rules.counts_earlier_first {
            numbers().all(|number| number <= self.cursor)
        } else {
            !self.heads_counted
        };
        if heads_now {
            let head = world.table.head.live();
            if head.is_some_and(|head| former(head.stored.wrap.key)) {
                return Local::Over;
            }
            if rules.counts_earlier_first {
                world.history.counted_safe = self.binding.revision;
                return Local::Over;
            }
            return Local::Count(Self {
                heads_counted: true,
                ..self
            });
        }
        let number = first.map_or(1, |first| first.max(self.cursor + 1));
        if matches!(world.table.at(number), Earlier::Stored(stored) if former(stored.wrap.key)) {
            return Local::Over;
        }
        if !rules.counts_earlier_first && usize::from(number) == world.table.earlier.len() {
            world.history.counted_safe = self.binding.revision;
            return Local::Over;
        }
        Local::Count(Self {
            cursor: number,
            ..self
        })
    }
}
