//! Keep alive (section 3.1.2.10): how long silence may last. Times are milliseconds of the caller's clock.

/// The agreed keep alive of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    seconds: u16,
}

impl KeepAlive {
    /// 0 turns the mechanism off.
    #[must_use]
    pub const fn new(seconds: u16) -> Self {
        Self { seconds }
    }

    /// The agreed value.
    #[must_use]
    pub const fn seconds(self) -> u16 {
        self.seconds
    }

    /// Server: when silence since `heard_millis` ends the connection, one and a half times the keep alive later
    /// (`[MQTT-3.1.2-24]`). `None`: never.
    #[must_use]
    pub const fn server_deadline_millis(self, heard_millis: i64) -> Option<i64> {
        match self.seconds {
            0 => None,
            seconds => Some(heard_millis + seconds as i64 * 1500),
        }
    }

    /// Client: when something must have been sent after `sent_millis` (`[MQTT-3.1.2-23]`). Nine tenths of the keep alive, so
    /// that the PINGREQ arrives inside it. `None`: never.
    #[must_use]
    pub const fn client_due_millis(self, sent_millis: i64) -> Option<i64> {
        match self.seconds {
            0 => None,
            seconds => Some(sent_millis + seconds as i64 * 900),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_waits_one_and_a_half_times() {
        assert_eq!(KeepAlive::new(30).server_deadline_millis(1_000), Some(46_000));
        assert_eq!(
            KeepAlive::new(u16::MAX).server_deadline_millis(0),
            Some(98_302_500)
        );
        assert_eq!(KeepAlive::new(0).server_deadline_millis(1_000), None);
    }

    #[test]
    fn client_speaks_before_the_keep_alive_ends() {
        assert_eq!(KeepAlive::new(30).client_due_millis(1_000), Some(28_000));
        assert_eq!(KeepAlive::new(0).client_due_millis(1_000), None);
    }
}
