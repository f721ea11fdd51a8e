//! What lies in the table about one secret, as far as its protocol goes. Everything is a
//! small number: what is sealed is known by who put it, a policy by who wrote it.

/// A KEK: `A` is the first, `B` and `C` are those that are bound later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    A,
    B,
    C,
}

impl Key {
    /// The key alone, as a set.
    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A data key under a KEK. Whose data key it is and which policy it is bound to is what KMS
/// answers for; `by` tells two wraps of the same apart, as their ciphertext does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wrap {
    pub(crate) key: Key,
    pub(crate) value: u8,
    pub(crate) policy: u8,
    pub(crate) by: u8,
}

/// One version, sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) version: u8,
    pub(crate) value: u8,
    pub(crate) policy: u8,
    pub(crate) wrap: Wrap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LiveHead {
    pub(crate) stored: Stored,
    pub(crate) first: u8,
    pub(crate) last: u8,
    pub(crate) revision: u8,
}

/// What lies under the secret's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Head {
    Absent,
    Live(LiveHead),
    Deleted { last: u8, revision: u8 },
}

impl Head {
    pub(crate) fn live(self) -> Option<LiveHead> {
        match self {
            Self::Live(head) => Some(head),
            Self::Absent | Self::Deleted { .. } => None,
        }
    }

    /// The highest number that was ever used.
    pub(crate) fn last(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Live(LiveHead { last, .. }) | Self::Deleted { last, .. } => last,
        }
    }

    /// Goes up with every write; nothing has had none.
    pub(crate) fn revision(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Live(LiveHead { revision, .. }) | Self::Deleted { revision, .. } => revision,
        }
    }
}

/// What lies in the archive under one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Earlier {
    Absent,
    Stored(Stored),
    Revoked,
    /// A wrap without what it is the wrap of: no record of ours.
    Broken,
}

/// Which KEKs the workspace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub(crate) current: Key,
    /// A set.
    pub(crate) former: u8,
    pub(crate) revision: u8,
}

impl Binding {
    pub(crate) fn knows(self, key: Key) -> bool {
        (self.former | self.current.bit()) & key.bit() != 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JobState {
    Running,
    Done,
    Superseded,
}

/// What a job is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    Heads,
    Earlier,
    VerifyHeads,
    VerifyEarlier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    /// Which of the workspace's jobs it is: the latest is here, those before it have ended.
    pub(crate) id: u8,
    pub(crate) binding_revision: u8,
    pub(crate) state: JobState,
    pub(crate) phase: Phase,
    /// The last number of the phase that is behind it.
    pub(crate) cursor: u8,
    pub(crate) revision: u8,
}

/// As many numbers as the longest history here uses.
pub(crate) const VERSIONS: usize = 4;

/// The records of the workspace that the secret's protocol reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    pub(crate) token: bool,
    pub(crate) frozen: bool,
    pub(crate) binding: Binding,
    /// Whether the record of the one `Idempotency-Key` is there.
    pub(crate) remembered: bool,
    pub(crate) head: Head,
    /// By number, from 1.
    pub(crate) earlier: [Earlier; VERSIONS],
    pub(crate) job: Option<Job>,
}

impl Table {
    /// Two versions under the KEK `A`, the second of them current: what two puts left.
    pub(crate) fn of_two_versions() -> Self {
        let stored = |number| Stored {
            version: number,
            value: number,
            policy: number,
            wrap: Wrap {
                key: Key::A,
                value: number,
                policy: number,
                by: 0,
            },
        };
        let mut table = Self {
            token: true,
            frozen: false,
            binding: Binding {
                current: Key::A,
                former: 0,
                revision: 1,
            },
            remembered: false,
            head: Head::Live(LiveHead {
                stored: stored(2),
                first: 1,
                last: 2,
                revision: 2,
            }),
            earlier: [Earlier::Absent; VERSIONS],
            job: None,
        };
        *table.place(1) = Earlier::Stored(stored(1));
        table
    }

    /// What lies in the archive under a number.
    pub(crate) fn at(&self, number: u8) -> Earlier {
        self.earlier[usize::from(number) - 1]
    }

    pub(crate) fn place(&mut self, number: u8) -> &mut Earlier {
        &mut self.earlier[usize::from(number) - 1]
    }

    /// The version of a number, if it can be used: of the secret that lives, there, and not revoked.
    pub(crate) fn version(&self, number: u8) -> Option<Stored> {
        let head = self.head.live()?;
        if head.stored.version == number {
            return Some(head.stored);
        }
        match self.at(number) {
            Earlier::Stored(stored) if (head.first..=head.last).contains(&number) => Some(stored),
            _ => None,
        }
    }

    /// Every wrap that lies in the table, those that an interrupted deletion left included.
    pub(crate) fn wraps(&self) -> impl Iterator<Item = Wrap> {
        let head = self.head.live().map(|head| head.stored.wrap);
        let earlier = self.earlier.iter().filter_map(|earlier| match earlier {
            Earlier::Stored(stored) => Some(stored.wrap),
            _ => None,
        });
        head.into_iter().chain(earlier)
    }
}
