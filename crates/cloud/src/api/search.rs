//! Operations on the index of things: turning it on, searching it, and adding up what was found.
//!
//! They stand between the wire and `fleet::search` and `fleet::indexing`. A long look goes page by page and lets others have
//! their turn in between; what it holds at a time is bounded.

use fleet::batch::Batch;
use fleet::indexing::{self, CustomField, FieldType, Indexing, Mode};
use fleet::page::{Marker, PageRequest};
use fleet::record::Versioned;
use fleet::search::{self, Document, Field, Query, THINGS_INDEX};
use fleet::{Exception, Refusal, dynamic_group::DynamicGroup};
use identity::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{CommitError, Indexed, Records as _};

use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault};
use crate::control::Control;
use crate::limits::{AGGREGATED_VALUES_MAX, INDEX_STEPS_AT_ONCE};

#[derive(Deserialize)]
struct FieldInput {
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThingsInput {
    thing_indexing_mode: Option<String>,
    thing_connectivity_indexing_mode: Option<String>,
    device_defender_indexing_mode: Option<String>,
    named_shadow_indexing_mode: Option<String>,
    #[serde(default)]
    custom_fields: Vec<FieldInput>,
    filter: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupsInput {
    thing_group_indexing_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    thing_indexing_configuration: Option<ThingsInput>,
    thing_group_indexing_configuration: Option<GroupsInput>,
}

impl ThingsInput {
    fn read(self) -> Result<indexing::UpdateRequest, ApiFault> {
        let mode = self.thing_indexing_mode;
        let mode = mode.ok_or_else(|| super::missing("thingIndexingMode"))?;
        let is_on = |mode: &Option<String>| mode.as_deref().is_some_and(|mode| mode != "OFF");
        let beyond = [
            (
                "thingConnectivityIndexingMode",
                is_on(&self.thing_connectivity_indexing_mode),
            ),
            (
                "deviceDefenderIndexingMode",
                is_on(&self.device_defender_indexing_mode),
            ),
            ("namedShadowIndexingMode", is_on(&self.named_shadow_indexing_mode)),
            ("filter", self.filter.is_some()),
        ];
        let field = |input: FieldInput| {
            Ok(CustomField {
                name: input.name,
                kind: FieldType::asked("type", input.kind.as_deref())?,
            })
        };
        Ok(indexing::UpdateRequest {
            mode: Mode::asked("thingIndexingMode", Some(&mode))?,
            custom_fields: self
                .custom_fields
                .into_iter()
                .map(field)
                .collect::<Result<_, Refusal>>()?,
            beyond: beyond.iter().find(|(_, asked)| *asked).map(|(member, _)| *member),
        })
    }
}

/// UpdateIndexingConfiguration. A small fleet is indexed when the answer comes, a large one soon after.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Update = input.read()?;
    let groups = input.thing_group_indexing_configuration;
    if groups.is_some_and(|groups| groups.thing_group_indexing_mode.as_deref() != Some("OFF")) {
        return Err(ApiFault::invalid(
            "cloud.api.group_index",
            "thing groups are not indexed by this server: thingGroupIndexingMode is OFF",
        ));
    }
    let Some(things) = input.thing_indexing_configuration else {
        return Ok(nothing());
    };
    let wanted = things.read()?;
    request
        .decide(async || {
            let existing = looked_up(request).await?;
            let has_groups = !super::dynamic_groups::every(request).await?.is_empty();
            Ok(indexing::update(
                &request.call,
                wanted.clone(),
                existing.as_ref(),
                has_groups,
            )?)
        })
        .await?;
    if build(request.control, &request.call.tenant, INDEX_STEPS_AT_ONCE).await? == Some(false) {
        let (control, tenant) = (request.control.clone(), request.call.tenant);
        request.control.beside(async move {
            // What is not finished, the next look at the index goes on with.
            let _ = build(&control, &tenant, usize::MAX).await;
        });
    }
    Ok(nothing())
}

async fn looked_up(request: &Request<'_>) -> Result<Option<Versioned<Indexing>>, ApiFault> {
    Ok(request.store().resource(&request.call.tenant, "").await?)
}

async fn configuration(request: &Request<'_>) -> Result<Indexing, ApiFault> {
    let found = looked_up(request).await?;
    Ok(found.map_or_else(Indexing::off, |found| found.record))
}

/// Goes on building the index of a tenant for so many steps; gives its state.
async fn build(control: &Control, tenant: &Tenant, steps: usize) -> Result<Option<bool>, ApiFault> {
    for _ in 0..steps {
        let state = control.records.index_state(tenant).await?;
        if state != Some(false) {
            return Ok(state);
        }
        let mut step = Batch::new(tenant);
        step.index = Some(true);
        match control.records.commit(step).await {
            Ok(_) | Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Overloaded) => tokio::task::yield_now().await,
            Err(CommitError::Fault(error)) => return Err(ApiFault::failed(error)),
        }
    }
    Ok(control.records.index_state(tenant).await?)
}

/// Refuses a search while there is no whole index.
pub(super) async fn check_ready(request: &Request<'_>) -> Result<(), ApiFault> {
    let state = build(request.control, &request.call.tenant, 1).await?;
    Ok(indexing::check_ready(state)?)
}

/// GetIndexingConfiguration.
pub(super) async fn configured(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let found = configuration(request).await?;
    let field = |name: &str, kind: FieldType| json!({ "name": name, "type": kind.name() });
    let managed: Vec<Value> = found
        .managed_fields()
        .iter()
        .map(|(name, kind)| field(name, *kind))
        .collect();
    let custom: Vec<Value> = found
        .custom_fields
        .iter()
        .map(|custom| field(&custom.name, custom.kind))
        .collect();
    Ok(json!({
        "thingIndexingConfiguration": object(json!({
            "thingIndexingMode": found.mode.name(),
            "thingConnectivityIndexingMode": "OFF",
            "deviceDefenderIndexingMode": "OFF",
            "namedShadowIndexingMode": "OFF",
            "managedFields": Some(managed).filter(|fields| !fields.is_empty()),
            "customFields": Some(custom).filter(|fields| !fields.is_empty()),
        })),
        "thingGroupIndexingConfiguration": { "thingGroupIndexingMode": "OFF" },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    index_name: String,
}

/// DescribeIndex.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.index_name;
    let state = build(request.control, &request.call.tenant, 1).await?;
    let state = state.filter(|_| name == THINGS_INDEX);
    let Some(is_built) = state else {
        return Err(search::no_such_index(&name).into());
    };
    Ok(json!({
        "indexName": name,
        "indexStatus": if is_built { "ACTIVE" } else { "BUILDING" },
        "schema": "REGISTRY",
    }))
}

/// ListIndices.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let pages: Pages = input.read()?;
    let state = request.store().index_state(&request.call.tenant).await?;
    let names: Vec<&str> = state.iter().map(|_| THINGS_INDEX).collect();
    let page = part(names, pages.tokens()?);
    Ok(by_token("indexNames", &page, |name| Value::from(*name)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    index_name: Option<String>,
    query_string: Option<String>,
    query_version: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Reads a query for the index of things.
pub(super) fn read_query(
    index: Option<&str>,
    version: Option<&str>,
    query: Option<&str>,
) -> Result<Query, ApiFault> {
    search::check_target(index, version)?;
    let query = query.ok_or_else(|| super::missing("queryString"))?;
    Ok(Query::parse(query)?)
}

/// SearchIndex.
pub(super) async fn search(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Search = input.read()?;
    let (index, version) = (input.index_name.as_deref(), input.query_version.as_deref());
    let query = read_query(index, version, input.query_string.as_deref())?;
    let page = PageRequest {
        size: page_size(input.max_results)?,
        after: input.next_token.as_deref().map(Marker::parse).transpose()?,
        ascending: true,
    };
    check_ready(request).await?;
    let found = request
        .store()
        .search_things(&request.call.tenant, &query, page)
        .await?;
    Ok(by_token("things", &found, shown))
}

fn page_size(results: Option<i64>) -> Result<u16, ApiFault> {
    let most = fleet::limits::SEARCH_RESULTS_MAX;
    let size = u16::try_from(results.unwrap_or(100)).ok();
    size.filter(|size| (1..=most).contains(size))
        .ok_or_else(|| ApiFault::invalid("cloud.api.member", format!("maxResults is 1 to {most}")))
}

fn shown(found: &Indexed) -> Value {
    let Indexed { thing, groups } = found;
    let billing = thing.billing_group.iter().map(|name| name.as_str());
    let groups: Vec<&str> = groups.iter().map(|name| name.as_str()).chain(billing).collect();
    object(json!({
        "thingName": thing.name.as_str(),
        "thingId": thing.id.to_string(),
        "thingTypeName": thing.type_name.as_ref().map(|name| name.as_str()),
        "thingGroupNames": Some(groups).filter(|groups| !groups.is_empty()),
        "attributes": Some(&thing.attributes).filter(|attributes| !attributes.is_empty()),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    max_buckets: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketsInput {
    terms_aggregation: Option<Terms>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Aggregate {
    index_name: Option<String>,
    query_string: Option<String>,
    query_version: Option<String>,
    aggregation_field: Option<String>,
    #[serde(default)]
    percents: Vec<f64>,
    buckets_aggregation_type: Option<BucketsInput>,
}

/// The values of a field among the things that a query finds.
struct Values {
    kind: FieldType,
    /// How many things there are.
    things: u64,
    values: Vec<String>,
}

impl Values {
    /// As numbers; `true` is one.
    fn numbers(&self) -> Vec<f64> {
        let flag = |value: &String| match value.as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        };
        match self.kind {
            FieldType::Flag => self.values.iter().filter_map(flag).collect(),
            _ => search::numbers(&self.values),
        }
    }
}

fn invalid_aggregation(why: String) -> ApiFault {
    Refusal::new(Exception::InvalidAggregation, "fleet.search.aggregation", why).into()
}

async fn values(request: &Request<'_>, input: &Aggregate) -> Result<Values, ApiFault> {
    let (index, version) = (input.index_name.as_deref(), input.query_version.as_deref());
    let query = read_query(index, version, input.query_string.as_deref())?;
    check_ready(request).await?;
    let name = input.aggregation_field.as_deref().unwrap_or("registry.version");
    let configuration = configuration(request).await?;
    let custom = configuration
        .custom_fields
        .iter()
        .find(|field| field.name == name);
    let mut managed = configuration.managed_fields().iter();
    let managed = managed.find(|(field, _)| *field == name).map(|(_, kind)| *kind);
    let known = custom.map(|field| field.kind).or(managed).zip(Field::named(name));
    let (kind, field) = known.ok_or_else(|| {
        let shown: String = name.chars().take(128).collect();
        invalid_aggregation(format!(
            "\"{shown}\" cannot be aggregated: it is no managed field and not among the customFields of the indexing configuration"
        ))
    })?;
    let mut found = Values {
        kind,
        things: 0,
        values: Vec::new(),
    };
    let mut page = PageRequest {
        size: fleet::limits::SEARCH_RESULTS_MAX,
        ..PageRequest::first()
    };
    loop {
        let some = request
            .store()
            .search_things(&request.call.tenant, &query, page)
            .await?;
        for Indexed { thing, groups } in &some.items {
            found.things += 1;
            found.values.extend(Document { thing, groups }.values(&field));
        }
        if found.values.len() > AGGREGATED_VALUES_MAX {
            let why = format!("there are more than {AGGREGATED_VALUES_MAX} values: narrow the query");
            return Err(invalid_aggregation(why));
        }
        if some.next.is_none() {
            return Ok(found);
        }
        page.after = some.next;
        tokio::task::yield_now().await;
    }
}

/// GetStatistics.
pub(super) async fn statistics(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let found = values(request, &input.read()?).await?;
    if found.kind == FieldType::Text {
        return Ok(json!({ "statistics": { "count": found.values.len() } }));
    }
    let Some(sum) = search::statistics(&found.numbers()) else {
        return Ok(json!({ "statistics": { "count": 0 } }));
    };
    Ok(json!({ "statistics": {
        "count": sum.count,
        "average": sum.average(),
        "sum": sum.sum,
        "minimum": sum.minimum,
        "maximum": sum.maximum,
        "sumOfSquares": sum.sum_of_squares,
        "variance": sum.variance(),
        "stdDeviation": sum.deviation(),
    } }))
}

/// GetCardinality.
pub(super) async fn cardinality(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let found = values(request, &input.read()?).await?;
    Ok(json!({ "cardinality": search::cardinality(&found.values) }))
}

/// GetPercentiles.
pub(super) async fn percentiles(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let mut input: Aggregate = input.read()?;
    let percents = search::check_percents(core::mem::take(&mut input.percents))?;
    let found = values(request, &input).await?;
    if found.kind != FieldType::Number {
        return Err(invalid_aggregation(
            "percentiles are of fields of numbers".to_owned(),
        ));
    }
    let found = search::percentiles(found.numbers(), &percents);
    let pair = |(percent, value): &(f64, f64)| json!({ "percent": percent, "value": value });
    Ok(json!({ "percentiles": found.iter().map(pair).collect::<Vec<_>>() }))
}

/// GetBucketsAggregation.
pub(super) async fn buckets(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Aggregate = input.read()?;
    if input.aggregation_field.is_none() {
        return Err(super::missing("aggregationField"));
    }
    let kind = input.buckets_aggregation_type.as_ref();
    let terms = kind.and_then(|kind| kind.terms_aggregation.as_ref());
    let terms = terms.ok_or_else(|| super::missing("bucketsAggregationType.termsAggregation"))?;
    search::buckets(&[], terms.max_buckets)?;
    let found = values(request, &input).await?;
    let buckets = search::buckets(&found.values, terms.max_buckets)?;
    let bucket = |bucket: &search::Bucket| json!({ "keyValue": bucket.value, "count": bucket.count });
    Ok(json!({
        "totalCount": found.things,
        "buckets": buckets.iter().map(bucket).collect::<Vec<_>>(),
    }))
}

/// Who is in a dynamic group: what its query finds now.
pub(super) async fn members(
    request: &Request<'_>,
    group: &DynamicGroup,
    page: PageRequest,
) -> Result<store::Page<Indexed>, ApiFault> {
    check_ready(request).await?;
    let query = Query::parse(&group.query)?;
    Ok(request
        .store()
        .search_things(&request.call.tenant, &query, page)
        .await?)
}
