//! What an operator can set, with its defaults; nothing set at all is a valid configuration.
//!
//! It stands before the start of the server: [`Config::plan`] checks everything that can be checked without touching the
//! disk or the network, so that a wrong value is named before anything has been written.

mod clones;
mod keys;
mod plan;
mod telemetry;
mod tls;

use std::collections::BTreeMap;
use std::path::PathBuf;

use identity::{AccountId, Region};
use serde::Deserialize;

pub use self::clones::{CloneAnswer, ClonesConfig};
pub use self::keys::{AccessKeyConfig, AssumableRole, Role};
pub(crate) use self::plan::Plan;
pub use self::telemetry::TelemetryConfig;
pub(crate) use self::telemetry::TelemetryPlan;
pub(crate) use self::tls::ServerCertificatePlan;
pub use self::tls::{ServerCertificateConfig, TlsConfig};
use crate::bucket::BucketConfig;
use crate::webhook::WebhookConfig;

/// What happens to a device at its very first connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstConnect {
    /// It is provisioned and the connection is closed, as AWS does; its next connection is taken.
    #[default]
    Close,
    /// It is provisioned and goes on, on the same connection.
    Hold,
}

/// Whose semantics apply where AWS and the full standards part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// AWS's semantics and limits.
    #[default]
    Aws,
    /// The full standards, higher limits, and reasons told.
    SelfHost,
}

/// When a message that a session waits for counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on the disk: an acknowledged message survives the loss of power.
    #[default]
    Strict,
    /// When the kernel has it: it survives the end of the server, and is lost with the machine's power if that comes within a
    /// second, or within half a minute where nothing more is published.
    Relaxed,
}

/// The configuration of the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where MQTT over TLS listens, HOST:PORT; port 0 is any free one.
    pub listen_mqtt: String,
    /// Where the HTTPS API listens, HOST:PORT; port 0 is any free one.
    pub listen_api: String,
    /// Where Prometheus reads metrics, HOST:PORT on a loopback address; port 0 is any free one. Empty: nowhere.
    pub listen_metrics: String,
    /// Where one port for everything listens, HOST:PORT: MQTT, WebSocket and HTTPS, told apart by the application protocol that
    /// a client offers, as on port 443 of AWS. Empty: nowhere.
    pub listen_mux: String,
    /// Where MQTT without TLS listens, HOST:PORT with an address of this machine only. Empty: nowhere.
    pub listen_plain: String,
    /// The policy of whoever comes in without TLS; needed for `listen_plain`.
    pub plain_policy: String,
    /// The names that devices and tools reach this server by; the first is the one that `DescribeEndpoint` tells.
    pub hostnames: Vec<String>,
    /// The account of everything that does not name another one.
    pub account: String,
    /// The region of everything that does not name another one.
    pub region: String,
    /// Whose semantics apply.
    pub profile: Profile,
    /// Where the server is to differ from its profile: the names of switches, on for the standard, off for AWS.
    pub switches: BTreeMap<String, bool>,
    /// When a message that a session waits for counts as kept.
    pub durability: Durability,
    /// What happens at a first connection.
    pub first_connect: FirstConnect,
    /// Whether certificates of simulated chips are admitted.
    pub allow_simulated: bool,
    /// Threads that carry established connections; 0 is one for each core but one.
    pub shards: usize,
    /// The host name that `DescribeEndpoint` answers, without scheme and port; `{account}` and `{region}` are filled in.
    /// Empty: the first of `hostnames`.
    pub endpoint: String,
    /// Further access keys of the API, for this account or for others.
    pub access_keys: Vec<AccessKeyConfig>,
    /// What follows when one certificate is live in two places at once.
    pub clones: ClonesConfig,
    /// How connections end when the server does.
    pub drain: DrainConfig,
    /// Traces for OpenTelemetry.
    pub telemetry: TelemetryConfig,
    /// What callers of the API name as buckets: directories, and stores that speak S3.
    pub buckets: BTreeMap<String, BucketConfig>,
    /// How long a thing type has to be deprecated before it can be deleted; unset: as the profile has it, five minutes for
    /// `aws` and no time for `self-host`.
    pub deprecation_seconds: Option<u32>,
    /// Whether calls of the API beyond AWS's quotas are refused with `ThrottlingException`.
    pub emulate_quotas: bool,
    /// Quotas that differ from AWS's defaults, in calls per second: names of operations, or `default` for all others.
    pub quotas: BTreeMap<String, u32>,
    /// Programs that the server asks or tells, by the names that callers of the API use.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// How TLS is spoken.
    pub tls: TlsConfig,
    /// Certificates for domains of customers, by the name that the ARN of a server certificate ends in.
    pub server_certificates: BTreeMap<String, ServerCertificateConfig>,
    /// The roles that devices can assume by a role alias, by the last part of their ARN.
    pub roles: BTreeMap<String, AssumableRole>,
}

/// How connections end when the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// So many each second, so that they do not come back somewhere else all at once; 0: all at once.
    pub connections_per_second: u32,
    /// After so many seconds what is left ends at once.
    pub deadline_seconds: u32,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            connections_per_second: 0,
            deadline_seconds: 60,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("birthmark-data"),
            listen_mqtt: "127.0.0.1:8883".into(),
            listen_api: "127.0.0.1:8443".into(),
            listen_metrics: String::new(),
            listen_mux: String::new(),
            listen_plain: String::new(),
            plain_policy: String::new(),
            hostnames: vec!["localhost".into()],
            account: AccountId::default().to_string(),
            region: Region::default().to_string(),
            profile: Profile::Aws,
            switches: BTreeMap::new(),
            durability: Durability::Strict,
            first_connect: FirstConnect::Close,
            allow_simulated: false,
            shards: 0,
            endpoint: String::new(),
            access_keys: Vec::new(),
            buckets: BTreeMap::new(),
            deprecation_seconds: None,
            emulate_quotas: false,
            quotas: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            clones: ClonesConfig::default(),
            drain: DrainConfig::default(),
            telemetry: TelemetryConfig::default(),
            tls: TlsConfig::default(),
            server_certificates: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}
