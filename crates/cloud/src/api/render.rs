//! Turns answers and faults into HTTP: the only place that knows statuses and error headers.
//!
//! It stands at the very edge. Statuses are those of the AWS IoT API reference ("Errors" of each action); clients find the
//! exception's name in `x-amzn-ErrorType`.

use fleet::Exception;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::fault::ApiFault;
use super::sigv4::Denied;

/// The exception of a request that cannot be understood.
pub(super) const INVALID: &str = "InvalidRequestException";
/// The exception of a request that is too long.
pub(super) const TOO_LARGE: &str = "RequestEntityTooLargeException";

/// What an operation answers.
pub(super) type Answer = Value;

/// A granted request.
pub(super) fn answer(answer: &Answer, request_id: &str) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, None, answer, request_id)
}

/// A request that was not done.
pub(super) fn fault(fault: &ApiFault, request_id: &str) -> Response<Full<Bytes>> {
    let mut body = Map::new();
    body.insert("message".into(), fault.to_string().into());
    if let ApiFault::Refused(refusal) = fault
        && let Some(existing) = refusal.existing_resource()
    {
        body.insert("resourceId".into(), existing.id.as_str().into());
        body.insert("resourceArn".into(), existing.arn.as_str().into());
    }
    respond(
        status_of(fault),
        Some(exception_of(fault)),
        &Value::Object(body),
        request_id,
    )
}

/// A device that is given no credentials: why is not for it to know.
pub(super) fn denied(fault: &ApiFault, request_id: &str) -> Response<Full<Bytes>> {
    let (status, message) = match fault {
        ApiFault::Refused(refusal) if refusal.exception() == Exception::ResourceNotFound => {
            (StatusCode::NOT_FOUND, "Role alias does not exist")
        }
        ApiFault::Busy(_) | ApiFault::Failed(_) => (status_of(fault), "Service unavailable"),
        _ => (StatusCode::FORBIDDEN, "Access Denied"),
    };
    respond(status, None, &json!({ "message": message }), request_id)
}

fn respond(
    status: StatusCode,
    exception: Option<&'static str>,
    body: &Value,
    request_id: &str,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(exception) = exception {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    }
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

/// The name that AWS gives this fault.
pub(super) fn exception_of(fault: &ApiFault) -> &'static str {
    match fault {
        ApiFault::Denied(denied) => denied.exception(),
        ApiFault::Refused(refusal) => refusal.exception().name(),
        ApiFault::UnknownOperation { .. } => INVALID,
        ApiFault::WrongMethod { .. } => "MethodNotAllowedException",
        ApiFault::Throttled { .. } => "ThrottlingException",
        ApiFault::Unauthenticated(_) => "UnauthorizedException",
        ApiFault::Forbidden { .. } => "ForbiddenException",
        ApiFault::TooLarge { .. } => TOO_LARGE,
        ApiFault::Unconfirmed => "GatewayTimeoutException",
        ApiFault::Busy(_) => "ServiceUnavailableException",
        ApiFault::Failed(_) => "InternalFailureException",
    }
}

/// The table of statuses.
fn status_of(fault: &ApiFault) -> StatusCode {
    match fault {
        ApiFault::Denied(Denied::Incomplete(_)) => StatusCode::BAD_REQUEST,
        ApiFault::Denied(Denied::Region { .. }) => StatusCode::UNAUTHORIZED,
        ApiFault::Denied(_) => StatusCode::FORBIDDEN,
        ApiFault::Refused(refusal) => status_of_exception(refusal.exception()),
        ApiFault::UnknownOperation { .. } => StatusCode::NOT_FOUND,
        ApiFault::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        ApiFault::Throttled { is_control: true, .. } => StatusCode::BAD_REQUEST,
        ApiFault::Throttled {
            is_control: false, ..
        } => StatusCode::TOO_MANY_REQUESTS,
        ApiFault::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        ApiFault::Forbidden { .. } => StatusCode::FORBIDDEN,
        ApiFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ApiFault::Unconfirmed => StatusCode::GATEWAY_TIMEOUT,
        ApiFault::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        ApiFault::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status_of_exception(exception: Exception) -> StatusCode {
    match exception {
        Exception::CertificateConflict
        | Exception::ConflictingResourceUpdate
        | Exception::DeleteConflict
        | Exception::ResourceAlreadyExists
        | Exception::TransferConflict
        | Exception::VersionConflict
        | Exception::VersionsLimitExceeded => StatusCode::CONFLICT,
        Exception::CertificateState => StatusCode::NOT_ACCEPTABLE,
        Exception::CertificateValidation
        | Exception::IndexNotReady
        | Exception::InvalidAggregation
        | Exception::InvalidQuery
        | Exception::InvalidRequest
        | Exception::InvalidResponse
        | Exception::MalformedPolicy
        | Exception::RegistrationCodeValidation
        | Exception::ResourceRegistrationFailure => StatusCode::BAD_REQUEST,
        Exception::LimitExceeded | Exception::TransferAlreadyCompleted => StatusCode::GONE,
        Exception::ResourceNotFound => StatusCode::NOT_FOUND,
        Exception::Unauthorized => StatusCode::UNAUTHORIZED,
    }
}

/// Leaves out members that have no value, as AWS does.
pub(crate) fn object(members: Value) -> Value {
    match members {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect(),
        ),
        other => other,
    }
}

/// An answer without members.
pub(super) fn nothing() -> Answer {
    json!({})
}

#[cfg(test)]
mod tests {
    use fleet::Refusal;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn parts(fault: &ApiFault) -> (u16, String, Value) {
        let response = super::fault(fault, "id-1");
        assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
        let exception = response.headers()["x-amzn-errortype"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, exception, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn faults_have_the_statuses_of_aws() {
        let refused = |exception| ApiFault::Refused(Refusal::new(exception, "a.b", "why"));
        let throttled = |is_control| ApiFault::Throttled {
            operation: "ListThings",
            rate: 10,
            is_control,
        };
        let cases = [
            (refused(Exception::LimitExceeded), 410, "LimitExceededException"),
            (
                refused(Exception::CertificateState),
                406,
                "CertificateStateException",
            ),
            (refused(Exception::DeleteConflict), 409, "DeleteConflictException"),
            (
                refused(Exception::ResourceNotFound),
                404,
                "ResourceNotFoundException",
            ),
            (
                refused(Exception::RegistrationCodeValidation),
                400,
                "RegistrationCodeValidationException",
            ),
            (
                ApiFault::Denied(Denied::Unsigned),
                403,
                "MissingAuthenticationTokenException",
            ),
            (ApiFault::Denied(Denied::Mismatch), 403, "SignatureDoesNotMatch"),
            (
                ApiFault::UnknownOperation {
                    asked: "GET /x".into(),
                },
                404,
                "InvalidRequestException",
            ),
            (
                ApiFault::WrongMethod {
                    asked: "PUT /topics/a".into(),
                },
                405,
                "MethodNotAllowedException",
            ),
            (throttled(true), 400, "ThrottlingException"),
            (throttled(false), 429, "ThrottlingException"),
            (
                ApiFault::TooLarge { bytes_max: 1 },
                413,
                "RequestEntityTooLargeException",
            ),
            (
                ApiFault::Unauthenticated(Refusal::new(Exception::ResourceNotFound, "a.b", "secret")),
                401,
                "UnauthorizedException",
            ),
            (ApiFault::Unconfirmed, 504, "GatewayTimeoutException"),
            (ApiFault::Failed("secret".into()), 500, "InternalFailureException"),
        ];
        for (fault, status, exception) in cases {
            let (found, name, body) = parts(&fault).await;
            assert_eq!((found, name.as_str()), (status, exception));
            assert!(!body["message"].as_str().unwrap().contains("secret"));
        }
    }

    #[tokio::test]
    async fn what_exists_is_named() {
        let refusal = Refusal::new(Exception::ResourceAlreadyExists, "a.b", "there").existing("id", "arn");
        let (status, _, body) = parts(&ApiFault::Refused(refusal)).await;
        assert_eq!(
            (status, &body["resourceId"], &body["resourceArn"]),
            (409, &json!("id"), &json!("arn"))
        );
    }
}
