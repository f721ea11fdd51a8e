//! The secret out of what an upstream answers.
//!
//! An upstream may give back what it was sent: in an error, a log line, an echo.
//! Everything that it answers passes here, and what is a form of the secret leaves
//! as [`MARK`]. Known forms are the bytes themselves, UTF-16, hexadecimal, and
//! base64 in both alphabets wherever in a larger text the secret began; each of
//! them plain, or written with percent-encoding, JSON, JavaScript, C or HTML
//! escapes, in any mixture, up to three of them inside one another.
//!
//! ```text
//! pattern   what is looked for: a text in a form, unit by unit; and the first filter
//! escape    how a unit may be written
//! seek      one possible beginning, followed to its end
//! ```
//!
//! What it cannot see is a transformation that it does not know: encryption,
//! compression that no header names, a secret in pieces.

use bytes::Bytes;
use envelope::SecretBytes;
use seek::{Outcome, Seeker};
use std::sync::Arc;
use zeroize::Zeroizing;

mod escape;
mod pattern;
mod seek;

pub(crate) use pattern::Patterns;

/// What stands where a form of the secret stood.
pub const MARK: &str = "[byok:scrubbed]";

/// The fewest bytes of a secret that can be looked for. Shorter ones stand in innocent texts
/// by chance, and can be guessed: who has an upstream echo guesses sees which are scrubbed.
pub const SCRUBBABLE_MIN: usize = 8;

/// What [`scrubbable`] asks for, in words.
pub const SCRUBBABLE_RULE: &str =
    "at least 8 bytes without the white space at its ends, so that it can be found in an answer";

/// Whether a secret is long enough to be found in an upstream's answer without
/// finding what is no secret. For a put to ask.
#[must_use]
pub fn scrubbable(secret: &SecretBytes) -> bool {
    // EXPOSE: its length without the blanks at its ends.
    secret.expose_secret().trim_ascii().len() >= SCRUBBABLE_MIN
}

/// An answer made too much work: it begins like the secret over and over, which
/// nothing but the attempt to keep a scrubber busy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuchWork;

/// Takes an answer in pieces, and gives it on in pieces without the secret.
///
/// Bytes are held back only while they could be the beginning of a form of the
/// secret; an answer without one comes out byte for byte. What is held is bounded
/// by the longest form.
pub struct Scrubber {
    seeker: Seeker,
    /// What came and has not gone: it begins at the first place undecided.
    held: Zeroizing<Vec<u8>>,
    /// Up to where in `held` a form already covers it: these bytes never go.
    covered: usize,
}

impl Scrubber {
    /// A scrubber for a secret, and for credentials that were made of it.
    #[must_use]
    pub fn new(secret: &SecretBytes, derived: &[&[u8]]) -> Self {
        // EXPOSE: to look for it.
        Self::of(Arc::new(Patterns::new(&[secret.expose_secret()], derived)))
    }

    pub(crate) fn of(patterns: Arc<Patterns>) -> Self {
        Self {
            seeker: Seeker::new(patterns),
            held: Zeroizing::default(),
            covered: 0,
        }
    }

    /// Takes the next piece, and gives what is decided.
    ///
    /// # Errors
    /// See [`TooMuchWork`].
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, TooMuchWork> {
        self.seeker.allow(piece.len());
        if self.held.is_empty() {
            let (kept, out) = self.sift(&piece, false)?;
            self.held.extend_from_slice(&piece[kept..]);
            // Nothing was found: no copy of what passes.
            return Ok(out.map_or_else(|| piece.slice(..kept), Bytes::from));
        }
        self.held.extend_from_slice(&piece);
        self.release(false)
    }

    /// The end of the answer: what was held back comes out.
    ///
    /// # Errors
    /// See [`TooMuchWork`].
    pub fn finish(&mut self) -> Result<Bytes, TooMuchWork> {
        self.release(true)
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn release(&mut self, ended: bool) -> Result<Bytes, TooMuchWork> {
        let mut held = std::mem::take(&mut self.held);
        let (kept, out) = self.sift(&held, ended)?;
        let out = out.unwrap_or_else(|| held[..kept].to_vec());
        // Byte by byte, nothing may be decided for long.
        if kept > 0 {
            held.drain(..kept);
        }
        self.held = held;
        Ok(out.into())
    }

    /// Goes through `input`, which begins at the first place undecided, and says
    /// from where on it is undecided now, and what goes on of all before that
    /// place; `None` if it goes on as it is.
    fn sift(&mut self, input: &[u8], ended: bool) -> Result<(usize, Option<Vec<u8>>), TooMuchWork> {
        // Before `gone`, all has been given out or is covered.
        let mut gone = self.covered;
        let mut out = (gone > 0).then(Vec::new);
        let mut at = 0;
        loop {
            match self.seeker.seek(input, at, ended)? {
                Outcome::Nothing => {
                    at = input.len();
                    break;
                }
                Outcome::Undecided(from) => {
                    at = from;
                    break;
                }
                Outcome::Found { from, to } => {
                    if from >= gone {
                        let out = out.get_or_insert_default();
                        out.extend_from_slice(&input[gone..from]);
                        out.extend_from_slice(MARK.as_bytes());
                    }
                    gone = gone.max(to);
                    // A second form may begin inside the first and reach beyond it.
                    at = from + 1;
                }
            }
        }
        self.covered = gone.saturating_sub(at);
        if let Some(rest) = input.get(gone..at)
            && let Some(out) = &mut out
        {
            out.extend_from_slice(rest);
        }
        Ok((at, out))
    }
}

#[cfg(test)]
pub(crate) mod tests;
