//! What a client shows an authorizer, and where it may stand: in headers, in a query, in a CONNECT.
//!
//! It stands between the wires and the question. Names are those of the AWS IoT developer guide ("Connecting to AWS IoT Core
//! by using custom authentication"); a header goes before the query, and both before the user name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::authorizer::Authorizer;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::api::{decode_text, object, query_pairs};
use crate::domains::Domain;

pub(super) const NAME: &str = "x-amz-customauthorizer-name";
pub(super) const SIGNATURE: &str = "x-amz-customauthorizer-signature";

/// What a client shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    /// The authorizer of the endpoint that it reached.
    pub(super) authorizer: Option<&'a str>,
    /// It may not choose another one.
    pub(super) is_fixed: bool,
    /// The name in its ClientHello.
    server_name: Option<&'a str>,
    /// Its HTTP request: headers and query.
    http: Option<(&'a HeaderMap, &'a str)>,
    /// Its CONNECT.
    mqtt: Option<Login<'a>>,
}

/// What a CONNECT shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Login<'a> {
    /// User name; what follows a question mark in it are parameters.
    pub(crate) user_name: Option<&'a str>,
    /// Password.
    pub(crate) password: Option<&'a [u8]>,
    /// Client id.
    pub(crate) client_id: &'a str,
}

/// A token, its signature, and where they came in.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) token: Option<String>,
    /// Base64.
    pub(crate) signature: Option<String>,
    /// Which protocols the client spoke, and what they carried.
    pub(crate) protocols: Map<String, Value>,
}

/// Whether an HTTP request asks for an authorizer's decision.
pub(crate) fn is_asked(headers: &HeaderMap, query: &str) -> bool {
    let credentials = Credentials::default().with_http(headers, query);
    credentials.parameter(NAME).is_some() || credentials.parameter(SIGNATURE).is_some()
}

impl<'a> Credentials<'a> {
    /// Of a client that reached this domain, by this name.
    pub(crate) fn at(domain: Option<&'a Domain>, server_name: Option<&'a str>) -> Self {
        let named = domain.and_then(|domain| domain.configuration.authorizer.as_ref());
        Self {
            authorizer: named.and_then(|named| named.default.as_deref()),
            is_fixed: named.is_some_and(|named| named.default.is_some() && !named.overridable),
            server_name,
            ..Self::default()
        }
    }

    /// With an HTTP request: its headers and its query.
    pub(crate) fn with_http(self, headers: &'a HeaderMap, query: &'a str) -> Self {
        let http = Some((headers, query));
        Self { http, ..self }
    }

    /// With a CONNECT.
    pub(crate) fn with_login(self, login: Login<'a>) -> Self {
        let mqtt = Some(login);
        Self { mqtt, ..self }
    }

    /// Headers and query of its HTTP request.
    pub(super) const fn of_request(&self) -> Option<(&'a HeaderMap, &'a str)> {
        self.http
    }

    /// A parameter, wherever it stands: in a header, in the query, or in the user name.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let header = || {
            let (headers, _) = self.http?;
            headers.get(name)?.to_str().ok().map(str::to_owned)
        };
        let query = || self.http.and_then(|(_, query)| in_query(query, name));
        let login = || {
            let (_, parameters) = self.mqtt?.user_name?.split_once('?')?;
            in_query(parameters, name)
        };
        header().or_else(query).or_else(login)
    }

    pub(super) fn shown(&self, authorizer: &Authorizer) -> Shown {
        let token_key = Some(authorizer.token_key_name.as_str()).filter(|name| !name.is_empty());
        let mut protocols = Map::new();
        protocols.insert("tls".into(), object(json!({ "serverName": self.server_name })));
        if let Some((headers, query)) = self.http {
            protocols.insert("http".into(), request(headers, query));
        }
        if let Some(login) = self.mqtt {
            let password = login.password.map(|password| STANDARD.encode(password));
            let client_id = Some(login.client_id).filter(|id| !id.is_empty());
            let carried = json!({ "username": login.user_name, "password": password, "clientId": client_id });
            protocols.insert("mqtt".into(), object(carried));
        }
        Shown {
            token: token_key.and_then(|name| self.parameter(name)),
            signature: self.parameter(SIGNATURE),
            protocols,
        }
    }
}

fn request(headers: &HeaderMap, query: &str) -> Value {
    let headers = headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?)));
    let headers: Map<_, _> = headers.map(|(name, value)| (name, value.into())).collect();
    let query = match query {
        "" => String::new(),
        query => format!("?{query}"),
    };
    json!({ "headers": headers, "queryString": query })
}

/// A parameter of a query; percent-encoded, since signatures hold characters that mean something there.
fn in_query(query: &str, name: &str) -> Option<String> {
    let mut pairs = query_pairs(query);
    let (_, value) = pairs.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    decode_text(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_wherever_they_stand() {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, "from-header".parse().unwrap());
        let login = Login {
            user_name: Some("me?SDK=x&x-amz-customauthorizer-name=from-name&tok=a%2Bb"),
            ..Login::default()
        };
        let query = "X-Amz-CustomAuthorizer-Name=from-query&tok=q";
        let all = Credentials::default()
            .with_http(&headers, query)
            .with_login(login);
        assert_eq!(all.parameter(NAME).as_deref(), Some("from-header"));
        assert_eq!(all.parameter("tok").as_deref(), Some("q"));
        let alone = Credentials::default().with_login(login);
        assert_eq!(alone.parameter(NAME).as_deref(), Some("from-name"));
        assert_eq!(alone.parameter("tok").as_deref(), Some("a+b"));
        assert_eq!(alone.parameter("SDK2"), None);
        let bare = Login {
            user_name: Some("me"),
            ..Login::default()
        };
        assert_eq!(Credentials::default().with_login(bare).parameter(NAME), None);
    }

    #[test]
    fn an_authorizer_is_asked_for_by_name_or_by_signature() {
        let mut headers = HeaderMap::new();
        assert!(!is_asked(&headers, "qos=1&token=t"));
        assert!(is_asked(&headers, "qos=1&x-amz-customauthorizer-signature=s"));
        headers.insert(NAME, "gate".parse().unwrap());
        assert!(is_asked(&headers, ""));
    }
}
