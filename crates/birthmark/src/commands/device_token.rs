//! Which token a device has: one of this machine's own, opened in this process, or one behind a vendor's module.

use std::{path::Path, sync::Arc};

use ::device::{Labels, TokenChoice, VendorToken};
use token::{Access, Application, Session};
use zeroize::Zeroizing;

use super::token::{application, pin};
use crate::{
    args::DeviceToken,
    exit::{Context, Failure},
};

/// An opened token.
pub(super) enum Opened {
    /// One of ours.
    Own(Session),
    /// One of somebody else's module.
    Vendor(VendorToken),
}

/// Opens the token that was named, and logs in if it has a login.
pub(super) fn open(typed: &DeviceToken) -> Result<Opened, Failure> {
    let pin = typed.pin_file.as_deref();
    let pin = pin.map(pin_of).transpose()?;
    let pin = pin.as_deref().map(Vec::as_slice);
    match &typed.module {
        Some(module) => vendor(typed, module, pin).map(Opened::Vendor),
        None => own(typed, pin).map(Opened::Own),
    }
}

fn pin_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    pin(Some(path), "--pin-file")
}

/// What the objects are called.
pub(super) fn labels(typed: &DeviceToken) -> Labels {
    Labels {
        key: typed.key_label.clone(),
        certificate: typed.certificate_label.clone(),
        root: typed.root_label.clone(),
    }
}

fn vendor(typed: &DeviceToken, module: &Path, pin: Option<&[u8]>) -> Result<VendorToken, Failure> {
    let choice = TokenChoice {
        slot: typed.slot,
        label: typed.token.clone(),
    };
    VendorToken::open(module, &choice, pin)
        .fault(|| format!("could not open a token of {}", module.display()))
}

fn own(typed: &DeviceToken, pin: Option<&[u8]>) -> Result<Session, Failure> {
    let application = Arc::new(application(typed.config.as_deref())?);
    let slot = chosen(typed, &application)?;
    let what = || format!("could not use slot {slot}");
    let (_, status) = application.token(slot).fault(what)?;
    let session = Session::open(&application, slot, Access::ReadWrite).fault(what)?;
    match pin {
        _ if !status.login_required => {}
        Some(pin) => session
            .login(pin)
            .refused(|| format!("could not log in to slot {slot}"))?,
        None => {
            let what = format!("the token {} wants its user's PIN: say --pin-file", status.label);
            return Err(Failure::usage(what));
        }
    }
    Ok(session)
}

/// The slot with the number, or the one whose token has the label; else the first, which is the device's own.
fn chosen(typed: &DeviceToken, application: &Application) -> Result<usize, Failure> {
    let Some(wanted) = &typed.token else {
        return Ok(typed
            .slot
            .map_or(0, |slot| usize::try_from(slot).unwrap_or(usize::MAX)));
    };
    let named = |slot: &usize| {
        let token = application.token(*slot);
        token.is_ok_and(|(_, status)| status.label == *wanted)
    };
    let found = (0..application.slots()).find(named);
    found.ok_or_else(|| Failure::usage(format!("no slot has a token that is called {wanted}")))
}
