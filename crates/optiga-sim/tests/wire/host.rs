//! A small host: enough of the protocol to carry a command to the chip and its response back, with every frame checked.

use std::sync::{Arc, Mutex};

use i2c_bus::Target;
use optiga_sim::Chip;

/// The application that every command needs.
pub(crate) const OPEN: &str = "70 00 0010 D276000004 47656E417574684170706C";

/// How long the host lets time pass between two looks.
const POLL_US: u64 = 500;

pub(crate) struct Host {
    pub(crate) chip: Arc<Mutex<Chip>>,
    pub(crate) now_us: u64,
    pub(crate) frame_bytes: usize,
    sent: u8,
    received: u8,
}

impl Host {
    pub(crate) fn new(chip: Arc<Mutex<Chip>>) -> Self {
        Self {
            chip,
            now_us: 0,
            frame_bytes: 0x115,
            sent: 3,
            received: 3,
        }
    }

    pub(crate) fn of(chip: Chip) -> Self {
        Self::new(Arc::new(Mutex::new(chip)))
    }

    /// A host that has opened the application.
    pub(crate) fn open(chip: Chip) -> Self {
        let mut host = Self::of(chip);
        host.ok(OPEN, "");
        host
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        while !self.chip.acknowledges(self.now_us) {
            self.wait();
        }
        self.chip.write(bytes, self.now_us).unwrap();
    }

    pub(crate) fn read(&mut self, register: u8, bytes: usize) -> Vec<u8> {
        self.write(&[register]);
        let mut buffer = vec![0xEE; bytes];
        while !self.chip.acknowledges(self.now_us) {
            self.wait();
        }
        self.chip.read(&mut buffer, self.now_us).unwrap();
        buffer
    }

    pub(crate) fn wait(&mut self) {
        self.now_us += POLL_US;
        assert!(self.now_us < 60_000_000, "the chip does not come back");
    }

    pub(crate) fn state(&mut self) -> [u8; 4] {
        self.read(0x82, 4).try_into().unwrap()
    }

    /// Both sides begin from frame 0.
    pub(crate) fn resync(&mut self) {
        self.send(&[0xC0, 0, 0, 0x0A, 0x9A]);
        (self.sent, self.received) = (3, 3);
    }

    pub(crate) fn negotiate(&mut self, frame_bytes: usize) {
        let [high, low] = (frame_bytes as u16).to_be_bytes();
        self.write(&[0x81, high, low]);
        assert_eq!(self.read(0x81, 2), [high, low]);
        self.frame_bytes = frame_bytes;
    }

    /// Numbers of the last data frames of host and chip.
    pub(crate) fn numbering(&self) -> (u8, u8) {
        (self.sent, self.received)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.write(&[&[0x80], frame].concat());
    }

    /// The next frame that the chip offers.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        loop {
            let [flags, _, high, low] = self.state();
            if flags & 0x40 != 0 {
                return self.read(0x80, usize::from(u16::from_be_bytes([high, low])));
            }
            self.wait();
        }
    }

    fn data_frame(&mut self) -> Vec<u8> {
        loop {
            let frame = self.frame();
            if frame[0] & 0x80 == 0 {
                assert_eq!(
                    crc16(&frame[..frame.len() - 2]).to_be_bytes(),
                    frame[frame.len() - 2..]
                );
                assert_eq!((frame[0] >> 2) & 3, (self.received + 1) & 3, "{frame:02X?}");
                self.received = (self.received + 1) & 3;
                self.send(&control(0x80 | self.received));
                return frame[3..frame.len() - 2].to_vec();
            }
            assert_eq!(frame, control(0x80 | self.sent));
        }
    }

    fn data(&mut self, chain: u8, body: &[u8]) {
        self.sent = (self.sent + 1) & 3;
        let mut packet = vec![chain];
        packet.extend_from_slice(body);
        let frame = data(self.sent << 2 | self.received, &packet);
        self.send(&frame);
    }

    pub(crate) fn command(&mut self, command: &[u8]) -> Vec<u8> {
        let room = self.frame_bytes - 6;
        let fragments: Vec<_> = command.chunks(room).collect();
        for (index, fragment) in fragments.iter().enumerate() {
            let last = index + 1 == fragments.len();
            let chain = match (index, last) {
                (0, true) => 0,
                (0, false) => 1,
                (_, false) => 2,
                (_, true) => 4,
            };
            self.data(chain, fragment);
            if !last {
                assert_eq!(self.frame(), control(0x80 | self.sent));
            }
        }
        let mut response = vec![];
        loop {
            let packet = self.data_frame();
            response.extend_from_slice(&packet[1..]);
            if matches!(packet[0], 0 | 4) {
                return response;
            }
        }
    }

    /// Data of a command that succeeds.
    pub(crate) fn get(&mut self, command: &str) -> Vec<u8> {
        let response = self.command(&unhex(command));
        assert_eq!(response[..2], [0, 0], "{command}: {response:02X?}");
        response[4..].to_vec()
    }

    pub(crate) fn ok(&mut self, command: &str, data: &str) {
        assert_eq!(self.get(command), unhex(data), "{command}");
    }

    /// A command is refused; the code of the error.
    pub(crate) fn no(&mut self, command: &str) -> u8 {
        assert_eq!(self.command(&unhex(command)), [0xFF, 0, 0, 0], "{command}");
        self.get("01 00 0002 F1C2")[0]
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(crate) fn data(control: u8, packet: &[u8]) -> Vec<u8> {
    let [high, low] = (packet.len() as u16).to_be_bytes();
    let mut frame = vec![control, high, low];
    frame.extend_from_slice(packet);
    let checksum = crc16(&frame);
    frame.extend_from_slice(&checksum.to_be_bytes());
    frame
}

pub(crate) fn control(control: u8) -> Vec<u8> {
    data(control, &[])
}

/// Bit by bit, unlike the chip's.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0x8408
            } else {
                crc >> 1
            }
        })
    })
}
