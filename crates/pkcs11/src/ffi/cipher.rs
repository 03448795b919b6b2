//! Encryption and decryption.

use cryptoki_sys::*;
use token::Kind;

use super::operations::{chosen, ending};
use super::{application, pointers};

functions! {
    fn C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.10).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::Encrypt, mechanism)? {
            Some(mechanism) => Ok(application.encrypt_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_Encrypt(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        out: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Encrypt, || {
            // SAFETY: NULL or as many bytes (5.10).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.encrypt(session.into(), data, out)) }
        })
    }

    fn C_EncryptUpdate(
        session: CK_SESSION_HANDLE,
        part: *mut CK_BYTE,
        length: CK_ULONG,
        out: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Encrypt, || {
            // SAFETY: NULL or as many bytes (5.10).
            let part = unsafe { pointers::array(part, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.encrypt_update(session.into(), part, out)) }
        })
    }

    fn C_EncryptFinal(session: CK_SESSION_HANDLE, out: *mut CK_BYTE, room: *mut CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Encrypt, || {
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.encrypt_final(session.into(), out)) }
        })
    }

    fn C_DecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.11).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::Decrypt, mechanism)? {
            Some(mechanism) => Ok(application.decrypt_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_Decrypt(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        out: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Decrypt, || {
            // SAFETY: NULL or as many bytes (5.11).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.decrypt(session.into(), data, out)) }
        })
    }

    fn C_DecryptUpdate(
        session: CK_SESSION_HANDLE,
        part: *mut CK_BYTE,
        length: CK_ULONG,
        out: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Decrypt, || {
            // SAFETY: NULL or as many bytes (5.11).
            let part = unsafe { pointers::array(part, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.decrypt_update(session.into(), part, out)) }
        })
    }

    fn C_DecryptFinal(session: CK_SESSION_HANDLE, out: *mut CK_BYTE, room: *mut CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Decrypt, || {
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::long_answer(out, room, |out| application.decrypt_final(session.into(), out)) }
        })
    }
}
