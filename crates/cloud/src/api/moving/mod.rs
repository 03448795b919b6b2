//! A fleet on its way: out as lines of JSON, in from such lines, and stuck devices once more through their template.
//!
//! It stands beside the operations of AWS IoT, like [`super::own`]. A caller reads page by page and sends piece by piece, so
//! nothing here grows with the fleet; what is sent twice is known the second time. No private key ever passes.

mod arriving;
mod leaving;
mod lines;
mod replay;

pub(super) use arriving::import;
pub(super) use leaving::export;
pub use lines::{read as read_line, write as write_line};
pub(super) use replay::reprovision;
