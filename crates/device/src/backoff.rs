//! Through the first connection: a server that provisions a device on its first contact closes that connection, and takes
//! the next one. How long to wait in between is the caller's policy.

use std::thread;
use std::time::Duration;

use crate::connection::Connection;
use crate::error::Error;
use crate::limits::CONNECT_ATTEMPTS_MAX;

/// Tries to connect until it works, something final is said, or the delays are used up; one delay before each new try. Gives
/// the connection and how many tries it took.
pub fn connect_with_backoff(
    mut attempt: impl FnMut() -> Result<Connection, Error>,
    delays: impl IntoIterator<Item = Duration>,
) -> Result<(Connection, usize), Error> {
    let mut delays = delays.into_iter().take(CONNECT_ATTEMPTS_MAX - 1);
    let mut tries = 1;
    loop {
        let error = match attempt() {
            Ok(connection) => return Ok((connection, tries)),
            Err(error) => error,
        };
        let Some(delay) = delays.next().filter(|_| error.is_worth_retrying()) else {
            return Err(error);
        };
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        tries += 1;
    }
}
