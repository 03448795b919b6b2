//! Functions that no token here has. Each says so after the checks that all functions make: is the library initialized, is
//! there such a session.

use std::os::raw::c_void;

use cryptoki_sys::*;

use super::{Fault, application};

/// Functions that begin with a session and are not there.
macro_rules! unsupported {
    ($(fn $name:ident($($unused:ident: $kind:ty),*);)*) => {
        functions! {
            $(fn $name(session: CK_SESSION_HANDLE $(, $unused: $kind)*) {
                application()?.check_session(session.into())?;
                Err(Fault(CKR_FUNCTION_NOT_SUPPORTED))
            })*
        }
    };
}

unsupported! {
    fn C_SetOperationState(_a: *mut CK_BYTE, _b: CK_ULONG, _c: CK_OBJECT_HANDLE, _d: CK_OBJECT_HANDLE);
    fn C_DigestEncryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptDigestUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_SignEncryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptVerifyUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_MessageEncryptInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_EncryptMessage(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: CK_ULONG, _g: *mut CK_BYTE, _h: *mut CK_ULONG);
    fn C_EncryptMessageBegin(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG);
    fn C_EncryptMessageNext(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: *mut CK_ULONG, _g: CK_FLAGS);
    fn C_MessageEncryptFinal();
    fn C_MessageDecryptInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_DecryptMessage(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: CK_ULONG, _g: *mut CK_BYTE, _h: *mut CK_ULONG);
    fn C_DecryptMessageBegin(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG);
    fn C_DecryptMessageNext(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: *mut CK_ULONG, _g: CK_FLAGS);
    fn C_MessageDecryptFinal();
    fn C_MessageSignInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_SignMessage(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: *mut CK_ULONG);
    fn C_SignMessageBegin(_a: *mut c_void, _b: CK_ULONG);
    fn C_SignMessageNext(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: *mut CK_ULONG);
    fn C_MessageSignFinal();
    fn C_MessageVerifyInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_VerifyMessage(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: CK_ULONG);
    fn C_VerifyMessageBegin(_a: *mut c_void, _b: CK_ULONG);
    fn C_VerifyMessageNext(_a: *mut c_void, _b: CK_ULONG, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_BYTE, _f: CK_ULONG);
    fn C_MessageVerifyFinal();
}
