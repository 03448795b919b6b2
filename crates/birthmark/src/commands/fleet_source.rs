//! A fleet read through the public API of AWS IoT Core, as the lines that `fleet import` takes.
//!
//! Works against a real account (with `--real-aws`) and against anything that speaks the API. What the API does not tell
//! (when a version was made, the mode of an older certificate) is left out, and the import makes it up.

use serde_json::{Map, Value, json};

use super::registration::text;
use crate::{
    aws::{CallError, Client, percent_encoded},
    exit::{Context, Failure},
};

/// Items of one page: the most that every list of AWS gives.
const PAGE_ITEMS: usize = 250;

type Write<'a> = &'a mut dyn FnMut(&Value) -> Result<(), Failure>;

/// Reads the whole fleet of an account.
pub(crate) fn source(client: &mut Client, write: Write<'_>) -> Result<(), Failure> {
    Source::new(client).read(write)
}

/// An account that is read.
pub(crate) struct Source<'a> {
    client: &'a mut Client,
}

impl<'a> Source<'a> {
    pub(crate) fn new(client: &'a mut Client) -> Self {
        Self { client }
    }

    /// Reads kind by kind, those that others refer to first.
    pub(crate) fn read(&mut self, write: Write<'_>) -> Result<(), Failure> {
        self.thing_types(write)?;
        self.billing_groups(write)?;
        self.policies(write)?;
        self.templates(write)?;
        self.authorities(write)?;
        self.groups(write)?;
        self.things(write)?;
        self.certificates(write)
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.client
            .call(method, path, headers, body)
            .refused(|| format!("the account did not answer {method} {path}"))
    }

    /// Every page of a list that goes on by a token. `marker` is how the token is called in the query and in the answer.
    fn list(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        by: Paging,
        items: &str,
        body: Option<&Value>,
    ) -> Result<Vec<Value>, Failure> {
        let (size, token, next) = match by {
            Paging::Token => ("maxResults", "nextToken", "nextToken"),
            Paging::Marker => ("pageSize", "marker", "nextMarker"),
        };
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let mut asked = format!("{path}{joint}{size}={PAGE_ITEMS}");
            if !after.is_empty() {
                asked.push_str(&format!("&{token}={}", percent_encoded(&after)));
            }
            let answer = self.ask(method, &asked, headers, body)?;
            found.extend(
                answer
                    .get(items)
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default(),
            );
            after = text(&answer, next);
            if after.is_empty() {
                return Ok(found);
            }
        }
    }

    fn tokens(&mut self, path: &str, items: &str) -> Result<Vec<Value>, Failure> {
        self.list("GET", path, &[], Paging::Token, items, None)
    }

    fn markers(&mut self, path: &str, items: &str) -> Result<Vec<Value>, Failure> {
        self.list("GET", path, &[], Paging::Marker, items, None)
    }

    fn tags(&mut self, arn: &str) -> Result<Value, Failure> {
        let path = format!("/tags?resourceArn={}", percent_encoded(arn));
        let answer = self.client.call("GET", &path, &[], None);
        let tags = match answer {
            Ok(answer) => answer
                .get("tags")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            // What cannot have tags has none.
            Err(CallError::Api(_)) => Vec::new(),
            Err(error) => {
                return Err(Failure::fault(format!("the tags of {arn} could not be read")).because(error));
            }
        };
        Ok(tags
            .iter()
            .map(|tag| json!([text(tag, "Key"), text(tag, "Value")]))
            .collect())
    }

    /// The names of the policies that are attached to something.
    fn attached(&mut self, target: &str) -> Result<Value, Failure> {
        let path = format!("/attached-policies/{}", percent_encoded(target));
        let found = self.list("POST", &path, &[], Paging::Marker, "policies", None)?;
        Ok(found
            .iter()
            .map(|policy| policy.get("policyName").cloned().unwrap_or_default())
            .collect())
    }

    fn thing_types(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.tokens("/thing-types", "thingTypes")? {
            let (name, arn) = (text(&found, "thingTypeName"), text(&found, "thingTypeArn"));
            let described = self.ask(
                "GET",
                &format!("/thing-types/{}", percent_encoded(&name)),
                &[],
                None,
            )?;
            let properties = described.get("thingTypeProperties").cloned().unwrap_or_default();
            let mut body = Map::new();
            body.insert("name".into(), name.into());
            if let Some(id) = described.get("thingTypeId") {
                body.insert("id".into(), id.clone());
            }
            body.insert(
                "description".into(),
                text(&properties, "thingTypeDescription").into(),
            );
            body.insert(
                "searchable".into(),
                properties
                    .get("searchableAttributes")
                    .cloned()
                    .unwrap_or_else(|| json!([])),
            );
            let metadata = described.get("thingTypeMetadata").cloned().unwrap_or_default();
            body.insert("created".into(), millis(metadata.get("creationDate")));
            if metadata.get("deprecated") == Some(&Value::Bool(true)) {
                body.insert("deprecated".into(), millis(metadata.get("deprecationDate")));
            }
            body.insert("tags".into(), self.tags(&arn)?);
            write(&json!({ "kind": "thing-type", "body": body }))?;
        }
        Ok(())
    }

    fn billing_groups(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.tokens("/billing-groups", "billingGroups")? {
            let (name, arn) = (text(&found, "groupName"), text(&found, "groupArn"));
            let described = self.ask(
                "GET",
                &format!("/billing-groups/{}", percent_encoded(&name)),
                &[],
                None,
            )?;
            let properties = described
                .get("billingGroupProperties")
                .cloned()
                .unwrap_or_default();
            let body = json!({
                "name": name,
                "id": described.get("billingGroupId"),
                "description": text(&properties, "billingGroupDescription"),
                "version": described.get("version").and_then(Value::as_u64).unwrap_or(1),
                "created": millis(described.pointer("/billingGroupMetadata/creationDate")),
                "tags": self.tags(&arn)?,
            });
            write(&json!({ "kind": "billing-group", "body": body }))?;
        }
        Ok(())
    }

    fn policies(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.markers("/policies", "policies")? {
            let (name, arn) = (text(&found, "policyName"), text(&found, "policyArn"));
            let path = format!("/policies/{}", percent_encoded(&name));
            let head = self.ask("GET", &path, &[], None)?;
            let listed = self.ask("GET", &format!("{path}/version"), &[], None)?;
            let mut versions = Vec::new();
            for version in listed
                .get("policyVersions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let id = text(version, "versionId");
                let whole = self.ask(
                    "GET",
                    &format!("{path}/version/{}", percent_encoded(&id)),
                    &[],
                    None,
                )?;
                versions.push(json!({
                    "id": number(&id), "document": text(&whole, "policyDocument"), "created": millis(version.get("createDate")),
                }));
            }
            versions.sort_by_key(|version| version.get("id").and_then(Value::as_u64));
            let line = json!({
                "kind": "policy", "name": name, "versions": versions, "defaultVersion": number(&text(&head, "defaultVersionId")),
                "created": millis(head.get("creationDate")), "tags": self.tags(&arn)?,
            });
            write(&line)?;
        }
        Ok(())
    }

    fn templates(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.tokens("/provisioning-templates", "templates")? {
            let (name, arn) = (text(&found, "templateName"), text(&found, "templateArn"));
            let path = format!("/provisioning-templates/{}", percent_encoded(&name));
            let head = self.ask("GET", &path, &[], None)?;
            let mut versions = Vec::new();
            for version in self.tokens(&format!("{path}/versions"), "versions")? {
                let id = version.get("versionId").and_then(Value::as_u64).unwrap_or(0);
                let whole = self.ask("GET", &format!("{path}/versions/{id}"), &[], None)?;
                versions.push(json!({ "id": id, "document": text(&whole, "templateBody"), "created": millis(version.get("creationDate")) }));
            }
            versions.sort_by_key(|version| version.get("id").and_then(Value::as_u64));
            let hook = head.get("preProvisioningHook").filter(|hook| hook.is_object());
            let line = json!({
                "kind": "template", "name": name, "type": head.get("type").and_then(Value::as_str).unwrap_or("FLEET_PROVISIONING"),
                "description": text(&head, "description"), "enabled": head.get("enabled").and_then(Value::as_bool).unwrap_or(false),
                "roleArn": text(&head, "provisioningRoleArn"),
                "hook": hook.map(|hook| json!([text(hook, "payloadVersion"), text(hook, "targetArn")])),
                "versions": versions, "defaultVersion": head.get("defaultVersionId").and_then(Value::as_u64).unwrap_or(1),
                "created": millis(head.get("creationDate")), "tags": self.tags(&arn)?,
            });
            write(&line)?;
        }
        Ok(())
    }

    fn authorities(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.markers("/cacertificates", "certificates")? {
            let id = text(&found, "certificateId");
            let whole = self.ask(
                "GET",
                &format!("/cacertificate/{}", percent_encoded(&id)),
                &[],
                None,
            )?;
            let described = whole.get("certificateDescription").cloned().unwrap_or_default();
            let registration = whole.get("registrationConfig").cloned().unwrap_or_default();
            let line = json!({
                "kind": "ca", "certificatePem": text(&described, "certificatePem"), "status": text(&described, "status"),
                "autoRegistration": text(&described, "autoRegistrationStatus") == "ENABLE",
                "mode": described.get("certificateMode").and_then(Value::as_str).unwrap_or("DEFAULT"),
                "templateBody": registration.get("templateBody"), "templateName": registration.get("templateName"),
                "roleArn": registration.get("roleArn"), "created": millis(described.get("creationDate")),
                "tags": self.tags(&text(&described, "certificateArn"))?,
            });
            write(&line)?;
        }
        Ok(())
    }

    /// The groups at the top, then those under them, so that each comes after its parent.
    fn groups(&mut self, write: Write<'_>) -> Result<(), Failure> {
        let mut level = self.tokens("/thing-groups?recursive=false", "thingGroups")?;
        while !level.is_empty() {
            let mut below = Vec::new();
            for found in level {
                let (name, arn) = (text(&found, "groupName"), text(&found, "groupArn"));
                let encoded = percent_encoded(&name);
                let whole = self.ask("GET", &format!("/thing-groups/{encoded}"), &[], None)?;
                // A dynamic group is a question, not a list: it has no members to bring.
                if whole.get("queryString").and_then(Value::as_str).is_some() {
                    continue;
                }
                let properties = whole.get("thingGroupProperties").cloned().unwrap_or_default();
                let line = json!({
                    "kind": "group", "name": name, "id": whole.get("thingGroupId"),
                    "parent": whole.pointer("/thingGroupMetadata/parentGroupName"),
                    "description": text(&properties, "thingGroupDescription"),
                    "attributes": properties.pointer("/attributePayload/attributes").cloned().unwrap_or_else(|| json!({})),
                    "version": whole.get("version"), "created": millis(whole.pointer("/thingGroupMetadata/creationDate")),
                    "tags": self.tags(&arn)?, "policies": self.attached(&arn)?,
                });
                write(&line)?;
                below.extend(self.tokens(
                    &format!("/thing-groups?recursive=false&parentGroup={encoded}"),
                    "thingGroups",
                )?);
            }
            level = below;
        }
        Ok(())
    }

    fn things(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.tokens("/things", "things")? {
            let name = text(&found, "thingName");
            let path = format!("/things/{}", percent_encoded(&name));
            let whole = self.ask("GET", &path, &[], None)?;
            let groups = self.tokens(&format!("{path}/thing-groups"), "thingGroups")?;
            let line = json!({
                "kind": "thing", "name": name, "id": whole.get("thingId"), "typeName": whole.get("thingTypeName"),
                "billingGroup": whole.get("billingGroupName"), "attributes": whole.get("attributes").cloned().unwrap_or_else(|| json!({})),
                "version": whole.get("version"),
                "groups": groups.iter().map(|group| text(group, "groupName")).collect::<Vec<_>>(),
            });
            write(&line)?;
        }
        Ok(())
    }

    fn certificates(&mut self, write: Write<'_>) -> Result<(), Failure> {
        for found in self.markers("/certificates", "certificates")? {
            let id = text(&found, "certificateId");
            let whole = self.ask(
                "GET",
                &format!("/certificates/{}", percent_encoded(&id)),
                &[],
                None,
            )?;
            let described = whole.get("certificateDescription").cloned().unwrap_or_default();
            let arn = text(&described, "certificateArn");
            let headers = [("x-amzn-principal", arn.as_str())];
            let things = self.list(
                "GET",
                "/principals/things-v2",
                &headers,
                Paging::Token,
                "principalThingObjects",
                None,
            )?;
            let things: Vec<Value> = things
                .iter()
                .map(|thing| json!([text(thing, "thingName"), thing.get("thingPrincipalType")]))
                .collect();
            let line = json!({
                "kind": "certificate", "certificatePem": text(&described, "certificatePem"), "ca": described.get("caCertificateId"),
                "status": text(&described, "status"), "mode": described.get("certificateMode"),
                "created": millis(described.get("creationDate")), "customerVersion": described.get("customerVersion"),
                "policies": self.attached(&arn)?, "things": things,
            });
            write(&line)?;
        }
        Ok(())
    }
}

/// How a list goes on.
#[derive(Clone, Copy)]
enum Paging {
    /// `maxResults` and `nextToken`.
    Token,
    /// `pageSize` and `marker`.
    Marker,
}

/// A time of the API, in seconds, as milliseconds.
fn millis(seconds: Option<&Value>) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any date fit")]
    let millis = seconds
        .and_then(Value::as_f64)
        .map(|seconds| (seconds * 1000.0).round() as i64);
    millis.map_or(Value::Null, Value::from)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
