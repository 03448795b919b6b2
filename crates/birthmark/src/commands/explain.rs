//! `birthmark explain`: why was this device refused, and what mends it.
//!
//! Reads the ring of attempt records in a data directory, also while `serve` runs on it. It decides nothing and invents no
//! words: steps, reason and hint are what was recorded; it only lays them out, with foreign text escaped.

use std::{net::IpAddr, path::Path};

use fleet::attempt::{Attempt, StepVerdict, Verdict};
use identity::{CertificateId, ThingName};
use serde_json::{Value, json};
use store::{AttemptReader, Filter, Recorded, What};

use super::configuration::DATA_DIR;
use crate::{
    args::Explain,
    exit::{Context, DONE, Failure, REFUSED},
    words::{say, tell},
};

/// Shows the newest attempts that match.
pub(crate) fn run(typed: &Explain) -> Result<u8, Failure> {
    let data_dir = typed.data_dir.as_deref().unwrap_or_else(|| Path::new(DATA_DIR));
    let filter = Filter {
        what: what(&typed.what),
        tenant: None,
        refused_only: typed.refused,
    };
    let found = newest(data_dir, &filter, typed.count)?;
    if found.is_empty() {
        say(&format!(
            "no attempt matches `{}` in {}",
            typed.what,
            data_dir.display()
        ));
        say(
            "Nothing reached the cloud: look at the network, the port and the name that the device connects to.",
        );
        return Ok(REFUSED);
    }
    for recorded in &found {
        if typed.json {
            tell(&as_json(recorded).to_string()).fault(|| "could not write to stdout".to_owned())?;
        } else {
            page(recorded).lines().for_each(say);
        }
    }
    Ok(DONE)
}

/// The newest recorded attempts of a data directory.
pub(crate) fn newest(data_dir: &Path, filter: &Filter, limit: usize) -> Result<Vec<Recorded>, Failure> {
    let what = || format!("could not read the attempt records in {}", data_dir.display());
    let reader = AttemptReader::open(data_dir).fault(what)?;
    reader.newest(filter, limit).fault(what)
}

/// What a person may name: `last`, a certificate id or fingerprint in any common spelling, an address, or a thing.
fn what(text: &str) -> What {
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

/// One attempt, laid out for a person.
fn page(recorded: &Recorded) -> String {
    let attempt = &recorded.attempt;
    let mut lines = vec![headline(recorded)];
    lines.extend(
        facts(attempt)
            .into_iter()
            .map(|(name, value)| format!("  {name:<12} {value}")),
    );
    for step in attempt.trail.steps() {
        let mark = match step.verdict {
            StepVerdict::Passed => "ok  ",
            StepVerdict::Alarm => "!   ",
            StepVerdict::Skipped => "-   ",
            StepVerdict::Failed => "FAIL",
        };
        lines.push(format!("  {mark} {:<24} {}", step.name, step.detail.as_str()));
    }
    if !attempt.reason.is_empty() {
        lines.push(format!(
            "  why          {} [{}]",
            attempt.reason.as_str(),
            attempt.code.as_str()
        ));
    }
    if !attempt.hint.is_empty() {
        lines.push(format!("  what mends   {}", attempt.hint.as_str()));
    }
    lines.join("\n")
}

fn headline(recorded: &Recorded) -> String {
    let attempt = &recorded.attempt;
    let verdict = match attempt.verdict {
        Verdict::Accepted => "accepted",
        Verdict::Refused => "REFUSED",
        Verdict::Abandoned => "abandoned by the peer",
        Verdict::Faulted => "FAULT on our side",
    };
    let storm = match recorded.count {
        1 => String::new(),
        count => format!(", {count} times since {}", recorded.first_at.to_rfc3339()),
    };
    format!(
        "{}  {}  {verdict}{storm}  trace {}",
        attempt.at.to_rfc3339(),
        attempt.kind.name(),
        attempt.trace
    )
}

fn facts(attempt: &Attempt) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        "account",
        format!("{} {}", attempt.tenant.account, attempt.tenant.region),
    )];
    if let Some(peer) = attempt.peer {
        facts.push(("from", peer.to_string()));
    }
    if let Some(name) = &attempt.tls.sni {
        facts.push(("server name", name.as_str().to_owned()));
    }
    if let Some(certificate) = &attempt.certificate {
        facts.push(("certificate", certificate.id.to_string()));
        facts.push(("subject", certificate.subject.as_str().to_owned()));
        facts.push(("issuer", certificate.issuer.as_str().to_owned()));
        let (from, to) = (
            certificate.not_before.to_rfc3339(),
            certificate.not_after.to_rfc3339(),
        );
        facts.push(("valid", format!("{from} to {to}")));
    }
    let texts = [
        (
            "client id",
            attempt.client_id.as_ref().map(|text| text.as_str().to_owned()),
        ),
        (
            "thing",
            attempt.thing.as_ref().map(|name| name.as_str().to_owned()),
        ),
        (
            "operation",
            attempt.operation.as_ref().map(|text| text.as_str().to_owned()),
        ),
    ];
    facts.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| text.map(|text| (name, text))),
    );
    facts
}

/// One attempt for machines.
fn as_json(recorded: &Recorded) -> Value {
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
