//! The codes of all errors, read from the sources: `fn code(&self)` of each error type, `fn words(self)` where text and code
//! stand side by side, and each `Reason::new(code, text)`.
//!
//! A code is a promise to whoever scripts against it, so each names one thing; the reference page is made from them.

use std::collections::BTreeMap;

use crate::tree::SourceFile;

use super::Problem;

/// One code with where it comes from and what it means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ErrorCode {
    pub(crate) code: String,
    pub(crate) place: String,
    /// The documentation of the variant.
    pub(crate) meaning: String,
}

/// Every code of the product, sorted.
pub(crate) fn error_codes(files: &[SourceFile]) -> Vec<ErrorCode> {
    let product = files
        .iter()
        .filter(|file| file.crate_name().is_some() && !file.is_test());
    let mut codes: Vec<_> = product.flat_map(of_file).collect();
    codes.sort();
    codes
}

/// No code twice.
pub(super) fn unique(files: &[SourceFile]) -> Vec<Problem> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for found in error_codes(files) {
        places.entry(found.code).or_default().push(found.place);
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice
        .map(|(code, places)| {
            Problem::new(
                places.join(", "),
                format!("the code {code} is used more than once"),
            )
        })
        .collect()
}

fn of_file(file: &SourceFile) -> Vec<ErrorCode> {
    let text = file.without_tests();
    let bodies = text
        .match_indices("fn code(")
        .filter_map(|(at, _)| body(text.get(at..)?));
    let beside = tables(text).chain(reasons(text));
    let beside = beside.map(|(code, meaning)| ErrorCode {
        code: code.to_owned(),
        place: file.path.clone(),
        meaning: sentence(meaning),
    });
    bodies
        .flat_map(arms)
        .map(|(variant, code)| ErrorCode {
            code,
            place: file.path.clone(),
            meaning: variant
                .and_then(|variant| meaning(text, &variant))
                .unwrap_or_default(),
        })
        .chain(beside)
        .collect()
}

/// Codes of `fn words(`, each with the text before it.
fn tables(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let bodies = text
        .match_indices("fn words(")
        .filter_map(|(at, _)| body(text.get(at..)?));
    bodies.flat_map(|body| {
        let strings: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
        let pairs = strings.windows(2).filter_map(|pair| match pair {
            [meaning, code] if is_code(code) => Some((*code, *meaning)),
            _ => None,
        });
        pairs.collect::<Vec<_>>()
    })
}

/// Codes of `Reason::new("code", text)`, each with that text; a variable's is what `let text` says above.
fn reasons(text: &str) -> impl Iterator<Item = (&str, &str)> {
    const CALL: &str = "Reason::new(";
    text.match_indices(CALL).filter_map(|(at, _)| {
        let (code, rest) = literal(text.get(at + CALL.len()..)?.trim_start())?;
        let told = literal(rest.strip_prefix(',')?.trim_start()).or_else(|| {
            let (_, value) = text.get(..at)?.rsplit_once("let text = ")?;
            literal(value.strip_prefix("format!(").unwrap_or(value))
        });
        Some((code, told.map_or("", |(told, _)| told)))
    })
}

/// A string and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

/// As on a page: a capital, and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let end = if text.is_empty() { "" } else { "." };
    first
        .chain(letters)
        .chain(end.chars())
        .collect::<String>()
        .replace('|', "\\|")
}

/// The text between the first `{` and its `}`.
fn body(text: &str) -> Option<&str> {
    let signature_end = text.find(['{', ';'])?;
    let text = text.get(signature_end..).filter(|text| text.starts_with('{'))?;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(1..at);
        }
    }
    None
}

/// The arms `Self::Variant ... => "code"` of a match.
fn arms(body: &str) -> Vec<(Option<String>, String)> {
    let strings = body.match_indices('"').step_by(2);
    strings
        .filter_map(|(at, _)| {
            let code = body
                .get(at + 1..)?
                .split('"')
                .next()
                .filter(|code| is_code(code))?;
            let before = body.get(..at)?;
            let arm = before
                .rfind("Self::")
                .and_then(|start| before.get(start + "Self::".len()..));
            let variant = arm.map(|arm| arm.chars().take_while(|c| c.is_alphanumeric()).collect());
            Some((variant, code.to_owned()))
        })
        .collect()
}

fn is_code(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    text.contains('.') && text.split('.').all(part)
}

/// The `///` lines above a variant, as one sentence.
fn meaning(text: &str, variant: &str) -> Option<String> {
    let declares = |line: &str| {
        let rest = line.trim_start().strip_prefix(variant)?;
        rest.starts_with([',', '(', ' ', '{'])
            .then_some(())
            .filter(|()| !line.contains("=>"))
    };
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| declares(line).is_some())?;
    let above = lines.get(..at)?.iter().rev();
    let above = above
        .map(|line| line.trim())
        .skip_while(|line| line.starts_with("#["));
    let mut doc: Vec<&str> = above
        .map_while(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    doc.reverse();
    Some(doc.join(" ").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! x\nenum Error {\n    /// The sum is wrong.\n    #[x]\n    Sum { a: u8 },\n    /// Gone.\n    \
        /// For good.\n    Gone(u8),\n}\nimpl E for Error {\n    fn code(&self) -> &'static str {\n        match self {\n\
        Self::Sum { .. } => \"chip.frame.sum\",\n Self::Gone(_) => \"chip.gone\",\n Self::Other(e) => e.code(),\n }\n }\n\
        fn name(&self) -> &str { \"not.a.code\" }\n}\n";

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn codes_are_read_with_their_meaning() {
        let codes = error_codes(&[file("crates/optiga/src/error.rs", SOURCE)]);
        let found: Vec<_> = codes
            .iter()
            .map(|c| (c.code.as_str(), c.meaning.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("chip.frame.sum", "The sum is wrong."),
                ("chip.gone", "Gone. For good.")
            ]
        );
    }

    #[test]
    fn codes_beside_their_text_are_read_too() {
        const TABLES: &str = "const fn words(self) -> (&str, &str, &str) {\n match self {\n Self::A => (\"it is late\", \
            \"chip.late\", \"ask again\"),\n }\n}\nfn f() {\n let text = format!(\"chip {n} is gone\");\n \
            Reason::new(\"line.gone\", text);\n Reason::new(\n \"line.full\",\n \"no room\",\n );\n Reason::new(e.code(), e);\n}\n";
        let codes = error_codes(&[file("crates/optiga/src/error.rs", TABLES)]);
        let found: Vec<_> = codes
            .iter()
            .map(|c| (c.code.as_str(), c.meaning.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("chip.late", "It is late."),
                ("line.full", "No room."),
                ("line.gone", "Chip {n} is gone.")
            ]
        );
    }

    #[test]
    fn a_code_twice_is_a_problem_and_once_is_none() {
        let once = [file("crates/optiga/src/error.rs", SOURCE)];
        assert_eq!(unique(&once), []);
        let twice = [
            file("crates/optiga/src/error.rs", SOURCE),
            file("crates/token/src/error.rs", SOURCE),
        ];
        assert_eq!(unique(&twice).len(), 2);
    }
}
