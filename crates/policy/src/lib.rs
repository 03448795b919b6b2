//! AWS IoT policies: documents are parsed once, compiled once, and then decide who may do what.
//!
//! Where it stands: *decide* of the data plane. A connection's policies are a [`Grant`], what is known about the connection
//! is its [`Context`], and every CONNECT, PUBLISH, SUBSCRIBE and delivery is a [`Request`] that gets a [`Verdict`].
//! [`Verdict::explain`] says in words why, and what would change it.
//!
//! What it must never do: allow what no statement allows. An explicit deny wins over every allow, nothing said means no, a
//! policy variable without a value matches nothing, and a document that is not understood completely is refused as a whole.
//! No clock: the time of a request is an argument.
//!
//! The language is that of the AWS IoT Core developer guide, "AWS IoT Core policies", and of the AWS IAM user guide, "IAM JSON
//! policy elements", where the former refers to it.
//!
//! ```
//! use std::{net::Ipv4Addr, sync::Arc};
//! use identity::{CertificateId, Tenant, UnixMillis};
//! use policy::{Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource};
//!
//! let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish",
//!     "Resource": "arn:aws:iot:us-east-1:123456789012:topic/dt/${iot:ClientId}/*"}}"#;
//! let policy = NamedPolicy::new("telemetry", Policy::parse(document)?);
//! let grant = Grant::new(Tenant::default(), CertificateId([7; 32]), 1, [policy]);
//! let facts = Arc::new(CertificateFacts::new(CertificateId([7; 32])));
//! let context = Context::new("bm-1", Ipv4Addr::LOCALHOST.into(), facts, None);
//!
//! let ask = |topic| Request { action: Action::Publish, resource: Resource::topic(topic), context: &context, now: UnixMillis(0) };
//! assert!(policy::decide(&grant, &ask("dt/bm-1/telemetry")).is_allowed());
//! assert!(!policy::decide(&grant, &ask("dt/bm-2/telemetry")).is_allowed());
//! # Ok::<(), policy::MalformedPolicy>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

pub mod limits;

mod action;
mod certificate_facts;
mod condition;
mod context;
mod document;
mod error;
mod explain;
mod grant;
mod json;
mod network;
mod pattern;
mod resource;
mod timestamp;
mod variable;

pub use action::Action;
pub use certificate_facts::CertificateFacts;
pub use context::{Context, ThingFacts};
pub use document::Policy;
pub use error::{Fault, MalformedPolicy};
pub use grant::{Grant, NamedPolicy, Request, StatementId, Verdict, decide};
pub use network::Network;
pub use resource::Resource;
