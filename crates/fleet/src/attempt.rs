//! The record of one attempt: a connection or a request, step by step, with its verdict, its reason and what mends it.
//!
//! Filled by whoever sees a step (`cloud` the handshake, this crate the onboarding, `policy` the decisions), kept in a
//! bounded ring by `store`, shown by `birthmark explain`. Everything in it is bounded, and foreign text is escaped when it
//! is shown. It never holds a secret and it never decides anything.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

use identity::{CertificateId, Explained, Tenant, ThingName, UnixMillis};

use crate::limits::{ATTEMPT_OFFERS_MAX, ATTEMPT_STEPS_MAX};
use crate::refusal::Refusal;
use crate::text::Text;

/// Names one attempt in logs, answers and `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl core::fmt::Display for TraceId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        identity::Hex(&self.0).fmt(f)
    }
}

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection, from the first byte to CONNACK.
    Connect,
    /// A publish.
    Publish,
    /// A subscription.
    Subscribe,
    /// A call of the HTTPS API.
    Api,
    /// A request for a certificate, or for provisioning, over MQTT.
    Provision,
}

impl Kind {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Api => "api",
            Self::Provision => "provision",
        }
    }

    /// Reads the word in records.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Connect,
            Self::Publish,
            Self::Subscribe,
            Self::Api,
            Self::Provision,
        ]
        .into_iter()
        .find(|kind| kind.name() == text)
    }
}

/// How one step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepVerdict {
    /// As it must be.
    Passed,
    /// Passed, but somebody should know: a security event.
    Alarm,
    /// Not needed.
    Skipped,
    /// Here it ended.
    Failed,
}

impl StepVerdict {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Alarm => "alarm",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// Reads the word in records.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Passed, Self::Alarm, Self::Skipped, Self::Failed]
            .into_iter()
            .find(|verdict| verdict.name() == text)
    }
}

/// One step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// A stable name such as `tls.possession` or `template.evaluate`.
    pub name: Cow<'static, str>,
    /// How it went.
    pub verdict: StepVerdict,
    /// Particulars, for people.
    pub detail: Text,
}

/// The steps of an attempt in order, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail {
    steps: Vec<Step>,
}

impl Trail {
    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds a step; beyond the limit the last step is overwritten, so that the end is always told.
    pub fn push(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        verdict: StepVerdict,
        detail: impl Into<String>,
    ) {
        if self.steps.len() == ATTEMPT_STEPS_MAX {
            self.steps.pop();
        }
        self.steps.push(Step {
            name: name.into(),
            verdict,
            detail: Text::long(detail),
        });
    }

    /// A step that went as it must.
    pub fn passed(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, StepVerdict::Passed, detail);
    }

    /// A step that went on, but that somebody should know of.
    pub fn alarm(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, StepVerdict::Alarm, detail);
    }

    /// A step that was not needed.
    pub fn skipped(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, StepVerdict::Skipped, detail);
    }

    /// The step at which it ended.
    pub fn failed(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, StepVerdict::Failed, detail);
    }

    /// Appends the steps of another trail.
    pub fn extend(&mut self, other: Self) {
        for step in other.steps {
            if self.steps.len() == ATTEMPT_STEPS_MAX {
                self.steps.pop();
            }
            self.steps.push(step);
        }
    }
}

/// How the attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was let through.
    Accepted,
    /// It was refused.
    Refused,
    /// The peer went away before there was an answer.
    Abandoned,
    /// We failed: disk, overload.
    Faulted,
}

impl Verdict {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
            Self::Faulted => "faulted",
        }
    }

    /// Reads the word in records.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Refused, Self::Abandoned, Self::Faulted]
            .into_iter()
            .find(|v| v.name() == text)
    }
}

/// Whose share of the ring the record uses, so that strangers cannot flush a known device's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Standing {
    /// Nobody we know, or nobody who proved it: counted against its address.
    #[default]
    Stranger,
    /// Holder of a key whose certificate is registered or was signed by this registered CA.
    Known {
        /// The CA, if there is one.
        ca: Option<CertificateId>,
    },
}

/// What was seen of the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// Server name indication.
    pub sni: Option<Text>,
    /// Application protocols offered.
    pub alpn: Vec<Text>,
    /// Versions offered (0x0303 is 1.2, 0x0304 is 1.3).
    pub versions_offered: Vec<u16>,
    /// Cipher suites offered.
    pub suites_offered: Vec<u16>,
    /// Version chosen.
    pub version: Option<u16>,
    /// Cipher suite chosen.
    pub suite: Option<u16>,
    /// The alert that ended it, sent or received (RFC 8446, 6).
    pub alert: Option<u8>,
}

impl TlsFacts {
    /// Cuts every list at its limit.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.alpn.truncate(ATTEMPT_OFFERS_MAX);
        self.versions_offered.truncate(ATTEMPT_OFFERS_MAX);
        self.suites_offered.truncate(ATTEMPT_OFFERS_MAX);
        self
    }
}

/// What was seen of the peer's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its id, which is its SHA-256 fingerprint.
    pub id: CertificateId,
    /// Subject.
    pub subject: Text,
    /// Issuer.
    pub issuer: Text,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity.
    pub not_after: UnixMillis,
}

impl CertificateFacts {
    /// What is to be told of a certificate.
    pub fn of(certificate: &identity::certificate::Certificate) -> Self {
        Self {
            id: certificate.id(),
            subject: Text::long(certificate.subject().to_string()),
            issuer: Text::long(certificate.issuer().to_string()),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }
}

/// The record of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Names it.
    pub trace: TraceId,
    /// When it began.
    pub at: UnixMillis,
    /// How long it took.
    pub elapsed_micros: u64,
    /// What was attempted.
    pub kind: Kind,
    /// Whose endpoint.
    pub tenant: Tenant,
    /// Whose share of the ring.
    pub standing: Standing,
    /// Where it came from.
    pub peer: Option<SocketAddr>,
    /// The TLS handshake.
    pub tls: TlsFacts,
    /// The peer's certificate.
    pub certificate: Option<CertificateFacts>,
    /// MQTT client id.
    pub client_id: Option<Text>,
    /// The thing it is about.
    pub thing: Option<ThingName>,
    /// The API operation, topic or topic filter.
    pub operation: Option<Text>,
    /// What happened.
    pub trail: Trail,
    /// How it ended.
    pub verdict: Verdict,
    /// Stable code of the reason; empty when accepted.
    pub code: Text,
    /// Why.
    pub reason: Text,
    /// What mends it.
    pub hint: Text,
}

impl Attempt {
    /// An attempt that has just begun.
    pub fn begin(trace: TraceId, kind: Kind, tenant: Tenant, at: UnixMillis) -> Self {
        Self {
            trace,
            at,
            elapsed_micros: 0,
            kind,
            tenant,
            standing: Standing::Stranger,
            peer: None,
            tls: TlsFacts::default(),
            certificate: None,
            client_id: None,
            thing: None,
            operation: None,
            trail: Trail::default(),
            verdict: Verdict::Abandoned,
            code: Text::default(),
            reason: Text::default(),
            hint: Text::default(),
        }
    }

    /// It was let through.
    pub fn accept(&mut self) {
        self.verdict = Verdict::Accepted;
    }

    /// It was refused by a decision of this crate.
    pub fn refuse(&mut self, refusal: &Refusal) {
        self.end(
            Verdict::Refused,
            refusal.code(),
            refusal.reason(),
            refusal.remedy(),
        );
    }

    /// It ended for a reason that somebody else names.
    pub fn end(
        &mut self,
        verdict: Verdict,
        code: impl Into<String>,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.verdict = verdict;
        self.code = Text::short(code);
        self.reason = Text::long(reason);
        self.hint = Text::long(hint);
    }

    /// Equal failures share a key: of a storm the first, the last and the count are kept. Accepted attempts have none.
    pub fn storm_key(&self) -> Option<StormKey> {
        if self.verdict == Verdict::Accepted {
            return None;
        }
        let who = match &self.certificate {
            Some(certificate) => Who::Certificate(certificate.id),
            None => Who::Address(self.peer.map(|peer| peer.ip())),
        };
        Some(StormKey {
            kind: self.kind,
            tenant: self.tenant,
            standing: self.standing,
            who,
            code: self.code.clone(),
            operation: self.operation.clone(),
        })
    }
}

/// What makes two failures equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StormKey {
    kind: Kind,
    tenant: Tenant,
    standing: Standing,
    who: Who,
    code: Text,
    operation: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Certificate(CertificateId),
    Address(Option<IpAddr>),
}
