//! Where traces go.

use serde::Deserialize;

use crate::error::Error;

/// Traces for OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: nowhere.
    pub otlp: String,
    /// Of what went well one in so many is told; of what was refused or failed, all.
    pub accepted_one_in: u64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: String::new(),
            accepted_one_in: 100,
        }
    }
}

/// A collector whose address has been checked.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryPlan {
    /// HOST:PORT.
    pub(crate) collector: String,
    pub(crate) accepted_one_in: u64,
}

impl TelemetryConfig {
    pub(super) fn plan(&self) -> Result<Option<TelemetryPlan>, Error> {
        if self.otlp.is_empty() {
            return Ok(None);
        }
        let wrong = || Error::Setting {
            key: "telemetry.otlp",
            value: self.otlp.clone(),
            allowed: "http://HOST:PORT without a path, for example http://127.0.0.1:4318; for https put a collector beside the server",
        };
        let collector = self.otlp.strip_prefix("http://").ok_or_else(wrong)?;
        let collector = collector.strip_suffix('/').unwrap_or(collector);
        let uri: http::uri::Authority = collector.parse().map_err(|_| wrong())?;
        if uri.port_u16().is_none() || collector.contains('@') {
            return Err(wrong());
        }
        Ok(Some(TelemetryPlan {
            collector: collector.to_owned(),
            accepted_one_in: self.accepted_one_in,
        }))
    }
}
