//! Operations on thing types.
//!
//! They stand between the wire and `fleet::thing_type`.

use fleet::names::ThingTypeName;
use fleet::record::Tag;
use fleet::thing_type::{self, Propagating, Properties, ThingType};
use fleet::{arn, resource, thing};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_token};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::clock;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropagatingInput {
    #[serde(default)]
    user_property_key: String,
    thing_attribute: Option<String>,
    connection_attribute: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mqtt5 {
    propagating_attributes: Option<Vec<PropagatingInput>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertiesInput {
    thing_type_description: Option<String>,
    searchable_attributes: Option<Vec<String>>,
    mqtt5_configuration: Option<Mqtt5>,
}

impl From<PropertiesInput> for Properties {
    fn from(input: PropertiesInput) -> Self {
        let propagating = input
            .mqtt5_configuration
            .and_then(|mqtt5| mqtt5.propagating_attributes);
        let shaped = |input: PropagatingInput| Propagating {
            user_property: input.user_property_key,
            thing_attribute: input.thing_attribute,
            connection_attribute: input.connection_attribute,
        };
        Self {
            description: input.thing_type_description,
            searchable: input.searchable_attributes,
            propagating: propagating.map(|items| items.into_iter().map(shaped).collect()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    thing_type_name: String,
    thing_type_properties: Option<PropertiesInput>,
    #[serde(default)]
    tags: Vec<TagInput>,
    #[serde(default)]
    undo_deprecate: bool,
}

impl Named {
    fn name(&self) -> Result<ThingTypeName, ApiFault> {
        Ok(ThingTypeName::parse(&self.thing_type_name)?)
    }
}

/// CreateThingType.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let properties = Properties::from(input.thing_type_properties.unwrap_or_default());
    let tags: Vec<Tag> = input.tags.into_iter().map(Tag::from).collect();
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let made = request
        .decide(async || {
            let existing = request.kept::<ThingType>(name.as_str()).await?;
            let (properties, tags) = (properties.clone(), tags.clone());
            Ok(thing_type::create(
                &request.call,
                &name,
                properties,
                tags,
                existing.as_ref(),
                fresh,
            )?)
        })
        .await?;
    Ok(named(request, &made))
}

fn named(request: &Request<'_>, thing_type: &ThingType) -> Value {
    json!({
        "thingTypeName": thing_type.name,
        "thingTypeArn": arn::named(&request.call.tenant, "thingtype", &thing_type.name),
        "thingTypeId": thing_type.id.to_string(),
    })
}

/// DescribeThingType.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = request.kept::<ThingType>(name.as_str()).await?;
    let thing_type = &resource::found(name.as_str(), existing.as_ref())?.record;
    let mut shown = named(request, thing_type);
    merge(&mut shown, described(thing_type));
    Ok(shown)
}

fn merge(shown: &mut Value, more: Value) {
    if let (Value::Object(shown), Value::Object(more)) = (shown, more) {
        shown.extend(more);
    }
}

fn described(thing_type: &ThingType) -> Value {
    let propagating = thing_type.propagating.iter().map(|propagating| {
        object(json!({
            "userPropertyKey": propagating.user_property,
            "thingAttribute": propagating.thing_attribute,
            "connectionAttribute": propagating.connection_attribute,
        }))
    });
    let propagating: Vec<Value> = propagating.collect();
    json!({
        "thingTypeProperties": object(json!({
            "thingTypeDescription": Some(&thing_type.description).filter(|text| !text.is_empty()),
            "searchableAttributes": thing_type.searchable,
            "mqtt5Configuration": (!propagating.is_empty()).then(|| json!({ "propagatingAttributes": propagating })),
        })),
        "thingTypeMetadata": object(json!({
            "deprecated": thing_type.deprecated.is_some(),
            "deprecationDate": thing_type.deprecated.map(timestamp),
            "creationDate": timestamp(thing_type.created),
        })),
    })
}

/// UpdateThingType.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let properties = Properties::from(input.thing_type_properties.unwrap_or_default());
    request
        .decide(async || {
            let existing = request.kept::<ThingType>(name.as_str()).await?;
            Ok(thing_type::update(
                &request.call,
                &name,
                properties.clone(),
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DeprecateThingType.
pub(super) async fn deprecate(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    request
        .decide(async || {
            let existing = request.kept::<ThingType>(name.as_str()).await?;
            Ok(thing_type::deprecate(
                &request.call,
                &name,
                input.undo_deprecate,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DeleteThingType.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let of_type = thing::Filter {
        type_name: Some(name.clone()),
        ..thing::Filter::default()
    };
    request
        .decide(async || {
            let existing = request.kept::<ThingType>(name.as_str()).await?;
            let is_used = super::things::is_any(request, &of_type).await?;
            Ok(thing_type::delete(
                &request.call,
                &name,
                existing.as_ref(),
                is_used,
                request.control.plan.deprecation_millis,
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    thing_type_name: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListThingTypes: all of them, or the one with this name.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let asked = input.pages.tokens()?;
    let wanted = input.thing_type_name.as_deref();
    let mut page = request
        .store()
        .list_resources::<ThingType>(&request.call.tenant, wanted.unwrap_or_default(), asked)
        .await?;
    page.items
        .retain(|thing_type| wanted.is_none_or(|wanted| thing_type.name == wanted));
    Ok(by_token("thingTypes", &page, |thing_type| {
        let mut shown = described(thing_type);
        merge(&mut shown, json!({ "thingTypeName": thing_type.name }));
        merge(
            &mut shown,
            json!({ "thingTypeArn": arn::named(&request.call.tenant, "thingtype", &thing_type.name) }),
        );
        shown
    }))
}
