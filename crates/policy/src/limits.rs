//! Every maximum of this crate, by name.

/// Most characters of a policy document, white space not counted (AWS IoT Core quotas, "Policy document size").
pub const DOCUMENT_CHARACTERS_MAX: usize = 2_048;

/// Most bytes of a policy document with its white space: what the AWS IoT API lets through (`policyDocument` of CreatePolicy).
pub const DOCUMENT_BYTES_MAX: usize = 404_600;

/// Longest value that is put in the place of a policy variable (AWS IoT developer guide, "X.509 certificate policy variables").
pub const VALUE_CHARACTERS_MAX: usize = 1_024;

/// Most values that one certificate attribute has in policies (AWS IoT developer guide, "X.509 certificate policy variables").
pub const ATTRIBUTE_VALUES_MAX: usize = 5;

/// Longest resource name that is decided on without allocating: kind and name, longer ones still work.
pub const RESOURCE_BYTES_INLINE_MAX: usize = 512;

/// Most statements that an explanation goes through one by one.
pub const STATEMENTS_EXPLAINED_MAX: usize = 5;

/// Most resources of one statement that an explanation shows.
pub const RESOURCES_EXPLAINED_MAX: usize = 3;

/// Most places at which a piece of a pattern is tried before all places are followed at once.
pub const SEARCH_CANDIDATES_MAX: usize = 8;
