//! What is put into the slots: the secret, fields of it, or a mask in their place.

use super::{InjectError, json};
use envelope::SecretBytes;
use percent_encoding::{AsciiSet, percent_encode};
use zeroize::Zeroizing;

/// What stands for the secret in a preview.
pub const MASK: &str = "[byok:secret]";

/// Where the bytes come from.
pub(super) enum Source<'a> {
    Secret(&'a SecretBytes),
    /// There is no secret: every slot shows [`MASK`].
    Mask,
}

/// What goes into one slot.
pub(super) struct Value {
    bytes: Zeroizing<Vec<u8>>,
    masked: bool,
}

impl Source<'_> {
    /// The secret, or the field of it that a pointer names: a string, not empty.
    pub(super) fn value(&self, field: Option<&str>) -> Result<Value, InjectError> {
        let bytes = match (self, field) {
            (Self::Mask, _) => Zeroizing::new(MASK.as_bytes().to_vec()),
            // EXPOSE: it goes into the upstream request.
            (Self::Secret(secret), None) => Zeroizing::new(secret.expose_secret().to_vec()),
            (Self::Secret(secret), Some(pointer)) => {
                // EXPOSE: a field of it goes into the upstream request.
                let text = secret.expose_secret();
                let place = json::place(text, pointer).map_err(|_| InjectError::NotInjectable)?;
                json::unquoted(&text[place]).ok_or(InjectError::NotInjectable)?
            }
        };
        if bytes.is_empty() {
            return Err(InjectError::NotInjectable);
        }
        Ok(Value {
            bytes,
            masked: matches!(self, Self::Mask),
        })
    }
}

impl Value {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// Whether it is no secret but what stands for one.
    pub(super) fn is_mask(&self) -> bool {
        self.masked
    }

    /// Adds it, percent-encoded. There is room for three times its length.
    pub(super) fn push_encoded(&self, to: &mut Vec<u8>, set: &'static AsciiSet) {
        if self.masked {
            return to.extend_from_slice(&self.bytes);
        }
        for part in percent_encode(&self.bytes, set) {
            to.extend_from_slice(part.as_bytes());
        }
    }
}
