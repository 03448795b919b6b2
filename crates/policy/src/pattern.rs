//! Patterns: text with `*`, `?` and `${variables}`, taken apart once and compared many times without allocating.
//!
//! `*` is any run of characters, slashes included, and `?` is any one. MQTT's `+` and `#` are ordinary characters (AWS IoT
//! developer guide, "Using wildcard characters in MQTT and AWS IoT Core policies"). `${*}`, `${?}` and `${$}` are the characters
//! themselves.

mod search;

use crate::context::Context;
use crate::error::Fault;
use crate::variable::Variable;

use self::search::Piece as _;

/// A compiled pattern and the text it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    tokens: Box<[Token]>,
    has_variables: bool,
}

#[derive(Clone, Debug)]
enum Token {
    Text(Box<str>),
    AnyRun,
    AnyOne,
    Variable { variable: Variable, name: Box<str> },
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// A variable has no value, so nothing matches; what that means for a negation is the caller's decision.
    Unresolved,
}

impl Pattern {
    /// A pattern in which `*` and `?` are wildcards.
    pub(crate) fn with_wildcards(text: &str) -> Result<Self, Fault> {
        Self::compile(text, true)
    }

    /// A text in which only variables are special.
    pub(crate) fn exact(text: &str) -> Result<Self, Fault> {
        Self::compile(text, false)
    }

    fn compile(text: &str, wildcards: bool) -> Result<Self, Fault> {
        let mut tokens = Making::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '$' if rest.starts_with('{') => {
                    let (name, after) = rest
                        .get(1..)
                        .and_then(|inner| inner.split_once('}'))
                        .unwrap_or_default();
                    match name {
                        "" => return Err(Fault::Variable(text.to_owned())),
                        "*" | "?" | "$" => tokens.text.push_str(name),
                        _ => tokens.push(Token::Variable {
                            variable: Variable::named(name),
                            name: name.into(),
                        }),
                    }
                    rest = after;
                }
                '*' if wildcards => tokens.push(Token::AnyRun),
                '?' if wildcards => tokens.push(Token::AnyOne),
                _ => tokens.text.push(c),
            }
        }
        let tokens = tokens.finish();
        let has_variables = tokens.iter().any(|token| matches!(token, Token::Variable { .. }));
        Ok(Self {
            text: text.into(),
            tokens,
            has_variables,
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name of the first variable that has no value here.
    pub(crate) fn unset_variable(&self, context: &Context) -> Option<&str> {
        self.tokens.iter().find_map(|token| match token {
            Token::Variable { variable, name } if context.substitution(variable).is_none() => Some(&**name),
            _ => None,
        })
    }

    /// As it is written with the values of its variables in their place.
    pub(crate) fn expanded(&self, context: &Context) -> String {
        let mut text = String::new();
        for token in &self.tokens {
            match token {
                Token::Text(part) => text.push_str(part),
                Token::AnyRun => text.push('*'),
                Token::AnyOne => text.push('?'),
                Token::Variable { variable, name } => match context.substitution(variable) {
                    Some(value) => text.push_str(value),
                    None => text.extend(["${", name, "}"]),
                },
            }
        }
        text
    }

    /// Whether the whole subject is meant.
    pub(crate) fn matches(&self, subject: &str, context: &Context) -> Match {
        if self.has_variables && self.unset_variable(context).is_some() {
            return Match::Unresolved;
        }
        match self.is_match(subject, context, &mut 0) {
            Some(true) => Match::Yes,
            _ => Match::No,
        }
    }

    /// What is before the first star begins the subject, what is after the last one ends it, and what is between two comes in
    /// between, each piece as early as it can: then there is room for the next one if there is any at all.
    fn is_match(&self, subject: &str, context: &Context, steps: &mut usize) -> Option<bool> {
        let mut pieces = self
            .tokens
            .split(|token| matches!(token, Token::AnyRun))
            .map(|tokens| Tokens { tokens, context });
        let rest = pieces.next()?.strip(subject)?;
        let Some(last) = pieces.next_back() else {
            return Some(rest.is_empty());
        };
        let mut rest = last.strip_end(rest)?;
        for piece in pieces {
            rest = piece.find(rest, steps)?;
        }
        Some(true)
    }
}

/// What is between two stars.
struct Tokens<'a> {
    tokens: &'a [Token],
    context: &'a Context,
}

impl<'a> Tokens<'a> {
    /// The text that a token stands for; none for `?`.
    fn text(&self, token: &'a Token) -> Option<&'a str> {
        match token {
            Token::Text(text) => Some(text),
            Token::Variable { variable, .. } => self.context.substitution(variable),
            Token::AnyOne | Token::AnyRun => None,
        }
    }

    /// What is left of a subject that ends with all of this.
    fn strip_end<'s>(&self, subject: &'s str) -> Option<&'s str> {
        let mut tokens = self.tokens.iter().rev();
        tokens.try_fold(subject, |rest, token| match self.text(token) {
            Some(text) => rest.strip_suffix(text),
            None => {
                let mut characters = rest.chars();
                characters.next_back()?;
                Some(characters.as_str())
            }
        })
    }

    /// What follows where this occurs first.
    fn find<'s>(&self, subject: &'s str, steps: &mut usize) -> Option<&'s str> {
        match self.tokens {
            [one] if self.text(one).is_some() => {
                let after = subject.split_once(self.text(one)?).map(|(_, after)| after);
                *steps += subject.len() - after.map_or(0, str::len);
                after
            }
            _ => search::after(self, subject, steps),
        }
    }
}

impl search::Piece for Tokens<'_> {
    fn first(&self) -> Option<&str> {
        self.tokens.first().and_then(|token| self.text(token))
    }

    fn strip<'s>(&self, subject: &'s str) -> Option<&'s str> {
        self.tokens
            .iter()
            .try_fold(subject, |rest, token| match self.text(token) {
                Some(text) => rest.strip_prefix(text),
                None => {
                    let mut characters = rest.chars();
                    characters.next()?;
                    Some(characters.as_str())
                }
            })
    }

    fn characters(&self) -> Vec<Option<char>> {
        let mut all = Vec::new();
        for token in self.tokens {
            match self.text(token) {
                Some(text) => all.extend(text.chars().map(Some)),
                None => all.push(None),
            }
        }
        all
    }
}

/// A pattern in the making: neighbouring characters become one text, neighbouring stars one star.
#[derive(Default)]
struct Making {
    text: String,
    done: Vec<Token>,
}

impl Making {
    fn push(&mut self, token: Token) {
        self.end_text();
        let repeated = matches!((&token, self.done.last()), (Token::AnyRun, Some(Token::AnyRun)));
        if !repeated {
            self.done.push(token);
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Token::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn finish(mut self) -> Box<[Token]> {
        self.end_text();
        self.done.into()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use identity::CertificateId;
    use proptest::prelude::*;

    use super::*;
    use crate::certificate_facts::CertificateFacts;
    use crate::limits::{DOCUMENT_CHARACTERS_MAX, SEARCH_CANDIDATES_MAX};

    fn context(client_id: &str) -> Context {
        let facts = Arc::new(CertificateFacts::new(CertificateId([0xab; 32])));
        Context::new(client_id, Ipv4Addr::new(192, 0, 2, 1).into(), facts, None)
    }

    fn check(pattern: &str, subject: &str, expected: Match) {
        let compiled = Pattern::with_wildcards(pattern).unwrap();
        assert_eq!(
            compiled.matches(subject, &context("c1")),
            expected,
            "{pattern} {subject}"
        );
    }

    #[test]
    fn wildcards_and_variables() {
        use Match::{No, Unresolved, Yes};
        check("", "", Yes);
        check("a", "a", Yes);
        check("a", "A", No);
        check("a", "ab", No);
        check("*", "", Yes);
        check("*", "a/b", Yes);
        check("a*", "a/b/c", Yes);
        check("*c", "a/b/c", Yes);
        check("a*b*c", "a-b-b-c", Yes);
        check("a*b*c", "a-c-b", No);
        check("*ab", "aab", Yes);
        check("**a", "a", Yes);
        check("a?c", "abc", Yes);
        check("a?c", "a/c", Yes);
        check("a?c", "aäc", Yes);
        check("a?c", "ac", No);
        check("*?c", "ääc", Yes);
        check("a/+/#", "a/+/#", Yes);
        check("a/+/#", "a/b/c", No);
        check("${*}", "*", Yes);
        check("${*}", "x", No);
        check("${?}${$}", "?$", Yes);
        check("$aws/x", "$aws/x", Yes);
        check("${iot:ClientId}/x", "c1/x", Yes);
        check("${iot:ClientId}/x", "c2/x", No);
        check("*/${iot:ClientId}*", "a/c1/b", Yes);
        check("${aws:SourceIp}", "192.0.2.1", Yes);
        check("${iot:CertificateId}", &"ab".repeat(32), Yes);
        check(
            "${iot:Connection.Thing.ThingName}",
            "${iot:Connection.Thing.ThingName}",
            Unresolved,
        );
        check("${nobody:Knows}*", "x", Unresolved);
    }

    #[test]
    fn a_value_that_would_widen_a_pattern_is_not_put_in() {
        let pattern = Pattern::with_wildcards("t/${iot:ClientId}").unwrap();
        for client_id in ["*", "a*", "?", "$x", "+", "#", "", &"x".repeat(1025)] {
            let subject = format!("t/{client_id}");
            assert_eq!(
                pattern.matches(&subject, &context(client_id)),
                Match::Unresolved,
                "{client_id}"
            );
        }
        let longest = "x".repeat(1024);
        assert_eq!(
            pattern.matches(&format!("t/{longest}"), &context(&longest)),
            Match::Yes
        );
    }

    #[test]
    fn unended_variables_are_refused() {
        for text in ["${", "a${iot:ClientId", "${}", "$${"] {
            assert_eq!(
                Pattern::with_wildcards(text).unwrap_err(),
                Fault::Variable(text.to_owned())
            );
        }
        assert!(Pattern::with_wildcards("$").is_ok());
        assert!(Pattern::with_wildcards("a}b{c").is_ok());
    }

    #[test]
    fn exact_texts_have_no_wildcards() {
        let exact = Pattern::exact("a*?").unwrap();
        assert_eq!(exact.matches("a*?", &context("c")), Match::Yes);
        assert_eq!(exact.matches("ab!", &context("c")), Match::No);
    }

    /// Steps that a comparison takes, at most: each piece of a pattern costs what its length says, wherever it is looked for.
    fn steps_max(pattern: &str, subject: &str) -> usize {
        let subject = subject.len() + 1;
        SEARCH_CANDIDATES_MAX * pattern.len() + subject * (2 + pattern.len() / 32) + 4 * subject
    }

    #[test]
    fn no_pattern_and_no_topic_make_a_comparison_long() {
        let longest = DOCUMENT_CHARACTERS_MAX;
        let long_runs = |piece: &str| piece.repeat(longest / piece.len());
        let patterns = [
            long_runs("*a"),
            long_runs("*?"),
            format!("*{}*", long_runs("a?")),
            format!("*{}b*", long_runs("?a")),
            format!("*{}b", long_runs("a")),
            format!("*{}b*", long_runs("a")),
            format!("*a{}b*", long_runs("?")),
            format!("*{}${{iot:ClientId}}b*", long_runs("a")),
            long_runs("*a?a"),
            long_runs("*ab?*a"),
        ];
        for pattern in &patterns {
            let compiled = Pattern::with_wildcards(pattern).unwrap();
            for subject in ["a", "b", "ab", "aab", "ä"] {
                let subject = subject.repeat((64 << 10) / subject.len());
                let mut steps = 0;
                let _decided = compiled.is_match(&subject, &context("aaa"), &mut steps);
                let most = steps_max(pattern, &subject);
                assert!(steps <= most, "{steps} steps of {most}: {}", &pattern[..20]);
            }
        }
    }

    /// The obvious recursive definition.
    fn plain(pattern: &[char], subject: &[char]) -> bool {
        match (pattern, subject) {
            ([], _) => subject.is_empty(),
            (['*', rest @ ..], _) => (0..=subject.len()).any(|n| plain(rest, &subject[n..])),
            (['?', rest @ ..], [_, tail @ ..]) => plain(rest, tail),
            ([c, rest @ ..], [d, tail @ ..]) => c == d && plain(rest, tail),
            (_, []) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_the_obvious_definition(pattern in "[ab*?ä]{0,8}", subject in "[abä]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = if plain(&chars(&pattern), &chars(&subject)) { Match::Yes } else { Match::No };
            let compiled = Pattern::with_wildcards(&pattern).unwrap();
            prop_assert_eq!(compiled.matches(&subject, &context("c")), expected);
        }

        /// Long pieces and subjects of few different characters, so that places are followed over several words of bits.
        #[test]
        fn agrees_with_the_obvious_definition_over_long_texts(
            piece in "[ab?]{60,140}", before in "[ab]{0,150}", put_in: bool, after in "[ab]{0,30}",
        ) {
            let body = if put_in { piece.replace('?', "b") } else { String::new() };
            let (pattern, subject) = (format!("*{piece}*"), format!("{before}{body}{after}"));
            let (piece, text): (Vec<char>, Vec<char>) = (piece.chars().collect(), subject.chars().collect());
            let fits = |part: &[char]| part.iter().zip(&piece).all(|(have, want)| *want == '?' || have == want);
            let expected = if text.windows(piece.len()).any(fits) { Match::Yes } else { Match::No };
            let compiled = Pattern::with_wildcards(&pattern).unwrap();
            prop_assert_eq!(compiled.matches(&subject, &context("c")), expected);
        }
    }
}
