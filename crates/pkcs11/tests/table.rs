//! The C functions as C calls them: wrong pointers, wrong order, and a key in a simulated chip.
//!
//! One test: the library is one for the whole process.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

use std::ptr::{null, null_mut};

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;
use i2c_bus::Listener;
use optiga_sim::Tray;

#[test]
fn the_library_from_its_first_call_to_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let tray = Tray::memory(1, 7).unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().to_string();
    let serving = listener.spawn(tray.bus(0).unwrap()).unwrap();
    let config = folder.path().join("pkcs11.toml");
    let text = format!(
        "[[slot]]\nbackend = \"chip\"\naddress = \"{address}\"\nlabel = \"chip\"\n\
         [[slot]]\nbackend = \"chip\"\naddress = \"unix:/no/such/chip\"\n"
    );
    std::fs::write(&config, text).unwrap();
    // Nothing else runs in this process yet.
    unsafe { std::env::set_var("BIRTHMARK_PKCS11_CONF", &config) };

    nothing_works_before_it_is_initialized();
    initializing();
    slots();
    interfaces();
    let session = session();
    wrong_pointers(session);
    signing(session);
    attributes(session);
    the_end(session);
    serving.stop();
}

fn nothing_works_before_it_is_initialized() {
    unsafe {
        assert_eq!(C_GetInfo(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(
            C_GetSlotList(0, null_mut(), null_mut()),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
        assert_eq!(C_CloseSession(1), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(C_EncryptInit(1, null_mut(), 1), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(
            C_Sign(1, null_mut(), 0, null_mut(), null_mut()),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
        assert_eq!(C_Finalize(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
}

unsafe extern "C" fn lock(_: *mut std::ffi::c_void) -> CK_RV {
    CKR_OK
}

fn initializing() {
    let initialize =
        |mut arguments: CK_C_INITIALIZE_ARGS| unsafe { C_Initialize((&raw mut arguments).cast()) };
    let reserved = CK_C_INITIALIZE_ARGS {
        pReserved: std::ptr::without_provenance_mut(1),
        ..Default::default()
    };
    assert_eq!(initialize(reserved), CKR_ARGUMENTS_BAD);
    let half = CK_C_INITIALIZE_ARGS {
        LockMutex: Some(lock),
        ..Default::default()
    };
    assert_eq!(initialize(half), CKR_ARGUMENTS_BAD);
    let threads: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| unsafe { C_Initialize(null_mut()) }))
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!((count(CKR_OK), count(CKR_CRYPTOKI_ALREADY_INITIALIZED)), (1, 7));
    unsafe {
        assert_eq!(C_Finalize(std::ptr::without_provenance_mut(1)), CKR_ARGUMENTS_BAD);
        assert_eq!(C_Finalize(null_mut()), CKR_OK);
        assert_eq!(C_GetInfo(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    let locking = CK_C_INITIALIZE_ARGS {
        flags: CKF_OS_LOCKING_OK,
        ..Default::default()
    };
    assert_eq!(initialize(locking), CKR_OK);
}

fn slots() {
    unsafe {
        let mut count = 0;
        assert_eq!(C_GetSlotList(CK_FALSE, null_mut(), &mut count), CKR_OK);
        assert_eq!(count, 2);
        let mut slots = [9; 2];
        count = 1;
        assert_eq!(
            C_GetSlotList(CK_FALSE, slots.as_mut_ptr(), &mut count),
            CKR_BUFFER_TOO_SMALL
        );
        assert_eq!((count, slots), (2, [9, 9]));
        assert_eq!(C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count), CKR_OK);
        assert_eq!(
            (count, slots),
            (1, [0, 9]),
            "nobody answers at the second slot's socket"
        );
        let mut token = CK_TOKEN_INFO::default();
        assert_eq!(C_GetTokenInfo(0, &mut token), CKR_OK);
        assert_eq!(&token.label, b"chip                            ");
        assert_eq!(C_GetTokenInfo(1, &mut token), CKR_TOKEN_NOT_PRESENT);
        assert_eq!(C_GetTokenInfo(2, &mut token), CKR_SLOT_ID_INVALID);
        assert_eq!(C_GetTokenInfo(0, null_mut()), CKR_ARGUMENTS_BAD);
        let mut info = CK_SLOT_INFO::default();
        assert_eq!(C_GetSlotInfo(1, &mut info), CKR_OK);
        assert_eq!(info.flags, CKF_HW_SLOT);
        let mut slot = 0;
        assert_eq!(
            C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, null_mut()),
            CKR_NO_EVENT
        );
    }
}

fn interfaces() {
    unsafe {
        let mut list = null_mut();
        assert_eq!(C_GetFunctionList(&mut list), CKR_OK);
        assert_eq!(((*list).version.major, (*list).version.minor), (2, 40));
        assert_eq!(C_GetFunctionList(null_mut()), CKR_ARGUMENTS_BAD);
        let mut count = 0;
        assert_eq!(C_GetInterfaceList(null_mut(), &mut count), CKR_OK);
        assert_eq!(count, 3);
        let get = |name: *const u8, mut version: CK_VERSION, flags| {
            let mut found: *mut CK_INTERFACE = null_mut();
            let rv = C_GetInterface(name.cast_mut(), &mut version, &mut found, flags);
            (rv == CKR_OK).then(|| {
                let table = (*found).pFunctionList.cast::<CK_VERSION>();
                ((*table).major, (*table).minor)
            })
        };
        let version = |major, minor| CK_VERSION { major, minor };
        assert_eq!(get(c"PKCS 11".as_ptr().cast(), version(3, 0), 0), Some((3, 0)));
        assert_eq!(get(null(), version(2, 40), 0), Some((2, 40)));
        assert_eq!(get(null(), version(3, 2), 0), None);
        assert_eq!(get(c"PKCS 12".as_ptr().cast(), version(3, 0), 0), None);
        assert_eq!(get(c"PKCS".as_ptr().cast(), version(3, 0), 0), None);
        assert_eq!(get(null(), version(3, 0), CKF_INTERFACE_FORK_SAFE), None);
        let mut found: *mut CK_INTERFACE = null_mut();
        assert_eq!(C_GetInterface(null_mut(), null_mut(), &mut found, 0), CKR_OK);
        assert_eq!((*(*found).pFunctionList.cast::<CK_VERSION>()).minor, 1);
    }
}

fn session() -> CK_SESSION_HANDLE {
    let mut session = 0;
    // The session of a slot that nobody answers at is no session.
    let mut open = |slot, flags| unsafe { C_OpenSession(slot, flags, null_mut(), None, &mut session) };
    assert_eq!(open(0, CKF_RW_SESSION), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    assert_eq!(open(7, CKF_SERIAL_SESSION), CKR_SLOT_ID_INVALID);
    assert_eq!(open(1, CKF_SERIAL_SESSION), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(open(0, CKF_SERIAL_SESSION | CKF_RW_SESSION), CKR_OK);
    session
}

fn wrong_pointers(session: CK_SESSION_HANDLE) {
    unsafe {
        assert_eq!(C_GenerateRandom(session, null_mut(), 8), CKR_ARGUMENTS_BAD);
        assert_eq!(
            C_GenerateRandom(session, [0; 8].as_mut_ptr(), CK_ULONG::MAX),
            CKR_ARGUMENTS_BAD
        );
        assert_eq!(C_GenerateRandom(session, null_mut(), 0), CKR_OK);
        assert_eq!(
            C_GenerateRandom(session + 1, [0; 8].as_mut_ptr(), 8),
            CKR_SESSION_HANDLE_INVALID
        );
        assert_eq!(C_FindObjectsInit(session, null_mut(), 1), CKR_ARGUMENTS_BAD);
        let mut hollow = CK_ATTRIBUTE {
            type_: CKA_LABEL,
            pValue: null_mut(),
            ulValueLen: 4,
        };
        assert_eq!(C_FindObjectsInit(session, &mut hollow, 1), CKR_ARGUMENTS_BAD);
        assert_eq!(C_GetAttributeValue(session, 1, null_mut(), 1), CKR_ARGUMENTS_BAD);
        assert_eq!(C_DigestInit(session, null_mut()), CKR_ARGUMENTS_BAD);
        let mut unknown = mechanism(CKM_MD5);
        assert_eq!(C_DigestInit(session, &mut unknown), CKR_MECHANISM_INVALID);
        let mut sha = mechanism(CKM_SHA256);
        assert_eq!(C_DigestInit(session, &mut sha), CKR_OK);
        // NULL data ends the operation; NULL as mechanism ends it, too.
        let mut length = 64;
        assert_eq!(
            C_Digest(session, null_mut(), 3, [0; 64].as_mut_ptr(), &mut length),
            CKR_ARGUMENTS_BAD
        );
        assert_eq!(
            C_DigestUpdate(session, [0; 1].as_mut_ptr(), 1),
            CKR_OPERATION_NOT_INITIALIZED
        );
        assert_eq!(C_DigestInit(session, &mut sha), CKR_OK);
        assert_eq!(C_DigestInit(session, &mut sha), CKR_OPERATION_ACTIVE);
        assert_eq!(C_DigestInit(session, null_mut()), CKR_OK);
        assert_eq!(
            C_DigestFinal(session, null_mut(), &mut length),
            CKR_OPERATION_NOT_INITIALIZED
        );
        assert_eq!(C_EncryptInit(session, null_mut(), 1), CKR_ARGUMENTS_BAD);
        assert_eq!(
            C_MessageEncryptInit(session, null_mut(), 1),
            CKR_FUNCTION_NOT_SUPPORTED
        );
        assert_eq!(
            C_EncryptInit(session + 1, null_mut(), 1),
            CKR_SESSION_HANDLE_INVALID
        );
        assert_eq!(
            C_Login(session, CKU_CONTEXT_SPECIFIC, null_mut(), 0),
            CKR_OPERATION_NOT_INITIALIZED
        );
        assert_eq!(C_Login(session, 9, null_mut(), 0), CKR_USER_TYPE_INVALID);
        assert_eq!(C_Login(session, CKU_USER, null_mut(), 4), CKR_ARGUMENTS_BAD);
    }
}

fn mechanism(number: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: number,
        pParameter: null_mut(),
        ulParameterLen: 0,
    }
}

fn attribute<T: ?Sized>(kind: CK_ATTRIBUTE_TYPE, value: &T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: std::ptr::from_ref(value).cast_mut().cast(),
        ulValueLen: size_of_val(value) as CK_ULONG,
    }
}

fn signing(session: CK_SESSION_HANDLE) {
    let (curve, yes) = ([6_u8, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7], [CK_TRUE]);
    let mut public = [attribute(CKA_EC_PARAMS, &curve)];
    let mut private = [
        attribute(CKA_TOKEN, &yes),
        attribute(CKA_LABEL, b"Device Priv TLS Key"),
    ];
    let mut generate = mechanism(CKM_EC_KEY_PAIR_GEN);
    let (mut public_key, mut private_key) = (0, 0);
    unsafe {
        let rv = C_GenerateKeyPair(
            session,
            &mut generate,
            public.as_mut_ptr(),
            1,
            private.as_mut_ptr(),
            2,
            &mut public_key,
            &mut private_key,
        );
        assert_eq!(rv, CKR_OK);
        let mut ecdsa = mechanism(CKM_ECDSA_SHA256);
        let mut data = *b"hello";
        assert_eq!(C_SignInit(session, &mut ecdsa, private_key), CKR_OK);
        let (mut signature, mut length) = ([0; 80], 0);
        assert_eq!(
            C_Sign(session, data.as_mut_ptr(), 5, null_mut(), &mut length),
            CKR_OK
        );
        assert_eq!(length, 64);
        length = 63;
        assert_eq!(
            C_Sign(session, data.as_mut_ptr(), 5, signature.as_mut_ptr(), &mut length),
            CKR_BUFFER_TOO_SMALL
        );
        assert_eq!((length, signature), (64, [0; 80]));
        length = 80;
        assert_eq!(
            C_Sign(session, data.as_mut_ptr(), 5, signature.as_mut_ptr(), &mut length),
            CKR_OK
        );
        assert_eq!((length, &signature[64..]), (64, &[0; 16][..]));
        for (bytes, expected) in [(64, CKR_OK), (63, CKR_SIGNATURE_LEN_RANGE)] {
            assert_eq!(C_VerifyInit(session, &mut ecdsa, public_key), CKR_OK);
            assert_eq!(
                C_Verify(session, data.as_mut_ptr(), 5, signature.as_mut_ptr(), bytes),
                expected
            );
        }
        signature[10] ^= 1;
        assert_eq!(C_VerifyInit(session, &mut ecdsa, public_key), CKR_OK);
        assert_eq!(
            C_Verify(session, data.as_mut_ptr(), 5, signature.as_mut_ptr(), 64),
            CKR_SIGNATURE_INVALID
        );
    }
}

fn attributes(session: CK_SESSION_HANDLE) {
    unsafe {
        let class = CKO_PRIVATE_KEY;
        let (mut found, mut count) = ([0; 4], 0);
        let mut template = [attribute(CKA_CLASS, &class)];
        assert_eq!(C_FindObjectsInit(session, template.as_mut_ptr(), 1), CKR_OK);
        assert_eq!(C_FindObjects(session, found.as_mut_ptr(), 4, &mut count), CKR_OK);
        // The device's own key, and the one that left the chip's factory.
        assert_eq!(count, 2);
        assert_eq!(C_FindObjectsFinal(session), CKR_OK);
        // Every entry is answered, whatever is wrong with its neighbours.
        let (mut value, mut sign, mut small) = ([0_u8; 64], [9_u8; 1], [0_u8; 2]);
        let mut asked = [
            attribute(CKA_VALUE, &value),
            attribute(CKA_SIGN, &sign),
            attribute(0x8000_0001, &value),
            attribute(CKA_LABEL, &small),
            CK_ATTRIBUTE {
                type_: CKA_LABEL,
                pValue: null_mut(),
                ulValueLen: 0,
            },
        ];
        asked[0].pValue = value.as_mut_ptr().cast();
        asked[1].pValue = sign.as_mut_ptr().cast();
        asked[3].pValue = small.as_mut_ptr().cast();
        let rv = C_GetAttributeValue(session, found[0], asked.as_mut_ptr(), 5);
        assert!(
            [
                CKR_ATTRIBUTE_SENSITIVE,
                CKR_ATTRIBUTE_TYPE_INVALID,
                CKR_BUFFER_TOO_SMALL
            ]
            .contains(&rv)
        );
        let lengths = asked.map(|attribute| attribute.ulValueLen);
        assert_eq!(lengths, [CK_ULONG::MAX, 1, CK_ULONG::MAX, CK_ULONG::MAX, 19]);
        assert_eq!((value, sign, small), ([0; 64], [CK_TRUE], [0; 2]));
        assert_eq!(
            C_GetAttributeValue(session, 999, asked.as_mut_ptr(), 1),
            CKR_OBJECT_HANDLE_INVALID
        );
    }
}

fn the_end(session: CK_SESSION_HANDLE) {
    unsafe {
        assert_eq!(C_CloseSession(session), CKR_OK);
        assert_eq!(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(C_Finalize(null_mut()), CKR_OK);
        assert_eq!(C_GetInfo(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
}
