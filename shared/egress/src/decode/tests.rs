use super::*;
use base64::{Engine, prelude::BASE64_STANDARD};
use encoders::{brotli, deflate, gzip, raw_deflate, zstd};
use flate2::Compression;
use http::HeaderValue;
use proptest::prelude::*;

pub(crate) mod encoders;

fn decoding(encodings: &[&str], limit: usize) -> Result<Option<Decoding>, EgressError> {
    let mut headers = HeaderMap::new();
    for encoding in encodings {
        headers.append(CONTENT_ENCODING, HeaderValue::try_from(*encoding).unwrap());
    }
    Decoding::of(&headers, limit)
}

fn decoded_within(
    encodings: &[&str],
    pieces: &[&[u8]],
    limit: usize,
) -> Result<Vec<u8>, EgressError> {
    let mut decoding = decoding(encodings, limit)?.unwrap();
    let mut out = Vec::new();
    let drain = |decoding: &mut Decoding, out: &mut Vec<u8>| {
        while let Some(piece) = decoding.pull()? {
            assert!((1..=PIECE_MAX).contains(&piece.len()));
            out.extend_from_slice(&piece);
        }
        Ok::<_, EgressError>(())
    };
    for piece in pieces {
        decoding.push(&Bytes::copy_from_slice(piece));
        drain(&mut decoding, &mut out)?;
    }
    decoding.end();
    drain(&mut decoding, &mut out)?;
    Ok(out)
}

fn decoded(encodings: &[&str], pieces: &[&[u8]]) -> Result<Vec<u8>, EgressError> {
    decoded_within(encodings, pieces, usize::MAX)
}

type Encoder = fn(&[u8]) -> Vec<u8>;
const ENCODERS: [(&str, Encoder); 7] = [
    ("gzip", gzip),
    ("x-gzip", gzip),
    ("GZIP", gzip),
    ("deflate", deflate),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstd),
];

/// Text that repeats itself, and more of it than one piece.
fn sample() -> Vec<u8> {
    (0..20_000_u32)
        .flat_map(|i| format!("{} of many lines\n", i * i).into_bytes())
        .collect()
}

#[test]
fn every_encoding_is_undone_however_it_is_cut() {
    let text = sample();
    for (name, encode) in ENCODERS {
        let encoded = encode(&text);
        for size in [1, 7, 1000, encoded.len()] {
            let pieces: Vec<&[u8]> = encoded.chunks(size).collect();
            assert!(
                decoded(&[name], &pieces).unwrap() == text,
                "{name} by {size}"
            );
        }
        assert_eq!(decoded(&[name], &[]), Ok(Vec::new()), "{name}");
        let nothing = encode(b"");
        assert_eq!(decoded(&[name], &[&nothing]), Ok(Vec::new()), "{name}");
    }
}

#[test]
fn what_other_encoders_wrote_is_read() {
    let text = "data: {\"authorization\":\"Bearer canary-5ecret\"}\n\n".repeat(40);
    for (name, encoded) in [
        // Google's encoder, quality 11.
        (
            "br",
            "G38H+EXd1l/SWTdaHk1tnFXDsIjYggwCjofagh96AQmk8uHTrI7CKCzRcjY3fcdUWwc/Qg==",
        ),
        // Facebook's, level 19.
        (
            "zstd",
            "KLUv/QRorQEAAsMKELDrIG9pDgFqZ5CAUZDAcUAAxLK8ySHcrWzC885SUrUS80tfiDUXBmLmEwEA0PT8FRSFpmi9",
        ),
    ] {
        let encoded = BASE64_STANDARD.decode(encoded).unwrap();
        let pieces: Vec<&[u8]> = encoded.chunks(1).collect();
        assert_eq!(
            decoded(&[name], &pieces).unwrap(),
            text.as_bytes(),
            "{name}"
        );
    }
}

#[test]
fn encodings_on_top_of_one_another_are_undone_in_order() {
    let text = sample();
    let twice = zstd(&gzip(&text));
    assert!(decoded(&["gzip, zstd"], &[&twice]).unwrap() == text);
    assert!(decoded(&["gzip", "identity, ZSTD"], &[&twice]).unwrap() == text);
    let thrice = brotli(&twice);
    let pieces: Vec<&[u8]> = thrice.chunks(3).collect();
    assert!(decoded(&["gzip,zstd,br"], &pieces).unwrap() == text);
    assert_eq!(
        decoded(&["zstd, gzip"], &[&twice]),
        Err(EgressError::Unscrubbable)
    );
    assert!(decoding(&["gzip,gzip,gzip,gzip"], 1).is_err());
}

#[test]
fn what_is_not_known_is_refused() {
    for name in [
        "compress",
        "x-compress",
        "dcb",
        "dcz",
        "aes128gcm",
        "exi",
        "gzip;q=1",
        "gzip\u{a0}",
        "bzip2",
        "none",
    ] {
        assert_eq!(
            decoding(&[name], 1).err(),
            Some(EgressError::Unscrubbable),
            "{name}"
        );
    }
    assert!(decoding(&[], 1).unwrap().is_none());
    assert!(decoding(&["identity", " , "], 1).unwrap().is_none());
}

#[test]
fn what_breaks_off_is_refused_wherever_it_does() {
    for (name, encode) in ENCODERS {
        let encoded = encode(b"some text, some text, some text");
        for end in 1..encoded.len() {
            assert_eq!(
                decoded(&[name], &[&encoded[..end]]),
                Err(EgressError::Unscrubbable),
                "{name} to {end}"
            );
        }
    }
}

#[test]
fn what_goes_on_behind_its_end_is_refused_unless_it_is_more_of_the_same() {
    for (name, encode) in ENCODERS {
        let encoded = encode(b"some text");
        for more in [&b"secret"[..], b"\0"] {
            assert_eq!(
                decoded(&[name], &[&encoded, more]),
                Err(EgressError::Unscrubbable),
                "{name}"
            );
            assert_eq!(
                decoded(&[name], &[&[&encoded[..], more].concat()]),
                Err(EgressError::Unscrubbable),
                "{name}"
            );
        }
        if matches!(name, "gzip" | "zstd") {
            assert_eq!(
                decoded(&[name], &[&encoded, &encoded]).unwrap(),
                b"some textsome text"
            );
        }
    }
    let skippable = [
        &[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
        &zstd(b"text"),
    ]
    .concat();
    assert_eq!(decoded(&["zstd"], &[&skippable]).unwrap(), b"text");
}

#[test]
fn a_changed_byte_is_no_reason_to_pass_something_else() {
    let text = b"some text, some text, some text";
    // The ones that have a checksum. Zstandard's is left out by the encoder here, and a bare stream has none.
    for (name, encode) in [("gzip", gzip as Encoder), ("deflate", deflate)] {
        let encoded = encode(text);
        for at in 0..encoded.len() {
            let mut changed = encoded.clone();
            changed[at] ^= 0x40;
            if let Ok(out) = decoded(&[name], &[&changed]) {
                assert_eq!(out, text, "{name} at {at}");
            }
        }
    }
    let mut checked = BASE64_STANDARD.decode("KLUv/QRorQEAAsMKELDrIG9pDgFqZ5CAUZDAcUAAxLK8ySHcrWzC885SUrUS80tfiDUXBmLmEwEA0PT8FRSFpmi9").unwrap();
    *checked.last_mut().unwrap() ^= 1;
    assert_eq!(
        decoded(&["zstd"], &[&checked]),
        Err(EgressError::Unscrubbable)
    );
}

#[test]
fn a_gzip_header_may_have_all_its_parts() {
    let mut encoder = flate2::GzBuilder::new()
        .extra(vec![1, 2, 3])
        .filename("a name")
        .comment("a comment")
        .write(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut encoder, b"text").unwrap();
    let encoded = encoder.finish().unwrap();
    let pieces: Vec<&[u8]> = encoded.chunks(1).collect();
    assert_eq!(decoded(&["gzip"], &pieces).unwrap(), b"text");
    let endless = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &[b'n'; 100_000]].concat();
    assert_eq!(
        decoded(&["gzip"], &[&endless]),
        Err(EgressError::Unscrubbable)
    );
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let zeros = vec![b'a'; 8 << 20];
    // 8 MiB of one letter by Google's encoder.
    let tiny = BASE64_STANDARD.decode("m///f/glwuKxQCD3/g8=").unwrap();
    assert_eq!(decoded(&["br"], &[&tiny]).unwrap().len(), 8 << 20);
    for (name, bomb) in [
        ("gzip", gzip(&zeros)),
        ("deflate", deflate(&zeros)),
        ("br", tiny),
        ("zstd", zstd(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ] {
        assert!(bomb.len() < 300_000, "{name}: {}", bomb.len());
        assert_eq!(
            decoded_within(&[name], &[&bomb], 1 << 20),
            Err(EgressError::TooLarge),
            "{name}"
        );
    }
    // What the inner encoding makes of it does not count alone.
    let nothing: Vec<u8> = gzip(b"").repeat(100_000);
    assert_eq!(
        decoded_within(&["gzip, gzip"], &[&gzip(&nothing)], 1 << 20),
        Err(EgressError::TooLarge)
    );
}

proptest! {
    #[test]
    fn any_bytes_come_back_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000), size in 1_usize..500, pick in 0..ENCODERS.len()) {
        let (name, encode) = ENCODERS[pick];
        let encoded = encode(&bytes);
        let pieces: Vec<&[u8]> = encoded.chunks(size).collect();
        prop_assert!(decoded(&[name], &pieces).unwrap() == bytes);
        // Nothing that is fed to a decoder brings it down.
        let _ = decoded(&[name], &[&bytes]);
        let mut spoilt = encoded;
        if let Some(at) = bytes.first() {
            let at = usize::from(*at) % spoilt.len();
            spoilt[at] ^= 0x11;
        }
        let _ = decoded_within(&[name], &[&spoilt], 1 << 20);
    }
}
