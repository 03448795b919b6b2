//! The checksum of the data link: x¹⁶+x¹²+x⁵+1, bit-reflected, start 0, no final inversion (CRC-16/KERMIT). On the wire the
//! high byte goes first; IFX I2C Protocol v1.65 section 3.3 says the opposite, the chip and Infineon's library do this.

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0x8408
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// The checksum over `bytes` as it goes onto the wire: `checksum(..).to_be_bytes()`.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: u16) {
        assert_eq!(checksum(bytes), expected, "{bytes:02X?}");
    }

    #[test]
    fn known_checksums() {
        check(b"", 0);
        check(b"\xFF", 0x0F78);
        check(b"123456789", 0x2189);
        check(&[0x80, 0, 0], 0x0CEC);
        check(&[0xA2, 0, 0], 0xBA6F);
        check(&[0xC0, 0, 0], 0x0A9A);
        check(&core::array::from_fn::<u8, 256, _>(|i| i as u8), 0xD841);
    }

    #[test]
    fn one_changed_bit_is_seen() {
        let frame = [0x04, 0, 7, 0, 0x0C, 0, 0, 2, 0, 0x20];
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&frame), checksum(&damaged));
        }
    }
}
