//! What the images share: the board's registers, its timer, its second serial line, and the chip's bus on that line.
//!
//! The board is the mps2-an386 of QEMU, a Cortex-M4 with a CMSDK timer and UARTs. An image is for a person who wants to see
//! the driver on a microcontroller without owning one; none of it is shipped.
#![no_std]
#![deny(unsafe_code)]

pub mod clock;
pub mod line;
mod registers;
pub mod uart;
