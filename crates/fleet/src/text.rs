//! Text that came from outside: bounded when it is stored, escaped when it is shown.
//!
//! A subject name, a client id or a topic is chosen by the peer. It may be long and it may hold terminal escapes or
//! direction marks. [`Text`] keeps what came, cut at a named limit, and its `Display` never lets a control or
//! direction character through. Nothing here may print the raw text by default.

use core::fmt;

use crate::limits::{ATTEMPT_LONG_BYTES_MAX, ATTEMPT_SHORT_BYTES_MAX};

/// Foreign text, bounded.
#[derive(Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Text(String);

impl Text {
    /// A short text: a name, a code, an address.
    pub fn short(text: impl Into<String>) -> Self {
        Self::cut(text.into(), ATTEMPT_SHORT_BYTES_MAX)
    }

    /// A long text: a reason, a hint, a distinguished name.
    pub fn long(text: impl Into<String>) -> Self {
        Self::cut(text.into(), ATTEMPT_LONG_BYTES_MAX)
    }

    /// The text as it came (cut, not escaped): for comparing and for encoders that escape by themselves.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn cut(mut text: String, bytes_max: usize) -> Self {
        if text.len() > bytes_max {
            let mut end = bytes_max - '…'.len_utf8();
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        Self(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes `text` with every control and direction character as `\u{..}`.
pub fn write_escaped(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some((at, character)) = rest.char_indices().find(|(_, c)| must_escape(*c)) {
        let (plain, tail) = rest.split_at(at);
        out.write_str(plain)?;
        write!(out, "\\u{{{:x}}}", u32::from(character))?;
        rest = tail.strip_prefix(character).unwrap_or_default();
    }
    out.write_str(rest)
}

/// `text` with every control and direction character as `\u{..}`.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a String cannot fail.
    let _ = write_escaped(&mut out, text);
    out
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and everything that changes the direction or hides:
/// Unicode standard annex 9, "Explicit Directional Formatting Characters", zero-width characters and the BOM.
fn must_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_at_its_limit() {
        assert_eq!(Text::short("a".repeat(256)).as_str().len(), 256);
        let cut = Text::short("ä".repeat(129));
        assert!(cut.as_str().len() <= 256 && cut.as_str().ends_with('…'), "{cut}");
        assert_eq!(Text::long("a".repeat(1025)).as_str().len(), 1024);
    }

    #[test]
    fn display_lets_no_escape_through() {
        let cases = [
            ("plain ünïcode", "plain ünïcode"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("\r\n", "\\u{d}\\u{a}"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("\u{feff}\u{9b}", "\\u{feff}\\u{9b}"),
        ];
        for (raw, shown) in cases {
            assert_eq!(Text::long(raw).to_string(), shown);
            assert_eq!(escaped(raw), shown);
        }
    }
}
