//! The blocking shell: one method per thing that one can ask the chip for.
//!
//! It moves the frames of [`crate::link`] over the bus and holds the only two buffers of the driver. Commands are built where
//! the answer will arrive, so nothing is copied twice and nothing is allocated.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::apdu::{self, Answer, Command, Draft};
use crate::bus::Bus;
use crate::config::{Config, Start};
use crate::error::{Error, ErrorCode, Malformed, Misuse};
use crate::frame::Number;
use crate::identity_format;
use crate::limits::{self, APDU_BYTES_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MIN};
use crate::link::{Action, Link, Timing};
use crate::metadata::{Metadata, MetadataChange};
use crate::object::{Curve, KeySlot, KeyUsage, ObjectId, PublicKeyBytes, Uid};
use crate::register::{self, State};
use crate::signature::Signature;

/// What happens to the bytes of an object that are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// They stay.
    Update,
    /// They go: the object is cleared first.
    Replace,
}

/// RID D276000004 and "GenAuthAppl": the chip's only application.
const APPLICATION: &[u8; 16] = b"\xD2\x76\x00\x00\x04GenAuthAppl";

/// A driver for one chip.
#[derive(Debug)]
pub struct Optiga<I2C, D> {
    bus: Bus<I2C, D>,
    config: Config,
    link: Link,
    /// Register address and one frame.
    frame: [u8; 1 + FRAME_BYTES_MAX],
    frame_bytes: usize,
    /// One command, then its answer.
    apdu: [u8; APDU_BYTES_MAX],
}

impl<I2C: I2c, D: DelayNs> Optiga<I2C, D> {
    /// A driver that has not touched the bus yet; [`Self::open`] comes first.
    pub const fn new(i2c: I2C, delay: D, config: Config) -> Self {
        Self {
            bus: Bus::new(i2c, delay, config.address, config.guard_us),
            link: Link::new(timing(&config), FRAME_BYTES_MAX),
            config,
            frame: [0; 1 + FRAME_BYTES_MAX],
            frame_bytes: FRAME_BYTES_MAX,
            apdu: [0; APDU_BYTES_MAX],
        }
    }

    /// Gives the bus and the delay back.
    pub fn release(self) -> (I2C, D) {
        (self.bus.i2c, self.bus.delay)
    }

    /// The sum of all delays so far: what the driver takes for time.
    pub const fn waited_us(&self) -> u64 {
        self.bus.now_us
    }

    /// First contact: brings the link into step, agrees on the frame length and opens the application. May be called again
    /// at any time; session contexts in the chip are lost then.
    pub fn open(&mut self) -> Result<(), Error<I2C::Error>> {
        if self.config.start == Start::SoftReset {
            self.soft_reset()?;
        }
        let frame_bytes = self.negotiate()?;
        self.frame_bytes = usize::from(frame_bytes);
        self.link = match self.config.start {
            Start::Resync => Link::new(timing(&self.config), self.frame_bytes),
            Start::AfterReset | Start::SoftReset => Link::resume(
                timing(&self.config),
                self.frame_bytes,
                Number::FRESH,
                Number::FRESH,
            ),
        };
        let draft = Draft::new(&mut self.apdu, Command::Open, 0)
            .bytes(APPLICATION)
            .finish();
        self.command(Command::Open, None, draft).map(drop)
    }

    fn soft_reset(&mut self) -> Result<(), Error<I2C::Error>> {
        if self.state()?.soft_reset() {
            self.bus.write(&[register::SOFT_RESET, 0, 0])?;
            self.bus.pause(register::STARTUP_US);
        }
        Ok(())
    }

    fn negotiate(&mut self) -> Result<u16, Error<I2C::Error>> {
        let wanted = self.config.frame_bytes_max;
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&usize::from(wanted)) {
            return Err(Misuse::FrameBytes.into());
        }
        let [high, low] = wanted.to_be_bytes();
        self.bus.write(&[register::DATA_REG_LEN, high, low])?;
        let mut offered = [0; 2];
        self.bus.read(register::DATA_REG_LEN, &mut offered)?;
        let offered = u16::from_be_bytes(offered);
        let usable = offered <= wanted && usize::from(offered) >= FRAME_BYTES_MIN;
        if usable {
            Ok(offered)
        } else {
            Err(Error::Negotiation { wanted, offered })
        }
    }

    fn state(&mut self) -> Result<State, Error<I2C::Error>> {
        let mut bytes = [0; 4];
        self.bus.read(register::I2C_STATE, &mut bytes)?;
        Ok(State::from_bytes(bytes))
    }

    /// The coprocessor UID.
    pub fn read_uid(&mut self) -> Result<Uid, Error<I2C::Error>> {
        let mut uid = [0; 27];
        let bytes = self.read_object(ObjectId::UID, 0, &mut uid)?;
        if bytes == uid.len() {
            Ok(Uid(uid))
        } else {
            Err(Malformed::Length.into())
        }
    }

    /// Generates a key inside the chip, where it stays, and gives the public half. **Whatever key the slot held is gone.**
    pub fn generate_key(
        &mut self,
        slot: KeySlot,
        curve: Curve,
        usage: KeyUsage,
    ) -> Result<PublicKeyBytes, Error<I2C::Error>> {
        let draft = Draft::new(&mut self.apdu, Command::GenerateKey, curve.identifier())
            .record(0x01, &slot.object().0.to_be_bytes())
            .record(0x02, &[usage.0])
            .finish();
        let data = self.command(Command::GenerateKey, Some(slot.object()), draft)?;
        let bits = apdu::record(data, 0x02)?;
        PublicKeyBytes::from_bit_string(curve, bits).ok_or_else(|| Malformed::PublicKey.into())
    }

    /// Signs a digest with ECDSA. The chip does not hash; a digest shorter than the curve is padded with zeros on the left.
    pub fn sign_digest(&mut self, slot: KeySlot, digest: &[u8]) -> Result<Signature, Error<I2C::Error>> {
        if !limits::DIGEST_BYTES.contains(&digest.len()) {
            return Err(Misuse::Digest.into());
        }
        let draft = Draft::new(&mut self.apdu, Command::Sign, 0x11)
            .record(0x01, digest)
            .record(0x03, &slot.object().0.to_be_bytes())
            .finish();
        let data = self.command(Command::Sign, Some(slot.object()), draft)?;
        Signature::from_integers(data).ok_or_else(|| Malformed::Signature.into())
    }

    /// Reads from `offset` until `buffer` is full or the object ends, and says how many bytes there were.
    pub fn read_object(
        &mut self,
        object: ObjectId,
        offset: u16,
        buffer: &mut [u8],
    ) -> Result<usize, Error<I2C::Error>> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = offset_plus(offset, filled)?;
            let wanted = room.len().min(limits::ANSWER_DATA_BYTES_MAX);
            let got = match self.read_once(object, at, wanted) {
                Ok(data) => data,
                // Reading at or past the end is how the end is found.
                Err(error) if error.refusal() == Some(ErrorCode::BOUNDARY) => break,
                Err(error) => return Err(error),
            };
            room.get_mut(..got.len())
                .ok_or(Malformed::Length)?
                .copy_from_slice(got);
            filled += got.len();
            if got.len() < wanted {
                break;
            }
        }
        Ok(filled)
    }

    fn read_once(
        &mut self,
        object: ObjectId,
        offset: u16,
        wanted: usize,
    ) -> Result<&[u8], Error<I2C::Error>> {
        let draft = Draft::new(&mut self.apdu, Command::ReadObject, 0)
            .number(object.0)
            .number(offset)
            .number(u16::try_from(wanted).unwrap_or(u16::MAX))
            .finish();
        self.command(Command::ReadObject, Some(object), draft)
    }

    /// Writes `bytes` at `offset`. More than one command's worth is written in several: after a power cut in between the
    /// object holds a part.
    pub fn write_object(
        &mut self,
        object: ObjectId,
        mode: WriteMode,
        offset: u16,
        bytes: &[u8],
    ) -> Result<(), Error<I2C::Error>> {
        self.write_parts(object, mode, offset, &[], bytes)
    }

    /// Writes one certificate in the form that TLS stacks expect in a certificate object (TLS identity, nine bytes of head),
    /// head and certificate in the same command as far as they fit.
    pub fn write_certificate(&mut self, object: ObjectId, der: &[u8]) -> Result<(), Error<I2C::Error>> {
        let head = identity_format::head(der.len()).map_err(|_| Misuse::TooLong)?;
        if der.len() + head.len() > limits::CERTIFICATE_OBJECT_BYTES_MAX {
            return Err(Misuse::TooLong.into());
        }
        self.write_parts(object, WriteMode::Replace, 0, &head, der)
    }

    fn write_parts(
        &mut self,
        object: ObjectId,
        mode: WriteMode,
        offset: u16,
        head: &[u8],
        bytes: &[u8],
    ) -> Result<(), Error<I2C::Error>> {
        if head.is_empty() && bytes.is_empty() {
            return Err(Misuse::Empty.into());
        }
        let first_bytes = bytes.len().min(limits::WRITE_DATA_BYTES_MAX - head.len());
        let (first, rest) = bytes.split_at_checked(first_bytes).unwrap_or((bytes, &[]));
        self.write_once(object, mode, offset, head, first)?;
        let mut written = head.len() + first.len();
        for piece in rest.chunks(limits::WRITE_DATA_BYTES_MAX) {
            self.write_once(
                object,
                WriteMode::Update,
                offset_plus(offset, written)?,
                &[],
                piece,
            )?;
            written += piece.len();
        }
        Ok(())
    }

    fn write_once(
        &mut self,
        object: ObjectId,
        mode: WriteMode,
        offset: u16,
        head: &[u8],
        bytes: &[u8],
    ) -> Result<(), Error<I2C::Error>> {
        let parameter = match mode {
            WriteMode::Update => 0x00,
            WriteMode::Replace => 0x40,
        };
        let draft = Draft::new(&mut self.apdu, Command::WriteObject, parameter)
            .number(object.0)
            .number(offset)
            .bytes(head)
            .bytes(bytes)
            .finish();
        self.command(Command::WriteObject, Some(object), draft).map(drop)
    }

    /// What the chip says about an object; always readable.
    pub fn read_metadata(&mut self, object: ObjectId) -> Result<Metadata, Error<I2C::Error>> {
        let draft = Draft::new(&mut self.apdu, Command::ReadObject, 1)
            .number(object.0)
            .finish();
        let data = self.command(Command::ReadObject, Some(object), draft)?;
        Metadata::parse(data).ok_or_else(|| Malformed::Metadata.into())
    }

    /// Changes what the chip says about an object: all of it or nothing. **Some changes can never be taken back.**
    pub fn write_metadata(
        &mut self,
        object: ObjectId,
        change: &MetadataChange,
    ) -> Result<(), Error<I2C::Error>> {
        let mut container = [0; limits::METADATA_BYTES_MAX];
        let container = change.write(&mut container).ok_or(Misuse::TooLong)?;
        let draft = Draft::new(&mut self.apdu, Command::WriteObject, 1)
            .number(object.0)
            .number(0)
            .bytes(container)
            .finish();
        self.command(Command::WriteObject, Some(object), draft).map(drop)
    }

    /// Fills `buffer` from the chip's true random number generator.
    pub fn random(&mut self, buffer: &mut [u8]) -> Result<(), Error<I2C::Error>> {
        for chunk in buffer.chunks_mut(*limits::RANDOM_BYTES.end()) {
            let wanted = chunk.len().max(*limits::RANDOM_BYTES.start());
            let length = u16::try_from(wanted).unwrap_or(u16::MAX);
            let draft = Draft::new(&mut self.apdu, Command::Random, 0)
                .number(length)
                .finish();
            let data = self.command(Command::Random, None, draft)?;
            chunk.copy_from_slice(data.get(..chunk.len()).ok_or(Malformed::Length)?);
        }
        Ok(())
    }

    /// Lets the chip check a signature over a digest with a public key given here.
    pub fn verify_digest(
        &mut self,
        key: &PublicKeyBytes,
        digest: &[u8],
        signature: &Signature,
    ) -> Result<(), Error<I2C::Error>> {
        let mut der = [0; limits::SIGNATURE_DER_BYTES_MAX];
        let der = signature
            .write_der(&mut der)
            .and_then(|der| der.get(2..))
            .ok_or(Misuse::TooLong)?;
        let mut bits = [0; 100];
        let bits = key.write_bit_string(&mut bits).ok_or(Misuse::TooLong)?;
        let draft = Draft::new(&mut self.apdu, Command::Verify, 0x11)
            .record(0x01, digest)
            .record(0x02, der)
            .record(0x05, &[key.curve().identifier()])
            .record(0x06, bits)
            .finish();
        self.command(Command::Verify, None, draft).map(drop)
    }

    /// Why the last command was refused. Reading clears it; the driver reads it after every refusal by itself.
    pub fn last_error(&mut self) -> Result<ErrorCode, Error<I2C::Error>> {
        let draft = Draft::new(&mut self.apdu, Command::ReadObject, 0)
            .number(ObjectId::LAST_ERROR.0)
            .finish();
        let answer_bytes = self.exchange(draft)?;
        match Answer::parse(self.apdu.get(..answer_bytes).unwrap_or_default())? {
            Answer::Data(&[code]) => Ok(ErrorCode(code)),
            Answer::Data(_) => Err(Malformed::Length.into()),
            Answer::Refused => Ok(ErrorCode::NONE),
        }
    }

    /// Sends a command that this driver has no method for, header and all, and gives the answer as it came. What the chip
    /// refuses is an answer here, not an error.
    pub fn send(&mut self, command: &[u8]) -> Result<&[u8], Error<I2C::Error>> {
        let room = self.apdu.get_mut(..command.len()).ok_or(Misuse::TooLong)?;
        room.copy_from_slice(command);
        let answer_bytes = self.exchange(Some(command.len()))?;
        Ok(self.apdu.get(..answer_bytes).unwrap_or_default())
    }

    /// Sends the command drafted at the front of the buffer and gives the data of its answer.
    fn command(
        &mut self,
        command: Command,
        object: Option<ObjectId>,
        draft: Option<usize>,
    ) -> Result<&[u8], Error<I2C::Error>> {
        let answer_bytes = self.exchange(draft)?;
        let refused = self.answer(answer_bytes)? == Answer::Refused;
        if refused {
            let code = self.last_error()?;
            return Err(Error::Refused {
                command,
                object,
                code,
            });
        }
        match self.answer(answer_bytes)? {
            Answer::Data(data) => Ok(data),
            Answer::Refused => Err(Malformed::Status.into()),
        }
    }

    fn answer(&self, bytes: usize) -> Result<Answer<'_>, Malformed> {
        Answer::parse(self.apdu.get(..bytes).unwrap_or_default())
    }

    /// One command out, one answer in; gives the answer's length.
    fn exchange(&mut self, command_bytes: Option<usize>) -> Result<usize, Error<I2C::Error>> {
        let command_bytes = command_bytes.ok_or(Misuse::TooLong)?;
        self.link.start(command_bytes, self.bus.now_us);
        loop {
            let [register, frame @ ..] = &mut self.frame;
            match self.link.next(&self.apdu, frame, self.bus.now_us) {
                Action::Write(bytes) => {
                    *register = register::DATA;
                    let transfer = self.frame.get(..1 + bytes).unwrap_or_default();
                    self.bus.write(transfer)?;
                }
                Action::Poll { after_us } => {
                    self.bus.pause(after_us);
                    self.poll()?;
                }
                Action::Done(bytes) => return Ok(bytes),
                Action::Failed(error) => return Err(error.into()),
            }
        }
    }

    fn poll(&mut self) -> Result<(), Error<I2C::Error>> {
        let waiting = self
            .state()?
            .frame_bytes()
            .filter(|bytes| *bytes <= self.frame_bytes);
        let Some(frame) = waiting.and_then(|bytes| self.frame.get_mut(..bytes)) else {
            self.link.nothing(self.bus.now_us);
            return Ok(());
        };
        self.bus.read(register::DATA, frame)?;
        self.link.receive(frame, &mut self.apdu);
        Ok(())
    }
}

const fn timing(config: &Config) -> Timing {
    Timing {
        resend_after_us: config.resend_after_us,
        answer_within_us: config.answer_within_us,
    }
}

fn offset_plus(offset: u16, bytes: usize) -> Result<u16, Misuse> {
    u16::try_from(usize::from(offset) + bytes).map_err(|_| Misuse::Offset)
}
