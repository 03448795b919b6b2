//! Sessions, login, and what changes a whole token.

use std::os::raw::c_void;

use cryptoki_sys::*;
use token::{Access, Application, Kind, User};

use super::general::{absent, number};
use super::pointers::{self, Out};
use super::{Fault, Outcome, application, application_of_this_process};
use crate::describe;

/// Bytes of a token's label.
const LABEL_BYTES: CK_ULONG = 32;

functions! {
    fn C_OpenSession(
        slot: CK_SLOT_ID,
        flags: CK_FLAGS,
        _application: *mut c_void,
        _notify: CK_NOTIFY,
        session: *mut CK_SESSION_HANDLE,
    ) {
        let application = application_of_this_process()?;
        // SAFETY: NULL or room for a session's handle (5.6).
        let out = unsafe { Out::new(session) }?;
        let slot = number(slot)?;
        application.describe_slot(slot)?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Fault(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        let access = if flags & CKF_RW_SESSION == 0 { Access::ReadOnly } else { Access::ReadWrite };
        out.set(application.open_session(slot, access).map_err(absent)? as CK_SESSION_HANDLE);
        Ok(())
    }

    fn C_CloseSession(session: CK_SESSION_HANDLE) {
        Ok(application()?.close_session(session.into())?)
    }

    fn C_CloseAllSessions(slot: CK_SLOT_ID) {
        Ok(application()?.close_all_sessions(number(slot)?)?)
    }

    fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) {
        let application = application()?;
        // SAFETY: NULL or room for a CK_SESSION_INFO (5.6).
        let out = unsafe { Out::new(info) }?;
        out.set(describe::session(application.session_state(session.into())?));
        Ok(())
    }

    fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) {
        let application = application()?;
        application.check_session(session.into())?;
        let kinds = [
            (CKF_FIND_OBJECTS, Kind::Find),
            (CKF_DIGEST, Kind::Digest),
            (CKF_ENCRYPT, Kind::Encrypt),
            (CKF_DECRYPT, Kind::Decrypt),
            (CKF_SIGN, Kind::Sign),
            (CKF_SIGN_RECOVER, Kind::SignRecover),
            (CKF_VERIFY, Kind::Verify),
            (CKF_VERIFY_RECOVER, Kind::VerifyRecover),
        ];
        for (_, kind) in kinds.into_iter().filter(|(flag, _)| flags & flag != 0) {
            application.cancel(session.into(), kind)?;
        }
        Ok(())
    }

    fn C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.6).
        let pin = unsafe { pointers::array(pin, length) }?;
        login(&application, session, user, pin)
    }

    fn C_LoginUser(
        session: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: *mut CK_UTF8CHAR,
        length: CK_ULONG,
        name: *mut CK_UTF8CHAR,
        name_length: CK_ULONG,
    ) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.6).
        let pin = unsafe { pointers::array(pin, length) }?;
        // SAFETY: the same.
        let name = unsafe { pointers::array(name, name_length) }?;
        application.check_session(session.into())?;
        // Users have no names here.
        if !name.is_empty() {
            return Err(Fault(CKR_USER_TYPE_INVALID));
        }
        login(&application, session, user, pin)
    }

    fn C_Logout(session: CK_SESSION_HANDLE) {
        Ok(application()?.logout(session.into())?)
    }

    fn C_InitToken(slot: CK_SLOT_ID, pin: *mut CK_UTF8CHAR, length: CK_ULONG, label: *mut CK_UTF8CHAR) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.5).
        let pin = unsafe { pointers::array(pin, length) }?;
        // SAFETY: NULL or 32 bytes, blank padded (5.5).
        let label = unsafe { pointers::array(label, LABEL_BYTES) }?;
        let label = std::str::from_utf8(label).map_err(|_| Fault(CKR_ARGUMENTS_BAD))?;
        application.init_token(number(slot)?, pin, label.trim_end_matches(' ')).map_err(absent)
    }

    fn C_InitPIN(session: CK_SESSION_HANDLE, pin: *mut CK_UTF8CHAR, length: CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.6).
        let pin = unsafe { pointers::array(pin, length) }?;
        Ok(application.init_pin(session.into(), pin)?)
    }

    fn C_SetPIN(
        session: CK_SESSION_HANDLE,
        old: *mut CK_UTF8CHAR,
        old_length: CK_ULONG,
        new: *mut CK_UTF8CHAR,
        new_length: CK_ULONG,
    ) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.6).
        let old = unsafe { pointers::array(old, old_length) }?;
        // SAFETY: the same.
        let new = unsafe { pointers::array(new, new_length) }?;
        Ok(application.set_pin(session.into(), old, new)?)
    }

    fn C_GenerateRandom(session: CK_SESSION_HANDLE, bytes: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or room for as many bytes (5.18).
        let bytes = unsafe { pointers::array_mut(bytes, length) }?;
        Ok(application.random(session.into(), bytes)?)
    }

    fn C_SeedRandom(session: CK_SESSION_HANDLE, seed: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or as many bytes (5.18).
        let seed = unsafe { pointers::array(seed, length) }?;
        Ok(application.seed(session.into(), seed)?)
    }

    fn C_GetOperationState(session: CK_SESSION_HANDLE, _state: *mut CK_BYTE, room: *mut CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or a length (5.6); it is not written, since no state can be saved.
        unsafe { Out::new(room) }?;
        Ok(application.check_saves_state(session.into())?)
    }

    fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) {
        application()?.check_session(session.into())?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    }

    fn C_CancelFunction(session: CK_SESSION_HANDLE) {
        application()?.check_session(session.into())?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    }
}

fn login(application: &Application, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Outcome {
    application.check_session(session.into())?;
    match user {
        CKU_USER => application.login(session.into(), User::User, pin)?,
        CKU_SO => application.login(session.into(), User::SecurityOfficer, pin)?,
        CKU_CONTEXT_SPECIFIC => application.login_once(session.into(), pin)?,
        _ => return Err(Fault(CKR_USER_TYPE_INVALID)),
    }
    Ok(())
}
