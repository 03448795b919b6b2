//! Pre-provisioning hooks: a program of the operator's that is asked before a template is carried out.
//!
//! It stands between a template and its parameters (AWS IoT developer guide, "Pre-provisioning hooks"). What the program
//! answers may change parameters of the template and nothing else; no answer is a no.

use std::collections::BTreeMap;

use crate::limits::{PARAMETER_BYTES_MAX, TEMPLATE_PARAMETERS_MAX};
use crate::refusal::{Exception, Refusal};

/// What a hook answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `allowProvisioning`
    pub allows: bool,
    /// `parameterOverrides`
    pub overrides: BTreeMap<String, String>,
}

impl Answer {
    /// The parameters with those of the hook in their place; refused if it says no. What names the certificate is not the
    /// hook's to change.
    pub fn apply(
        self,
        mut parameters: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        if !self.allows {
            return Err(denied("the pre-provisioning hook does not allow the device"));
        }
        let fits = |(name, value): (&String, &String)| name.len() + value.len() <= PARAMETER_BYTES_MAX;
        if self.overrides.len() > TEMPLATE_PARAMETERS_MAX || !self.overrides.iter().all(fits) {
            return Err(denied("the pre-provisioning hook overrides too much"));
        }
        let overrides = self.overrides.into_iter();
        parameters.extend(overrides.filter(|(name, _)| name != crate::template::CERTIFICATE_ID));
        Ok(parameters)
    }
}

/// The device is refused because of its hook.
pub fn denied(reason: impl Into<String>) -> Refusal {
    Refusal::new(Exception::Unauthorized, "fleet.hook.denied", reason)
        .hint("look at the log of the hook's program; the device may try again")
}

#[cfg(test)]
mod tests {
    use identity::Explained as _;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_hook_may_change_parameters_and_not_whose_certificate_it_is() {
        let id = crate::template::CERTIFICATE_ID;
        let given = map(&[("Serial", "1"), (id, "aa")]);
        let answer = |allows, overrides: &[(&str, &str)]| Answer {
            allows,
            overrides: map(overrides),
        };
        assert_eq!(answer(true, &[]).apply(given.clone()), Ok(given.clone()));
        let changed = answer(true, &[("Serial", "2"), ("Site", "x"), (id, "bb")]).apply(given.clone());
        assert_eq!(changed, Ok(map(&[("Serial", "2"), ("Site", "x"), (id, "aa")])));
        for refused in [
            answer(false, &[("Serial", "2")]),
            answer(true, &[("Serial", &"x".repeat(PARAMETER_BYTES_MAX))]),
        ] {
            assert_eq!(
                refused.apply(given.clone()).unwrap_err().code(),
                "fleet.hook.denied"
            );
        }
        let many = (0..=TEMPLATE_PARAMETERS_MAX)
            .map(|n| (n.to_string(), String::new()))
            .collect();
        assert!(
            Answer {
                allows: true,
                overrides: many
            }
            .apply(given)
            .is_err()
        );
    }
}
