//! Column values that are not plain: JSON texts and words, with their own twins of the core types.

use std::collections::BTreeMap;

use fleet::names::TemplateName;
use fleet::record::{RegistrationConfig, Tag};
use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegistrationTwin {
    #[serde(skip_serializing_if = "Option::is_none")]
    template_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<String>,
}

pub(super) fn registration_text(config: &RegistrationConfig) -> String {
    json(&RegistrationTwin {
        template_body: config.template_body.clone(),
        template_name: config.template_name.as_ref().map(ToString::to_string),
        role_arn: config.role_arn.clone(),
    })
}

pub(super) fn read_registration(text: &str) -> Result<RegistrationConfig, Error> {
    let twin: RegistrationTwin = parse("ca.registration", text)?;
    let name = twin.template_name.as_deref().map(TemplateName::parse).transpose();
    Ok(RegistrationConfig {
        template_body: twin.template_body,
        template_name: name.map_err(|fault| Error::corrupt("ca.registration", fault.to_string()))?,
        role_arn: twin.role_arn,
    })
}

pub(super) fn tags_text(tags: &[Tag]) -> String {
    json(
        &tags
            .iter()
            .map(|tag| (tag.key.as_str(), tag.value.as_str()))
            .collect::<Vec<_>>(),
    )
}

pub(super) fn read_tags(text: &str) -> Result<Vec<Tag>, Error> {
    let pairs: Vec<(String, String)> = parse("tags", text)?;
    Ok(pairs.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

pub(super) fn attributes_text(attributes: &BTreeMap<String, String>) -> String {
    if attributes.is_empty() {
        "{}".to_owned()
    } else {
        json(attributes)
    }
}

pub(super) fn read_attributes(text: &str) -> Result<BTreeMap<String, String>, Error> {
    if text == "{}" {
        Ok(BTreeMap::new())
    } else {
        parse("thing.attributes", text)
    }
}

/// A column that holds one of a few words, or a name.
pub(super) fn word<T>(
    place: &'static str,
    text: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Error> {
    read(text).ok_or_else(|| Error::corrupt(place, format!("\"{text}\" is not known")))
}

/// A column that holds bytes of a fixed length.
pub(super) fn bytes<const N: usize>(place: &'static str, value: &[u8]) -> Result<[u8; N], Error> {
    value
        .try_into()
        .map_err(|_| Error::corrupt(place, format!("{} bytes instead of {N}", value.len())))
}

fn json(value: &impl Serialize) -> String {
    // Strings and maps of strings always have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<'a, T: Deserialize<'a>>(place: &'static str, text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|fault| Error::corrupt(place, fault.to_string()))
}
