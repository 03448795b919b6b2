//! What stands at the far end of the wires: a target sees whole transactions and two lines, and nothing else.

/// Why a transaction was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nack {
    /// The address byte: nobody answers there now, or the target is busy.
    Address,
    /// A data byte: so many bytes before it were acknowledged.
    Data(u16),
}

/// A line beside clock and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The supply: high is on.
    Vdd,
    /// The reset input: low holds the target in reset.
    Rst,
}

impl Line {
    /// The line that a VI2C LINE request names.
    #[must_use]
    pub const fn from_wire(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Vdd),
            1 => Some(Self::Rst),
            _ => None,
        }
    }

    /// How a VI2C LINE request names this line.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Vdd => 0,
            Self::Rst => 1,
        }
    }
}

/// A device that answers to one address.
///
/// A transaction begins with [`acknowledges`](Target::acknowledges) at the time of its START. For a write that is followed by
/// [`write`](Target::write) at the time of the STOP (all bytes have arrived), for a read by [`read`](Target::read) at the
/// time of the START (the answer is what the target holds then). Time never runs backwards.
pub trait Target {
    /// The 7-bit address that the target answers to now; `None` while it has no power or is held in reset.
    fn address(&self) -> Option<u8>;

    /// Whether the target acknowledges its address now. A busy one does not, and nothing more of the transaction happens.
    fn acknowledges(&mut self, now_us: u64) -> bool {
        let _always = now_us;
        true
    }

    /// One write transaction, `S addr+W bytes P`. No bytes at all is an address probe.
    ///
    /// # Errors
    /// [`Nack`] when the address or a byte was not acknowledged.
    fn write(&mut self, bytes: &[u8], now_us: u64) -> Result<(), Nack>;

    /// One read transaction, `S addr+R buffer P`: fills the whole buffer.
    ///
    /// # Errors
    /// [`Nack`] when the address was not acknowledged.
    fn read(&mut self, buffer: &mut [u8], now_us: u64) -> Result<(), Nack>;

    /// A line changes its level.
    fn line(&mut self, line: Line, level: bool, now_us: u64);

    /// Whether the target understands a repeated START between a write and a read.
    fn repeated_start(&self) -> bool {
        false
    }
}

#[cfg(feature = "std")]
impl<T: Target + ?Sized> Target for std::sync::Arc<std::sync::Mutex<T>> {
    fn address(&self) -> Option<u8> {
        crate::local::lock(self).address()
    }

    fn acknowledges(&mut self, now_us: u64) -> bool {
        crate::local::lock(self).acknowledges(now_us)
    }

    fn write(&mut self, bytes: &[u8], now_us: u64) -> Result<(), Nack> {
        crate::local::lock(self).write(bytes, now_us)
    }

    fn read(&mut self, buffer: &mut [u8], now_us: u64) -> Result<(), Nack> {
        crate::local::lock(self).read(buffer, now_us)
    }

    fn line(&mut self, line: Line, level: bool, now_us: u64) {
        crate::local::lock(self).line(line, level, now_us);
    }

    fn repeated_start(&self) -> bool {
        crate::local::lock(self).repeated_start()
    }
}
