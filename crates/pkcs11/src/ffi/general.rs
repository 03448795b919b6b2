//! The library itself, its slots, tokens and mechanisms.

use std::os::raw::c_void;

use cryptoki_sys::*;
use token::{Application, MechanismType};

use super::pointers::{self, Out};
use super::{Fault, Outcome, application, begin, end};
use crate::{config, describe};

functions! {
    fn C_Initialize(arguments: *mut c_void) {
        // SAFETY: NULL or a CK_C_INITIALIZE_ARGS (5.4, C_Initialize).
        unsafe { locking(arguments.cast()) }?;
        begin(configured)
    }

    fn C_Finalize(reserved: *mut c_void) {
        application()?;
        if !reserved.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        end()
    }

    fn C_GetInfo(info: *mut CK_INFO) {
        application()?;
        // SAFETY: NULL or room for a CK_INFO (5.4).
        unsafe { Out::new(info) }?.set(describe::library());
        Ok(())
    }

    fn C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) {
        let application = application()?;
        let wanted = |slot: &usize| present == CK_FALSE || application.is_present(*slot).unwrap_or(false);
        let found: Vec<_> = (0..application.slots()).filter(wanted).map(|slot| slot as CK_SLOT_ID).collect();
        // SAFETY: NULL, or a count and room for as many slots (5.5).
        unsafe { pointers::list(slots, count, &found) }
    }

    fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) {
        let application = application()?;
        // SAFETY: NULL or room for a CK_SLOT_INFO (5.5).
        let out = unsafe { Out::new(info) }?;
        let slot = number(slot)?;
        let (description, hardware) = application.describe_slot(slot)?;
        out.set(describe::slot(description, hardware, application.is_present(slot)?));
        Ok(())
    }

    fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) {
        let application = application()?;
        // SAFETY: NULL or room for a CK_TOKEN_INFO (5.5).
        let out = unsafe { Out::new(info) }?;
        let slot = number(slot)?;
        let (description, status) = application.token(slot).map_err(absent)?;
        out.set(describe::token(&description, &status, application.sessions_of(slot)));
        Ok(())
    }

    fn C_GetMechanismList(slot: CK_SLOT_ID, mechanisms: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG) {
        let application = application()?;
        let mechanisms_there = application.mechanisms(number(slot)?)?;
        let all: Vec<_> = mechanisms_there.iter().map(|kind| kind.number() as CK_MECHANISM_TYPE).collect();
        // SAFETY: NULL, or a count and room for as many mechanisms (5.5).
        unsafe { pointers::list(mechanisms, count, &all) }
    }

    fn C_GetMechanismInfo(slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO) {
        let application = application()?;
        // SAFETY: NULL or room for a CK_MECHANISM_INFO (5.5).
        let out = unsafe { Out::new(info) }?;
        let slot = number(slot)?;
        application.describe_slot(slot)?;
        let kind = MechanismType::from_number(mechanism.into()).ok_or(Fault(CKR_MECHANISM_INVALID))?;
        let (info, hardware) = application.mechanism(slot, kind)?;
        out.set(describe::mechanism(info, hardware));
        Ok(())
    }

    fn C_WaitForSlotEvent(flags: CK_FLAGS, slot: *mut CK_SLOT_ID, reserved: *mut c_void) {
        let application = application()?;
        // SAFETY: NULL or room for a slot's number (5.5).
        let out = unsafe { Out::new(slot) }?;
        if !reserved.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        let event = if flags & CKF_DONT_BLOCK == 0 {
            application.wait_for_slot_event()?
        } else {
            application.slot_event().ok_or(Fault(CKR_NO_EVENT))?
        };
        out.set(event as CK_SLOT_ID);
        Ok(())
    }
}

/// A slot's number as an index.
pub(super) fn number(slot: CK_SLOT_ID) -> Result<usize, Fault> {
    usize::try_from(slot).map_err(|_| Fault(CKR_SLOT_ID_INVALID))
}

/// For a slot, a device that does not answer is a token that is not there.
pub(super) fn absent(error: token::Error) -> Fault {
    match error {
        token::Error::DeviceRemoved(_) => Fault(CKR_TOKEN_NOT_PRESENT),
        other => other.into(),
    }
}

/// What the caller says about threads: our own locks are used always, so callbacks without them can not be served.
///
/// # Safety
/// `arguments` is NULL or points to an initialized `CK_C_INITIALIZE_ARGS`.
unsafe fn locking(arguments: *const CK_C_INITIALIZE_ARGS) -> Outcome {
    if arguments.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise; one element.
    let [arguments] = (unsafe { pointers::array(arguments, 1) })? else {
        return Err(Fault(CKR_ARGUMENTS_BAD));
    };
    let callbacks = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    let (all, none) = (callbacks == [true; 4], callbacks == [false; 4]);
    if !arguments.pReserved.is_null() || !(all || none) {
        return Err(Fault(CKR_ARGUMENTS_BAD));
    }
    if all && arguments.flags & CKF_OS_LOCKING_OK == 0 {
        return Err(Fault(CKR_CANT_LOCK));
    }
    Ok(())
}

/// The application that the configuration describes. What is wrong with it is said on stderr: C has no other way to hear it.
fn configured() -> Result<Application, Fault> {
    let setups = config::setups().map_err(|error| complain(&error))?;
    let strict = config::has_strict_roles().map_err(|error| complain(&error))?;
    let application = Application::new(setups).map_err(|error| complain(&error))?;
    Ok(application.with_strict_roles(strict))
}

#[expect(
    clippy::print_stderr,
    reason = "a library without slots must be able to say why"
)]
fn complain(error: &dyn core::error::Error) -> Fault {
    eprintln!("birthmark pkcs11: {error}");
    Fault(CKR_GENERAL_ERROR)
}
