//! Wiping in bulk.

/// Overwrites a buffer with zeros in one memset that the compiler may not drop.
///
/// Byte-wise volatile writes cost eight times as much on 64 KiB; the barrier of
/// the `zeroize` crate makes the plain fill observable instead.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

/// Wipes a vector over its whole capacity, which becomes its length.
pub(crate) fn wipe_vec(bytes: &mut Vec<u8>) {
    bytes.clear();
    // Growing to the capacity that is there already moves nothing, and zeroes all of it.
    bytes.resize(bytes.capacity(), 0);
    zeroize::optimization_barrier(bytes.as_slice());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_only_zeros() {
        for length in [0, 1, 31, 32, 4096] {
            let mut bytes = vec![7; length];
            wipe(&mut bytes);
            assert_eq!(bytes, vec![0; length]);
        }
    }

    #[test]
    fn wiping_a_vector_reaches_its_whole_capacity_in_place() {
        for (capacity, length) in [(0, 0), (1, 1), (64, 0), (64, 3), (64, 64), (70_000, 65_536)] {
            let mut bytes = Vec::with_capacity(capacity);
            bytes.resize(capacity, 7);
            // What lies beyond the length is what a shortened value leaves behind.
            bytes.truncate(length);
            let (at, room) = (bytes.as_ptr(), bytes.capacity());
            wipe_vec(&mut bytes);
            assert_eq!(
                (bytes.as_ptr(), bytes.capacity(), bytes.len()),
                (at, room, room)
            );
            assert!(bytes.iter().all(|byte| *byte == 0), "{capacity} {length}");
        }
    }
}
