//! Digests, signatures and verifications.
//!
//! Whatever is wrong with a call's pointers ends the operation, as any other failure does.

use cryptoki_sys::*;
use token::{Application, Kind, Mechanism};

use super::{Fault, Outcome, application, pointers};

functions! {
    fn C_DigestInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.13).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::Digest, mechanism)? {
            Some(mechanism) => Ok(application.digest_init(session.into(), &mechanism)?),
            None => Ok(()),
        }
    }

    fn C_Digest(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        digest: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Digest, || {
            // SAFETY: NULL or as many bytes (5.13).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(digest, room, |out| application.digest(session.into(), data, out)) }
        })
    }

    fn C_DigestUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Digest, || {
            // SAFETY: NULL or as many bytes (5.13).
            let part = unsafe { pointers::array(part, length) }?;
            Ok(application.digest_update(session.into(), part)?)
        })
    }

    fn C_DigestKey(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        ending(&application, session, Kind::Digest, || {
            Ok(application.digest_key(session.into(), key.into())?)
        })
    }

    fn C_DigestFinal(session: CK_SESSION_HANDLE, digest: *mut CK_BYTE, room: *mut CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Digest, || {
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(digest, room, |out| application.digest_final(session.into(), out)) }
        })
    }

    fn C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.14).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::Sign, mechanism)? {
            Some(mechanism) => Ok(application.sign_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_Sign(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        signature: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Sign, || {
            // SAFETY: NULL or as many bytes (5.14).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(signature, room, |out| application.sign(session.into(), data, out)) }
        })
    }

    fn C_SignUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Sign, || {
            // SAFETY: NULL or as many bytes (5.14).
            let part = unsafe { pointers::array(part, length) }?;
            Ok(application.sign_update(session.into(), part)?)
        })
    }

    fn C_SignFinal(session: CK_SESSION_HANDLE, signature: *mut CK_BYTE, room: *mut CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Sign, || {
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(signature, room, |out| application.sign_final(session.into(), out)) }
        })
    }

    fn C_SignRecoverInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.14).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::SignRecover, mechanism)? {
            Some(mechanism) => Ok(application.sign_recover_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_SignRecover(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        signature: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::SignRecover, || {
            // SAFETY: NULL or as many bytes (5.14).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(signature, room, |out| application.sign_recover(session.into(), data, out)) }
        })
    }

    fn C_VerifyRecoverInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.15).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::VerifyRecover, mechanism)? {
            Some(mechanism) => Ok(application.verify_recover_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_VerifyRecover(
        session: CK_SESSION_HANDLE,
        signature: *mut CK_BYTE,
        length: CK_ULONG,
        data: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::VerifyRecover, || {
            // SAFETY: NULL or as many bytes (5.15).
            let signature = unsafe { pointers::array(signature, length) }?;
            // SAFETY: NULL, or a length and room for as many bytes (5.2).
            unsafe { pointers::answer(data, room, |out| application.verify_recover(session.into(), signature, out)) }
        })
    }

    fn C_VerifyInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.15).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?;
        match chosen(&application, session, Kind::Verify, mechanism)? {
            Some(mechanism) => Ok(application.verify_init(session.into(), &mechanism, key.into())?),
            None => Ok(()),
        }
    }

    fn C_Verify(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        length: CK_ULONG,
        signature: *mut CK_BYTE,
        signature_length: CK_ULONG,
    ) {
        let application = application()?;
        ending(&application, session, Kind::Verify, || {
            // SAFETY: NULL or as many bytes (5.15).
            let data = unsafe { pointers::array(data, length) }?;
            // SAFETY: the same.
            let signature = unsafe { pointers::array(signature, signature_length) }?;
            Ok(application.verify(session.into(), data, signature)?)
        })
    }

    fn C_VerifyUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Verify, || {
            // SAFETY: NULL or as many bytes (5.15).
            let part = unsafe { pointers::array(part, length) }?;
            Ok(application.verify_update(session.into(), part)?)
        })
    }

    fn C_VerifyFinal(session: CK_SESSION_HANDLE, signature: *mut CK_BYTE, length: CK_ULONG) {
        let application = application()?;
        ending(&application, session, Kind::Verify, || {
            // SAFETY: NULL or as many bytes (5.15).
            let signature = unsafe { pointers::array(signature, length) }?;
            Ok(application.verify_final(session.into(), signature)?)
        })
    }
}

/// The mechanism of an operation that begins. NULL ends one that is running (3.0); then there is none.
pub(super) fn chosen(
    application: &Application,
    session: CK_SESSION_HANDLE,
    kind: Kind,
    mechanism: Option<Result<Mechanism, Fault>>,
) -> Result<Option<Mechanism>, Fault> {
    let active = application.is_active(session.into(), kind)?;
    match mechanism {
        Some(_) if active => Err(Fault(CKR_OPERATION_ACTIVE)),
        Some(mechanism) => mechanism.map(Some),
        None if active => {
            application.cancel(session.into(), kind)?;
            Ok(None)
        }
        None => Err(Fault(CKR_ARGUMENTS_BAD)),
    }
}

/// Ends the operation when the call failed, unless the caller only has to bring a larger buffer.
pub(super) fn ending(
    application: &Application,
    session: CK_SESSION_HANDLE,
    kind: Kind,
    call: impl FnOnce() -> Outcome,
) -> Outcome {
    let outcome = call();
    if outcome.is_err() && outcome != Err(Fault(CKR_BUFFER_TOO_SMALL)) {
        // A session that is not there has nothing to end.
        let _ = application.cancel(session.into(), kind);
    }
    outcome
}
