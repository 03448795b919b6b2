//! Attempt records for people and machines outside: what they may ask for, and what they are shown.
//!
//! `birthmark explain` and `GET /birthmark/attempts` ask and show alike. It decides nothing and invents no words.

use std::net::IpAddr;

use identity::{CertificateId, ThingName};
use serde_json::{Value, json};
use store::{Recorded, What};

/// What a person may name: `last`, a certificate id or fingerprint in any common spelling, an address, or a thing.
pub fn what(text: &str) -> What {
    if text == "last" {
        return What::Last;
    }
    let fingerprint = text
        .rsplit_once('=')
        .map_or(text, |(_, digits)| digits)
        .replace(':', "");
    if let Ok(id) = fingerprint.parse::<CertificateId>() {
        return What::Certificate(id);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return What::Address(address);
    }
    text.parse::<ThingName>().map_or(What::Last, What::Thing)
}

/// One attempt for machines.
pub fn to_json(recorded: &Recorded) -> Value {
    let attempt = &recorded.attempt;
    let steps: Vec<Value> = attempt
        .trail
        .steps()
        .iter()
        .map(|step| json!({ "name": step.name, "verdict": step.verdict.name(), "detail": step.detail.as_str() }))
        .collect();
    json!({
        "trace": attempt.trace.to_string(),
        "at": attempt.at.to_rfc3339(),
        "count": recorded.count,
        "first_at": recorded.first_at.to_rfc3339(),
        "kind": attempt.kind.name(),
        "verdict": attempt.verdict.name(),
        "code": attempt.code.as_str(),
        "reason": attempt.reason.as_str(),
        "hint": attempt.hint.as_str(),
        "account": attempt.tenant.account.to_string(),
        "region": attempt.tenant.region.to_string(),
        "peer": attempt.peer.map(|peer| peer.to_string()),
        "sni": attempt.tls.sni.as_ref().map(|text| text.as_str()),
        "alpn": attempt.tls.alpn.iter().map(|text| text.as_str()).collect::<Vec<_>>(),
        "versions_offered": attempt.tls.versions_offered,
        "suites_offered": attempt.tls.suites_offered,
        "alert": attempt.tls.alert,
        "fingerprint": attempt.certificate.as_ref().map(|certificate| certificate.id.to_string()),
        "subject": attempt.certificate.as_ref().map(|certificate| certificate.subject.as_str()),
        "issuer": attempt.certificate.as_ref().map(|certificate| certificate.issuer.as_str()),
        "client_id": attempt.client_id.as_ref().map(|text| text.as_str()),
        "thing": attempt.thing.as_ref().map(ThingName::as_str),
        "operation": attempt.operation.as_ref().map(|text| text.as_str()),
        "elapsed_micros": attempt.elapsed_micros,
        "steps": steps,
    })
}

#[cfg(test)]
mod tests {
    use store::What;

    use super::what;

    #[test]
    fn a_person_may_name_it_in_many_ways() {
        let id = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        for text in [
            id.clone(),
            format!("0x{id}"),
            colons.clone(),
            format!("sha256 Fingerprint={colons}"),
        ] {
            assert!(
                matches!(what(&text), What::Certificate(found) if found.to_string() == id),
                "{text}"
            );
        }
        assert_eq!(what("last"), What::Last);
        assert!(matches!(what("127.0.0.1"), What::Address(_)));
        assert!(matches!(what("lamp-1"), What::Thing(_)));
    }
}
