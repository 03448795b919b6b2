//! What a chip has done since it came to be in this process.

use core::ops::Add;

/// Counts of one chip, or the sum over a tray.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// I2C transactions, refused ones included.
    pub transactions: u64,
    /// Frames that the host wrote into the DATA register.
    pub frames_received: u64,
    /// Frames that the host read whole from the DATA register.
    pub frames_sent: u64,
    /// Commands that were executed, refused ones included.
    pub commands: u64,
    /// Writes of content or metadata that were carried out.
    pub writes: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Key pairs generated.
    pub key_generations: u64,
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            transactions: self.transactions + other.transactions,
            frames_received: self.frames_received + other.frames_received,
            frames_sent: self.frames_sent + other.frames_sent,
            commands: self.commands + other.commands,
            writes: self.writes + other.writes,
            signatures: self.signatures + other.signatures,
            key_generations: self.key_generations + other.key_generations,
        }
    }
}
