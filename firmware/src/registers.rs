//! The board's registers, by address. The only unsafe code of the firmware: every address is a constant of this file.
#![expect(unsafe_code, reason = "registers are memory that is not Rust's")]

use core::ptr::{read_volatile, write_volatile};

/// A register of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    pub(crate) fn read(self) -> u32 {
        // SAFETY: the constants below are registers of the board, aligned and always there; none of them is memory of Rust.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above; no write to one of these changes memory.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

/// UART1 (CMSDK APB UART): data, state, control, baud rate.
pub(crate) const UART_DATA: Register = Register(0x4000_5000);
pub(crate) const UART_STATE: Register = Register(0x4000_5004);
pub(crate) const UART_CONTROL: Register = Register(0x4000_5008);
pub(crate) const UART_DIVIDER: Register = Register(0x4000_5010);

/// SysTick (Armv7-M architecture, B3.3): control, reload, current.
pub(crate) const TICK_CONTROL: Register = Register(0xE000_E010);
pub(crate) const TICK_RELOAD: Register = Register(0xE000_E014);
pub(crate) const TICK_CURRENT: Register = Register(0xE000_E018);
