//! The chip as the bus sees it: port, data link, transport and command layer put together, with the time and the accidents.
//!
//! A command is executed when its last fragment arrives; what takes time is only when its answer is offered. It must never do
//! anything on its own between two transactions: the state at any moment follows from what came before and from the clock.

use core::fmt;

use i2c_bus::{Line, Nack, Target};

use crate::applet::Applet;
use crate::counters::Counters;
use crate::faults::{Accidents, Dice, Incoming, NackPolicy, Outgoing};
use crate::limits::FRAME_OVERHEAD_BYTES;
use crate::link::{Link, Received};
use crate::memory::{Change, Memory};
use crate::objects::oid;
use crate::personality::{Behaviour, Personality, UID_BYTES};
use crate::port::{Port, Work, Written, fill};
use crate::timing::{self, Timing};
use crate::transport::{Accepted, BROKEN, Transport};

/// One simulated OPTIGA Trust X.
pub struct Chip {
    port: Port,
    link: Link,
    transport: Transport,
    applet: Applet,
    accidents: Option<Box<Accidents>>,
    pending: Option<Pending>,
}

/// A command whose answer is not offered yet.
#[derive(Debug)]
struct Pending {
    ready_us: u64,
    /// When the control frame goes out that the host gets before a late answer.
    acknowledge_us: Option<u64>,
}

impl Chip {
    /// A new chip, under power and out of reset.
    #[must_use]
    pub fn new(personality: Personality) -> Self {
        let memory = Memory::new(personality.index, None);
        Self::with_memory(personality, memory)
    }

    /// A chip with a past.
    pub(crate) fn with_memory(personality: Personality, memory: Memory) -> Self {
        let index = personality.index;
        let faults = personality.settings.behaviour.faults;
        let seed = faults.map_or(0, |faults| faults.seed);
        let mut chip = Self {
            port: Port::new(Dice::new(!seed, index)),
            link: Link::new(),
            transport: Transport::default(),
            applet: Applet::new(personality, memory),
            accidents: faults.map(|faults| Box::new(Accidents::new(faults, index))),
            pending: None,
        };
        chip.reset(0, 0);
        chip
    }

    /// Its coprocessor UID.
    #[must_use]
    pub fn uid(&self) -> [u8; UID_BYTES] {
        self.applet.personality().uid
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.applet.counters
    }

    /// Lets the power go when so many more pages of its memory have been written: the chip is dark until VDD comes back.
    pub fn cut_power_after(&mut self, page_writes: u32) {
        self.applet.memory.cut_after(Some(page_writes));
    }

    /// Whether an injected power cut has happened and VDD has not come back.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.applet.dark
    }

    fn behaviour(&self) -> &Behaviour {
        &self.applet.personality().settings.behaviour
    }

    fn timed(&self) -> bool {
        self.behaviour().timing != Timing::None
    }

    fn reset(&mut self, now_us: u64, startup_us: u64) {
        let memory = &self.applet.memory;
        let (address, mode) = (
            memory.register(oid::KEPT_ADDRESS),
            memory.register(oid::KEPT_MODE),
        );
        self.port.reset(address, mode, now_us + startup_us);
        self.link.reset();
        self.transport.reset();
        self.applet.reset(now_us);
        self.pending = None;
    }

    fn start(&mut self, now_us: u64) {
        let startup_us = if self.timed() { timing::STARTUP_US } else { 0 };
        self.reset(now_us, startup_us);
    }

    fn packet_bytes_max(&self) -> usize {
        usize::from(self.port.frame_bytes - FRAME_OVERHEAD_BYTES)
    }

    /// Whether this access is not acknowledged.
    fn refuses(&mut self, now_us: u64) -> bool {
        if !self.port.answers() || self.accidents.as_mut().is_some_and(|accidents| accidents.nacks()) {
            return true;
        }
        let policy = self.behaviour().nacks;
        if policy == NackPolicy::None && !self.timed() {
            return false;
        }
        let idle = self.pending.is_none() && self.link.offered().is_none();
        let sleeps_after_us = idle.then(|| u64::from(self.applet.memory.byte(oid::SLEEP_DELAY)) * 1_000);
        self.port.refuses(policy, now_us, sleeps_after_us)
    }

    /// A frame from the host, and what happens to it on its way.
    fn arrive(&mut self, frame: &[u8], now_us: u64) -> Work {
        let fate = self
            .accidents
            .as_mut()
            .map_or(Incoming::Arrives, |accidents| accidents.incoming());
        match fate {
            Incoming::Arrives => self.receive(frame, now_us),
            Incoming::IsLost => Work::Little,
            Incoming::ArrivesTwice => {
                let work = self.receive(frame, now_us);
                self.receive(frame, now_us);
                work
            }
            Incoming::IsCorrupted => {
                let mut frame = frame.to_vec();
                if let Some(accidents) = &mut self.accidents {
                    accidents.dice.corrupt(&mut frame);
                }
                self.receive(&frame, now_us)
            }
        }
    }

    fn receive(&mut self, frame: &[u8], now_us: u64) -> Work {
        self.applet.counters.frames_received += 1;
        self.settle(now_us);
        match self.link.receive(frame, self.port.frame_bytes) {
            Received::Nothing => {}
            Received::Acknowledged => self.send_next(),
            Received::Resync => {
                self.transport.reset();
                self.pending = None;
            }
            Received::Packet(packet) => return self.take(packet, now_us),
        }
        Work::Little
    }

    fn take(&mut self, packet: &[u8], now_us: u64) -> Work {
        self.pending = None;
        match self.transport.accept(packet, self.packet_bytes_max()) {
            Accepted::Partial => {
                self.link.acknowledge();
                Work::Fragment
            }
            Accepted::Single(command) => self.execute(command, now_us),
            Accepted::Assembled => {
                let command = self.transport.assembled();
                self.execute(&command, now_us)
            }
            Accepted::Broken => {
                self.transport.forget_response();
                self.link.send(BROKEN, &[]);
                Work::Little
            }
            Accepted::Repeat => {
                self.transport.rewind();
                self.send_next();
                Work::Little
            }
        }
    }

    fn execute(&mut self, command: &[u8], now_us: u64) -> Work {
        let mut response = core::mem::take(&mut self.transport.outgoing);
        let work_us = self.applet.execute(command, &mut response, now_us);
        self.transport.outgoing = response;
        self.transport.rewind();
        if self.applet.dark {
            self.port.powered = false;
        } else if self.timed() {
            let late = work_us > timing::ACKNOWLEDGE_TIMER_US;
            let acknowledge_us = late.then_some(now_us + timing::ACKNOWLEDGE_TIMER_US);
            self.pending = Some(Pending {
                ready_us: now_us + work_us,
                acknowledge_us,
            });
        } else {
            self.send_next();
        }
        Work::Command
    }

    fn send_next(&mut self) {
        let packet_bytes_max = self.packet_bytes_max();
        if let Some((chain, body)) = self.transport.next_packet(packet_bytes_max) {
            self.link.send(chain, body);
        }
    }

    /// What has become due by now.
    fn settle(&mut self, now_us: u64) {
        self.link.tick(now_us);
        let Some(pending) = &mut self.pending else { return };
        if pending.acknowledge_us.is_some_and(|due_us| now_us >= due_us) {
            pending.acknowledge_us = None;
            self.link.acknowledge();
        }
        if now_us >= pending.ready_us {
            self.pending = None;
            self.send_next();
        }
    }

    /// A frame is gone from the DATA register once it was read to its end; what was read in part is offered again.
    fn read_frame(&mut self, buffer: &mut [u8]) {
        let frame = self.link.offered().unwrap_or_default();
        fill(buffer, frame);
        if frame.is_empty() || buffer.len() < frame.len() {
            return;
        }
        let length = frame.len();
        self.applet.counters.frames_sent += 1;
        let fate = self
            .accidents
            .as_mut()
            .map_or(Outgoing::Arrives, |accidents| accidents.outgoing());
        match (fate, &mut self.accidents) {
            (Outgoing::StaysOffered, _) => return,
            (Outgoing::IsLost, _) => buffer.fill(0xFF),
            (Outgoing::IsCorrupted, Some(accidents)) => {
                accidents
                    .dice
                    .corrupt(buffer.get_mut(..length).unwrap_or_default());
            }
            _ => {}
        }
        self.link.taken();
    }

    fn keep_register(&mut self, oid: u16, value: u8) {
        // A register that could not be kept is lost at the next reset, as on a chip whose memory failed.
        drop(self.applet.memory.commit(&[Change::Bytes {
            oid,
            offset: 0,
            clear: true,
            bytes: &[value],
        }]));
    }

    /// Memory that differs from a new chip's.
    pub(crate) fn memory(&self) -> &Memory {
        &self.applet.memory
    }
}

impl Target for Chip {
    fn address(&self) -> Option<u8> {
        self.port.answers().then_some(self.port.address)
    }

    fn acknowledges(&mut self, now_us: u64) -> bool {
        let refuses = self.refuses(now_us);
        self.applet.counters.transactions += u64::from(refuses);
        !refuses
    }

    fn write(&mut self, bytes: &[u8], now_us: u64) -> Result<(), Nack> {
        self.applet.counters.transactions += 1;
        if !self.port.answers() {
            return Err(Nack::Address);
        }
        let work = match self.port.write(bytes) {
            Written::Nothing => Work::Little,
            Written::Frame(frame) => self.arrive(frame, now_us),
            Written::Reset => {
                self.start(now_us);
                Work::Little
            }
            Written::KeepAddress(address) => {
                self.keep_register(oid::KEPT_ADDRESS, address);
                Work::Little
            }
            Written::KeepMode(mode) => {
                self.keep_register(oid::KEPT_MODE, mode);
                Work::Little
            }
        };
        let policy = self.behaviour().nacks;
        self.port.settle(policy, work, now_us);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now_us: u64) -> Result<(), Nack> {
        self.applet.counters.transactions += 1;
        if !self.port.answers() {
            return Err(Nack::Address);
        }
        self.settle(now_us);
        if self.port.at_data() {
            self.read_frame(buffer);
        } else {
            let offered_bytes = self.link.offered().map(<[u8]>::len);
            self.port.read(buffer, self.pending.is_some(), offered_bytes);
        }
        Ok(())
    }

    fn line(&mut self, line: Line, level: bool, now_us: u64) {
        let answered = self.port.answers();
        match line {
            Line::Vdd => self.port.powered = level,
            Line::Rst => self.port.released = level,
        }
        if self.port.answers() && !answered {
            self.applet.dark = false;
            self.start(now_us);
        }
    }
}

impl fmt::Debug for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Chip");
        debug
            .field("personality", self.applet.personality())
            .field("counters", &self.counters());
        debug.finish_non_exhaustive()
    }
}
