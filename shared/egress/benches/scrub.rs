//! How fast the scrubber is, beside a plain copy of the same bytes in the same run.
//!
//! ```text
//! cargo bench -p egress --bench scrub            as it is deployed
//! cargo test  -p egress --bench scrub            as it is tested
//! ```
#![allow(clippy::print_stdout, reason = "it is for people")]

use bytes::Bytes;
use egress::Scrubber;
use envelope::SecretBytes;
use std::{hint::black_box, time::Instant};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 16;
const ROUNDS: u32 = 24;

fn main() {
    let secret = b"sk_live_51H8xYz0QkTq09abCdEfGhIjKlMnOpQr";
    println!(
        "a secret of {} bytes, pieces of {} KiB",
        secret.len(),
        PIECE / 1024
    );
    println!(
        "{:24} {:>10} {:>10} {:>7}",
        "text", "copy MB/s", "scrub MB/s", "ratio"
    );
    // Letters that no predictor of branches learns.
    let mut state = 1_u32;
    let letters: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b" etaoinshrdlucmfwypvbgkjqxz.ETA0123"[(state >> 16) as usize % 35])
    })
    .take(PIECE)
    .collect();
    for (name, sample) in [
        ("random letters", &*letters),
        ("source code", include_str!("../src/url.rs")),
        (
            "prose",
            "The quick brown fox jumps over the lazy dog, and the dog does not mind; it sleeps on.\n",
        ),
        (
            "JSON",
            "{\"id\": \"ch_3Ox5T2eZvKYlo2C\", \"amount\": 2000, \"currency\": \"eur\", \"note\": \"a \\\"quoted\\\" word\"},\n",
        ),
        (
            "JSON in JSON",
            "\"{\\\\\\\"id\\\\\\\": \\\\\\\"ch_3Ox5T2e\\\\\\\", \\\\\\\"list\\\\\\\": [1, 2, 3]}\\n\",\n",
        ),
        (
            "HTML",
            "<li class=\"a\"><a href=\"/x?a=1&amp;b=2\">Tom &amp; Jerry&#39;s &quot;house&quot;</a></li>\n",
        ),
        (
            "base64",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg",
        ),
        (
            "hex",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        (
            "the secret, each line",
            "authorization: Bearer sk_live_51H8xYz0QkTq09abCdEfGhIjKlMnOpQr and more of the line\n",
        ),
    ] {
        let piece: Bytes = sample
            .bytes()
            .cycle()
            .take(PIECE)
            .collect::<Vec<_>>()
            .into();
        let copy = fastest(|| {
            let mut out = Vec::with_capacity(PIECE * PIECES);
            for _ in 0..PIECES {
                out.extend_from_slice(black_box(&piece));
            }
            // All of it, or the copy is never made.
            black_box(&out);
        });
        let scrub = fastest(|| {
            let mut scrubber = Scrubber::new(&SecretBytes::new(secret.to_vec()), &[]);
            let mut out = Vec::with_capacity(PIECE * PIECES);
            for _ in 0..PIECES {
                let passed = scrubber
                    .push(black_box(piece.clone()))
                    .expect("little work");
                out.extend_from_slice(&passed);
            }
            out.extend_from_slice(&scrubber.finish().expect("little work"));
            black_box(&out);
        });
        println!("{name:24} {copy:10.0} {scrub:10.0} {:7.3}", scrub / copy);
    }
}

/// The best of several rounds, in MB/s: the others were disturbed.
fn fastest(mut run: impl FnMut()) -> f64 {
    let seconds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    });
    (PIECE * PIECES) as f64 / 1e6 / seconds.fold(f64::INFINITY, f64::min)
}
