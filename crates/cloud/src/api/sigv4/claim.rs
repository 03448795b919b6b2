//! What a request says about its own signature, in the header form or the presigned form.
//!
//! It stands before the check: nothing in here is proven, everything in here has its shape.

use identity::UnixMillis;

use super::{ALGORITHM, Denied, Incoming, TERMINATOR};
use crate::api::encoding::{decode_text, query_pairs};
use crate::limits::{CLOCK_SKEW, PRESIGNED_SECONDS_MAX};

/// The four parts that a signing key is made for, and whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) access_key: String,
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
}

impl Scope {
    fn parse(credential: &str) -> Result<Self, Denied> {
        let mut parts = credential.rsplitn(5, '/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let malformed = Denied::Incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request");
        if next().as_deref() != Some(TERMINATOR) {
            return Err(Denied::Scope("a valid terminator: aws4_request"));
        }
        match (next(), next(), next(), next()) {
            (Some(service), Some(region), Some(date), Some(access_key)) => Ok(Self {
                access_key,
                date,
                region,
                service,
            }),
            _ => Err(malformed),
        }
    }
}

/// What a request says about its signature, in either form.
pub(super) struct Claim {
    pub(super) scope: Scope,
    pub(super) signed_headers: String,
    pub(super) signature: [u8; 32],
    pub(super) timestamp: String,
    /// Presigned requests say how long they hold.
    pub(super) expires_seconds: Option<u64>,
    /// What a temporary access key comes with.
    pub(super) session_token: Option<String>,
}

impl Claim {
    /// Finds the claim in the `Authorization` header, or else in the query.
    pub(super) fn read(request: &Incoming<'_>) -> Result<Self, Denied> {
        match request.headers.get(http::header::AUTHORIZATION) {
            Some(value) => {
                let value = value
                    .to_str()
                    .map_err(|_| Denied::Incomplete("Authorization is not text"))?;
                read_header_claim(request, value)
            }
            None if query_value(request.query, "X-Amz-Algorithm").is_some() => read_query_claim(request),
            None => Err(Denied::Unsigned),
        }
    }

    /// Whether it was signed now, as far as two clocks can agree on that.
    pub(super) fn check_time(&self, now: UnixMillis) -> Result<(), Denied> {
        let signed = parse_timestamp(&self.timestamp)
            .ok_or(Denied::Incomplete("X-Amz-Date must look like 20150830T123600Z"))?;
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0);
        let life = self
            .expires_seconds
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(skew);
        let age = now.0.div_euclid(1000) - signed;
        match (-skew..=life).contains(&age) {
            true => Ok(()),
            false => Err(Denied::Time {
                signed: self.timestamp.clone(),
            }),
        }
    }
}

fn read_header_claim(request: &Incoming<'_>, authorization: &str) -> Result<Claim, Denied> {
    let parts = authorization
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.starts_with([' ', ',']))
        .ok_or(Denied::Incomplete("the algorithm must be AWS4-HMAC-SHA256"))?;
    let part = |name: &str| {
        parts
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    Ok(Claim {
        scope: Scope::parse(&part("Credential").ok_or(Denied::Incomplete("Credential is missing"))?)?,
        signed_headers: part("SignedHeaders").ok_or(Denied::Incomplete("SignedHeaders is missing"))?,
        signature: parse_signature(&part("Signature").ok_or(Denied::Incomplete("Signature is missing"))?)?,
        timestamp: header("x-amz-date")
            .ok_or(Denied::Incomplete("the header X-Amz-Date is missing"))?
            .to_owned(),
        expires_seconds: None,
        session_token: header("x-amz-security-token").map(str::to_owned),
    })
}

fn read_query_claim(request: &Incoming<'_>) -> Result<Claim, Denied> {
    let part = |name: &'static str| query_value(request.query, name).ok_or(Denied::Incomplete(name));
    if part("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Denied::Incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256"));
    }
    let expires = match query_value(request.query, "X-Amz-Expires") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds <= PRESIGNED_SECONDS_MAX),
        None => Some(CLOCK_SKEW.as_secs()),
    };
    Ok(Claim {
        scope: Scope::parse(&part("X-Amz-Credential")?)?,
        signed_headers: part("X-Amz-SignedHeaders")?,
        signature: parse_signature(&part("X-Amz-Signature")?)?,
        timestamp: part("X-Amz-Date")?,
        expires_seconds: Some(
            expires.ok_or(Denied::Incomplete("X-Amz-Expires must be 1 to 604800 seconds"))?,
        ),
        session_token: query_value(request.query, "X-Amz-Security-Token"),
    })
}

fn query_value(query: &str, name: &str) -> Option<String> {
    query_pairs(query)
        .find(|(found, _)| *found == name)
        .and_then(|(_, value)| decode_text(value))
}

fn parse_signature(text: &str) -> Result<[u8; 32], Denied> {
    let mut signature = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != signature.len() || !rest.is_empty() {
        return Err(Denied::Incomplete("Signature must be 64 hexadecimal digits"));
    }
    for (byte, pair) in signature.iter_mut().zip(pairs) {
        let digits = core::str::from_utf8(pair)
            .ok()
            .filter(|digits| !digits.starts_with('+'));
        *byte = digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(Denied::Incomplete("Signature must be 64 hexadecimal digits"))?;
    }
    Ok(signature)
}

/// Seconds since 1970 of `YYYYMMDDTHHMMSSZ`.
fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 16 && bytes.get(8) == Some(&b'T') && bytes.get(15) == Some(&b'Z');
    let number = |from: usize, to: usize| {
        let digits = text
            .get(from..to)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        digits.parse::<i64>().ok()
    };
    if !shape {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    valid.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days of the civil calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
