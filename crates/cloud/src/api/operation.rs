//! What an API operation looks like on the wire, and how a request finds the one it means.
//!
//! It stands between HTTP and the operations: one row of data each ([`Operation`]), and one parser for all of them. The
//! names of members are those of the AWS IoT API reference. It must never accept a request of one operation for another:
//! method and every fixed part of the path must be equal.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::encoding::{decode_text, query_pairs};
use super::fault::ApiFault;
use super::sigv4::{Denied, Incoming};

/// Where a member of a request stands, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name in the model.
    name: &'static str,
    /// Its name on the wire.
    wire: &'static str,
    place: Place,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Query,
    Header,
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
}

/// A text in the query.
pub(super) const fn query(name: &'static str) -> Member {
    Member {
        name,
        wire: name,
        place: Place::Query,
        kind: Kind::Text,
    }
}

/// `true` or `false` in the query.
pub(super) const fn flag(name: &'static str) -> Member {
    Member {
        name,
        wire: name,
        place: Place::Query,
        kind: Kind::Flag,
    }
}

/// A whole number in the query.
pub(super) const fn number(name: &'static str) -> Member {
    Member {
        name,
        wire: name,
        place: Place::Query,
        kind: Kind::Number,
    }
}

/// A text in a header.
pub(super) const fn header(wire: &'static str, name: &'static str) -> Member {
    Member {
        name,
        wire,
        place: Place::Header,
        kind: Kind::Text,
    }
}

/// The whole body, whatever it is: it is not read as JSON.
pub(super) const PAYLOAD: Member = Member {
    name: "payload",
    wire: "",
    place: Place::Body,
    kind: Kind::Text,
};

/// One operation; `H` is what does it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<H> {
    /// Its name, e.g. `DescribeThing`.
    pub(super) name: &'static str,
    /// The method, upper case.
    pub(super) method: &'static str,
    /// The path: `{name}` takes one segment, `{name+}` at the end takes all that follow.
    pub(super) path: &'static str,
    /// Members outside path and body.
    pub(super) members: &'static [Member],
    /// What does it.
    pub(super) handler: H,
}

/// The members of one request under their names in the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Input {
    members: Map<String, Value>,
}

impl Input {
    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    /// The members as the operation wants them.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ApiFault> {
        serde_json::from_value(Value::Object(self.members))
            .map_err(|error| ApiFault::invalid("cloud.api.member", error.to_string()))
    }
}

/// The row of `table` that a request means, with what its path says.
pub(super) fn route<'t, H>(
    table: &'t [Operation<H>],
    method: &str,
    path: &str,
) -> Option<(&'t Operation<H>, Input)> {
    table
        .iter()
        .filter(|operation| operation.method == method)
        .find_map(|operation| {
            let members = match_path(operation.path, path)?;
            Some((operation, Input { members }))
        })
}

/// Whether any row of `table` has this path, whatever its method.
pub(super) fn is_path<H>(table: &[Operation<H>], path: &str) -> bool {
    table
        .iter()
        .any(|operation| match_path(operation.path, path).is_some())
}

fn match_path(template: &str, path: &str) -> Option<Map<String, Value>> {
    let mut members = Map::new();
    let mut rest = Some(path.strip_prefix('/')?);
    for part in template.trim_start_matches('/').split('/') {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let remaining = rest?;
        if let Some(name) = name.and_then(|name| name.strip_suffix('+')) {
            members.insert(
                name.into(),
                decode_text(remaining).filter(|text| !text.is_empty())?.into(),
            );
            return Some(members);
        }
        let (segment, after) = match remaining.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (remaining, None),
        };
        match name {
            Some(name) => drop(members.insert(
                name.into(),
                decode_text(segment).filter(|text| !text.is_empty())?.into(),
            )),
            None if segment == part => {}
            None => return None,
        }
        rest = after;
    }
    matches!(rest, None | Some("")).then_some(members)
}

/// Adds what stands in query, headers and body to what the path said. The body is a JSON object or empty; a member of
/// the path, the query or a header cannot be overruled by it, and a header counts only if it is signed.
pub(super) fn bind(
    members: &[Member],
    request: &Incoming<'_>,
    mut input: Input,
    is_signed: impl Fn(&str) -> bool,
) -> Result<Input, ApiFault> {
    for member in members {
        if member.place == Place::Header
            && request.headers.contains_key(member.wire)
            && !is_signed(member.wire)
        {
            return Err(ApiFault::Denied(Denied::Incomplete(
                "a header that the operation reads is not signed",
            )));
        }
        let text = match member.place {
            Place::Query => query_text(request.query, member.wire)?,
            Place::Header => header_text(request, member.wire)?,
            Place::Body => return Ok(input),
        };
        if let Some(text) = text {
            input.members.insert(member.name.into(), member.value(text)?);
        }
    }
    for (name, value) in read_body(request.body)? {
        if !members.iter().any(|member| member.name == name) && !value.is_null() {
            input.members.entry(name).or_insert(value);
        }
    }
    Ok(input)
}

impl Member {
    fn value(&self, text: String) -> Result<Value, ApiFault> {
        let wrong = |wanted: &str| {
            ApiFault::invalid(
                "cloud.api.member",
                format!("{} must be {wanted}, not \"{}\"", self.name, text.escape_debug()),
            )
        };
        match self.kind {
            Kind::Text => Ok(Value::String(text)),
            Kind::Flag => text
                .to_ascii_lowercase()
                .parse()
                .map(Value::Bool)
                .map_err(|_| wrong("true or false")),
            Kind::Number => text
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| wrong("a whole number")),
        }
    }
}

fn query_text(query: &str, name: &str) -> Result<Option<String>, ApiFault> {
    query_pairs(query)
        .find(|(found, _)| *found == name)
        .map(|(_, value)| decode_query(name, value))
        .transpose()
}

/// In a query a plus sign stands for a space, as HTML forms encode it; a signed plus sign comes as `%2B`.
fn decode_query(name: &str, value: &str) -> Result<String, ApiFault> {
    decode_text(&value.replace('+', " "))
        .ok_or_else(|| ApiFault::invalid("cloud.api.member", format!("{name} is not UTF-8")))
}

fn header_text(request: &Incoming<'_>, name: &str) -> Result<Option<String>, ApiFault> {
    let not_text = |_| ApiFault::invalid("cloud.api.member", format!("the header {name} is not ASCII text"));
    request
        .headers
        .get(name)
        .map(|value| value.to_str().map(str::to_owned).map_err(not_text))
        .transpose()
}

fn read_body(body: &[u8]) -> Result<Map<String, Value>, ApiFault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiFault::invalid(
            "cloud.api.body",
            "the body must be a JSON object",
        )),
        Err(error) => Err(ApiFault::invalid(
            "cloud.api.body",
            format!("the body is not JSON: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    const TABLE: [Operation<u8>; 5] = [
        row("GET", "/things/{thingName}", 0),
        row("GET", "/things/{thingName}/principals", 1),
        row("POST", "/attached-policies/{target+}", 2),
        row("DELETE", "/policies/{policyName}/version/{policyVersionId}", 3),
        row("GET", "/things", 4),
    ];

    const fn row(method: &'static str, path: &'static str, handler: u8) -> Operation<u8> {
        Operation {
            name: "",
            method,
            path,
            members: &[],
            handler,
        }
    }

    fn check(method: &str, path: &str, expected: Option<(u8, Value)>) {
        let found =
            route(&TABLE, method, path).map(|(row, input)| (row.handler, Value::Object(input.members)));
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn paths_find_their_operation() {
        const ARN: &str = "arn:aws:iot:us-east-1:123456789012:cert/00";
        check("GET", "/things", Some((4, json!({}))));
        check("GET", "/things/", Some((4, json!({}))));
        check("GET", "/things/a%3Ab", Some((0, json!({"thingName": "a:b"}))));
        check(
            "GET",
            "/things/a:b/principals",
            Some((1, json!({"thingName": "a:b"}))),
        );
        check(
            "POST",
            &format!("/attached-policies/{ARN}"),
            Some((2, json!({"target": ARN}))),
        );
        check(
            "POST",
            &format!("/attached-policies/{}", ARN.replace('/', "%2F")),
            Some((2, json!({"target": ARN}))),
        );
        check(
            "DELETE",
            "/policies/p/version/2",
            Some((3, json!({"policyName": "p", "policyVersionId": "2"}))),
        );
    }

    #[test]
    fn other_paths_find_none() {
        for (method, path) in [
            ("PUT", "/things/a"),
            ("GET", "/things/a/b"),
            ("GET", "/things/a/principals/b"),
            ("GET", "things"),
            ("GET", "/"),
            ("POST", "/attached-policies/"),
            ("POST", "/attached-policies"),
            ("GET", "/things//principals"),
            ("GET", "/things/%ff"),
        ] {
            check(method, path, None);
        }
    }

    fn bound(members: &[Member], query: &str, body: &str) -> Result<Value, ApiFault> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-principal", "arn".parse().unwrap());
        let request = Incoming {
            method: "GET",
            path: "/",
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        bind(members, &request, Input::default(), |header| {
            header == "x-amzn-principal"
        })
        .map(|input| Value::Object(input.members))
    }

    #[test]
    fn members_come_from_query_header_and_body() {
        let members = [
            query("marker"),
            flag("setAsActive"),
            number("pageSize"),
            header("x-amzn-principal", "principal"),
        ];
        assert_eq!(
            bound(
                &members,
                "pageSize=5&setAsActive=true&marker=a%2Bb+c&other=1",
                r#"{"target":"t","pageSize":7,"x":null}"#
            )
            .unwrap(),
            json!({"pageSize": 5, "setAsActive": true, "marker": "a+b c", "principal": "arn", "target": "t"}),
        );
    }

    #[test]
    fn an_unsigned_header_is_no_member() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-principal", "arn".parse().unwrap());
        let request = Incoming {
            method: "GET",
            path: "/",
            query: "",
            headers: &headers,
            body: b"",
        };
        let members = [header("x-amzn-principal", "principal")];
        assert!(bind(&members, &request, Input::default(), |_| false).is_err());
    }

    #[test]
    fn malformed_members_are_refused() {
        let members = [flag("setAsActive"), number("pageSize"), query("marker")];
        for (query, body) in [
            ("pageSize=x", ""),
            ("pageSize=1.5", ""),
            ("setAsActive=1", ""),
            ("marker=%ff", ""),
            ("", "[]"),
            ("", "{"),
        ] {
            assert!(bound(&members, query, body).is_err(), "{query} {body}");
        }
    }
}
