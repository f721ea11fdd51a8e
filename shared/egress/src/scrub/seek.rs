//! One possible beginning, followed to its end.

use super::{
    TooMuchWork,
    escape::{DEPTH, Reader, Value},
    pattern::{INTRODUCERS, Patterns, of_bits},
};
use std::sync::Arc;

/// How many steps every byte of an answer allows: a search that needs more does
/// not end in any useful time.
const STEPS_PER_BYTE: u64 = 128;
/// How many are allowed from the start, and how many can be saved up.
const STEPS_SAVED: u64 = 1 << 23;

pub(super) enum Outcome {
    /// No form begins in the rest of the input.
    Nothing,
    /// One may begin here: it takes more input to tell.
    Undecided(usize),
    /// One is here.
    Found { from: usize, to: usize },
}

/// A target, followed so far.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Thread {
    target: u8,
    /// What [`Patterns::skips`] saw since the last unit.
    seen: u8,
    unit: u32,
    /// Where the next unit is looked for, from the beginning that is followed.
    at: u32,
}

pub(super) struct Seeker {
    patterns: Arc<Patterns>,
    /// What a beginning that is undecided has come to; empty if there is none.
    waiting: Vec<Thread>,
    /// How long the longest whole form of that beginning is.
    longest: Option<usize>,
    steps: u64,
}

impl Seeker {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            waiting: Vec::new(),
            longest: None,
            steps: STEPS_SAVED,
        }
    }

    /// Allows work on so many more bytes.
    pub(super) fn allow(&mut self, bytes: usize) {
        let more = STEPS_PER_BYTE.saturating_mul(bytes as u64);
        self.steps = self.steps.saturating_add(more).min(STEPS_SAVED.max(more));
    }

    /// Looks for the first form from `at` on. What was undecided has to be `at`
    /// when it is asked again, with more input behind it.
    pub(super) fn seek(
        &mut self,
        input: &[u8],
        mut at: usize,
        ended: bool,
    ) -> Result<Outcome, TooMuchWork> {
        let mut active = std::mem::take(&mut self.waiting);
        loop {
            let mut reader;
            if active.is_empty() {
                let Some((begin, targets)) = self.patterns.may_begin(input, at) else {
                    return Ok(Outcome::Nothing);
                };
                at = begin;
                self.longest = None;
                reader = Reader::new(&input[at..]);
                self.begin(targets, &mut reader, ended, &mut active)?;
            } else {
                reader = Reader::new(&input[at..]);
            }
            // The one that is furthest behind first, so that two that meet become one.
            while let Some(next) = (0..active.len()).min_by_key(|i| active[*i].at) {
                let thread = active.swap_remove(next);
                self.follow(thread, &mut reader, ended, &mut active)?;
            }
            if !self.waiting.is_empty() {
                return Ok(Outcome::Undecided(at));
            }
            if let Some(longest) = self.longest {
                return Ok(Outcome::Found {
                    from: at,
                    to: at + longest,
                });
            }
            at += 1;
        }
    }

    /// Makes the threads of a new beginning: a place with an escape is read once for
    /// all of them, and most end there.
    fn begin(
        &mut self,
        targets: u32,
        reader: &mut Reader<'_>,
        ended: bool,
        active: &mut Vec<Thread>,
    ) -> Result<(), TooMuchWork> {
        let count = self.patterns.count();
        let bits = |targets: u32| of_bits(targets, count);
        let thread = |target| Thread {
            target,
            seen: 0,
            unit: 0,
            at: 0,
        };
        if !reader
            .input
            .first()
            .is_some_and(|byte| INTRODUCERS.contains(byte))
        {
            active.extend(bits(targets).map(thread));
            return Ok(());
        }
        self.steps = self.steps.checked_sub(1).ok_or(TooMuchWork)?;
        if self.patterns.is_inert(reader.input) {
            return Ok(());
        }
        let readings = reader.read(0, DEPTH);
        if reader.at_end && !ended {
            self.waiting.extend(bits(targets).map(thread));
            return Ok(());
        }
        for (value, next) in readings.iter() {
            for target in bits(self.patterns.begun_by(value) & targets) {
                active.extend(self.advanced(thread(target), value, next));
            }
        }
        Ok(())
    }

    /// Follows a thread until it dies, waits, or forks.
    fn follow(
        &mut self,
        mut thread: Thread,
        reader: &mut Reader<'_>,
        ended: bool,
        active: &mut Vec<Thread>,
    ) -> Result<(), TooMuchWork> {
        loop {
            self.steps = self.steps.checked_sub(1).ok_or(TooMuchWork)?;
            let at = thread.at as usize;
            match reader.input.get(at) {
                // Most bytes have one reading.
                Some(&byte) if !INTRODUCERS.contains(&byte) => {
                    match self.advanced(thread, Value::Byte(byte), at + 1) {
                        Some(next) => thread = next,
                        None => return Ok(()),
                    }
                }
                Some(_) => break,
                None if ended => return Ok(()),
                None => {
                    self.waiting.push(thread);
                    return Ok(());
                }
            }
        }
        let readings = reader.read_again(thread.at as usize);
        if reader.at_end && !ended {
            self.waiting.push(thread);
            return Ok(());
        }
        for (value, next) in readings.iter() {
            if let Some(next) = self.advanced(thread, value, next)
                && !active.contains(&next)
            {
                active.push(next);
            }
        }
        Ok(())
    }

    /// A thread one reading further, if it lives on. Remembers a whole form.
    fn advanced(&mut self, mut thread: Thread, value: Value, next: usize) -> Option<Thread> {
        let target = usize::from(thread.target);
        thread.at = u32::try_from(next).ok()?;
        match value {
            Value::Byte(byte) => {
                if let Some(seen) =
                    self.patterns
                        .skips(target, thread.unit as usize, thread.seen, byte)
                {
                    return Some(Thread { seen, ..thread });
                }
                self.take(&mut thread, byte)?;
            }
            Value::Char(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    self.take(&mut thread, byte)?;
                }
            }
        }
        if self.patterns.is_whole(target, thread.unit as usize) {
            self.longest = self.longest.max(Some(next));
        }
        (!self.patterns.is_over(target, thread.unit as usize)).then_some(thread)
    }

    fn take(&self, thread: &mut Thread, byte: u8) -> Option<()> {
        let taken = self
            .patterns
            .takes(usize::from(thread.target), thread.unit as usize, byte);
        thread.unit += 1;
        thread.seen = 0;
        taken.then_some(())
    }
}
