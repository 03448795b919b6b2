//! The checksum of a frame: CRC-16 with x^16 + x^12 + x^5 + 1, reflected, started with zero, not inverted (CRC-16/KERMIT).
//!
//! It goes over control byte, length and packet, and onto the wire high byte first, as silicon does it.

/// The polynomial, reflected.
const POLYNOMIAL: u16 = 0x8408;

const TABLE: [u16; 256] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "an index below 256, when the program is built"
)]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u16;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The checksum of these bytes.
#[expect(
    clippy::indexing_slicing,
    reason = "an index of eight bits into a table of 256"
)]
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from((crc ^ u16::from(*byte)) & 0xFF)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_silicon_and_documents() {
        let ascending: Vec<u8> = (0..=255).collect();
        let cases: [(&[u8], u16); 10] = [
            (&[], 0x0000),
            (&[0xFF], 0x0F78),
            (b"123456789", 0x2189),
            (&ascending, 0xD841),
            (&[0x80, 0, 0], 0x0CEC),
            (&[0x81, 0, 0], 0x5630),
            (&[0x82, 0, 0], 0xB954),
            (&[0x83, 0, 0], 0xE388),
            (&[0xC0, 0, 0], 0x0A9A),
            (&[0, 0, 5, 0, 0, 0, 0, 0], 0x1487),
        ];
        for (bytes, expected) in cases {
            assert_eq!(crc16(bytes), expected, "{bytes:02x?}");
        }
    }
}
