//! CRC-32 (ISO-HDLC, the one of zlib), over records of the token that are too short to be worth a table.

/// The checksum of these bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let folded = bytes.iter().fold(!0, |mut crc: u32, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (0xEDB8_8320 * carry);
        }
        crc
    });
    !folded
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_known_one() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
