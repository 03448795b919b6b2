//! Where AWS IoT Core and the standard differ, one named switch each. Off is what AWS does, on is what the standard says.
//!
//! Where it stands: a node is made with a set of them, and every place that behaves differently asks its own. A profile is
//! nothing but a set of switches and a set of [limits](crate::Limits). What it must never do: have a switch that no code asks.

/// One switch, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchLine {
    /// Its name, as it stands in the configuration.
    pub name: &'static str,
    /// What AWS does: the switch is off.
    pub aws: &'static str,
    /// What the standard says: the switch is on.
    pub standard: &'static str,
}

macro_rules! switches {
    ($($name:ident: $aws:literal, $standard:literal;)*) => {
        /// The switches that one node runs with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is told in the table")]
        pub struct Switches {
            $(pub $name: bool,)*
        }

        impl Switches {
            /// As AWS IoT Core behaves.
            pub const AWS: Self = Self { $($name: false,)* };
            /// As the standards say.
            pub const STANDARD: Self = Self { $($name: true,)* };
            /// All of them in words, in order.
            pub const TABLE: &'static [SwitchLine] = &[
                $(SwitchLine { name: stringify!($name), aws: $aws, standard: $standard },)*
            ];

            /// How the switch of this name stands; none has another name.
            #[must_use]
            pub fn value(&self, name: &str) -> Option<bool> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Turns the switch of this name; false when there is none.
            pub fn turn(&mut self, name: &str, on: bool) -> bool {
                match name {
                    $(stringify!($name) => self.$name = on,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

switches! {
    exactly_once:
        "QoS 2 is refused: a PUBLISH, SUBSCRIBE or will that asks for it costs the connection (5.0: reason 0x9B)",
        "QoS 2 is served both ways";
    parent_of_wildcard:
        "`sensor/#` does not match `sensor`",
        "`sensor/#` matches `sensor` (4.7.1.2)";
    retained_for_wildcards:
        "a subscription brings retained messages only if its filter has no wildcard",
        "every new subscription brings the retained messages that match it (3.3.1.3)";
    subscription_identifiers:
        "a SUBSCRIBE with an identifier costs the connection (reason 0xA1)",
        "each message carries the identifiers of the subscriptions that brought it (3.8.2.1.2)";
    session_across_versions:
        "a session of a 3.1.1 client is not resumed by a 5.0 client with the same id, nor the other way round: it ends",
        "a session belongs to the client identifier, whatever version it speaks";
    keep_alive_of_client:
        "keep alive 0 becomes the longest, and every value is brought into 30 to 1200 s",
        "keep alive 0 means that silence never ends the connection (3.1.2.10)";
    unsubscribe_told:
        "UNSUBACK says success whether there was a subscription or not",
        "UNSUBACK says 0x11 where there was no subscription (3.11.3)";
    dollar_topics:
        "topics that begin with $ are reserved, but for those that AWS defines",
        "only topics that begin with $aws/ and $SYS/ are the server's own (4.7.2)";
    expiry_of_zero:
        "a message expiry of 0 becomes 1 s",
        "a message whose expiry is 0 goes only to those who can take it at once (3.3.2.3.3)";
    reasons_told:
        "a refusal is a code; why is in the attempt record only",
        "a 5.0 client that asks for problem information gets the reason as a string too (3.2.2.3.9)";
}

impl Default for Switches {
    fn default() -> Self {
        Self::AWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_is_named_once_and_can_be_turned() {
        let mut switches = Switches::AWS;
        for line in Switches::TABLE {
            assert_eq!(switches.value(line.name), Some(false), "{}", line.name);
            assert!(switches.turn(line.name, true));
            assert_eq!(switches.value(line.name), Some(true), "{}", line.name);
        }
        assert_eq!(switches, Switches::STANDARD);
        assert!(!switches.turn("no_such_switch", true));
        assert_eq!(switches.value("no_such_switch"), None);
    }
}
