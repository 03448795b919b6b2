//! The command layer: one command in, one response out, and everything in between that the chip remembers.
//!
//! A command is `Cmd Param InLen InData`, a response `Sta UnDef OutLen OutData` (OPTIGA Trust X Datasheet v2.70, chapter 6).
//! All commands of the Trust X are here but the two of its DTLS client (1A, 1B), which are refused with 0A.
//! Whatever a command does to the memory is one commit. It must never leave a secret in a response, except where the command
//! is an export.

mod agree;
mod auth;
mod data;
mod fields;
mod hash;
mod keys;
#[cfg(test)]
mod known;
#[cfg(test)]
mod traces;
mod verify;

use aws_lc_rs::signature::EcdsaKeyPair;

use crate::access;
use crate::code::Code;
use crate::counters::Counters;
use crate::ec::{Curve, StoredKey};
use crate::limits::{APDU_BYTES_MAX, APDU_HEAD_BYTES, RANDOM_BYTES_MAX, RANDOM_BYTES_MIN};
use crate::memory::{Change, Failure, Memory};
use crate::metadata;
use crate::monitor::Monitor;
use crate::objects::{self, Kind, Object, life_cycle, oid};
use crate::personality::{Personality, Profile};
use crate::sha256::Sha256;
use crate::timing;

/// What OpenApplication has to name: the vendor's registered identifier and "GenAuthAppl".
const APPLICATION: [u8; 16] = *b"\xD2\x76\x00\x00\x04GenAuthAppl";

/// Set in a command's code: forget the last error first.
const FORGET_ERROR: u8 = 0x80;

/// What a session context holds.
enum Session {
    Key {
        curve: Curve,
        usage: u8,
        stored: StoredKey,
    },
    Secret(StoredKey),
}

/// Loading a key takes longer than signing with it. A key that was generated is kept for its first signature, which for most
/// chips of a line is the only one; one that had to be loaded is kept until another is used.
struct ReadyKey {
    oid: u16,
    pair: EcdsaKeyPair,
    loaded: bool,
}

/// The chip above its protocol.
pub(crate) struct Applet {
    pub(crate) memory: Memory,
    pub(crate) counters: Counters,
    /// An injected power cut happened: nothing works any more.
    pub(crate) dark: bool,
    personality: Personality,
    monitor: Monitor,
    open: bool,
    last_error: u8,
    global_status: u8,
    application_status: u8,
    sessions: [Option<Box<Session>>; 4],
    hash: Option<Box<Sha256>>,
    scheme: Option<auth::Scheme>,
    /// A key of the memory that is ready to sign.
    ready_key: Option<Box<ReadyKey>>,
}

/// What a command leaves beside its response: how long the chip worked on it.
type Worked = Result<u64, Code>;

impl Applet {
    pub(crate) fn new(personality: Personality, memory: Memory) -> Self {
        Self {
            memory,
            counters: Counters::default(),
            dark: false,
            personality,
            monitor: Monitor::default(),
            open: false,
            last_error: 0,
            global_status: 0,
            application_status: 0,
            sessions: [const { None }; 4],
            hash: None,
            scheme: None,
            ready_key: None,
        }
    }

    pub(crate) fn personality(&self) -> &Personality {
        &self.personality
    }

    /// Power or reset: everything that is not in the memory goes.
    pub(crate) fn reset(&mut self, now_us: u64) {
        self.close();
        self.open = false;
        self.last_error = 0;
        self.global_status = 0;
        self.monitor = Monitor::new(now_us);
    }

    fn close(&mut self) {
        self.sessions = [const { None }; 4];
        self.hash = None;
        self.scheme = None;
        self.ready_key = None;
        self.application_status = 0;
    }

    /// Executes one command, leaves its response in `response` and says how long the chip takes.
    pub(crate) fn execute(&mut self, command: &[u8], response: &mut Vec<u8>, now_us: u64) -> u64 {
        self.counters.commands += 1;
        response.clear();
        response.extend_from_slice(&[0; APDU_HEAD_BYTES]);
        let outcome = self.dispatch(command, response, now_us);
        let outcome = outcome.and_then(|work_us| finish(response).map(|()| work_us));
        outcome.unwrap_or_else(|code| {
            self.last_error = self.last_error.max(code as u8);
            response.clear();
            response.extend_from_slice(&[0xFF, 0, 0, 0]);
            timing::REFUSAL_US
        })
    }

    fn dispatch(&mut self, command: &[u8], out: &mut Vec<u8>, now_us: u64) -> Worked {
        let [code, param, high, low, data @ ..] = command else {
            return Err(Code::InvalidLength);
        };
        if code & FORGET_ERROR != 0 {
            self.last_error = 0;
        }
        if data.len() != usize::from(u16::from_be_bytes([*high, *low])) || command.len() > APDU_BYTES_MAX {
            return Err(Code::InvalidLength);
        }
        let code = code & !FORGET_ERROR;
        if !self.open && !works_closed(code, *param, data) {
            return Err(Code::NotAvailable);
        }
        match code {
            0x01 => self.read_object(*param, data, out, now_us),
            0x02 => self.write_object(*param, data),
            0x0C => random(*param, data, out),
            0x10 => self.set_scheme(*param, data),
            0x18 => self.answer_challenge(*param, data, out, now_us),
            0x19 => self.set_challenge(*param, data),
            0x30 => self.hash(*param, data, out),
            0x31 => self.sign(*param, data, out, now_us),
            0x32 => self.verify(*param, data),
            0x33 => self.agree(*param, data, out, now_us),
            0x34 => self.derive(*param, data, out),
            0x38 => self.generate(*param, data, out),
            0x70 => self.open(*param, data),
            _ => Err(Code::InvalidCommand),
        }
    }

    fn open(&mut self, param: u8, data: &[u8]) -> Worked {
        if param != 0 {
            return Err(Code::InvalidParam);
        }
        if data.len() != APPLICATION.len() {
            return Err(Code::InvalidLength);
        }
        if data != APPLICATION {
            return Err(Code::InvalidField);
        }
        if self.memory.byte(oid::GLOBAL_LIFE_CYCLE) == life_cycle::TERMINATION {
            return Err(Code::NotAvailable);
        }
        self.close();
        self.open = true;
        Ok(timing::OPEN_US)
    }

    /// The object that a command names, with its factory content in it.
    fn object(&mut self, oid: u16) -> Result<&'static Object, Code> {
        let object = objects::find(oid).ok_or(Code::InvalidOid)?;
        if matches!(
            oid,
            oid::FACTORY_CERTIFICATE | oid::FACTORY_KEY | oid::TRUST_ANCHOR
        ) {
            self.manufacture(oid)?;
        }
        Ok(object)
    }

    /// What the factory wrote is made when somebody asks for it: most chips are never asked.
    fn manufacture(&mut self, oid: u16) -> Result<(), Code> {
        let (authority, index) = (&self.personality.authority, self.personality.index);
        let sample = self.personality.settings.profile == Profile::Sample;
        if self.memory.touched(oid) || (oid == oid::TRUST_ANCHOR && !sample) {
            return Ok(());
        }
        let lcs = if sample {
            life_cycle::CREATION
        } else {
            life_cycle::OPERATIONAL
        };
        let internal = |_| Code::Internal;
        if oid == oid::TRUST_ANCHOR {
            let root = authority.root().map_err(internal)?;
            return self.commit(&[write_all(oid, root.der())]);
        }
        let key = authority.chip_key(index).map_err(internal)?;
        let identity = authority.chip_identity(index, &key).map_err(internal)?;
        let mut changes = vec![];
        if !self.memory.touched(oid::FACTORY_CERTIFICATE) {
            changes.push(write_all(oid::FACTORY_CERTIFICATE, &identity));
            changes.push(state(oid::FACTORY_CERTIFICATE, lcs, 0, 0));
        }
        if !self.memory.touched(oid::FACTORY_KEY) {
            changes.push(write_all(oid::FACTORY_KEY, &key));
            changes.push(state(
                oid::FACTORY_KEY,
                lcs,
                Curve::P256.to_wire(),
                keys::AUTHENTICATE | keys::SIGN,
            ));
            if sample {
                // As every other key: open to change until it is operational.
                let conditions = &[0xD0, 3, 0xE1, 0xFC, 0x07, 0xD3, 1, 0x00];
                changes.push(Change::Conditions {
                    oid: oid::FACTORY_KEY,
                    conditions,
                });
            }
        }
        self.commit(&changes)
    }

    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), Code> {
        self.memory.commit(changes).map_err(|failure| {
            self.dark |= matches!(failure, Failure::PowerCut);
            Code::Internal
        })
    }

    /// Whether the condition behind `tag` of this object holds now.
    fn permits(&self, object: &'static Object, tag: u8) -> Result<(), Code> {
        let view = self.memory.view(object);
        let expression = metadata::condition(view.conditions, tag);
        // Silicon does not show an EXE condition for certificates and lets them be used.
        let expression = match (expression, object.kind, tag) {
            (None, Kind::Certificate, metadata::EXECUTE) => Some(&[0][..]),
            (expression, ..) => expression,
        };
        let states = self.memory.states(view.life_cycle);
        if access::allows(expression, states) {
            Ok(())
        } else {
            Err(Code::AccessDenied)
        }
    }

    /// Counts a use of a private key; returns the delay before it.
    fn count_key_use(&mut self, object: &Object, now_us: u64) -> Result<u64, Code> {
        if object.kind != Kind::Key || !self.personality.settings.behaviour.monitors() {
            return Ok(0);
        }
        let before = self.memory.byte(oid::EVENT_COUNTER);
        let (after, delay_us) = self.monitor.count(before, now_us);
        self.keep_counter(before, after)?;
        Ok(delay_us)
    }

    /// Lets quiet time work on the counter before it is read.
    fn settle_counter(&mut self, now_us: u64) -> Result<(), Code> {
        let before = self.memory.byte(oid::EVENT_COUNTER);
        let after = self.monitor.settle(before, now_us);
        self.keep_counter(before, after)
    }

    fn keep_counter(&mut self, before: u8, after: u8) -> Result<(), Code> {
        if before == after {
            return Ok(());
        }
        self.commit(&[write_all(oid::EVENT_COUNTER, &[after])])
    }

    /// The session context behind an identifier.
    fn session(&mut self, oid: u16) -> Option<&mut Option<Box<Session>>> {
        self.sessions
            .get_mut(usize::from(oid.checked_sub(oid::SESSION_FIRST)?))
    }
}

const fn write_all(oid: u16, bytes: &[u8]) -> Change<'_> {
    Change::Bytes {
        oid,
        offset: 0,
        clear: true,
        bytes,
    }
}

const fn state<'a>(oid: u16, life_cycle: u8, algorithm: u8, usage: u8) -> Change<'a> {
    Change::State {
        oid,
        life_cycle,
        algorithm,
        usage,
    }
}

/// OpenApplication, and asking why something failed.
fn works_closed(code: u8, param: u8, data: &[u8]) -> bool {
    code == 0x70 || (code == 0x01 && param == 0 && data.starts_with(&oid::LAST_ERROR.to_be_bytes()))
}

/// Writes the length of what stands behind the response's head.
fn finish(response: &mut [u8]) -> Result<(), Code> {
    if response.len() > APDU_BYTES_MAX {
        return Err(Code::InsufficientMemory);
    }
    let length = (response.len() - APDU_HEAD_BYTES) as u16;
    if let Some([_, _, high, low]) = response.first_chunk_mut() {
        [*high, *low] = length.to_be_bytes();
    }
    Ok(())
}

/// GetRandom: the true generator (00) and the deterministic one (01) are the machine's.
fn random(param: u8, data: &[u8], out: &mut Vec<u8>) -> Worked {
    if param > 1 {
        return Err(Code::InvalidParam);
    }
    let [high, low] = *data else {
        return Err(Code::InvalidLength);
    };
    let count = u16::from_be_bytes([high, low]);
    if !(RANDOM_BYTES_MIN..=RANDOM_BYTES_MAX).contains(&count) {
        return Err(Code::InvalidField);
    }
    let start = out.len();
    out.resize(start + usize::from(count), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    aws_lc_rs::rand::fill(room).map_err(|_| Code::Internal)?;
    Ok(timing::random_us(usize::from(count)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::personality::Settings;

    /// An applet that speaks in hexadecimal.
    pub(crate) struct Bench {
        pub(crate) applet: Applet,
        pub(crate) now_us: u64,
    }

    impl Bench {
        pub(crate) fn closed(settings: Settings) -> Self {
            let personality = Personality::new(1, 0).with_settings(settings);
            Self {
                applet: Applet::new(personality, Memory::new(0, None)),
                now_us: 0,
            }
        }

        pub(crate) fn new() -> Self {
            let mut bench = Self::closed(Settings::default());
            bench.open();
            bench
        }

        pub(crate) fn open(&mut self) {
            self.ok("70 00 0010 D276000004 47656E417574684170706C", "");
        }

        pub(crate) fn command(&mut self, command: &[u8]) -> Vec<u8> {
            let mut response = vec![];
            self.applet.execute(command, &mut response, self.now_us);
            response
        }

        /// Data of a command that succeeds.
        pub(crate) fn data(&mut self, command: &str) -> Vec<u8> {
            let response = self.command(&unhex(command));
            assert_eq!(
                response[..2],
                [0, 0],
                "{command} was refused: {:02X}",
                self.applet.last_error
            );
            assert_eq!(
                usize::from(u16::from_be_bytes([response[2], response[3]])),
                response.len() - 4
            );
            response[4..].to_vec()
        }

        /// A command succeeds with this data.
        pub(crate) fn ok(&mut self, command: &str, data: &str) {
            assert_eq!(hex(&self.data(command)), data.replace(' ', ""), "{command}");
        }

        /// A command is refused with this code.
        pub(crate) fn no(&mut self, command: &str, code: Code) {
            self.applet.last_error = 0;
            assert_eq!(self.command(&unhex(command)), [0xFF, 0, 0, 0], "{command}");
            assert_eq!(self.applet.last_error, code as u8, "{command}");
            self.applet.last_error = 0;
        }
    }

    pub(crate) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn nothing_works_before_the_application_is_open() {
        let mut bench = Bench::closed(Settings::default());
        bench.no("01 00 0006 E0C2 0000 001B", Code::NotAvailable);
        bench.no("0C 00 0002 0010", Code::NotAvailable);
        bench.no("70 01 0010 D276000004 47656E417574684170706C", Code::InvalidParam);
        bench.no("70 00 0010 D276000004 47656E417574684170706D", Code::InvalidField);
        bench.no(
            "70 00 000F D276000004 47656E4175746841707070",
            Code::InvalidLength,
        );
        bench.ok("01 00 0002 F1C2", "00");
        bench.open();
        bench.open();
        bench.ok("01 00 0002 E0C6", "0615");
        bench.applet.reset(0);
        bench.no("01 00 0002 E0C6", Code::NotAvailable);
    }

    #[test]
    fn the_highest_error_stays_until_it_is_read_or_cleared() {
        let mut bench = Bench::new();
        let refused = [0xFF, 0, 0, 0];
        assert_eq!(bench.command(&unhex("0C 00 0002 0001")), refused);
        assert_eq!(bench.command(&unhex("55 00 0000")), refused);
        assert_eq!(bench.command(&unhex("01 00 0002 DEAD")), refused);
        assert_eq!(bench.data("0C 00 0002 0010").len(), 16);
        bench.ok("01 00 0002 F1C2", "0A");
        bench.ok("01 00 0006 F1C2 0000 0001", "00");
        bench.command(&unhex("01 00 0002 DEAD"));
        bench.data("8C 00 0002 0010");
        bench.ok("01 00 0002 F1C2", "00");
        // The bit acts before the command is looked at.
        bench.command(&unhex("01 00 0002 DEAD"));
        assert_eq!(bench.command(&unhex("81 00 0003 F1C2")), refused);
        bench.ok("01 00 0002 F1C2", "04");
    }

    #[test]
    fn a_command_is_exactly_as_long_as_it_says() {
        let mut bench = Bench::new();
        bench.no("", Code::InvalidLength);
        bench.no("01 00 00", Code::InvalidLength);
        bench.no("01 00 0002 E0", Code::InvalidLength);
        bench.no("01 00 0002 E0C6 00", Code::InvalidLength);
        let mut long = unhex("02 40 0612 F1E0 0000");
        long.resize(APDU_BYTES_MAX + 1, 0);
        bench.no(&hex(&long), Code::InvalidLength);
        bench.no("03 00 0000", Code::InvalidCommand);
        bench.no("71 00 0000", Code::InvalidCommand);
        bench.no("1A 01 0002 E100", Code::InvalidCommand);
    }

    #[test]
    fn random_bytes_come_in_allowed_amounts() {
        let mut bench = Bench::new();
        for (command, bytes) in [
            ("0C 00 0002 0008", 8),
            ("0C 01 0002 0100", 256),
            ("8C 00 0002 0010", 16),
        ] {
            assert_eq!(bench.data(command).len(), bytes);
        }
        assert_ne!(bench.data("0C 00 0002 0020"), bench.data("0C 00 0002 0020"));
        bench.no("0C 00 0002 0007", Code::InvalidField);
        bench.no("0C 00 0002 0101", Code::InvalidField);
        bench.no("0C 02 0002 0010", Code::InvalidParam);
        bench.no("0C 00 0003 001000", Code::InvalidLength);
    }

    #[test]
    fn opening_flushes_what_sessions_hold() {
        let mut bench = Bench::new();
        bench.data("38 03 0009 01 0002 E100 02 0001 10");
        bench.data("31 11 0012 01 000A 01020304050607080900 03 0002 E100");
        bench.open();
        bench.no(
            "31 11 0012 01 000A 01020304050607080900 03 0002 E100",
            Code::InvalidOid,
        );
    }

    #[test]
    fn a_terminated_chip_does_not_open_again() {
        let mut bench = Bench::new();
        bench.ok("02 00 0005 E0C0 0000 0F", "");
        bench.applet.reset(0);
        bench.no("70 00 0010 D276000004 47656E417574684170706C", Code::NotAvailable);
    }
}
