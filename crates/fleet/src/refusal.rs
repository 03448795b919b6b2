//! Why something was not done: the answer to an API caller and the reason in an attempt record, in one type.
//!
//! Every decision of this crate ends in a `Decision` or in a [`Refusal`]. The refusal names the AWS exception (which the
//! HTTPS edge turns into a status), a stable code of our own, a reason that a person can read, and what mends it. It must
//! never carry a secret.

use core::fmt;
use std::borrow::Cow;

use identity::{Blame, Explained};

/// The exceptions of the AWS IoT API that this crate raises (AWS IoT API reference, "Errors" of each action).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    /// The certificate operation is ambiguous or the certificate is someone else's.
    CertificateConflict,
    /// The certificate operation is not allowed in the certificate's status.
    CertificateState,
    /// The certificate is invalid.
    CertificateValidation,
    /// A conflicting resource update: a template meets a resource that it may not change.
    ConflictingResourceUpdate,
    /// The resource has other resources attached to it.
    DeleteConflict,
    /// The index is not ready.
    IndexNotReady,
    /// The aggregation is invalid.
    InvalidAggregation,
    /// The query is invalid.
    InvalidQuery,
    /// The contents of the request were invalid.
    InvalidRequest,
    /// What an authorizer answered is invalid.
    InvalidResponse,
    /// A limit has been exceeded.
    LimitExceeded,
    /// The policy documentation is not valid.
    MalformedPolicy,
    /// The registration code is invalid.
    RegistrationCodeValidation,
    /// The resource already exists.
    ResourceAlreadyExists,
    /// The specified resource does not exist.
    ResourceNotFound,
    /// The resource registration failed.
    ResourceRegistrationFailure,
    /// The transfer of a certificate is complete.
    TransferAlreadyCompleted,
    /// The certificate cannot be transferred because of what is attached to it.
    TransferConflict,
    /// You are not authorised to perform this operation.
    Unauthorized,
    /// The version given does not match the latest one.
    VersionConflict,
    /// The number of policy versions exceeds the limit.
    VersionsLimitExceeded,
}

impl Exception {
    /// The name on the wire, e.g. `ResourceNotFoundException`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CertificateConflict => "CertificateConflictException",
            Self::CertificateState => "CertificateStateException",
            Self::CertificateValidation => "CertificateValidationException",
            Self::ConflictingResourceUpdate => "ConflictingResourceUpdateException",
            Self::DeleteConflict => "DeleteConflictException",
            Self::IndexNotReady => "IndexNotReadyException",
            Self::InvalidAggregation => "InvalidAggregationException",
            Self::InvalidQuery => "InvalidQueryException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::InvalidResponse => "InvalidResponseException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MalformedPolicy => "MalformedPolicyException",
            Self::RegistrationCodeValidation => "RegistrationCodeValidationException",
            Self::ResourceAlreadyExists => "ResourceAlreadyExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceRegistrationFailure => "ResourceRegistrationFailureException",
            Self::TransferAlreadyCompleted => "TransferAlreadyCompletedException",
            Self::TransferConflict => "TransferConflictException",
            Self::Unauthorized => "UnauthorizedException",
            Self::VersionConflict => "VersionConflictException",
            Self::VersionsLimitExceeded => "VersionsLimitExceededException",
        }
    }

    fn blame(self) -> Blame {
        match self {
            Self::InvalidAggregation | Self::InvalidQuery | Self::InvalidRequest | Self::MalformedPolicy => {
                Blame::Peer
            }
            Self::CertificateValidation
            | Self::InvalidResponse
            | Self::RegistrationCodeValidation
            | Self::CertificateState
            | Self::ResourceRegistrationFailure
            | Self::LimitExceeded
            | Self::Unauthorized => Blame::Refused,
            Self::CertificateConflict
            | Self::ConflictingResourceUpdate
            | Self::DeleteConflict
            | Self::IndexNotReady
            | Self::ResourceAlreadyExists
            | Self::ResourceNotFound
            | Self::TransferAlreadyCompleted
            | Self::TransferConflict
            | Self::VersionConflict
            | Self::VersionsLimitExceeded => Blame::State,
        }
    }
}

/// The resource that already exists: two members of the answer of `ResourceAlreadyExistsException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
}

/// A request or a connection that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    exception: Exception,
    code: &'static str,
    reason: String,
    hint: Cow<'static, str>,
    existing: Option<Box<Existing>>,
}

impl Refusal {
    /// A refusal; `code` is stable, `reason` says what was tried and what is wrong with which thing.
    pub fn new(exception: Exception, code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            exception,
            code,
            reason: reason.into(),
            hint: Cow::Borrowed(""),
            existing: None,
        }
    }

    /// Adds what mends it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Names the resource that is in the way.
    #[must_use]
    pub fn existing(mut self, id: impl Into<String>, arn: impl Into<String>) -> Self {
        self.existing = Some(Box::new(Existing {
            id: id.into(),
            arn: arn.into(),
        }));
        self
    }

    /// The same under another exception, for operations that declare none of the first one's name.
    #[must_use]
    pub fn under(mut self, exception: Exception) -> Self {
        self.exception = exception;
        self
    }

    /// The AWS exception.
    pub fn exception(&self) -> Exception {
        self.exception
    }

    /// What was tried and what is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What mends it; empty when the reason says it all.
    pub fn remedy(&self) -> &str {
        &self.hint
    }

    /// The resource that is in the way.
    pub fn existing_resource(&self) -> Option<&Existing> {
        self.existing.as_deref()
    }

    /// Reason and hint in one line, for the `message` of an API answer. Foreign characters are escaped.
    pub fn message(&self) -> String {
        let mut text = crate::text::escaped(&self.reason);
        if !self.hint.is_empty() {
            text.push_str("; ");
            text.push_str(&crate::text::escaped(&self.hint));
        }
        text
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::write_escaped(f, &self.reason)
    }
}

impl core::error::Error for Refusal {}

impl Explained for Refusal {
    fn code(&self) -> &'static str {
        self.code
    }

    fn blame(&self) -> Blame {
        self.exception.blame()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_reason_and_remedy_without_escapes() {
        let refusal = Refusal::new(
            Exception::ResourceNotFound,
            "fleet.thing.missing",
            "no thing named a\u{7}",
        )
        .hint("create it first")
        .existing("id", "arn");
        assert_eq!(refusal.to_string(), "no thing named a\\u{7}");
        assert_eq!(refusal.message(), "no thing named a\\u{7}; create it first");
        assert_eq!(refusal.exception().name(), "ResourceNotFoundException");
        assert_eq!(refusal.code(), "fleet.thing.missing");
        assert!(refusal.existing_resource().is_some());
    }
}
