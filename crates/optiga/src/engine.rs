//! What both shells share: the two buffers of the driver, the link, and the rules of patience. No I/O happens here.
//!
//! Commands are built where the answer will arrive, so nothing is copied twice and nothing is allocated.

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use zeroize::Zeroize;

use crate::apdu::Answer;
use crate::config::{Config, Start};
use crate::error::{Malformed, Misuse};
use crate::frame::Number;
use crate::limits::{self, APDU_BYTES_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MIN};
use crate::link::{Action, Link, LinkError, Timing};
use crate::register::{self, State};
use crate::request::Request;

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) address: u8,
    /// Sum of all the delays we asked for: the only time this driver knows.
    pub(crate) now_us: u64,
    link: Link,
    /// Register address and one frame.
    frame: [u8; 1 + FRAME_BYTES_MAX],
    frame_bytes: usize,
    /// Bytes at the front of `frame` that are to be written.
    transfer_bytes: usize,
    /// One command, then its answer.
    apdu: [u8; APDU_BYTES_MAX],
}

/// What a shell does next.
pub(crate) enum Step {
    /// Write [`Engine::transfer`].
    Write,
    /// Wait, read the state, and a frame if there is one.
    Poll { after_us: u32 },
    /// The answer has so many bytes.
    Done(usize),
    /// There is none.
    Failed(LinkError),
}

impl Engine {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            address: config.address,
            now_us: 0,
            link: Link::new(timing(&config), FRAME_BYTES_MAX),
            frame: [0; 1 + FRAME_BYTES_MAX],
            frame_bytes: FRAME_BYTES_MAX,
            transfer_bytes: 0,
            apdu: [0; APDU_BYTES_MAX],
        }
    }

    /// The frame length to ask for.
    pub(crate) fn wanted_frame_bytes(&self) -> Result<u16, Misuse> {
        let wanted = self.config.frame_bytes_max;
        let allowed = FRAME_BYTES_MIN..=FRAME_BYTES_MAX;
        let fits = allowed.contains(&usize::from(wanted));
        fits.then_some(wanted).ok_or(Misuse::FrameBytes)
    }

    /// Takes the frame length that the chip made of it; false if it must not.
    pub(crate) fn begin_link(&mut self, offered: u16, start: Start) -> bool {
        let frame_bytes = usize::from(offered);
        if offered > self.config.frame_bytes_max || frame_bytes < FRAME_BYTES_MIN {
            return false;
        }
        self.frame_bytes = frame_bytes;
        let timing = timing(&self.config);
        self.link = match start {
            Start::Resync => Link::new(timing, frame_bytes),
            Start::AfterReset | Start::SoftReset => {
                Link::resume(timing, frame_bytes, Number::FRESH, Number::FRESH)
            }
        };
        true
    }

    /// The chip was told to reset: its numbers, its frame length and a volatile address are gone.
    pub(crate) const fn begin_anew(&mut self) {
        self.address = self.config.address;
        self.frame_bytes = FRAME_BYTES_MAX;
        // Re-synchronise all the same: should the chip not have listened, both sides still agree.
        self.link = Link::new(timing(&self.config), FRAME_BYTES_MAX);
    }

    /// Time has passed.
    pub(crate) const fn waited(&mut self, us: u32) {
        self.now_us = self.now_us.saturating_add(us as u64);
    }

    pub(crate) fn start<R: Request>(&mut self, request: &R) -> Result<(), Misuse> {
        let bytes = request.draft(&mut self.apdu)?;
        self.link.start(bytes, self.now_us);
        Ok(())
    }

    pub(crate) fn start_raw(&mut self, command: &[u8]) -> Result<(), Misuse> {
        let room = self.apdu.get_mut(..command.len()).ok_or(Misuse::TooLong)?;
        room.copy_from_slice(command);
        self.link.start(command.len(), self.now_us);
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Step {
        let [register, frame @ ..] = &mut self.frame;
        match self.link.next(&self.apdu, frame, self.now_us) {
            Action::Write(bytes) => {
                *register = register::DATA;
                self.transfer_bytes = 1 + bytes;
                Step::Write
            }
            Action::Poll { after_us } => Step::Poll { after_us },
            Action::Done(bytes) => Step::Done(bytes),
            Action::Failed(error) => Step::Failed(error),
        }
    }

    /// Register and frame, as the last step wants them written.
    pub(crate) fn transfer(&self) -> &[u8] {
        self.frame.get(..self.transfer_bytes).unwrap_or_default()
    }

    /// Room for the frame that waits according to the state, if a frame that we can take does.
    pub(crate) fn waiting(&mut self, state: State) -> Option<&mut [u8]> {
        if state.busy() && state.frame_bytes().is_none() {
            self.link.busy();
        }
        let bytes = state.frame_bytes().filter(|bytes| *bytes <= self.frame_bytes)?;
        self.frame.get_mut(..bytes)
    }

    pub(crate) fn nothing(&mut self) {
        self.link.nothing(self.now_us);
    }

    /// The frame is in the room that [`Self::waiting`] gave.
    pub(crate) fn received(&mut self, bytes: usize) {
        let frame = self.frame.get(..bytes).unwrap_or_default();
        self.link.receive(frame, &mut self.apdu);
    }

    pub(crate) fn bytes(&self, bytes: usize) -> &[u8] {
        self.apdu.get(..bytes).unwrap_or_default()
    }

    pub(crate) fn answer(&self, bytes: usize) -> Result<Answer<'_>, Malformed> {
        Answer::parse(self.bytes(bytes))
    }

    /// Wipes the last command, its answer and the last frame.
    pub(crate) fn forget(&mut self) {
        self.apdu.zeroize();
        self.frame.zeroize();
    }
}

const fn timing(config: &Config) -> Timing {
    Timing {
        resend_after_us: config.resend_after_us,
        answer_within_us: config.answer_within_us,
    }
}

/// How often one transaction has failed, and whether it is tried again.
///
/// The chip leaves its own address unacknowledged while it is busy or asleep; that is no error until it has lasted far
/// longer than the chip may.
#[derive(Default)]
pub(crate) struct Patience {
    silent: u32,
    failed: u32,
}

pub(crate) enum Verdict {
    Again,
    Absent,
    Broken,
}

impl Patience {
    pub(crate) const fn judge(&mut self, kind: ErrorKind) -> Verdict {
        if asleep(kind) {
            self.silent += 1;
        } else {
            self.failed += 1;
        }
        if self.silent >= limits::ADDRESS_ATTEMPTS_MAX {
            Verdict::Absent
        } else if self.failed > limits::BUS_REPEATS_MAX {
            Verdict::Broken
        } else {
            Verdict::Again
        }
    }
}

/// Some buses can not say which byte was not acknowledged; the chip never does that to a data byte.
const fn asleep(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown)
    )
}

/// `offset + bytes`, as far as an object can reach.
pub(crate) fn offset_plus(offset: u16, bytes: usize) -> Result<u16, Misuse> {
    u16::try_from(usize::from(offset) + bytes).map_err(|_| Misuse::Offset)
}
