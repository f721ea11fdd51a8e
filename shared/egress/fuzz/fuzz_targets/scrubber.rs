//! However an answer is cut, what comes out is the same, and the secret is not in it;
//! and an answer that has no beginning of it comes out as it came.
//!
//! The input: one byte for the secret's length, one for the size of the pieces, the
//! secret, and the answer, in which byte 0 stands for the secret.
//!
//! ```text
//! cargo +nightly fuzz run scrubber -- -max_total_time=30
//! ```
#![no_main]

use bytes::Bytes;
use egress::{MARK, Scrubber, scrubbable};
use envelope::SecretBytes;
use libfuzzer_sys::fuzz_target;

fn through(secret: &[u8], text: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut scrubber = Scrubber::new(&SecretBytes::new(secret.to_vec()), &[]);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        out.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(piece)).ok()?);
    }
    out.extend_from_slice(&scrubber.finish().ok()?);
    Some(out)
}

fn has(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

fuzz_target!(|input: &[u8]| {
    let [length, size, rest @ ..] = input else {
        return;
    };
    let length = 8 + usize::from(*length) % 56;
    if rest.len() < length {
        return;
    }
    let (secret, answer) = rest.split_at(length);
    if !scrubbable(&SecretBytes::new(secret.to_vec())) {
        return;
    }
    let mut text = Vec::new();
    for byte in answer {
        match byte {
            0 => text.extend_from_slice(secret),
            byte => text.push(*byte),
        }
    }
    let whole = through(secret, &text, usize::MAX);
    let pieces = through(secret, &text, 1 + usize::from(*size));
    let (Some(whole), Some(pieces)) = (whole, pieces) else {
        return;
    };
    assert_eq!(whole, pieces, "where it was cut tells");
    // The mark itself may complete a secret that is made of the mark's letters.
    let secret = secret.trim_ascii();
    let plain = secret.iter().all(|b| !MARK.as_bytes().contains(b));
    if plain {
        assert!(!has(&whole, secret), "the secret came through");
    }
    if !answer.contains(&0) && !has(&whole, MARK.as_bytes()) {
        assert_eq!(whole, text, "what passes is as it was");
    }
});
