//! A light client of the cloud's API: HTTP/1.1 over one TLS connection that stays, requests signed with Signature Version 4.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, str};

use aws_lc_rs::{digest, hmac};
use identity::UnixMillis;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::Outcome;

/// The region that requests are signed for.
const REGION: &str = "us-east-1";

/// When a server that does not answer is given up.
const ANSWER: Duration = Duration::from_secs(60);

/// One connection, and the access key that it signs with.
pub(super) struct Api {
    stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
    key_id: String,
    secret: String,
    input: Vec<u8>,
}

impl Api {
    /// Connects with the first access key of a credentials file.
    pub(super) fn open(
        address: SocketAddr,
        root: &CertificateDer<'static>,
        credentials: &Path,
    ) -> Outcome<Self> {
        let text = fs::read_to_string(credentials)?;
        let value = |key: &str| -> Outcome<String> {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let value = line.and_then(|line| line.trim_start().strip_prefix('='));
            Ok(value.ok_or("the credentials file lacks a key")?.trim().to_owned())
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER))?;
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        Ok(Self {
            stream: StreamOwned::new(connection, tcp),
            host: format!("localhost:{}", address.port()),
            key_id: value("aws_access_key_id")?,
            secret: value("aws_secret_access_key")?,
            input: Vec::new(),
        })
    }

    /// One request; what it answers. Anything but success is an error.
    pub(super) fn call(&mut self, method: &str, path: &str, body: &str) -> Outcome<Value> {
        let request = self.request(method, path, body)?;
        self.stream.write_all(&request)?;
        let (status, body) = self.answer()?;
        match status {
            200 => Ok(serde_json::from_slice(&body)?),
            _ => Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Outcome<Vec<u8>> {
        let now = amazon_time()?;
        let date = now.get(..8).ok_or("no date")?;
        let (scope, signed) = (format!("{date}/{REGION}/iot/aws4_request"), "host;x-amz-date");
        let canonical = format!(
            "{method}\n{path}\n\nhost:{}\nx-amz-date:{now}\n\n{signed}\n{}",
            self.host,
            hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref())
        );
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [date, REGION, "iot", "aws4_request"] {
            key = keyed_hash(&key, part);
        }
        let signature = hex(&keyed_hash(&key, &to_sign));
        Ok(format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Amz-Date: {now}\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}\r\n\r\n{body}",
            self.host,
            body.len(),
            self.key_id,
        )
        .into_bytes())
    }

    /// Status and body.
    fn answer(&mut self) -> Outcome<(u16, Vec<u8>)> {
        self.input.clear();
        let head = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.more()?;
        };
        let text = str::from_utf8(self.input.get(..head).unwrap_or_default())?.to_ascii_lowercase();
        let status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
        while self.input.len() < head + 4 + length {
            self.more()?;
        }
        Ok((status, self.input.split_off(head + 4)))
    }

    fn more(&mut self) -> Outcome<()> {
        let mut piece = [0; 4096];
        let count = self.stream.read(&mut piece)?;
        if count == 0 {
            return Err("the API closed the connection".into());
        }
        self.input
            .extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(())
    }
}

/// Now, as `20261123T071500Z`.
fn amazon_time() -> Outcome<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let text = UnixMillis(seconds * 1_000).to_rfc3339();
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(digits.get(..15).ok_or("no time")?.to_owned() + "Z")
}

fn keyed_hash(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}
