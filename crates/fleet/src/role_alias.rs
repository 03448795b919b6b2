//! CreateRoleAlias, DescribeRoleAlias, UpdateRoleAlias and DeleteRoleAlias, and who may have the role behind an alias.
//!
//! A device that may assume a role by its alias is given a temporary access key (AWS IoT developer guide, "Authorizing
//! direct calls to AWS services"). What the role lets it do, the operator's file says; an alias can name a role that is not
//! there yet, and gives nothing then.

use identity::{ThingName, UnixMillis};

use crate::call::{Call, Decided};
use crate::limits::{
    CREDENTIAL_SECONDS_DEFAULT, CREDENTIAL_SECONDS_MAX, CREDENTIAL_SECONDS_MIN, ROLE_ALIASES_MAX,
    ROLE_ARN_BYTES_MAX, ROLE_ARN_BYTES_MIN,
};
use crate::names::RoleAliasName;
use crate::plain::shaped;
use crate::record::{Tag, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::{arn, tags};

shaped!(
    /// A role alias.
    RoleAlias {
        /// Name.
        name: String,
        /// The ARN of the role.
        role_arn: String,
        /// How long a temporary access key lives.
        duration_seconds: u64,
        /// When it was made.
        created: UnixMillis,
        /// When it was last changed.
        modified: UnixMillis,
        /// Tags.
        tags: Vec<Tag>,
    }
);

impl Resource for RoleAlias {
    const KIND: Kind = Kind::RoleAlias;

    fn name(&self) -> &str {
        &self.name
    }
}

impl RoleAlias {
    /// The name of the role: the last part of its ARN.
    pub fn role(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }
}

/// What CreateRoleAlias asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// `roleArn`.
    pub role_arn: String,
    /// `credentialDurationSeconds`.
    pub duration_seconds: Option<i64>,
    /// `tags`.
    pub tags: Vec<Tag>,
}

/// CreateRoleAlias. A second one of the same name is refused, whatever it asks for. `count` is how many there are.
pub fn create(
    call: &Call,
    name: &RoleAliasName,
    request: CreateRequest,
    existing: Option<&Versioned<RoleAlias>>,
    count: usize,
) -> Decided<RoleAlias> {
    if let Some(Versioned { record, .. }) = existing {
        let arn = arn::named(&call.tenant, "rolealias", &record.name);
        return Err(resource::exists(record, &record.name, arn));
    }
    tags::check(&request.tags)?;
    check_role(call, &request.role_arn)?;
    let duration_seconds = check_duration(request.duration_seconds)?.unwrap_or(CREDENTIAL_SECONDS_DEFAULT);
    if count >= ROLE_ALIASES_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.role_alias.limit",
            format!("there are {ROLE_ALIASES_MAX} role aliases already"),
        ));
    }
    let alias = RoleAlias {
        name: name.as_str().to_owned(),
        role_arn: request.role_arn,
        duration_seconds,
        created: call.now,
        modified: call.now,
        tags: request.tags,
    };
    Ok(resource::insert(call, "role_alias.create", alias))
}

/// UpdateRoleAlias. Keys that were given before live on with the role they were given for.
pub fn update(
    call: &Call,
    name: &RoleAliasName,
    role_arn: Option<String>,
    duration_seconds: Option<i64>,
    existing: Option<&Versioned<RoleAlias>>,
) -> Decided<RoleAlias> {
    let existing = resource::found(name.as_str(), existing)?;
    let mut changed = existing.record.clone();
    if let Some(role_arn) = role_arn {
        check_role(call, &role_arn)?;
        changed.role_arn = role_arn;
    }
    changed.duration_seconds = check_duration(duration_seconds)?.unwrap_or(changed.duration_seconds);
    changed.modified = call.now;
    Ok(resource::replace(
        call,
        "role_alias.update",
        changed,
        existing.version,
    ))
}

/// DeleteRoleAlias. Keys that were given by it are taken no more.
pub fn delete(call: &Call, name: &RoleAliasName, existing: Option<&Versioned<RoleAlias>>) -> Decided<()> {
    let existing = resource::found(name.as_str(), existing)?;
    Ok(resource::delete(call, "role_alias.delete", existing))
}

/// `arn:aws:iam::<account>:role/<path and name>` of the caller's own account.
fn check_role(call: &Call, role_arn: &str) -> Result<(), Refusal> {
    let invalid = |why: &str| {
        let shown: String = role_arn.chars().take(160).collect();
        Refusal::new(
            Exception::InvalidRequest,
            "fleet.role_alias.role",
            format!("\"{shown}\" cannot be the role of an alias: {why}"),
        )
        .hint("a role is arn:aws:iam::<account>:role/<name>")
    };
    if !(ROLE_ARN_BYTES_MIN..=ROLE_ARN_BYTES_MAX).contains(&role_arn.len()) {
        return Err(invalid("it has not the length of an ARN"));
    }
    let mut parts = role_arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let is_role = next() == "arn"
        && matches!(next(), "aws" | "aws-cn" | "aws-us-gov")
        && next() == "iam"
        && next().is_empty();
    let (account, path) = (next(), next());
    let name = path
        .strip_prefix("role/")
        .and_then(|path| path.rsplit('/').next());
    if !is_role || name.is_none_or(str::is_empty) {
        return Err(invalid("it is not the ARN of a role"));
    }
    match account == call.tenant.account.as_str() {
        true => Ok(()),
        false => Err(invalid("it is of another account")),
    }
}

fn check_duration(seconds: Option<i64>) -> Result<Option<u64>, Refusal> {
    let Some(seconds) = seconds else { return Ok(None) };
    match u64::try_from(seconds) {
        Ok(seconds) if (CREDENTIAL_SECONDS_MIN..=CREDENTIAL_SECONDS_MAX).contains(&seconds) => {
            Ok(Some(seconds))
        }
        _ => Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.role_alias.duration",
            format!("credentials cannot live for {seconds} s"),
        )
        .hint(format!(
            "credentialDurationSeconds is {CREDENTIAL_SECONDS_MIN} to {CREDENTIAL_SECONDS_MAX}"
        ))),
    }
}

/// What is known when a device whose certificate may come in asks for the role behind an alias.
#[derive(Debug, Clone, Copy)]
pub struct AssumeFacts<'a> {
    /// Why no policy of the certificate allows `iot:AssumeRoleWithCertificate` on the alias, if none does.
    pub denied: Option<&'a str>,
    /// The alias, if there is one of that name.
    pub alias: Option<&'a RoleAlias>,
    /// The thing that the device says it is, if it says so.
    pub thing: Option<&'a str>,
    /// The things that its certificate is attached to.
    pub things: &'a [ThingName],
    /// Whether the operator's file has the role, for this account.
    pub is_role_known: bool,
}

/// When the temporary access key ends, if the device may have one; an attempt record tells why not. A device that no
/// policy allows it does not learn whether there is such an alias.
pub fn assume(name: &str, facts: AssumeFacts<'_>, now: UnixMillis) -> Result<UnixMillis, Refusal> {
    let refuse = |code, why: String| Refusal::new(Exception::Unauthorized, code, why);
    if let Some(why) = facts.denied {
        return Err(refuse("fleet.role_alias.policy", why.to_owned()).hint(
            "attach a policy that allows iot:AssumeRoleWithCertificate on the ARN of the alias to the certificate",
        ));
    }
    let is_attached = |thing: &str| facts.things.iter().any(|attached| attached.as_str() == thing);
    if let Some(thing) = facts.thing.filter(|thing| !is_attached(thing)) {
        return Err(refuse(
            "fleet.role_alias.thing",
            format!("the certificate is not attached to the thing {thing} that the device says it is"),
        )
        .hint("attach it (AttachThingPrincipal), or leave out x-amzn-iot-thingname"));
    }
    let alias = facts.alias.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.role_alias.missing",
            format!("there is no role alias named {name}"),
        )
    })?;
    if !facts.is_role_known {
        return Err(refuse(
            "fleet.role_alias.unknown_role",
            format!(
                "the role alias {name} names the role {}, which is not there",
                alias.role()
            ),
        )
        .hint("name the role in the operator's file: [roles.NAME]"));
    }
    let seconds = i64::try_from(alias.duration_seconds).unwrap_or(i64::MAX / 1000);
    Ok(now.plus_millis(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn alias() -> RoleAlias {
        RoleAlias {
            name: "upload".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/devices/uploader".to_owned(),
            duration_seconds: 900,
            created: NOW,
            modified: NOW,
            tags: Vec::new(),
        }
    }

    fn code(change: fn(&mut AssumeFacts<'_>)) -> Result<UnixMillis, &'static str> {
        let (alias, things) = (alias(), ["lamp".parse().unwrap()]);
        let mut facts = AssumeFacts {
            denied: None,
            alias: Some(&alias),
            thing: Some("lamp"),
            things: &things,
            is_role_known: true,
        };
        change(&mut facts);
        assume("upload", facts, NOW).map_err(|refusal| identity::Explained::code(&refusal))
    }

    #[test]
    fn a_role_is_had_by_those_who_may() {
        assert_eq!(alias().role(), "uploader");
        assert_eq!(code(|_| {}), Ok(UnixMillis(901_000)));
        assert_eq!(code(|facts| facts.thing = None), Ok(UnixMillis(901_000)));
        assert_eq!(
            code(|facts| facts.denied = Some("no policy")),
            Err("fleet.role_alias.policy")
        );
        assert_eq!(
            code(|facts| facts.thing = Some("door")),
            Err("fleet.role_alias.thing")
        );
        assert_eq!(code(|facts| facts.things = &[]), Err("fleet.role_alias.thing"));
        assert_eq!(code(|facts| facts.alias = None), Err("fleet.role_alias.missing"));
        assert_eq!(
            code(|facts| facts.is_role_known = false),
            Err("fleet.role_alias.unknown_role")
        );
        // Whoever may not does not learn what there is.
        let both = |facts: &mut AssumeFacts<'_>| (facts.denied, facts.alias) = (Some("no policy"), None);
        assert_eq!(code(both), Err("fleet.role_alias.policy"));
    }

    #[test]
    fn credentials_live_for_a_quarter_of_an_hour_to_half_a_day() {
        for good in [900, 3600, 43_200] {
            assert_eq!(check_duration(Some(good)).unwrap(), u64::try_from(good).ok());
        }
        for bad in [0, -1, 899, 43_201, i64::MAX] {
            assert!(check_duration(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(check_duration(None).unwrap(), None);
    }
}
