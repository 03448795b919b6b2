//! Which versions of TLS a security policy speaks.
//!
//! The policies have AWS's names ("AWS IoT Core developer guide, Transport security"). TLS 1.0 and 1.1 are not spoken under any
//! of them: the two oldest mean TLS 1.2 here. A policy is never loosened for one client: who does not fit is refused.

use fleet::domain_configuration::SecurityPolicy;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// The versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    Only13,
    Both,
    Only12,
}

impl Versions {
    pub(super) const ALL: [Self; 3] = [Self::Only13, Self::Both, Self::Only12];

    pub(super) const fn of(policy: SecurityPolicy) -> Self {
        match policy {
            SecurityPolicy::Tls13 => Self::Only13,
            SecurityPolicy::Tls13And12 => Self::Both,
            SecurityPolicy::Tls12 | SecurityPolicy::Tls10In2016 | SecurityPolicy::Tls10In2015 => Self::Only12,
        }
    }

    pub(super) fn spoken(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Only13 => vec![&TLS13],
            Self::Both => vec![&TLS13, &TLS12],
            Self::Only12 => vec![&TLS12],
        }
    }

    /// Whether a suite belongs to one of these versions.
    pub(super) fn has(self, suite: &SupportedCipherSuite) -> bool {
        match self {
            Self::Both => true,
            Self::Only13 => suite.tls13().is_some(),
            Self::Only12 => suite.tls13().is_none(),
        }
    }
}
