//! How TLS is spoken, and certificates for domains of customers.

use std::path::PathBuf;
use std::sync::Arc;

use fleet::domain_configuration::SecurityPolicy;
use identity::AccountId;
use serde::Deserialize;

use super::Config;
use crate::error::Error;
use crate::limits::{RECORD_CONTENT_BYTES_MAX, SMALL_RECORD_BYTES_MIN};
use crate::tls::Terms;

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

impl Config {
    pub(super) fn tls(&self) -> Result<TlsPlan, Error> {
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

    pub(super) fn server_certificate(
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
}
