//! A flash token behind the C functions, and short words for what C programs do.
#![allow(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, dead_code, reason = "a module of test files has no outside")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

use std::path::Path;
use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;

pub const OFFICER_PIN: &[u8] = b"officer's";
pub const PIN: &[u8] = b"user's";
pub const P256: [u8; 10] = [6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];

/// Writes a configuration with so many flash tokens and names it to the library. Nothing else runs in the process yet.
pub fn configure(folder: &Path, tokens: usize) {
    let slots: String = (0..tokens)
        .map(|number| {
            let directory = folder.join(format!("token{number}"));
            format!("[[slot]]\nbackend = \"flash\"\ndirectory = {:?}\n", directory)
        })
        .collect();
    let config = folder.join("pkcs11.toml");
    std::fs::write(&config, slots).unwrap();
    unsafe { std::env::set_var("BIRTHMARK_PKCS11_CONF", &config) };
}

/// Makes the token in a slot new, with both PINs.
pub fn init_token(slot: CK_SLOT_ID) {
    let mut label = *b"one                             ";
    unsafe {
        let (pin, length) = bytes(OFFICER_PIN);
        assert_eq!(C_InitToken(slot, pin, length, label.as_mut_ptr()), CKR_OK);
        let session = open(slot, true);
        assert_eq!(C_Login(session, CKU_SO, pin, length), CKR_OK);
        let (pin, length) = bytes(PIN);
        assert_eq!(C_InitPIN(session, pin, length), CKR_OK);
        assert_eq!(C_CloseSession(session), CKR_OK);
    }
}

pub fn bytes(bytes: &[u8]) -> (*mut u8, CK_ULONG) {
    (bytes.as_ptr().cast_mut(), bytes.len() as CK_ULONG)
}

pub fn open(slot: CK_SLOT_ID, writes: bool) -> CK_SESSION_HANDLE {
    let mut session = 0;
    let flags = CKF_SERIAL_SESSION | if writes { CKF_RW_SESSION } else { 0 };
    let rv = unsafe { C_OpenSession(slot, flags, null_mut(), None, &mut session) };
    assert_eq!(rv, CKR_OK);
    session
}

pub fn login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> CK_RV {
    let (pin, length) = bytes(pin);
    unsafe { C_Login(session, user, pin, length) }
}

pub fn mechanism(number: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: number,
        pParameter: null_mut(),
        ulParameterLen: 0,
    }
}

pub fn attribute<T: ?Sized>(kind: CK_ATTRIBUTE_TYPE, value: &T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: std::ptr::from_ref(value).cast_mut().cast(),
        ulValueLen: size_of_val(value) as CK_ULONG,
    }
}

pub const YES: [u8; 1] = [CK_TRUE];
pub const NO: [u8; 1] = [CK_FALSE];

pub fn flag(kind: CK_ATTRIBUTE_TYPE, flag: bool) -> CK_ATTRIBUTE {
    attribute(kind, if flag { &YES } else { &NO })
}

/// A number that lives as long as the test.
pub fn number(kind: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> CK_ATTRIBUTE {
    attribute(kind, Box::leak(Box::new(number)))
}

pub fn create(session: CK_SESSION_HANDLE, template: &[CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut template, mut object) = (template.to_vec(), 0);
    let rv = unsafe {
        C_CreateObject(
            session,
            template.as_mut_ptr(),
            template.len() as CK_ULONG,
            &mut object,
        )
    };
    if rv == CKR_OK { Ok(object) } else { Err(rv) }
}

pub fn generate(
    session: CK_SESSION_HANDLE,
    kind: CK_MECHANISM_TYPE,
    public: &[CK_ATTRIBUTE],
    private: &[CK_ATTRIBUTE],
) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), CK_RV> {
    let (mut public, mut private) = (public.to_vec(), private.to_vec());
    let (mut mechanism, mut keys) = (mechanism(kind), (0, 0));
    let rv = unsafe {
        C_GenerateKeyPair(
            session,
            &mut mechanism,
            public.as_mut_ptr(),
            public.len() as CK_ULONG,
            private.as_mut_ptr(),
            private.len() as CK_ULONG,
            &mut keys.0,
            &mut keys.1,
        )
    };
    if rv == CKR_OK { Ok(keys) } else { Err(rv) }
}

pub fn secret(
    session: CK_SESSION_HANDLE,
    kind: CK_MECHANISM_TYPE,
    template: &[CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut template, mut mechanism, mut key) = (template.to_vec(), mechanism(kind), 0);
    let count = template.len() as CK_ULONG;
    let rv = unsafe { C_GenerateKey(session, &mut mechanism, template.as_mut_ptr(), count, &mut key) };
    if rv == CKR_OK { Ok(key) } else { Err(rv) }
}

pub fn value(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    kind: CK_ATTRIBUTE_TYPE,
) -> Result<Vec<u8>, CK_RV> {
    let mut asked = CK_ATTRIBUTE {
        type_: kind,
        pValue: null_mut(),
        ulValueLen: 0,
    };
    unsafe {
        let rv = C_GetAttributeValue(session, object, &mut asked, 1);
        if rv != CKR_OK {
            let told = rv == CKR_OBJECT_HANDLE_INVALID || asked.ulValueLen == CK_ULONG::MAX;
            assert!(told, "what can not be told has no length");
            return Err(rv);
        }
        let mut value = vec![0; asked.ulValueLen as usize];
        asked.pValue = value.as_mut_ptr().cast();
        assert_eq!(C_GetAttributeValue(session, object, &mut asked, 1), CKR_OK);
        Ok(value)
    }
}

pub fn find(session: CK_SESSION_HANDLE, template: &[CK_ATTRIBUTE]) -> Vec<CK_OBJECT_HANDLE> {
    let (mut template, mut found, mut count) = (template.to_vec(), vec![0; 64], 0);
    unsafe {
        let rv = C_FindObjectsInit(session, template.as_mut_ptr(), template.len() as CK_ULONG);
        assert_eq!(rv, CKR_OK);
        assert_eq!(C_FindObjects(session, found.as_mut_ptr(), 64, &mut count), CKR_OK);
        assert_eq!(C_FindObjectsFinal(session), CKR_OK);
    }
    found.truncate(count as usize);
    found
}

pub fn sign_init(session: CK_SESSION_HANDLE, kind: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> CK_RV {
    let mut mechanism = mechanism(kind);
    unsafe { C_SignInit(session, &mut mechanism, key) }
}

pub fn sign(session: CK_SESSION_HANDLE, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let (mut signature, mut length) = (vec![0; 512], 512);
    let (data, bytes) = bytes(data);
    let rv = unsafe { C_Sign(session, data, bytes, signature.as_mut_ptr(), &mut length) };
    signature.truncate(length as usize);
    if rv == CKR_OK { Ok(signature) } else { Err(rv) }
}

/// A key pair on P-256 that signs.
pub fn pair(
    session: CK_SESSION_HANDLE,
    label: &[u8],
    token: bool,
    more: &[CK_ATTRIBUTE],
) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    let label = || attribute(CKA_LABEL, label);
    let public = [attribute(CKA_EC_PARAMS, &P256), flag(CKA_TOKEN, token), label()];
    let private = [&[flag(CKA_TOKEN, token), label()], more].concat();
    generate(session, CKM_EC_KEY_PAIR_GEN, &public, &private).unwrap()
}
