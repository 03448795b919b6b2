//! The names that only the control plane knows: policies, templates, policy versions, registration codes.
//!
//! A value of one of these types has been checked; bare strings do not travel past parsing.

use core::fmt;

use crate::refusal::{Exception, Refusal};

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $code:literal, $max:literal, $allowed:literal, $byte:pat) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks a name from outside.
            pub fn parse(text: &str) -> Result<Self, Refusal> {
                let wrong = text.is_empty() || text.len() > $max || !text.bytes().all(|byte| matches!(byte, $byte));
                if wrong {
                    let shown: String = text.chars().take(64).collect();
                    return Err(Refusal::new(
                        Exception::InvalidRequest,
                        $code,
                        format!(concat!("\"{}\" is not a ", $what), shown),
                    )
                    .hint($allowed));
                }
                Ok(Self(text.to_owned()))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// The name of a policy.
    PolicyName, "policy name", "fleet.policy.name", 128,
    "a policy name has 1 to 128 of the characters A-Z a-z 0-9 _ + = , . @ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-'
);

checked_name!(
    /// The name of a provisioning template.
    TemplateName, "provisioning template name", "fleet.template.name", 36,
    "a template name has 1 to 36 of the characters A-Z a-z 0-9 _ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-'
);

checked_name!(
    /// The name of a thing type.
    ThingTypeName, "thing type name", "fleet.thing_type.name", 128,
    "a thing type name has 1 to 128 of the characters A-Z a-z 0-9 : _ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'-'
);

checked_name!(
    /// The name of a thing group.
    GroupName, "thing group name", "fleet.thing_group.name", 128,
    "a thing group name has 1 to 128 of the characters A-Z a-z 0-9 : _ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'-'
);

checked_name!(
    /// The name of a billing group.
    BillingGroupName, "billing group name", "fleet.billing_group.name", 128,
    "a billing group name has 1 to 128 of the characters A-Z a-z 0-9 : _ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'-'
);

checked_name!(
    /// The name of a role alias.
    RoleAliasName, "role alias", "fleet.role_alias.name", 128,
    "a role alias has 1 to 128 of the characters A-Z a-z 0-9 _ = , @ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'=' | b',' | b'@' | b'-'
);

checked_name!(
    /// The name of a domain configuration.
    DomainConfigurationName, "domain configuration name", "fleet.domain_configuration.name", 128,
    "a domain configuration name has 1 to 128 of the characters A-Z a-z 0-9 _ . -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-'
);

checked_name!(
    /// The name of a custom authorizer.
    AuthorizerName, "authorizer name", "fleet.authorizer.name", 128,
    "an authorizer name has 1 to 128 of the characters A-Z a-z 0-9 _ = , @ -",
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'=' | b',' | b'@' | b'-'
);

/// The number of a policy version: "1", "2", …
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PolicyVersionId(pub u32);

impl PolicyVersionId {
    /// Checks a version id from outside.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && number > 0 => Ok(Self(number)),
            _ => Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.policy.version_id",
                format!(
                    "\"{}\" is not a policy version id",
                    text.chars().take(32).collect::<String>()
                ),
            )
            .hint("a policy version id is a number from 1")),
        }
    }
}

impl fmt::Display for PolicyVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a version of a provisioning template: 1, 2, …
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TemplateVersionId(pub u32);

impl fmt::Display for TemplateVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The code that a certificate authority signs to prove that it holds its key: 64 hexadecimal digits, one per tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeValue(pub [u8; 32]);

impl CodeValue {
    /// Whether `text` is this code: any case, and in the same time wherever it differs.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        if text.len() != 64 {
            return false;
        }
        let shown = self.to_string();
        let difference = shown.bytes().zip(text).fold(0, |sum, (ours, theirs)| {
            sum | (ours ^ theirs.to_ascii_lowercase())
        });
        difference == 0
    }
}

impl fmt::Display for CodeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CodeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_alphabet_and_length() {
        for good in ["a", "A_+=,.@-9", &"p".repeat(128)] {
            assert!(PolicyName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ü", &"p".repeat(129)] {
            assert!(PolicyName::parse(bad).is_err(), "{bad}");
        }
        assert!(TemplateName::parse(&"t".repeat(36)).is_ok());
        assert!(TemplateName::parse(&"t".repeat(37)).is_err());
        assert!(TemplateName::parse("a.b").is_err());
    }

    #[test]
    fn version_ids_are_numbers_from_one() {
        assert_eq!(PolicyVersionId::parse("7").unwrap().0, 7);
        for bad in ["", "0", "-1", "+1", "1.0", "99999999999"] {
            assert!(PolicyVersionId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_code_matches_in_any_case_and_nothing_else() {
        let code = CodeValue([0xab; 32]);
        assert!(code.matches(&"ab".repeat(32)));
        assert!(code.matches(&"AB".repeat(32)));
        assert!(!code.matches(&"ab".repeat(31)));
        assert!(!code.matches(&format!("{}ac", "ab".repeat(31))));
    }
}
