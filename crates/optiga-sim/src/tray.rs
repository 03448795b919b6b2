//! A tray: many chips in one process, from one seed, in memory or in one file.
//!
//! A chip that nobody has touched costs a pointer; one that was provisioned costs its objects. Each chip has its own lock and
//! its own bus, so that two of them never wait for each other; all they share is the end of the file.

pub(crate) mod journal;
mod rewriting;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use i2c_bus::LocalBus;

use crate::authority::{Authority, Level};
use crate::counters::Counters;
use crate::limits::{ADDRESS_DEFAULT, CHIPS_MAX, WASTE_BYTES_MAX};
use crate::memory::{Change, Memory};
use crate::personality::{Behaviour, Firmware, Personality, Profile, Settings};
use crate::timing::Timing;
use crate::{Chip, Error};
use journal::{Header, Journal, WHOLE_TRAY};
use rewriting::{Rewriter, Rewriting};

/// N simulated chips.
pub struct Tray {
    settings: Settings,
    authority: Arc<Authority>,
    journal: Option<Arc<Journal>>,
    chips: Arc<Chips>,
    /// The thread that keeps the file short.
    _rewriter: Option<Rewriter>,
}

/// A place for each chip; a chip is there once somebody has asked for it.
type Chips = [OnceLock<Arc<Mutex<Chip>>>];

impl Tray {
    /// A tray that is gone with the process.
    ///
    /// # Errors
    /// [`Error::TooManyChips`].
    pub fn memory(chips: u32, seed: u64) -> Result<Self, Error> {
        Self::memory_with(chips, seed, Settings::default())
    }

    /// A tray that is gone with the process, of chips with these settings.
    ///
    /// # Errors
    /// [`Error::TooManyChips`].
    pub fn memory_with(chips: u32, seed: u64, settings: Settings) -> Result<Self, Error> {
        Self::empty(chips, seed, settings)
    }

    /// The tray in this file, which is made if it does not exist. A tray that exists must be the one that is asked for.
    ///
    /// # Errors
    /// The file is another tray or none, in use, damaged, or cannot be written.
    pub fn open_file(path: &Path, chips: u32, seed: u64) -> Result<Self, Error> {
        Self::open_file_with(path, chips, seed, Settings::default())
    }

    /// As [`Tray::open_file`], of chips with these settings.
    ///
    /// # Errors
    /// As [`Tray::open_file`].
    pub fn open_file_with(path: &Path, chips: u32, seed: u64, settings: Settings) -> Result<Self, Error> {
        let (profile, firmware) = (settings.profile.to_file(), settings.firmware.to_file());
        let tray = Self::empty(chips, seed, settings)?;
        tray.load(
            path,
            Some(Header {
                profile,
                firmware,
                chips,
                seed,
            }),
        )
    }

    /// The tray in this file, which must exist: number of chips, seed, profile and firmware are the file's.
    ///
    /// # Errors
    /// As [`Tray::open_file`].
    pub fn open_existing(path: &Path, behaviour: Behaviour) -> Result<Self, Error> {
        let settings = Settings {
            behaviour,
            ..Settings::default()
        };
        Self::empty(0, 0, settings)?.load(path, None)
    }

    fn empty(chips: u32, seed: u64, settings: Settings) -> Result<Self, Error> {
        if chips > CHIPS_MAX {
            return Err(Error::TooManyChips {
                asked: chips,
                limit: CHIPS_MAX,
            });
        }
        let chips = (0..chips).map(|_| OnceLock::new()).collect();
        Ok(Self {
            settings,
            authority: Arc::new(Authority::new(seed)),
            journal: None,
            chips,
            _rewriter: None,
        })
    }

    fn load(self, path: &Path, wanted: Option<Header>) -> Result<Self, Error> {
        let mut memories = HashMap::new();
        let mut certificates = Vec::new();
        let (journal, header) = Journal::open(path, wanted, |header, chip, payload| {
            if chip == WHOLE_TRAY {
                let (level, der) = payload.split_first()?;
                certificates.push((Level::from_file(*level)?, der.to_vec()));
                return Some(());
            }
            let known = chip < header.chips;
            known.then(|| {
                replay(
                    memories.entry(chip).or_insert_with(|| Memory::new(chip, None)),
                    payload,
                )
            })?
        })?;
        let damaged = || Error::Damaged {
            path: path.to_owned(),
            at_byte: 0,
        };
        let settings = Settings {
            profile: Profile::from_file(header.profile).ok_or_else(damaged)?,
            firmware: Firmware::from_file(header.firmware).ok_or_else(damaged)?,
            behaviour: self.settings.behaviour,
        };
        let journal = Arc::new(journal);
        let mut tray = Self::empty(header.chips, header.seed, settings)?;
        for (level, der) in certificates {
            tray.authority.restore(level, &der).ok_or_else(damaged)?;
        }
        tray.authority.keep_in(journal.clone());
        tray.journal = Some(journal);
        for (index, memory) in memories {
            tray.place(index, memory);
        }
        tray.shrink(path, header)?;
        Ok(tray)
    }

    fn place(&self, index: u32, mut memory: Memory) -> Option<()> {
        let slot = self.chips.get(index as usize)?;
        if let Some(journal) = &self.journal {
            memory.keep_in(journal.clone());
        }
        let personality = Personality::of(&self.authority, index, self.settings);
        slot.set(Arc::new(Mutex::new(Chip::with_memory(personality, memory))))
            .ok()
    }

    /// Rewrites the file if most of it is history, and keeps it short from now on.
    fn shrink(&mut self, path: &Path, header: Header) -> Result<(), Error> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let rewriting = Rewriting::new(path, header, &self.authority, journal, &self.chips);
        if journal.length() >= WASTE_BYTES_MAX && rewriting.waste_bytes() >= WASTE_BYTES_MAX {
            rewriting.run(&AtomicBool::new(false))?;
        }
        self._rewriter = Rewriter::spawn(rewriting, journal);
        Ok(())
    }

    /// How many chips there are.
    #[must_use]
    pub fn chips(&self) -> u32 {
        self.chips.len() as u32
    }

    /// How the chips were made, and how they behave.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// One chip; `None` beyond the last one.
    #[must_use]
    pub fn chip(&self, index: u32) -> Option<Arc<Mutex<Chip>>> {
        let slot = self.chips.get(index as usize)?;
        let chip = slot.get_or_init(|| {
            let memory = Memory::new(index, self.journal.clone());
            let personality = Personality::of(&self.authority, index, self.settings);
            Arc::new(Mutex::new(Chip::with_memory(personality, memory)))
        });
        Some(chip.clone())
    }

    /// A bus of its own for one chip, with the time that its timing asks for.
    #[must_use]
    pub fn bus(&self, index: u32) -> Option<LocalBus> {
        let chip = self.chip(index)?;
        let bus = match self.settings.behaviour.timing {
            Timing::None | Timing::Virtual => LocalBus::virtual_time(),
            Timing::Wall => LocalBus::wall_time(),
        };
        bus.attach(ADDRESS_DEFAULT, chip).ok()?;
        Some(bus)
    }

    /// The authority that has certified the factory keys of these chips.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What all chips have done together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        self.each_chip(|_, chip| sum = sum + chip.counters());
        sum
    }

    fn each_chip(&self, mut look: impl FnMut(u32, &Chip)) {
        for (index, slot) in (0..).zip(self.chips.iter()) {
            if let Some(chip) = slot.get() {
                look(index, &chip.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

fn replay(memory: &mut Memory, mut payload: &[u8]) -> Option<()> {
    while !payload.is_empty() {
        memory.apply(&Change::decode(&mut payload)?)?;
    }
    Some(())
}

impl fmt::Debug for Tray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tray")
            .field("chips", &self.chips())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
