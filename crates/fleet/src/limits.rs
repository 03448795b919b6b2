//! Every maximum of the control plane, by name.
//!
//! AWS's documented limits are the defaults; the source of each number is beside it. Nothing in this crate may compare a
//! size from outside with a number that is not written here.

/// CA certificates with one subject in one tenant (AWS IoT API reference, RegisterCACertificate).
pub const CAS_PER_SUBJECT_MAX: u32 = 10;
/// Bytes of the label of a signer of manifests; ours.
pub const SIGNER_LABEL_BYTES_MAX: usize = 256;
/// Versions of one policy (AWS IoT API reference, CreatePolicyVersion).
pub const POLICY_VERSIONS_MAX: usize = 5;
/// Policies attached to one certificate (AWS IoT quotas).
pub const POLICIES_PER_TARGET_MAX: u32 = 10;
/// Things one certificate may be attached to (AWS IoT quotas).
pub const THINGS_PER_CERTIFICATE_MAX: u32 = 10;
/// Certificates attached to one thing; ours, so that a list stays bounded.
pub const CERTIFICATES_PER_THING_MAX: u32 = 250;
/// Bytes of a PEM certificate (AWS IoT API reference, CertificatePem).
pub const CERTIFICATE_PEM_BYTES_MAX: usize = 65_536;
/// Bytes of a PEM certification request (AWS IoT API reference, CertificateSigningRequest).
pub const REQUEST_PEM_BYTES_MAX: usize = 4096;
/// Bytes of a provisioning template (AWS IoT API reference, TemplateBody).
pub const TEMPLATE_BYTES_MAX: usize = 10_240;
/// Provisioning templates of one account in one region (AWS IoT quotas, fleet provisioning).
pub const TEMPLATES_MAX: u32 = 256;
/// Custom authorizers of one account in one region (AWS IoT quotas, custom authentication).
pub const AUTHORIZERS_MAX: usize = 10;
/// How long a thing type has been deprecated before it may be deleted (AWS IoT API reference, DeleteThingType).
pub const DEPRECATION_MILLIS: i64 = 5 * 60 * 1000;
/// Versions of one provisioning template (AWS IoT API reference, CreateProvisioningTemplateVersion).
pub const TEMPLATE_VERSIONS_MAX: usize = 5;
/// Bytes of a description of a provisioning template (AWS IoT API reference, TemplateDescription).
pub const TEMPLATE_DESCRIPTION_BYTES_MAX: usize = 500;
/// Bytes of the ARN of a pre-provisioning hook (AWS IoT API reference, TargetArn).
pub const HOOK_ARN_BYTES_MAX: usize = 2048;
/// Bytes of the ARN of the function of an authorizer (AWS IoT API reference, AuthorizerFunctionArn).
pub const AUTHORIZER_FUNCTION_BYTES_MAX: usize = 2048;
/// Bytes of the names in an authorizer (AWS IoT API reference, TokenKeyName and KeyName).
pub const AUTHORIZER_NAME_BYTES_MAX: usize = 128;
/// Keys of one authorizer; ours.
pub const AUTHORIZER_KEYS_MAX: usize = 10;
/// Bytes of a key that tokens are signed with, PEM (AWS IoT API reference, KeyValue).
pub const TOKEN_KEY_PEM_BYTES_MAX: usize = 5120;
/// Bytes of the principal that an authorizer names (AWS IoT developer guide, "Defining your Lambda function").
pub const AUTHORIZER_PRINCIPAL_BYTES_MAX: usize = 128;
/// Policy documents of an authorizer's answer (the same).
pub const AUTHORIZER_POLICIES_MAX: usize = 10;
/// How soon a connection may have to end, or an authorizer be asked again (the same).
pub const AUTHORIZER_SECONDS_MIN: i64 = 300;
/// How late (the same).
pub const AUTHORIZER_SECONDS_MAX: i64 = 86_400;
/// How long an ownership token is good (AWS IoT developer guide, "CreateCertificateFromCsr").
pub const OWNERSHIP_TOKEN_MILLIS: i64 = 60 * 60 * 1000;
/// Bytes of an ownership token that a device shows; ours have 64.
pub const OWNERSHIP_TOKEN_BYTES_MAX: usize = 2048;
/// How long the claim certificate of CreateProvisioningClaim is good (AWS IoT developer guide, "Provisioning by trusted
/// user").
pub const CLAIM_MILLIS: i64 = 5 * 60 * 1000;
/// Ownership tokens of an account that nobody has used yet and that are good still; ours.
pub const OWNERSHIP_TOKENS_MAX: u32 = 100_000;
/// Claim certificates of CreateProvisioningClaim in an account that are kept at the same time; ours.
pub const CLAIMS_MAX: u32 = 10_000;
/// Bytes of one parameter of RegisterThing; ours.
pub const PARAMETER_BYTES_MAX: usize = 8 * 1024;
/// Nesting of intrinsic functions in a template; ours.
pub const TEMPLATE_DEPTH_MAX: usize = 16;
/// Resources in one template; ours.
pub const TEMPLATE_RESOURCES_MAX: usize = 16;
/// Parameters declared by one template; ours.
pub const TEMPLATE_PARAMETERS_MAX: usize = 64;
/// Bytes of any value that a template makes; ours, so that nested functions cannot grow without bound.
pub const TEMPLATE_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Items of a list that a template makes; ours.
pub const TEMPLATE_LIST_MAX: usize = 256;
/// Role ARN length (AWS IoT API reference, RoleArn).
pub const ROLE_ARN_BYTES_MIN: usize = 20;
/// Role ARN length (AWS IoT API reference, RoleArn).
pub const ROLE_ARN_BYTES_MAX: usize = 2048;
/// Domain configurations of one tenant (AWS IoT quotas).
pub const DOMAIN_CONFIGURATIONS_MAX: usize = 10;
/// Bytes of the name of a domain (RFC 1035, 2.3.4, as text).
pub const DOMAIN_NAME_BYTES_MAX: usize = 253;
/// Bytes of one label of a domain name (RFC 1035, 2.3.4).
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// Role aliases of one tenant (AWS IoT quotas).
pub const ROLE_ALIASES_MAX: usize = 100;
/// Seconds that a temporary access key lives at least (AWS IoT API reference, CredentialDurationSeconds).
pub const CREDENTIAL_SECONDS_MIN: u64 = 900;
/// Seconds that a temporary access key lives at most (AWS IoT API reference, CredentialDurationSeconds).
pub const CREDENTIAL_SECONDS_MAX: u64 = 43_200;
/// Seconds that a temporary access key lives when its role alias does not say (AWS IoT API reference, CreateRoleAlias).
pub const CREDENTIAL_SECONDS_DEFAULT: u64 = 3_600;
/// Bytes of a query (AWS IoT quotas, in characters).
pub const QUERY_BYTES_MAX: usize = 1_000;
/// Terms of a query (AWS IoT quotas).
pub const QUERY_TERMS_MAX: usize = 12;
/// Wildcards in one term of a query (AWS IoT quotas).
pub const QUERY_WILDCARDS_MAX: usize = 2;
/// How deep the parentheses of a query go; ours.
pub const QUERY_DEPTH_MAX: usize = 16;
/// Fields that a tenant names in its indexing configuration (AWS IoT quotas).
pub const CUSTOM_FIELDS_MAX: usize = 5;
/// Bytes of the name of such a field; ours.
pub const FIELD_NAME_BYTES_MAX: usize = 256;
/// Dynamic thing groups of one tenant (AWS IoT quotas).
pub const DYNAMIC_GROUPS_MAX: usize = 100;
/// Things on one page of a search (AWS IoT quotas).
pub const SEARCH_RESULTS_MAX: u16 = 500;
/// Percents of one GetPercentiles; ours.
pub const PERCENTS_MAX: usize = 100;
/// Buckets of one aggregation (AWS IoT API reference, TermsAggregation).
pub const BUCKETS_MAX: usize = 10_000;
/// Attributes of a thing without a thing type (AWS IoT quotas).
pub const THING_ATTRIBUTES_MAX: usize = 3;
/// Attributes of a thing with a thing type (AWS IoT quotas).
pub const TYPED_THING_ATTRIBUTES_MAX: usize = 50;
/// Attributes of a thing type that are searched for (AWS IoT API reference, ThingTypeProperties).
pub const SEARCHABLE_ATTRIBUTES_MAX: usize = 3;
/// Attributes of a thing type that messages carry (AWS IoT API reference, Mqtt5Configuration).
pub const PROPAGATING_ATTRIBUTES_MAX: usize = 20;
/// Levels of a hierarchy of thing groups (AWS IoT quotas).
pub const GROUP_DEPTH_MAX: usize = 7;
/// Groups directly under one (AWS IoT quotas).
pub const GROUP_CHILDREN_MAX: u32 = 100;
/// Groups one thing may be in (AWS IoT quotas).
pub const GROUPS_PER_THING_MAX: u32 = 10;
/// Attributes of a thing group (AWS IoT quotas).
pub const GROUP_ATTRIBUTES_MAX: usize = 50;
/// Bytes of the description of a thing group, thing type or billing group (AWS IoT API reference, ThingGroupDescription).
pub const DESCRIPTION_BYTES_MAX: usize = 2028;
/// Bytes of an attribute name (AWS IoT API reference, AttributeName).
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 128;
/// Bytes of an attribute value (AWS IoT API reference, AttributeValue).
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 800;
/// Bytes of the message or the reason of a transfer (AWS IoT API reference, Message).
pub const TRANSFER_MESSAGE_BYTES_MAX: usize = 128;
/// Tags of one resource (AWS tagging reference).
pub const TAGS_MAX: usize = 50;
/// Bytes of a tag key (AWS IoT API reference, TagKey).
pub const TAG_KEY_BYTES_MAX: usize = 128;
/// Bytes of a tag value (AWS IoT API reference, TagValue).
pub const TAG_VALUE_BYTES_MAX: usize = 256;
/// Items on one page of a list (AWS IoT API reference, PageSize and RegistryMaxResults).
pub const PAGE_ITEMS_MAX: u16 = 250;
/// Items on one page when the caller names no size.
pub const PAGE_ITEMS_DEFAULT: u16 = 25;

/// Questions in one TestAuthorization (AWS IoT API reference, AuthInfos).
pub const AUTHORIZATION_QUESTIONS_MAX: usize = 10;
/// Resources of one question, and policies to add or to skip, in one TestAuthorization; ours.
pub const AUTHORIZATION_NAMES_MAX: usize = 100;

/// Steps in one attempt record; ours.
pub const ATTEMPT_STEPS_MAX: usize = 48;
/// Bytes of a short text in an attempt record (names, codes, client ids); ours.
pub const ATTEMPT_SHORT_BYTES_MAX: usize = 256;
/// Bytes of a long text in an attempt record (reason, hint, step detail, distinguished names); ours.
pub const ATTEMPT_LONG_BYTES_MAX: usize = 1024;
/// Cipher suites, versions or protocol names kept from one ClientHello; ours.
pub const ATTEMPT_OFFERS_MAX: usize = 32;

/// A verification certificate that starts this much in the future is still taken: the two clocks differ.
pub const CLOCK_SKEW_MILLIS_MAX: i64 = 5 * 60 * 1000;
/// Smallest RSA modulus that may sign or connect (AWS IoT developer guide, X.509 client certificates).
pub const RSA_BITS_MIN: u32 = 2048;

/// Leading bits of an IPv4 address that are its network, when clones are looked for; ours.
pub const CLONE_NETWORK_BITS_V4: u32 = 24;
/// Leading bits of an IPv6 address that are its network, when clones are looked for; ours: what one site is given.
pub const CLONE_NETWORK_BITS_V6: u32 = 48;
/// How long nothing more is told of a certificate after a suspicion was; ours.
pub const CLONE_ALARM_REST_MILLIS: i64 = 15 * 60 * 1000;
/// Live connections of one certificate that are remembered one by one; further ones are only counted; ours.
pub const CLONE_PLACES_MAX: usize = 8;
/// Certificates without a connection that are remembered so as not to tell of them again; ours.
pub const CLONES_TOLD_MAX: usize = 4_096;
