//! What the story tests share: the binary, a running cloud, the AWS command line, openssl, mosquitto.
//!
//! Everything here stands outside the product, as a user does: it starts programs and reads what they print and write.
//! It must never link a crate of the product, so that a story cannot pass by sharing a mistake with it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a skipped story says so")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "only tests use this crate: a surprise ends the test"
)]

mod aws;
pub mod callers;
mod certificates;
mod cloud;
pub mod demo;
mod mosquitto;
mod program;
mod python;
mod random;
pub mod registration;
mod story;
pub mod tokens;
mod tools;
mod waiting;

pub use aws::Aws;
pub use certificates::{Certificates, KeyKind};
pub use cloud::Cloud;
pub use mosquitto::{Mosquitto, Subscriber};
pub use program::{Ended, birthmark, run};
pub use python::Python;
pub use random::Random;
pub use story::Story;
pub use tokens::Tokens;
pub use tools::{board, node_packages, skip, tool};
pub use waiting::wait_until;
