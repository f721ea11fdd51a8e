//! What a server would do.

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn raw_deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

/// Brotli without any compression (RFC 7932, section 9.2).
pub(crate) fn brotli(text: &[u8]) -> Vec<u8> {
    // The first header has the window's size before it, one bit for 64 KiB.
    let mut out = Vec::new();
    let mut window_bits = 1;
    for block in text.chunks(65_536) {
        let length = u32::try_from(block.len() - 1).unwrap();
        let header = length << 3 | 1 << 19;
        out.extend_from_slice(&(header << window_bits).to_le_bytes()[..3]);
        out.extend_from_slice(block);
        window_bits = 0;
    }
    out.push(3 << window_bits);
    out
}
