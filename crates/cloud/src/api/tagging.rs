//! TagResource, UntagResource and ListTagsForResource: the tags of everything that has some.
//!
//! They stand between the wire and `fleet::tags`. What an ARN names is looked up by its kind; its record is kept with other
//! tags and otherwise as it was.

use fleet::batch::Record;
use fleet::billing_group::BillingGroup;
use fleet::domain_configuration::DomainConfiguration;
use fleet::names::{GroupName, PolicyName, TemplateName};
use fleet::record::{Tag, Versioned};
use fleet::resource::{self, Resource};
use fleet::role_alias::RoleAlias;
use fleet::thing_type::ThingType;
use fleet::{arn, ca, policies, provisioning_template, tags, thing_group};
use serde::Deserialize;
use serde_json::json;
use store::Records as _;

use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, TagInput, fault::ApiFault};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tagging {
    #[serde(default)]
    resource_arn: String,
    #[serde(default)]
    tags: Vec<TagInput>,
    #[serde(default)]
    tag_keys: Vec<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// What has tags: what they are, and the record with others.
struct Tagged {
    tags: Vec<Tag>,
    version: u64,
    with: Box<dyn FnOnce(Vec<Tag>) -> Record>,
}

/// A tagged record of its own kind.
macro_rules! tagged {
    ($found:expr, $record:ident) => {{
        let Versioned { version, mut record } = $found.clone();
        Tagged {
            tags: core::mem::take(&mut record.tags),
            version,
            with: Box::new(move |tags| {
                record.tags = tags;
                Record::$record(record)
            }),
        }
    }};
}

/// A tagged record that is kept whole.
macro_rules! tagged_resource {
    ($request:expr, $name:expr, $kind:ty) => {{
        let existing: Option<Versioned<$kind>> =
            $request.store().resource(&$request.call.tenant, $name).await?;
        let Versioned { version, mut record } = resource::found($name, existing.as_ref())?.clone();
        Tagged {
            tags: core::mem::take(&mut record.tags),
            version,
            with: Box::new(move |tags| {
                record.tags = tags;
                record.kept()
            }),
        }
    }};
}

async fn looked_up(request: &Request<'_>, text: &str) -> Result<Tagged, ApiFault> {
    let (tenant, store) = (&request.call.tenant, request.store());
    let (kind, name) = arn::resource(tenant, text)?;
    Ok(match kind {
        "cacert" => {
            let id = super::certificates::parse_id(name)?;
            tagged!(ca::found(&id, store.ca(tenant, &id).await?.as_ref())?, Ca)
        }
        "policy" => {
            let name = PolicyName::parse(name)?;
            tagged!(
                policies::found(&name, store.policy(tenant, &name).await?.as_ref())?,
                Policy
            )
        }
        "provisioningtemplate" => {
            let name = TemplateName::parse(name)?;
            let existing = store.template(tenant, &name).await?;
            tagged!(provisioning_template::found(&name, existing.as_ref())?, Template)
        }
        "thinggroup" => {
            let name = GroupName::parse(name)?;
            let lineage = store.group_lineage(tenant, &name).await?;
            tagged!(thing_group::found(&name, lineage.first())?, Group)
        }
        "thingtype" => tagged_resource!(request, name, ThingType),
        "billinggroup" => tagged_resource!(request, name, BillingGroup),
        "rolealias" => tagged_resource!(request, name, RoleAlias),
        "domainconfiguration" => {
            let name = name.split('/').next().unwrap_or_default();
            tagged_resource!(request, name, DomainConfiguration)
        }
        other => {
            return Err(ApiFault::invalid(
                "cloud.api.untaggable",
                format!("a {} has no tags", other.chars().take(64).collect::<String>()),
            ));
        }
    })
}

async fn change(
    request: &Request<'_>,
    text: &str,
    change: impl Fn(&[Tag]) -> Result<Vec<Tag>, fleet::Refusal>,
) -> Result<Answer, ApiFault> {
    request
        .decide(async || {
            let found = looked_up(request, text).await?;
            let record = (found.with)(change(&found.tags)?);
            Ok(tags::retagged(&request.call, text, record, found.version))
        })
        .await?;
    Ok(nothing())
}

/// TagResource.
pub(super) async fn tag(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Tagging = input.read()?;
    let new: Vec<Tag> = input.tags.into_iter().map(Tag::from).collect();
    change(request, &input.resource_arn, |old| tags::added(old, new.clone())).await
}

/// UntagResource.
pub(super) async fn untag(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Tagging = input.read()?;
    change(request, &input.resource_arn, |old| {
        Ok(tags::removed(old, &input.tag_keys))
    })
    .await
}

/// ListTagsForResource.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Tagging = input.read()?;
    let found = looked_up(request, &input.resource_arn).await?;
    let page = part(found.tags, input.pages.tokens()?);
    Ok(by_token(
        "tags",
        &page,
        |tag| json!({ "Key": tag.key, "Value": tag.value }),
    ))
}
