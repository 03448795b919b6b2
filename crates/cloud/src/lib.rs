//! The cloud: sockets, TLS, the AWS IoT API over HTTPS, and the shards that carry MQTT connections.
//!
//! It stands at the end of the story: devices come in through the front door, where it is found out who they are, and live
//! on a shard; operators and factories call the API. What is decided, `fleet`, `policy` and `broker` decide; what is kept,
//! `store` keeps; this crate brings the bytes, the clock and the threads. It must never tell anybody anything before the
//! record that explains it is durable.
//!
//! ```no_run
//! let config = cloud::Config { listen_mqtt: "127.0.0.1:0".into(), listen_api: "127.0.0.1:0".into(), ..Default::default() };
//! let running = cloud::Server::start(&config)?;
//! assert_ne!(running.mqtt.port(), 0);
//! running.shutdown();
//! # Ok::<(), cloud::Error>(())
//! ```
#![forbid(unsafe_code)]

mod acquaintances;
pub mod api;
mod arrival;
pub mod attempts;
mod authorizer;
mod bucket;
mod callers;
mod clock;
mod clones;
mod config;
mod control;
mod deciding;
mod desk;
mod domains;
mod doubts;
mod error;
mod events;
mod files;
mod footing;
mod front_door;
mod hook;
mod keys;
pub mod limits;
mod metrics;
mod mux;
mod pki;
mod principal;
mod registry_events;
mod rehearsal;
mod renewal;
mod server;
mod server_certificates;
mod shard;
mod shutdown;
mod tasks;
mod telemetry;
mod temporary_keys;
mod tenancy;
pub mod tls;
mod trust;
mod webhook;
pub mod websocket;
mod wire;

pub use broker::{SwitchLine, Switches};
pub use bucket::{BucketConfig, StoreConfig};
pub use config::{
    AccessKeyConfig, AssumableRole, CloneAnswer, ClonesConfig, Config, DrainConfig, Durability, FirstConnect,
    Profile, Role, ServerCertificateConfig, TelemetryConfig, TlsConfig,
};
pub use desk::refusal_of_claim;
pub use doubts::open_gates;
pub use error::Error;
pub use rehearsal::{Question, rehearse};
pub use server::{Running, Server};
pub use shutdown::Hurry;
pub use webhook::WebhookConfig;
