//! Our own client of the AWS IoT API: SigV4 over HTTPS, one request at a time.
//!
//! It stands at the wall between factory and cloud (`factory register-ca`) and on the bench of the firmware developer
//! (`device enroll`), and works against any endpoint that speaks the AWS API. It must never talk to Amazon by accident:
//! `*.amazonaws.com` is refused unless the caller said `--real-aws`, because there it costs money and is not undone.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::exit::{Context, Failure};

/// Longest answer that is read: a page of 250 certificates is far below it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest time from sending a request to the end of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is used again; servers close it sooner or later (this cloud after 75 s).
const KEPT_FOR: Duration = Duration::from_secs(20);
/// Domain of the real AWS, where every call counts.
const REAL_AWS_DOMAIN: &str = ".amazonaws.com";

/// An access key as the AWS shared-credentials format holds it.
pub(crate) struct AccessKey {
    id: String,
    secret: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl AccessKey {
    /// Reads one profile of a file in the AWS shared-credentials format.
    pub(crate) fn from_file(path: &Path, profile: &str) -> Result<Self, Failure> {
        let text = Zeroizing::new(
            std::fs::read_to_string(path)
                .fault(|| format!("could not read the credentials file {}", path.display()))?,
        );
        Self::from_text(&text, profile).ok_or_else(|| {
            Failure::usage(format!(
                "the credentials file {} has no complete profile [{profile}]: it needs aws_access_key_id and aws_secret_access_key",
                path.display()
            ))
        })
    }

    fn from_text(text: &str, profile: &str) -> Option<Self> {
        let wanted = format!("[{profile}]");
        let lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != wanted)
            .skip(1);
        let (mut id, mut secret, mut session_token) = (None, None, None);
        for line in lines.take_while(|line| !line.starts_with('[')) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            match key.trim() {
                "aws_access_key_id" => id = Some(value.trim().to_owned()),
                "aws_secret_access_key" => secret = Some(Zeroizing::new(value.trim().to_owned())),
                "aws_session_token" => session_token = Some(Zeroizing::new(value.trim().to_owned())),
                _ => {}
            }
        }
        Some(Self {
            id: id?,
            secret: secret?,
            session_token,
        })
    }
}

/// A refusal by the API, as AWS words it.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: u16,
    /// Exception name, for example `ResourceAlreadyExistsException`.
    pub(crate) code: String,
    /// The message of the exception.
    pub(crate) message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (HTTP {}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for ApiError {}

/// What can go wrong in a call: the API said no, or it could not be asked.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The API answered with an exception.
    Api(ApiError),
    /// The API could not be asked, or its answer not be read.
    Fault(Failure),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.fmt(f),
            Self::Fault(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Fault(failure)
    }
}

impl CallError {
    /// The exception's name, if the API gave one.
    pub(crate) fn exception(&self) -> Option<&str> {
        match self {
            Self::Api(error) => Some(&error.code),
            Self::Fault(_) => None,
        }
    }
}

/// Where the API is and how it is trusted.
pub(crate) struct Endpoint {
    /// `https://host:port`.
    pub(crate) url: String,
    /// PEM bundle that the server's chain must end in.
    pub(crate) ca_bundle_pem: String,
    /// Region of the signature's scope.
    pub(crate) region: String,
    /// Whether `*.amazonaws.com` may be asked.
    pub(crate) real_aws: bool,
}

/// A connection to the API of one account.
pub(crate) struct Client {
    runtime: Runtime,
    host: String,
    port: u16,
    region: String,
    key: AccessKey,
    tls: TlsConnector,
    connection: Option<Kept>,
}

/// A connection that may serve again.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    /// When it last did.
    served: Instant,
}

impl Kept {
    /// Whether the server has surely not given it up: between calls nobody looks at the socket.
    fn is_fresh(&self) -> bool {
        !self.sender.is_closed() && self.served.elapsed() < KEPT_FOR
    }
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    pub(crate) fn new(endpoint: &Endpoint, key: AccessKey) -> Result<Self, Failure> {
        let (host, port) = host_and_port(&endpoint.url)?;
        if host.ends_with(REAL_AWS_DOMAIN) && !endpoint.real_aws {
            return Err(Failure::usage(format!(
                "{host} is the real AWS: say --real-aws if that is meant (it changes a real account)"
            )));
        }
        let tls = TlsConnector::from(Arc::new(client_config(&endpoint.ca_bundle_pem)?));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .fault(|| "could not start the network runtime".to_owned())?;
        Ok(Self {
            runtime,
            host,
            port,
            region: endpoint.region.clone(),
            key,
            tls,
            connection: None,
        })
    }

    /// Calls one operation. `path_and_query` is sent as it is and must be percent-encoded.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path_and_query, headers, body.into_bytes())
    }

    /// The same with a body that is sent as it is.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Value, CallError> {
        let body = Bytes::from(body);
        let request = self.signed(method, path_and_query, headers, body)?;
        let connection = self.connection.take();
        let work = exchange(connection, request, &self.host, self.port, &self.tls);
        let (connection, status, code, answer) = self
            .runtime
            .block_on(async { timeout(ANSWER_TIMEOUT, work).await })
            .map_err(|_| {
                Failure::fault(format!(
                    "{}:{} did not answer within {} s",
                    self.host,
                    self.port,
                    ANSWER_TIMEOUT.as_secs()
                ))
            })??;
        self.connection = Some(connection);
        read_answer(status, code, &answer)
    }

    fn signed(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = format!("{}:{}", self.host, self.port);
        let credentials = Credentials::new(
            self.key.id.clone(),
            self.key.secret.as_str().to_owned(),
            self.key
                .session_token
                .as_ref()
                .map(|token| token.as_str().to_owned()),
            None,
            "birthmark",
        );
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("iot")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .fault(|| "could not prepare the request's signature".to_owned())?
            .into();
        let mut signed_headers = vec![("host", authority.as_str())];
        if !body.is_empty() {
            signed_headers.push(("content-type", "application/json"));
        }
        signed_headers.extend_from_slice(headers);
        let uri = format!("https://{authority}{path_and_query}");
        let signable = SignableRequest::new(
            method,
            &uri,
            signed_headers.iter().copied(),
            SignableBody::Bytes(&body),
        )
        .fault(|| format!("could not sign the request {method} {path_and_query}"))?;
        let (instructions, _) = sign(signable, &parameters)
            .fault(|| format!("could not sign the request {method} {path_and_query}"))?
            .into_parts();
        let mut builder = Request::builder().method(method).uri(path_and_query);
        for (name, value) in &signed_headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(body))
            .fault(|| format!("could not build the request {method} {path_and_query}"))?;
        instructions.apply_to_request_http1x(&mut request);
        // The signature covers the absolute form; what is sent is the origin form (RFC 9112 3.2.1).
        *request.uri_mut() = path_and_query
            .parse::<Uri>()
            .fault(|| format!("{path_and_query} is not a request path"))?;
        Ok(request)
    }
}

/// One request and its answer, on the kept connection or on a new one.
async fn exchange(
    kept: Option<Kept>,
    request: Request<Full<Bytes>>,
    host: &str,
    port: u16,
    tls: &TlsConnector,
) -> Result<(Kept, u16, Option<String>, Bytes), Failure> {
    let mut sender = match kept {
        Some(kept) if kept.is_fresh() => kept.sender,
        _ => connect(host, port, tls).await?,
    };
    let what = || format!("the request to https://{host}:{port} failed");
    sender.ready().await.fault(what)?;
    let response = sender.send_request(request).await.fault(what)?;
    let status = response.status().as_u16();
    let code = response
        .headers()
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .fault(what)?
        .to_bytes();
    let served = Instant::now();
    Ok((Kept { sender, served }, status, code, body))
}

async fn connect(host: &str, port: u16, tls: &TlsConnector) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let name = ServerName::try_from(host.to_owned()).fault(|| format!("{host} is not a host name"))?;
    let socket = TcpStream::connect((host, port))
        .await
        .fault(|| format!("could not connect to {host}:{port}"))?;
    socket
        .set_nodelay(true)
        .fault(|| "could not set TCP_NODELAY".to_owned())?;
    let stream = tls.connect(name, socket).await.fault(|| {
        format!("the TLS handshake with {host}:{port} failed (is --ca-bundle the CA that this server's chain ends in?)")
    })?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .fault(|| format!("could not speak HTTP with {host}:{port}"))?;
    tokio::spawn(async move {
        // An error here shows up in the request that waits for the answer.
        let _ = connection.await;
    });
    Ok(sender)
}

fn read_answer(status: u16, code: Option<String>, body: &[u8]) -> Result<Value, CallError> {
    let value = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body)
            .fault(|| format!("the API answered HTTP {status} with something that is not JSON"))?
    };
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let code = code
        .and_then(|code| code.split(':').next().map(str::to_owned))
        .unwrap_or_else(|| "UnknownError".to_owned());
    let message = value
        .get("message")
        .or_else(|| value.get("Message"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Err(CallError::Api(ApiError {
        status,
        code,
        message,
    }))
}

fn host_and_port(url: &str) -> Result<(String, u16), Failure> {
    let wrong = || {
        Failure::usage(format!(
            "{url} is not an endpoint: it must look like https://host:port"
        ))
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
        return Err(wrong());
    }
    let host = uri
        .host()
        .ok_or_else(wrong)?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok((host, uri.port_u16().unwrap_or(443)))
}

fn client_config(ca_bundle_pem: &str) -> Result<rustls::ClientConfig, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates = identity::pem::decode_all("CERTIFICATE", ca_bundle_pem)
        .fault(|| "the CA bundle is not PEM".to_owned())?;
    for der in certificates {
        roots
            .add(der.into())
            .fault(|| "the CA bundle holds something that cannot be a trust anchor".to_owned())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .fault(|| "could not prepare TLS".to_owned())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Percent-encodes one path segment or query value (RFC 3986 2.3: unreserved characters stay).
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{AccessKey, Client, Endpoint, host_and_port, percent_encoded};

    #[test]
    fn endpoints_are_https_with_nothing_behind_the_port() {
        assert_eq!(
            host_and_port("https://localhost:8443").unwrap(),
            ("localhost".to_owned(), 8443)
        );
        assert_eq!(host_and_port("https://[::1]:9/").unwrap(), ("::1".to_owned(), 9));
        assert_eq!(
            host_and_port("https://iot.example").unwrap(),
            ("iot.example".to_owned(), 443)
        );
        for refused in ["http://localhost:1", "localhost:8443", "https://host/path", ""] {
            assert!(host_and_port(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_profile_must_be_complete() {
        let text = "[other]\naws_access_key_id = no\n[default]\naws_access_key_id = BMKA1\naws_secret_access_key=s3cret\n[z]\n";
        let key = AccessKey::from_text(text, "default").unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("BMKA1", "s3cret"));
        assert!(AccessKey::from_text(text, "other").is_none());
        assert!(AccessKey::from_text(text, "absent").is_none());
    }

    #[test]
    fn the_real_aws_is_refused_unless_meant() {
        let endpoint = |real_aws| Endpoint {
            url: "https://iot.us-east-1.amazonaws.com".to_owned(),
            ca_bundle_pem: String::new(),
            region: "us-east-1".to_owned(),
            real_aws,
        };
        let key = || AccessKey::from_text("[d]\naws_access_key_id=a\naws_secret_access_key=b", "d").unwrap();
        assert!(
            Client::new(&endpoint(false), key())
                .err()
                .unwrap()
                .to_string()
                .contains("--real-aws")
        );
        let meant = Client::new(&endpoint(true), key()).err().unwrap().to_string();
        assert!(
            meant.contains("CA bundle"),
            "it went on to what comes next: {meant}"
        );
    }

    #[test]
    fn reserved_characters_are_encoded() {
        assert_eq!(percent_encoded("a/b:c d~"), "a%2Fb%3Ac%20d~");
    }
}
