//! Who signs requests: the access keys of the operator's files, and the temporary ones of devices.
//!
//! It stands between the check of signatures and what it rests on. A temporary key counts as long as its time is not over,
//! its role is in the operator's file, its certificate may come in and its role alias is there; each of these is looked at
//! for every request.

use std::sync::Arc;

use fleet::record::CertificateStatus;
use fleet::role_alias::RoleAlias;
use identity::Tenant;
use store::Records as _;

use crate::api::sigv4::{Caller, Denied};
use crate::api::{AccessKey, ApiFault};
use crate::clock;
use crate::control::Control;
use crate::temporary_keys::Assumed;

impl Control {
    /// The access key with this id: a permanent one, or what the token of a session says of a temporary one.
    pub(crate) fn access_key(&self, id: &str, token: Option<&str>) -> Result<Arc<AccessKey>, Denied> {
        match token {
            None => self.keys.find(id).ok_or(Denied::UnknownKey),
            Some(token) => self.temporary_key(id, token).map(Arc::new),
        }
    }

    fn temporary_key(&self, id: &str, token: &str) -> Result<AccessKey, Denied> {
        let unsealed = self.temporary_keys.unseal(id, token);
        let (assumed, secret) = unsealed.ok_or(Denied::UnknownKey)?;
        if assumed.expires <= clock::now() {
            return Err(Denied::Expired);
        }
        let Tenant { account, region } = assumed.tenant;
        let role = self.plan.role(&account, &assumed.role);
        let role = role.ok_or(Denied::Withdrawn("its role is not there any more"))?;
        Ok(AccessKey {
            id: id.to_owned(),
            secret,
            account,
            role: role.api,
            regions: vec![region],
        })
    }

    /// What the temporary access key of this caller stands for, if he has one.
    ///
    /// # Errors
    /// Its certificate may not come in any more, or its role alias was deleted.
    pub(crate) async fn assumed(&self, caller: &Caller) -> Result<Option<Assumed>, ApiFault> {
        let Some(token) = caller.session_token() else {
            return Ok(None);
        };
        let unsealed = self.temporary_keys.unseal(caller.access_key(), token);
        let (assumed, _) = unsealed.ok_or(Denied::UnknownKey)?;
        let (tenant, now) = (&assumed.tenant, clock::now());
        let certificate = self.records.certificate(tenant, &assumed.certificate).await?;
        let is_trusted = certificate.is_some_and(|found| {
            let record = found.record;
            record.status == CertificateStatus::Active && record.not_before <= now && now <= record.not_after
        });
        if !is_trusted {
            return Err(Denied::Withdrawn("the certificate that it was given for may not come in").into());
        }
        let alias = self.records.resource::<RoleAlias>(tenant, &assumed.alias).await?;
        match alias {
            Some(_) => Ok(Some(assumed)),
            None => Err(Denied::Withdrawn("the role alias that it was given by was deleted").into()),
        }
    }
}
