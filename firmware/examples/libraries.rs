//! The crates that work without an operating system, built for a processor that has none. There is nothing to run.
#![no_std]
#![forbid(unsafe_code)]

pub use {i2c_bus, identity, mqtt, optiga, token};
