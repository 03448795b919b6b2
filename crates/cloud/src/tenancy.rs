//! Whose endpoint a client wants to speak with, by the name in its ClientHello.
//!
//! It stands between the handshake and every look-up. The endpoint of an account means that account. The names of the
//! server, `localhost`, no name and an address mean the default account. The name of a domain configuration means the
//! tenant that it is of. Every other name means the default account as long as there is only one account; with more than
//! one, a name that nobody configured means nobody.

use identity::{AccountId, Region, Tenant};

use crate::config::Plan;
use crate::domains::Domain;

/// The tenant that a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    /// Whose records.
    pub(crate) tenant: Tenant,
    /// Whether the client named the endpoint: certificates in SNI_ONLY mode match only then.
    pub(crate) by_name: bool,
    /// Whether the name means anybody.
    pub(crate) known: bool,
}

/// Reads the tenant from the server name, if there was one. An IP address is no name (RFC 6066, section 3). `domain` is the
/// domain configuration of that name, if there is one.
pub(crate) fn addressed(plan: &Plan, server_name: Option<&str>, domain: Option<&Domain>) -> Addressed {
    if let Some(domain) = domain {
        return Addressed {
            tenant: domain.tenant,
            by_name: true,
            known: true,
        };
    }
    let name = server_name.filter(|name| name.parse::<std::net::IpAddr>().is_err());
    let meant = name.and_then(|name| {
        plan.accounts().find_map(|account| {
            Some(Tenant {
                account,
                region: region_in(plan, account, name)?,
            })
        })
    });
    let is_ours =
        |name: &str| name == "localhost" || plan.hostnames.iter().any(|ours| ours.eq_ignore_ascii_case(name));
    let alone = plan.accounts().all(|account| account == plan.tenant.account);
    Addressed {
        tenant: meant.unwrap_or(plan.tenant),
        by_name: name.is_some(),
        known: alone || meant.is_some() || name.is_none_or(is_ours),
    }
}

/// The region in a name that is made like the endpoint of this account. An endpoint without its account in it is that of
/// the default one; one without its region is in the default region.
fn region_in(plan: &Plan, account: AccountId, name: &str) -> Option<Region> {
    if account != plan.tenant.account && !plan.endpoint.contains("{account}") {
        return None;
    }
    let pattern = plan
        .endpoint
        .replace("{account}", account.as_str())
        .to_ascii_lowercase();
    match pattern.split_once("{region}") {
        Some((before, after)) => name.strip_prefix(before)?.strip_suffix(after)?.parse().ok(),
        None => (name == pattern).then_some(plan.tenant.region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn check(endpoint: &str, name: Option<&str>, region: &str, by_name: bool) {
        let plan = Config {
            endpoint: endpoint.into(),
            ..Config::default()
        }
        .plan()
        .unwrap();
        let found = addressed(&plan, name, None);
        assert_eq!(
            (found.tenant.region.as_str(), found.by_name),
            (region, by_name),
            "{endpoint} {name:?}"
        );
        assert_eq!(found.tenant.account, plan.tenant.account);
    }

    #[test]
    fn names_mean_a_tenant() {
        check("", None, "us-east-1", false);
        check("", Some("127.0.0.1"), "us-east-1", false);
        check("", Some("localhost"), "us-east-1", true);
        check("", Some("a1-ats.iot.eu-west-1.amazonaws.com"), "us-east-1", true);
        const ENDPOINT: &str = "{account}-ats.iot.{region}.example.com";
        check(
            ENDPOINT,
            Some("123456789012-ats.iot.eu-west-1.example.com"),
            "eu-west-1",
            true,
        );
        check(
            ENDPOINT,
            Some("123456789012-ats.iot.eu_west.example.com"),
            "us-east-1",
            true,
        );
        check(
            ENDPOINT,
            Some("999999999999-ats.iot.eu-west-1.example.com"),
            "us-east-1",
            true,
        );
    }

    #[test]
    fn with_two_accounts_a_name_means_one_of_them_or_nobody() {
        let plan = Config {
            endpoint: "{account}-ats.example.com".into(),
            hostnames: vec!["cloud.example.com".into()],
            access_keys: vec![crate::config::AccessKeyConfig {
                file: "b".into(),
                account: "999999999999".into(),
                role: crate::config::Role::Admin,
                regions: Vec::new(),
            }],
            ..Config::default()
        }
        .plan()
        .unwrap();
        let rows = [
            (Some("123456789012-ats.example.com"), Some("123456789012")),
            (Some("999999999999-ats.example.com"), Some("999999999999")),
            (Some("Cloud.example.com"), Some("123456789012")),
            (Some("localhost"), Some("123456789012")),
            (Some("127.0.0.1"), Some("123456789012")),
            (None, Some("123456789012")),
            (Some("111111111111-ats.example.com"), None),
            (Some("elsewhere.example.com"), None),
        ];
        for (name, expected) in rows {
            let found = addressed(&plan, name, None);
            let account = found.known.then(|| found.tenant.account.to_string());
            assert_eq!(account.as_deref(), expected, "{name:?}");
        }
    }
}
