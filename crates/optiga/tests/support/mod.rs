//! What the driver is tested against here: the golden traces, replayed as a chip would give them, and a small chip-side link
//! of its own that answers from a script and can lose, damage and repeat frames. Neither shares a line with the driver.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of test files has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test says by a panic what is wrong, and the golden traces are files"
)]

use std::collections::VecDeque;
use std::path::Path;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};
use optiga::{Config, Optiga};

/// A bus error of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack(pub ErrorKind);

pub const ASLEEP: Nack = Nack(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));

impl embedded_hal::i2c::Error for Nack {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

/// Adds up what it is asked to wait.
#[derive(Debug, Default, Clone, Copy)]
pub struct Virtual(pub u64);

impl DelayNs for Virtual {
    fn delay_ns(&mut self, ns: u32) {
        self.0 += u64::from(ns);
    }
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Write(Option<Vec<u8>>),
    Read(Option<Vec<u8>>),
    Host(Vec<u8>),
    Chip(Vec<u8>),
    Lost(Vec<u8>),
    Command(Vec<Token>),
    Answer(Vec<Token>),
}

/// Bytes, or a gap of so many bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Byte(u8),
    Gap(usize),
}

pub struct Trace {
    pub frame_bytes: u16,
    pub numbering: Option<(u8, u8)>,
    pub lines: Vec<Line>,
}

pub fn trace(name: &str) -> Trace {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/optiga");
    let text = std::fs::read_to_string(folder.join(format!("{name}.trace"))).expect(name);
    let (head, body) = text.split_once("\n\n").expect("a head");
    let field = |key: &str| head.lines().find_map(|line| line.strip_prefix(key));
    assert!(
        field("origin ").is_some() && field("title ").is_some(),
        "{name}: head"
    );
    Trace {
        frame_bytes: field("frame-bytes ").map_or(277, |n| n.parse().unwrap()),
        numbering: field("numbering ").map(|n| {
            let (host, chip) = n.split_once(' ').unwrap();
            (host.parse().unwrap(), chip.parse().unwrap())
        }),
        lines: body
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(parse_line)
            .collect(),
    }
}

fn parse_line(line: &str) -> Line {
    let line = if line.starts_with('@') {
        line.split_once(' ').unwrap().1
    } else {
        line
    };
    let (kind, rest) = line.split_once(' ').unwrap();
    let bytes = || {
        rest.split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect::<Vec<_>>()
    };
    let tokens = || rest.split_whitespace().map(parse_token).collect();
    match kind {
        "W" => Line::Write((rest != "NAK").then(bytes)),
        "R" => Line::Read((rest != "NAK").then(bytes)),
        "H" => Line::Host(bytes()),
        "C" => Line::Chip(bytes()),
        "LOST" => Line::Lost(bytes()),
        ">" => Line::Command(tokens()),
        "<" => Line::Answer(tokens()),
        _ => panic!("not a trace line: {line}"),
    }
}

fn parse_token(token: &str) -> Token {
    match token.strip_prefix('{') {
        Some(gap) => Token::Gap(
            gap.trim_end_matches('}')
                .split_once(':')
                .unwrap()
                .1
                .parse()
                .unwrap(),
        ),
        None => Token::Byte(u8::from_str_radix(token, 16).unwrap()),
    }
}

/// The bytes of a command or answer; gaps become the pattern 1, 2, 3 ...
pub fn fill(tokens: &[Token]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in tokens {
        match token {
            Token::Byte(byte) => bytes.push(*byte),
            Token::Gap(n) => bytes.extend((1..=*n).map(|i| i as u8)),
        }
    }
    bytes
}

/// What happens next in a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Nak,
    Host(Vec<u8>),
    Chip(Vec<u8>),
    Lost(Vec<u8>),
}

/// The frames of a trace, and where the chip did not acknowledge, without the vendor library's own order of polls.
pub fn events(lines: &[Line]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut reads_data = false;
    for line in lines {
        match line {
            Line::Write(None) | Line::Read(None) => events.push(Event::Nak),
            Line::Write(Some(bytes)) if bytes[0] == 0x80 && bytes.len() > 1 => {
                events.push(Event::Host(bytes[1..].to_vec()))
            }
            Line::Write(Some(bytes)) => reads_data = bytes == &[0x80],
            Line::Read(Some(bytes)) if reads_data => events.push(Event::Chip(bytes.clone())),
            Line::Host(frame) => events.push(Event::Host(frame.clone())),
            Line::Lost(frame) => events.push(Event::Lost(frame.clone())),
            Line::Chip(frame) => events.push(Event::Chip(frame.clone())),
            _ => {}
        }
    }
    events
}

/// A chip that gives exactly the frames of a trace and insists on exactly the frames of its host.
#[derive(Debug)]
pub struct Replay {
    events: VecDeque<Event>,
    pointer: u8,
    frame_bytes: [u8; 2],
    pub transactions: usize,
}

impl Replay {
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self {
            events: events.into_iter().collect(),
            pointer: 0,
            frame_bytes: [1, 0x15],
            transactions: 0,
        }
    }

    pub fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    fn acknowledge(&mut self) -> Result<(), Nack> {
        self.transactions += 1;
        if self.events.front() == Some(&Event::Nak) {
            self.events.pop_front();
            return Err(ASLEEP);
        }
        Ok(())
    }
}

impl ErrorType for Replay {
    type Error = Nack;
}

impl I2c for Replay {
    fn write(&mut self, _: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        self.acknowledge()?;
        self.pointer = bytes[0];
        match bytes {
            [0x80, frame @ ..] if !frame.is_empty() => match self.events.pop_front() {
                Some(Event::Host(expected) | Event::Lost(expected)) => assert_eq!(hex(frame), hex(&expected)),
                other => panic!("the host sent {}, the trace says {other:02X?}", hex(frame)),
            },
            [0x81, high, low] => self.frame_bytes = [*high, *low],
            _ => assert_eq!(bytes.len(), 1, "register write {}", hex(bytes)),
        }
        Ok(())
    }

    fn read(&mut self, _: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        self.acknowledge()?;
        let waiting = match self.events.front() {
            Some(Event::Chip(frame)) => Some(frame.clone()),
            _ => None,
        };
        match self.pointer {
            0x80 => {
                buffer.copy_from_slice(&waiting.expect("nothing to read"));
                self.events.pop_front();
            }
            0x81 => buffer.copy_from_slice(&self.frame_bytes),
            0x82 => buffer.copy_from_slice(&state(waiting.map_or(0, |frame| frame.len()))),
            other => panic!("read of register {other:02X}"),
        }
        Ok(())
    }

    fn write_read(&mut self, _: SevenBitAddress, _: &[u8], _: &mut [u8]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}

fn state(waiting: usize) -> [u8; 4] {
    let [high, low] = (waiting as u16).to_be_bytes();
    [if waiting > 0 { 0x48 } else { 0x08 }, 0, high, low]
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X} ")).collect()
}

/// Decides what a command is answered with.
pub type Brain = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// A chip that expects the commands of an APDU trace after it was opened, and gives its answers.
pub fn scripted(name: &str) -> Answering<Brain> {
    let mut script: Vec<_> = trace(name).lines;
    script.reverse();
    let mut opened = false;
    let brain = move |command: &[u8]| {
        if !std::mem::replace(&mut opened, true) {
            return vec![0, 0, 0, 0];
        }
        let Some(Line::Command(expected)) = script.pop() else {
            panic!("no command left for {}", hex(command))
        };
        assert_eq!(hex(command), hex(&fill(&expected)));
        let Some(Line::Answer(answer)) = script.pop() else {
            panic!("no answer")
        };
        fill(&answer)
    };
    Answering::new(Box::new(brain))
}

/// Every command of the trace was sent, and the opening.
#[track_caller]
pub fn all_sent(name: &str, chip: &Answering<Brain>) {
    let expected = 1 + trace(name).lines.len() / 2;
    assert_eq!(chip.executed, expected, "{name}: every command was sent");
}

/// Runs `call` against a chip that expects the commands of an APDU trace and gives its answers.
#[track_caller]
pub fn apdus<T>(name: &str, call: impl FnOnce(&mut Optiga<Answering<Brain>, Virtual>) -> T) -> T {
    let mut driver = Optiga::new(scripted(name), Virtual::default(), Config::default());
    driver.open().unwrap();
    let result = call(&mut driver);
    all_sent(name, &driver.release().0);
    result
}

/// The bytes of a hexadecimal text with spaces.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// What an unkind bus does to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Lose,
    Damage(u16),
    Repeat,
}

/// A chip that answers each command with what `brain` says, over a link that loses, damages and repeats.
pub struct Answering<F> {
    pub brain: F,
    pub faults: VecDeque<Fault>,
    pub executed: usize,
    frame_bytes: usize,
    sent: u8,
    received: u8,
    command: Vec<u8>,
    pieces: VecDeque<Vec<u8>>,
    unacknowledged: Option<Vec<u8>>,
    waiting: VecDeque<Vec<u8>>,
    pointer: u8,
}

impl<F: FnMut(&[u8]) -> Vec<u8>> Answering<F> {
    pub fn new(brain: F) -> Self {
        Self {
            brain,
            faults: VecDeque::new(),
            executed: 0,
            frame_bytes: 277,
            sent: 3,
            received: 3,
            command: Vec::new(),
            pieces: VecDeque::new(),
            unacknowledged: None,
            waiting: VecDeque::new(),
            pointer: 0,
        }
    }

    fn fault(&mut self) -> Fault {
        self.faults.pop_front().unwrap_or(Fault::None)
    }

    fn offer(&mut self, frame: Vec<u8>) {
        match self.fault() {
            Fault::None => self.waiting.push_back(frame),
            Fault::Lose => {}
            Fault::Damage(bit) => self.waiting.push_back(damage(frame, bit)),
            Fault::Repeat => self.waiting.extend([frame.clone(), frame]),
        }
    }

    fn take(&mut self, frame: &[u8]) {
        match self.fault() {
            Fault::None => self.frame(frame),
            Fault::Lose => {}
            Fault::Damage(bit) => self.frame(&damage(frame.to_vec(), bit)),
            Fault::Repeat => {
                self.frame(frame);
                self.frame(frame);
            }
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        let n = frame.len();
        let intact = crc(&frame[..n - 2]).to_be_bytes() == frame[n - 2..];
        let control = frame[0];
        match (intact, control) {
            (false, _) if n <= 5 => {}
            (false, _) => self.offer(seal(0xA0 | (self.received + 1) & 3, &[])),
            (true, 0xC0) => {
                (self.sent, self.received) = (3, 3);
                self.command.clear();
                self.pieces.clear();
                self.unacknowledged = None;
                self.waiting.clear();
            }
            (true, 0x80..=0x83) if control & 3 == self.sent => self.release(),
            (true, 0xA0..=0xA3) if control & 3 == self.sent => {
                if let Some(frame) = self.unacknowledged.clone() {
                    self.offer(frame);
                }
            }
            (true, 0x00..=0x0F) if (control >> 2) & 3 == (self.received + 1) & 3 => {
                self.received = (control >> 2) & 3;
                self.unacknowledged = None;
                self.waiting.clear();
                self.packet(&frame[3..n - 2]);
            }
            (true, 0x00..=0x0F) => self.offer(seal(0x80 | self.received, &[])),
            _ => {}
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        assert!(packet.len() <= self.frame_bytes - 5);
        if packet[0] < 2 {
            self.command.clear();
        }
        self.command.extend_from_slice(&packet[1..]);
        self.offer(seal(0x80 | self.received, &[]));
        if packet[0] == 0 || packet[0] == 4 {
            self.executed += 1;
            let answer = (self.brain)(&self.command);
            let size = self.frame_bytes - 6;
            let count = answer.len().div_ceil(size);
            self.pieces = answer
                .chunks(size)
                .enumerate()
                .map(|(i, piece)| {
                    let mark = match (i, count) {
                        (_, 1) => 0,
                        (0, _) => 1,
                        (i, _) if i + 1 == count => 4,
                        _ => 2,
                    };
                    [&[mark], piece].concat()
                })
                .collect();
            self.release();
        }
    }

    fn release(&mut self) {
        self.unacknowledged = None;
        if let Some(piece) = self.pieces.pop_front() {
            self.sent = (self.sent + 1) & 3;
            let frame = seal(self.sent << 2 | self.received, &piece);
            self.unacknowledged = Some(frame.clone());
            self.offer(frame);
        }
    }

    /// The chip's own timer: what was not acknowledged is offered again.
    fn tick(&mut self) {
        if let Some(frame) = self.unacknowledged.clone() {
            self.waiting.push_back(frame);
        }
    }
}

fn damage(mut frame: Vec<u8>, bit: u16) -> Vec<u8> {
    let bit = usize::from(bit) % (frame.len() * 8);
    frame[bit / 8] ^= 1 << (bit % 8);
    frame
}

fn seal(control: u8, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![control];
    frame.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    frame.extend_from_slice(packet);
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame
}

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |c, _| {
            if c & 1 == 1 { c >> 1 ^ 0x8408 } else { c >> 1 }
        })
    })
}

impl<F> ErrorType for Answering<F> {
    type Error = Nack;
}

impl<F: FnMut(&[u8]) -> Vec<u8>> I2c for Answering<F> {
    fn write(&mut self, _: SevenBitAddress, bytes: &[u8]) -> Result<(), Nack> {
        self.pointer = bytes[0];
        match bytes {
            [0x80, frame @ ..] if !frame.is_empty() => self.take(frame),
            [0x81, high, low] => self.frame_bytes = usize::from(u16::from_be_bytes([*high, *low])),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, _: SevenBitAddress, buffer: &mut [u8]) -> Result<(), Nack> {
        match self.pointer {
            0x80 => buffer.copy_from_slice(&self.waiting.pop_front().unwrap()),
            0x81 => buffer.copy_from_slice(&(self.frame_bytes as u16).to_be_bytes()),
            _ => {
                buffer.copy_from_slice(&state(self.waiting.front().map_or(0, Vec::len)));
                if self.waiting.is_empty() && self.fault() == Fault::None {
                    self.tick();
                }
            }
        }
        Ok(())
    }

    fn transaction(&mut self, _: SevenBitAddress, _: &mut [Operation<'_>]) -> Result<(), Nack> {
        panic!("the chip knows no repeated start");
    }
}
