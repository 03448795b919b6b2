//! What an operator says of a webhook, and the checked form of it.
//!
//! It stands under `[webhooks.NAME]` of the configuration. Addresses stand here and nowhere else: the API can only name
//! what is written here. Secrets are named by file and read when the server starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::Uri;
use http::header::{HeaderName, HeaderValue};
use identity::AccountId;
use policy::Network;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{WEBHOOK_HEADERS_MAX, WEBHOOK_SECRET_BYTES_MAX, WEBHOOK_SECRET_BYTES_MIN, WEBHOOKS_MAX};

/// One webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where it is: `https://HOST[:PORT]/PATH`; `http://` only of an address of this machine that `allow_addresses` lists.
    pub url: String,
    /// The certificate authorities that its server is checked against, PEM; none: those of the system.
    pub ca: Option<PathBuf>,
    /// A file with the key of the signature that each call carries; 16 to 1024 bytes, white space around it does not count.
    pub secret: Option<PathBuf>,
    /// Headers that each call carries: name, and the file that the value is in.
    pub headers: BTreeMap<String, PathBuf>,
    /// Addresses and networks that are not on the public internet and may be called all the same.
    pub allow_addresses: Vec<String>,
    /// The accounts whose API may name it; none: the account of this server.
    pub accounts: Vec<String>,
    /// The events that it is told: `registered`, a certificate that was registered by its first connection.
    pub events: Vec<String>,
}

/// A webhook whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct WebhookPlan {
    pub(super) target: Target,
    pub(super) ca: Option<PathBuf>,
    pub(super) secret: Option<PathBuf>,
    pub(super) headers: Vec<(HeaderName, PathBuf)>,
    pub(super) allowed: Vec<Network>,
    pub(super) accounts: Vec<AccountId>,
    pub(super) is_told_registered: bool,
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) is_encrypted: bool,
}

/// The webhooks of a configuration, checked.
pub(crate) fn plan(
    webhooks: &BTreeMap<String, WebhookConfig>,
    account: AccountId,
) -> Result<BTreeMap<String, WebhookPlan>, Error> {
    if webhooks.len() > WEBHOOKS_MAX {
        return Err(wrong(&webhooks.len().to_string(), "at most 256 of them"));
    }
    let planned = webhooks.iter().map(|(name, webhook)| {
        check_name(name)?;
        Ok((name.clone(), webhook.plan(account)?))
    });
    planned.collect()
}

/// A name stands at the end of the ARN of a function, and has its characters (AWS Lambda API reference, FunctionName).
fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(wrong(
            name,
            "named with 1 to 64 of the characters A-Z a-z 0-9 - _",
        )),
    }
}

impl WebhookConfig {
    fn plan(&self, account: AccountId) -> Result<WebhookPlan, Error> {
        let network = |text: &String| {
            Network::parse(text).ok_or_else(|| wrong(text, "a list of addresses and networks"))
        };
        let allowed: Vec<Network> = self
            .allow_addresses
            .iter()
            .map(network)
            .collect::<Result<_, _>>()?;
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| wrong(text, "for accounts of exactly 12 digits"))
        };
        let mut accounts: Vec<AccountId> = self.accounts.iter().map(parse).collect::<Result<_, _>>()?;
        if accounts.is_empty() {
            accounts.push(account);
        }
        for event in &self.events {
            if event != "registered" {
                return Err(wrong(event, "told the event \"registered\""));
            }
        }
        Ok(WebhookPlan {
            target: Target::parse(&self.url, &allowed)?,
            ca: self.ca.clone(),
            secret: self.secret.clone(),
            headers: self.header_names()?,
            allowed,
            accounts,
            is_told_registered: !self.events.is_empty(),
        })
    }

    fn header_names(&self) -> Result<Vec<(HeaderName, PathBuf)>, Error> {
        if self.headers.len() > WEBHOOK_HEADERS_MAX {
            return Err(wrong(&self.headers.len().to_string(), "given at most 16 headers"));
        }
        let mut names = Vec::with_capacity(self.headers.len());
        for (text, file) in &self.headers {
            let name: HeaderName = text
                .parse()
                .map_err(|_| wrong(text, "given names of HTTP headers"))?;
            if is_ours(&name) {
                return Err(wrong(
                    text,
                    "given other headers than those that each call has anyway",
                ));
            }
            names.push((name, file.clone()));
        }
        Ok(names)
    }
}

/// Headers that frame the call or are the server's own.
fn is_ours(name: &HeaderName) -> bool {
    use http::header;
    let framing = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::USER_AGENT,
        header::EXPECT,
        header::TE,
        header::TRAILER,
    ];
    framing.contains(name) || name.as_str().starts_with("x-birthmark-")
}

impl Target {
    fn parse(url: &str, allowed: &[Network]) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|_| wrong(url, "a URL"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || authority.contains('@') {
            return Err(wrong(url, "a URL with a host and without a user"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_listed_loopback(&host, allowed) => false,
            _ => {
                return Err(wrong(
                    url,
                    "https, or http to an address of this machine that allow_addresses lists",
                ));
            }
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Self {
            host,
            port,
            path,
            is_encrypted,
        })
    }

    /// What stands in the header Host.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.is_encrypted, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Without encryption only an address, never a name: a name can come to mean something else.
fn is_listed_loopback(host: &str, allowed: &[Network]) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    address
        .is_ok_and(|address| address.is_loopback() && allowed.iter().any(|network| network.contains(address)))
}

/// The key of the signature.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = read(path)?;
    let secret = Zeroizing::new(bytes.trim_ascii().to_vec());
    match (WEBHOOK_SECRET_BYTES_MIN..=WEBHOOK_SECRET_BYTES_MAX).contains(&secret.len()) {
        true => Ok(secret),
        false => Err(wrong(
            &path.display().to_string(),
            "given a secret of 16 to 1024 bytes",
        )),
    }
}

/// The value of a header; never shown.
pub(super) fn read_header(path: &Path) -> Result<HeaderValue, Error> {
    let bytes = read(path)?;
    let unfit = |_| {
        wrong(
            &path.display().to_string(),
            "given header values of one line of text",
        )
    };
    let mut value = HeaderValue::from_bytes(bytes.trim_ascii()).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A whole file of a size that a person may have meant.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| Error::File {
            action: "read the file of a webhook",
            path: path.to_owned(),
            source,
        })
}

pub(super) fn wrong(value: &str, allowed: &'static str) -> Error {
    Error::Setting {
        key: "webhooks",
        value: value.to_owned(),
        allowed,
    }
}
