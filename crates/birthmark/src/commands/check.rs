//! `birthmark check`: is this configuration valid, what are the effective values, and where did each come from.

use std::path::Path;

use super::configuration::{self, Effective};
use crate::{
    args::{Check, Serve},
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// Validates and prints; nothing is started and nothing is written.
pub(crate) fn run(typed: &Check) -> Result<u8, Failure> {
    let effective = configuration::resolve(&Serve {
        data_dir: typed.data_dir.clone(),
        config: typed.config.clone(),
        listen_mqtt: None,
        listen_api: None,
        listen_metrics: None,
        listen_mux: None,
        listen_plain: None,
        plain_policy: None,
        hostnames: Vec::new(),
        first_connect: None,
        allow_simulated: false,
        emulate_quotas: false,
    })?;
    effective
        .config
        .check()
        .map_err(|error| Failure::usage("the configuration is not valid").because(error))?;
    if typed.audit {
        return audit(&effective.config.data_dir);
    }
    for (key, value, origin) in effective.settings() {
        let shown = if value.is_empty() { "none" } else { &value };
        tell(&format!("{key:<20} {shown:<36} # {origin}"))
            .fault(|| "could not write to stdout".to_owned())?;
    }
    let open = cloud::open_gates(&effective.config)
        .fault(|| format!("could not look into {}", effective.config.data_dir.display()))?;
    for ca in open {
        say(&format!(
            "warning: the gate of the CA {ca} is open: whoever has its key brings in devices; see birthmark fleet manifest gate"
        ));
    }
    warnings(&effective)
        .iter()
        .for_each(|warning| say(&format!("warning: {warning}")));
    Ok(DONE)
}

/// The number of lines and the last hash: noted elsewhere, it shows later whether anybody rewrote the whole chain.
fn audit(data_dir: &Path) -> Result<u8, Failure> {
    let (lines, hash) = store::verify_audit(data_dir)
        .fault(|| format!("the audit log in {} does not hold", data_dir.display()))?;
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    tell(&format!("{lines} {hash}")).fault(|| "could not write to stdout".to_owned())?;
    say(&format!(
        "the audit log is whole: {lines} lines, each chained to the one before"
    ));
    Ok(DONE)
}

fn warnings(effective: &Effective) -> Vec<String> {
    let config = &effective.config;
    let mut warnings = Vec::new();
    for (key, address) in [
        ("listen_mqtt", &config.listen_mqtt),
        ("listen_api", &config.listen_api),
        ("listen_mux", &config.listen_mux),
    ] {
        let loopback = ["127.", "[::1]", "localhost"]
            .iter()
            .any(|start| address.starts_with(start));
        if !loopback && !address.is_empty() {
            warnings.push(format!("{key} = {address} can be reached from other machines"));
        }
    }
    if !config.listen_plain.is_empty() {
        warnings.push(format!(
            "listen_plain = {} lets every program of this machine do what the policy {} says",
            config.listen_plain, config.plain_policy
        ));
    }
    if config.allow_simulated {
        warnings
            .push("allow_simulated admits identities of simulated chips: for development only".to_owned());
    }
    if !Path::new(&config.data_dir).exists() {
        warnings.push(format!(
            "{} does not exist yet: the first start makes it, with a new server identity",
            config.data_dir.display()
        ));
    }
    warnings
}
