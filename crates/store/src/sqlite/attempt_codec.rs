//! An attempt as JSON, and back: the twin of `fleet::attempt::Attempt` that lives in the ring.

use std::borrow::Cow;

use fleet::attempt::{
    Attempt, CertificateFacts, Kind, Standing, StepVerdict, TlsFacts, TraceId, Trail, Verdict,
};
use fleet::text::Text;
use identity::{CertificateId, Tenant, UnixMillis};
use serde::{Deserialize, Serialize};

use super::codec::word;
use crate::error::Error;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Twin<'a> {
    trace: String,
    at: i64,
    elapsed_micros: u64,
    kind: Cow<'a, str>,
    account: Cow<'a, str>,
    region: Cow<'a, str>,
    known: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    tls: TlsTwin<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateTwin<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thing: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Cow<'a, str>>,
    steps: Vec<(Cow<'a, str>, Cow<'a, str>, Cow<'a, str>)>,
    verdict: Cow<'a, str>,
    code: Cow<'a, str>,
    reason: Cow<'a, str>,
    hint: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlsTwin<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sni: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alpn: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    versions_offered: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    suites_offered: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suite: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateTwin<'a> {
    id: String,
    subject: Cow<'a, str>,
    issuer: Cow<'a, str>,
    not_before: i64,
    not_after: i64,
}

pub(super) fn encode(attempt: &Attempt) -> String {
    // Strings, numbers and lists of them always have a JSON form.
    serde_json::to_string(&twin(attempt)).unwrap_or_default()
}

pub(super) fn decode(body: &str) -> Result<Attempt, Error> {
    let twin: Twin<'_> =
        serde_json::from_str(body).map_err(|fault| Error::corrupt("attempt.body", fault.to_string()))?;
    attempt(twin)
}

fn twin(attempt: &Attempt) -> Twin<'_> {
    let (known, ca) = match attempt.standing {
        Standing::Stranger => (false, None),
        Standing::Known { ca } => (true, ca),
    };
    Twin {
        trace: attempt.trace.to_string(),
        at: attempt.at.0,
        elapsed_micros: attempt.elapsed_micros,
        kind: attempt.kind.name().into(),
        account: attempt.tenant.account.as_str().into(),
        region: attempt.tenant.region.as_str().into(),
        known,
        ca: ca.map(|ca| ca.to_string()),
        peer: attempt.peer.map(|peer| peer.to_string()),
        tls: tls_twin(&attempt.tls),
        certificate: attempt.certificate.as_ref().map(certificate_twin),
        client_id: attempt.client_id.as_ref().map(|text| text.as_str().into()),
        thing: attempt.thing.as_ref().map(|name| name.as_str().into()),
        operation: attempt.operation.as_ref().map(|text| text.as_str().into()),
        steps: attempt
            .trail
            .steps()
            .iter()
            .map(|step| {
                (
                    step.name.as_ref().into(),
                    step.verdict.name().into(),
                    step.detail.as_str().into(),
                )
            })
            .collect(),
        verdict: attempt.verdict.name().into(),
        code: attempt.code.as_str().into(),
        reason: attempt.reason.as_str().into(),
        hint: attempt.hint.as_str().into(),
    }
}

fn tls_twin(tls: &TlsFacts) -> TlsTwin<'_> {
    TlsTwin {
        sni: tls.sni.as_ref().map(|text| text.as_str().into()),
        alpn: tls.alpn.iter().map(|text| text.as_str().into()).collect(),
        versions_offered: tls.versions_offered.clone(),
        suites_offered: tls.suites_offered.clone(),
        version: tls.version,
        suite: tls.suite,
        alert: tls.alert,
    }
}

fn certificate_twin(facts: &CertificateFacts) -> CertificateTwin<'_> {
    CertificateTwin {
        id: facts.id.to_string(),
        subject: facts.subject.as_str().into(),
        issuer: facts.issuer.as_str().into(),
        not_before: facts.not_before.0,
        not_after: facts.not_after.0,
    }
}

fn attempt(twin: Twin<'_>) -> Result<Attempt, Error> {
    let tenant = Tenant {
        account: word("attempt.account", &twin.account, |text| text.parse().ok())?,
        region: word("attempt.region", &twin.region, |text| text.parse().ok())?,
    };
    let kind = word("attempt.kind", &twin.kind, Kind::parse)?;
    let trace = word("attempt.trace", &twin.trace, read_trace)?;
    let mut attempt = Attempt::begin(trace, kind, tenant, UnixMillis(twin.at));
    attempt.elapsed_micros = twin.elapsed_micros;
    if twin.known {
        attempt.standing = Standing::Known {
            ca: twin.ca.as_deref().map(read_id).transpose()?,
        };
    }
    attempt.peer = twin.peer.as_deref().and_then(|peer| peer.parse().ok());
    attempt.tls = tls(twin.tls);
    attempt.certificate = twin.certificate.map(certificate).transpose()?;
    attempt.client_id = twin.client_id.map(Text::short);
    attempt.thing = twin.thing.as_deref().and_then(|name| name.parse().ok());
    attempt.operation = twin.operation.map(Text::long);
    let mut trail = Trail::default();
    for (name, verdict, detail) in twin.steps {
        trail.push(
            name.into_owned(),
            word("attempt.step", &verdict, StepVerdict::parse)?,
            detail,
        );
    }
    attempt.trail = trail;
    attempt.end(
        word("attempt.verdict", &twin.verdict, Verdict::parse)?,
        twin.code,
        twin.reason,
        twin.hint,
    );
    Ok(attempt)
}

fn tls(twin: TlsTwin<'_>) -> TlsFacts {
    TlsFacts {
        sni: twin.sni.map(Text::short),
        alpn: twin.alpn.into_iter().map(Text::short).collect(),
        versions_offered: twin.versions_offered,
        suites_offered: twin.suites_offered,
        version: twin.version,
        suite: twin.suite,
        alert: twin.alert,
    }
}

fn certificate(twin: CertificateTwin<'_>) -> Result<CertificateFacts, Error> {
    Ok(CertificateFacts {
        id: read_id(&twin.id)?,
        subject: Text::long(twin.subject),
        issuer: Text::long(twin.issuer),
        not_before: UnixMillis(twin.not_before),
        not_after: UnixMillis(twin.not_after),
    })
}

fn read_id(text: &str) -> Result<CertificateId, Error> {
    word("attempt.fingerprint", text, |text| text.parse().ok())
}

fn read_trace(text: &str) -> Option<TraceId> {
    let mut bytes = [0; 16];
    if text.len() != 32 {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(TraceId(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_read_back_as_it_was() {
        let mut full = Attempt::begin(
            TraceId([0xa5; 16]),
            Kind::Connect,
            Tenant::default(),
            UnixMillis(1_700_000_000_123),
        );
        full.elapsed_micros = 42;
        full.standing = Standing::Known {
            ca: Some(CertificateId([1; 32])),
        };
        full.peer = Some("[2001:db8::1]:8883".parse().unwrap());
        full.tls = TlsFacts {
            sni: Some(Text::short("name")),
            alpn: vec![Text::short("x-amzn-mqtt-ca")],
            versions_offered: vec![0x0304, 0x0303],
            suites_offered: vec![0x1301],
            version: Some(0x0304),
            suite: Some(0x1301),
            alert: Some(42),
        };
        full.certificate = Some(CertificateFacts {
            id: CertificateId([2; 32]),
            subject: Text::long("CN=\u{1b}[31m"),
            issuer: Text::long("CN=ca"),
            not_before: UnixMillis(1),
            not_after: UnixMillis(2),
        });
        full.client_id = Some(Text::short("client"));
        full.thing = Some("thing-1".parse().unwrap());
        full.operation = Some(Text::long("dt/thing-1/telemetry"));
        full.trail.passed("tls", "\"quoted\"");
        full.trail.failed("certificate.status", "REVOKED");
        full.end(
            Verdict::Refused,
            "fleet.admission.revoked",
            "it is REVOKED",
            "another one",
        );
        let empty = Attempt::begin(TraceId([0; 16]), Kind::Api, Tenant::default(), UnixMillis(0));
        for attempt in [full, empty] {
            assert_eq!(decode(&encode(&attempt)).unwrap(), attempt);
        }
        for damaged in ["", "{}", "[]"] {
            assert!(decode(damaged).is_err(), "{damaged}");
        }
    }
}
