//! The cloud from outside: real sockets, real TLS, signed API calls, and devices that do right and wrong.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod admission;
mod api;
mod authorization;
mod authorizers;
mod claims;
mod data_plane;
mod first_connection;
mod metrics;
mod moving;
mod operating;
mod refusals;
mod restart;
mod support;
mod tasks;
mod templates;
mod trust;
