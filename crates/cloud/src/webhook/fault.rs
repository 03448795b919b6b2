//! Why a webhook gave no answer. Whoever asked decides what follows; a question without an answer is never a yes.

use core::fmt;

use identity::{Blame, Explained};

use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_DEADLINE};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Too many calls of this webhook are under way.
    Busy,
    /// The whole call took too long.
    Late,
    /// The name of its host means nothing.
    Resolve(String),
    /// Its host is at no address that may be called.
    Address(String),
    /// Nobody answers there.
    Connect(String),
    /// Its server is not who it should be, or does not speak TLS.
    Tls(String),
    /// It does not speak HTTP.
    Http(String),
    /// It sends the caller elsewhere, where no call goes.
    Redirect(u16),
    /// It does not say 200.
    Status(u16),
    /// Its answer is too long.
    TooLong,
    /// Its answer is not a JSON object with the members that it must have.
    Answer(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many calls of the webhook are under way"),
            Self::Late => write!(
                f,
                "the webhook did not answer within {} s",
                WEBHOOK_DEADLINE.as_secs()
            ),
            Self::Resolve(why) => write!(f, "the host of the webhook cannot be found: {why}"),
            Self::Address(found) => write!(
                f,
                "the host of the webhook is at {found}, which is not on the public internet and not in allow_addresses"
            ),
            Self::Connect(why) => write!(f, "the webhook cannot be reached: {why}"),
            Self::Tls(why) => write!(f, "the server of the webhook is not trusted: {why}"),
            Self::Http(why) => write!(f, "the webhook does not speak HTTP: {why}"),
            Self::Redirect(status) => {
                write!(
                    f,
                    "the webhook answers {status} and sends elsewhere, which is not followed"
                )
            }
            Self::Status(status) => write!(f, "the webhook answers {status} instead of 200"),
            Self::TooLong => write!(
                f,
                "the webhook answers more than {WEBHOOK_ANSWER_BYTES_MAX} bytes"
            ),
            Self::Answer(why) => write!(f, "the answer of the webhook cannot be used: {why}"),
        }
    }
}

impl core::error::Error for Fault {}

impl Explained for Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::Busy => "cloud.webhook.busy",
            Self::Late => "cloud.webhook.late",
            Self::Resolve(_) => "cloud.webhook.resolve",
            Self::Address(_) => "cloud.webhook.address",
            Self::Connect(_) => "cloud.webhook.connect",
            Self::Tls(_) => "cloud.webhook.tls",
            Self::Http(_) => "cloud.webhook.http",
            Self::Redirect(_) => "cloud.webhook.redirect",
            Self::Status(_) => "cloud.webhook.status",
            Self::TooLong => "cloud.webhook.too_long",
            Self::Answer(_) => "cloud.webhook.answer",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Busy | Self::Late | Self::Resolve(_) | Self::Connect(_) => Blame::Fault,
            _ => Blame::Peer,
        }
    }
}

impl Fault {
    /// What mends it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Busy | Self::Late => "make the receiver answer faster",
            Self::Resolve(_) | Self::Connect(_) => {
                "check the url of the webhook in the configuration, and the receiver"
            }
            Self::Address(_) => "list the address under allow_addresses of the webhook, if it is meant",
            Self::Tls(_) => "name the receiver's certificate authority under ca of the webhook",
            Self::Redirect(_) => "put the final address into the configuration",
            _ => "look at the receiver's own log",
        }
    }
}
