//! The one place of the cloud that reads the clock and makes random ids.
//!
//! Everything below takes time and randomness as arguments; here they come from.

use std::time::{SystemTime, UNIX_EPOCH};

use fleet::record::Uuid;
use identity::UnixMillis;

/// Now.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], identity::Error> {
    let mut bytes = [0; N];
    identity::crypto::random(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID.
pub(crate) fn uuid() -> Result<Uuid, identity::Error> {
    random().map(Uuid::from_random)
}
