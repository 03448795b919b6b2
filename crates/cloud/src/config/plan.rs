//! A configuration becomes a plan: every value is checked, nothing is started or written.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use broker::Switches;
use fleet::limits::DEPRECATION_MILLIS;
use fleet::names::PolicyName;
use identity::{AccountId, Tenant};

use super::clones::ClonesPlan;
use super::keys::{AccessKeyConfig, KeyPlan, RolePlan};
use super::telemetry::TelemetryPlan;
use super::tls::{ServerCertificatePlan, TlsPlan};
use super::{Config, DrainConfig, Durability, FirstConnect, Profile};
use crate::bucket::{self, BucketPlan};
use crate::error::Error;
use crate::webhook::{self, WebhookPlan};

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

/// One core is left to the front door, the logs and the API.
fn shards_of(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
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
