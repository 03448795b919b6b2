//! What an action is done to. Callers name it as the protocol does (`topic`, `client`); the ARN that policies speak of is
//! completed from the tenant.

use std::fmt;

use identity::Tenant;

use crate::limits::RESOURCE_BYTES_INLINE_MAX;

/// A resource inside one tenant: its kind and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    kind: &'static str,
    name: &'a str,
}

impl<'a> Resource<'a> {
    /// `client/<client id>`, for [`crate::Action::Connect`].
    #[must_use]
    pub const fn client(client_id: &'a str) -> Self {
        Self {
            kind: "client",
            name: client_id,
        }
    }

    /// `topic/<topic>`, for publishing and receiving.
    #[must_use]
    pub const fn topic(topic: &'a str) -> Self {
        Self {
            kind: "topic",
            name: topic,
        }
    }

    /// `topicfilter/<filter>`, for [`crate::Action::Subscribe`].
    #[must_use]
    pub const fn topic_filter(filter: &'a str) -> Self {
        Self {
            kind: "topicfilter",
            name: filter,
        }
    }

    /// `thing/<thing>`, for shadows and jobs over HTTPS.
    #[must_use]
    pub const fn thing(thing: &'a str) -> Self {
        Self {
            kind: "thing",
            name: thing,
        }
    }

    /// `rolealias/<alias>`, for [`crate::Action::AssumeRoleWithCertificate`].
    #[must_use]
    pub const fn role_alias(alias: &'a str) -> Self {
        Self {
            kind: "rolealias",
            name: alias,
        }
    }

    /// The kind, as it stands in the ARN.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.kind
    }

    /// The name, as it stands in the ARN.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.name
    }

    /// The whole ARN.
    #[must_use]
    pub fn arn(self, tenant: &Tenant) -> String {
        self.parts(tenant).concat()
    }

    fn parts<'b>(self, tenant: &'b Tenant) -> [&'b str; 8]
    where
        'a: 'b,
    {
        [
            "arn:aws:iot:",
            tenant.region.as_str(),
            ":",
            tenant.account.as_str(),
            ":",
            self.kind,
            "/",
            self.name,
        ]
    }

    /// Calls `decide` with the whole ARN, which is put together on the stack unless it is very long.
    pub(crate) fn with_arn<T>(self, tenant: &Tenant, decide: impl FnOnce(&str) -> T) -> T {
        let mut bytes = [0; RESOURCE_BYTES_INLINE_MAX];
        let mut length = 0;
        for part in self.parts(tenant) {
            let end = length + part.len();
            let Some(room) = bytes.get_mut(length..end) else {
                return decide(&self.arn(tenant));
            };
            room.copy_from_slice(part.as_bytes());
            length = end;
        }
        let inline = bytes.get(..length).and_then(|arn| str::from_utf8(arn).ok());
        decide(inline.unwrap_or_default())
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_is_the_same_short_and_long() {
        let tenant = Tenant::default();
        let check = |name: &str| {
            let expected = format!("arn:aws:iot:us-east-1:123456789012:topic/{name}");
            assert_eq!(Resource::topic(name).arn(&tenant), expected);
            Resource::topic(name).with_arn(&tenant, |arn| assert_eq!(arn, expected));
        };
        check("a/b");
        check("ä");
        let prefix = "arn:aws:iot:us-east-1:123456789012:topic/".len();
        check(&"x".repeat(RESOURCE_BYTES_INLINE_MAX - prefix));
        check(&"x".repeat(RESOURCE_BYTES_INLINE_MAX - prefix + 1));
        check(&"x".repeat(65_535));
    }
}
