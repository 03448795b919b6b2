//! `birthmark explain`: why was this device refused, and what mends it.
//!
//! Reads the ring of attempt records in a data directory, also while `serve` runs on it. It decides nothing and invents no
//! words: steps, reason and hint are what was recorded; it only lays them out, with foreign text escaped.

use std::path::Path;

use fleet::attempt::{Attempt, StepVerdict, Verdict};
use identity::certificate::Certificate;
use store::{AttemptReader, Filter, Recorded};

use super::configuration::{self, DATA_DIR};
use super::factory::{certificate, read};
use super::settled;
use crate::{
    args::Explain,
    exit::{Context, DONE, Failure, REFUSED},
    words::{say, tell},
};

/// How long to wait before looking for further attempts.
const FOLLOW_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
/// How many further attempts are read at once.
const FOLLOW_AT_ONCE_MAX: usize = 250;

/// Shows the newest attempts that match.
pub(crate) fn run(typed: &Explain) -> Result<u8, Failure> {
    if let Some(certificate) = &typed.dry_run {
        return rehearse(typed, certificate);
    }
    let data_dir = typed.data_dir.as_deref().unwrap_or_else(|| Path::new(DATA_DIR));
    let filter = Filter {
        what: cloud::attempts::what(&typed.what),
        tenant: None,
        refused_only: typed.refused,
    };
    settled::settle(data_dir);
    if typed.follow {
        return follow(data_dir, &filter, typed);
    }
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
    show(&found, typed)?;
    Ok(DONE)
}

/// Plays the next connection of a certificate through, without a connection.
fn rehearse(typed: &Explain, path: &Path) -> Result<u8, Failure> {
    let mut config = configuration::of_file(typed.config.as_deref())?;
    if let Some(data_dir) = &typed.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    let certificate = certificate(path)?;
    let chain = match &typed.chain {
        None => Vec::new(),
        Some(path) => chain_of(path, &certificate)?,
    };
    let endpoint = config
        .endpoint_name()
        .map_err(|error| Failure::usage("the configuration is not valid").because(error))?;
    let server_name = typed.server_name.as_deref().unwrap_or(&endpoint);
    let question = cloud::Question {
        certificate: &certificate,
        chain: &chain,
        server_name: Some(server_name).filter(|name| !name.is_empty()),
    };
    let attempt = cloud::rehearse(&config, question)
        .fault(|| format!("could not look into {}", config.data_dir.display()))?;
    let accepted = attempt.verdict == Verdict::Accepted;
    let recorded = Recorded {
        place: 0,
        count: 1,
        first_at: attempt.at,
        attempt,
    };
    show(&[recorded], typed)?;
    say("this was a rehearsal: nothing connected and nothing was written");
    Ok(if accepted { DONE } else { REFUSED })
}

/// The certificates of a file, without the leaf if it begins with it.
fn chain_of(path: &Path, leaf: &Certificate) -> Result<Vec<Certificate>, Failure> {
    let wrong = || format!("{} holds no certificates in PEM", path.display());
    let ders = identity::pem::decode_all("CERTIFICATE", &read(path)?).refused(wrong)?;
    let parsed: Result<Vec<_>, _> = ders.iter().map(|der| Certificate::parse(der)).collect();
    let mut chain = parsed.refused(wrong)?;
    if chain.first().is_some_and(|first| first.id() == leaf.id()) {
        chain.remove(0);
    }
    Ok(chain)
}

fn show(found: &[Recorded], typed: &Explain) -> Result<(), Failure> {
    for recorded in found {
        if typed.json {
            let line = cloud::attempts::to_json(recorded).to_string();
            tell(&line).fault(|| "could not write to stdout".to_owned())?;
        } else {
            page(recorded).lines().for_each(say);
        }
    }
    Ok(())
}

/// Shows the newest attempts that match, oldest first, and then every further one, until somebody ends it.
fn follow(data_dir: &Path, filter: &Filter, typed: &Explain) -> Result<u8, Failure> {
    let what = || unread(data_dir);
    let reader = AttemptReader::open(data_dir).fault(what)?;
    let mut found = reader.newest(filter, typed.count).fault(what)?;
    found.reverse();
    let mut last = 0;
    loop {
        show(&found, typed)?;
        last = found.last().map_or(last, |recorded| recorded.place);
        std::thread::sleep(FOLLOW_PAUSE);
        found = reader.after(filter, last, FOLLOW_AT_ONCE_MAX).fault(what)?;
    }
}

/// The newest recorded attempts of a data directory.
pub(crate) fn newest(data_dir: &Path, filter: &Filter, limit: usize) -> Result<Vec<Recorded>, Failure> {
    let what = || unread(data_dir);
    let reader = AttemptReader::open(data_dir).fault(what)?;
    reader.newest(filter, limit).fault(what)
}

/// Attempts that cannot be read: mostly it is another folder than the server's.
fn unread(data_dir: &Path) -> String {
    let shown = data_dir.display();
    format!(
        "could not read the attempt records in {shown}; --data-dir must be that of a server, or of a device"
    )
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
        let detail = step.detail.as_str();
        let is_why = step.verdict == StepVerdict::Failed && detail == attempt.reason.as_str();
        // What ended it is told below, with what mends it.
        let detail = if is_why { "" } else { detail };
        lines.push(
            format!("  {mark} {:<24} {detail}", step.name)
                .trim_end()
                .to_owned(),
        );
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
    if !attempt.tls.alpn.is_empty() {
        let offered: Vec<_> = attempt.tls.alpn.iter().map(|name| name.as_str()).collect();
        facts.push(("ALPN", offered.join(", ")));
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
