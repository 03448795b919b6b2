//! Sessions, login, and what changes a whole token.

use std::os::raw::c_void;

use cryptoki_sys::*;
use token::{Access, Kind, User};

use super::general::number;
use super::pointers::{self, Out};
use super::{Fault, application};
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
        let application = application()?;
        // SAFETY: NULL or room for a session's handle (5.6).
        let out = unsafe { Out::new(session) }?;
        let slot = number(slot)?;
        application.describe_slot(slot)?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Fault(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        let access = if flags & CKF_RW_SESSION == 0 { Access::ReadOnly } else { Access::ReadWrite };
        out.set(application.open_session(slot, access)? as CK_SESSION_HANDLE);
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
        application.session_state(session.into())?;
        let kinds = [
            (CKF_FIND_OBJECTS, Kind::Find),
            (CKF_DIGEST, Kind::Digest),
            (CKF_SIGN, Kind::Sign),
            (CKF_VERIFY, Kind::Verify),
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
        application.session_state(session.into())?;
        let user = match user {
            CKU_USER => User::User,
            CKU_SO => User::SecurityOfficer,
            // No key here asks for its own login, so none is ever waited for.
            CKU_CONTEXT_SPECIFIC => return Err(Fault(CKR_OPERATION_NOT_INITIALIZED)),
            _ => return Err(Fault(CKR_USER_TYPE_INVALID)),
        };
        Ok(application.login(session.into(), user, pin)?)
    }

    fn C_LoginUser(
        session: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: *mut CK_UTF8CHAR,
        length: CK_ULONG,
        _name: *mut CK_UTF8CHAR,
        name_length: CK_ULONG,
    ) {
        let application = application()?;
        application.session_state(session.into())?;
        if name_length != 0 {
            return Err(Fault(CKR_USER_TYPE_INVALID));
        }
        // SAFETY: the same arguments and promises as C_Login's (5.6).
        match unsafe { C_Login(session, user, pin, length) } {
            CKR_OK => Ok(()),
            number => Err(Fault(number)),
        }
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
        Ok(application.init_token(number(slot)?, pin, label.trim_end_matches(' '))?)
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

    fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) {
        application()?.session_state(session.into())?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    }

    fn C_CancelFunction(session: CK_SESSION_HANDLE) {
        application()?.session_state(session.into())?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    }
}
