//! Reads the golden traces; their format is described in `vectors/optiga/README.md`.

use std::collections::HashMap;
use std::path::PathBuf;

pub(crate) struct Trace {
    pub(crate) frame_bytes: Option<usize>,
    pub(crate) numbering: (u8, u8),
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at_us: Option<u64>,
    pub(crate) kind: String,
    pub(crate) text: String,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/optiga")
}

impl Trace {
    pub(crate) fn load(name: &str) -> Self {
        let text =
            std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (head, body) = text.split_once("\n\n").unwrap();
        let field = |key: &str| head.lines().find_map(|line| line.strip_prefix(key));
        let numbering = field("numbering ").map_or((3, 3), |value| {
            let (host, chip) = value.split_once(' ').unwrap();
            (host.parse().unwrap(), chip.parse().unwrap())
        });
        let lines = body
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Line::parse)
            .collect();
        Self {
            frame_bytes: field("frame-bytes ").map(|value| value.parse().unwrap()),
            numbering,
            lines,
        }
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let (at_us, line) = match line.strip_prefix('@') {
            Some(rest) => {
                let (at_ms, rest) = rest.split_once(' ').unwrap();
                (
                    Some((at_ms.parse::<f64>().unwrap() * 1_000.0).round() as u64),
                    rest,
                )
            }
            None => (None, line),
        };
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        Self {
            at_us,
            kind: kind.into(),
            text: text.into(),
        }
    }
}

/// Values of the named places in a trace.
#[derive(Default)]
pub(crate) struct Places(HashMap<String, Vec<u8>>);

impl Places {
    /// The bytes of a line whose places are all known.
    pub(crate) fn fill(&self, text: &str) -> Vec<u8> {
        let mut bytes = vec![];
        for word in text.split_whitespace() {
            match place(word) {
                Some((name, _)) => bytes.extend_from_slice(&self.0[name]),
                None => bytes.push(u8::from_str_radix(word, 16).unwrap()),
            }
        }
        bytes
    }

    /// Compares what was seen with a line; places that are new are noted.
    pub(crate) fn expect(&mut self, text: &str, seen: &[u8], context: &str) {
        let mut rest = seen;
        for word in text.split_whitespace() {
            let expected = match place(word) {
                Some((name, length)) => {
                    let found = rest
                        .get(..length)
                        .unwrap_or_else(|| panic!("{context}: too short: {seen:02X?}"))
                        .to_vec();
                    if name == "*" {
                        found
                    } else {
                        self.0.entry(name.into()).or_insert(found).clone()
                    }
                }
                None => vec![u8::from_str_radix(word, 16).unwrap()],
            };
            assert!(
                rest.starts_with(&expected),
                "{context}: expected {text}, saw {seen:02X?}"
            );
            rest = &rest[expected.len()..];
        }
        assert!(rest.is_empty(), "{context}: expected {text}, saw {seen:02X?}");
    }
}

fn place(word: &str) -> Option<(&str, usize)> {
    let (name, length) = word.strip_prefix('{')?.strip_suffix('}')?.split_once(':')?;
    Some((name, length.parse().ok()?))
}
