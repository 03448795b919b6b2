//! The Birthmark command.
fn main() {}
