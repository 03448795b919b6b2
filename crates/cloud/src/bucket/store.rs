//! A store that speaks S3: where files of registration tasks come from, and where their reports go.
//!
//! It stands behind a name under `[buckets]` of the operator's configuration; callers can only name it. Requests are signed
//! with Signature Version 4 for the service `s3`, in the path style, over TLS alone. Like a webhook it must never follow a
//! redirect or connect to an address that was not checked; an object is read no further than its limit.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use core::time::Duration;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::config::StorePlan;
use crate::error::Error;
use crate::limits::{
    STORE_CONNECT_DEADLINE, STORE_IDLE, STORE_LINK_SECONDS, STORE_OBJECT_BYTES_MAX, STORE_REPORT_BYTES_MAX,
};
use crate::pki::read_credentials;
use crate::webhook::{client_config, may_call};

/// Why a store did not do what was asked, in words.
pub(crate) type Refused = String;

/// A store that can be asked.
pub(crate) struct Store {
    plan: StorePlan,
    id: String,
    secret: Zeroizing<String>,
    tls: Arc<ClientConfig>,
}

/// How a request is signed.
enum Signing<'a> {
    /// In headers, for now.
    Now(&'a [u8]),
    /// In the query, for a while.
    Link,
}

impl Store {
    /// Reads the files that the configuration names, beneath the data directory where they are not absolute.
    pub(crate) fn open(plan: &StorePlan, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(&plan.credentials);
        let (id, secret) = read_credentials(&path)?;
        let ca = plan.ca.as_ref().map(|ca| directory.join(ca));
        Ok(Self {
            plan: plan.clone(),
            id,
            secret,
            tls: client_config(ca.as_deref())?,
        })
    }

    /// Brings an object into a file that has no name.
    pub(crate) async fn fetch(&self, key: &str, folder: &Path) -> Result<File, Refused> {
        let request = self.request("GET", key, Signing::Now(b""))?;
        let mut file = nameless(folder).map_err(|error| format!("there is no room for the file: {error}"))?;
        self.exchange(request, &mut file).await?;
        file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// Keeps a report under a key.
    pub(crate) async fn keep(&self, key: &str, report: &Path) -> Result<(), Refused> {
        let length = report.metadata().map_err(|error| error.to_string())?.len();
        if length > STORE_REPORT_BYTES_MAX {
            return Err(format!(
                "the report has {length} bytes, and {STORE_REPORT_BYTES_MAX} are sent at most"
            ));
        }
        let body = std::fs::read(report).map_err(|error| error.to_string())?;
        let request = self.request("PUT", key, Signing::Now(&body))?;
        self.exchange(
            request.map(|_| Full::new(Bytes::from(body))),
            &mut std::io::sink(),
        )
        .await
    }

    /// A link by which whoever has it can read an object for a while.
    pub(crate) fn link(&self, key: &str) -> Result<String, Refused> {
        let request = self.request("GET", key, Signing::Link)?;
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        Ok(format!("https://{}{path}", self.plan.authority()))
    }

    fn request(
        &self,
        method: &str,
        key: &str,
        signing: Signing<'_>,
    ) -> Result<Request<Full<Bytes>>, Refused> {
        let path = format!("/{}/{}", encoded(&self.plan.bucket), encoded(key));
        let authority = self.plan.authority();
        let uri = format!("https://{authority}{path}");
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let body = match signing {
            Signing::Now(body) => {
                settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
                SignableBody::Bytes(body)
            }
            Signing::Link => {
                settings.signature_location = SignatureLocation::QueryParams;
                settings.expires_in = Some(Duration::from_secs(STORE_LINK_SECONDS));
                SignableBody::UnsignedPayload
            }
        };
        let failed = |error: &dyn core::fmt::Display| format!("the request could not be signed: {error}");
        let identity = Credentials::new(&self.id, self.secret.as_str(), None, None, "birthmark").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.plan.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let headers = [("host", authority.as_str())];
        let signable =
            SignableRequest::new(method, &uri, headers.into_iter(), body).map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|error| failed(&error))?
            .into_parts();
        let mut request = Request::builder()
            .method(method)
            .uri(&uri)
            .header("host", &authority)
            .header("connection", "close")
            .body(Full::new(Bytes::new()))
            .map_err(|error| failed(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        // The signature covers the absolute form; what is sent is the origin form (RFC 9112, 3.2.1).
        let sent = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        *request.uri_mut() = sent.parse::<Uri>().map_err(|error| failed(&error))?;
        Ok(request)
    }

    /// One request; what is answered goes into `out`.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        out: &mut impl std::io::Write,
    ) -> Result<(), Refused> {
        let connected = timeout(STORE_CONNECT_DEADLINE, self.connect()).await;
        let stream = connected.map_err(|_| "the store did not answer in time".to_owned())??;
        let failed = |error: hyper::Error| format!("the store does not speak HTTP: {error}");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Ends with this function, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answered = timeout(STORE_IDLE, sender.send_request(request)).await;
        let response = answered
            .map_err(|_| "the store did not answer in time".to_owned())?
            .map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(refusal(status, response.into_body()).await);
        }
        let mut body = response.into_body();
        let mut bytes = 0_u64;
        loop {
            let frame = timeout(STORE_IDLE, body.frame()).await;
            let Some(frame) =
                frame.map_err(|_| "the store stopped in the middle of the object".to_owned())?
            else {
                return Ok(());
            };
            let Ok(part) = frame.map_err(failed)?.into_data() else {
                continue;
            };
            bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
            if bytes > STORE_OBJECT_BYTES_MAX {
                return Err(format!(
                    "the object is longer than {STORE_OBJECT_BYTES_MAX} bytes"
                ));
            }
            out.write_all(&part)
                .map_err(|error| format!("there is no room for the object: {error}"))?;
        }
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Refused> {
        let host = self.plan.host.as_str();
        let found = lookup_host((host, self.plan.port)).await;
        let found = found.map_err(|error| format!("the host of the store cannot be found: {error}"))?;
        let mut last = "its host has no address that may be called: see allow_addresses".to_owned();
        for address in found.filter(|address| may_call(address.ip(), &self.plan.allowed)) {
            match TcpStream::connect(address).await {
                Err(error) => last = format!("the store cannot be reached: {error}"),
                Ok(socket) => {
                    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
                    let connector = TlsConnector::from(self.tls.clone());
                    let stream = connector.connect(name, socket).await;
                    return stream
                        .map_err(|error| format!("the server of the store is not trusted: {error}"));
                }
            }
        }
        Err(last)
    }
}

/// What a store says of a refusal: its status and its code (Amazon S3 API reference, "Error responses").
async fn refusal(status: u16, mut body: Incoming) -> Refused {
    let mut text = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout(STORE_IDLE, body.frame()).await {
        let Ok(part) = frame.into_data() else { continue };
        text.extend_from_slice(&part);
        if text.len() > 4096 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or("", |(code, _)| code);
    match status {
        300..=399 => format!("the store answers {status} and sends elsewhere, which is not followed"),
        _ => fleet::text::escaped(&format!("the store answers {status} {code}")),
    }
}

/// A key in a path: slashes stay (Amazon S3 API reference, "Signature Calculations").
fn encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A file that nobody else can open and that is gone when it is closed.
fn nameless(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!(
        ".fetching-{}",
        crate::clock::uuid().map_err(std::io::Error::other)?
    ));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_once_and_keep_their_slashes() {
        assert_eq!(encoded("a b/ü+c~.json"), "a%20b/%C3%BC%2Bc~.json");
    }
}
