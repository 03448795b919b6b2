//! What is wrong with a template before any device comes: told when the CA is registered, not at the first connection.

use identity::certificate::Certificate;

use super::subject::exists;
use super::{Expression, Parameters, Piece, PolicyContent, Source, Template, Tree};
use crate::limits::POLICIES_PER_TARGET_MAX;
use crate::names::PolicyName;
use crate::refusal::{Exception, Refusal};

impl Template {
    /// Refuses a template that just-in-time provisioning can never carry out.
    pub fn lint(&self) -> Result<(), Refusal> {
        self.lint_parameters()?;
        if !self.device_configuration.is_empty() {
            return Err(wrong(
                "just-in-time provisioning has no DeviceConfiguration: nobody is there to be told",
            ));
        }
        self.lint_for_claims()
    }

    /// Refuses a template by which no device with a claim certificate can ever be provisioned.
    pub fn lint_for_claims(&self) -> Result<(), Refusal> {
        self.lint_certificate()?;
        self.lint_expression("DeviceConfiguration", self.device_configuration.values())?;
        self.lint_thing()?;
        self.lint_policies()
    }

    /// Refuses a template that needs what this certificate does not carry, or makes something impossible of it.
    pub fn check_against(&self, sample: &Certificate) -> Result<(), Refusal> {
        self.evaluate(&Parameters::of(sample)).map(|_| ())
    }

    /// The policies that it names in plain text.
    pub fn named_policies(&self) -> Vec<PolicyName> {
        let plain = self.policies.iter().filter_map(|policy| match &policy.content {
            PolicyContent::Name(Expression::Text(name)) => PolicyName::parse(name).ok(),
            _ => None,
        });
        plain.collect()
    }

    /// The names of thing and certificate inside the template, and of its policies in their order.
    pub fn logical_names(&self) -> (Option<&str>, Option<&str>, impl Iterator<Item = &str>) {
        (
            self.thing.as_ref().map(|thing| thing.logical_name.as_str()),
            self.certificate
                .as_ref()
                .map(|certificate| certificate.logical_name.as_str()),
            self.policies.iter().map(|policy| policy.logical_name.as_str()),
        )
    }

    /// Parameters that a certificate has to carry: declared without a default.
    pub fn required_parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters
            .iter()
            .filter(|(_, default)| default.is_none())
            .map(|(name, _)| name.as_str())
    }

    fn lint_parameters(&self) -> Result<(), Refusal> {
        match self.required_parameters().find(|name| !exists(name)) {
            None => Ok(()),
            Some(name) => Err(wrong(&format!("just-in-time provisioning has no parameter {name}"))
                .hint("the parameters are AWS::IoT::Certificate:: with Country, Organization, OrganizationalUnit, DistinguishedNameQualifier, StateName, CommonName, SerialNumber or Id, and Birthmark::Manifest:: with Unit, Thing, Order or a column of the manifest")),
        }
    }

    fn lint_certificate(&self) -> Result<(), Refusal> {
        let Some(certificate) = &self.certificate else {
            return Err(wrong(
                "it has no resource of type AWS::IoT::Certificate, so no certificate would become active",
            ));
        };
        if certificate.source != Source::Id(Expression::Ref("AWS::IoT::Certificate::Id".to_owned())) {
            return Err(wrong(
                "its certificate is not that of the device, by \"CertificateId\": {\"Ref\": \"AWS::IoT::Certificate::Id\"}",
            ));
        }
        self.lint_expression("Status", certificate.status.iter())?;
        match &certificate.status {
            Some(Expression::Text(text)) => super::evaluate::activates(text).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn lint_thing(&self) -> Result<(), Refusal> {
        let Some(thing) = &self.thing else { return Ok(()) };
        self.lint_expression("ThingName", [&thing.name])?;
        self.lint_expression("AttributePayload", thing.attributes.values())?;
        self.lint_expression("ThingTypeName", &thing.thing_type)?;
        self.lint_expression("ThingGroups", &thing.groups)?;
        self.lint_expression("BillingGroup", &thing.billing_group)?;
        for text in constant_texts(&thing.name) {
            let bad = text
                .chars()
                .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-')));
            if let Some(bad) = bad {
                return Err(wrong(&format!(
                    "ThingName always contains '{bad}', which a thing name cannot have"
                ))
                .hint("a thing name has 1 to 128 of the characters A-Z a-z 0-9 : _ -"));
            }
        }
        Ok(())
    }

    fn lint_policies(&self) -> Result<(), Refusal> {
        if self.policies.len() > POLICIES_PER_TARGET_MAX as usize {
            return Err(wrong(&format!(
                "it attaches more than {POLICIES_PER_TARGET_MAX} policies"
            )));
        }
        self.policies.iter().try_for_each(|policy| match &policy.content {
            PolicyContent::Name(name) => {
                self.lint_expression("PolicyName", [name])?;
                match name {
                    Expression::Text(text) => PolicyName::parse(text).map(|_| ()),
                    _ => Ok(()),
                }
            }
            PolicyContent::Document(Expression::Text(document)) => crate::policy_document::check(document),
            PolicyContent::Document(document) => self.lint_expression("PolicyDocument", [document]),
            PolicyContent::Tree(tree) => self.lint_tree(tree),
        })
    }

    fn lint_tree(&self, tree: &Tree) -> Result<(), Refusal> {
        match tree {
            Tree::Plain(_) => Ok(()),
            Tree::Expression(expression) => self.lint_expression("PolicyDocument", [expression]),
            Tree::List(items) => items.iter().try_for_each(|item| self.lint_tree(item)),
            Tree::Map(members) => members.iter().try_for_each(|(_, member)| self.lint_tree(member)),
        }
    }

    /// Every parameter that is referred to exists or is declared with a default.
    fn lint_expression<'a>(
        &self,
        place: &str,
        expressions: impl IntoIterator<Item = &'a Expression>,
    ) -> Result<(), Refusal> {
        for expression in expressions {
            let mut unknown = None;
            self.visit(expression, &mut |name, local| {
                if !local && !exists(name) && !self.parameters.contains_key(name) {
                    unknown = Some(name.to_owned());
                }
            });
            if let Some(name) = unknown {
                return Err(
                    wrong(&format!("{place} refers to {name}, which is not a parameter")).hint(
                        "declare it under Parameters with a Default, or use one of AWS::IoT::Certificate::*",
                    ),
                );
            }
        }
        Ok(())
    }

    fn visit(&self, expression: &Expression, see: &mut dyn FnMut(&str, bool)) {
        match expression {
            Expression::Text(_) => {}
            Expression::Ref(name) => see(name, false),
            Expression::List(items) => items.iter().for_each(|item| self.visit(item, see)),
            Expression::Join(_, inner) | Expression::Split(_, inner) => self.visit(inner, see),
            Expression::Select(index, list) => {
                self.visit(index, see);
                self.visit(list, see);
            }
            Expression::Sub(pieces, variables) => {
                variables.values().for_each(|value| self.visit(value, see));
                for piece in pieces {
                    if let Piece::Variable(name) = piece {
                        see(name, variables.contains_key(name));
                    }
                }
            }
            Expression::FindInMap(keys) => keys.iter().for_each(|key| self.visit(key, see)),
        }
    }
}

/// Text that is in the value whatever the certificate says.
fn constant_texts(expression: &Expression) -> Vec<&str> {
    match expression {
        Expression::Text(text) => vec![text],
        Expression::Join(delimiter, list) => match list.as_ref() {
            Expression::List(items) => {
                let between = (items.len() > 1).then_some(delimiter.as_str());
                items.iter().flat_map(constant_texts).chain(between).collect()
            }
            _ => Vec::new(),
        },
        Expression::Sub(pieces, _) => pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Variable(_) => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn wrong(why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.template.lint",
        format!("the provisioning template cannot work: {why}"),
    )
}
