//! Checks AWS Signature Version 4: who signed this request, for which region, and that nobody changed it.
//!
//! It stands before everything else on the API listener. Both forms are known: the `Authorization` header, and the
//! presigned query. It follows "Signature Version 4 signing process" (AWS General Reference) with the rules that hold for
//! every service but S3: the path is normalised and encoded a second time. It must never compare a signature in time
//! that depends on where they differ, and never tell more about a key than that it is not known.

mod canonical;
mod claim;

use core::fmt;

use aws_lc_rs::{digest, hmac};
use http::HeaderMap;
use identity::{AccountId, Region, UnixMillis};
use zeroize::Zeroizing;

use self::claim::{Claim, Scope};
use crate::config::Role;
use crate::limits::CLOCK_SKEW;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// The service names that clients of AWS IoT sign with.
const SERVICES: [&str; 5] = [
    "iot",
    "iotdata",
    "iot-jobs-data",
    "iotdevicegateway",
    "execute-api",
];

/// A key that may sign requests.
#[derive(Clone)]
pub struct AccessKey {
    /// Its public name.
    pub id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// The account that it acts for.
    pub account: AccountId,
    /// What it may do there.
    pub role: Role,
    /// Where it may be used; empty: everywhere.
    pub regions: Vec<Region>,
}

impl AccessKey {
    /// The same with less rights.
    #[must_use]
    pub(crate) fn limited(mut self, role: Role, regions: Vec<Region>) -> Self {
        self.role = role;
        self.regions = regions;
        self
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The path, encoded as it was sent.
    pub path: &'a str,
    /// The query without its question mark, encoded as it was sent.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// Who signed a request. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    access_key: String,
    account: AccountId,
    role: Role,
    region: Region,
    service: String,
    signed_headers: String,
    session_token: Option<String>,
}

impl Caller {
    /// The access key that signed.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The account of that key.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// What that key may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The region of the credential scope.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The service of the credential scope.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The token of a temporary access key; a permanent one has none.
    pub(crate) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Whether the signature covers this header (lower case).
    pub fn signed(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|name| name == header)
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It carries no signature at all.
    Unsigned,
    /// A part of the signature is missing or malformed.
    Incomplete(&'static str),
    /// The access key is not known here.
    UnknownKey,
    /// The time of a temporary access key is over.
    Expired,
    /// A temporary access key is taken no more, for this reason.
    Withdrawn(&'static str),
    /// The credential scope names another service, day or end.
    Scope(&'static str),
    /// The clocks differ too much, or a presigned request has expired.
    Time {
        /// What the request says.
        signed: String,
    },
    /// The signature is not that of this request.
    Mismatch,
    /// The access key may not do this.
    Role {
        /// The operation.
        operation: &'static str,
    },
    /// The access key may not be used in this region.
    Region {
        /// The region of the credential scope.
        region: Region,
    },
}

impl Denied {
    /// The exception that AWS answers with.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::Unsigned => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Expired => "ExpiredTokenException",
            Self::Withdrawn(_) => "AccessDeniedException",
            Self::Scope(_) | Self::Mismatch => "SignatureDoesNotMatch",
            Self::Time { .. } => "InvalidSignatureException",
            Self::Role { .. } => "AccessDeniedException",
            Self::Region { .. } => "UnauthorizedException",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("Missing Authentication Token"),
            Self::Incomplete(what) => write!(f, "the request signature is incomplete: {what}"),
            Self::UnknownKey => f.write_str("The security token included in the request is invalid."),
            Self::Expired => f.write_str("The security token included in the request is expired"),
            Self::Withdrawn(why) => write!(f, "the temporary access key is taken no more: {why}"),
            Self::Scope(what) => write!(f, "Credential should be scoped to {what}."),
            Self::Time { signed } => write!(
                f,
                "Signature expired or not yet valid: {signed} is more than {} minutes from the server's time",
                CLOCK_SKEW.as_secs() / 60
            ),
            Self::Role { operation } => {
                write!(f, "the role of this access key does not allow iot:{operation}")
            }
            Self::Region { region } => {
                write!(f, "this access key may not be used in the region {region}")
            }
            Self::Mismatch => f.write_str(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method.",
            ),
        }
    }
}

impl core::error::Error for Denied {}

/// How a request may differ from what was signed.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    /// The token of a session was added to the query after it was signed.
    token_added: bool,
    /// The port in the header `Host` was not signed.
    bare_host: bool,
}

/// All forms, what was signed first.
const FORMS: [Form; 4] = [
    Form::new(false, false),
    Form::new(true, false),
    Form::new(false, true),
    Form::new(true, true),
];

impl Form {
    const fn new(token_added: bool, bare_host: bool) -> Self {
        Self {
            token_added,
            bare_host,
        }
    }
}

/// Checks the signature of a request for WebSocket. Two things may differ from what was signed, as AWS IoT and its SDKs have
/// it: the token of a session may be appended after signing, and `Host` may have got the port that the signer left out.
///
/// # Errors
/// As [`verify`].
pub fn verify_websocket<K: core::ops::Deref<Target = AccessKey>>(
    request: &Incoming<'_>,
    key_of: impl FnOnce(&str, Option<&str>) -> Result<K, Denied>,
    now: UnixMillis,
) -> Result<Caller, Denied> {
    verify_form(request, key_of, now, &FORMS)
}

/// Checks the signature of `request`; `key_of` finds an access key by its id and the token of its
/// session, if it has one.
///
/// # Errors
/// The request is unsigned, malformed, signed by an unknown key, too old, or its signature is wrong.
pub fn verify<K: core::ops::Deref<Target = AccessKey>>(
    request: &Incoming<'_>,
    key_of: impl FnOnce(&str, Option<&str>) -> Result<K, Denied>,
    now: UnixMillis,
) -> Result<Caller, Denied> {
    verify_form(request, key_of, now, &[Form::default()])
}

/// Whether the request was signed in one of these forms.
fn verify_form<K: core::ops::Deref<Target = AccessKey>>(
    request: &Incoming<'_>,
    key_of: impl FnOnce(&str, Option<&str>) -> Result<K, Denied>,
    now: UnixMillis,
    forms: &[Form],
) -> Result<Caller, Denied> {
    let claim = Claim::read(request)?;
    let key = key_of(&claim.scope.access_key, claim.session_token.as_deref())?;
    if !SERVICES.contains(&claim.scope.service.as_str()) {
        return Err(Denied::Scope("a correct service: iot, iotdata, iot-jobs-data"));
    }
    if claim.timestamp.get(..8) != Some(claim.scope.date.as_str()) {
        return Err(Denied::Scope("the date of the request"));
    }
    claim.check_time(now)?;
    let key_of_day = signing_key(&key.secret, &claim.scope);
    let mut checked = Err(Denied::Mismatch);
    for form in forms {
        checked = check_signature(request, &claim, &key_of_day, *form);
        if checked != Err(Denied::Mismatch) {
            break;
        }
    }
    checked?;
    let region = claim
        .scope
        .region
        .parse()
        .map_err(|_| Denied::Scope("a valid region"))?;
    if !key.regions.is_empty() && !key.regions.contains(&region) {
        return Err(Denied::Region { region });
    }
    Ok(Caller {
        access_key: claim.scope.access_key,
        account: key.account,
        role: key.role,
        region,
        service: claim.scope.service,
        signed_headers: claim.signed_headers,
        session_token: claim.session_token,
    })
}

/// Whether the request was signed with this key.
fn check_signature(request: &Incoming<'_>, claim: &Claim, key: &hmac::Key, form: Form) -> Result<(), Denied> {
    let canonical = canonical::request(request, claim, form)?;
    let text = string_to_sign(claim, &canonical);
    hmac::verify(key, text.as_bytes(), &claim.signature).map_err(|_| Denied::Mismatch)
}

fn string_to_sign(claim: &Claim, canonical: &[u8]) -> String {
    let Scope {
        date,
        region,
        service,
        ..
    } = &claim.scope;
    let hash = hex(digest::digest(&digest::SHA256, canonical).as_ref());
    format!(
        "{ALGORITHM}\n{}\n{date}/{region}/{service}/{TERMINATOR}\n{hash}",
        claim.timestamp
    )
}

fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let secret = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    for part in [scope.date.as_str(), &scope.region, &scope.service, TERMINATOR] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests;
