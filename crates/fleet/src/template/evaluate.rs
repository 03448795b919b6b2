//! From a [`Template`] and the subject of one certificate to a [`Plan`].
//!
//! A value that goes into a policy document comes from whoever wrote the certificate's subject. It is refused if it holds
//! anything that means something to a policy or to JSON, so no subject can widen a policy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    CertificatePlan, CertificateResource, Expression, Parameters, Piece, Plan, PolicyContent, PolicyPlan,
    PolicyResource, Source, Template, ThingPlan, ThingResource, Tree,
};
use crate::limits::{TEMPLATE_LIST_MAX, TEMPLATE_VALUE_BYTES_MAX};
use crate::names::{BillingGroupName, GroupName, PolicyName, ThingTypeName};
use crate::refusal::{Exception, Refusal};
use crate::{policy_document, thing};

type Evaluated<T> = Result<T, Refusal>;

/// What an expression gives.
enum Outcome {
    Text(String),
    List(Vec<String>),
}

/// One evaluation: the template, the certificate, and whether the value goes into a policy document.
#[derive(Clone, Copy)]
struct Scope<'a> {
    template: &'a Template,
    parameters: &'a Parameters,
    in_policy: bool,
}

impl Template {
    /// What the template makes of a certificate.
    pub fn evaluate(&self, parameters: &Parameters) -> Evaluated<Plan> {
        let scope = Scope {
            template: self,
            parameters,
            in_policy: false,
        };
        for name in self.required_parameters() {
            scope.check(name)?;
        }
        let activate = self
            .certificate
            .as_ref()
            .map_or(Ok(false), |certificate| scope.status(certificate))?;
        let thing = self.thing.as_ref().map(|thing| scope.thing(thing)).transpose()?;
        let policies = self
            .policies
            .iter()
            .map(|policy| scope.policy(policy))
            .collect::<Evaluated<_>>()?;
        let certificate = self.certificate.as_ref();
        let device_configuration = self
            .device_configuration
            .iter()
            .map(|(key, value)| Ok((key.clone(), scope.text(key, value)?)))
            .collect::<Evaluated<_>>()?;
        Ok(Plan {
            thing,
            activate,
            certificate: certificate
                .map(|certificate| scope.source(&certificate.source))
                .transpose()?,
            status_override: certificate.and_then(|certificate| certificate.status_override),
            policies,
            device_configuration,
        })
    }
}

impl Scope<'_> {
    fn status(&self, certificate: &CertificateResource) -> Evaluated<bool> {
        match &certificate.status {
            None => Ok(true),
            Some(status) => activates(&self.text("Status", status)?),
        }
    }

    fn source(&self, source: &Source) -> Evaluated<CertificatePlan> {
        Ok(match source {
            Source::Id(id) => CertificatePlan::Id(self.text("CertificateId", id)?),
            Source::Request(request) => {
                CertificatePlan::Request(self.text("CertificateSigningRequest", request)?)
            }
            Source::Pem { certificate, ca } => CertificatePlan::Pem {
                certificate: self.text("CertificatePem", certificate)?,
                ca: ca
                    .as_ref()
                    .map(|ca| self.text("CACertificatePem", ca))
                    .transpose()?,
            },
        })
    }

    fn thing(&self, resource: &ThingResource) -> Evaluated<ThingPlan> {
        let name = self.text("ThingName", &resource.name)?;
        let name = crate::arn::parse_thing(&name).map_err(|refusal| {
            failed("fleet.template.thing_name", format!("the template makes an impossible thing name: {refusal}"))
                .hint("a thing name has 1 to 128 of the characters A-Z a-z 0-9 : _ -; change the template or the subject")
        })?;
        let attributes = resource
            .attributes
            .iter()
            .map(|(key, value)| Ok((key.clone(), self.text(key, value)?)))
            .collect::<Evaluated<BTreeMap<_, _>>>()?;
        thing::check_attributes(&attributes, resource.thing_type.is_some()).map_err(|refusal| {
            failed(
                "fleet.template.attributes",
                format!("the template makes impossible attributes: {refusal}"),
            )
        })?;
        Ok(ThingPlan {
            name,
            attributes,
            attribute_override: resource.attribute_override,
            type_name: self.name(
                "ThingTypeName",
                resource.thing_type.as_ref(),
                ThingTypeName::parse,
            )?,
            type_override: resource.type_override,
            groups: self.groups(&resource.groups)?,
            groups_override: resource.groups_override,
            billing_group: self.name(
                "BillingGroup",
                resource.billing_group.as_ref(),
                BillingGroupName::parse,
            )?,
        })
    }

    fn groups(&self, groups: &[Expression]) -> Evaluated<Vec<GroupName>> {
        let mut names: Vec<GroupName> = Vec::with_capacity(groups.len());
        for group in groups {
            let name = self.name("ThingGroups", Some(group), GroupName::parse)?;
            names.extend(name.filter(|name| !names.contains(name)));
        }
        Ok(names)
    }

    /// A name that is checked like one that a caller gives.
    fn name<T>(
        &self,
        place: &str,
        expression: Option<&Expression>,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Evaluated<Option<T>> {
        let Some(expression) = expression else {
            return Ok(None);
        };
        let text = self.text(place, expression)?;
        parse(&text).map(Some).map_err(|refusal| {
            failed(
                "fleet.template.name",
                format!("the template makes an impossible {place}: {refusal}"),
            )
        })
    }

    fn policy(&self, resource: &PolicyResource) -> Evaluated<PolicyPlan> {
        let strict = Self {
            in_policy: true,
            ..*self
        };
        let document = match &resource.content {
            PolicyContent::Name(name) => {
                let name = self.text("PolicyName", name)?;
                return Ok(PolicyPlan::Named(PolicyName::parse(&name)?));
            }
            // A constant document was checked when the CA was registered.
            PolicyContent::Document(Expression::Text(document)) => return inline(document.clone()),
            PolicyContent::Document(document) => strict.text("PolicyDocument", document)?,
            PolicyContent::Tree(tree) => strict.tree(tree)?.to_string(),
        };
        policy_document::check(&document).map_err(|refusal| {
            failed(
                "fleet.template.policy",
                format!(
                    "the template makes an impossible policy ({}): {refusal}",
                    resource.logical_name
                ),
            )
        })?;
        Ok(PolicyPlan::Inline {
            name: hashed_name(&document)?,
            document,
        })
    }

    fn tree(&self, tree: &Tree) -> Evaluated<Value> {
        match tree {
            Tree::Plain(value) => Ok(value.clone()),
            Tree::Expression(expression) => match self.value(expression)? {
                Outcome::Text(text) => Ok(Value::String(text)),
                Outcome::List(items) => Ok(items.into_iter().map(Value::String).collect()),
            },
            Tree::List(items) => items.iter().map(|item| self.tree(item)).collect(),
            Tree::Map(members) => members
                .iter()
                .map(|(key, member)| Ok((key.clone(), self.tree(member)?)))
                .collect(),
        }
    }

    fn text(&self, place: &str, expression: &Expression) -> Evaluated<String> {
        match self.value(expression)? {
            Outcome::Text(text) => Ok(text),
            Outcome::List(_) => Err(failed(
                "fleet.template.value",
                format!("the template gives a list for {place}, which is a string"),
            )),
        }
    }

    fn value(&self, expression: &Expression) -> Evaluated<Outcome> {
        let text = match expression {
            Expression::Text(text) => text.clone(),
            Expression::Ref(name) => self.resolve(name)?.into_owned(),
            Expression::Join(delimiter, list) => {
                let items = self.list("Fn::Join", list)?;
                fits(items.iter().map(|item| item.len() + delimiter.len()).sum())?;
                items.join(delimiter)
            }
            Expression::Select(index, list) => self.select(index, list)?,
            Expression::Sub(pieces, variables) => self.substitute(pieces, variables)?,
            Expression::FindInMap(keys) => self.find_in_map(keys)?,
            Expression::List(items) => {
                let items = items.iter().map(|item| self.text("an item of a list", item));
                return Ok(Outcome::List(items.collect::<Evaluated<_>>()?));
            }
            Expression::Split(delimiter, text) => {
                let text = self.text("Fn::Split", text)?;
                let items: Vec<_> = text
                    .split(delimiter.as_str())
                    .take(TEMPLATE_LIST_MAX)
                    .map(str::to_owned)
                    .collect();
                return Ok(Outcome::List(items));
            }
        };
        fits(text.len())?;
        Ok(Outcome::Text(text))
    }

    fn list(&self, place: &str, expression: &Expression) -> Evaluated<Vec<String>> {
        match self.value(expression)? {
            Outcome::List(items) => Ok(items),
            Outcome::Text(_) => Err(failed(
                "fleet.template.value",
                format!("the template gives a string to {place}, which needs a list"),
            )),
        }
    }

    fn select(&self, index: &Expression, list: &Expression) -> Evaluated<String> {
        let index = self.text("Fn::Select", index)?;
        let items = self.list("Fn::Select", list)?;
        let item = index
            .parse::<usize>()
            .ok()
            .and_then(|at| items.into_iter().nth(at));
        item.ok_or_else(|| {
            failed(
                "fleet.template.select",
                format!("Fn::Select finds no item \"{index}\" in its list"),
            )
        })
    }

    fn substitute(&self, pieces: &[Piece], variables: &BTreeMap<String, Expression>) -> Evaluated<String> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(name) => match variables.get(name) {
                    Some(value) => text.push_str(&self.text("Fn::Sub", value)?),
                    None => text.push_str(&self.resolve(name)?),
                },
            }
            fits(text.len())?;
        }
        Ok(text)
    }

    fn find_in_map(&self, keys: &[Expression; 3]) -> Evaluated<String> {
        let [map, first, second] = keys;
        let (map, first, second) = (
            self.text("Fn::FindInMap", map)?,
            self.text("Fn::FindInMap", first)?,
            self.text("Fn::FindInMap", second)?,
        );
        let row = self.template.mappings.get(&map).and_then(|map| map.get(&first));
        row.and_then(|row| row.get(&second)).cloned().ok_or_else(|| {
            failed(
                "fleet.template.map",
                format!("Fn::FindInMap finds nothing under {map}, {first}, {second}"),
            )
        })
    }

    /// A declared parameter without a default has to be there, whether or not it is used.
    fn check(&self, name: &str) -> Evaluated<()> {
        self.resolve(name).map(drop)
    }

    /// The value of a parameter: from the certificate, else its default.
    fn resolve(&self, name: &str) -> Evaluated<Cow<'_, str>> {
        let value = self.parameters.value(name);
        if let (true, Some(foreign)) = (self.in_policy, &value) {
            refuse_injection(name, foreign)?;
        }
        let default = || {
            self.template
                .parameters
                .get(name)
                .and_then(Option::as_deref)
                .map(Cow::Borrowed)
        };
        value.or_else(default).ok_or_else(|| {
            let attribute = name.rsplit("::").next().unwrap_or(name);
            let Some(subject) = self.parameters.subject() else {
                return failed(
                    "fleet.template.parameter",
                    format!("the template needs the parameter {name}, which was not given"),
                )
                .hint("send it, or give the parameter a Default in the template");
            };
            if name.starts_with(super::MANIFEST_PREFIX) {
                return failed(
                    "fleet.template.manifest",
                    format!("the template needs {name}, but no manifest says that of this device"),
                )
                .hint("import the manifest of its order, with this column, or give the parameter a Default in the template");
            }
            failed(
                "fleet.template.parameter",
                format!("the template needs {name}, but the subject \"{subject}\" has no {attribute}"),
            )
            .hint("issue certificates whose subject carries it, or give the parameter a Default in the template")
        })
    }
}

/// Told while a value grows, so that a short template and a long subject cannot fill the memory.
fn fits(bytes: usize) -> Evaluated<()> {
    if bytes <= TEMPLATE_VALUE_BYTES_MAX {
        return Ok(());
    }
    let reason = format!("the template makes a value longer than {TEMPLATE_VALUE_BYTES_MAX} bytes");
    Err(failed("fleet.template.value", reason))
}

/// Whether a Status makes the certificate active; AWS's own examples write "Active" as well.
pub(super) fn activates(status: &str) -> Evaluated<bool> {
    if status.eq_ignore_ascii_case("ACTIVE") {
        Ok(true)
    } else if status.eq_ignore_ascii_case("INACTIVE") {
        Ok(false)
    } else {
        let shown: String = status.chars().take(64).collect();
        Err(failed(
            "fleet.template.status",
            format!("the template sets the certificate's Status to \"{shown}\""),
        )
        .hint("use ACTIVE or INACTIVE"))
    }
}

/// Everything that means something in a policy (wildcards, variables), in a topic filter, or in a JSON string.
fn refuse_injection(name: &str, value: &str) -> Evaluated<()> {
    let bad = value
        .chars()
        .find(|c| matches!(c, '*' | '?' | '$' | '+' | '#' | '"' | '\\') || c.is_control());
    match bad {
        None => Ok(()),
        Some(bad) => Err(failed(
            "fleet.template.injection",
            format!("{name} cannot go into a policy document: \"{value}\" holds '{bad}'"),
        )
        .hint("subjects that feed policies must not hold * ? $ + # \" \\ or control characters")),
    }
}

fn inline(document: String) -> Evaluated<PolicyPlan> {
    Ok(PolicyPlan::Inline {
        name: hashed_name(&document)?,
        document,
    })
}

/// The name of an inline policy: the first 160 bits of the SHA-256 of its document, 40 hexadecimal digits as at AWS.
fn hashed_name(document: &str) -> Evaluated<PolicyName> {
    let hash = identity::crypto::sha256(document.as_bytes());
    PolicyName::parse(
        &hash
            .iter()
            .take(20)
            .map(|byte| format!("{byte:02X}"))
            .collect::<String>(),
    )
}

fn failed(code: &'static str, reason: String) -> Refusal {
    Refusal::new(Exception::ResourceRegistrationFailure, code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_to_a_policy_goes_in() {
        for bad in [
            "*", "?", "$", "+", "#", "\"", "\\", "a\nb", "\0", "\u{7f}", "\u{85}",
        ] {
            assert!(refuse_injection("P", bad).is_err(), "{bad:?}");
        }
        for good in ["unit-7", "a/b:c", "ü {}[]'<>"] {
            assert!(refuse_injection("P", good).is_ok(), "{good:?}");
        }
    }
}
