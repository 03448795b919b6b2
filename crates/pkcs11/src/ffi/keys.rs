//! Keys: generated, derived, wrapped, unwrapped.

use cryptoki_sys::*;
use token::DerivedKeys;

use super::pointers::{self, Out};
use super::{Fault, application};
use crate::template;

functions! {
    fn C_GenerateKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a handle (5.18).
        let out = unsafe { Out::new(key) }?;
        // SAFETY: NULL or as many attributes with their values (5.18).
        let raw = unsafe { pointers::template(attributes, count) }?;
        // SAFETY: NULL or a mechanism (5.18).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))?;
        application.check_session(session.into())?;
        let mechanism = mechanism?;
        let template = template::for_object(&raw)?;
        out.set(application.generate_key(session.into(), &mechanism, &template)? as CK_OBJECT_HANDLE);
        Ok(())
    }

    fn C_GenerateKeyPair(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        public: *mut CK_ATTRIBUTE,
        public_count: CK_ULONG,
        private: *mut CK_ATTRIBUTE,
        private_count: CK_ULONG,
        public_key: *mut CK_OBJECT_HANDLE,
        private_key: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a handle (5.18).
        let outs = unsafe { (Out::new(public_key)?, Out::new(private_key)?) };
        // SAFETY: NULL or as many attributes with their values (5.18).
        let public = unsafe { pointers::template(public, public_count) }?;
        // SAFETY: the same.
        let private = unsafe { pointers::template(private, private_count) }?;
        // SAFETY: NULL or a mechanism (5.18).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))?;
        application.check_session(session.into())?;
        let mechanism = mechanism?;
        let (public, private) = (template::for_object(&public)?, template::for_object(&private)?);
        let pair = application.generate_key_pair(session.into(), &mechanism, &public, &private)?;
        outs.0.set(pair.0 as CK_OBJECT_HANDLE);
        outs.1.set(pair.1 as CK_OBJECT_HANDLE);
        Ok(())
    }

    fn C_WrapKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        with: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        wrapped: *mut CK_BYTE,
        room: *mut CK_ULONG,
    ) {
        let application = application()?;
        // SAFETY: NULL or a mechanism (5.18).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))?;
        application.check_session(session.into())?;
        let mechanism = mechanism?;
        // SAFETY: NULL, or a length and room for as many bytes (5.2).
        unsafe {
            pointers::long_answer(wrapped, room, |out| {
                application.wrap_key(session.into(), &mechanism, with.into(), key.into(), out)
            })
        }
    }

    fn C_UnwrapKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        with: CK_OBJECT_HANDLE,
        wrapped: *mut CK_BYTE,
        length: CK_ULONG,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a handle (5.18).
        let out = unsafe { Out::new(key) }?;
        // SAFETY: NULL or as many bytes (5.18).
        let wrapped = unsafe { pointers::array(wrapped, length) }?;
        // SAFETY: NULL or as many attributes with their values (5.18).
        let raw = unsafe { pointers::template(attributes, count) }?;
        // SAFETY: NULL or a mechanism (5.18).
        let mechanism = unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))?;
        application.check_session(session.into())?;
        let mechanism = mechanism?;
        let template = template::for_object(&raw)?;
        let key = application.unwrap_key(session.into(), &mechanism, with.into(), wrapped, &template)?;
        out.set(key as CK_OBJECT_HANDLE);
        Ok(())
    }

    fn C_DeriveKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        base: CK_OBJECT_HANDLE,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or as many attributes with their values (5.18).
        let raw = unsafe { pointers::template(attributes, count) }?;
        // SAFETY: NULL or a mechanism (5.18).
        let chosen = unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))?;
        application.check_session(session.into())?;
        let chosen = chosen?;
        // SAFETY: the mechanism was read just above; its parameter says where more than a handle goes (6.40).
        let outs = unsafe { Outs::new(mechanism, key) }?;
        let template = template::for_object(&raw)?;
        outs.set(&application.derive_key(session.into(), &chosen, base.into(), &template)?)
    }
}

/// Where what was derived is told: a handle, or for TLS what the mechanism's parameter points to.
enum Outs {
    Key(Out<CK_OBJECT_HANDLE>),
    Master(Out<CK_OBJECT_HANDLE>, Out<CK_VERSION>),
    Connection(*mut CK_SSL3_KEY_MAT_OUT, [usize; 2]),
}

impl Outs {
    /// # Safety
    /// `mechanism` points to a mechanism with the parameter that its type wants; `key` is NULL or room for a handle.
    unsafe fn new(mechanism: *const CK_MECHANISM, key: *mut CK_OBJECT_HANDLE) -> Result<Self, Fault> {
        // SAFETY: the caller's promise; one element.
        let [mechanism] = (unsafe { pointers::array(mechanism, 1) })? else {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        };
        match mechanism.mechanism {
            CKM_TLS12_MASTER_KEY_DERIVE => {
                let parameter = mechanism.pParameter.cast::<CK_TLS12_MASTER_KEY_DERIVE_PARAMS>();
                // SAFETY: the parameter has been read as such already.
                let [parameter] = (unsafe { pointers::array(parameter.cast_const(), 1) })? else {
                    return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
                };
                // SAFETY: NULL or room for a version, and for a handle.
                unsafe { Ok(Self::Master(Out::new(key)?, Out::new(parameter.pVersion)?)) }
            }
            CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE => {
                let parameter = mechanism
                    .pParameter
                    .cast::<CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS>();
                // SAFETY: the parameter has been read as such already.
                let [parameter] = (unsafe { pointers::array(parameter.cast_const(), 1) })? else {
                    return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
                };
                // SAFETY: NULL or room for a version, and for a handle.
                unsafe { Ok(Self::Master(Out::new(key)?, Out::new(parameter.pVersion)?)) }
            }
            CKM_TLS12_KEY_AND_MAC_DERIVE => {
                let parameter = mechanism.pParameter.cast::<CK_TLS12_KEY_MAT_PARAMS>();
                // SAFETY: the parameter has been read as such already.
                let [parameter] = (unsafe { pointers::array(parameter.cast_const(), 1) })? else {
                    return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
                };
                let place = parameter.pReturnedKeyMaterial;
                if place.is_null() || !place.is_aligned() {
                    return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
                }
                let iv = usize::try_from(parameter.ulIVSizeInBits / 8).unwrap_or_default();
                Ok(Self::Connection(place, [iv, iv]))
            }
            // SAFETY: NULL or room for a handle (5.18).
            _ => unsafe { Ok(Self::Key(Out::new(key)?)) },
        }
    }

    fn set(&self, derived: &DerivedKeys) -> super::Outcome {
        match (self, derived) {
            (Self::Key(out) | Self::Master(out, _), DerivedKeys::One(key)) => {
                out.set(*key as CK_OBJECT_HANDLE)
            }
            (Self::Key(out), DerivedKeys::Master { key, .. }) => out.set(*key as CK_OBJECT_HANDLE),
            (Self::Master(out, place), DerivedKeys::Master { key, version }) => {
                out.set(*key as CK_OBJECT_HANDLE);
                if let Some((major, minor)) = *version {
                    place.set(CK_VERSION { major, minor });
                }
            }
            (Self::Connection(place, sizes), connection @ DerivedKeys::Connection { .. }) => {
                // SAFETY: not NULL and aligned; a CK_SSL3_KEY_MAT_OUT by the caller's promise.
                unsafe { connection_out(*place, *sizes, connection) }?;
            }
            _ => return Err(Fault(CKR_GENERAL_ERROR)),
        }
        Ok(())
    }
}

/// # Safety
/// `place` points to a CK_SSL3_KEY_MAT_OUT whose initialization vectors are NULL or have room for as many bytes.
unsafe fn connection_out(
    place: *mut CK_SSL3_KEY_MAT_OUT,
    sizes: [usize; 2],
    derived: &DerivedKeys,
) -> super::Outcome {
    let DerivedKeys::Connection {
        client_mac,
        server_mac,
        client_key,
        server_key,
        client_iv,
        server_iv,
    } = derived
    else {
        return Err(Fault(CKR_GENERAL_ERROR));
    };
    let handle = |key: &Option<u64>| key.map_or(CK_INVALID_HANDLE, |key| key as CK_OBJECT_HANDLE);
    // SAFETY: the caller's promise; nobody else uses it during the call.
    let out = unsafe { &mut *place };
    out.hClientMacSecret = handle(client_mac);
    out.hServerMacSecret = handle(server_mac);
    out.hClientKey = handle(client_key);
    out.hServerKey = handle(server_key);
    for ((vector, iv), size) in [(out.pIVClient, client_iv), (out.pIVServer, server_iv)]
        .into_iter()
        .zip(sizes)
    {
        if !vector.is_null() {
            // SAFETY: room for as many bytes as the parameter asked for.
            unsafe { std::ptr::copy_nonoverlapping(iv.as_ptr(), vector, iv.len().min(size)) };
        }
    }
    Ok(())
}
