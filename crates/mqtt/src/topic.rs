//! Topic names and topic filters (section 4.7), and which name a filter matches.
//!
//! AWS IoT Core differs from the standard in one point: `sensor/#` does not match `sensor` there. [`Matching`] is that
//! switch; AWS is the default, as everywhere in this product.

use core::error::Error;
use core::fmt;

use crate::limits::TOPIC_BYTES_MAX;

/// Where a message goes: no wildcards, not empty, no U+0000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName<'a>(&'a str);

/// What a subscription asks for: levels, of which `+` stands for any one and a last `#` for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter<'a>(&'a str);

/// Whose rule for `#` applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Matching {
    /// `sensor/#` matches everything beneath `sensor`, not `sensor` itself (AWS IoT developer guide, "MQTT").
    #[default]
    Aws,
    /// `sensor/#` matches `sensor` too (section 4.7.1.2).
    Standard,
}

/// Why text is not a topic name or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// No character at all.
    Empty,
    /// More than 65535 bytes.
    TooLong,
    /// U+0000 inside.
    NullCharacter,
    /// `+` or `#` in a topic name.
    Wildcard,
    /// `#` that is not the whole last level of a filter.
    MultiLevel,
    /// `+` that is not a whole level of a filter.
    SingleLevel,
}

impl TopicError {
    /// The statement of the standard that is broken.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::Empty => "[MQTT-4.7.3-1]",
            Self::TooLong => "[MQTT-4.7.3-3]",
            Self::NullCharacter => "[MQTT-4.7.3-2]",
            Self::Wildcard => "[MQTT-3.3.2-2]",
            Self::MultiLevel => "[MQTT-4.7.1-2]",
            Self::SingleLevel => "[MQTT-4.7.1-3]",
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 65535 bytes",
            Self::NullCharacter => "holds U+0000",
            Self::Wildcard => "holds a wildcard",
            Self::MultiLevel => "has a # that is not its whole last level",
            Self::SingleLevel => "has a + that is not a whole level",
        })
    }
}

impl Error for TopicError {}

impl<'a> TopicName<'a> {
    /// Checks what section 4.7.3 and `[MQTT-3.3.2-2]` demand of a topic name.
    ///
    /// # Errors
    /// [`TopicError`] names the first rule broken.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        // One pass without early exit, which the compiler turns into vector instructions: this runs for every message.
        let suspicious = text
            .bytes()
            .fold(false, |found, byte| found | matches!(byte, 0 | b'+' | b'#'));
        match suspicious {
            false => Ok(Self(text)),
            true if text.contains('\0') => Err(TopicError::NullCharacter),
            true => Err(TopicError::Wildcard),
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Its levels, the text between the slashes; levels may be empty.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/')
    }

    /// Starts with `$`: the server's own (section 4.7.2).
    #[must_use]
    pub fn is_reserved(self) -> bool {
        self.0.starts_with('$')
    }
}

impl<'a> TopicFilter<'a> {
    /// Checks what sections 4.7.1 and 4.7.3 demand of a filter.
    ///
    /// # Errors
    /// [`TopicError`] names the first rule broken.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        if text.contains('\0') {
            return Err(TopicError::NullCharacter);
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let last = levels.peek().is_none();
            match level {
                "+" => {}
                "#" if last => {}
                _ if level.contains('#') => return Err(TopicError::MultiLevel),
                _ if level.contains('+') => return Err(TopicError::SingleLevel),
                _ => {}
            }
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Its levels, the text between the slashes.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/')
    }

    /// Without wildcards it matches exactly one topic name, the same text.
    #[must_use]
    pub fn is_exact(self) -> bool {
        !self.0.bytes().any(|byte| byte == b'+' || byte == b'#')
    }

    /// Whether a message on `topic` is meant. A filter that begins with a wildcard never matches a topic that begins with
    /// `$` (`[MQTT-4.7.2-1]`).
    #[must_use]
    pub fn matches(self, topic: TopicName<'_>, matching: Matching) -> bool {
        if topic.is_reserved() && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.levels();
        for wanted in self.levels() {
            match (wanted, levels.next()) {
                ("#", Some(_)) => return true,
                ("#", None) => return matching == Matching::Standard,
                ("+", Some(_)) => {}
                (_, Some(level)) if level == wanted => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

const fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=TOPIC_BYTES_MAX => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn a_name_is_taken_or_refused_for_its_rule() {
        let check = |text: &str, expected| assert_eq!(TopicName::new(text).map(TopicName::as_str), expected);
        for good in [
            "a",
            "/",
            "//",
            "a/b",
            " ",
            "$aws/things/x",
            "sport/tennis/ä",
            "\u{1}",
        ] {
            check(good, Ok(good));
        }
        check("", Err(TopicError::Empty));
        check("a/+", Err(TopicError::Wildcard));
        check("a#", Err(TopicError::Wildcard));
        check("a\0", Err(TopicError::NullCharacter));
        let longest = "x".repeat(TOPIC_BYTES_MAX);
        check(&longest, Ok(&longest));
        let too_long: String = "x".repeat(TOPIC_BYTES_MAX + 1);
        check(&too_long, Err(TopicError::TooLong));
    }

    #[test]
    fn a_filter_is_taken_or_refused_for_its_rule() {
        let check =
            |text: &str, expected| assert_eq!(TopicFilter::new(text).map(TopicFilter::as_str), expected);
        for good in [
            "#", "+", "/", "+/+", "/+", "a/#", "a/+/b", "+/b/#", "$aws/+/x", "a//#",
        ] {
            check(good, Ok(good));
        }
        check("", Err(TopicError::Empty));
        check("a\0/#", Err(TopicError::NullCharacter));
        for bad in ["a#", "#/a", "a/#/b", "a/b#", "##"] {
            check(bad, Err(TopicError::MultiLevel));
        }
        for bad in ["a+", "+a/b", "a/++", "a/b+/c"] {
            check(bad, Err(TopicError::SingleLevel));
        }
    }

    #[test]
    fn matching_follows_section_4_7() {
        use Matching::{Aws, Standard};
        let check = |filter: &str, topic: &str, matching, expected| {
            let filter = TopicFilter::new(filter).unwrap();
            let topic = TopicName::new(topic).unwrap();
            assert_eq!(
                filter.matches(topic, matching),
                expected,
                "{filter} {topic} {matching:?}"
            );
        };
        let both = |filter: &str, topic: &str, expected| {
            check(filter, topic, Aws, expected);
            check(filter, topic, Standard, expected);
        };
        both("sport/tennis/player1/#", "sport/tennis/player1/ranking", true);
        both(
            "sport/tennis/player1/#",
            "sport/tennis/player1/score/wimbledon",
            true,
        );
        check("sport/tennis/player1/#", "sport/tennis/player1", Standard, true);
        check("sport/tennis/player1/#", "sport/tennis/player1", Aws, false);
        both("sport/#", "sport/", true);
        both("sport/#", "sports", false);
        both("#", "a/b", true);
        both("#", "/", true);
        both("sport/tennis/+", "sport/tennis/player1", true);
        both("sport/tennis/+", "sport/tennis/player1/ranking", false);
        both("sport/+", "sport", false);
        both("sport/+", "sport/", true);
        both("+/+", "/finance", true);
        both("/+", "/finance", true);
        both("+", "/finance", false);
        both("#", "$SYS/monitor", false);
        both("+/monitor/Clients", "$SYS/monitor/Clients", false);
        both("$SYS/#", "$SYS/monitor", true);
        both("$SYS/monitor/+", "$SYS/monitor/Clients", true);
        both("a/b", "a/b", true);
        both("a/b", "A/b", false);
        both("a/b", "a/b/", false);
        both("a//b", "a//b", true);
    }
}
