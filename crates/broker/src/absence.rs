//! Why and since when a client is not there, as AWS tells it in presence events and in GetConnection.

use identity::UnixMillis;

/// AWS's word for the end of a connection (AWS IoT developer guide, "Lifecycle events").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It was not allowed what it tried, or is trusted no more.
    AuthError,
    /// DISCONNECT.
    ClientInitiated,
    /// It broke the protocol or a limit.
    ClientError,
    /// Another connection took its client id.
    DuplicateClientId,
    /// It was silent for longer than it had said.
    KeepAliveTimeout,
    /// The stream ended or failed.
    ConnectionLost,
    /// It was not fast enough.
    Throttled,
    /// The server went down.
    ServerInitiated,
    /// The server failed.
    ServerError,
    /// The signature of its WebSocket was good for so long only.
    WebSocketExpired,
    /// The authorizer let it in for so long only.
    CustomAuthExpired,
    /// Somebody ended it by the API.
    ApiInitiated,
}

impl DisconnectReason {
    /// All of them. The place of each is its number in records, and never changes.
    const ALL: [Self; 12] = [
        Self::AuthError,
        Self::ClientInitiated,
        Self::ClientError,
        Self::DuplicateClientId,
        Self::KeepAliveTimeout,
        Self::ConnectionLost,
        Self::Throttled,
        Self::ServerInitiated,
        Self::ServerError,
        Self::WebSocketExpired,
        Self::CustomAuthExpired,
        Self::ApiInitiated,
    ];

    /// Its number in records.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The one with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The word itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthError => "AUTH_ERROR",
            Self::ClientInitiated => "CLIENT_INITIATED_DISCONNECT",
            Self::ClientError => "CLIENT_ERROR",
            Self::DuplicateClientId => "DUPLICATE_CLIENTID",
            Self::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::Throttled => "THROTTLED",
            Self::ServerInitiated => "SERVER_INITIATED_DISCONNECT",
            Self::ServerError => "SERVER_ERROR",
            Self::WebSocketExpired => "WEBSOCKET_TTL_EXPIRATION",
            Self::CustomAuthExpired => "CUSTOMAUTH_TTL_EXPIRATION",
            Self::ApiInitiated => "API_INITIATED_DISCONNECT",
        }
    }
}

/// A client that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// When its last connection ended.
    pub since: UnixMillis,
    /// Why; records of earlier versions do not say it.
    pub reason: Option<DisconnectReason>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_number() {
        for (place, reason) in DisconnectReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.number()), place, "{reason:?}");
            assert_eq!(DisconnectReason::of_number(reason.number()), Some(reason));
        }
        assert_eq!(DisconnectReason::of_number(12), None);
    }
}
