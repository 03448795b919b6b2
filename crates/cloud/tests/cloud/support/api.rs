//! An API caller: one TLS connection per call, signed by somebody else's implementation of SigV4.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use cloud::Running;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A caller with the server's own access key.
pub(crate) struct Api {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) region: &'static str,
}

/// What the API says if it does not do what it is asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) exception: String,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(running: &Running) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&running.server_ca).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(cloud::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let credentials = std::fs::read_to_string(&running.credentials).unwrap();
        let value = |name: &str| {
            credentials
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
                .unwrap()
                .to_owned()
        };
        Self {
            address: running.api,
            config: Arc::new(config),
            key: value("aws_access_key_id"),
            secret: value("aws_secret_access_key"),
            region: "us-east-1",
        }
    }

    /// A call that must succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, method: &str, path: &str, body: Value) -> Value {
        self.call(method, path, body)
            .unwrap_or_else(|refused| panic!("{method} {path}: {refused:?}"))
    }

    pub(crate) fn call(&mut self, method: &str, path: &str, body: Value) -> Result<Value, Refused> {
        self.call_with(method, path, &[], body)
    }

    /// A call with signed headers.
    pub(crate) fn call_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Result<Value, Refused> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, path, headers, body.as_bytes(), true)
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        signed: bool,
    ) -> Result<Value, Refused> {
        let host = format!("localhost:{}", self.address.port());
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        let mut all = vec![("host", host.as_str())];
        all.extend_from_slice(headers);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if signed {
            for (name, value) in self.signature(method, &format!("https://{host}{path}"), &all, body) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        read_answer(&self.exchange(head.as_bytes(), body))
    }

    fn signature(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let identity = Credentials::new(&self.key, &self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("iot")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let request =
            SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
        instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn exchange(&self, head: &[u8], body: &[u8]) -> Vec<u8> {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(self.config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(tls, TcpStream::connect(self.address).unwrap());
        stream.write_all(head).unwrap();
        // Whoever refuses the head may close before the body is through.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }
}

fn read_answer(answer: &[u8]) -> Result<Value, Refused> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let exception = head
        .lines()
        .find_map(|line| line.strip_prefix("x-amzn-errortype: "))
        .unwrap_or_default();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    match status {
        200 => Ok(body),
        _ => Err(Refused {
            status,
            exception: exception.to_owned(),
            body,
        }),
    }
}
