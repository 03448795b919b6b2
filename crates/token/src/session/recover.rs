//! A signature from which the data are read: the public RSA function, and the padding looked at.

use crate::crypto::Encrypt;
use crate::error::Error;
use crate::limits::RAW_BYTES_MAX;

/// A signature that is being read.
pub(crate) struct Recover {
    with: Encrypt,
    is_padded: bool,
}

impl Recover {
    /// With the public function of the key.
    pub(crate) const fn new(with: Encrypt, is_padded: bool) -> Self {
        Self { with, is_padded }
    }

    /// How long the data are at most.
    pub(crate) fn bytes(&self, signature: usize) -> usize {
        self.with.once_bytes(signature)
    }

    /// Reads them.
    pub(crate) fn run(&mut self, signature: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let bytes = self.with.once_bytes(signature.len());
        if signature.len() != bytes {
            return Err(Error::SignatureLengthRange);
        }
        let mut block = std::vec![0; bytes.min(RAW_BYTES_MAX)];
        let made = self
            .with
            .once(signature, &mut block)
            .map_err(|_| Error::SignatureInvalid)?;
        block.truncate(made);
        let data = if self.is_padded { unpadded(&block)? } else { &block };
        let needed = data.len();
        out.get_mut(..needed)
            .ok_or(Error::BufferTooSmall { needed })?
            .copy_from_slice(data);
        Ok(needed)
    }
}

/// What stands in a block of type 1 (PKCS #1 v1.5): `00 01 FF … FF 00`, at least eight times FF, then the data.
fn unpadded(block: &[u8]) -> Result<&[u8], Error> {
    let rest = block.strip_prefix(&[0, 1]).ok_or(Error::SignatureInvalid)?;
    let filling = rest.iter().take_while(|byte| **byte == 0xFF).count();
    match rest.get(filling..) {
        Some([0, data @ ..]) if filling >= 8 => Ok(data),
        _ => Err(Error::SignatureInvalid),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn only_whole_padding_is_taken_off() {
        let block = |filling: usize, end: &[u8]| -> Vec<u8> {
            [&[0, 1][..], &std::vec![0xFF; filling], end].concat()
        };
        assert_eq!(unpadded(&block(8, b"\0data")), Ok(&b"data"[..]));
        assert_eq!(unpadded(&block(8, b"\0")), Ok(&b""[..]));
        for wrong in [
            block(7, b"\0data"),
            block(9, b"data"),
            block(9, b""),
            std::vec![0, 2, 0xFF],
        ] {
            assert_eq!(unpadded(&wrong), Err(Error::SignatureInvalid));
        }
    }
}
