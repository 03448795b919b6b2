//! Plain values as JSON: the form in which records that are kept whole stand in their table, and leave for another cloud.

use fleet::plain::Plain;
use serde_json::{Map, Value};

use crate::error::Error;

/// As a JSON text.
pub(crate) fn text(plain: &Plain) -> String {
    value(plain).to_string()
}

/// From a JSON text.
pub(crate) fn read(text: &str) -> Result<Plain, Error> {
    let value = serde_json::from_str(text);
    let value =
        value.map_err(|fault: serde_json::Error| Error::corrupt("resource.body", fault.to_string()))?;
    plain(value).ok_or_else(|| Error::corrupt("resource.body", "a number that is not whole".to_owned()))
}

/// As JSON; a member that is nothing is left out.
pub fn value(plain: &Plain) -> Value {
    match plain {
        Plain::Nothing => Value::Null,
        Plain::Flag(flag) => Value::Bool(*flag),
        Plain::Number(number) => Value::from(*number),
        Plain::Text(text) => Value::String(text.clone()),
        Plain::List(items) => items.iter().map(value).collect(),
        Plain::Map(members) => members
            .iter()
            .filter(|(_, member)| **member != Plain::Nothing)
            .map(|(name, member)| (name.clone(), value(member)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// From JSON; `None` if it holds a number that is not whole.
pub fn plain(value: Value) -> Option<Plain> {
    Some(match value {
        Value::Null => Plain::Nothing,
        Value::Bool(flag) => Plain::Flag(flag),
        Value::Number(number) => Plain::Number(number.as_i64()?),
        Value::String(text) => Plain::Text(text),
        Value::Array(items) => Plain::List(items.into_iter().map(plain).collect::<Option<_>>()?),
        Value::Object(members) => Plain::Map(
            members
                .into_iter()
                .map(|(name, member)| Some((name, plain(member)?)))
                .collect::<Option<_>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_is_read_back() {
        let body = Plain::Map(
            [
                (
                    "a".to_owned(),
                    Plain::List(vec![Plain::Flag(true), Plain::Nothing]),
                ),
                ("b".to_owned(), Plain::Text("ü\"".to_owned())),
                ("c".to_owned(), Plain::Number(i64::MIN)),
                ("d".to_owned(), Plain::Map([].into())),
            ]
            .into(),
        );
        assert_eq!(read(&text(&body)).unwrap(), body);
    }

    #[test]
    fn what_was_never_written_is_damage() {
        for damaged in ["", "{", "1.5", "[1e300]"] {
            assert!(read(damaged).is_err(), "{damaged}");
        }
    }
}
