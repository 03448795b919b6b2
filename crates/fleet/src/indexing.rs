//! UpdateIndexingConfiguration and GetIndexingConfiguration: what of the things can be searched.
//!
//! The registry can be searched. Shadows, connectivity and Device Defender are refused until this server has them: a search
//! over what is not there would find nothing and say nothing of it.

use crate::call::{Call, Decided, Decision};
use crate::limits::{CUSTOM_FIELDS_MAX, FIELD_NAME_BYTES_MAX};
use crate::plain::{shaped, words};
use crate::record::Versioned;
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};

words!(
    /// What is indexed of things.
    Mode {
        /// Nothing.
        Off = "OFF",
        /// The registry.
        Registry = "REGISTRY",
        /// The registry and shadows; refused.
        RegistryAndShadow = "REGISTRY_AND_SHADOW",
    }
);

words!(
    /// What the values of a field are.
    FieldType {
        /// Texts.
        Text = "String",
        /// Numbers.
        Number = "Number",
        /// `true` and `false`.
        Flag = "Boolean",
    }
);

shaped!(
    /// A field that values can be aggregated of.
    CustomField {
        /// Its name.
        name: String,
        /// What its values are.
        kind: FieldType,
    }
);

shaped!(
    /// What of a tenant's things can be searched.
    Indexing {
        /// What is indexed.
        mode: Mode,
        /// Fields that the caller named.
        custom_fields: Vec<CustomField>,
    }
);

impl Resource for Indexing {
    const KIND: Kind = Kind::Indexing;

    fn name(&self) -> &str {
        ""
    }
}

impl Indexing {
    /// Of a tenant that never said anything about it.
    pub fn off() -> Self {
        Self {
            mode: Mode::Off,
            custom_fields: Vec::new(),
        }
    }

    /// The fields that are always there.
    pub fn managed_fields(&self) -> &'static [(&'static str, FieldType)] {
        match self.mode {
            Mode::Off => &[],
            _ => &[
                ("thingId", FieldType::Text),
                ("thingName", FieldType::Text),
                ("registry.version", FieldType::Number),
                ("registry.thingTypeName", FieldType::Text),
                ("registry.thingGroupNames", FieldType::Text),
            ],
        }
    }
}

/// What UpdateIndexingConfiguration asks for of things.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// `thingIndexingMode`
    pub mode: Mode,
    /// `customFields`
    pub custom_fields: Vec<CustomField>,
    /// The first of the members that name something this server does not index.
    pub beyond: Option<&'static str>,
}

/// UpdateIndexingConfiguration. `has_groups` is whether there are dynamic thing groups, which need the index.
pub fn update(
    call: &Call,
    request: UpdateRequest,
    existing: Option<&Versioned<Indexing>>,
    has_groups: bool,
) -> Decided<Indexing> {
    let beyond = request
        .beyond
        .or_else(|| (request.mode == Mode::RegistryAndShadow).then_some("thingIndexingMode"));
    if let Some(member) = beyond {
        return Err(
            invalid(format!("{member} asks for what this server does not index"))
                .hint("the registry is indexed: thingIndexingMode REGISTRY, everything else OFF"),
        );
    }
    if request.mode == Mode::Off && has_groups {
        return Err(invalid("dynamic thing groups need the index".to_owned())
            .hint("delete them first (DeleteDynamicThingGroup)"));
    }
    check_fields(&request)?;
    let wanted = Indexing {
        mode: request.mode,
        custom_fields: request.custom_fields,
    };
    let mut decision = match existing {
        Some(existing) if existing.record == wanted => Decision::unchanged(call, wanted),
        Some(existing) => resource::replace(call, "indexing.update", wanted, existing.version),
        None => resource::insert(call, "indexing.update", wanted),
    };
    decision.batch.index = Some(decision.reply.mode != Mode::Off);
    Ok(decision)
}

fn check_fields(request: &UpdateRequest) -> Result<(), Refusal> {
    if request.custom_fields.len() > CUSTOM_FIELDS_MAX {
        return Err(invalid(format!(
            "there are more than {CUSTOM_FIELDS_MAX} custom fields"
        )));
    }
    if request.mode == Mode::Off && !request.custom_fields.is_empty() {
        return Err(invalid("customFields needs an index".to_owned()));
    }
    for (at, field) in request.custom_fields.iter().enumerate() {
        let name = field.name.as_str();
        let is_attribute = name
            .strip_prefix("attributes.")
            .is_some_and(|name| !name.is_empty());
        if !is_attribute || name.len() > FIELD_NAME_BYTES_MAX {
            let shown: String = name.chars().take(128).collect();
            return Err(invalid(format!(
                "\"{shown}\" cannot be a custom field: those are attributes.<name>"
            )));
        }
        if request
            .custom_fields
            .iter()
            .take(at)
            .any(|other| other.name == name)
        {
            return Err(invalid(format!("the custom field {name} is given twice")));
        }
    }
    Ok(())
}

fn invalid(why: String) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.indexing",
        format!("the indexing configuration cannot be so: {why}"),
    )
}

/// Refuses a search while there is no whole index. `state` is whether there is one, and whether it is whole.
pub fn check_ready(state: Option<bool>) -> Result<(), Refusal> {
    let (why, hint) = match state {
        Some(true) => return Ok(()),
        Some(false) => ("it is being built", "try again in a moment (DescribeIndex tells)"),
        None => (
            "indexing is off",
            "turn it on (UpdateIndexingConfiguration with thingIndexingMode REGISTRY)",
        ),
    };
    Err(Refusal::new(
        Exception::IndexNotReady,
        "fleet.indexing.not_ready",
        format!("the index AWS_Things cannot be searched: {why}"),
    )
    .hint(hint))
}
