//! Whether now is inside a certificate's validity, and if not, whose clock to look at.
//!
//! A certificate that is not valid *yet* almost always means that the device's factory, the device or this machine has a
//! wrong clock; one whose time has passed has to be replaced. The two look the same on the wire, so the reason says which
//! and by how much.

use identity::UnixMillis;
use identity::certificate::Certificate;

use crate::refusal::{Exception, Refusal};

/// Refuses a certificate whose time has not come or has passed.
pub fn check(
    what: &str,
    not_before: UnixMillis,
    not_after: UnixMillis,
    now: UnixMillis,
) -> Result<(), Refusal> {
    if now < not_before {
        return Err(Refusal::new(
            Exception::CertificateValidation,
            "fleet.certificate.not_yet_valid",
            format!(
                "{what} is valid from {} only, {} after this server's time {}",
                not_before.to_rfc3339(),
                span(not_before.0.saturating_sub(now.0)),
                now.to_rfc3339()
            ),
        )
        .hint("device clock: the clock that dated the certificate or this server's clock is wrong"));
    }
    if now > not_after {
        return Err(Refusal::new(
            Exception::CertificateValidation,
            "fleet.certificate.expired",
            format!(
                "{what} expired on {}, {} before this server's time {}",
                not_after.to_rfc3339(),
                span(now.0.saturating_sub(not_after.0)),
                now.to_rfc3339()
            ),
        )
        .hint("expired: issue another certificate for the same key, or check this server's clock"));
    }
    Ok(())
}

/// As [`check`], for a certificate at hand.
pub fn check_certificate(what: &str, certificate: &Certificate, now: UnixMillis) -> Result<(), Refusal> {
    check(what, certificate.not_before(), certificate.not_after(), now)
}

/// Refuses only what has expired: what is registered today may become valid tomorrow.
pub(crate) fn check_not_expired(
    what: &str,
    certificate: &Certificate,
    now: UnixMillis,
) -> Result<(), Refusal> {
    check(what, UnixMillis(i64::MIN), certificate.not_after(), now)
}

/// A length of time in its largest unit.
fn span(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Explained;

    #[test]
    fn a_wrong_clock_is_told_from_an_expired_certificate() {
        let at = UnixMillis::from_seconds;
        let code = |now| {
            check("it", at(1000), at(2000), at(now)).map_err(|refusal| (refusal.code(), refusal.to_string()))
        };
        assert_eq!(code(1000), Ok(()));
        assert_eq!(code(2000), Ok(()));
        let (early, text) = code(900).unwrap_err();
        assert_eq!(early, "fleet.certificate.not_yet_valid");
        assert!(text.contains("100 s after"), "{text}");
        let (late, text) = code(2000 + 3 * 86_400).unwrap_err();
        assert_eq!(late, "fleet.certificate.expired");
        assert!(text.contains("3 days before"), "{text}");
    }
}
