//! DescribeEndpoint: where devices connect.

use crate::refusal::{Exception, Refusal};

/// DescribeEndpoint: the host name that serves this type. `host` is the configured name, without scheme and port: SDKs
/// add their own. One server answers for every type that it serves.
pub fn describe(endpoint_type: Option<&str>, host: &str) -> Result<String, Refusal> {
    match endpoint_type {
        None | Some("iot:Data" | "iot:Data-ATS" | "iot:CredentialProvider") => Ok(host.to_owned()),
        Some("iot:Jobs" | "iot:DeviceAdvisor" | "iot:Data-Beta") => Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.endpoint.unsupported",
            format!(
                "endpoint type \"{}\" is not served by this release",
                endpoint_type.unwrap_or_default()
            ),
        )
        .hint("served are iot:Data, iot:Data-ATS and iot:CredentialProvider")),
        Some(other) => Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.endpoint.type",
            format!(
                "\"{}\" is not an endpoint type",
                other.chars().take(64).collect::<String>()
            ),
        )
        .hint("use iot:Data-ATS")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_endpoints_are_served_and_others_refused() {
        for good in [
            None,
            Some("iot:Data"),
            Some("iot:Data-ATS"),
            Some("iot:CredentialProvider"),
        ] {
            assert_eq!(describe(good, "host").unwrap(), "host");
        }
        for bad in ["iot:Jobs", "iot:Data-Beta", "data", ""] {
            assert!(describe(Some(bad), "host").is_err(), "{bad}");
        }
    }
}
