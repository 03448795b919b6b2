//! A bus inside this process: targets by address, one clock, and a count of what happened.
//!
//! A chip that has a bus of its own never waits for another chip: all that is shared is behind the bus's own lock. The time
//! that targets see is the machine's, or a virtual one that moves with the bytes on the wires and with the delays of the
//! driver, so that seconds of chip time cost nothing.
//!
//! It must never let two targets answer at once: that is a bus fault, as on wires.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use crate::limits::{ADDRESS_MAX, CLOCK_HERTZ_DEFAULT, CLOCK_HERTZ_MAX, CLOCK_HERTZ_MIN, TARGETS_MAX};
use crate::operations::{self, Transact};
use crate::{Error, Line, Target};

/// Bits per byte on the wires: eight and the acknowledge.
const BITS_PER_BYTE: u64 = 9;

/// Takes a lock whose data stay right even if a thread panicked: each transaction is whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One pair of wires with its targets. Clones are the same bus.
#[derive(Clone)]
pub struct LocalBus {
    wires: Arc<Mutex<Wires>>,
}

struct Wires {
    slots: Vec<Slot>,
    clock: Clock,
    nanoseconds_per_bit: u64,
    transactions: u64,
}

struct Slot {
    /// What LINE requests call it, whatever address it has taken since.
    line_address: u8,
    target: Box<dyn Target + Send>,
}

enum Clock {
    Virtual { now_ns: u64 },
    Wall { since: Instant },
}

impl LocalBus {
    /// A bus whose time moves only with bytes, delays and TIME requests.
    #[must_use]
    pub fn virtual_time() -> Self {
        Self::new(Clock::Virtual { now_ns: 0 })
    }

    /// A bus whose time is the machine's.
    #[must_use]
    pub fn wall_time() -> Self {
        Self::new(Clock::Wall {
            since: Instant::now(),
        })
    }

    fn new(clock: Clock) -> Self {
        let wires = Wires {
            slots: Vec::with_capacity(1),
            clock,
            nanoseconds_per_bit: 1_000_000_000 / u64::from(CLOCK_HERTZ_DEFAULT),
            transactions: 0,
        };
        Self {
            wires: Arc::new(Mutex::new(wires)),
        }
    }

    /// Connects a target; LINE requests reach it under `line_address` for ever, transactions under the address it answers to.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an address of more than 7 bits, [`Error::Bus`] if the address is taken.
    pub fn attach(&self, line_address: u8, target: impl Target + Send + 'static) -> Result<(), Error> {
        let mut wires = lock(&self.wires);
        if line_address > ADDRESS_MAX {
            return Err(Error::Malformed);
        }
        let taken = wires.slots.iter().any(|slot| slot.line_address == line_address);
        if taken || wires.slots.len() >= TARGETS_MAX {
            return Err(Error::Bus);
        }
        wires.slots.push(Slot {
            line_address,
            target: Box::new(target),
        });
        Ok(())
    }

    /// A controller on this bus.
    #[must_use]
    pub fn client(&self) -> LocalClient {
        LocalClient { bus: self.clone() }
    }

    /// How many transactions were tried, acknowledged or not.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        lock(&self.wires).transactions
    }

    pub(crate) fn write(&self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        lock(&self.wires).write(address, bytes)
    }

    pub(crate) fn read(&self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        lock(&self.wires).read(address, buffer)
    }

    pub(crate) fn write_read(&self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error> {
        lock(&self.wires).write_read(address, bytes, buffer)
    }

    pub(crate) fn line(&self, line_address: u8, line: Line, level: bool) -> Result<(), Error> {
        let mut wires = lock(&self.wires);
        let now_us = wires.clock.now_us();
        let slot = wires
            .slots
            .iter_mut()
            .find(|slot| slot.line_address == line_address);
        slot.ok_or(Error::AddressNack)?.target.line(line, level, now_us);
        Ok(())
    }

    pub(crate) fn clock(&self, hertz: u32) -> Result<(), Error> {
        if !(CLOCK_HERTZ_MIN..=CLOCK_HERTZ_MAX).contains(&hertz) {
            return Err(Error::Malformed);
        }
        lock(&self.wires).nanoseconds_per_bit = 1_000_000_000 / u64::from(hertz);
        Ok(())
    }

    pub(crate) fn advance(&self, by_us: u64) -> Result<u64, Error> {
        let mut wires = lock(&self.wires);
        match &mut wires.clock {
            Clock::Virtual { now_ns } => {
                *now_ns = now_ns.saturating_add(by_us.saturating_mul(1_000));
                Ok(*now_ns / 1_000)
            }
            Clock::Wall { .. } => Err(Error::Unsupported),
        }
    }

    fn wait(&self, wait_ns: u32) {
        if let Clock::Virtual { now_ns } = &mut lock(&self.wires).clock {
            *now_ns = now_ns.saturating_add(u64::from(wait_ns));
            return;
        }
        std::thread::sleep(Duration::from_nanos(u64::from(wait_ns)));
    }
}

impl core::fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let wires = lock(&self.wires);
        let mut debug = f.debug_struct("LocalBus");
        debug
            .field("targets", &wires.slots.len())
            .field("transactions", &wires.transactions);
        debug.finish_non_exhaustive()
    }
}

impl Clock {
    fn now_us(&self) -> u64 {
        match self {
            Self::Virtual { now_ns } => now_ns / 1_000,
            Self::Wall { since } => u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Wires {
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        let target = self.address(address)?;
        let now_us = self.spend(bytes.len());
        let slot = self.slots.get_mut(target).ok_or(Error::Bus)?;
        Ok(slot.target.write(bytes, now_us)?)
    }

    fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        let now_us = self.clock.now_us();
        let target = self.address(address)?;
        let slot = self.slots.get_mut(target).ok_or(Error::Bus)?;
        slot.target.read(buffer, now_us)?;
        self.spend(buffer.len());
        Ok(())
    }

    /// START and address: the target that acknowledges them.
    fn address(&mut self, address: u8) -> Result<usize, Error> {
        self.transactions += 1;
        let target = self.slot(address)?;
        let now_us = self.clock.now_us();
        let slot = self.slots.get_mut(target).ok_or(Error::Bus)?;
        let acknowledged = slot.target.acknowledges(now_us);
        self.spend(1);
        if acknowledged {
            Ok(target)
        } else {
            Err(Error::AddressNack)
        }
    }

    /// A target without repeated START acts on STOP alone: the second address is not acknowledged and nothing has happened.
    fn write_read(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error> {
        let target = self.slot(address)?;
        if self
            .slots
            .get(target)
            .is_some_and(|slot| slot.target.repeated_start())
        {
            self.write(address, bytes)?;
            return self.read(address, buffer);
        }
        self.transactions += 1;
        self.spend(2 + bytes.len());
        Err(Error::AddressNack)
    }

    /// The one target that answers to `address` now.
    fn slot(&self, address: u8) -> Result<usize, Error> {
        let mut answering = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.target.address() == Some(address));
        match (answering.next(), answering.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(Error::Bus),
            (None, _) if address > ADDRESS_MAX => Err(Error::Malformed),
            (None, _) => Err(Error::AddressNack),
        }
    }

    /// Lets the time of so many bytes pass and returns the time after it.
    fn spend(&mut self, bytes: usize) -> u64 {
        if let Clock::Virtual { now_ns } = &mut self.clock {
            *now_ns = now_ns.saturating_add(bytes as u64 * BITS_PER_BYTE * self.nanoseconds_per_bit);
        }
        self.clock.now_us()
    }
}

/// A controller on a [`LocalBus`].
#[derive(Clone, Debug)]
pub struct LocalClient {
    bus: LocalBus,
}

impl LocalClient {
    /// Sets a line of the target that was attached under `address`.
    ///
    /// # Errors
    /// [`Error::AddressNack`] when there is none.
    pub fn line(&mut self, address: u8, line: Line, level: bool) -> Result<(), Error> {
        self.bus.line(address, line, level)
    }

    /// Sets the bus clock.
    ///
    /// # Errors
    /// [`Error::Malformed`] outside of 1 kHz to 1 MHz.
    pub fn clock(&mut self, hertz: u32) -> Result<(), Error> {
        self.bus.clock(hertz)
    }

    /// Moves a virtual clock and says what time it is then, in microseconds.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the bus runs on the machine's time.
    pub fn time(&mut self, advance_us: u64) -> Result<u64, Error> {
        self.bus.advance(advance_us)
    }

    /// A delay in the time of this bus: virtual time passes at once, the machine's is slept through.
    #[must_use]
    pub fn delay(&self) -> BusDelay {
        BusDelay {
            bus: self.bus.clone(),
        }
    }
}

impl Transact for LocalClient {
    fn send(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        self.bus.write(address, bytes)
    }

    fn fetch(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        if buffer.is_empty() {
            Err(Error::Shape)
        } else {
            self.bus.read(address, buffer)
        }
    }

    fn exchange(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error> {
        if buffer.is_empty() {
            Err(Error::Shape)
        } else {
            self.bus.write_read(address, bytes, buffer)
        }
    }
}

impl ErrorType for LocalClient {
    type Error = Error;
}

impl I2c for LocalClient {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        operations::run(self, address, operations)
    }
}

/// [`DelayNs`] in the time of a [`LocalBus`].
#[derive(Clone, Debug)]
pub struct BusDelay {
    bus: LocalBus,
}

impl DelayNs for BusDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.bus.wait(ns);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Nack;

    /// Two bytes of memory behind a pointer, and what it saw last.
    #[derive(Debug)]
    pub(crate) struct Memory {
        pub(crate) address: Option<u8>,
        pub(crate) bytes: Vec<u8>,
        pub(crate) seen_us: u64,
        pub(crate) repeated_start: bool,
        pub(crate) busy_until_us: u64,
    }

    impl Memory {
        pub(crate) fn at(address: u8) -> Self {
            Self {
                address: Some(address),
                bytes: vec![],
                seen_us: 0,
                repeated_start: false,
                busy_until_us: 0,
            }
        }
    }

    impl Target for Memory {
        fn address(&self) -> Option<u8> {
            self.address
        }

        fn acknowledges(&mut self, now_us: u64) -> bool {
            now_us >= self.busy_until_us
        }

        fn write(&mut self, bytes: &[u8], now_us: u64) -> Result<(), Nack> {
            self.seen_us = now_us;
            match bytes {
                [0xFF, ..] => Err(Nack::Data(0)),
                [0xEE, ..] => Err(Nack::Address),
                _ => {
                    self.bytes = bytes.to_vec();
                    Ok(())
                }
            }
        }

        fn read(&mut self, buffer: &mut [u8], now_us: u64) -> Result<(), Nack> {
            self.seen_us = now_us;
            buffer.fill(0xFF);
            self.bytes.iter().zip(buffer).for_each(|(from, to)| *to = *from);
            Ok(())
        }

        fn line(&mut self, line: Line, level: bool, _: u64) {
            if line == Line::Rst {
                self.address = level.then_some(0x31);
            }
        }

        fn repeated_start(&self) -> bool {
            self.repeated_start
        }
    }

    #[test]
    fn a_target_is_reached_under_its_address_only() {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        let mut client = bus.client();
        client.write(0x30, &[1, 2]).unwrap();
        let mut buffer = [0; 3];
        client.read(0x30, &mut buffer).unwrap();
        assert_eq!(buffer, [1, 2, 0xFF]);
        assert_eq!(client.write(0x31, &[1]), Err(Error::AddressNack));
        assert_eq!(client.write(0x30, &[0xFF]), Err(Error::DataNack(0)));
        assert_eq!(client.write(0x80, &[0]), Err(Error::Malformed));
        assert_eq!(client.read(0x30, &mut []), Err(Error::Shape));
        assert_eq!(bus.transactions(), 5);
    }

    #[test]
    fn a_line_moves_the_target_that_was_attached_there() {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        let mut client = bus.client();
        client.line(0x30, Line::Rst, false).unwrap();
        assert_eq!(client.write(0x30, &[1]), Err(Error::AddressNack));
        client.line(0x30, Line::Rst, true).unwrap();
        client.write(0x31, &[1]).unwrap();
        assert_eq!(client.line(0x31, Line::Rst, true), Err(Error::AddressNack));
    }

    #[test]
    fn a_repeated_start_is_refused_unless_the_target_knows_it() {
        let bus = LocalBus::virtual_time();
        let memory = Arc::new(Mutex::new(Memory::at(0x30)));
        bus.attach(0x30, memory.clone()).unwrap();
        let mut buffer = [0; 1];
        assert_eq!(
            bus.client().write_read(0x30, &[7], &mut buffer),
            Err(Error::AddressNack)
        );
        assert_eq!(lock(&memory).bytes, [] as [u8; 0]);
        lock(&memory).repeated_start = true;
        bus.client().write_read(0x30, &[7], &mut buffer).unwrap();
        assert_eq!(buffer, [7]);
    }

    #[test]
    fn a_busy_target_is_asked_at_the_start_and_costs_one_byte() {
        let bus = LocalBus::virtual_time();
        let memory = Arc::new(Mutex::new(Memory::at(0x30)));
        lock(&memory).busy_until_us = 100;
        bus.attach(0x30, memory.clone()).unwrap();
        let mut client = bus.client();
        // The address takes 90 µs; the bytes that would follow take longer than the target is busy.
        assert_eq!(client.write(0x30, &[1; 50]), Err(Error::AddressNack));
        assert_eq!(client.time(0), Ok(90));
        assert_eq!(client.read(0x30, &mut [0; 50]), Err(Error::AddressNack));
        assert_eq!(client.write(0x30, &[1; 50]), Ok(()));
        assert_eq!(lock(&memory).seen_us, 180 + 51 * 90);
    }

    #[test]
    fn two_targets_at_one_address_are_a_fault() {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        assert_eq!(bus.attach(0x30, Memory::at(0x30)), Err(Error::Bus));
        assert_eq!(bus.attach(0x80, Memory::at(0x30)), Err(Error::Malformed));
        bus.attach(0x31, Memory::at(0x30)).unwrap();
        assert_eq!(bus.client().write(0x30, &[1]), Err(Error::Bus));
    }

    #[test]
    fn virtual_time_is_bytes_and_delays() {
        let bus = LocalBus::virtual_time();
        let memory = Arc::new(Mutex::new(Memory::at(0x30)));
        bus.attach(0x30, memory.clone()).unwrap();
        let mut client = bus.client();
        client.write(0x30, &[1, 2, 3]).unwrap();
        // Four bytes of nine bits at 100 kHz.
        assert_eq!(lock(&memory).seen_us, 360);
        client.delay().delay_ms(2);
        client.clock(1_000_000).unwrap();
        client.read(0x30, &mut [0; 9]).unwrap();
        assert_eq!(lock(&memory).seen_us, 2_360);
        assert_eq!(client.time(10), Ok(2_460));
        assert_eq!(client.clock(999), Err(Error::Malformed));
        assert_eq!(LocalBus::wall_time().client().time(0), Err(Error::Unsupported));
    }
}
