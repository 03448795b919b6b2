//! What is known about a connection: the values of policy variables and condition keys.
//!
//! Everything is worked out when the connection begins, so that deciding only compares. A value that could change the meaning
//! of a policy (`*`, `$`, `+`, `?`, `#` inside) or is overlong is never put in the place of a variable: the variable then matches
//! nothing (AWS IoT developer guide, "X.509 certificate policy variables").

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use identity::{ThingName, UnixMillis};

use crate::certificate_facts::{CertificateFacts, Shown, is_substitutable};
use crate::variable::{Variable, Which};

/// What is known about one connection.
#[derive(Clone, Debug)]
pub struct Context {
    client_id: Value,
    source_ip: IpAddr,
    /// Made when a policy first asks for it.
    source_ip_text: OnceLock<Box<Value>>,
    certificate: Arc<CertificateFacts>,
    thing: Option<Thing>,
    persistent_session: bool,
    last_will_topic: Option<Box<str>>,
}

/// The thing whose name is the connection's client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingFacts {
    /// Its name; the same as the client id.
    pub name: ThingName,
    /// The name of its type.
    pub type_name: Option<String>,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// The connection's certificate is attached to it. Without that only `iot:Connection.Thing.IsAttached` has a value, which is
    /// then `false`: the name alone is only a claim.
    pub is_attached: bool,
}

/// A text and whether it may stand in the place of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    text: Box<str>,
    substitutable: bool,
}

#[derive(Clone, Debug)]
struct Thing {
    name: Value,
    type_name: Option<Value>,
    attributes: Box<[(Box<str>, Value)]>,
}

impl Value {
    fn new(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let substitutable = is_substitutable(&text);
        Self { text, substitutable }
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            text: &self.text,
            substitutable: self.substitutable,
        }
    }
}

impl Thing {
    fn new(facts: &ThingFacts) -> Self {
        let attributes = facts.attributes.iter();
        Self {
            name: Value::new(facts.name.as_str()),
            type_name: facts.type_name.as_deref().map(Value::new),
            attributes: attributes
                .map(|(name, text)| (name.as_str().into(), Value::new(text.as_str())))
                .collect(),
        }
    }
}

impl Context {
    /// What is known when a connection begins. `thing` is the thing whose name is the client id, if there is one.
    #[must_use]
    pub fn new(
        client_id: &str,
        source_ip: IpAddr,
        certificate: Arc<CertificateFacts>,
        thing: Option<&ThingFacts>,
    ) -> Self {
        let source_ip = source_ip.to_canonical();
        let mut context = Self {
            client_id: Value::new(client_id),
            source_ip,
            source_ip_text: OnceLock::new(),
            certificate,
            thing: None,
            persistent_session: false,
            last_will_topic: None,
        };
        context.set_thing(thing);
        context
    }

    /// What is known of the thing has changed, or which certificates are attached to it.
    pub fn set_thing(&mut self, thing: Option<&ThingFacts>) {
        let attached = thing.filter(|thing| thing.is_attached && thing.name.as_str() == self.client_id());
        self.thing = attached.map(Thing::new);
    }

    /// The same connection asking for a persistent session or with a will: the condition keys `iot:ConnectAttributes` and
    /// `iot:LastWillTopic` (AWS IoT developer guide, "Connect policy examples").
    #[must_use]
    pub fn with_connect_attributes(
        mut self,
        persistent_session: bool,
        last_will_topic: Option<&str>,
    ) -> Self {
        self.persistent_session = persistent_session;
        self.last_will_topic = last_will_topic.map(Into::into);
        self
    }

    /// The client id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id.text
    }

    /// Where the connection comes from; an IPv4 address that came in IPv6 form is IPv4 here.
    #[must_use]
    pub fn source_ip(&self) -> IpAddr {
        self.source_ip
    }

    /// The certificate's id as text; of a client without one, its name.
    #[must_use]
    pub fn principal(&self) -> &str {
        self.certificate.id().text
    }

    /// The thing that the connection's certificate is attached to and whose name is the client id.
    #[must_use]
    pub fn thing_name(&self) -> Option<&str> {
        self.thing.as_ref().map(|thing| &*thing.name.text)
    }

    /// What to put in the place of a variable; `None`: the variable matches nothing.
    pub(crate) fn substitution(&self, variable: &Variable) -> Option<&str> {
        match variable {
            Variable::IsAttached => Some(self.is_attached()),
            Variable::SecureTransport => Some("true"),
            _ => self.value(variable)?.substitution(),
        }
    }

    fn source_ip_text(&self) -> &Value {
        let make = || Box::new(Value::new(self.source_ip.to_string()));
        self.source_ip_text.get_or_init(make)
    }

    fn is_attached(&self) -> &'static str {
        if self.thing.is_some() { "true" } else { "false" }
    }

    fn value(&self, variable: &Variable) -> Option<Shown<'_>> {
        match variable {
            Variable::ClientId => Some(self.client_id.shown()),
            Variable::SourceIp => Some(self.source_ip_text().shown()),
            Variable::CertificateId => Some(self.certificate.id()).filter(|id| id.substitutable),
            Variable::CertificateSerialNumber => self.certificate.serial_number(),
            Variable::Name {
                value: Which::Nth(index),
                ..
            }
            | Variable::Alternative {
                value: Which::Nth(index),
                ..
            } => self.certificate.values(variable).nth(*index),
            Variable::ThingName => self.thing.as_ref().map(|thing| thing.name.shown()),
            Variable::ThingTypeName => self.thing.as_ref()?.type_name.as_ref().map(Value::shown),
            Variable::ThingAttribute(name) => {
                let mut attributes = self.thing.as_ref()?.attributes.iter();
                attributes
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.shown())
            }
            _ => None,
        }
    }

    /// All values of a condition key; none: the key is absent.
    pub(crate) fn facts(&self, key: &Variable, now: UnixMillis) -> Vec<Cow<'_, str>> {
        let one = |text| vec![Cow::Borrowed(text)];
        match key {
            Variable::IsAttached => one(self.is_attached()),
            Variable::SecureTransport => one("true"),
            Variable::CurrentTime => vec![Cow::Owned(now.to_rfc3339())],
            Variable::EpochTime => vec![Cow::Owned(now.seconds().to_string())],
            Variable::ConnectAttributes => self.connect_attributes().map(Cow::Borrowed).collect(),
            Variable::LastWillTopic => self.last_will_topic.as_deref().map(one).unwrap_or_default(),
            Variable::Name {
                value: Which::List, ..
            }
            | Variable::Alternative {
                value: Which::List, ..
            } => self
                .certificate
                .values(key)
                .map(|value| Cow::Borrowed(value.text))
                .collect(),
            _ => self.value(key).map(|value| one(value.text)).unwrap_or_default(),
        }
    }

    fn connect_attributes(&self) -> impl Iterator<Item = &'static str> {
        let persistent = self.persistent_session.then_some("PersistentConnect");
        let will = self.last_will_topic.is_some().then_some("LastWill");
        persistent.into_iter().chain(will)
    }
}
