//! The backend whose objects live in files: a directory with a journal, PIN counters and a lock.
//!
//! Every change is one frame of the journal and one fsync; a process that is killed leaves the old state or the new one.
//! Several processes may share the directory: writers take the lock, readers look whether the journal has grown. Private keys
//! are sealed under a key that only the user's PIN (or the security officer's) opens; what is public is readable without, and
//! is checked against a proof of the last writer as soon as somebody logs in: a change anywhere in the file is found then, and
//! one by accident at once.
//!
//! A token can be sealed: then nothing of it ever changes, and its directory may be on a medium that can not be written.
//!
//! What it can not notice: that somebody put back an older copy of the whole directory.

mod backend;
mod commit;
mod frame;
mod journal;
mod lock;
mod pin;
mod pins;
mod record;
mod seal;
mod seeds;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod ticket;

pub use self::backend::Flash;
