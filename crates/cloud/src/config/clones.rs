//! What follows when one certificate is live in two places at once.

use std::collections::BTreeMap;

use fleet::clones::Answer;
use identity::CertificateId;
use serde::Deserialize;

use crate::error::Error;

/// What follows when one certificate is live in two places at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloneAnswer {
    /// Nothing is looked at.
    Off,
    /// It is told, and nobody is disturbed: one certificate may have many client ids, as at AWS.
    #[default]
    Alarm,
    /// It is told, and both connections end.
    Drop,
}

/// What follows when one certificate is live in two places at once, by the CA that signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClonesConfig {
    /// For certificates of every CA that is not named, and of none.
    pub default: CloneAnswer,
    /// For those of single CAs, by the id of the CA certificate.
    pub by_ca: BTreeMap<String, CloneAnswer>,
}

/// What follows from a suspicion, by CA.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClonesPlan {
    default: Answer,
    by_ca: BTreeMap<CertificateId, Answer>,
}

impl ClonesPlan {
    /// What follows for certificates of this CA.
    pub(crate) fn answer(&self, ca: Option<CertificateId>) -> Answer {
        let named = ca.and_then(|ca| self.by_ca.get(&ca));
        named.copied().unwrap_or(self.default)
    }
}

impl ClonesConfig {
    pub(super) fn plan(&self) -> Result<ClonesPlan, Error> {
        let of_ca = |(ca, answer): (&String, &CloneAnswer)| match ca.parse() {
            Ok(id) => Ok((id, (*answer).into())),
            Err(_) => Err(Error::Setting {
                key: "clones.by_ca",
                value: ca.clone(),
                allowed: "the ids of CA certificates, 64 lower hex digits each",
            }),
        };
        Ok(ClonesPlan {
            default: self.default.into(),
            by_ca: self.by_ca.iter().map(of_ca).collect::<Result<_, _>>()?,
        })
    }
}

impl From<CloneAnswer> for Answer {
    fn from(answer: CloneAnswer) -> Self {
        match answer {
            CloneAnswer::Off => Self::Off,
            CloneAnswer::Alarm => Self::Alarm,
            CloneAnswer::Drop => Self::Drop,
        }
    }
}
