//! The control plane's decisions: what happens to CA certificates, device certificates, things, policies and templates,
//! and what a first connection makes of a device.
//!
//! Each function here takes the facts that were looked up and gives a [`Decision`] (what to keep, what to tell, what to
//! answer) or a [`Refusal`] (which AWS exception, why, and what mends it). Running it twice gives the same answer: there is
//! no clock, no randomness, no file and no network in this crate; the time and fresh ids are arguments. `store` keeps what
//! is decided, `cloud` looks, keeps and tells. Signatures are verified here, with `identity`; keys never come here.
#![forbid(unsafe_code)]

pub mod admission;
pub mod arn;
pub mod attachment;
pub mod attempt;
pub mod audit;
pub mod authorization;
pub mod authorizer;
pub mod authorizer_answer;
pub mod batch;
pub mod billing_group;
pub mod ca;
mod call;
pub mod certificate;
pub mod certificate_transfer;
pub mod claim;
pub mod clones;
pub mod domain_configuration;
pub mod domain_name;
pub mod dynamic_group;
pub mod endpoint;
pub mod event_switches;
pub mod import;
pub mod indexing;
pub mod limits;
pub mod manifest;
pub mod names;
pub mod onboarding;
pub mod page;
pub mod plain;
pub mod policies;
pub mod policy_document;
pub mod policy_versions;
pub mod principal;
pub mod provisioning_hook;
pub mod provisioning_template;
pub mod provisioning_template_versions;
pub mod record;
mod refusal;
pub mod register_thing;
pub mod registration;
pub mod registration_code;
pub mod registration_task;
pub mod registry_event;
pub mod resource;
pub mod role_alias;
pub mod search;
pub mod tags;
pub mod template;
pub mod text;
pub mod thing;
pub mod thing_group;
pub mod thing_group_members;
pub mod thing_type;
pub mod validity;

pub use call::{Call, Decided, Decision, Event, Profile};
pub use refusal::{Exception, Existing, Refusal};
