//! The signature check against vectors that others computed.
//!
//! `PUBLISHED` are from the AWS Signature Version 4 test suite; `SIGNED` were computed with botocore 1.43.11.

use http::{HeaderMap, HeaderName, HeaderValue};
use identity::UnixMillis;
use zeroize::Zeroizing;

use super::claim::Claim;
use super::{
    AccessKey, Caller, Denied, FORMS, Form, Incoming, check_signature, signing_key, verify, verify_websocket,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-23T01:02:03Z.
const NOW_SECONDS: i64 = 1_795_395_723;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

/// Name, method, path, query, further headers, signed headers, signature.
type Published = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const PUBLISHED: [Published; 8] = [
    (
        "get-vanilla",
        "GET",
        "/",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-query",
        "GET",
        "/",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/",
        "Param2=value2&Param1=value1",
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-relative",
        "GET",
        "/example/..",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-relative-relative",
        "GET",
        "/example1/example2/../..",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash",
        "GET",
        "//",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash-dot-slash",
        "GET",
        "/./",
        "",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "post-vanilla",
        "POST",
        "/",
        "",
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
];

#[test]
fn published_vectors_are_reproduced() {
    for (name, method, path, query, signed, signature) in PUBLISHED {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, \
             Signature={signature}"
        );
        let headers = headers(&[
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", &authorization),
        ]);
        let request = Incoming {
            method,
            path,
            query,
            headers: &headers,
            body: b"",
        };
        let claim = Claim::read(&request).unwrap();
        let key = signing_key(SECRET, &claim.scope);
        assert_eq!(
            check_signature(&request, &claim, &key, Form::default()),
            Ok(()),
            "{name}"
        );
    }
}

/// One request, signed by botocore.
#[derive(Clone)]
struct Signed {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: &'static [u8],
    extra: Option<(&'static str, &'static str)>,
    scope: &'static str,
    signed_headers: &'static str,
    signature: &'static str,
}

const SIGNED: [Signed; 4] = [
    Signed {
        method: "GET",
        path: "/things",
        query: "maxResults=5&attributeName=a%20b",
        body: b"",
        extra: None,
        scope: "us-east-1/iot",
        signed_headers: "host;x-amz-date",
        signature: "c70694b8780f8d78a79aa83f1d5dc3d6109ac5308dd57fe97195bd0692b6e10f",
    },
    Signed {
        method: "PUT",
        path: "/things/a%3Ab/principals",
        query: "",
        body: b"",
        extra: Some(("x-amzn-principal", "arn:aws:iot:us-east-1:123456789012:cert/00")),
        scope: "us-east-1/iot",
        signed_headers: "host;x-amz-date;x-amzn-principal",
        signature: "f095b9f61e9559d6bbb0bec8fb2d5ba6748b7c329fc2feaea9a7c1faa41d30c7",
    },
    Signed {
        method: "POST",
        path: "/attached-policies/arn%3Aaws%3Aiot%3Aus-east-1%3A123456789012%3Acert%2F00",
        query: "",
        body: b"{}",
        extra: None,
        scope: "us-east-1/iot",
        signed_headers: "host;x-amz-date",
        signature: "669e74b572b47deb52bcc486b3a3819bf310c895fec168d900348c7e05bfef03",
    },
    Signed {
        method: "POST",
        path: "/topics/dt%2Fa%20b%2Ft",
        query: "qos=1",
        body: b"hello",
        extra: None,
        scope: "eu-west-1/iotdata",
        signed_headers: "host;x-amz-date",
        signature: "4feed98e4763f4027571196e092edd4ad240b93d0a5703c602ecd76f67699b7b",
    },
];

fn key() -> AccessKey {
    AccessKey {
        id: "BMKAEXAMPLE".into(),
        secret: Zeroizing::new(SECRET.into()),
        account: "123456789012".parse().unwrap(),
        role: crate::config::Role::Admin,
        regions: Vec::new(),
    }
}

/// The only access key there is; it has no session.
fn known<'k>(key: &'k AccessKey, id: &str, token: Option<&str>) -> Result<&'k AccessKey, Denied> {
    match id == key.id && token.is_none() {
        true => Ok(key),
        false => Err(Denied::UnknownKey),
    }
}

fn check(
    signed: &Signed,
    change: impl FnOnce(&mut HeaderMap),
    offset_seconds: i64,
) -> Result<Caller, Denied> {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=BMKAEXAMPLE/20261123/{}/aws4_request, SignedHeaders={}, Signature={}",
        signed.scope, signed.signed_headers, signed.signature
    );
    let mut list = vec![
        ("host", "localhost:8443"),
        ("x-amz-date", "20261123T010203Z"),
        ("authorization", authorization.as_str()),
    ];
    list.extend(signed.extra);
    let mut headers = headers(&list);
    change(&mut headers);
    let request = Incoming {
        method: signed.method,
        path: signed.path,
        query: signed.query,
        headers: &headers,
        body: signed.body,
    };
    let key = key();
    verify(
        &request,
        |id, token| known(&key, id, token),
        UnixMillis((NOW_SECONDS + offset_seconds) * 1000),
    )
}

#[test]
fn requests_of_the_python_sdk_are_accepted() {
    for signed in &SIGNED {
        let caller = check(signed, |_| {}, 0).unwrap();
        assert_eq!(caller.access_key(), "BMKAEXAMPLE");
        assert_eq!(format!("{}/{}", caller.region(), caller.service()), signed.scope);
        assert_eq!(caller.signed("x-amzn-principal"), signed.extra.is_some());
    }
}

#[test]
fn a_changed_request_is_refused() {
    let [get, put, post, publish] = SIGNED;
    let cases = [
        Signed {
            method: "DELETE",
            ..get.clone()
        },
        Signed {
            path: "/thing",
            ..get.clone()
        },
        Signed {
            query: "maxResults=6&attributeName=a%20b",
            ..get
        },
        Signed {
            extra: Some(("x-amzn-principal", "arn:aws:iot:us-east-1:123456789012:cert/01")),
            ..put
        },
        Signed {
            body: b"{} ",
            ..post.clone()
        },
        Signed {
            scope: "us-west-1/iot",
            ..post
        },
        Signed {
            body: b"hullo",
            ..publish
        },
    ];
    for changed in &cases {
        assert_eq!(
            check(changed, |_| {}, 0),
            Err(Denied::Mismatch),
            "{} {}",
            changed.method,
            changed.path
        );
    }
}

#[test]
fn the_clocks_may_differ_by_five_minutes() {
    let [get, ..] = SIGNED;
    for (offset, accepted) in [
        (0, true),
        (300, true),
        (-300, true),
        (301, false),
        (-301, false),
        (86_400, false),
    ] {
        let outcome = check(&get, |_| {}, offset);
        assert_eq!(outcome.is_ok(), accepted, "{offset}");
        assert!(
            accepted || matches!(outcome, Err(Denied::Time { .. })),
            "{offset}"
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    let [get, ..] = SIGNED;
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let denied =
        |change: &dyn Fn(&mut HeaderMap)| check(&get, |headers| change(headers), 0).unwrap_err().exception();
    assert_eq!(
        denied(&|headers| drop(headers.remove("authorization"))),
        "MissingAuthenticationTokenException"
    );
    assert_eq!(
        denied(&|headers| drop(headers.remove("x-amz-date"))),
        "IncompleteSignatureException"
    );
    assert_eq!(
        denied(&|headers| drop(headers.remove("host"))),
        "IncompleteSignatureException"
    );
    assert_eq!(
        denied(&set("x-amz-date", "20261124T010203Z")),
        "SignatureDoesNotMatch"
    );
    assert_eq!(denied(&set("x-amz-date", "tomorrow")), "SignatureDoesNotMatch");
    assert_eq!(
        denied(&set("x-amz-security-token", "abc")),
        "UnrecognizedClientException"
    );
    assert_eq!(
        denied(&set("x-amz-content-sha256", "UNSIGNED-PAYLOAD")),
        "SignatureDoesNotMatch"
    );
    for authorization in [
        "AWS4-HMAC-SHA256",
        "Basic YTpi",
        "AWS4-HMAC-SHA512 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=BMKAEXAMPLE/20261123/us-east-1/iot/aws4_request, SignedHeaders=x-amz-date, Signature=c70694b8780f8d78a79aa83f1d5dc3d6109ac5308dd57fe97195bd0692b6e10f",
        "AWS4-HMAC-SHA256 Credential=BMKAOTHER/20261123/us-east-1/iot/aws4_request, SignedHeaders=host;x-amz-date, Signature=c70694b8780f8d78a79aa83f1d5dc3d6109ac5308dd57fe97195bd0692b6e10f",
        "AWS4-HMAC-SHA256 Credential=BMKAEXAMPLE/20261123/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=c70694b8780f8d78a79aa83f1d5dc3d6109ac5308dd57fe97195bd0692b6e10f",
    ] {
        let outcome = check(&get, set("authorization", authorization), 0);
        assert!(
            !matches!(outcome, Ok(_) | Err(Denied::Mismatch)),
            "{authorization}"
        );
    }
}

#[test]
fn a_presigned_request_holds_as_long_as_it_says() {
    const QUERY: &str = "endpointType=iot%3AData-ATS&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BMKAEXAMPLE%2F20261123%2Fus-east-1%2Fiot%2Faws4_request&X-Amz-Date=20261123T010203Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=c06340766ddc7880714bc4756e2a6a3bad2b4bb866063b56f98842b40a0bc03b";
    let headers = headers(&[("host", "localhost:8443")]);
    let key = key();
    let outcome = |query: &str, offset: i64| {
        let request = Incoming {
            method: "GET",
            path: "/endpoint",
            query,
            headers: &headers,
            body: b"",
        };
        verify(
            &request,
            |id, token| known(&key, id, token),
            UnixMillis((NOW_SECONDS + offset) * 1000),
        )
        .map(|_| ())
    };
    assert_eq!(outcome(QUERY, 0), Ok(()));
    assert_eq!(outcome(QUERY, 60), Ok(()));
    assert!(matches!(outcome(QUERY, 61), Err(Denied::Time { .. })));
    assert_eq!(
        outcome(&QUERY.replace("Expires=60", "Expires=61"), 0),
        Err(Denied::Mismatch)
    );
    assert!(matches!(
        outcome(&QUERY.replace("Expires=60", "Expires=604801"), 0),
        Err(Denied::Incomplete(_))
    ));
}

/// Presigned by botocore for `localhost`, for `localhost:8443`, and for that with the token of a session.
const PRESIGNED: [(&str, &str); 3] = [
    (
        "",
        "1af50bf20955e25de36fc765eaf64662351dd630280ba59fe6893fddade7d7d3",
    ),
    (
        "",
        "54c32c18bcb4310ac86648091ff07c063ee17046a286f9d094fa11ab4698aa23",
    ),
    (
        "&X-Amz-Security-Token=to%2Fken%2B%3D",
        "ff2fc618d0f2658811f031dcbc0deb7088f5e415ac22ae66c1f88e3d04eac4b0",
    ),
];

fn websocket_query((token, signature): (&str, &str), appended: &str) -> String {
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BMKAEXAMPLE%2F20261123%2Fus-east-1%2Fiotdevicegateway%2F\
         aws4_request&X-Amz-Date=20261123T010203Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host{token}\
         &X-Amz-Signature={signature}{appended}"
    )
}

#[test]
fn a_websocket_may_differ_from_what_was_signed_in_two_ways_only() {
    const ADDED: &str = "&X-Amz-Security-Token=to%2Fken%2B%3D";
    let [bare, full, with_token] = PRESIGNED;
    let rows = [
        (full, "", "localhost:8443", true),
        (bare, "", "localhost", true),
        (bare, "", "localhost:8443", true),
        (with_token, "", "localhost:8443", true),
        (full, ADDED, "localhost:8443", true),
        (bare, ADDED, "localhost:8443", true),
        (full, "", "localhost", false),
        (full, "", "localhost:9443", false),
        (bare, "", "elsewhere:8443", false),
        (full, "&other=1", "localhost:8443", false),
        (bare, "", "localhost:http", false),
    ];
    for (signed, appended, host, expected) in rows {
        let query = websocket_query(signed, appended);
        let headers = headers(&[("host", host)]);
        let request = Incoming {
            method: "GET",
            path: "/mqtt",
            query: &query,
            headers: &headers,
            body: b"",
        };
        let claim = Claim::read(&request).unwrap();
        let key = signing_key(SECRET, &claim.scope);
        let found = FORMS
            .iter()
            .any(|form| check_signature(&request, &claim, &key, *form).is_ok());
        assert_eq!(found, expected, "{host} {query}");
    }
}

#[test]
fn a_websocket_is_held_to_the_time_of_its_signature() {
    let query = websocket_query(PRESIGNED[0], "");
    let headers = headers(&[("host", "localhost:8443")]);
    let request = Incoming {
        method: "GET",
        path: "/mqtt",
        query: &query,
        headers: &headers,
        body: b"",
    };
    let key = key();
    let at = |seconds: i64| {
        let now = UnixMillis((NOW_SECONDS + seconds) * 1000);
        verify_websocket(&request, |id, token| known(&key, id, token), now)
    };
    assert_eq!(at(0).unwrap().service(), "iotdevicegateway");
    assert!(at(300).is_ok() && at(-300).is_ok());
    for seconds in [301, -301] {
        assert!(matches!(at(seconds), Err(Denied::Time { .. })), "{seconds}");
    }
    // What is no WebSocket has to be as it was signed.
    let now = UnixMillis(NOW_SECONDS * 1000);
    assert_eq!(
        verify(&request, |id, token| known(&key, id, token), now).unwrap_err(),
        Denied::Mismatch
    );
}
