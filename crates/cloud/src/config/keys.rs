//! Access keys of operators, and the roles that devices assume.

use std::path::PathBuf;

use fleet::names::PolicyName;
use identity::{AccountId, Region};
use serde::Deserialize;

use super::Config;
use crate::error::Error;

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

/// A role whose values have been checked.
#[derive(Clone, Debug)]
pub(crate) struct RolePlan {
    pub(crate) account: AccountId,
    pub(crate) api: Role,
    pub(crate) policies: Vec<PolicyName>,
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
    pub(super) fn plan(&self) -> Result<KeyPlan, Error> {
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
    pub(super) fn role(&self, name: &str, role: &AssumableRole) -> Result<RolePlan, Error> {
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
}
