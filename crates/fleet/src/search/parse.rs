//! Reads queries: words, phrases, ranges, comparisons, parentheses, AND, OR, NOT and the minus sign.
//!
//! Words that stand beside each other are joined by AND. AND binds closer than OR. Everything from outside is bounded: the
//! length of a query, its terms, its wildcards and how deep its parentheses go.

use super::{Bound, Node, Piece, Test, number};
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX, QUERY_WILDCARDS_MAX};
use crate::refusal::{Exception, Refusal};

type Parsed<T> = Result<T, Refusal>;

fn wrong(why: impl Into<String>) -> Refusal {
    Refusal::new(
        Exception::InvalidQuery,
        "fleet.search.query",
        format!("the query cannot be understood: {}", why.into()),
    )
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Colon,
    Minus,
    And,
    Or,
    Not,
    /// `<`, `<=`, `>`, `>=`
    Compare {
        below: bool,
        inside: bool,
    },
    /// Characters, and whether each was escaped or quoted.
    Word(Vec<(char, bool)>),
    Phrase(String),
    /// `[`, or `{`
    RangeOpen(bool),
    /// `]`, or `}`
    RangeClose(bool),
}

/// Reads a whole query.
pub(super) fn parse(text: &str) -> Parsed<Node> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(wrong(format!("it is longer than {QUERY_BYTES_MAX} bytes")));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(wrong("it is empty").hint("* finds everything"));
    }
    let mut reader = Reader {
        tokens: &tokens,
        terms: 0,
    };
    let node = reader.either(None, 0)?;
    match reader.tokens {
        [] => Ok(node),
        _ => Err(wrong("a parenthesis is closed that was not opened")),
    }
}

fn tokens(text: &str) -> Parsed<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            letter if letter.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ':' => Token::Colon,
            '-' => Token::Minus,
            '[' => Token::RangeOpen(true),
            '{' => Token::RangeOpen(false),
            ']' => Token::RangeClose(true),
            '}' => Token::RangeClose(false),
            '<' | '>' => Token::Compare {
                below: letter == '<',
                inside: letters.next_if_eq(&'=').is_some(),
            },
            '"' => Token::Phrase(phrase(&mut letters)?),
            first => word(first, &mut letters)?,
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn phrase(letters: &mut impl Iterator<Item = char>) -> Parsed<String> {
    let mut text = String::new();
    loop {
        match letters.next() {
            None => return Err(wrong("a quotation mark is missing")),
            Some('"') => return Ok(text),
            Some('\\') => text.extend(letters.next()),
            Some(letter) => text.push(letter),
        }
    }
}

/// A minus sign inside a word is a part of it.
fn word(first: char, letters: &mut core::iter::Peekable<core::str::Chars<'_>>) -> Parsed<Token> {
    let mut word = Vec::new();
    let mut next = Some(first);
    while let Some(letter) = next {
        match letter {
            '\\' => {
                let escaped = letters.next().ok_or_else(|| wrong("it ends with a backslash"))?;
                word.push((escaped, true));
            }
            plain => word.push((plain, false)),
        }
        next = letters.next_if(|letter| !letter.is_whitespace() && !"()[]{}:<>\"".contains(*letter));
    }
    let is = |text: &str| {
        word.iter().all(|(_, escaped)| !escaped) && word.iter().map(|(letter, _)| *letter).eq(text.chars())
    };
    Ok(match () {
        () if is("AND") => Token::And,
        () if is("OR") => Token::Or,
        () if is("NOT") => Token::Not,
        () => Token::Word(word),
    })
}

struct Reader<'a> {
    tokens: &'a [Token],
    terms: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            let _ = self.next();
        }
        found
    }

    /// `a OR b OR c`
    fn either(&mut self, field: Option<&str>, depth: usize) -> Parsed<Node> {
        let mut parts = vec![self.both(field, depth)?];
        while self.take(&Token::Or) {
            parts.push(self.both(field, depth)?);
        }
        Ok(joined(parts, Node::Or))
    }

    /// `a AND b c`
    fn both(&mut self, field: Option<&str>, depth: usize) -> Parsed<Node> {
        let mut parts = vec![self.part(field, depth)?];
        loop {
            match self.tokens.first() {
                None | Some(Token::Or | Token::Close) => return Ok(joined(parts, Node::And)),
                Some(Token::And) => {
                    let _ = self.next();
                }
                Some(_) => {}
            }
            parts.push(self.part(field, depth)?);
        }
    }

    fn part(&mut self, field: Option<&str>, depth: usize) -> Parsed<Node> {
        if depth > QUERY_DEPTH_MAX {
            return Err(wrong(format!("it goes deeper than {QUERY_DEPTH_MAX} levels")));
        }
        match self.next() {
            Some(Token::Not | Token::Minus) => Ok(Node::Not(Box::new(self.part(field, depth + 1)?))),
            Some(Token::Open) => {
                let inside = self.either(field, depth + 1)?;
                match self.take(&Token::Close) {
                    true => Ok(inside),
                    false => Err(wrong("a parenthesis is not closed")),
                }
            }
            Some(Token::Word(word)) => self.word(word, field, depth),
            Some(Token::Phrase(text)) => self.term(field, Test::Is(text.to_lowercase())),
            Some(Token::RangeOpen(inside)) if field.is_some() => {
                let test = self.range(*inside)?;
                self.term(field, test)
            }
            Some(Token::Compare { below, inside }) if field.is_some() => {
                let test = self.comparison(*below, *inside)?;
                self.term(field, test)
            }
            None | Some(Token::And | Token::Or | Token::Close) => {
                Err(wrong("something is missing after an operator or in parentheses"))
            }
            Some(_) => Err(wrong("a value or the name of a field is missing")),
        }
    }

    /// The name of a field if something follows it that fields have, or else a value.
    fn word(&mut self, word: &[(char, bool)], field: Option<&str>, depth: usize) -> Parsed<Node> {
        let named = match self.tokens.first() {
            Some(Token::Colon) => true,
            Some(Token::Compare { .. }) => false,
            _ => {
                let test = test_of(word)?;
                return self.term(field, test);
            }
        };
        if field.is_some() {
            return Err(wrong("a field stands inside another one"));
        }
        if named {
            let _ = self.next();
        }
        let name: String = word.iter().map(|(letter, _)| letter).collect();
        match self.tokens.first() {
            // `field:-75` is a value below zero.
            Some(Token::Minus) => {
                let _ = self.next();
                match self.next() {
                    Some(Token::Word(word)) => {
                        let mut negative = vec![('-', true)];
                        negative.extend(word);
                        let test = test_of(&negative)?;
                        self.term(Some(&name), test)
                    }
                    _ => Err(wrong("a value is missing after a minus sign")),
                }
            }
            Some(
                Token::Open | Token::Word(_) | Token::Phrase(_) | Token::RangeOpen(_) | Token::Compare { .. },
            ) => self.part(Some(&name), depth + 1),
            _ => Err(wrong(format!("the field {name} has no value"))),
        }
    }

    fn term(&mut self, field: Option<&str>, test: Test) -> Parsed<Node> {
        self.terms += 1;
        if self.terms > QUERY_TERMS_MAX {
            return Err(wrong(format!("it has more than {QUERY_TERMS_MAX} terms")));
        }
        Ok(match (field, test) {
            (None, Test::Exists) => Node::All,
            (field, test) => Node::Term(field.map(str::to_owned), test),
        })
    }

    /// `[a TO b]`, `{a TO b]` and so on; `*` is no bound.
    fn range(&mut self, low_inside: bool) -> Parsed<Test> {
        let low = self.bound()?;
        match self.next() {
            Some(Token::Word(word)) if word.iter().map(|(letter, _)| *letter).eq("TO".chars()) => {}
            _ => return Err(wrong("a range needs TO between its ends")),
        }
        let high = self.bound()?;
        let Some(Token::RangeClose(high_inside)) = self.next() else {
            return Err(wrong("a range is not closed"));
        };
        let (low, high) = match (low, high) {
            (None, None) => return Ok(Test::Exists),
            (low, high) => (bound_of(low, low_inside), bound_of(high, *high_inside)),
        };
        Ok(agree(low, high))
    }

    /// One end: a value with its quotation, or `*`.
    fn bound(&mut self) -> Parsed<Option<(String, bool)>> {
        let negative = self.take(&Token::Minus);
        match self.next() {
            Some(Token::Phrase(text)) if !negative => Ok(Some((text.to_lowercase(), true))),
            Some(Token::Word(word)) if word.as_slice() == [('*', false)] && !negative => Ok(None),
            Some(Token::Word(word)) => {
                let sign = if negative { "-" } else { "" };
                let text: String = word.iter().map(|(letter, _)| letter).collect();
                Ok(Some((format!("{sign}{}", text.to_lowercase()), false)))
            }
            _ => Err(wrong("an end of a range is missing")),
        }
    }

    /// `<5`
    fn comparison(&mut self, below: bool, inside: bool) -> Parsed<Test> {
        let bound = self.bound()?;
        if bound.is_none() {
            return Err(wrong("nothing can be compared with *"));
        }
        let bound = bound_of(bound, inside);
        Ok(match below {
            true => Test::Between(Bound::Open, bound),
            false => Test::Between(bound, Bound::Open),
        })
    }
}

fn joined(mut parts: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

fn bound_of(value: Option<(String, bool)>, inside: bool) -> Bound {
    match value {
        None => Bound::Open,
        Some((text, quoted)) => match number(&text).filter(|_| !quoted) {
            Some(number) => Bound::Number(number, inside),
            None => Bound::Text(text, inside),
        },
    }
}

/// A range between a number and a text is one between texts.
fn agree(low: Bound, high: Bound) -> Test {
    let text = |bound: Bound| match bound {
        Bound::Number(number, inside) => Bound::Text(number.to_string(), inside),
        other => other,
    };
    match (&low, &high) {
        (Bound::Number(..), Bound::Text(..)) | (Bound::Text(..), Bound::Number(..)) => {
            Test::Between(text(low), text(high))
        }
        _ => Test::Between(low, high),
    }
}

fn test_of(word: &[(char, bool)]) -> Parsed<Test> {
    if word == [('*', false)] {
        return Ok(Test::Exists);
    }
    let is_wildcard = |(letter, escaped): &(char, bool)| !escaped && matches!(letter, '*' | '?');
    let wildcards = word.iter().filter(|letter| is_wildcard(letter)).count();
    if wildcards == 0 {
        let text: String = word.iter().map(|(letter, _)| letter).collect();
        return Ok(Test::Is(text.to_lowercase()));
    }
    if word.first().is_some_and(is_wildcard) {
        return Err(wrong("a value begins with a wildcard").hint("* alone finds everything"));
    }
    if wildcards > QUERY_WILDCARDS_MAX {
        return Err(wrong(format!(
            "a value has more than {QUERY_WILDCARDS_MAX} wildcards"
        )));
    }
    Ok(Test::Like(
        word.iter()
            .map(|letter| match letter {
                ('*', false) => Piece::Many,
                ('?', false) => Piece::One,
                (letter, _) => Piece::Char(letter.to_ascii_lowercase()),
            })
            .collect(),
    ))
}
