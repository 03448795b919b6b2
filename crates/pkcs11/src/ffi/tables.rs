//! The tables of functions that programs ask for first: interface 2.40, and 3.0 and 3.1, which share one.
//!
//! No entry is empty. `C_GetFunctionList` always gives 2.40: older programs refuse anything else.

use cryptoki_sys::*;

use super::pointers::{self, Out};
use super::*;
use crate::describe::version;

/// Pointers to tables that are never written.
struct Interfaces([CK_INTERFACE; 3]);

// SAFETY: the pointers lead to statics without interior mutability, which threads may share.
unsafe impl Sync for Interfaces {}

macro_rules! table {
    ($kind:ident, $version:expr, $($name:ident)*) => {
        $kind { version: $version, $($name: Some($name),)* }
    };
}

macro_rules! functions_of_2_40 {
    ($macro:ident, $kind:ident, $version:expr $(, $more:ident)*) => {
        $macro! {
            $kind, $version,
            C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo
            C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN
            C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_GetOperationState
            C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
            C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects
            C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit
            C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey
            C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
            C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover
            C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
            C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom
            C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
            $($more)*
        }
    };
}

static FUNCTIONS_2_40: CK_FUNCTION_LIST = functions_of_2_40!(table, CK_FUNCTION_LIST, version(2, 40));

const fn functions_3(minor: u8) -> CK_FUNCTION_LIST_3_0 {
    functions_of_2_40!(
        table,
        CK_FUNCTION_LIST_3_0,
        version(3, minor),
        C_GetInterfaceList,
        C_GetInterface,
        C_LoginUser,
        C_SessionCancel,
        C_MessageEncryptInit,
        C_EncryptMessage,
        C_EncryptMessageBegin,
        C_EncryptMessageNext,
        C_MessageEncryptFinal,
        C_MessageDecryptInit,
        C_DecryptMessage,
        C_DecryptMessageBegin,
        C_DecryptMessageNext,
        C_MessageDecryptFinal,
        C_MessageSignInit,
        C_SignMessage,
        C_SignMessageBegin,
        C_SignMessageNext,
        C_MessageSignFinal,
        C_MessageVerifyInit,
        C_VerifyMessage,
        C_VerifyMessageBegin,
        C_VerifyMessageNext,
        C_MessageVerifyFinal
    )
}

static FUNCTIONS_3_0: CK_FUNCTION_LIST_3_0 = functions_3(0);
static FUNCTIONS_3_1: CK_FUNCTION_LIST_3_0 = functions_3(1);

const NAME: &[u8] = b"PKCS 11\0";

const fn interface(table: *const std::os::raw::c_void) -> CK_INTERFACE {
    CK_INTERFACE {
        pInterfaceName: NAME.as_ptr().cast_mut(),
        pFunctionList: table.cast_mut(),
        flags: 0,
    }
}

/// The first one is what a program gets that does not ask for a version.
static INTERFACES: Interfaces = Interfaces([
    interface((&raw const FUNCTIONS_3_1).cast()),
    interface((&raw const FUNCTIONS_3_0).cast()),
    interface((&raw const FUNCTIONS_2_40).cast()),
]);

const VERSIONS: [(u8, u8); 3] = [(3, 1), (3, 0), (2, 40)];

functions! {
    fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) {
        // SAFETY: NULL or room for a pointer (5.4).
        unsafe { Out::new(list) }?.set((&raw const FUNCTIONS_2_40).cast_mut());
        Ok(())
    }

    fn C_GetInterfaceList(interfaces: *mut CK_INTERFACE, count: *mut CK_ULONG) {
        // SAFETY: NULL, or a count and room for as many interfaces (5.4).
        unsafe { pointers::list(interfaces, count, &INTERFACES.0) }
    }

    fn C_GetInterface(
        name: *mut CK_UTF8CHAR,
        wanted: *mut CK_VERSION,
        interface: *mut *mut CK_INTERFACE,
        flags: CK_FLAGS,
    ) {
        // SAFETY: NULL or room for a pointer (5.4).
        let out = unsafe { Out::new(interface) }?;
        // SAFETY: NULL or text that ends with a NUL (5.4).
        let known = unsafe { is_ours(name) };
        let wanted = if wanted.is_null() {
            None
        } else {
            // SAFETY: a version, by the caller's promise (5.4).
            unsafe { pointers::array(wanted, 1) }?.first().map(|wanted| (wanted.major, wanted.minor))
        };
        let index = VERSIONS.iter().position(|version| wanted.is_none_or(|wanted| wanted == *version));
        let found = index.and_then(|index| INTERFACES.0.get(index)).filter(|_| known && flags == 0);
        out.set(std::ptr::from_ref(found.ok_or(Fault(CKR_FUNCTION_FAILED))?).cast_mut());
        Ok(())
    }
}

/// Whether a name is "PKCS 11", or not given. Reads no further than the first difference.
///
/// # Safety
/// `name` is NULL or points to text that ends with a NUL.
unsafe fn is_ours(name: *const CK_UTF8CHAR) -> bool {
    if name.is_null() {
        return true;
    }
    let mut wanted = NAME.iter().enumerate();
    // SAFETY: all bytes before this one were equal to ours and no NUL, so the caller's text goes on at least to here.
    wanted.all(|(at, byte)| unsafe { name.add(at).read() } == *byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of a table as plain pointers.
    fn entries<T>(table: &T, count: usize) -> &[usize] {
        assert_eq!(
            size_of::<T>(),
            (count + 1) * size_of::<usize>(),
            "a version, then pointers"
        );
        let first = std::ptr::from_ref(table).cast::<usize>();
        // SAFETY: the table is a version, padded to the size of a pointer, then `count` pointers.
        unsafe { std::slice::from_raw_parts(first.add(1), count) }
    }

    #[test]
    fn no_entry_is_empty() {
        assert!(entries(&FUNCTIONS_2_40, 68).iter().all(|entry| *entry != 0));
        assert!(entries(&FUNCTIONS_3_0, 92).iter().all(|entry| *entry != 0));
        assert!(entries(&FUNCTIONS_3_1, 92).iter().all(|entry| *entry != 0));
        assert_eq!(
            (FUNCTIONS_2_40.version.major, FUNCTIONS_2_40.version.minor),
            (2, 40)
        );
    }
}
