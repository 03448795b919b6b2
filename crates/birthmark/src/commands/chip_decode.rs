//! A bus full of bytes, told in the words of each layer: physical (registers), link (frames), transport (chains), command.
//!
//! It takes transactions one by one and never fails: what makes no sense is said to make none. It must never decide
//! anything for the driver; this is for people who look over its shoulder.

use optiga::{
    chain::{self, Assembly, Break},
    frame::{Damage, Frame, Number, Verdict},
    limits::{APDU_BYTES_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MIN},
    register::{self, State},
};

use super::chip_apdu;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Host,
    Chip,
}

/// Where a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Physical,
    Link,
    Transport,
    Command,
}

impl Layer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::Link => "link",
            Self::Transport => "transport",
            Self::Command => "command",
        }
    }
}

/// One thing that happened on the bus, or one thing that a recording says of a higher layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// Host to chip, register first; `None` if the address was not acknowledged.
    Write(Option<Vec<u8>>),
    /// Chip to host; `None` if the address was not acknowledged.
    Read(Option<Vec<u8>>),
    /// The bus itself failed.
    Fault(String),
    /// A frame, whatever polls are around it. A frame of the host may be lost on its way.
    Frame {
        from: Speaker,
        bytes: Vec<u8>,
        lost: bool,
    },
    /// A whole command or answer.
    Apdu { from: Speaker, bytes: Vec<u8> },
}

/// One line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) layer: Layer,
    pub(super) from: Speaker,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
}

/// What is known of the conversation so far.
pub(super) struct Decoder {
    register: Option<u8>,
    frame_bytes: Option<usize>,
    host: Half,
    chip: Half,
    command: Option<Vec<u8>>,
    /// Frames that arrived damaged, from either side.
    pub(super) damaged: usize,
    /// Frames that asked for a repeat.
    pub(super) refused: usize,
    lines: Vec<Line>,
}

/// One direction: its chain, and its last frame, to know a repeat.
struct Half {
    assembly: Assembly,
    pieces: usize,
    whole: Box<[u8; APDU_BYTES_MAX]>,
    last: Vec<u8>,
}

impl Half {
    fn new() -> Self {
        Self {
            assembly: Assembly::EMPTY,
            pieces: 0,
            whole: Box::new([0; APDU_BYTES_MAX]),
            last: Vec::new(),
        }
    }

    fn forget(&mut self) {
        (self.assembly, self.pieces) = (Assembly::EMPTY, 0);
    }
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            register: None,
            frame_bytes: None,
            host: Half::new(),
            chip: Half::new(),
            command: None,
            damaged: 0,
            refused: 0,
            lines: Vec::new(),
        }
    }

    /// Takes the next thing and gives the lines that it leads to.
    pub(super) fn take(&mut self, happening: &Happening) -> Vec<Line> {
        match happening {
            Happening::Write(Some(bytes)) => self.write(bytes),
            Happening::Read(Some(bytes)) => self.read(bytes),
            Happening::Write(None) | Happening::Read(None) => {
                self.say(
                    Layer::Physical,
                    Speaker::Chip,
                    "address not acknowledged: busy or asleep",
                    &[],
                );
            }
            Happening::Fault(what) => {
                self.say(
                    Layer::Physical,
                    Speaker::Chip,
                    &format!("the bus failed: {what}"),
                    &[],
                );
            }
            Happening::Frame { from, bytes, lost } => self.frame(*from, bytes, *lost),
            Happening::Apdu { from, bytes } => self.apdu(*from, bytes),
        }
        std::mem::take(&mut self.lines)
    }

    fn say(&mut self, layer: Layer, from: Speaker, text: &str, bytes: &[u8]) {
        self.lines.push(Line {
            layer,
            from,
            text: text.to_owned(),
            bytes: bytes.to_vec(),
        });
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some((&register, rest)) = bytes.split_first() else {
            return self.say(Layer::Physical, Speaker::Host, "address probed", bytes);
        };
        self.register = Some(register);
        let name = register_name(register);
        if rest.is_empty() {
            return self.say(Layer::Physical, Speaker::Host, &format!("select {name}"), bytes);
        }
        let meaning = match (register, rest) {
            (register::DATA, _) => format!("write {name}: a frame of {} bytes", rest.len()),
            (register::DATA_REG_LEN, &[high, low]) => {
                format!(
                    "write {name}: frames of at most {} bytes",
                    u16::from_be_bytes([high, low])
                )
            }
            (register::SOFT_RESET, _) => {
                self.forget();
                format!("write {name}: the chip resets")
            }
            (register::BASE_ADDR, &[high, low]) => {
                let kept = if high & 0x80 != 0 {
                    "for good"
                } else {
                    "until the next reset"
                };
                format!("write {name}: move to address {:#04x} {kept}", low & 0x7F)
            }
            (register::I2C_MODE, &[_, mode]) => format!("write {name}: mode {}", mode & 7),
            _ => format!("write {name}"),
        };
        self.say(Layer::Physical, Speaker::Host, &meaning, bytes);
        if register == register::DATA {
            self.frame(Speaker::Host, rest, false);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let Some(register) = self.register else {
            return self.say(
                Layer::Physical,
                Speaker::Chip,
                "read of a register that was selected before",
                bytes,
            );
        };
        let name = register_name(register);
        let text = match (register, bytes) {
            (register::I2C_STATE, &[a, b, c, d]) => {
                format!("{name}: {}", state_words(State::from_bytes([a, b, c, d])))
            }
            (register::DATA_REG_LEN, &[high, low]) => {
                let agreed = usize::from(u16::from_be_bytes([high, low]));
                self.frame_bytes = (FRAME_BYTES_MIN..=FRAME_BYTES_MAX)
                    .contains(&agreed)
                    .then_some(agreed);
                format!("{name}: frames of at most {agreed} bytes")
            }
            (register::MAX_SCL_FREQU, &[_, _, high, low]) => {
                format!("{name}: up to {} kHz", u16::from_be_bytes([high, low]))
            }
            (register::DATA, _) => format!("read {name}: a frame of {} bytes", bytes.len()),
            _ => format!("read {name}"),
        };
        self.say(Layer::Physical, Speaker::Chip, &text, bytes);
        if register == register::DATA {
            self.frame(Speaker::Chip, bytes, false);
        }
    }

    fn frame(&mut self, from: Speaker, bytes: &[u8], lost: bool) {
        let repeated = {
            let half = self.half(from);
            let repeated = half.last == bytes && bytes.len() > 5;
            half.last = bytes.to_vec();
            repeated
        };
        let note = match (lost, repeated) {
            (true, _) => ", lost on its way",
            (false, true) => ", a repeat",
            (false, false) => "",
        };
        let parsed = Frame::parse(bytes);
        let text = match &parsed {
            Ok(Frame::Data {
                number,
                verdict,
                packet,
            }) => format!(
                "data frame {}, {}, packet of {} bytes{note}",
                digit(*number),
                verdict_words(*verdict),
                packet.len()
            ),
            Ok(Frame::Control(verdict)) => format!("control frame, {}{note}", verdict_words(*verdict)),
            Ok(Frame::Resync) => format!("re-synchronisation: both sides forget their numbers{note}"),
            Err(damage) => format!("damaged frame: {}{note}", damage_words(*damage)),
        };
        self.say(Layer::Link, from, &text, bytes);
        match parsed {
            Ok(Frame::Data { packet, verdict, .. }) => {
                self.refused += usize::from(matches!(verdict, Verdict::Nak(_)));
                if !lost && !repeated {
                    self.packet(from, packet);
                }
            }
            Ok(Frame::Control(verdict)) => self.refused += usize::from(matches!(verdict, Verdict::Nak(_))),
            Ok(Frame::Resync) if !lost => self.forget(),
            Ok(Frame::Resync) => {}
            Err(_) => self.damaged += 1,
        }
    }

    const fn half(&mut self, from: Speaker) -> &mut Half {
        match from {
            Speaker::Host => &mut self.host,
            Speaker::Chip => &mut self.chip,
        }
    }

    fn forget(&mut self) {
        for from in [Speaker::Host, Speaker::Chip] {
            self.half(from).forget();
            self.half(from).last.clear();
        }
    }

    fn packet(&mut self, from: Speaker, packet: &[u8]) {
        // Before the length was agreed on, a first packet tells it: it is as long as a frame allows.
        let size = match packet.first() {
            Some(1) => packet.len() - 1,
            _ => chain::piece_bytes(self.frame_bytes.unwrap_or(FRAME_BYTES_MAX)),
        };
        if packet.first() == Some(&1) {
            self.frame_bytes = Some(size + 6);
        }
        let half = self.half(from);
        half.pieces += 1;
        let pieces = half.pieces;
        match half.assembly.push(packet, size, &mut half.whole[..]) {
            Ok(None) => self.say(
                Layer::Transport,
                from,
                &format!("part {pieces} of a chain, {} bytes", packet.len() - 1),
                packet,
            ),
            Ok(Some(bytes)) => {
                let whole = half.whole.get(..bytes).unwrap_or_default().to_vec();
                half.forget();
                if pieces > 1 {
                    let text = format!("chain of {pieces} parts complete, {bytes} bytes");
                    self.say(Layer::Transport, from, &text, packet);
                }
                self.apdu(from, &whole);
            }
            Err(broken) => {
                half.forget();
                let text = match broken {
                    Break::Reported => "reports that it cannot follow the chain",
                    Break::OtherProduct => {
                        "packet with a presentation layer: another product (OPTIGA Trust M), not decoded further"
                    }
                    Break::Order => "packet that does not continue the chain",
                    Break::TooLong => "chain longer than the longest command",
                };
                self.say(Layer::Transport, from, text, packet);
            }
        }
    }

    fn apdu(&mut self, from: Speaker, bytes: &[u8]) {
        let text = match from {
            Speaker::Host => {
                self.command = Some(bytes.to_vec());
                chip_apdu::command(bytes)
            }
            Speaker::Chip => chip_apdu::answer(self.command.take().as_deref(), bytes),
        };
        self.say(Layer::Command, from, &text, bytes);
    }
}

const fn register_name(register: u8) -> &'static str {
    match register {
        register::DATA => "DATA",
        register::DATA_REG_LEN => "DATA_REG_LEN",
        register::I2C_STATE => "I2C_STATE",
        register::BASE_ADDR => "BASE_ADDR",
        register::MAX_SCL_FREQU => "MAX_SCL_FREQU",
        0x85 => "GUARD_TIME",
        0x86 => "TRANS_TIMEOUT",
        0x87 => "PWR_SAVE_TIMEOUT",
        register::SOFT_RESET => "SOFT_RESET",
        register::I2C_MODE => "I2C_MODE",
        0x90..=0x9F => "APP_STATE",
        _ => "a register that is not known",
    }
}

/// The state word in words.
pub(super) fn state_words(state: State) -> String {
    let busy = if state.busy() { "busy" } else { "idle" };
    let waiting = state
        .frame_bytes()
        .map_or_else(String::new, |bytes| format!(", a frame of {bytes} bytes waits"));
    let product = if state.presentation_layer() {
        ", with a presentation layer (OPTIGA Trust M)"
    } else {
        ""
    };
    format!("{busy}{waiting}{product}")
}

fn digit(number: Number) -> u8 {
    (0..4).find(|value| Number::new(*value) == number).unwrap_or(0)
}

fn verdict_words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ack(number) => format!("acknowledges {}", digit(number)),
        Verdict::Nak(number) => format!("asks for {} again", digit(number)),
    }
}

const fn damage_words(damage: Damage) -> &'static str {
    match damage {
        Damage::Length => "its length does not fit",
        Damage::Checksum => "its checksum is wrong",
        Damage::Control => "its control byte is impossible",
    }
}
