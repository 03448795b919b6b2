//! One check of a policy document, whoever brings it: an API call or a template.

use crate::limits::{POLICY_DOCUMENT_BYTES_MAX, POLICY_DOCUMENT_CHARACTERS_MAX};
use crate::refusal::{Exception, Refusal};

/// Refuses a document that is too long or that the policy language does not know.
pub fn check(document: &str) -> Result<(), Refusal> {
    let characters = document
        .chars()
        .filter(|c| !c.is_whitespace())
        .take(POLICY_DOCUMENT_CHARACTERS_MAX + 1)
        .count();
    if characters > POLICY_DOCUMENT_CHARACTERS_MAX || document.len() > POLICY_DOCUMENT_BYTES_MAX {
        return Err(malformed(
            "fleet.policy.length",
            format!(
                "the policy document is longer than {POLICY_DOCUMENT_CHARACTERS_MAX} characters (white space not counted)"
            ),
        ));
    }
    match serde_json::from_str::<serde_json::Value>(document) {
        Ok(_) => Ok(()),
        Err(fault) => Err(malformed(
            "fleet.policy.document",
            format!("the policy document is malformed: {fault}"),
        )),
    }
}

fn malformed(code: &'static str, reason: String) -> Refusal {
    Refusal::new(Exception::MalformedPolicy, code, reason)
}
