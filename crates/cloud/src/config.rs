//! What an operator can set, with its defaults; nothing set at all is a valid configuration.
//!
//! It stands before the start of the server: [`Config::plan`] checks everything that can be checked without touching the
//! disk or the network, so that a wrong value is named before anything has been written.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use broker::Switches;
use fleet::clones::Answer;
use fleet::domain_configuration::SecurityPolicy;
use fleet::limits::DEPRECATION_MILLIS;
use fleet::names::PolicyName;
use identity::{AccountId, CertificateId, Region, Tenant};
use serde::Deserialize;

use crate::bucket::{self, BucketConfig, BucketPlan};
use crate::error::Error;
use crate::limits::{RECORD_CONTENT_BYTES_MAX, SMALL_RECORD_BYTES_MIN};
use crate::tls::Terms;
use crate::webhook::{self, WebhookConfig, WebhookPlan};

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
    /// Threads that carry established connections; 0 is one per core.
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

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// AWS's name of the security policy for names that are not those of a domain configuration.
    pub security_policy: String,
    /// Whether clients may take sessions up again, by tickets or session ids. Their certificate is looked up all the same.
    pub resumption: bool,
    /// Whether there is to be a certificate with an RSA key, under a root of its own, for clients that verify no ECDSA.
    pub server_rsa: bool,
    /// Names of `server_certificates` that are shown in the place of the server's own certificate, in the order of preference.
    pub certificates: Vec<String>,
    /// Bytes of application data in one record of the MQTT listener, for devices with little memory; 0: as TLS allows.
    pub mqtt_record_bytes_max: usize,
    /// Whether certificates that come from no registered CA are refused in the handshake, where a certificate is demanded.
    pub strict: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            security_policy: SecurityPolicy::default().name().into(),
            resumption: false,
            server_rsa: false,
            certificates: Vec::new(),
            mqtt_record_bytes_max: 0,
            strict: false,
        }
    }
}

/// One certificate for domains of customers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerCertificateConfig {
    /// The file of the certificates to send, in PEM, the server's own first.
    pub chain: PathBuf,
    /// The file of its private key, in PEM.
    pub key: PathBuf,
    /// The account that may use it; not named: the default one.
    #[serde(default)]
    pub account: Option<String>,
}

/// Traces for OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: nowhere.
    pub otlp: String,
    /// Of what went well one in so many is told; of what was refused or failed, all.
    pub accepted_one_in: u64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: String::new(),
            accepted_one_in: 100,
        }
    }
}

/// A collector whose address has been checked.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryPlan {
    /// HOST:PORT.
    pub(crate) collector: String,
    pub(crate) accepted_one_in: u64,
}

impl TelemetryConfig {
    fn plan(&self) -> Result<Option<TelemetryPlan>, Error> {
        if self.otlp.is_empty() {
            return Ok(None);
        }
        let wrong = || Error::Setting {
            key: "telemetry.otlp",
            value: self.otlp.clone(),
            allowed: "http://HOST:PORT without a path, for example http://127.0.0.1:4318; for https put a collector beside the server",
        };
        let collector = self.otlp.strip_prefix("http://").ok_or_else(wrong)?;
        let collector = collector.strip_suffix('/').unwrap_or(collector);
        let uri: http::uri::Authority = collector.parse().map_err(|_| wrong())?;
        if uri.port_u16().is_none() || collector.contains('@') {
            return Err(wrong());
        }
        Ok(Some(TelemetryPlan {
            collector: collector.to_owned(),
            accepted_one_in: self.accepted_one_in,
        }))
    }
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

/// What follows when one certificate is live in two places at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloneAnswer {
    /// Nothing is looked at.
    Off,
    /// It is told, and nobody is disturbed: one certificate may have many client ids, as at AWS.
    #[default]
    Alarm,
    /// It is told, and both connections end.
    Drop,
}

/// What follows when one certificate is live in two places at once, by the CA that signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClonesConfig {
    /// For certificates of every CA that is not named, and of none.
    pub default: CloneAnswer,
    /// For those of single CAs, by the id of the CA certificate.
    pub by_ca: BTreeMap<String, CloneAnswer>,
}

/// What an access key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in its account.
    #[default]
    Admin,
    /// Look, and change nothing.
    Read,
    /// What a production line needs: registration codes, CA certificates, and looking.
    Factory,
    /// Nothing of the API; what a role's policies allow on the data plane.
    None,
}

/// What the temporary access keys of devices that assume a role may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumableRole {
    /// The account that it is of; not named: the default one.
    #[serde(default)]
    pub account: Option<String>,
    /// What it may do through the API.
    #[serde(default = "nothing")]
    pub api: Role,
    /// The names of the AWS IoT policies that say what it may do on the data plane.
    #[serde(default)]
    pub policies: Vec<String>,
}

fn nothing() -> Role {
    Role::None
}

/// One further access key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKeyConfig {
    /// The file that it is in, in the AWS shared-credentials format; made at the first start if it is missing.
    pub file: PathBuf,
    /// The account that it acts for.
    pub account: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// The regions that it may be used in; none named: every region.
    #[serde(default)]
    pub regions: Vec<String>,
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

/// A configuration whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen_mqtt: SocketAddr,
    pub(crate) listen_api: SocketAddr,
    pub(crate) listen_metrics: Option<SocketAddr>,
    pub(crate) listen_mux: Option<SocketAddr>,
    pub(crate) listen_plain: Option<SocketAddr>,
    /// There is one if there is `listen_plain`.
    pub(crate) plain_policy: Option<PolicyName>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) tenant: Tenant,
    pub(crate) broker: broker::Config,
    pub(crate) durability: store::Durability,
    pub(crate) first_connect: FirstConnect,
    pub(crate) allow_simulated: bool,
    pub(crate) shards: usize,
    pub(crate) endpoint: String,
    pub(crate) access_keys: Vec<KeyPlan>,
    pub(crate) buckets: BTreeMap<String, BucketPlan>,
    pub(crate) deprecation_millis: i64,
    pub(crate) emulate_quotas: bool,
    pub(crate) quotas: BTreeMap<String, u32>,
    pub(crate) webhooks: BTreeMap<String, WebhookPlan>,
    pub(crate) clones: ClonesPlan,
    pub(crate) drain: DrainConfig,
    pub(crate) telemetry: Option<TelemetryPlan>,
    pub(crate) tls: TlsPlan,
    pub(crate) server_certificates: BTreeMap<String, ServerCertificatePlan>,
    pub(crate) roles: BTreeMap<String, RolePlan>,
}

/// A role whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct RolePlan {
    pub(crate) account: AccountId,
    pub(crate) api: Role,
    pub(crate) policies: Vec<PolicyName>,
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub(crate) struct TlsPlan {
    pub(crate) terms: Terms,
    pub(crate) server_rsa: bool,
    /// Names of server certificates, all of which are configured.
    pub(crate) certificates: Vec<String>,
}

/// Where a certificate for domains of customers is, and whose.
#[derive(Clone, Debug)]
pub(crate) struct ServerCertificatePlan {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) account: AccountId,
}

/// What follows from a suspicion, by CA.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClonesPlan {
    default: Answer,
    by_ca: BTreeMap<CertificateId, Answer>,
}

impl ClonesPlan {
    /// What follows for certificates of this CA.
    pub(crate) fn answer(&self, ca: Option<CertificateId>) -> Answer {
        let named = ca.and_then(|ca| self.by_ca.get(&ca));
        named.copied().unwrap_or(self.default)
    }
}

impl ClonesConfig {
    fn plan(&self) -> Result<ClonesPlan, Error> {
        let of_ca = |(ca, answer): (&String, &CloneAnswer)| match ca.parse() {
            Ok(id) => Ok((id, (*answer).into())),
            Err(_) => Err(Error::Setting {
                key: "clones.by_ca",
                value: ca.clone(),
                allowed: "the ids of CA certificates, 64 lower hex digits each",
            }),
        };
        Ok(ClonesPlan {
            default: self.default.into(),
            by_ca: self.by_ca.iter().map(of_ca).collect::<Result<_, _>>()?,
        })
    }
}

impl From<CloneAnswer> for Answer {
    fn from(answer: CloneAnswer) -> Self {
        match answer {
            CloneAnswer::Off => Self::Off,
            CloneAnswer::Alarm => Self::Alarm,
            CloneAnswer::Drop => Self::Drop,
        }
    }
}

/// A further access key whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct KeyPlan {
    pub(crate) file: PathBuf,
    pub(crate) account: AccountId,
    pub(crate) role: Role,
    pub(crate) regions: Vec<Region>,
}

impl AccessKeyConfig {
    fn plan(&self) -> Result<KeyPlan, Error> {
        let wrong = |value: &str, allowed| Error::Setting {
            key: "access_keys",
            value: value.to_owned(),
            allowed,
        };
        let region = |text: &String| {
            text.parse()
                .map_err(|_| wrong(text, "regions of 1 to 32 of a-z, 0-9 and -"))
        };
        Ok(KeyPlan {
            file: self.file.clone(),
            account: self
                .account
                .parse()
                .map_err(|_| wrong(&self.account, "an account of exactly 12 digits"))?,
            role: self.role,
            regions: self.regions.iter().map(region).collect::<Result<_, _>>()?,
        })
    }
}

impl Config {
    /// Whether every value can be; nothing is started or written.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn check(&self) -> Result<(), Error> {
        self.plan().map(drop)
    }

    /// Checks every value.
    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        let Self {
            data_dir,
            hostnames,
            first_connect,
            allow_simulated,
            ..
        } = self.clone();
        for name in &hostnames {
            check_host_name("hostnames", name)?;
        }
        let first = hostnames.first().cloned().unwrap_or_else(|| "localhost".into());
        let endpoint = if self.endpoint.is_empty() {
            first
        } else {
            self.endpoint.clone()
        };
        check_host_name(
            "endpoint",
            &endpoint.replace("{account}", "0").replace("{region}", "r"),
        )?;
        let tenant = self.tenant()?;
        Ok(Plan {
            data_dir,
            listen_mqtt: resolve("listen_mqtt", &self.listen_mqtt)?,
            listen_api: resolve("listen_api", &self.listen_api)?,
            listen_metrics: self.listen_metrics()?,
            listen_mux: self
                .is_on(&self.listen_mux)
                .map(|address| resolve("listen_mux", address))
                .transpose()?,
            listen_plain: self.plain()?,
            plain_policy: self.plain_policy()?,
            hostnames,
            tenant,
            broker: self.broker()?,
            durability: match self.durability {
                Durability::Strict => store::Durability::Strict,
                Durability::Relaxed => store::Durability::Relaxed,
            },
            first_connect,
            allow_simulated,
            shards: shards_of(self.shards),
            endpoint,
            access_keys: self
                .access_keys
                .iter()
                .map(AccessKeyConfig::plan)
                .collect::<Result<_, _>>()?,
            buckets: bucket::plan(&self.buckets)?,
            deprecation_millis: self.deprecation_millis(),
            emulate_quotas: self.emulate_quotas,
            quotas: self.quotas()?,
            webhooks: webhook::plan(&self.webhooks, tenant.account)?,
            clones: self.clones.plan()?,
            drain: self.drain,
            telemetry: self.telemetry.plan()?,
            tls: self.tls()?,
            server_certificates: self
                .server_certificates
                .iter()
                .map(|(name, certificate)| Ok((name.clone(), self.server_certificate(name, certificate)?)))
                .collect::<Result<_, _>>()?,
            roles: self
                .roles
                .iter()
                .map(|(name, role)| Ok((name.clone(), self.role(name, role)?)))
                .collect::<Result<_, _>>()?,
        })
    }

    fn role(&self, name: &str, role: &AssumableRole) -> Result<RolePlan, Error> {
        let wrong = |value: &str, allowed| Error::Setting {
            key: "roles",
            value: value.to_owned(),
            allowed,
        };
        let letters = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
        };
        if !(1..=64).contains(&name.len()) || !name.bytes().all(letters) {
            return Err(wrong(
                name,
                "named with 1 to 64 of the characters A-Z a-z 0-9 _ + = , . @ -",
            ));
        }
        let account = role.account.as_ref().unwrap_or(&self.account);
        let policy =
            |name: &String| PolicyName::parse(name).map_err(|_| wrong(name, "with names of policies"));
        Ok(RolePlan {
            account: account
                .parse()
                .map_err(|_| wrong(account, "for an account of exactly 12 digits"))?,
            api: role.api,
            policies: role.policies.iter().map(policy).collect::<Result<_, _>>()?,
        })
    }

    fn tls(&self) -> Result<TlsPlan, Error> {
        let wrong = |key, value: &str, allowed| Error::Setting {
            key,
            value: value.to_owned(),
            allowed,
        };
        let TlsConfig {
            security_policy,
            resumption,
            server_rsa,
            certificates,
            mqtt_record_bytes_max,
            strict,
        } = &self.tls;
        let unknown = certificates
            .iter()
            .find(|name| !self.server_certificates.contains_key(*name));
        if let Some(unknown) = unknown {
            return Err(wrong("tls.certificates", unknown, "names of server_certificates"));
        }
        let record_bytes_max = match *mqtt_record_bytes_max {
            0 => None,
            bytes @ SMALL_RECORD_BYTES_MIN..=RECORD_CONTENT_BYTES_MAX => Some(bytes),
            bytes => {
                return Err(wrong(
                    "tls.mqtt_record_bytes_max",
                    &bytes.to_string(),
                    "0, or from 64 to 16384",
                ));
            }
        };
        let policy = SecurityPolicy::parse(security_policy).ok_or_else(|| {
            let allowed = "AWS's name of a policy, such as IoTSecurityPolicy_TLS13_1_2_2022_10";
            wrong("tls.security_policy", security_policy, allowed)
        })?;
        Ok(TlsPlan {
            terms: Terms {
                security_policy: policy,
                resumption: *resumption,
                record_bytes_max,
                anchors: strict.then(Arc::default),
            },
            server_rsa: *server_rsa,
            certificates: certificates.clone(),
        })
    }

    fn server_certificate(
        &self,
        name: &str,
        config: &ServerCertificateConfig,
    ) -> Result<ServerCertificatePlan, Error> {
        let wrong = |value: &str, allowed| Error::Setting {
            key: "server_certificates",
            value: value.to_owned(),
            allowed,
        };
        let is_name = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            return Err(wrong(name, "named with 1 to 64 of the characters A-Z a-z 0-9 -"));
        }
        let account = config.account.as_ref().unwrap_or(&self.account);
        Ok(ServerCertificatePlan {
            chain: config.chain.clone(),
            key: config.key.clone(),
            account: account
                .parse()
                .map_err(|_| wrong(account, "for an account of exactly 12 digits"))?,
        })
    }

    fn is_on<'c>(&self, setting: &'c str) -> Option<&'c str> {
        Some(setting).filter(|setting| !setting.is_empty())
    }

    /// Where MQTT without TLS listens: nobody on the way may read along, so it does not leave the machine.
    fn plain(&self) -> Result<Option<SocketAddr>, Error> {
        let Some(setting) = self.is_on(&self.listen_plain) else {
            return Ok(None);
        };
        let address = resolve("listen_plain", setting)?;
        match address.ip().to_canonical().is_loopback() {
            true => Ok(Some(address)),
            false => Err(Error::Setting {
                key: "listen_plain",
                value: setting.to_owned(),
                allowed: "an address of this machine only, such as 127.0.0.1:1883: it has no TLS; from other machines connect to listen_mqtt",
            }),
        }
    }

    fn plain_policy(&self) -> Result<Option<PolicyName>, Error> {
        if self.listen_plain.is_empty() {
            return Ok(None);
        }
        let policy = PolicyName::parse(&self.plain_policy);
        policy.map(Some).map_err(|_| Error::Setting {
            key: "plain_policy",
            value: self.plain_policy.clone(),
            allowed: "the name of a policy: it says what clients of listen_plain may do, and without one they could do nothing",
        })
    }

    /// The bare host name by which devices of the default account reach the server.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn endpoint_name(&self) -> Result<String, Error> {
        let plan = self.plan()?;
        Ok(plan.endpoint_of(&plan.tenant))
    }

    /// How every switch stands, by name: as the profile has it, or as it is turned.
    ///
    /// # Errors
    /// A switch that there is none of.
    pub fn switches(&self) -> Result<Switches, Error> {
        let mut switches = match self.profile {
            Profile::Aws => Switches::AWS,
            Profile::SelfHost => Switches::STANDARD,
        };
        for (name, on) in &self.switches {
            if !switches.turn(name, *on) {
                return Err(Error::Setting {
                    key: "switches",
                    value: name.clone(),
                    allowed: "the names of the reference page of switches, such as exactly_once",
                });
            }
        }
        Ok(switches)
    }

    fn deprecation_millis(&self) -> i64 {
        match (self.deprecation_seconds, self.profile) {
            (Some(seconds), _) => i64::from(seconds) * 1000,
            (None, Profile::Aws) => DEPRECATION_MILLIS,
            (None, Profile::SelfHost) => 0,
        }
    }

    /// The quotas that are set; each is of an operation and lets something through.
    fn quotas(&self) -> Result<BTreeMap<String, u32>, Error> {
        for (name, rate) in &self.quotas {
            if *rate == 0 || !crate::api::is_operation(name) {
                return Err(Error::Setting {
                    key: "quotas",
                    value: format!("{name} = {rate}"),
                    allowed: "the name of an operation such as ListThings, or default, and at least 1 call per second",
                });
            }
        }
        Ok(self.quotas.clone())
    }

    /// What metrics tell is for this machine only: there is neither a key nor a password on that listener.
    fn listen_metrics(&self) -> Result<Option<SocketAddr>, Error> {
        if self.listen_metrics.is_empty() {
            return Ok(None);
        }
        let address = resolve("listen_metrics", &self.listen_metrics)?;
        match address.ip().is_loopback() {
            true => Ok(Some(address)),
            false => Err(Error::Setting {
                key: "listen_metrics",
                value: self.listen_metrics.clone(),
                allowed: "a loopback address and a port, for example 127.0.0.1:9464",
            }),
        }
    }

    fn broker(&self) -> Result<broker::Config, Error> {
        let limits = match self.profile {
            Profile::Aws => broker::Limits::AWS,
            Profile::SelfHost => broker::Limits::SELF_HOST,
        };
        Ok(broker::Config {
            limits,
            switches: self.switches()?,
            ..broker::Config::AWS
        })
    }

    /// The tenant of everything that does not name another one.
    fn tenant(&self) -> Result<Tenant, Error> {
        let wrong = |key, value: &str, allowed| Error::Setting {
            key,
            value: value.to_owned(),
            allowed,
        };
        Ok(Tenant {
            account: self
                .account
                .parse()
                .map_err(|_| wrong("account", &self.account, "exactly 12 digits"))?,
            region: self
                .region
                .parse()
                .map_err(|_| wrong("region", &self.region, "1 to 32 of a-z, 0-9 and -"))?,
        })
    }
}

impl Plan {
    /// The role that an ARN ends in, if this account has it.
    pub(crate) fn role(&self, account: &AccountId, name: &str) -> Option<&RolePlan> {
        self.roles.get(name).filter(|role| role.account == *account)
    }

    /// Every account of this server, the default one first.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = AccountId> {
        core::iter::once(self.tenant.account).chain(self.access_keys.iter().map(|key| key.account))
    }

    /// Whether this server has an account.
    pub(crate) fn has_account(&self, account: &AccountId) -> bool {
        self.accounts().any(|known| known == *account)
    }

    /// The bare host name by which devices of this tenant reach the server.
    pub(crate) fn endpoint_of(&self, tenant: &Tenant) -> String {
        self.endpoint
            .replace("{account}", tenant.account.as_str())
            .replace("{region}", tenant.region.as_str())
    }
}

fn shards_of(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count.min(1024),
    }
}

fn resolve(key: &'static str, value: &str) -> Result<SocketAddr, Error> {
    let wrong = || Error::Setting {
        key,
        value: value.to_owned(),
        allowed: "HOST:PORT, for example 127.0.0.1:8883",
    };
    value
        .to_socket_addrs()
        .map_err(|_| wrong())?
        .next()
        .ok_or_else(wrong)
}

/// A DNS name or an IP address: what may stand in a certificate.
fn check_host_name(key: &'static str, name: &str) -> Result<(), Error> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let dns = name.len() <= crate::limits::SERVER_NAME_BYTES_MAX && name.split('.').all(label);
    if dns || name.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Error::Setting {
        key,
        value: name.to_owned(),
        allowed: "host names without scheme and port, or IP addresses",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_valid() {
        let plan = Config::default().plan().unwrap();
        assert_eq!(plan.listen_mqtt.to_string(), "127.0.0.1:8883");
        assert_eq!(plan.endpoint_of(&plan.tenant), "localhost");
        assert!(plan.shards >= 1);
    }

    #[test]
    fn wrong_values_are_named() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 11] = [
            ("listen_mqtt", |config| config.listen_mqtt = "8883".into()),
            ("listen_api", |config| {
                config.listen_api = "127.0.0.1:99999".into()
            }),
            ("tls.security_policy", |config| {
                config.tls.security_policy = "TLS13".into()
            }),
            ("tls.certificates", |config| {
                config.tls.certificates = vec!["web".into()]
            }),
            ("tls.mqtt_record_bytes_max", |config| {
                config.tls.mqtt_record_bytes_max = 63
            }),
            ("account", |config| config.account = "12345678901".into()),
            ("region", |config| config.region = "US EAST".into()),
            ("hostnames", |config| {
                config.hostnames = vec!["https://example.com".into()]
            }),
            ("endpoint", |config| config.endpoint = "localhost:8883".into()),
            ("quotas", |config| {
                config.quotas.insert("DanceAround".into(), 1);
            }),
            ("quotas", |config| {
                config.quotas.insert("ListThings".into(), 0);
            }),
        ];
        for (key, change) in cases {
            let mut config = Config::default();
            change(&mut config);
            let error = config.plan().unwrap_err();
            assert!(
                matches!(&error, Error::Setting { key: named, .. } if *named == key),
                "{error}"
            );
            assert!(error.to_string().contains(key));
        }
    }

    #[test]
    fn the_endpoint_is_filled_in() {
        let config = Config {
            endpoint: "{account}-ats.iot.{region}.example.com".into(),
            ..Config::default()
        };
        let plan = config.plan().unwrap();
        assert_eq!(
            plan.endpoint_of(&plan.tenant),
            "123456789012-ats.iot.us-east-1.example.com"
        );
    }
}
