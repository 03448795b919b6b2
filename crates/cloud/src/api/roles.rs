//! What the role of an access key lets it do.
//!
//! It stands between the signature check and the operations: whoever may not do a thing is told so before anything is read.

use crate::config::Role;

/// Operations that only look, although their method is not GET.
const LOOKING: [&str; 9] = [
    "SearchIndex",
    "GetStatistics",
    "GetCardinality",
    "GetPercentiles",
    "GetBucketsAggregation",
    "ListAttachedPolicies",
    "ListTargetsForPolicy",
    "GetEffectivePolicies",
    "TestAuthorization",
];
/// What a production line changes. It brings manifests, which somebody else must have signed, and may close a gate; whose
/// signature counts, and opening a gate, is an administrator's.
const PRODUCING: [&str; 5] = [
    "RegisterCACertificate",
    "UpdateCACertificate",
    "BirthmarkTakeManifest",
    "BirthmarkTakeItems",
    "BirthmarkCloseGate",
];

/// Whether this role may do this operation. Making a registration code is looking: it stays the same.
pub(super) fn allows(role: Role, operation: &str, method: &str) -> bool {
    let looks = method == "GET" || LOOKING.contains(&operation);
    match role {
        Role::Admin => true,
        Role::Read => looks,
        Role::Factory => looks || PRODUCING.contains(&operation),
        Role::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_end_where_they_should() {
        let rows = [
            ("DescribeThing", "GET", [true, true, true, false]),
            ("TestAuthorization", "POST", [true, true, true, false]),
            ("RegisterCACertificate", "POST", [true, false, true, false]),
            ("CreateThing", "POST", [true, false, false, false]),
            ("DeleteCACertificate", "DELETE", [true, false, false, false]),
            ("Publish", "POST", [true, false, false, false]),
            ("BirthmarkTakeManifest", "POST", [true, false, true, false]),
            ("BirthmarkCloseGate", "PUT", [true, false, true, false]),
            ("BirthmarkOpenGate", "DELETE", [true, false, false, false]),
            ("BirthmarkEnrollSigner", "POST", [true, false, false, false]),
            ("BirthmarkRotateKey", "POST", [true, false, false, false]),
            ("BirthmarkImport", "POST", [true, false, false, false]),
        ];
        for (operation, method, expected) in rows {
            let found = [Role::Admin, Role::Read, Role::Factory, Role::None]
                .map(|role| allows(role, operation, method));
            assert_eq!(found, expected, "{operation}");
        }
    }
}
