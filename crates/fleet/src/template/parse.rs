//! From JSON to a [`Template`]: the form, with a place in every complaint.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    CertificateResource, Expression, Mappings, Override, Piece, PolicyContent, PolicyResource, Source,
    Template, ThingResource, Tree,
};
use crate::limits::{
    GROUPS_PER_THING_MAX, TEMPLATE_BYTES_MAX, TEMPLATE_DEPTH_MAX, TEMPLATE_LIST_MAX, TEMPLATE_PARAMETERS_MAX,
    TEMPLATE_RESOURCES_MAX,
};
use crate::refusal::{Exception, Refusal};

type Parsed<T> = Result<T, Refusal>;

impl Template {
    /// Reads a template.
    pub fn parse(body: &str) -> Parsed<Self> {
        if body.len() > TEMPLATE_BYTES_MAX {
            return Err(wrong(
                "the template",
                &format!("it is longer than {TEMPLATE_BYTES_MAX} bytes"),
            ));
        }
        let document: Value = serde_json::from_str(body)
            .map_err(|fault| wrong("the template", &format!("it is not JSON: {fault}")))?;
        let document = object("the template", &document)?;
        let mut template = Self {
            parameters: BTreeMap::new(),
            mappings: BTreeMap::new(),
            thing: None,
            certificate: None,
            policies: Vec::new(),
            device_configuration: BTreeMap::new(),
        };
        for (section, value) in document {
            match section.as_str() {
                "Parameters" => template.parameters = parameters(value)?,
                "Mappings" => template.mappings = mappings(value)?,
                "Resources" => template.read_resources(value)?,
                "DeviceConfiguration" => {
                    let flat = |place: &str, value: &Value| expression(place, value, 0);
                    template.device_configuration = table("DeviceConfiguration", value, flat)?;
                }
                other => {
                    return Err(wrong(
                        other,
                        "a template has the sections Parameters, Mappings and Resources",
                    ));
                }
            }
        }
        if !document.contains_key("Resources") {
            return Err(wrong("the template", "it has no Resources"));
        }
        Ok(template)
    }

    fn read_resources(&mut self, value: &Value) -> Parsed<()> {
        let resources = object("Resources", value)?;
        if resources.len() > TEMPLATE_RESOURCES_MAX {
            return Err(wrong(
                "Resources",
                &format!("there are more than {TEMPLATE_RESOURCES_MAX}"),
            ));
        }
        resources
            .iter()
            .try_for_each(|(logical_name, resource)| self.read_resource(logical_name, resource))
    }

    fn read_resource(&mut self, logical_name: &str, value: &Value) -> Parsed<()> {
        let place = format!("Resources.{logical_name}");
        let resource = object(&place, value)?;
        only_keys(&place, resource, &["Type", "Properties", "OverrideSettings"])?;
        let kind = resource
            .get("Type")
            .and_then(Value::as_str)
            .ok_or_else(|| wrong(&place, "it has no Type"))?;
        let empty = Map::new();
        let properties = optional_object(&place, resource, "Properties", &empty)?;
        let overrides = optional_object(&place, resource, "OverrideSettings", &empty)?;
        match kind {
            "AWS::IoT::Thing" => once(
                &mut self.thing,
                &place,
                thing(logical_name, &place, properties, overrides)?,
            ),
            "AWS::IoT::Certificate" => once(
                &mut self.certificate,
                &place,
                certificate(logical_name, &place, properties, overrides)?,
            ),
            "AWS::IoT::Policy" => {
                only_keys(&place, overrides, &[])?;
                self.policies.push(policy(logical_name, &place, properties)?);
                Ok(())
            }
            other => Err(wrong(&place, &format!("\"{other}\" is not a resource type"))
                .hint("the types are AWS::IoT::Thing, AWS::IoT::Certificate and AWS::IoT::Policy")),
        }
    }
}

fn parameters(value: &Value) -> Parsed<BTreeMap<String, Option<String>>> {
    let declared = object("Parameters", value)?;
    if declared.len() > TEMPLATE_PARAMETERS_MAX {
        return Err(wrong(
            "Parameters",
            &format!("there are more than {TEMPLATE_PARAMETERS_MAX}"),
        ));
    }
    declared
        .iter()
        .map(|(name, value)| Ok((name.clone(), parameter(name, value)?)))
        .collect()
}

fn parameter(name: &str, value: &Value) -> Parsed<Option<String>> {
    let place = format!("Parameters.{name}");
    let declaration = object(&place, value)?;
    only_keys(&place, declaration, &["Type", "Default", "Description"])?;
    if declaration.get("Type").and_then(Value::as_str) != Some("String") {
        return Err(wrong(&place, "its Type is not \"String\""));
    }
    match declaration.get("Default") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(&place, "its Default is not a string")),
    }
}

fn mappings(value: &Value) -> Parsed<Mappings> {
    let text = |place: &str, value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| wrong(place, "it is not a string"))
    };
    table("Mappings", value, |place, map| {
        table(place, map, |place, row| table(place, row, text))
    })
}

fn table<T>(
    place: &str,
    value: &Value,
    read: impl Fn(&str, &Value) -> Parsed<T>,
) -> Parsed<BTreeMap<String, T>> {
    object(place, value)?
        .iter()
        .map(|(key, value)| Ok((key.clone(), read(&format!("{place}.{key}"), value)?)))
        .collect()
}

fn thing(
    logical_name: &str,
    place: &str,
    properties: &Map<String, Value>,
    overrides: &Map<String, Value>,
) -> Parsed<ThingResource> {
    let known = [
        "ThingName",
        "AttributePayload",
        "ThingTypeName",
        "ThingGroups",
        "BillingGroup",
    ];
    only_keys(place, properties, &known)?;
    only_keys(
        place,
        overrides,
        &["AttributePayload", "ThingTypeName", "ThingGroups"],
    )?;
    let read = |key: &str| {
        let read = |value| expression(&format!("{place}.{key}"), value, 0);
        properties.get(key).map(read).transpose()
    };
    let groups = match properties.get("ThingGroups") {
        None => Vec::new(),
        Some(Value::Array(groups)) if groups.len() <= GROUPS_PER_THING_MAX as usize => groups
            .iter()
            .map(|group| expression(&format!("{place}.ThingGroups"), group, 0))
            .collect::<Parsed<_>>()?,
        Some(_) => {
            return Err(wrong(
                place,
                &format!("its ThingGroups are not a list of at most {GROUPS_PER_THING_MAX} names"),
            ));
        }
    };
    let name = properties
        .get("ThingName")
        .ok_or_else(|| wrong(place, "it has no ThingName"))?;
    let attributes = match properties.get("AttributePayload") {
        None => BTreeMap::new(),
        Some(value) => table(&format!("{place}.AttributePayload"), value, |place, value| {
            expression(place, value, 0)
        })?,
    };
    Ok(ThingResource {
        logical_name: logical_name.to_owned(),
        name: expression(&format!("{place}.ThingName"), name, 0)?,
        attributes,
        attribute_override: override_setting(place, overrides, "AttributePayload")?,
        thing_type: read("ThingTypeName")?,
        type_override: override_setting(place, overrides, "ThingTypeName")?,
        groups,
        groups_override: override_setting(place, overrides, "ThingGroups")?,
        billing_group: read("BillingGroup")?,
    })
}

fn certificate(
    logical_name: &str,
    place: &str,
    properties: &Map<String, Value>,
    overrides: &Map<String, Value>,
) -> Parsed<CertificateResource> {
    let known = [
        "CertificateId",
        "CertificateSigningRequest",
        "CertificatePem",
        "CACertificatePem",
        "Status",
        "ThingPrincipalType",
    ];
    only_keys(place, properties, &known)?;
    only_keys(place, overrides, &["Status"])?;
    let status = properties.get("Status");
    Ok(CertificateResource {
        logical_name: logical_name.to_owned(),
        source: source(place, properties)?,
        status: status
            .map(|status| expression(&format!("{place}.Status"), status, 0))
            .transpose()?,
        status_override: override_setting(place, overrides, "Status")?,
    })
}

fn source(place: &str, properties: &Map<String, Value>) -> Parsed<Source> {
    let read = |key: &str| {
        let read = |value| expression(&format!("{place}.{key}"), value, 0);
        properties.get(key).map(read).transpose()
    };
    let ca = read("CACertificatePem")?;
    let sources = (
        read("CertificateId")?,
        read("CertificatePem")?,
        read("CertificateSigningRequest")?,
    );
    match sources {
        (Some(id), None, None) if ca.is_none() => Ok(Source::Id(id)),
        (None, Some(certificate), None) => Ok(Source::Pem { certificate, ca }),
        (None, None, Some(request)) if ca.is_none() => Ok(Source::Request(request)),
        _ => Err(wrong(
            place,
            "it needs one of CertificateId, CertificateSigningRequest and CertificatePem (with CACertificatePem, if need be)",
        )),
    }
}

fn policy(logical_name: &str, place: &str, properties: &Map<String, Value>) -> Parsed<PolicyResource> {
    only_keys(place, properties, &["PolicyName", "PolicyDocument"])?;
    let content = match (properties.get("PolicyName"), properties.get("PolicyDocument")) {
        (Some(name), None) => PolicyContent::Name(expression(&format!("{place}.PolicyName"), name, 0)?),
        (None, Some(document)) => document_content(&format!("{place}.PolicyDocument"), document)?,
        _ => return Err(wrong(place, "it needs either PolicyName or PolicyDocument")),
    };
    Ok(PolicyResource {
        logical_name: logical_name.to_owned(),
        content,
    })
}

/// A document is an expression that gives a string, or JSON with expressions in it.
fn document_content(place: &str, value: &Value) -> Parsed<PolicyContent> {
    match value {
        Value::Object(map) if function_of(map).is_none() => Ok(PolicyContent::Tree(tree(place, value, 0)?)),
        _ => Ok(PolicyContent::Document(expression(place, value, 0)?)),
    }
}

fn tree(place: &str, value: &Value, depth: usize) -> Parsed<Tree> {
    deep_enough(place, depth)?;
    match value {
        Value::String(text) => Ok(Tree::Expression(Expression::Text(text.clone()))),
        Value::Object(map) if function_of(map).is_some() => {
            Ok(Tree::Expression(expression(place, value, depth)?))
        }
        Value::Object(map) => {
            let members = map
                .iter()
                .map(|(key, value)| Ok((key.clone(), tree(place, value, depth + 1)?)));
            Ok(Tree::Map(members.collect::<Parsed<_>>()?))
        }
        Value::Array(items) => Ok(Tree::List(
            items
                .iter()
                .map(|item| tree(place, item, depth + 1))
                .collect::<Parsed<_>>()?,
        )),
        plain => Ok(Tree::Plain(plain.clone())),
    }
}

fn expression(place: &str, value: &Value, depth: usize) -> Parsed<Expression> {
    deep_enough(place, depth)?;
    match value {
        Value::String(text) => Ok(Expression::Text(text.clone())),
        Value::Number(number) => Ok(Expression::Text(number.to_string())),
        Value::Bool(flag) => Ok(Expression::Text(flag.to_string())),
        Value::Null => Err(wrong(place, "null is not a value")),
        Value::Array(items) if items.len() > TEMPLATE_LIST_MAX => Err(wrong(
            place,
            &format!("a list has more than {TEMPLATE_LIST_MAX} items"),
        )),
        Value::Array(items) => {
            let items = items.iter().map(|item| expression(place, item, depth + 1));
            Ok(Expression::List(items.collect::<Parsed<_>>()?))
        }
        Value::Object(map) => match function_of(map) {
            Some((name, argument)) => function(place, name, argument, depth + 1),
            None => Err(wrong(
                place,
                "an object here must be one intrinsic function, such as {\"Ref\": \"…\"}",
            )),
        },
    }
}

/// The function that an object calls, if it looks like a call.
fn function_of(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = map.iter();
    match (members.next(), members.next()) {
        (Some((name, argument)), None) if name == "Ref" || name.starts_with("Fn::") => Some((name, argument)),
        _ => None,
    }
}

fn function(place: &str, name: &str, argument: &Value, depth: usize) -> Parsed<Expression> {
    let inner = |value: &Value| expression(place, value, depth);
    let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
    let needs = |what: &str| wrong(place, &format!("{name} needs {what}"));
    match (name, arguments) {
        ("Ref", _) => Ok(Expression::Ref(
            string(argument).ok_or_else(|| needs("the name of a parameter"))?,
        )),
        ("Fn::Join", [delimiter, list]) => {
            let delimiter = string(delimiter).ok_or_else(|| needs("a string as delimiter"))?;
            Ok(Expression::Join(delimiter, Box::new(inner(list)?)))
        }
        ("Fn::Split", [delimiter, text]) => {
            let delimiter = string(delimiter).filter(|text| !text.is_empty());
            let delimiter = delimiter.ok_or_else(|| needs("a non-empty string as delimiter"))?;
            Ok(Expression::Split(delimiter, Box::new(inner(text)?)))
        }
        ("Fn::Select", [index, list]) => Ok(Expression::Select(
            Box::new(inner(index)?),
            Box::new(inner(list)?),
        )),
        ("Fn::FindInMap", [map, first, second]) => Ok(Expression::FindInMap(Box::new([
            inner(map)?,
            inner(first)?,
            inner(second)?,
        ]))),
        ("Fn::Sub", [text, Value::Object(variables)]) => {
            let pieces = string(text).ok_or_else(|| needs("a string"))?;
            let variables = variables
                .iter()
                .map(|(key, value)| Ok((key.clone(), inner(value)?)));
            Ok(Expression::Sub(
                pieces_of(place, &pieces)?,
                variables.collect::<Parsed<_>>()?,
            ))
        }
        ("Fn::Sub", _) => {
            let text = string(argument).ok_or_else(|| needs("a string, or a string and a map"))?;
            Ok(Expression::Sub(pieces_of(place, &text)?, BTreeMap::new()))
        }
        ("Fn::Join", _) => Err(needs("a delimiter and a list")),
        ("Fn::Split", _) => Err(needs("a delimiter and a string")),
        ("Fn::Select", _) => Err(needs("an index and a list")),
        ("Fn::FindInMap", _) => Err(needs("a map and two keys")),
        _ => Err(wrong(place, &format!("\"{name}\" is not an intrinsic function"))
            .hint("the functions are Ref, Fn::Join, Fn::Select, Fn::Split, Fn::Sub and Fn::FindInMap")),
    }
}

/// Splits the text of `Fn::Sub` at `${Name}`; `${!Name}` stands for `${Name}` itself.
fn pieces_of(place: &str, text: &str) -> Parsed<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| wrong(place, "Fn::Sub has a ${ without its }"))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(match name.strip_prefix('!') {
            Some(literal) => Piece::Text(format!("${{{literal}}}")),
            None => Piece::Variable(name.to_owned()),
        });
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn override_setting(place: &str, overrides: &Map<String, Value>, key: &str) -> Parsed<Option<Override>> {
    let Some(value) = overrides.get(key) else {
        return Ok(None);
    };
    match value.as_str() {
        Some("DO_NOTHING") => Ok(Some(Override::DoNothing)),
        Some("REPLACE") => Ok(Some(Override::Replace)),
        Some("FAIL") => Ok(Some(Override::Fail)),
        Some("MERGE") if matches!(key, "AttributePayload" | "ThingGroups") => Ok(Some(Override::Merge)),
        _ => Err(wrong(
            place,
            &format!(
                "the OverrideSettings of {key} are not one of DO_NOTHING, REPLACE, FAIL{}",
                if matches!(key, "AttributePayload" | "ThingGroups") {
                    ", MERGE"
                } else {
                    ""
                }
            ),
        )),
    }
}

fn once<T>(slot: &mut Option<T>, place: &str, value: T) -> Parsed<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(
            place,
            "the template has another resource of this type already",
        )),
    }
}

fn object<'a>(place: &str, value: &'a Value) -> Parsed<&'a Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| wrong(place, "it is not a JSON object"))
}

fn optional_object<'a>(
    place: &str,
    map: &'a Map<String, Value>,
    key: &str,
    empty: &'a Map<String, Value>,
) -> Parsed<&'a Map<String, Value>> {
    map.get(key)
        .map_or(Ok(empty), |value| object(&format!("{place}.{key}"), value))
}

fn only_keys(place: &str, map: &Map<String, Value>, known: &[&str]) -> Parsed<()> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(wrong(place, &format!("\"{key}\" is not known here"))),
    }
}

fn deep_enough(place: &str, depth: usize) -> Parsed<()> {
    if depth > TEMPLATE_DEPTH_MAX {
        return Err(wrong(
            place,
            &format!("it is nested more than {TEMPLATE_DEPTH_MAX} deep"),
        ));
    }
    Ok(())
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn wrong(place: &str, why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.template.form",
        format!("the provisioning template is wrong at {place}: {why}"),
    )
}
