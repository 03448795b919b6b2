//! What the control plane remembers, one type per kind of record, each inside a tenant.
//!
//! These are the shapes that decisions read and write and that `store` keeps. They are plain values: no decision is taken
//! here, and none of them is a wire type (the HTTPS edge and the store have their own twins).

use std::collections::BTreeMap;
use std::sync::Arc;

use identity::{AccountId, CertificateId, ThingName, UnixMillis};

use crate::names::{
    BillingGroupName, CodeValue, GroupName, PolicyName, PolicyVersionId, TemplateName, TemplateVersionId,
    ThingTypeName,
};

/// A record together with the version under which it was read.
///
/// The version is the number of the commit that wrote it, so it never comes back: a record that was deleted and made
/// again has another one. It is not the AWS version of a thing, which is a field of [`Thing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The commit that wrote the record.
    pub version: u64,
    /// The record.
    pub record: T,
}

/// A UUID as 16 bytes; made by the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A version 4 UUID (RFC 9562, 5.4) from 16 random bytes.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads what [`Display`](core::fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.bytes().filter(|byte| *byte != b'-');
        let mut digit = || digits.next().and_then(|byte| char::from(byte).to_digit(16));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = u8::try_from(digit()? << 4 | digit()?).ok()?;
        }
        Some(Self(bytes)).filter(|uuid| uuid.to_string().eq_ignore_ascii_case(text))
    }
}

impl core::fmt::Display for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl core::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A tag of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// How a certificate is found: in the default tenant as well, or only when the device names its endpoint (SNI).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CertificateMode {
    /// One account per region may hold the CA; found with and without SNI.
    #[default]
    Default,
    /// Many accounts may hold the CA; found only with SNI.
    SniOnly,
}

impl CertificateMode {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::SniOnly => "SNI_ONLY",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Default, Self::SniOnly]
            .into_iter()
            .find(|mode| mode.name() == text)
    }
}

/// Status of a registered CA certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaStatus {
    /// New device certificates may be registered under it.
    Active,
    /// No new device certificates; those already registered stay.
    Inactive,
}

impl CaStatus {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Inactive]
            .into_iter()
            .find(|status| status.name() == text)
    }
}

/// Status of a device certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateStatus {
    /// May connect.
    Active,
    /// May not connect; may become active.
    Inactive,
    /// Never again.
    Revoked,
    /// On its way to another account.
    PendingTransfer,
    /// Made by automatic registration, not yet activated.
    PendingActivation,
}

impl CertificateStatus {
    const ALL: [Self; 5] = [
        Self::Active,
        Self::Inactive,
        Self::Revoked,
        Self::PendingTransfer,
        Self::PendingActivation,
    ];

    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Revoked => "REVOKED",
            Self::PendingTransfer => "PENDING_TRANSFER",
            Self::PendingActivation => "PENDING_ACTIVATION",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }
}

/// The code that proves the possession of CA keys of this tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationCode {
    /// The code.
    pub code: CodeValue,
    /// When it was made.
    pub created: UnixMillis,
}

/// What happens at the first connection of a device under a CA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrationConfig {
    /// The provisioning template itself.
    pub template_body: Option<String>,
    /// The name of a provisioning template.
    pub template_name: Option<TemplateName>,
    /// The role that AWS would assume; kept and echoed, not used.
    pub role_arn: Option<String>,
}

/// A registered certificate authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// SHA-256 of the DER.
    pub id: CertificateId,
    /// The certificate, byte for byte.
    pub der: Arc<[u8]>,
    /// DER of its subject: how a leaf's issuer finds it.
    pub subject: Arc<[u8]>,
    /// SHA-256 of its key bits, cut to 160 bits (RFC 7093, 2, method 1).
    pub key_id: [u8; 20],
    /// Whether new certificates may be registered.
    pub status: CaStatus,
    /// Whether a first connection registers its certificate.
    pub auto_registration: bool,
    /// How devices under it are found.
    pub mode: CertificateMode,
    /// The template of the first connection; `None` is just-in-time registration without provisioning.
    pub registration: Option<RegistrationConfig>,
    /// Whether a first connection is let in only if a manifest lists the device.
    pub gated: bool,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity.
    pub not_after: UnixMillis,
    /// When it was registered.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
    /// AWS's customerVersion: starts at 1, one more per change.
    pub customer_version: u32,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// Where a device certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Issued here (CreateCertificateFromCsr, CreateKeysAndCertificate).
    Issued,
    /// Registered through the API.
    Registered,
    /// Registered by its first connection.
    FirstConnection,
}

impl Origin {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Issued => "ISSUED",
            Self::Registered => "REGISTERED",
            Self::FirstConnection => "FIRST_CONNECTION",
        }
    }

    /// Reads the word in records.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Registered, Self::FirstConnection]
            .into_iter()
            .find(|origin| origin.name() == text)
    }
}

/// A device certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// SHA-256 of the DER.
    pub id: CertificateId,
    /// The certificate, byte for byte.
    pub der: Arc<[u8]>,
    /// The registered CA that signed it, if any.
    pub ca: Option<CertificateId>,
    /// Where it came from.
    pub origin: Origin,
    /// Whether it may connect.
    pub status: CertificateStatus,
    /// How it is found.
    pub mode: CertificateMode,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity.
    pub not_after: UnixMillis,
    /// When it was recorded.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
    /// AWS's customerVersion: starts at 1, one more per change of status.
    pub customer_version: u32,
}

/// A thing of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Name.
    pub name: ThingName,
    /// AWS's thingId.
    pub id: Uuid,
    /// Thing type.
    pub type_name: Option<ThingTypeName>,
    /// Billing group.
    pub billing_group: Option<BillingGroupName>,
    /// Searchable attributes.
    pub attributes: BTreeMap<String, String>,
    /// AWS's version: starts at 1, one more per update.
    pub version: u64,
    /// The CA under which a first connection made it; `None` when made through the API.
    pub born_under: Option<CertificateId>,
    /// Made for a simulated chip; stays so for ever.
    pub simulated: bool,
    /// When it was made.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
}

/// One version of a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number.
    pub id: PolicyVersionId,
    /// The document as it was sent.
    pub document: Arc<str>,
    /// When it was made.
    pub created: UnixMillis,
}

/// A policy with all of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name.
    pub name: PolicyName,
    /// At most five, oldest first.
    pub versions: Vec<PolicyVersion>,
    /// The version that counts; always one of `versions`.
    pub default_version: PolicyVersionId,
    /// The highest number ever given, so that no number is used twice.
    pub last_version: PolicyVersionId,
    /// When it was made.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
    /// Tags.
    pub tags: Vec<Tag>,
}

impl Policy {
    /// The version that counts.
    pub fn default_document(&self) -> Option<&PolicyVersion> {
        self.version(self.default_version)
    }

    /// One version.
    pub fn version(&self, id: PolicyVersionId) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.id == id)
    }
}

/// What a provisioning template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TemplateKind {
    /// Devices that come with a claim certificate.
    #[default]
    FleetProvisioning,
    /// First connections under a CA.
    JustInTime,
}

impl TemplateKind {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::FleetProvisioning => "FLEET_PROVISIONING",
            Self::JustInTime => "JITP",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::FleetProvisioning, Self::JustInTime]
            .into_iter()
            .find(|kind| kind.name() == text)
    }
}

/// Who is asked before a device is provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningHook {
    /// The form of the question.
    pub payload_version: String,
    /// The name of who answers; the operator's configuration says where that is.
    pub target_arn: String,
}

/// One version of a provisioning template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Its number.
    pub id: TemplateVersionId,
    /// The template as it was sent.
    pub body: Arc<str>,
    /// When it was made.
    pub created: UnixMillis,
}

/// A named provisioning template with all of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningTemplate {
    /// Name.
    pub name: TemplateName,
    /// What it is for; never changes.
    pub kind: TemplateKind,
    /// For people.
    pub description: String,
    /// Whether devices may be provisioned by it.
    pub enabled: bool,
    /// The role that AWS would assume; kept and echoed, not used.
    pub role_arn: String,
    /// Who is asked first.
    pub hook: Option<ProvisioningHook>,
    /// At most five, oldest first.
    pub versions: Vec<TemplateVersion>,
    /// The version that counts; always one of `versions`.
    pub default_version: TemplateVersionId,
    /// The highest number ever given, so that no number is used twice.
    pub last_version: TemplateVersionId,
    /// When it was made.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
    /// Tags.
    pub tags: Vec<Tag>,
}

impl ProvisioningTemplate {
    /// The version that counts.
    pub fn default_body(&self) -> Option<&TemplateVersion> {
        self.version(self.default_version)
    }

    /// One version.
    pub fn version(&self, id: TemplateVersionId) -> Option<&TemplateVersion> {
        self.versions.iter().find(|version| version.id == id)
    }
}

/// What a policy can be attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyTarget {
    /// A device certificate.
    Certificate(CertificateId),
    /// A thing group: counts for every certificate that is attached to a thing in it or in a group under it.
    Group(GroupName),
}

/// A policy attached to a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyAttachment {
    /// The policy.
    pub policy: PolicyName,
    /// What it is attached to.
    pub target: PolicyTarget,
}

/// How a principal holds a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PrincipalType {
    /// The principal is attached to this thing only.
    Exclusive,
    /// The principal may be attached to other things as well.
    #[default]
    NonExclusive,
}

impl PrincipalType {
    /// The AWS word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "EXCLUSIVE_THING",
            Self::NonExclusive => "NON_EXCLUSIVE_THING",
        }
    }

    /// Reads the AWS word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Exclusive, Self::NonExclusive]
            .into_iter()
            .find(|kind| kind.name() == text)
    }
}

/// A certificate attached to a thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThingPrincipal {
    /// The thing.
    pub thing: ThingName,
    /// The certificate.
    pub certificate: CertificateId,
    /// How it holds the thing.
    pub kind: PrincipalType,
}

/// A static group of things, perhaps under another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingGroup {
    /// Name.
    pub name: GroupName,
    /// AWS's thingGroupId.
    pub id: Uuid,
    /// The group it is under; never changes.
    pub parent: Option<GroupName>,
    /// For people.
    pub description: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// AWS's version: starts at 1, one more per update.
    pub version: u64,
    /// When it was made.
    pub created: UnixMillis,
    /// When it was last changed.
    pub modified: UnixMillis,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// A thing that is directly in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupMember {
    /// The group.
    pub group: GroupName,
    /// The thing.
    pub thing: ThingName,
}

/// The DEFAULT-mode ownership of a CA certificate: one per region, whatever the account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegionClaim {
    /// The CA certificate.
    pub ca: CertificateId,
    /// The account that holds it.
    pub owner: AccountId,
}
