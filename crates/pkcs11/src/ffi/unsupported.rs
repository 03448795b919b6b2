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
                application()?.session_state(session.into())?;
                Err(Fault(CKR_FUNCTION_NOT_SUPPORTED))
            })*
        }
    };
}

unsupported! {
    fn C_GetOperationState(_a: *mut CK_BYTE, _b: *mut CK_ULONG);
    fn C_SetOperationState(_a: *mut CK_BYTE, _b: CK_ULONG, _c: CK_OBJECT_HANDLE, _d: CK_OBJECT_HANDLE);
    fn C_CopyObject(_a: CK_OBJECT_HANDLE, _b: *mut CK_ATTRIBUTE, _c: CK_ULONG, _d: *mut CK_OBJECT_HANDLE);
    fn C_EncryptInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_Encrypt(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_EncryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_EncryptFinal(_a: *mut CK_BYTE, _b: *mut CK_ULONG);
    fn C_DecryptInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_Decrypt(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptFinal(_a: *mut CK_BYTE, _b: *mut CK_ULONG);
    fn C_DigestKey(_a: CK_OBJECT_HANDLE);
    fn C_SignRecoverInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_SignRecover(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_VerifyRecoverInit(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE);
    fn C_VerifyRecover(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DigestEncryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptDigestUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_SignEncryptUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_DecryptVerifyUpdate(_a: *mut CK_BYTE, _b: CK_ULONG, _c: *mut CK_BYTE, _d: *mut CK_ULONG);
    fn C_GenerateKey(_a: *mut CK_MECHANISM, _b: *mut CK_ATTRIBUTE, _c: CK_ULONG, _d: *mut CK_OBJECT_HANDLE);
    fn C_WrapKey(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE, _c: CK_OBJECT_HANDLE, _d: *mut CK_BYTE, _e: *mut CK_ULONG);
    fn C_UnwrapKey(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE, _c: *mut CK_BYTE, _d: CK_ULONG, _e: *mut CK_ATTRIBUTE, _f: CK_ULONG, _g: *mut CK_OBJECT_HANDLE);
    fn C_DeriveKey(_a: *mut CK_MECHANISM, _b: CK_OBJECT_HANDLE, _c: *mut CK_ATTRIBUTE, _d: CK_ULONG, _e: *mut CK_OBJECT_HANDLE);
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
