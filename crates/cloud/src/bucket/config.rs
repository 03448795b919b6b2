//! What an operator says of a bucket: a directory, or a store that speaks S3; and the checked form of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use policy::Network;
use serde::Deserialize;

use crate::error::Error;

/// One bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum BucketConfig {
    /// A directory.
    Directory(PathBuf),
    /// A store.
    Store(StoreConfig),
}

impl core::fmt::Display for BucketConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Store(store) => write!(f, "{} at {}", store.bucket, store.endpoint),
        }
    }
}

/// A store that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Where it is: `https://HOST[:PORT]`.
    pub endpoint: String,
    /// What the bucket is called there.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The access key, in the AWS shared-credentials format.
    pub credentials: PathBuf,
    /// The certificate authorities that its server is checked against, PEM; none: those of the system.
    pub ca: Option<PathBuf>,
    /// Addresses and networks that are not on the public internet and may be called all the same.
    pub allow_addresses: Vec<String>,
}

/// A bucket whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) enum BucketPlan {
    /// A directory.
    Directory(PathBuf),
    /// A store.
    Store(StorePlan),
}

/// A store whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct StorePlan {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) credentials: PathBuf,
    pub(super) ca: Option<PathBuf>,
    pub(super) allowed: Vec<Network>,
}

impl StorePlan {
    /// As it stands in the header `host`.
    pub(super) fn authority(&self) -> String {
        match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// Checks every bucket.
pub(crate) fn plan(buckets: &BTreeMap<String, BucketConfig>) -> Result<BTreeMap<String, BucketPlan>, Error> {
    let planned = buckets.iter().map(|(name, bucket)| {
        let plan = match bucket {
            BucketConfig::Directory(path) => BucketPlan::Directory(path.clone()),
            BucketConfig::Store(store) => BucketPlan::Store(store.plan()?),
        };
        Ok((name.clone(), plan))
    });
    planned.collect()
}

impl StoreConfig {
    fn plan(&self) -> Result<StorePlan, Error> {
        let wrong = |value: &str, allowed| Error::Setting {
            key: "buckets",
            value: value.to_owned(),
            allowed,
        };
        let endpoint = || {
            wrong(
                &self.endpoint,
                "an endpoint https://HOST[:PORT] with nothing behind it",
            )
        };
        let uri: http::Uri = self.endpoint.parse().map_err(|_| endpoint())?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(endpoint());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(plain) {
            return Err(wrong(
                &self.bucket,
                "a bucket of 3 to 63 letters, digits, dots and hyphens",
            ));
        }
        if self.region.is_empty() || !self.region.bytes().all(plain) {
            return Err(wrong(&self.region, "a region, such as us-east-1"));
        }
        let network = |text: &String| {
            Network::parse(text).ok_or_else(|| wrong(text, "a list of addresses and networks"))
        };
        Ok(StorePlan {
            host: uri
                .host()
                .ok_or_else(endpoint)?
                .trim_matches(['[', ']'])
                .to_owned(),
            port: uri.port_u16().unwrap_or(443),
            bucket: self.bucket.clone(),
            region: self.region.clone(),
            credentials: self.credentials.clone(),
            ca: self.ca.clone(),
            allowed: self
                .allow_addresses
                .iter()
                .map(network)
                .collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<StorePlan, Error> {
        let config: StoreConfig = toml_like(text);
        config.plan()
    }

    /// `endpoint bucket region allowed`
    fn toml_like(text: &str) -> StoreConfig {
        let mut words = text.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        StoreConfig {
            endpoint: next(),
            bucket: next(),
            region: next(),
            allow_addresses: Some(next()).filter(|text| !text.is_empty()).into_iter().collect(),
            ..StoreConfig::default()
        }
    }

    #[test]
    fn stores_are_over_tls_and_named_whole() {
        let plan = check("https://s3.example.com fleet us-east-1").unwrap();
        assert_eq!((plan.authority().as_str(), plan.port), ("s3.example.com", 443));
        assert_eq!(
            check("https://10.0.0.1:9000/ fleet x 10.0.0.0/8")
                .unwrap()
                .authority(),
            "10.0.0.1:9000"
        );
        for wrong in [
            "http://s3.example.com fleet us-east-1",
            "https://s3.example.com/path fleet us-east-1",
            "s3.example.com fleet us-east-1",
            "https://s3.example.com a/b us-east-1",
            "https://s3.example.com fl us-east-1",
            "https://s3.example.com fleet ",
            "https://s3.example.com fleet us-east-1 everywhere",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
