//! Data keys, plain and wrapped.

use crate::{
    KeyArn,
    wipe::{wipe, wipe_vec},
};
use subtle::ConstantTimeEq;

/// The length of a data key in bytes: AES-256.
pub const DATA_KEY_LEN: usize = 32;

/// The plaintext data key of one secret version. Used for one seal or one open,
/// then dropped, which wipes it.
///
/// It is boxed and filled in place, and can be neither cloned, printed, compared
/// nor serialized.
pub struct DataKey(Box<[u8; DATA_KEY_LEN]>);

impl DataKey {
    /// Makes a key by writing its bytes in place.
    ///
    /// # Errors
    /// Whatever `fill` fails with; the buffer is wiped.
    pub fn filled<E>(
        fill: impl FnOnce(&mut [u8; DATA_KEY_LEN]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        fill(&mut key.0)?;
        Ok(key)
    }

    /// Whether two keys are the same, in constant time: what a proof of a KEK asks.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// Takes a key out of an SDK's buffer, which is wiped over its whole capacity
    /// whether or not it held one; `None` if it has not exactly 32 bytes. Copies
    /// that the SDK made before are out of reach.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let key = Self::filled(|key| {
            let bytes: &[u8; DATA_KEY_LEN] = buffer.as_slice().try_into().map_err(|_| ())?;
            *key = *bytes;
            Ok::<(), ()>(())
        });
        wipe_vec(buffer);
        key.ok()
    }

    pub(crate) fn bytes(&self) -> &[u8; DATA_KEY_LEN] {
        &self.0
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        wipe(self.0.as_mut_slice());
    }
}

/// What KMS hands back beside a data key: the data key under the KEK. Not
/// secret, and useless to whoever may not call the KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    /// KMS's ciphertext blob, 1 to 6144 bytes.
    pub ciphertext: Vec<u8>,
    /// The KEK that wraps it.
    pub key: KeyArn,
    /// Which of the KEK's key material wraps it (KMS `KeyMaterialId`), if KMS said.
    pub material: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntegrityError, Place, SealedSecret, SecretBytes, kms};
    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use std::{
        borrow::{Borrow, BorrowMut},
        fmt::{Debug, Display, LowerHex, Pointer},
        hash::Hash,
        ops::{Deref, DerefMut, Index},
    };

    // A data key cannot be copied, printed, compared, serialized or made up ...
    assert_not_impl_any!(DataKey: Clone, Copy, ToOwned, Debug, Display, LowerHex, Pointer);
    assert_not_impl_any!(DataKey: PartialEq, Eq, PartialOrd, Ord, Hash, Default);
    assert_not_impl_any!(DataKey: serde::Serialize, serde::Deserialize<'static>);
    assert_not_impl_any!(DataKey: From<[u8; 32]>, From<Box<[u8; 32]>>, From<Vec<u8>>, From<&'static [u8]>, std::str::FromStr);
    assert_not_impl_any!(DataKey: TryFrom<Vec<u8>>, TryFrom<&'static [u8]>, FromIterator<u8>);
    // ... nor taken for its bytes, by value or by reference.
    assert_not_impl_any!(DataKey: Into<[u8; 32]>, Into<Box<[u8; 32]>>, Into<Vec<u8>>, IntoIterator, Iterator, std::io::Read);
    assert_not_impl_any!(DataKey: Borrow<[u8]>, Borrow<[u8; 32]>, BorrowMut<[u8]>, AsRef<[u8]>, AsRef<[u8; 32]>, AsMut<[u8]>, Deref, DerefMut, Index<usize>);
    assert_not_impl_any!(&'static DataKey: Into<[u8; 32]>, Into<Vec<u8>>, IntoIterator);
    // It crosses threads, as every future of a handler does.
    assert_impl_all!(DataKey: Send, Sync);

    // What holds one can do no more than it.
    assert_not_impl_any!(kms::Wrapped: Clone, Debug, PartialEq, Default, serde::Serialize);
    assert_not_impl_any!(kms::Unwrapped: Clone, Debug, PartialEq, Default, serde::Serialize);

    assert_not_impl_any!(SecretBytes: Clone, Copy, Display, LowerHex, PartialEq, PartialOrd, Hash, Default);
    assert_not_impl_any!(SecretBytes: serde::Serialize, Into<Vec<u8>>, IntoIterator, Borrow<[u8]>, AsRef<[u8]>, AsMut<[u8]>, Deref, Index<usize>);

    // Sealing and opening take the key itself. Since it is neither Copy nor Clone, no key seals twice.
    const _: fn(DataKey, &Place, &SecretBytes) -> SealedSecret = crate::seal;
    const _: fn(&SealedSecret, DataKey, &Place) -> Result<SecretBytes, IntegrityError> =
        crate::open;

    #[test]
    fn a_key_of_another_length_is_not_a_data_key() {
        for length in [0, 16, 31, 33, 64] {
            assert!(DataKey::take(&mut vec![7; length]).is_none(), "{length}");
        }
        assert!(DataKey::take(&mut vec![7; 32]).is_some_and(|key| key.bytes() == &[7; 32]));
    }

    #[test]
    fn taking_a_key_wipes_the_buffer_that_held_it_right_length_or_not() {
        for length in [0, 16, 31, 32, 33, 64] {
            let mut buffer = Vec::with_capacity(100);
            buffer.resize(100, 7);
            buffer.truncate(length);
            let at = buffer.as_ptr();
            drop(DataKey::take(&mut buffer));
            assert_eq!(
                (buffer.as_ptr(), buffer.len()),
                (at, buffer.capacity()),
                "{length}"
            );
            assert!(buffer.iter().all(|byte| *byte == 0), "{length}");
        }
    }

    #[test]
    fn a_key_that_could_not_be_filled_is_no_key() {
        let failed = DataKey::filled(|bytes| {
            bytes.fill(7);
            Err("no entropy")
        });
        assert_eq!(failed.err(), Some("no entropy"));
    }
}
