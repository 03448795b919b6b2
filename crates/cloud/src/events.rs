//! The messages that the server itself publishes, byte for byte as AWS documents them.

use fleet::Event;
use identity::Tenant;
use serde_json::json;

/// A message of the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// The message of a first connection ("Just-in-time registration" in the AWS IoT developer guide). Other events have none.
pub(crate) fn registered(tenant: &Tenant, event: &Event) -> Option<Announcement> {
    let Event::Registered {
        certificate,
        ca,
        registered,
        at,
    } = event
    else {
        return None;
    };
    let payload = json!({
        "certificateId": certificate.to_string(),
        "caCertificateId": ca.to_string(),
        "timestamp": at.0,
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": tenant.account.as_str(),
        "certificateRegistrationTimestamp": registered.0.to_string(),
    });
    Some(Announcement {
        topic: format!("$aws/events/certificates/registered/{ca}"),
        payload: payload.to_string().into_bytes(),
    })
}

/// The message of a device that a CA's gate kept out: somebody signs devices that no manifest lists. Ours alone, under a
/// name that AWS has no event of.
pub(crate) fn unlisted(event: &Event) -> Option<Announcement> {
    let Event::Unlisted {
        certificate,
        key,
        ca,
        code,
        at,
    } = event
    else {
        return None;
    };
    let payload = json!({
        "certificateId": certificate.to_string(),
        "publicKeySha256": key.to_string(),
        "caCertificateId": ca.to_string(),
        "reason": code,
        "timestamp": at.0,
    });
    Some(Announcement {
        topic: format!("$aws/events/birthmark/admission/unknown/{ca}"),
        payload: payload.to_string().into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use identity::{CertificateId, UnixMillis};

    use super::*;

    #[test]
    fn a_registration_is_announced_as_documented() {
        let event = Event::Registered {
            certificate: CertificateId([1; 32]),
            ca: CertificateId([2; 32]),
            registered: UnixMillis(1_500),
            at: UnixMillis(2_500),
        };
        let announcement = registered(&Tenant::default(), &event).unwrap();
        assert_eq!(
            announcement.topic,
            format!("$aws/events/certificates/registered/{}", "02".repeat(32))
        );
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&announcement.payload).unwrap(),
            json!({
                "certificateId": "01".repeat(32),
                "caCertificateId": "02".repeat(32),
                "timestamp": 2500,
                "certificateStatus": "PENDING_ACTIVATION",
                "awsAccountId": "123456789012",
                "certificateRegistrationTimestamp": "1500",
            })
        );
        assert_eq!(registered_none(), None);
    }

    fn registered_none() -> Option<Announcement> {
        registered(
            &Tenant::default(),
            &Event::CertificateTrust(CertificateId([1; 32])),
        )
    }
}
