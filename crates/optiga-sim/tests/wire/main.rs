//! The chip from outside: golden traces, the wires, and the tray. Everything here speaks to the chip as a bus does; the host
//! side is written for these tests and shares nothing with the product's driver.
#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on fails there")]

mod golden;
mod host;
mod trace;
mod tray;
mod wires;
