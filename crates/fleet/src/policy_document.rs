//! One check of a policy document, whoever brings it: an API call or a template.

use crate::refusal::{Exception, Refusal};

/// Refuses a document that is too long or that the policy language does not know.
pub fn check(document: &str) -> Result<(), Refusal> {
    match policy::Policy::parse(document) {
        Ok(_) => Ok(()),
        Err(fault) => Err(Refusal::new(
            Exception::MalformedPolicy,
            "fleet.policy.document",
            fault.to_string(),
        )
        .hint("see the AWS IoT developer guide, \"AWS IoT Core policies\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_the_policy_language_pass_and_others_do_not() {
        let good =
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
        check(good).unwrap();
        let long = good.replace("iot:*", &format!("iot:{}", "x".repeat(2048)));
        for bad in ["", "{}", "[]", "{\"Version\":\"2012-10-17\"", &long] {
            assert_eq!(
                check(bad).unwrap_err().exception(),
                Exception::MalformedPolicy,
                "{bad}"
            );
        }
    }
}
