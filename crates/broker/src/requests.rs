//! Topics on which clients ask the server itself for something, and hear its answers.
//!
//! They stand between what is reserved and what is everybody's: a message on a request's topic goes to the server alone and
//! an answer goes to the connection that asked, so no client can overhear another or answer in the server's place (AWS IoT
//! developer guide, "Device provisioning MQTT API" and "Reserved topics").

/// Filters that begin so listen to answers.
const ANSWERS: [&str; 2] = ["$aws/certificates/", "$aws/provisioning-templates/"];

/// Whether a message on this topic is a request to the server.
pub(crate) fn is_request(topic: &str) -> bool {
    let mut levels = topic.split('/');
    let mut next = || levels.next().unwrap_or_default();
    let (first, family) = (next(), next());
    let format = match (first, family) {
        ("$aws", "certificates") if matches!(next(), "create" | "create-from-csr") => next(),
        ("$aws", "provisioning-templates") if !next().is_empty() && next() == "provision" => next(),
        _ => return false,
    };
    matches!(format, "json" | "cbor") && levels.next().is_none()
}

/// Whether a filter may listen to answers.
pub(crate) fn is_for_answers(filter: &str) -> bool {
    ANSWERS.iter().any(|prefix| filter.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_everything_else() {
        for request in [
            "$aws/certificates/create/json",
            "$aws/certificates/create/cbor",
            "$aws/certificates/create-from-csr/json",
            "$aws/provisioning-templates/t/provision/cbor",
        ] {
            assert!(is_request(request), "{request}");
            for answer in ["accepted", "rejected"] {
                assert!(!is_request(&format!("{request}/{answer}")));
                assert!(is_for_answers(&format!("{request}/{answer}")));
            }
        }
        for other in [
            "$aws/certificates/create",
            "$aws/certificates/create/xml",
            "$aws/certificates/create/json/",
            "$aws/certificates/json",
            "$aws/provisioning-templates//provision/json",
            "$aws/provisioning-templates/t/json",
            "$aws/provisioning-templates/t/u/provision/json",
            "aws/certificates/create/json",
            "/$aws/certificates/create/json",
            "$aws/things/t/shadow/update",
            "",
        ] {
            assert!(!is_request(other), "{other}");
        }
        for other in [
            "$aws/#",
            "$aws/+/create/json/accepted",
            "$aws/certificates",
            "#",
            "$aws/events/x",
        ] {
            assert!(!is_for_answers(other), "{other}");
        }
    }
}
