//! The cloud's configuration: defaults, then one TOML file, then what was typed; and where each value came from.
//!
//! No file at all is a valid configuration. The file's shape is [`cloud::Config`], which refuses unknown keys, so that a
//! misspelt one is never silently ignored.

use std::{fmt, fs, path::Path};

use cloud::{
    CloneAnswer, ClonesConfig, Config, DrainConfig, Durability, FirstConnect, Profile, Switches,
    TelemetryConfig,
};
use toml::Table;

use crate::{
    args::{self, Serve},
    exit::{Context, Failure},
};

/// Data directory when none is named, below the working directory.
pub(crate) const DATA_DIR: &str = "birthmark-data";

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The built-in default.
    Default,
    /// The configuration file.
    File(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// What `serve` will use.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// The values.
    pub(crate) config: Config,
    file: Option<(String, Table)>,
    typed: Vec<&'static str>,
}

impl Effective {
    /// Each key with its value and where it came from, in the order of the reference.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String, Origin)> {
        let Config {
            data_dir,
            listen_mqtt,
            listen_api,
            listen_metrics,
            listen_mux,
            listen_plain,
            plain_policy,
            hostnames,
            account,
            region,
            first_connect,
            allow_simulated,
            shards,
            endpoint,
            profile,
            durability,
            access_keys,
            buckets,
            deprecation_seconds,
            emulate_quotas,
            quotas,
            clones,
            drain,
            telemetry,
            tls,
            server_certificates,
            webhooks,
            roles,
            ..
        } = &self.config;
        let profile = match profile {
            Profile::Aws => "aws",
            Profile::SelfHost => "self-host",
        };
        let durability = match durability {
            Durability::Strict => "strict",
            Durability::Relaxed => "relaxed (an acknowledged message may be lost with the machine's power)",
        };
        let first_connect = match first_connect {
            FirstConnect::Close => "close",
            FirstConnect::Hold => "hold",
        };
        [
            ("data_dir", data_dir.display().to_string()),
            ("listen_mqtt", listen_mqtt.clone()),
            ("listen_api", listen_api.clone()),
            (
                "listen_metrics",
                if listen_metrics.is_empty() {
                    "nowhere".to_owned()
                } else {
                    listen_metrics.clone()
                },
            ),
            ("listen_mux", off_if_empty(listen_mux)),
            ("listen_plain", off_if_empty(listen_plain)),
            ("plain_policy", plain_policy.clone()),
            ("hostnames", hostnames.join(", ")),
            ("account", account.clone()),
            ("region", region.clone()),
            ("profile", profile.to_owned()),
            ("switches", self.switches()),
            ("durability", durability.to_owned()),
            ("first_connect", first_connect.to_owned()),
            ("allow_simulated", allow_simulated.to_string()),
            (
                "shards",
                if *shards == 0 {
                    "one for each core but one".to_owned()
                } else {
                    shards.to_string()
                },
            ),
            (
                "endpoint",
                if endpoint.is_empty() {
                    "the first of hostnames".to_owned()
                } else {
                    endpoint.clone()
                },
            ),
            (
                "deprecation_seconds",
                deprecation_seconds.map_or_else(
                    || "as the profile has it".to_owned(),
                    |seconds| seconds.to_string(),
                ),
            ),
            ("emulate_quotas", emulate_quotas.to_string()),
            (
                "quotas",
                quotas
                    .iter()
                    .map(|(operation, rate)| format!("{operation} {rate} per second"))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            (
                "buckets",
                buckets
                    .iter()
                    .map(|(name, bucket)| format!("{name} is {bucket}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            (
                "tls",
                format!(
                    "{}{}{}{}",
                    tls.security_policy,
                    if tls.strict { ", strict" } else { "" },
                    if tls.resumption { ", with resumption" } else { "" },
                    if tls.server_rsa {
                        ", with an RSA certificate beside"
                    } else {
                        ""
                    },
                ),
            ),
            (
                "server_certificates",
                server_certificates
                    .iter()
                    .map(|(name, certificate)| format!("{name} is {}", certificate.chain.display()))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            ("clones", clones_words(clones)),
            ("drain", drain_words(*drain)),
            ("telemetry", telemetry_words(telemetry)),
            ("roles", roles.keys().cloned().collect::<Vec<_>>().join(", ")),
            (
                "webhooks",
                webhooks
                    .iter()
                    .map(|(name, webhook)| format!("{name} is {}", webhook.url))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            (
                "access_keys",
                access_keys
                    .iter()
                    .map(|key| format!("{} for {}", key.file.display(), key.account))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        ]
        .into_iter()
        .map(|(key, value)| (key, value, self.origin(key)))
        .collect()
    }

    /// Which switches are on, as the profile and the file have it.
    fn switches(&self) -> String {
        let Ok(switches) = self.config.switches() else {
            return String::new();
        };
        let on = Switches::TABLE
            .iter()
            .filter(|line| switches.value(line.name) == Some(true));
        let on: Vec<&str> = on.map(|line| line.name).collect();
        match on.len() {
            0 => "all off: as AWS".to_owned(),
            all if all == Switches::TABLE.len() => "all on: as the standards say".to_owned(),
            _ => format!("on: {}", on.join(", ")),
        }
    }

    fn origin(&self, key: &str) -> Origin {
        if self.typed.contains(&key) {
            return Origin::CommandLine;
        }
        match &self.file {
            Some((path, table)) if table.contains_key(key) => Origin::File(path.clone()),
            _ => Origin::Default,
        }
    }
}

fn off_if_empty(setting: &str) -> String {
    if setting.is_empty() { "off" } else { setting }.to_owned()
}

fn clones_words(clones: &ClonesConfig) -> String {
    let word = |answer: CloneAnswer| match answer {
        CloneAnswer::Off => "off",
        CloneAnswer::Alarm => "alarm",
        CloneAnswer::Drop => "drop both",
    };
    let named = clones.by_ca.iter();
    let named = named.map(|(ca, answer)| format!(", {} for CA {ca}", word(*answer)));
    format!("{}{}", word(clones.default), named.collect::<String>())
}

fn drain_words(drain: DrainConfig) -> String {
    match drain.connections_per_second {
        0 => "all connections at once".to_owned(),
        rate => format!("{rate} connections a second, for {} s", drain.deadline_seconds),
    }
}

fn telemetry_words(telemetry: &TelemetryConfig) -> String {
    match telemetry.otlp.as_str() {
        "" => "nowhere".to_owned(),
        otlp => format!("{otlp}, one in {} of what went well", telemetry.accepted_one_in),
    }
}

/// Resolves the effective configuration of what was typed.
pub(crate) fn resolve(typed: &Serve) -> Result<Effective, Failure> {
    let mut effective = file_or_default(typed.config.as_deref())?;
    let Effective {
        config, typed: keys, ..
    } = &mut effective;
    if let Some(data_dir) = &typed.data_dir {
        config.data_dir.clone_from(data_dir);
        keys.push("data_dir");
    }
    if let Some(address) = typed.listen_mqtt {
        config.listen_mqtt = address.to_string();
        keys.push("listen_mqtt");
    }
    if let Some(address) = typed.listen_api {
        config.listen_api = address.to_string();
        keys.push("listen_api");
    }
    if let Some(address) = typed.listen_metrics {
        config.listen_metrics = address.to_string();
        keys.push("listen_metrics");
    }
    if let Some(address) = typed.listen_mux {
        config.listen_mux = address.to_string();
        keys.push("listen_mux");
    }
    if let Some(address) = typed.listen_plain {
        config.listen_plain = address.to_string();
        keys.push("listen_plain");
    }
    if let Some(policy) = &typed.plain_policy {
        config.plain_policy.clone_from(policy);
        keys.push("plain_policy");
    }
    if !typed.hostnames.is_empty() {
        config.hostnames.clone_from(&typed.hostnames);
        keys.push("hostnames");
    }
    if let Some(first_connect) = typed.first_connect {
        config.first_connect = first_connect.into();
        keys.push("first_connect");
    }
    if typed.allow_simulated {
        config.allow_simulated = true;
        keys.push("allow_simulated");
    }
    if typed.emulate_quotas {
        config.emulate_quotas = true;
        keys.push("emulate_quotas");
    }
    Ok(effective)
}

/// The configuration in a file, or the default one.
pub(crate) fn of_file(path: Option<&Path>) -> Result<Config, Failure> {
    file_or_default(path).map(|effective| effective.config)
}

impl From<args::FirstConnect> for FirstConnect {
    fn from(typed: args::FirstConnect) -> Self {
        match typed {
            args::FirstConnect::Close => Self::Close,
            args::FirstConnect::Hold => Self::Hold,
        }
    }
}

fn file_or_default(path: Option<&Path>) -> Result<Effective, Failure> {
    let Some(path) = path else {
        return Ok(Effective {
            config: Config::default(),
            file: None,
            typed: Vec::new(),
        });
    };
    let text =
        fs::read_to_string(path).fault(|| format!("could not read the configuration {}", path.display()))?;
    let (config, table) = parse(&text).map_err(|error| {
        Failure::usage(format!("the configuration {} is not valid", path.display())).because(error)
    })?;
    Ok(Effective {
        config,
        file: Some((path.display().to_string(), table)),
        typed: Vec::new(),
    })
}

fn parse(text: &str) -> Result<(Config, Table), toml::de::Error> {
    Ok((toml::from_str(text)?, toml::from_str(text)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;

    use super::{Origin, parse, resolve};
    use crate::args::{Birthmark, Command, Serve};

    fn typed(words: &[&str]) -> Serve {
        match Birthmark::parse_from(["birthmark", "serve"].iter().chain(words)).command {
            Command::Serve(serve) => serve,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn no_file_is_a_valid_configuration_on_loopback() {
        let effective = resolve(&typed(&[])).unwrap();
        assert_eq!(effective.config.listen_mqtt, "127.0.0.1:8883");
        assert_eq!(effective.config.listen_api, "127.0.0.1:8443");
        assert!(
            effective
                .settings()
                .iter()
                .all(|(_, _, origin)| *origin == Origin::Default)
        );
    }

    #[test]
    fn what_was_typed_wins_over_the_file_and_the_file_over_the_default() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"listen_api = \"127.0.0.1:1\"\nregion = \"eu-west-1\"\n")
            .unwrap();
        let path = file.path().to_str().unwrap();
        let effective = resolve(&typed(&["--config", path, "--listen-api", "127.0.0.1:2"])).unwrap();
        let origin = |key| {
            effective
                .settings()
                .into_iter()
                .find(|(name, ..)| *name == key)
                .unwrap()
        };
        assert_eq!(
            origin("listen_api"),
            ("listen_api", "127.0.0.1:2".to_owned(), Origin::CommandLine)
        );
        assert_eq!(
            origin("region"),
            ("region", "eu-west-1".to_owned(), Origin::File(path.to_owned()))
        );
        assert_eq!(origin("listen_mqtt").2, Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = parse("listen_mqqt = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(error.contains("listen_mqqt"), "{error}");
        assert!(parse("first_connect = \"hold\"\nallow_simulated = true").is_ok());
    }
}
