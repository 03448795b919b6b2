//! Whose endpoint a client wants to speak with, by the name in its ClientHello.
//!
//! It stands between the handshake and every look-up. One account lives on this server, so every name means it: the
//! names of the server, `localhost`, and names that nobody configured, as long as no second account could be meant.

use identity::Tenant;

use crate::config::Plan;

/// The tenant that a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    /// Whose records.
    pub(crate) tenant: Tenant,
    /// Whether the client named the endpoint: certificates in SNI_ONLY mode match only then.
    pub(crate) by_name: bool,
}

/// Reads the tenant from the server name, if there was one. An IP address is no name (RFC 6066, section 3).
pub(crate) fn addressed(plan: &Plan, server_name: Option<&str>) -> Addressed {
    let name = server_name.filter(|name| name.parse::<std::net::IpAddr>().is_err());
    let region = name
        .and_then(|name| region_in(plan, name))
        .unwrap_or(plan.tenant.region);
    Addressed {
        tenant: Tenant {
            account: plan.tenant.account,
            region,
        },
        by_name: name.is_some(),
    }
}

/// The region in a name that is made like the endpoint, if the endpoint has its region in it.
fn region_in(plan: &Plan, name: &str) -> Option<identity::Region> {
    let pattern = plan
        .endpoint
        .replace("{account}", plan.tenant.account.as_str())
        .to_ascii_lowercase();
    let (before, after) = pattern.split_once("{region}")?;
    name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
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
        let found = addressed(&plan, name);
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
}
