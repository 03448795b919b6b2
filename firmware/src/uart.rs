//! The second serial line of the board, byte by byte.

use crate::registers::{UART_CONTROL, UART_DATA, UART_DIVIDER, UART_STATE};

const SEND_FULL: u32 = 1 << 0;
const RECEIVED: u32 = 1 << 1;
const SEND_AND_RECEIVE: u32 = 0b11;
/// The smallest divider that the UART takes: as fast as it goes.
const DIVIDER_MIN: u32 = 16;

/// Switches the line on.
pub fn switch_on() {
    UART_DIVIDER.write(DIVIDER_MIN);
    UART_CONTROL.write(SEND_AND_RECEIVE);
}

/// Sends one byte.
pub fn send(byte: u8) {
    while UART_STATE.read() & SEND_FULL != 0 {}
    UART_DATA.write(u32::from(byte));
}

/// The next byte, if one has arrived.
pub fn received() -> Option<u8> {
    (UART_STATE.read() & RECEIVED != 0).then(|| UART_DATA.read() as u8)
}
