//! Custom authorizers: a program of the operator's that says who a client is and what it may do.
//!
//! CreateAuthorizer and its family keep which program, and how the token that goes to it is signed (AWS IoT developer
//! guide, "Custom authentication"). The signature of a token is checked here before anybody is asked, so that strangers
//! cannot make the program work; what the program answers is checked in [`crate::authorizer_answer`].

use std::collections::BTreeMap;

use identity::UnixMillis;
use identity::key::{KeyKind, PublicKey, SignatureAlgorithm};

use crate::batch::Key;
use crate::call::{Call, Decided, Decision};
use crate::limits::{
    AUTHORIZER_FUNCTION_BYTES_MAX, AUTHORIZER_KEYS_MAX, AUTHORIZER_NAME_BYTES_MAX, AUTHORIZERS_MAX,
    TOKEN_KEY_PEM_BYTES_MAX,
};
use crate::names::AuthorizerName;
use crate::plain::shaped;
use crate::record::{Tag, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::{arn, tags};

shaped!(
    /// An authorizer.
    Authorizer {
        /// Name.
        name: String,
        /// The function that is asked.
        function_arn: String,
        /// Under which name a client sends its token.
        token_key_name: String,
        /// Public keys that tokens may be signed with, PEM by name.
        keys: BTreeMap<String, String>,
        /// `ACTIVE` or `INACTIVE`.
        status: String,
        /// Tokens need no signature.
        signing_disabled: bool,
        /// What it says is good for further HTTP requests.
        caching: bool,
        /// When it was made.
        created: UnixMillis,
        /// When it was last changed.
        modified: UnixMillis,
        /// Tags.
        tags: Vec<Tag>,
    }
);

impl Resource for Authorizer {
    const KIND: Kind = Kind::Authorizer;

    fn name(&self) -> &str {
        &self.name
    }
}

shaped!(
    /// Which authorizer is asked when a client names none.
    DefaultAuthorizer {
        /// Its name.
        authorizer: String,
    }
);

impl Resource for DefaultAuthorizer {
    const KIND: Kind = Kind::DefaultAuthorizer;

    fn name(&self) -> &str {
        ""
    }
}

/// What CreateAuthorizer and UpdateAuthorizer ask for; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `authorizerFunctionArn`
    pub function_arn: Option<String>,
    /// `tokenKeyName`
    pub token_key_name: Option<String>,
    /// `tokenSigningPublicKeys`
    pub keys: Option<BTreeMap<String, String>>,
    /// `status`
    pub status: Option<String>,
    /// `signingDisabled`; it cannot be changed later.
    pub signing_disabled: Option<bool>,
    /// `enableCachingForHttp`
    pub caching: Option<bool>,
    /// `tags`
    pub tags: Vec<Tag>,
}

impl Authorizer {
    /// Whether it may be asked.
    pub fn is_active(&self) -> bool {
        self.status == ACTIVE
    }

    /// Whether one of its keys has signed the token (RSA PKCS #1 v1.5 with SHA-256).
    pub fn has_signed(&self, token: &str, signature: &[u8]) -> bool {
        let keys = self.keys.values().filter_map(|pem| read_key(pem));
        keys.into_iter().any(|key| {
            let algorithm = SignatureAlgorithm::RsaPkcs1Sha256;
            identity::crypto::verify(&key, algorithm, token.as_bytes(), signature).is_ok()
        })
    }

    fn apply(&mut self, request: Request) -> Result<(), Refusal> {
        self.function_arn = request.function_arn.unwrap_or_else(|| self.function_arn.clone());
        self.token_key_name = request
            .token_key_name
            .unwrap_or_else(|| self.token_key_name.clone());
        self.keys = request.keys.unwrap_or_else(|| self.keys.clone());
        self.status = request.status.unwrap_or_else(|| self.status.clone());
        self.caching = request.caching.unwrap_or(self.caching);
        self.check()
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.function_arn.is_empty() || self.function_arn.len() > AUTHORIZER_FUNCTION_BYTES_MAX {
            return Err(wrong("the authorizerFunctionArn has 1 to 2048 bytes"));
        }
        if !matches!(self.status.as_str(), ACTIVE | INACTIVE) {
            return Err(wrong("the status is ACTIVE or INACTIVE"));
        }
        if !self.signing_disabled && (self.token_key_name.is_empty() || self.keys.is_empty()) {
            return Err(wrong(
                "without signingDisabled there must be a tokenKeyName and tokenSigningPublicKeys",
            ));
        }
        let is_name = |text: &str, more: &[u8]| {
            (1..=AUTHORIZER_NAME_BYTES_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !self.token_key_name.is_empty() && !is_name(&self.token_key_name, b"_-") {
            return Err(wrong(
                "the tokenKeyName has 1 to 128 of the characters A-Z a-z 0-9 _ -",
            ));
        }
        if self.keys.len() > AUTHORIZER_KEYS_MAX || !self.keys.keys().all(|name| is_name(name, b":_-")) {
            return Err(wrong(
                "tokenSigningPublicKeys has at most 10 keys, named with 1 to 128 of A-Z a-z 0-9 : _ -",
            ));
        }
        match self.keys.values().all(|pem| read_key(pem).is_some()) {
            true => Ok(()),
            false => Err(wrong(
                "a key of tokenSigningPublicKeys is no RSA public key of at least 2048 bits in PEM",
            )),
        }
    }
}

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";

fn read_key(pem: &str) -> Option<PublicKey> {
    let der = Some(pem).filter(|pem| pem.len() <= TOKEN_KEY_PEM_BYTES_MAX);
    let der = identity::pem::decode_one("PUBLIC KEY", der?).ok()?;
    let key = PublicKey::from_spki_der(&der).ok()?;
    matches!(key.kind(), KeyKind::Rsa { bits } if bits >= crate::limits::RSA_BITS_MIN).then_some(key)
}

/// CreateAuthorizer. `count` is how many there are.
pub fn create(
    call: &Call,
    name: &AuthorizerName,
    request: Request,
    existing: Option<&Versioned<Authorizer>>,
    count: usize,
) -> Decided<Authorizer> {
    tags::check(&request.tags)?;
    let mut authorizer = Authorizer {
        name: name.as_str().to_owned(),
        function_arn: String::new(),
        token_key_name: String::new(),
        keys: BTreeMap::new(),
        status: INACTIVE.to_owned(),
        signing_disabled: request.signing_disabled.unwrap_or(false),
        caching: false,
        created: call.now,
        modified: call.now,
        tags: request.tags.clone(),
    };
    authorizer.apply(request)?;
    if let Some(Versioned { record, .. }) = existing {
        let arn = arn::named(&call.tenant, "authorizer", &record.name);
        return Err(resource::exists(record, &record.name, arn));
    }
    if count >= AUTHORIZERS_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.authorizer.limit",
            format!("there are {AUTHORIZERS_MAX} authorizers already"),
        )
        .hint("delete one first (DeleteAuthorizer)"));
    }
    Ok(resource::insert(call, "authorizer.create", authorizer))
}

/// UpdateAuthorizer.
pub fn update(
    call: &Call,
    name: &AuthorizerName,
    request: Request,
    existing: Option<&Versioned<Authorizer>>,
) -> Decided<Authorizer> {
    let existing = resource::found(name.as_str(), existing)?;
    let mut authorizer = existing.record.clone();
    authorizer.apply(request)?;
    authorizer.modified = call.now;
    Ok(resource::replace(
        call,
        "authorizer.update",
        authorizer,
        existing.version,
    ))
}

/// DeleteAuthorizer: never while it may be asked, or is the default.
pub fn delete(
    call: &Call,
    name: &AuthorizerName,
    existing: Option<&Versioned<Authorizer>>,
    default: Option<&Versioned<DefaultAuthorizer>>,
) -> Decided<()> {
    let existing = resource::found(name.as_str(), existing)?;
    let conflict = |why: &str, hint: &'static str| {
        let reason = format!("authorizer {name} cannot be deleted: {why}");
        Err(Refusal::new(Exception::DeleteConflict, "fleet.authorizer.in_use", reason).hint(hint))
    };
    if default.is_some_and(|default| default.record.authorizer == name.as_str()) {
        return conflict(
            "it is the default",
            "clear or change the default first (ClearDefaultAuthorizer)",
        );
    }
    if existing.record.is_active() {
        return conflict("it is ACTIVE", "set it to INACTIVE first (UpdateAuthorizer)");
    }
    Ok(resource::delete(call, "authorizer.delete", existing))
}

/// SetDefaultAuthorizer.
pub fn set_default(
    call: &Call,
    name: &AuthorizerName,
    existing: Option<&Versioned<Authorizer>>,
    default: Option<&Versioned<DefaultAuthorizer>>,
) -> Decided<()> {
    let existing = resource::found(name.as_str(), existing)?;
    let wanted = DefaultAuthorizer {
        authorizer: name.as_str().to_owned(),
    };
    let mut decision = match default {
        Some(default) if default.record == wanted => return Ok(Decision::unchanged(call, ())),
        Some(default) => {
            let other = &default.record.authorizer;
            return Err(Refusal::new(
                Exception::ResourceAlreadyExists,
                "fleet.authorizer.default_set",
                format!("authorizer {other} is the default already"),
            )
            .hint("clear it first (ClearDefaultAuthorizer)")
            .existing(other.as_str(), arn::named(&call.tenant, "authorizer", other)));
        }
        None => resource::insert(call, "authorizer.default", wanted),
    };
    decision
        .batch
        .check(authorizer_key(name.as_str()), existing.version);
    Ok(Decision {
        batch: decision.batch,
        events: decision.events,
        reply: (),
    })
}

fn authorizer_key(name: &str) -> Key {
    resource::key::<Authorizer>(name)
}

/// ClearDefaultAuthorizer.
pub fn clear_default(call: &Call, default: Option<&Versioned<DefaultAuthorizer>>) -> Decided<()> {
    let default = default.ok_or_else(no_default)?;
    Ok(resource::delete(call, "authorizer.default_clear", default))
}

/// There is no default authorizer.
pub fn no_default() -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "fleet.authorizer.no_default",
        "there is no default authorizer",
    )
    .hint("set one (SetDefaultAuthorizer)")
}

fn wrong(reason: &str) -> Refusal {
    Refusal::new(Exception::InvalidRequest, "fleet.authorizer.request", reason)
}
