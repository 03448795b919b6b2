//! The chip driver: whatever is on the other end of the bus, it ends and does not panic.

use std::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use optiga::apdu::{Answer, record};
use optiga::chain::{Assembly, piece_bytes};
use optiga::crc::checksum;
use optiga::frame::Frame;
use optiga::identity_format::Certificates;
use optiga::limits::{APDU_BYTES_MAX, FRAME_BYTES_MAX, METADATA_BYTES_MAX};
use optiga::register::{DATA, DATA_REG_LEN, I2C_STATE};
use optiga::{
    Config, Curve, KeySlot, KeyUsage, Metadata, MetadataChange, ObjectId, Optiga, Signature, WriteMode,
};

/// One frame, one metadata object, one certificate object, one signature.
pub(super) fn formats(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes) {
        let mut out = [0; FRAME_BYTES_MAX];
        if let Some(length) = frame.write(&mut out) {
            assert_eq!(&out[..length], bytes);
        }
    }
    if let Ok(certificates) = Certificates::parse(bytes) {
        assert!(certificates.map(<[u8]>::len).sum::<usize>() <= bytes.len());
    }
    if let Some(metadata) = Metadata::parse(bytes) {
        written_again(&metadata);
    }
    let _ = Signature::from_fixed(bytes);
}

/// What was read of an object's metadata can be asked of a chip in the same words.
fn written_again(metadata: &Metadata) {
    let change = MetadataChange {
        lifecycle: metadata.lifecycle,
        change: metadata.change,
        read: metadata.read,
        execute: metadata.execute,
    };
    let mut room = [0; METADATA_BYTES_MAX];
    let written = change.write(&mut room).expect("no longer than what was read");
    let again = Metadata::parse(written).expect("what was written can be read");
    assert_eq!(
        (again.lifecycle, again.change, again.read, again.execute),
        (change.lifecycle, change.change, change.read, change.execute)
    );
}

/// Packets `length, bytes` of one chain, in frames of the length that the first byte says; then the answer in them.
pub(super) fn answers(bytes: &[u8]) {
    let Some((size, mut rest)) = bytes.split_first() else {
        return;
    };
    let frame_bytes = (16 + usize::from(*size)).min(FRAME_BYTES_MAX);
    let (mut assembly, mut whole) = (Assembly::EMPTY, [0; APDU_BYTES_MAX]);
    while let Some((length, more)) = rest.split_first() {
        let (packet, behind) = more.split_at(usize::from(*length).min(more.len()));
        match assembly.push(packet, piece_bytes(frame_bytes), &mut whole) {
            Ok(Some(length)) => return answer(&whole[..length]),
            Ok(None) => rest = behind,
            Err(_) => return,
        }
    }
}

fn answer(bytes: &[u8]) {
    let Ok(Answer::Data(data)) = Answer::parse(bytes) else {
        return;
    };
    for tag in 0..=u8::MAX {
        let value = record(data, tag).unwrap_or_default();
        assert!(value.len() <= data.len());
    }
}

/// A chip whose every answer is the fuzzer's; the driver asks it for everything once.
pub(super) fn driver(bytes: &[u8]) {
    let config = Config {
        resend_after_us: 1_000,
        answer_within_us: 20_000,
        ..Config::default()
    };
    let mut chip = Optiga::new(
        Liar {
            bytes,
            register: 0,
            frame: Vec::new(),
        },
        NoDelay,
        config,
    );
    let _ = chip.open();
    let _ = chip.read_uid();
    let _ = chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::AUTHENTICATE);
    let _ = chip.sign_digest(KeySlot::E0F1, &[7; 32]);
    let mut buffer = [0; 600];
    let _ = chip.read_object(ObjectId(0xE0E1), 0, &mut buffer);
    let _ = chip.write_object(ObjectId(0xE0E1), WriteMode::Replace, 0, &buffer);
    let _ = chip.read_metadata(ObjectId(0xE0E1));
    let _ = chip.random(&mut buffer[..32]);
    let _ = chip.last_error();
}

/// Answers each poll with the next bytes: `control, length, packet`, with a right checksum unless the control byte's
/// highest reserved bit asks for a wrong one.
struct Liar<'a> {
    bytes: &'a [u8],
    register: u8,
    frame: Vec<u8>,
}

impl Liar<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn next_frame(&mut self) {
        let &[control, length] = self.take(2) else {
            return self.frame.clear();
        };
        let packet = self.take(usize::from(length)).to_vec();
        let [high, low] = (packet.len() as u16).to_be_bytes();
        self.frame = [&[control & !0x10, high, low][..], &packet].concat();
        let sum = checksum(&self.frame) ^ u16::from(control & 0x10 != 0);
        self.frame.extend(sum.to_be_bytes());
    }

    fn answer(&mut self, buffer: &mut [u8]) {
        let answer = match self.register {
            DATA_REG_LEN => (FRAME_BYTES_MAX as u16).to_be_bytes().to_vec(),
            I2C_STATE => {
                if self.frame.is_empty() {
                    self.next_frame();
                }
                let [high, low] = (self.frame.len() as u16).to_be_bytes();
                vec![if self.frame.is_empty() { 0x08 } else { 0x48 }, 0, high, low]
            }
            DATA => std::mem::take(&mut self.frame),
            _ => Vec::new(),
        };
        buffer.fill(0);
        buffer
            .iter_mut()
            .zip(answer)
            .for_each(|(slot, byte)| *slot = byte);
    }
}

impl ErrorType for Liar<'_> {
    type Error = Infallible;
}

impl I2c for Liar<'_> {
    fn transaction(&mut self, _address: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        for operation in operations {
            match operation {
                Operation::Write(bytes) => self.register = bytes.first().copied().unwrap_or(0),
                Operation::Read(buffer) => self.answer(buffer),
            }
        }
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _ns: u32) {}
}
