//! Names of domains: what may be one, and whether a certificate is for it.
//!
//! A name is kept in lower case, as DNS compares it (RFC 4343). A wildcard of a certificate stands for exactly one whole
//! label at the beginning (RFC 6125, 6.4.3).

use crate::limits::{DOMAIN_LABEL_BYTES_MAX, DOMAIN_NAME_BYTES_MAX};
use crate::refusal::{Exception, Refusal};

/// Checks a name from outside, and gives it in lower case.
pub fn parse(text: &str) -> Result<String, Refusal> {
    let labels = || text.split('.');
    let is_name = text.len() <= DOMAIN_NAME_BYTES_MAX
        && labels().all(is_label)
        && labels().count() > 1
        && labels()
            .next_back()
            .is_some_and(|top| !top.bytes().all(|byte| byte.is_ascii_digit()));
    if is_name {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.domain_name",
        format!("\"{}\" is not the name of a domain", text.chars().take(80).collect::<String>()),
    )
    .hint("a domain name has labels of 1 to 63 of the characters a-z 0-9 -, with points between them, and no port"))
}

fn is_label(label: &str) -> bool {
    (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a name in a certificate is for this domain.
pub fn covers(certified: &str, domain: &str) -> bool {
    match certified.strip_prefix("*.") {
        Some(parent) => domain
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => certified.eq_ignore_ascii_case(domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_dns() {
        let longest = format!(
            "{}.{}.{}.{}",
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(61)
        );
        for good in ["iot.example.com", "a.b", "x-1.example", &longest] {
            assert_eq!(parse(good).unwrap(), good, "{good}");
        }
        assert_eq!(parse("IoT.Example.COM").unwrap(), "iot.example.com");
        let long = format!("{longest}x");
        for bad in [
            "",
            "com",
            "a..b",
            ".a.b",
            "a.b.",
            "-a.b",
            "a-.b",
            "*.a.b",
            "a_b.c",
            "a.b:8883",
            "127.0.0.1",
            "ü.de",
            "a b.c",
            &long,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let rows = [
            ("iot.example.com", "iot.example.com", true),
            ("IOT.example.com", "iot.example.com", true),
            ("*.example.com", "iot.example.com", true),
            ("*.example.com", "a.iot.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", true),
            ("i*.example.com", "iot.example.com", false),
            ("example.com", "iot.example.com", false),
            ("", "iot.example.com", false),
        ];
        for (certified, domain, expected) in rows {
            assert_eq!(covers(certified, domain), expected, "{certified} {domain}");
        }
    }
}
