//! One command out, one answer in: the data link's rules for numbers, acknowledgements, repeats and re-synchronisation,
//! without any I/O. Frames come in and go out as bytes, time is an argument.
//!
//! How to drive it: [`Link::start`], then do what [`Link::next`] says until it says [`Action::Done`] or [`Action::Failed`].
//! After a [`Action::Poll`] tell what the poll found: [`Link::receive`] with the frame, or [`Link::nothing`].
//!
//! The rules are those of IFX I2C Protocol v1.65, chapter 3, and where it is silent those of Infineon's host library: every
//! data frame is acknowledged by a control frame; a frame is sent again after 10 ms of silence, up to three times; then
//! both sides forget their numbers and the command starts once more, unless it is one that must not be executed twice: then
//! the caller is told that nobody knows whether it was. After a failure the next command begins with a
//! re-synchronisation, so that a late answer can never be taken for the answer to something else.

use crate::chain::{self, Assembly, Break};
use crate::frame::{Frame, Number, Verdict};
use crate::limits;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Silence after which a frame is sent again.
    pub resend_after_us: u64,
    /// When a command is given up.
    pub answer_within_us: u64,
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this many bytes of the frame buffer to the DATA register.
    Write(usize),
    /// Wait, look whether a frame is ready, and report it.
    Poll {
        /// How long to wait before looking. Zero at first: a chip without timing answers at once.
        after_us: u32,
    },
    /// The answer is complete; so many bytes of it.
    Done(usize),
    /// It did not work.
    Failed(LinkError),
}

/// Why a command got no answer, although the bus itself works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// No acknowledgement after all repeats and a re-synchronisation.
    Silent,
    /// No acknowledgement of a command that must not be executed twice: it may have been executed once.
    Uncertain,
    /// The chip refused the frame again and again: the bus damages what we send.
    Refused,
    /// The command arrived but its answer did not come in time.
    Late,
    /// Too many damaged frames in a row: the bus damages what the chip sends.
    Damaged,
    /// The chip sends frames that belong to nothing.
    Strays,
    /// The chip re-synchronised the link while it owed an answer: it was reset.
    Restarted,
    /// The packets of the answer make no chain.
    Chain(Break),
    /// The caller's buffer is too small for a frame.
    Buffer,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A re-synchronisation is on its way. It is never acknowledged; but a chip that still offers a frame has not seen it.
    Resyncing,
    /// A piece of the command is on its way.
    Delivering,
    /// The command has arrived, the answer is outstanding.
    Waiting,
    Answered(usize),
    Failed(LinkError),
}

/// Frames that must be written before anything else, in this order.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    resync: bool,
    control: Option<Verdict>,
    data: bool,
}

/// What is forgotten with each command.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    phase: Phase,
    due: Due,
    command_bytes: usize,
    offset: usize,
    assembly: Assembly,
    quiet_since_us: Option<u64>,
    give_up_us: u64,
    polls: usize,
    resends: u8,
    resyncs: u8,
    refusals: u8,
    replays: u8,
    reports: u8,
    strays: u16,
    stales: u8,
    /// All of a command that must not be executed twice was sent: from here on it may have been executed.
    exposed: bool,
}

/// Waits before the polls after a frame; the last one is repeated.
const POLL_AFTER_US: [u32; 8] = [0, 100, 200, 400, 1_000, 1_000, 2_000, 5_000];

/// One side of the data link: ours.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    timing: Timing,
    piece_bytes: usize,
    sent: Number,
    received: Number,
    in_step: bool,
    exchange: Exchange,
}

impl Link {
    /// A link to a chip whose state is not known: the first command re-synchronises.
    #[must_use]
    pub const fn new(timing: Timing, frame_bytes: usize) -> Self {
        Self {
            in_step: false,
            ..Self::resume(timing, frame_bytes, Number::FRESH, Number::FRESH)
        }
    }

    /// A link that goes on with these numbers: the last data frame sent and received. Both are [`Number::FRESH`] after a
    /// reset of the chip.
    #[must_use]
    pub const fn resume(timing: Timing, frame_bytes: usize, sent: Number, received: Number) -> Self {
        Self {
            timing,
            piece_bytes: chain::piece_bytes(frame_bytes),
            sent,
            received,
            in_step: true,
            exchange: Exchange::new(0, 0),
        }
    }

    /// Begins the exchange of a command of `command_bytes`.
    pub const fn start(&mut self, command_bytes: usize, now_us: u64) {
        self.exchange = Exchange::new(command_bytes, now_us.saturating_add(self.timing.answer_within_us));
        if core::mem::replace(&mut self.in_step, false) {
            self.send_piece(0);
        } else {
            self.resync();
        }
    }

    /// What to do now. `apdu` begins with the command; a frame to write is put into `out`.
    pub fn next(&mut self, apdu: &[u8], out: &mut [u8], now_us: u64) -> Action {
        let exchange = &mut self.exchange;
        let written = if core::mem::take(&mut exchange.due.resync) {
            Frame::Resync.write(out)
        } else if let Some(verdict) = exchange.due.control.take() {
            Frame::Control(verdict).write(out)
        } else if core::mem::take(&mut exchange.due.data) {
            let command = apdu.get(..exchange.command_bytes).unwrap_or(apdu);
            exchange.exposed |= exchange.is_whole(self.piece_bytes) && !runs_twice_alike(command);
            let (mark, piece) = match exchange.reports {
                0 => chain::piece(command, exchange.offset, self.piece_bytes),
                _ => (chain::ERROR, &[][..]),
            };
            Frame::write_data(self.sent, self.received, mark, piece, out)
        } else {
            return self.wait(now_us);
        };
        written.map_or(Action::Failed(LinkError::Buffer), Action::Write)
    }

    fn wait(&mut self, now_us: u64) -> Action {
        let exchange = &mut self.exchange;
        match exchange.phase {
            Phase::Answered(bytes) => {
                self.in_step = true;
                Action::Done(bytes)
            }
            Phase::Failed(error) => Action::Failed(error),
            Phase::Resyncing => Action::Poll { after_us: 0 },
            Phase::Delivering | Phase::Waiting => {
                let quiet_since = *exchange.quiet_since_us.get_or_insert(now_us);
                let pause = POLL_AFTER_US
                    .get(exchange.polls)
                    .or(POLL_AFTER_US.last())
                    .copied()
                    .unwrap_or(0);
                exchange.polls += 1;
                let resend_us = quiet_since.saturating_add(self.timing.resend_after_us);
                let left = u32::try_from(resend_us.saturating_sub(now_us)).unwrap_or(u32::MAX);
                let delivering = matches!(exchange.phase, Phase::Delivering);
                Action::Poll {
                    after_us: if delivering { pause.min(left) } else { pause },
                }
            }
        }
    }

    /// The poll found nothing.
    pub fn nothing(&mut self, now_us: u64) {
        let exchange = &mut self.exchange;
        let quiet_us = now_us.saturating_sub(exchange.quiet_since_us.unwrap_or(now_us));
        let quiet = quiet_us >= self.timing.resend_after_us;
        match exchange.phase {
            Phase::Resyncing => self.send_piece(0),
            _ if now_us >= exchange.give_up_us => exchange.phase = Phase::Failed(LinkError::Late),
            Phase::Delivering if quiet => self.undelivered(LinkError::Silent),
            // The chip holds its next fragment until it has our acknowledgement, which may have been damaged.
            Phase::Waiting
                if quiet && exchange.assembly.is_open() && exchange.resends < limits::RESENDS_MAX =>
            {
                exchange.resends += 1;
                exchange.rest();
                exchange.due.control = Some(Verdict::Ack(self.received));
            }
            _ => {}
        }
    }

    /// The poll found the chip at work and no frame. When all of our command was sent, it has arrived: its acknowledgement was
    /// lost, and the answer will come.
    pub fn busy(&mut self) {
        let exchange = &self.exchange;
        let delivering = matches!(exchange.phase, Phase::Delivering) && exchange.command_is_there();
        if delivering && exchange.is_whole(self.piece_bytes) {
            self.delivered();
        }
    }

    /// The poll found a frame. The answer grows at the front of `apdu`, where the command was.
    pub fn receive(&mut self, frame: &[u8], apdu: &mut [u8]) {
        if matches!(self.exchange.phase, Phase::Resyncing) {
            return self.still_offered();
        }
        match Frame::parse(frame) {
            Ok(Frame::Data {
                number,
                verdict,
                packet,
            }) => self.data(number, verdict, packet, apdu),
            Ok(Frame::Control(verdict)) => self.control(verdict),
            Ok(Frame::Resync) => self.restarted(),
            // Damaged control frames are not answered; whoever misses one repeats.
            Err(_) if frame.len() <= crate::frame::OVERHEAD_BYTES => self.exchange.stray(),
            Err(_) => self.damaged(),
        }
    }

    fn control(&mut self, verdict: Verdict) {
        let delivering = matches!(self.exchange.phase, Phase::Delivering);
        match verdict {
            Verdict::Ack(number) if delivering && number == self.sent => self.delivered(),
            Verdict::Nak(number) if delivering && number == self.sent => self.undelivered(LinkError::Refused),
            _ => self.exchange.stray(),
        }
    }

    fn data(&mut self, number: Number, verdict: Verdict, packet: &[u8], apdu: &mut [u8]) {
        let delivering = matches!(self.exchange.phase, Phase::Delivering);
        if delivering && verdict == Verdict::Nak(self.sent) {
            return self.undelivered(LinkError::Refused);
        }
        if number != self.received.next() {
            return self.not_next(number);
        }
        self.received = number;
        self.exchange.due.control = Some(Verdict::Ack(number));
        let whole = self.exchange.is_whole(self.piece_bytes);
        let answers_us = verdict == Verdict::Ack(self.sent);
        if answers_us && (!delivering || whole || packet == [chain::ERROR]) {
            self.exchange.phase = Phase::Waiting;
            self.accept(packet, apdu);
        } else {
            self.exchange.stray();
        }
    }

    /// A repeat is acknowledged once more and not taken twice. With any other number the two sides count differently: a
    /// re-synchronisation of ours was lost.
    fn not_next(&mut self, number: Number) {
        if self.exchange.command_is_there()
            && number != self.received
            && self.exchange.resyncs < limits::RESYNCS_MAX
        {
            return self.begin_again(LinkError::Strays);
        }
        self.exchange.due.control = Some(Verdict::Ack(self.received));
        self.exchange.stray();
    }

    /// The frame is from before; taking it for an answer would be a mistake that nothing could find.
    const fn still_offered(&mut self) {
        self.exchange.stales += 1;
        if self.exchange.stales <= limits::STALES_MAX {
            self.resync();
        } else {
            self.exchange.phase = Phase::Failed(LinkError::Strays);
        }
    }

    fn accept(&mut self, packet: &[u8], apdu: &mut [u8]) {
        let exchange = &mut self.exchange;
        exchange.rest();
        (exchange.refusals, exchange.resends) = (0, 0);
        match exchange.assembly.push(packet, self.piece_bytes, apdu) {
            Ok(None) => {}
            Ok(Some(bytes)) => exchange.phase = Phase::Answered(bytes),
            Err(Break::Reported)
                if exchange.replays < limits::REPLAYS_MAX && !exchange.assembly.is_open() =>
            {
                exchange.replays += 1;
                self.send_piece(0);
            }
            Err(Break::Order) if exchange.reports < limits::REPORTS_MAX => self.report(),
            Err(error) => exchange.phase = Phase::Failed(LinkError::Chain(error)),
        }
    }

    /// Tells the chip that its packets make no chain: it sends the whole answer once more.
    const fn report(&mut self) {
        self.exchange.reports += 1;
        self.exchange.assembly = Assembly::EMPTY;
        self.send_piece(0);
    }

    fn delivered(&mut self) {
        if !self.exchange.is_whole(self.piece_bytes) {
            self.send_piece(self.exchange.offset + self.piece_bytes);
        } else {
            self.exchange.phase = Phase::Waiting;
            self.exchange.resends = 0;
            self.exchange.rest();
        }
    }

    fn undelivered(&mut self, why: LinkError) {
        let exchange = &mut self.exchange;
        if exchange.resends < limits::RESENDS_MAX {
            exchange.resends += 1;
            exchange.due.data = true;
            exchange.rest();
        } else {
            self.begin_again(why);
        }
    }

    /// Re-synchronises and sends the whole command once more, if that can not execute it twice.
    fn begin_again(&mut self, why: LinkError) {
        let exchange = &mut self.exchange;
        if exchange.exposed {
            exchange.phase = Phase::Failed(LinkError::Uncertain);
        } else if exchange.resyncs < limits::RESYNCS_MAX && exchange.command_is_there() {
            exchange.resyncs += 1;
            self.resync();
        } else {
            exchange.phase = Phase::Failed(why);
        }
    }

    const fn damaged(&mut self) {
        self.exchange.refusals += 1;
        self.exchange.rest();
        if self.exchange.refusals > limits::REFUSALS_MAX {
            self.exchange.phase = Phase::Failed(LinkError::Damaged);
        } else {
            self.exchange.due.control = Some(Verdict::Nak(self.received.next()));
        }
    }

    fn restarted(&mut self) {
        (self.sent, self.received) = (Number::FRESH, Number::FRESH);
        self.exchange.resyncs += 1;
        let delivering = matches!(self.exchange.phase, Phase::Delivering)
            && self.exchange.command_is_there()
            && !self.exchange.exposed;
        if delivering && self.exchange.resyncs <= limits::RESYNCS_MAX {
            self.send_piece(0);
        } else {
            self.exchange.phase = Phase::Failed(LinkError::Restarted);
        }
    }

    const fn resync(&mut self) {
        self.sent = Number::FRESH;
        self.received = Number::FRESH;
        self.exchange.phase = Phase::Resyncing;
        self.exchange.assembly = Assembly::EMPTY;
        self.exchange.due = Due {
            resync: true,
            control: None,
            data: false,
        };
    }

    const fn send_piece(&mut self, offset: usize) {
        self.sent = self.sent.next();
        self.exchange.phase = Phase::Delivering;
        self.exchange.offset = offset;
        self.exchange.resends = 0;
        self.exchange.due.data = true;
        self.exchange.rest();
    }
}

impl Exchange {
    const fn new(command_bytes: usize, give_up_us: u64) -> Self {
        Self {
            phase: Phase::Answered(0),
            due: Due {
                resync: false,
                control: None,
                data: false,
            },
            command_bytes,
            offset: 0,
            assembly: Assembly::EMPTY,
            quiet_since_us: None,
            give_up_us,
            polls: 0,
            resends: 0,
            resyncs: 0,
            refusals: 0,
            replays: 0,
            reports: 0,
            strays: 0,
            stales: 0,
            exposed: false,
        }
    }

    /// True while the command has not been overwritten by its answer and can be sent once more.
    fn command_is_there(&self) -> bool {
        self.reports == 0 && self.assembly == Assembly::EMPTY
    }

    /// True when the piece that is on its way is the last one.
    const fn is_whole(&self, piece_bytes: usize) -> bool {
        self.reports > 0 || self.offset + piece_bytes >= self.command_bytes
    }

    /// Silence is counted anew, and the next poll comes at once.
    const fn rest(&mut self) {
        self.quiet_since_us = None;
        self.polls = 0;
    }

    const fn stray(&mut self) {
        self.strays += 1;
        if self.strays > limits::STRAYS_MAX {
            self.phase = Phase::Failed(LinkError::Strays);
        }
    }
}

/// Whether a command may be executed once more when nobody knows whether it was: opening, reading (but not the last error,
/// which reading clears), random bytes, verifying.
const fn runs_twice_alike(command: &[u8]) -> bool {
    match command {
        [code, _, _, _, 0xF1, 0xC2, ..] if *code & 0x7F == 0x01 => false,
        [code, ..] => matches!(*code & 0x7F, 0x01 | 0x0C | 0x32 | 0x70),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TIMING: Timing = Timing {
        resend_after_us: 10_000,
        answer_within_us: 6_000_000,
    };
    const COMMAND: [u8; 6] = [1, 0, 0, 2, 0xE0, 0xC2];

    /// A link in the middle of a command, with what it wants to write next.
    struct Bench {
        link: Link,
        apdu: [u8; 64],
        now_us: u64,
    }

    impl Bench {
        fn new(link: Link) -> Self {
            let mut bench = Self {
                link,
                apdu: [0; 64],
                now_us: 0,
            };
            bench.apdu[..6].copy_from_slice(&COMMAND);
            bench.link.start(6, 0);
            bench
        }

        /// All frames until the link wants to hear something, or has ended.
        fn writes(&mut self) -> (Vec<Vec<u8>>, Action) {
            let mut frames = Vec::new();
            loop {
                let mut out = [0; 32];
                match self.link.next(&self.apdu, &mut out, self.now_us) {
                    Action::Write(bytes) => frames.push(out[..bytes].to_vec()),
                    Action::Poll { after_us } => {
                        self.now_us += u64::from(after_us);
                        return (frames, Action::Poll { after_us });
                    }
                    end => return (frames, end),
                }
            }
        }

        fn hears(&mut self, frame: Frame<'_>) -> (Vec<Vec<u8>>, Action) {
            let mut bytes = [0; 32];
            let length = frame.write(&mut bytes).unwrap();
            self.link.receive(&bytes[..length], &mut self.apdu);
            self.writes()
        }

        fn hears_nothing(&mut self) -> (Vec<Vec<u8>>, Action) {
            self.link.nothing(self.now_us);
            self.writes()
        }
    }

    fn fresh() -> Bench {
        Bench::new(Link::resume(TIMING, 25, Number::FRESH, Number::FRESH))
    }

    fn data(number: u8, acknowledged: u8, packet: &[u8]) -> Frame<'_> {
        Frame::Data {
            number: Number::new(number),
            verdict: Verdict::Ack(Number::new(acknowledged)),
            packet,
        }
    }

    const RESYNC: [u8; 5] = [0xC0, 0, 0, 0x0A, 0x9A];

    #[test]
    fn a_resync_is_repeated_while_the_chip_still_offers_old_frames() {
        let mut bench = Bench::new(Link::new(TIMING, 25));
        assert_eq!(bench.writes().0, [RESYNC]);
        // An old answer would fit the command that comes now: it must not be taken for it.
        let (frames, _) = bench.hears(data(0, 0, &[0, 0, 0, 0, 0]));
        assert_eq!(frames, [RESYNC]);
        let (frames, _) = bench.hears_nothing();
        assert_eq!(frames[0][..4], [0x03, 0, 7, 0]);
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn a_chip_that_never_forgets_is_given_up() {
        let mut bench = Bench::new(Link::new(TIMING, 25));
        bench.writes();
        for _ in 0..4 {
            assert_eq!(bench.hears(data(0, 0, &[0])).0, [RESYNC]);
        }
        assert_eq!(
            bench.hears(data(0, 0, &[0])),
            (Vec::new(), Action::Failed(LinkError::Strays))
        );
    }

    #[test]
    fn different_counts_lead_to_a_resync_as_long_as_the_command_is_there() {
        let mut bench = fresh();
        bench.writes();
        bench.hears(Frame::Control(Verdict::Ack(Number::new(0))));
        assert_eq!(bench.hears(data(2, 0, &[0, 0, 0, 0, 0])).0, [RESYNC]);
        assert_eq!(bench.hears_nothing().0[0][4..10], COMMAND);

        // In the middle of an answer there is nothing left to send again.
        let mut bench = fresh();
        bench.writes();
        let first = [&[1][..], &[0xAA; 19]].concat();
        assert_eq!(bench.hears(data(0, 0, &first)).0[0][0], 0x80);
        let (frames, _) = bench.hears(data(2, 0, &[4, 0xAA]));
        assert_eq!(frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [0x80]);
    }

    #[test]
    fn an_acknowledgement_that_was_lost_is_repeated_between_fragments() {
        let mut bench = fresh();
        bench.writes();
        let first = [&[1][..], &[0xAA; 19]].concat();
        bench.hears(data(0, 0, &first));
        let before_us = bench.now_us;
        let mut frames = Vec::new();
        while frames.is_empty() {
            frames = bench.hears_nothing().0;
        }
        assert_eq!(frames[0][0], 0x80);
        assert!((10_000..15_001).contains(&(bench.now_us - before_us)));
    }

    #[test]
    fn a_broken_chain_is_reported_once_and_then_sent_again() {
        let mut bench = fresh();
        bench.writes();
        let first = [&[1][..], &[0xAA; 19]].concat();
        bench.hears(data(0, 0, &first));
        // A second "first" where a continuation belongs: acknowledged, and answered with the packet 07.
        let (frames, _) = bench.hears(data(1, 0, &first));
        assert_eq!(frames[0][0], 0x81);
        assert_eq!(frames[1][..4], [0x05, 0, 1, 7]);
        // The whole chain comes again.
        assert_eq!(bench.hears(data(2, 1, &first)).0[0][0], 0x82);
        let (frames, end) = bench.hears(data(3, 1, &[4, 0xBB]));
        assert_eq!((frames[0][0], end), (0x83, Action::Done(20)));
        assert_eq!((bench.apdu[18], bench.apdu[19]), (0xAA, 0xBB));
    }

    #[test]
    fn a_chain_that_stays_broken_ends_the_command() {
        let mut bench = fresh();
        bench.writes();
        bench.hears(data(0, 0, &[2, 1, 2]));
        let (_, end) = bench.hears(data(1, 1, &[2, 1, 2]));
        assert_eq!(end, Action::Failed(LinkError::Chain(Break::Order)));
    }

    #[test]
    fn a_report_that_nobody_hears_never_becomes_the_command_again() {
        let mut bench = fresh();
        bench.writes();
        bench.hears(data(0, 0, &[2, 1, 2]));
        let mut frames = Vec::new();
        let end = loop {
            let (more, action) = bench.hears_nothing();
            frames.extend(more);
            if !matches!(action, Action::Poll { .. }) {
                break action;
            }
        };
        assert_eq!(end, Action::Failed(LinkError::Silent));
        assert!(
            frames.iter().all(|frame| frame[..4] == [0x04, 0, 1, 7]),
            "{frames:02X?}"
        );
        assert_eq!(frames.len(), 3);
    }

    #[test]
    fn an_answer_to_something_else_is_acknowledged_and_dropped() {
        let mut bench = fresh();
        bench.writes();
        // It acknowledges frame 3, not our frame 0.
        let (frames, action) = bench.hears(data(0, 3, &[0, 0, 0, 0, 0]));
        assert_eq!(frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [0x80]);
        assert!(matches!(action, Action::Poll { .. }));
    }

    /// What is left of a command after all repeats went unanswered.
    fn unanswered(command: [u8; 6], busy: bool) -> Vec<Vec<u8>> {
        let mut bench = fresh();
        bench.apdu[..6].copy_from_slice(&command);
        let mut sent = bench.writes().0;
        for _ in 0..200 {
            if busy {
                bench.link.busy();
            }
            let (frames, action) = bench.hears_nothing();
            sent.extend(frames);
            if matches!(action, Action::Failed(_)) {
                break;
            }
        }
        sent
    }

    #[test]
    fn a_command_that_must_not_run_twice_is_not_begun_again() {
        const GENERATE: [u8; 6] = [0x38, 3, 0, 2, 7, 0];
        const LAST_ERROR: [u8; 6] = [1, 0, 0, 2, 0xF1, 0xC2];
        let mut bench = fresh();
        bench.apdu[..6].copy_from_slice(&GENERATE);
        bench.writes();
        let end = core::iter::repeat_with(|| bench.hears_nothing().1)
            .find(|action| matches!(action, Action::Failed(_)));
        assert_eq!(end, Some(Action::Failed(LinkError::Uncertain)));
        for (command, begins_again) in [(COMMAND, true), (GENERATE, false), (LAST_ERROR, false)] {
            let sent = unanswered(command, false);
            assert_eq!(sent.contains(&RESYNC.to_vec()), begins_again, "{command:02X?}");
            assert!(sent[1..4].iter().all(|frame| *frame == sent[0]), "{command:02X?}");
        }
    }

    #[test]
    fn a_chip_at_work_has_the_command() {
        // Not even a repeat is sent.
        assert_eq!(unanswered(COMMAND, true).len(), 1);
        let mut bench = fresh();
        bench.writes();
        bench.link.busy();
        bench.hears_nothing();
        let (_, action) = bench.hears(data(0, 0, &[0, 0, 0, 0, 0]));
        assert_eq!(action, Action::Done(4));
    }
}
