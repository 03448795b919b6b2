//! Operations on custom authorizers, the default one among them, and a try without a device.
//!
//! They stand between the wire, `fleet::authorizer` and [`crate::authorizer`].

use std::collections::BTreeMap;

use fleet::attempt::Trail;
use fleet::authorizer::{self, Authorizer, DefaultAuthorizer};
use fleet::names::AuthorizerName;
use fleet::page::PageRequest;
use fleet::record::{Tag, Versioned};
use fleet::{arn, resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::Records as _;

use super::listing::{Pages, by_marker};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::authorizer::{Question, Shown, default};
use crate::footing::Ground;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    authorizer_name: String,
    authorizer_function_arn: Option<String>,
    token_key_name: Option<String>,
    token_signing_public_keys: Option<BTreeMap<String, String>>,
    status: Option<String>,
    signing_disabled: Option<bool>,
    enable_caching_for_http: Option<bool>,
    #[serde(default)]
    tags: Vec<TagInput>,
}

impl Wanted {
    /// Name and wishes. A function that is no webhook would let nobody in.
    fn read(request: &Request<'_>, input: Input) -> Result<(AuthorizerName, authorizer::Request), ApiFault> {
        let wanted: Self = input.read()?;
        let name = AuthorizerName::parse(&wanted.authorizer_name)?;
        if let Some(arn) = &wanted.authorizer_function_arn {
            request.control.webhooks.find(&request.call.tenant, arn)?;
        }
        let asked = authorizer::Request {
            function_arn: wanted.authorizer_function_arn,
            token_key_name: wanted.token_key_name,
            keys: wanted.token_signing_public_keys,
            status: wanted.status,
            signing_disabled: wanted.signing_disabled,
            caching: wanted.enable_caching_for_http,
            tags: wanted.tags.into_iter().map(Tag::from).collect(),
        };
        Ok((name, asked))
    }
}

async fn looked_up(request: &Request<'_>, name: &str) -> Result<Option<Versioned<Authorizer>>, ApiFault> {
    Ok(request.store().resource(&request.call.tenant, name).await?)
}

fn named(request: &Request<'_>, name: &str) -> Value {
    json!({ "authorizerName": name, "authorizerArn": arn::named(&request.call.tenant, "authorizer", name) })
}

/// CreateAuthorizer.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, wanted) = Wanted::read(request, input)?;
    let made = request.decide(async || {
        let existing = looked_up(request, name.as_str()).await?;
        let others = request
            .store()
            .list_resources::<Authorizer>(&request.call.tenant, "", PageRequest::first())
            .await?;
        Ok(authorizer::create(
            &request.call,
            &name,
            wanted.clone(),
            existing.as_ref(),
            others.items.len(),
        )?)
    });
    Ok(named(request, &made.await?.name))
}

/// UpdateAuthorizer.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, wanted) = Wanted::read(request, input)?;
    let made = request.decide(async || {
        let existing = looked_up(request, name.as_str()).await?;
        Ok(authorizer::update(
            &request.call,
            &name,
            wanted.clone(),
            existing.as_ref(),
        )?)
    });
    let made = made.await?;
    let ground = ground(request, &made.name);
    // Whom it let in under other terms, it is asked about once more.
    match made.is_active() {
        true => request.control.inquire_now(ground).await?,
        false => request.control.withdraw(ground).await?,
    }
    Ok(named(request, &made.name))
}

/// What those rest on whom it let in.
fn ground(request: &Request<'_>, name: &str) -> Ground {
    Ground::Authorizer(request.call.tenant, name.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    authorizer_name: String,
}

impl Named {
    fn name(&self) -> Result<AuthorizerName, ApiFault> {
        Ok(AuthorizerName::parse(&self.authorizer_name)?)
    }
}

/// DescribeAuthorizer.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    describe_named(request, name.as_str()).await
}

async fn describe_named(request: &Request<'_>, name: &str) -> Result<Answer, ApiFault> {
    let existing = looked_up(request, name).await?;
    let found = &resource::found(name, existing.as_ref())?.record;
    let token_key = Some(&found.token_key_name).filter(|name| !name.is_empty());
    Ok(json!({ "authorizerDescription": object(json!({
        "authorizerName": found.name,
        "authorizerArn": arn::named(&request.call.tenant, "authorizer", &found.name),
        "authorizerFunctionArn": found.function_arn,
        "tokenKeyName": token_key,
        "tokenSigningPublicKeys": found.keys,
        "status": found.status,
        "creationDate": timestamp(found.created),
        "lastModifiedDate": timestamp(found.modified),
        "signingDisabled": found.signing_disabled,
        "enableCachingForHttp": found.caching,
    })) }))
}

/// DeleteAuthorizer.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let deleted = request.decide(async || {
        let existing = looked_up(request, name.as_str()).await?;
        let default = default(request.control, &request.call.tenant).await?;
        Ok(authorizer::delete(
            &request.call,
            &name,
            existing.as_ref(),
            default.as_ref(),
        )?)
    });
    deleted.await?;
    request.control.withdraw(ground(request, name.as_str())).await?;
    Ok(nothing())
}

#[derive(Deserialize)]
struct List {
    status: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListAuthorizers. With a status a page may hold fewer than asked, and still have a next one.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    if !matches!(input.status.as_deref(), None | Some("ACTIVE" | "INACTIVE")) {
        return Err(ApiFault::invalid(
            "cloud.api.authorizer_status",
            "the status is ACTIVE or INACTIVE",
        ));
    }
    let asked = input.pages.markers()?;
    let listed = request
        .store()
        .list_resources::<Authorizer>(&request.call.tenant, "", asked);
    let mut page = listed.await?;
    page.items
        .retain(|found| input.status.as_ref().is_none_or(|status| *status == found.status));
    Ok(by_marker("authorizers", &page, |found| {
        named(request, &found.name)
    }))
}

/// SetDefaultAuthorizer.
pub(super) async fn set_default(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let set = request.decide(async || {
        let existing = looked_up(request, name.as_str()).await?;
        let default = default(request.control, &request.call.tenant).await?;
        Ok(authorizer::set_default(
            &request.call,
            &name,
            existing.as_ref(),
            default.as_ref(),
        )?)
    });
    set.await.map(|()| named(request, name.as_str()))
}

/// ClearDefaultAuthorizer.
pub(super) async fn clear_default(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let cleared = request.decide(async || {
        let default: Option<Versioned<DefaultAuthorizer>> =
            default(request.control, &request.call.tenant).await?;
        Ok(authorizer::clear_default(&request.call, default.as_ref())?)
    });
    cleared.await.map(|()| nothing())
}

/// DescribeDefaultAuthorizer.
pub(super) async fn describe_default(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let default = default(request.control, &request.call.tenant).await?;
    let default = default.ok_or_else(authorizer::no_default)?;
    describe_named(request, &default.record.authorizer).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    authorizer_name: String,
    token: Option<String>,
    token_signature: Option<String>,
    http_context: Option<Value>,
    mqtt_context: Option<Value>,
    tls_context: Option<Value>,
}

/// TestInvokeAuthorizer: the same question as a client's, and the answer as it came.
pub(super) async fn test(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Test = input.read()?;
    let name = AuthorizerName::parse(&input.authorizer_name)?;
    let existing = looked_up(request, name.as_str()).await?;
    let found = &resource::found(name.as_str(), existing.as_ref())?.record;
    let contexts = [
        ("tls", input.tls_context),
        ("http", input.http_context),
        ("mqtt", input.mqtt_context),
    ];
    let contexts = contexts
        .into_iter()
        .filter_map(|(name, context)| Some((name.to_owned(), context?)));
    let shown = Shown {
        token: input.token,
        signature: input.token_signature,
        protocols: contexts.collect::<Map<_, _>>(),
    };
    let question = Question::new(&request.call.tenant, found, shown)?;
    let answer = question
        .ask(request.control, found, &mut Trail::default())
        .await?;
    answer.check()?;
    Ok(json!({
        "isAuthenticated": answer.is_authenticated,
        "principalId": answer.principal,
        "policyDocuments": answer.policies,
        "refreshAfterInSeconds": answer.refresh_after_seconds,
        "disconnectAfterInSeconds": answer.disconnect_after_seconds,
    }))
}
