//! What the role of an access key lets it do.
//!
//! It stands between the signature check and the operations: whoever may not do a thing is told so before anything is read.

use crate::config::Role;

/// Operations that only look, although their method is not GET.
const LOOKING: [&str; 4] = [
    "ListAttachedPolicies",
    "ListTargetsForPolicy",
    "GetEffectivePolicies",
    "TestAuthorization",
];
/// What a production line changes.
const PRODUCING: [&str; 2] = ["RegisterCACertificate", "UpdateCACertificate"];

/// Whether this role may do this operation. Making a registration code is looking: it stays the same.
pub(super) fn allows(role: Role, operation: &str, method: &str) -> bool {
    let looks = method == "GET" || LOOKING.contains(&operation);
    match role {
        Role::Admin => true,
        Role::Read => looks,
        Role::Factory => looks || PRODUCING.contains(&operation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_end_where_they_should() {
        let rows = [
            ("DescribeThing", "GET", [true, true, true]),
            ("TestAuthorization", "POST", [true, true, true]),
            ("RegisterCACertificate", "POST", [true, false, true]),
            ("CreateThing", "POST", [true, false, false]),
            ("DeleteCACertificate", "DELETE", [true, false, false]),
            ("Publish", "POST", [true, false, false]),
        ];
        for (operation, method, expected) in rows {
            let found = [Role::Admin, Role::Read, Role::Factory].map(|role| allows(role, operation, method));
            assert_eq!(found, expected, "{operation}");
        }
    }
}
