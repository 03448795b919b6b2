//! The rules that every function obeys, seen from C: the order of checks, the two calls, when operations end, what objects may
//! be and become. Each is accepted once and refused once.
//!
//! One test: the library is one for the whole process.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

mod support;

use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;
use support::*;

#[test]
fn the_rules_from_the_first_call_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), 2);
    every_function_checks_in_the_same_order(CKR_CRYPTOKI_NOT_INITIALIZED);
    unsafe { assert_eq!(C_Initialize(null_mut()), CKR_OK) };
    init_token(0);
    every_function_checks_in_the_same_order(CKR_SESSION_HANDLE_INVALID);
    logins();
    let session = open(0, true);
    assert_eq!(login(session, CKU_USER, PIN), CKR_OK);
    templates(session);
    what_may_be_read(session);
    changes(session);
    copies(session);
    operations_end(session);
    several_kinds_run_at_once(session);
    a_key_that_is_destroyed_ends_what_uses_it(session);
    keys_that_always_ask(session);
    uses(session);
    ciphers(session);
    wrapping(session);
    deriving(session);
    randomness(session);
    profiles(session);
    sessions_own_their_objects(session);
    unsafe { assert_eq!(C_CloseSession(session), CKR_OK) };
    read_only_sessions();
    a_child_begins_anew();
    waiting_ends_with_the_library();
}

/// A call with this session, whose pointers are all good.
type Call = (&'static str, fn(CK_SESSION_HANDLE) -> CK_RV);

fn every_function_checks_in_the_same_order(expected: CK_RV) {
    macro_rules! calls {
        ($($name:ident($($argument:expr),*);)*) => {
            [$((stringify!($name), (|session| unsafe { $name(session $(, $argument)*) }) as fn(CK_SESSION_HANDLE) -> CK_RV),)*]
        };
    }
    const ROOM: CK_ULONG = 64;
    fn length() -> *mut CK_ULONG {
        Box::leak(Box::new(ROOM))
    }
    fn buffer() -> *mut u8 {
        Box::leak(Box::new([0_u8; 64])).as_mut_ptr()
    }
    fn handle() -> *mut CK_OBJECT_HANDLE {
        Box::leak(Box::new(0))
    }
    fn sha() -> *mut CK_MECHANISM {
        Box::leak(Box::new(mechanism(CKM_SHA256)))
    }
    fn info() -> *mut CK_SESSION_INFO {
        Box::leak(Box::default())
    }
    let calls: Vec<Call> = calls! {
        C_CloseSession();
        C_GetSessionInfo(info());
        C_Logout();
        C_Login(CKU_USER, buffer(), 4);
        C_LoginUser(CKU_USER, buffer(), 4, null_mut(), 0);
        C_InitPIN(buffer(), 4);
        C_SetPIN(buffer(), 4, buffer(), 4);
        C_SessionCancel(0);
        C_GetOperationState(buffer(), length());
        C_SetOperationState(buffer(), 4, 0, 0);
        C_CreateObject(null_mut(), 0, handle());
        C_CopyObject(1, null_mut(), 0, handle());
        C_DestroyObject(1);
        C_GetObjectSize(1, length());
        C_GetAttributeValue(1, &mut attribute(CKA_LABEL, &[0; 0]), 1);
        C_SetAttributeValue(1, null_mut(), 0);
        C_FindObjectsInit(null_mut(), 0);
        C_FindObjects(handle(), 1, length());
        C_FindObjectsFinal();
        C_EncryptInit(sha(), 1);
        C_Encrypt(buffer(), 4, buffer(), length());
        C_EncryptUpdate(buffer(), 4, buffer(), length());
        C_EncryptFinal(buffer(), length());
        C_DecryptInit(sha(), 1);
        C_Decrypt(buffer(), 4, buffer(), length());
        C_DecryptUpdate(buffer(), 4, buffer(), length());
        C_DecryptFinal(buffer(), length());
        C_DigestInit(sha());
        C_Digest(buffer(), 4, buffer(), length());
        C_DigestUpdate(buffer(), 4);
        C_DigestKey(1);
        C_DigestFinal(buffer(), length());
        C_SignInit(sha(), 1);
        C_Sign(buffer(), 4, buffer(), length());
        C_SignUpdate(buffer(), 4);
        C_SignFinal(buffer(), length());
        C_SignRecoverInit(sha(), 1);
        C_SignRecover(buffer(), 4, buffer(), length());
        C_VerifyInit(sha(), 1);
        C_Verify(buffer(), 4, buffer(), 4);
        C_VerifyUpdate(buffer(), 4);
        C_VerifyFinal(buffer(), 4);
        C_VerifyRecoverInit(sha(), 1);
        C_VerifyRecover(buffer(), 4, buffer(), length());
        C_DigestEncryptUpdate(buffer(), 4, buffer(), length());
        C_DecryptDigestUpdate(buffer(), 4, buffer(), length());
        C_SignEncryptUpdate(buffer(), 4, buffer(), length());
        C_DecryptVerifyUpdate(buffer(), 4, buffer(), length());
        C_GenerateKey(sha(), null_mut(), 0, handle());
        C_GenerateKeyPair(sha(), null_mut(), 0, null_mut(), 0, handle(), handle());
        C_WrapKey(sha(), 1, 1, buffer(), length());
        C_UnwrapKey(sha(), 1, buffer(), 4, null_mut(), 0, handle());
        C_DeriveKey(sha(), 1, null_mut(), 0, handle());
        C_SeedRandom(buffer(), 4);
        C_GenerateRandom(buffer(), 4);
        C_GetFunctionStatus();
        C_CancelFunction();
        C_MessageEncryptInit(sha(), 1);
        C_MessageEncryptFinal();
        C_MessageDecryptInit(sha(), 1);
        C_MessageSignInit(sha(), 1);
        C_SignMessage(null_mut(), 0, buffer(), 4, buffer(), length());
        C_MessageVerifyInit(sha(), 1);
        C_MessageVerifyFinal();
    }
    .into();
    for (name, call) in calls {
        for session in [0, 12_345, CK_ULONG::MAX] {
            assert_eq!(call(session), expected, "{name}({session})");
        }
    }
}

fn logins() {
    let (reader, writer) = (open(0, false), open(0, true));
    unsafe {
        assert_eq!(C_Logout(reader), CKR_USER_NOT_LOGGED_IN);
    }
    assert_eq!(login(writer, CKU_SO, OFFICER_PIN), CKR_SESSION_READ_ONLY_EXISTS);
    assert_eq!(login(writer, CKU_USER, b"wrong"), CKR_PIN_INCORRECT);
    assert_eq!(
        login(writer, CKU_CONTEXT_SPECIFIC, PIN),
        CKR_OPERATION_NOT_INITIALIZED
    );
    assert_eq!(login(writer, CKU_USER, PIN), CKR_OK);
    assert_eq!(login(reader, CKU_USER, PIN), CKR_USER_ALREADY_LOGGED_IN);
    assert_eq!(
        login(writer, CKU_SO, OFFICER_PIN),
        CKR_USER_ANOTHER_ALREADY_LOGGED_IN
    );
    unsafe {
        assert_eq!(C_Logout(reader), CKR_OK);
        assert_eq!(C_CloseSession(reader), CKR_OK);
        assert_eq!(login(writer, CKU_SO, OFFICER_PIN), CKR_OK);
        let mut session = 0;
        let rv = C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session);
        assert_eq!(rv, CKR_SESSION_READ_WRITE_SO_EXISTS);
        // The security officer sees and makes no private objects.
        assert_eq!(create(writer, &data(true)), Err(CKR_USER_NOT_LOGGED_IN));
        assert_eq!(C_CloseAllSessions(0), CKR_OK);
        assert_eq!(
            C_GetSessionInfo(writer, &mut CK_SESSION_INFO::default()),
            CKR_SESSION_HANDLE_INVALID
        );
    }
    let writer = open(0, true);
    assert_eq!(create(writer, &data(true)), Err(CKR_USER_NOT_LOGGED_IN));
    unsafe { assert_eq!(C_CloseAllSessions(0), CKR_OK) };
}

fn data(private: bool) -> Vec<CK_ATTRIBUTE> {
    vec![
        number(CKA_CLASS, CKO_DATA),
        flag(CKA_PRIVATE, private),
        attribute(CKA_VALUE, b"some bytes"),
    ]
}

fn aes(more: &[CK_ATTRIBUTE]) -> Vec<CK_ATTRIBUTE> {
    let own = [
        number(CKA_CLASS, CKO_SECRET_KEY),
        number(CKA_KEY_TYPE, CKK_AES),
        attribute(CKA_VALUE, &[7_u8; 16]),
    ];
    [&own, more].concat()
}

fn templates(session: CK_SESSION_HANDLE) {
    let public = |point: &'static [u8]| {
        vec![
            number(CKA_CLASS, CKO_PUBLIC_KEY),
            number(CKA_KEY_TYPE, CKK_EC),
            attribute(CKA_EC_PARAMS, &P256),
            attribute(CKA_EC_POINT, point),
        ]
    };
    let private = |scalar: &'static [u8]| {
        vec![
            number(CKA_CLASS, CKO_PRIVATE_KEY),
            number(CKA_KEY_TYPE, CKK_EC),
            attribute(CKA_EC_PARAMS, &P256),
            attribute(CKA_VALUE, scalar),
        ]
    };
    let cases: Vec<(&str, Vec<CK_ATTRIBUTE>, Result<(), CK_RV>)> = vec![
        ("data", data(false), Ok(())),
        ("private data", data(true), Ok(())),
        ("an AES key", aes(&[]), Ok(())),
        ("a private key", private(&[1; 32]), Ok(())),
        ("a short number", private(&[1]), Ok(())),
        ("nothing", vec![], Err(CKR_TEMPLATE_INCOMPLETE)),
        (
            "no class",
            vec![attribute(CKA_LABEL, b"x")],
            Err(CKR_TEMPLATE_INCOMPLETE),
        ),
        (
            "an unknown class",
            vec![number(CKA_CLASS, 77)],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "a class of one byte",
            vec![attribute(CKA_CLASS, &[0_u8])],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "a profile",
            vec![number(CKA_CLASS, CKO_PROFILE)],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "an unknown attribute",
            [data(false), vec![attribute(0x7FFF_FFFF, b"x")]].concat(),
            Err(CKR_ATTRIBUTE_TYPE_INVALID),
        ),
        (
            "an attribute twice",
            [data(false), vec![attribute(CKA_VALUE, b"x")]].concat(),
            Err(CKR_TEMPLATE_INCONSISTENT),
        ),
        (
            "a flag of two",
            [data(false), vec![attribute(CKA_TOKEN, &[2_u8])]].concat(),
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "what is computed",
            aes(&[flag(CKA_LOCAL, true)]),
            Err(CKR_ATTRIBUTE_READ_ONLY),
        ),
        (
            "what was always so",
            aes(&[flag(CKA_ALWAYS_SENSITIVE, true)]),
            Err(CKR_ATTRIBUTE_READ_ONLY),
        ),
        (
            "a name of its own",
            aes(&[attribute(CKA_UNIQUE_ID, b"x")]),
            Err(CKR_ATTRIBUTE_READ_ONLY),
        ),
        (
            "trust that the user gives",
            aes(&[flag(CKA_TRUSTED, true)]),
            Err(CKR_ATTRIBUTE_READ_ONLY),
        ),
        (
            "a use that it has not",
            aes(&[attribute(CKA_MODULUS, b"x")]),
            Err(CKR_TEMPLATE_INCONSISTENT),
        ),
        (
            "the wrong length",
            aes(&[number(CKA_VALUE_LEN, 17)]),
            Err(CKR_TEMPLATE_INCONSISTENT),
        ),
        ("the right length", aes(&[number(CKA_VALUE_LEN, 16)]), Ok(())),
        ("a date", aes(&[attribute(CKA_START_DATE, b"20261123")]), Ok(())),
        (
            "no date",
            aes(&[attribute(CKA_START_DATE, b"tomorrow")]),
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "a foreign check value",
            aes(&[attribute(CKA_CHECK_VALUE, b"123")]),
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "no key of AES",
            vec![
                number(CKA_CLASS, CKO_SECRET_KEY),
                number(CKA_KEY_TYPE, CKK_AES),
                attribute(CKA_VALUE, &[1_u8; 15]),
            ],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        (
            "no type",
            vec![
                number(CKA_CLASS, CKO_SECRET_KEY),
                attribute(CKA_VALUE, &[1_u8; 15]),
            ],
            Err(CKR_TEMPLATE_INCOMPLETE),
        ),
        (
            "an old type",
            vec![
                number(CKA_CLASS, CKO_SECRET_KEY),
                number(CKA_KEY_TYPE, CKK_DES3),
                attribute(CKA_VALUE, &[1_u8; 24]),
            ],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        ("no point", public(&[4; 65]), Err(CKR_ATTRIBUTE_VALUE_INVALID)),
        (
            "no number",
            private(&[0xFF; 32]),
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
        ("zero", private(&[0; 32]), Err(CKR_ATTRIBUTE_VALUE_INVALID)),
        (
            "no curve",
            vec![
                number(CKA_CLASS, CKO_PRIVATE_KEY),
                number(CKA_KEY_TYPE, CKK_EC),
                attribute(CKA_EC_PARAMS, &[5_u8, 0]),
                attribute(CKA_VALUE, &[1_u8; 32]),
            ],
            Err(CKR_CURVE_NOT_SUPPORTED),
        ),
        (
            "no certificate",
            vec![number(CKA_CLASS, CKO_CERTIFICATE), attribute(CKA_VALUE, b"x")],
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
        ),
    ];
    for (what, template, expected) in cases {
        let made = create(session, &template);
        assert_eq!(made.map(|_| ()), expected, "{what}");
    }
}

fn what_may_be_read(session: CK_SESSION_HANDLE) {
    let sealed = create(session, &aes(&[])).unwrap();
    assert_eq!(value(session, sealed, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    let open = aes(&[flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)]);
    let open = create(session, &open).unwrap();
    assert_eq!(value(session, open, CKA_VALUE), Ok(vec![7; 16]));
    for half in [[false, false], [true, true]] {
        let half = aes(&[flag(CKA_SENSITIVE, half[0]), flag(CKA_EXTRACTABLE, half[1])]);
        let half = create(session, &half).unwrap();
        assert_eq!(value(session, half, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    }
    assert_eq!(
        value(session, open, CKA_EC_POINT),
        Err(CKR_ATTRIBUTE_TYPE_INVALID)
    );
    assert_eq!(value(session, open, 0x7FFF_FFFF), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(value(session, 9_999, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
    // AES of a block of zeros under sixteen sevens begins so.
    assert_eq!(value(session, open, CKA_CHECK_VALUE).unwrap().len(), 3);
    let kept = create(session, &[&data(true)[..], &[flag(CKA_TOKEN, true)]].concat()).unwrap();
    assert_eq!(value(session, kept, CKA_VALUE), Ok(b"some bytes".to_vec()));
    // Arrays: of numbers, and of attributes.
    let allowed = [CKM_AES_CBC, CKM_AES_ECB];
    let lines = [flag(CKA_ENCRYPT, true), number(CKA_KEY_TYPE, CKK_AES)];
    let arrays = aes(&[
        attribute(CKA_ALLOWED_MECHANISMS, &allowed),
        attribute(CKA_WRAP_TEMPLATE, &lines),
    ]);
    let arrays = create(session, &arrays).unwrap();
    let told = value(session, arrays, CKA_ALLOWED_MECHANISMS).unwrap();
    let numbers: Vec<_> = told
        .chunks_exact(8)
        .map(|n| u64::from_ne_bytes(n.try_into().unwrap()))
        .collect();
    assert_eq!(numbers, allowed);
    let (mut one, mut two) = ([9_u8; 1], [9_u8; 8]);
    let mut inner = [attribute(0, &one), attribute(0, &two)];
    inner[0].pValue = one.as_mut_ptr().cast();
    inner[1].pValue = two.as_mut_ptr().cast();
    let mut asked = attribute(CKA_WRAP_TEMPLATE, &inner);
    asked.pValue = inner.as_mut_ptr().cast();
    unsafe { assert_eq!(C_GetAttributeValue(session, arrays, &mut asked, 1), CKR_OK) };
    assert_eq!((inner[0].type_, inner[1].type_), (CKA_ENCRYPT, CKA_KEY_TYPE));
    assert_eq!((one, two), ([CK_TRUE], CKK_AES.to_ne_bytes()));
    let mut size = 0;
    unsafe { assert_eq!(C_GetObjectSize(session, open, &mut size), CKR_OK) };
    assert!(size > 100, "{size}");
}

fn set(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, change: CK_ATTRIBUTE) -> CK_RV {
    let mut change = change;
    unsafe { C_SetAttributeValue(session, object, &mut change, 1) }
}

fn changes(session: CK_SESSION_HANDLE) {
    let key = create(
        session,
        &aes(&[flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)]),
    )
    .unwrap();
    for (what, change, expected) in [
        ("a label", attribute(CKA_LABEL, b"new"), CKR_OK),
        ("a class", number(CKA_CLASS, CKO_DATA), CKR_ATTRIBUTE_READ_ONLY),
        (
            "a value",
            attribute(CKA_VALUE, &[1_u8; 16]),
            CKR_ATTRIBUTE_READ_ONLY,
        ),
        ("trust", flag(CKA_TRUSTED, true), CKR_ATTRIBUTE_READ_ONLY),
        ("more secret", flag(CKA_SENSITIVE, true), CKR_OK),
        ("less secret", flag(CKA_SENSITIVE, false), CKR_ATTRIBUTE_READ_ONLY),
        ("bound here", flag(CKA_EXTRACTABLE, false), CKR_OK),
        ("free again", flag(CKA_EXTRACTABLE, true), CKR_ATTRIBUTE_READ_ONLY),
        (
            "something foreign",
            attribute(CKA_MODULUS, b"x"),
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
        (
            "something unknown",
            attribute(0x7FFF_FFFF, b"x"),
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
        (
            "the wrong shape",
            attribute(CKA_ENCRYPT, b"xx"),
            CKR_ATTRIBUTE_VALUE_INVALID,
        ),
    ] {
        assert_eq!(set(session, key, change), expected, "{what}");
    }
    assert_eq!(
        find(session, &[attribute(CKA_LABEL, b"new")]),
        [key],
        "the index follows"
    );
    let stiff = create(session, &aes(&[flag(CKA_MODIFIABLE, false)])).unwrap();
    assert_eq!(
        set(session, stiff, attribute(CKA_LABEL, b"x")),
        CKR_ACTION_PROHIBITED
    );
}

fn copies(session: CK_SESSION_HANDLE) {
    let copy = |object, template: &[CK_ATTRIBUTE]| {
        let (mut template, mut copy) = (template.to_vec(), 0);
        let count = template.len() as CK_ULONG;
        let rv = unsafe { C_CopyObject(session, object, template.as_mut_ptr(), count, &mut copy) };
        if rv == CKR_OK { Ok(copy) } else { Err(rv) }
    };
    let open = create(
        session,
        &aes(&[flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)]),
    )
    .unwrap();
    let kept = copy(open, &[flag(CKA_TOKEN, true), attribute(CKA_LABEL, b"copy")]).unwrap();
    assert_eq!(value(session, kept, CKA_VALUE), Ok(vec![7; 16]));
    assert_ne!(
        value(session, kept, CKA_UNIQUE_ID),
        value(session, open, CKA_UNIQUE_ID)
    );
    let closed = copy(open, &[flag(CKA_SENSITIVE, true)]).unwrap();
    assert_eq!(value(session, closed, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(
        copy(closed, &[flag(CKA_SENSITIVE, false)]),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    assert_eq!(
        copy(open, &[flag(CKA_PRIVATE, false)]),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    let once = create(session, &aes(&[flag(CKA_COPYABLE, false)])).unwrap();
    assert_eq!(copy(once, &[]), Err(CKR_ACTION_PROHIBITED));
}

fn operations_end(session: CK_SESSION_HANDLE) {
    let (public, private) = pair(session, b"ends", false, &[]);
    let over = Err(CKR_OPERATION_NOT_INITIALIZED);
    unsafe {
        let (mut out, mut length, mut byte) = ([0_u8; 64], 0, [1_u8]);
        // The length, a small buffer, then the signature; after it the operation is over.
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OPERATION_ACTIVE);
        assert_eq!(
            C_Sign(session, byte.as_mut_ptr(), 1, null_mut(), &mut length),
            CKR_OK
        );
        assert_eq!(length, 64);
        length = 63;
        let small = C_Sign(session, byte.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
        assert_eq!((small, length), (CKR_BUFFER_TOO_SMALL, 64));
        assert_eq!(sign(session, b"digest").map(|signature| signature.len()), Ok(64));
        assert_eq!(sign(session, b"digest"), over);
        // NULL where bytes must be ends it; so does NULL as the length.
        for wrong in [
            (null_mut(), 3, &raw mut length),
            (byte.as_mut_ptr(), 1, null_mut()),
        ] {
            assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
            let rv = C_Sign(session, wrong.0, wrong.1, out.as_mut_ptr(), wrong.2);
            assert_eq!(rv, CKR_ARGUMENTS_BAD);
            assert_eq!(sign(session, b"digest"), over);
        }
        // No single-part call joins a multi-part one.
        assert_eq!(sign_init(session, CKM_ECDSA_SHA256, private), CKR_OK);
        assert_eq!(C_SignUpdate(session, byte.as_mut_ptr(), 1), CKR_OK);
        assert_eq!(sign(session, b"digest"), Err(CKR_OPERATION_ACTIVE));
        assert_eq!(
            C_SignUpdate(session, byte.as_mut_ptr(), 1),
            CKR_OPERATION_NOT_INITIALIZED
        );
        // NULL as mechanism cancels, and so does C_SessionCancel; with nothing to cancel NULL is a mistake.
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(C_SignInit(session, null_mut(), 0), CKR_OK);
        assert_eq!(C_SignInit(session, null_mut(), 0), CKR_ARGUMENTS_BAD);
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(C_SessionCancel(session, CKF_SIGN), CKR_OK);
        assert_eq!(sign(session, b"digest"), over);
        // A verification ends, whatever it says.
        let mut ecdsa = mechanism(CKM_ECDSA);
        for (bytes, expected) in [(63, CKR_SIGNATURE_LEN_RANGE), (64, CKR_SIGNATURE_INVALID)] {
            assert_eq!(C_VerifyInit(session, &mut ecdsa, public), CKR_OK);
            let mut verify = || C_Verify(session, byte.as_mut_ptr(), 1, out.as_mut_ptr(), bytes);
            assert_eq!(verify(), expected);
            assert_eq!(verify(), CKR_OPERATION_NOT_INITIALIZED);
        }
        // What runs can not be saved; what does not run, neither.
        assert_eq!(
            C_GetOperationState(session, null_mut(), &mut length),
            CKR_OPERATION_NOT_INITIALIZED
        );
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(
            C_GetOperationState(session, null_mut(), &mut length),
            CKR_STATE_UNSAVEABLE
        );
        assert_eq!(C_SessionCancel(session, CKF_SIGN), CKR_OK);
    }
}

fn several_kinds_run_at_once(session: CK_SESSION_HANDLE) {
    let (public, private) = pair(session, b"at once", false, &[]);
    let key = create(session, &aes(&[])).unwrap();
    unsafe {
        let (mut sha, mut ecdsa) = (mechanism(CKM_SHA256), mechanism(CKM_ECDSA));
        assert_eq!(C_DigestInit(session, &mut sha), CKR_OK);
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(C_VerifyInit(session, &mut ecdsa, public), CKR_OK);
        assert_eq!(C_FindObjectsInit(session, null_mut(), 0), CKR_OK);
        assert_eq!(C_FindObjectsInit(session, null_mut(), 0), CKR_OPERATION_ACTIVE);
        assert_eq!(C_DigestKey(session, key), CKR_OK);
        assert_eq!(C_DigestKey(session, public), CKR_KEY_INDIGESTIBLE);
        let all = CKF_DIGEST | CKF_SIGN | CKF_VERIFY | CKF_FIND_OBJECTS;
        assert_eq!(C_SessionCancel(session, all), CKR_OK);
        assert_eq!(C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    }
}

/// What FreeRTOS' own test does: it asks for a length, leaves the operation, and makes the key anew.
fn a_key_that_is_destroyed_ends_what_uses_it(session: CK_SESSION_HANDLE) {
    let (_, private) = pair(session, b"Device Priv TLS Key", true, &[]);
    let mut length = 0;
    unsafe {
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(
            C_Sign(session, [0; 32].as_mut_ptr(), 32, null_mut(), &mut length),
            CKR_OK
        );
        let template = [
            attribute(CKA_LABEL, b"Device Priv TLS Key"),
            number(CKA_CLASS, CKO_PRIVATE_KEY),
        ];
        assert_eq!(find(session, &template), [private]);
        assert_eq!(C_DestroyObject(session, private), CKR_OK);
        assert_eq!(C_DestroyObject(session, private), CKR_OBJECT_HANDLE_INVALID);
        assert!(find(session, &template).is_empty());
        let (_, again) = pair(session, b"Device Priv TLS Key", true, &[]);
        assert!(again > private, "no handle comes back");
        assert_eq!(sign_init(session, CKM_ECDSA, again), CKR_OK);
        assert!(sign(session, &[7; 32]).is_ok());
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_KEY_HANDLE_INVALID);
        assert_eq!(C_DestroyObject(session, again), CKR_OK);
    }
    let stays = create(
        session,
        &[&data(false)[..], &[flag(CKA_DESTROYABLE, false)]].concat(),
    )
    .unwrap();
    unsafe { assert_eq!(C_DestroyObject(session, stays), CKR_ACTION_PROHIBITED) };
}

fn keys_that_always_ask(session: CK_SESSION_HANDLE) {
    let (_, private) = pair(session, b"asks", true, &[flag(CKA_ALWAYS_AUTHENTICATE, true)]);
    assert_eq!(value(session, private, CKA_ALWAYS_AUTHENTICATE), Ok(vec![1]));
    for _ in 0..2 {
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(sign(session, &[7; 32]), Err(CKR_USER_NOT_LOGGED_IN));
        assert_eq!(sign_init(session, CKM_ECDSA, private), CKR_OK);
        assert_eq!(login(session, CKU_CONTEXT_SPECIFIC, b"wrong"), CKR_PIN_INCORRECT);
        assert_eq!(login(session, CKU_CONTEXT_SPECIFIC, PIN), CKR_OK);
        assert!(sign(session, &[7; 32]).is_ok());
    }
}

fn uses(session: CK_SESSION_HANDLE) {
    let (public, private) = pair(session, b"uses", false, &[flag(CKA_SIGN, false)]);
    assert_eq!(
        sign_init(session, CKM_ECDSA, private),
        CKR_KEY_FUNCTION_NOT_PERMITTED
    );
    assert_eq!(
        sign_init(session, CKM_ECDSA, public),
        CKR_KEY_FUNCTION_NOT_PERMITTED
    );
    assert_eq!(sign_init(session, CKM_SHA256, private), CKR_MECHANISM_INVALID);
    assert_eq!(sign_init(session, CKM_MD5, private), CKR_MECHANISM_INVALID);
    let key = create(session, &aes(&[])).unwrap();
    assert_eq!(sign_init(session, CKM_ECDSA, key), CKR_KEY_TYPE_INCONSISTENT);
    let allowed = [CKM_ECDSA_SHA256];
    let (_, narrow) = pair(
        session,
        b"narrow",
        false,
        &[attribute(CKA_ALLOWED_MECHANISMS, &allowed)],
    );
    assert_eq!(sign_init(session, CKM_ECDSA, narrow), CKR_MECHANISM_INVALID);
    assert_eq!(sign_init(session, CKM_ECDSA_SHA256, narrow), CKR_OK);
    unsafe { assert_eq!(C_SignInit(session, null_mut(), 0), CKR_OK) };
    for (kind, name) in [
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, &b"\x13\x0Cedwards25519"[..]),
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, b"\x06\x03\x2B\x65\x70"),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, b"\x06\x03\x2B\x65\x6E"),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, b"\x13\x0Bcurve25519"),
    ] {
        let (public, private) = generate(session, kind, &[attribute(CKA_EC_PARAMS, name)], &[]).unwrap();
        assert_eq!(value(session, public, CKA_EC_POINT).unwrap().len(), 34);
        assert_eq!(value(session, public, CKA_ID), value(session, private, CKA_ID));
        assert_eq!(
            value(session, public, CKA_PUBLIC_KEY_INFO),
            value(session, private, CKA_PUBLIC_KEY_INFO)
        );
    }
    let x25519 = [attribute(CKA_EC_PARAMS, b"\x06\x03\x2B\x65\x6E")];
    let crossed = generate(session, CKM_EC_EDWARDS_KEY_PAIR_GEN, &x25519, &[]);
    assert_eq!(crossed, Err(CKR_CURVE_NOT_SUPPORTED));
    let curve = [attribute(CKA_EC_PARAMS, &[5_u8, 0])];
    assert_eq!(
        generate(session, CKM_EC_KEY_PAIR_GEN, &curve, &[]),
        Err(CKR_CURVE_NOT_SUPPORTED)
    );
    assert_eq!(
        generate(session, CKM_EC_KEY_PAIR_GEN, &[], &[]),
        Err(CKR_TEMPLATE_INCOMPLETE)
    );
    assert_eq!(
        generate(session, CKM_ECDSA, &curve, &[]),
        Err(CKR_MECHANISM_INVALID)
    );
    assert_eq!(secret(session, CKM_SHA256, &[]), Err(CKR_MECHANISM_INVALID));
}

fn ciphers(session: CK_SESSION_HANDLE) {
    let key = secret(session, CKM_AES_KEY_GEN, &[number(CKA_VALUE_LEN, 32)]).unwrap();
    assert_eq!(
        secret(session, CKM_AES_KEY_GEN, &[]),
        Err(CKR_TEMPLATE_INCOMPLETE)
    );
    assert_eq!(
        secret(session, CKM_AES_KEY_GEN, &[number(CKA_VALUE_LEN, 17)]),
        Err(CKR_KEY_SIZE_RANGE)
    );
    let (mut ecb, mut text) = (mechanism(CKM_AES_ECB), *b"sixteen bytes of sixteen bytes !");
    let (mut out, mut length) = ([0_u8; 64], 0);
    unsafe {
        assert_eq!(C_EncryptInit(session, &mut ecb, key), CKR_OK);
        assert_eq!(C_EncryptInit(session, &mut ecb, key), CKR_OPERATION_ACTIVE);
        assert_eq!(
            C_Encrypt(session, text.as_mut_ptr(), 32, null_mut(), &mut length),
            CKR_OK
        );
        assert_eq!(length, 32);
        length = 31;
        let small = C_Encrypt(session, text.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
        assert_eq!((small, length), (CKR_BUFFER_TOO_SMALL, 32));
        assert_eq!(
            C_Encrypt(session, text.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
            CKR_OK
        );
        let again = C_Encrypt(session, text.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
        assert_eq!(again, CKR_OPERATION_NOT_INITIALIZED);
        // In parts, and in place.
        assert_eq!(C_DecryptInit(session, &mut ecb, key), CKR_OK);
        let (mut first, mut second) = (16, 16);
        let place = out.as_mut_ptr();
        assert_eq!(C_DecryptUpdate(session, place, 16, place, &mut first), CKR_OK);
        assert_eq!(
            C_DecryptUpdate(session, place.add(16), 16, place.add(16), &mut second),
            CKR_OK
        );
        assert_eq!((first, second, &out[..32]), (16, 16, &text[..]));
        assert_eq!(
            C_Decrypt(session, place, 16, place, &mut first),
            CKR_OPERATION_ACTIVE
        );
        assert_eq!(
            C_DecryptFinal(session, place, &mut first),
            CKR_OPERATION_NOT_INITIALIZED
        );
        // Half a block is no data of this mechanism, and the end of the operation.
        assert_eq!(C_EncryptInit(session, &mut ecb, key), CKR_OK);
        length = 64;
        assert_eq!(
            C_Encrypt(session, text.as_mut_ptr(), 31, place, &mut length),
            CKR_DATA_LEN_RANGE
        );
        assert_eq!(
            C_EncryptFinal(session, place, &mut length),
            CKR_OPERATION_NOT_INITIALIZED
        );
        let (_, private) = pair(session, b"no cipher", false, &[]);
        assert_eq!(
            C_EncryptInit(session, &mut ecb, private),
            CKR_KEY_FUNCTION_NOT_PERMITTED
        );
        let mut sha = mechanism(CKM_SHA256);
        assert_eq!(C_EncryptInit(session, &mut sha, key), CKR_MECHANISM_INVALID);
    }
}

fn wrap(session: CK_SESSION_HANDLE, with: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, CK_RV> {
    let (mut kw, mut out, mut length) = (mechanism(CKM_AES_KEY_WRAP), vec![0; 512], 512);
    let rv = unsafe { C_WrapKey(session, &mut kw, with, key, out.as_mut_ptr(), &mut length) };
    out.truncate(length as usize);
    if rv == CKR_OK { Ok(out) } else { Err(rv) }
}

fn unwrap(
    session: CK_SESSION_HANDLE,
    with: CK_OBJECT_HANDLE,
    wrapped: &[u8],
    template: &[CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut kw, mut template, mut key) = (mechanism(CKM_AES_KEY_WRAP), template.to_vec(), 0);
    let count = template.len() as CK_ULONG;
    let (wrapped, length) = bytes(wrapped);
    let rv = unsafe {
        C_UnwrapKey(
            session,
            &mut kw,
            with,
            wrapped,
            length,
            template.as_mut_ptr(),
            count,
            &mut key,
        )
    };
    if rv == CKR_OK { Ok(key) } else { Err(rv) }
}

fn wrapping(session: CK_SESSION_HANDLE) {
    let wrapper = |more: &[CK_ATTRIBUTE]| {
        let own = [
            number(CKA_VALUE_LEN, 32),
            flag(CKA_WRAP, true),
            flag(CKA_UNWRAP, true),
        ];
        secret(session, CKM_AES_KEY_GEN, &[&own, more].concat()).unwrap()
    };
    let target = |more: &[CK_ATTRIBUTE]| create(session, &aes(more)).unwrap();
    let narrow = [flag(CKA_DECRYPT, false), flag(CKA_ENCRYPT, false)];
    let with = wrapper(&narrow);
    let free = target(&[flag(CKA_EXTRACTABLE, true)]);
    let wrapped = wrap(session, with, free).unwrap();
    assert_eq!(wrapped.len(), 24);
    for (what, with, key, expected) in [
        ("it never leaves", with, target(&[]), CKR_KEY_UNEXTRACTABLE),
        ("it decrypts, too", wrapper(&[]), free, CKR_KEY_NOT_WRAPPABLE),
        (
            "it wraps nothing",
            secret(session, CKM_AES_KEY_GEN, &[number(CKA_VALUE_LEN, 32)]).unwrap(),
            free,
            CKR_KEY_FUNCTION_NOT_PERMITTED,
        ),
        (
            "nobody trusts it",
            with,
            target(&[flag(CKA_EXTRACTABLE, true), flag(CKA_WRAP_WITH_TRUSTED, true)]),
            CKR_KEY_NOT_WRAPPABLE,
        ),
        ("it is not there", 99_999, free, CKR_WRAPPING_KEY_HANDLE_INVALID),
        ("the key is not there", with, 99_999, CKR_KEY_HANDLE_INVALID),
    ] {
        assert_eq!(wrap(session, with, key), Err(expected), "{what}");
    }
    // Who decrypts may wrap what is no secret.
    let open = target(&[flag(CKA_EXTRACTABLE, true), flag(CKA_SENSITIVE, false)]);
    assert!(wrap(session, wrapper(&[]), open).is_ok());
    let only = [flag(CKA_ENCRYPT, false)];
    let choosy = wrapper(&[&narrow[..], &[attribute(CKA_WRAP_TEMPLATE, &only)]].concat());
    assert_eq!(wrap(session, choosy, free), Err(CKR_KEY_NOT_WRAPPABLE));
    assert!(
        wrap(
            session,
            choosy,
            target(&[flag(CKA_EXTRACTABLE, true), flag(CKA_ENCRYPT, false)])
        )
        .is_ok()
    );

    let kind = [number(CKA_CLASS, CKO_SECRET_KEY), number(CKA_KEY_TYPE, CKK_AES)];
    let back = unwrap(session, with, &wrapped, &kind).unwrap();
    for (kind, expected) in [
        (CKA_LOCAL, 0),
        (CKA_ALWAYS_SENSITIVE, 0),
        (CKA_NEVER_EXTRACTABLE, 0),
        (CKA_SENSITIVE, 1),
    ] {
        assert_eq!(value(session, back, kind), Ok(vec![expected]), "{kind:#x}");
    }
    assert_eq!(
        value(session, back, CKA_CHECK_VALUE),
        value(session, free, CKA_CHECK_VALUE)
    );
    let mut torn = wrapped.clone();
    torn[3] ^= 1;
    assert_eq!(unwrap(session, with, &torn, &kind), Err(CKR_WRAPPED_KEY_INVALID));
    assert_eq!(
        unwrap(session, with, &wrapped, &kind[..1]),
        Err(CKR_TEMPLATE_INCOMPLETE)
    );
    assert_eq!(
        unwrap(session, 99_999, &wrapped, &kind),
        Err(CKR_UNWRAPPING_KEY_HANDLE_INVALID)
    );
    let demands = [flag(CKA_EXTRACTABLE, false)];
    let demanding = wrapper(&[&narrow[..], &[attribute(CKA_UNWRAP_TEMPLATE, &demands)]].concat());
    let wrapped = wrap(session, demanding, free).unwrap();
    let wish = [&kind[..], &[flag(CKA_EXTRACTABLE, true)]].concat();
    assert_eq!(
        unwrap(session, demanding, &wrapped, &wish),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
    assert!(unwrap(session, demanding, &wrapped, &kind).is_ok());
    // A private key goes the same way, as its PKCS #8.
    let (_, private) = pair(session, b"leaves", false, &[flag(CKA_EXTRACTABLE, true)]);
    let mut padded = mechanism(CKM_AES_KEY_WRAP_KWP);
    let (mut out, mut length) = ([0_u8; 512], 512);
    unsafe {
        assert_eq!(
            C_WrapKey(session, &mut padded, with, private, out.as_mut_ptr(), &mut length),
            CKR_OK
        );
        let mut template = [number(CKA_CLASS, CKO_PRIVATE_KEY), number(CKA_KEY_TYPE, CKK_EC)];
        let mut key = 0;
        let rv = C_UnwrapKey(
            session,
            &mut padded,
            with,
            out.as_mut_ptr(),
            length,
            template.as_mut_ptr(),
            2,
            &mut key,
        );
        assert_eq!(rv, CKR_OK);
        assert_eq!(
            value(session, key, CKA_PUBLIC_KEY_INFO),
            value(session, private, CKA_PUBLIC_KEY_INFO)
        );
        assert_eq!(sign_init(session, CKM_ECDSA, key), CKR_OK);
        assert!(sign(session, &[7; 32]).is_ok());
    }
}

fn deriving(session: CK_SESSION_HANDLE) {
    let (public, private) = pair(session, b"agrees", false, &[flag(CKA_DERIVE, true)]);
    let mut point = value(session, public, CKA_EC_POINT).unwrap();
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_mut_ptr(),
    };
    let mut ecdh = CK_MECHANISM {
        mechanism: CKM_ECDH1_DERIVE,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<CK_ECDH1_DERIVE_PARAMS>() as CK_ULONG,
    };
    let mut derive = |base, template: &[CK_ATTRIBUTE]| {
        let (mut template, mut key) = (template.to_vec(), 0);
        let count = template.len() as CK_ULONG;
        let rv = unsafe { C_DeriveKey(session, &mut ecdh, base, template.as_mut_ptr(), count, &mut key) };
        if rv == CKR_OK { Ok(key) } else { Err(rv) }
    };
    let open = [flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)];
    let secret = derive(private, &open).unwrap();
    assert_eq!(value(session, secret, CKA_VALUE).unwrap().len(), 32);
    assert_eq!(
        value(session, secret, CKA_KEY_TYPE),
        Ok(CKK_GENERIC_SECRET.to_ne_bytes().to_vec())
    );
    let sealed = derive(
        private,
        &[number(CKA_KEY_TYPE, CKK_AES), number(CKA_VALUE_LEN, 16)],
    )
    .unwrap();
    for kind in [CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
        assert_eq!(
            value(session, sealed, kind),
            Ok(vec![1]),
            "as its base: {kind:#x}"
        );
        assert_eq!(value(session, secret, kind), Ok(vec![0]), "{kind:#x}");
    }
    assert_eq!(derive(public, &open), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(
        derive(private, &[number(CKA_CLASS, CKO_PRIVATE_KEY)]),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
    assert_eq!(derive(99_999, &open), Err(CKR_KEY_HANDLE_INVALID));
    let (_, other) = pair(session, b"agrees not", false, &[]);
    assert_eq!(derive(other, &open), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}

fn randomness(session: CK_SESSION_HANDLE) {
    let (mut first, mut second) = ([0_u8; 40], [0_u8; 40]);
    unsafe {
        assert_eq!(C_SeedRandom(session, null_mut(), 4), CKR_ARGUMENTS_BAD);
        for bytes in [&mut first, &mut second] {
            assert_eq!(C_SeedRandom(session, b"seed".as_ptr().cast_mut(), 4), CKR_OK);
            assert_eq!(C_GenerateRandom(session, bytes.as_mut_ptr(), 40), CKR_OK);
        }
    }
    assert_ne!(first, second, "a seed is added and never all there is");
}

fn profiles(session: CK_SESSION_HANDLE) {
    let found = find(session, &[number(CKA_CLASS, CKO_PROFILE)]);
    let ids: Vec<_> = found
        .iter()
        .map(|profile| value(session, *profile, CKA_PROFILE_ID).unwrap()[0])
        .collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    for profile in found {
        unsafe { assert_eq!(C_DestroyObject(session, profile), CKR_ACTION_PROHIBITED) };
        assert_eq!(
            set(session, profile, attribute(CKA_LABEL, b"x")),
            CKR_ACTION_PROHIBITED
        );
    }
}

fn sessions_own_their_objects(session: CK_SESSION_HANDLE) {
    let label = attribute(CKA_LABEL, b"of a session");
    let other = open(0, false);
    let own = create(other, &[&data(false)[..], &[label]].concat()).unwrap();
    assert_eq!(find(session, &[label]), [own], "every session sees it");
    unsafe { assert_eq!(C_CloseSession(other), CKR_OK) };
    assert!(find(session, &[label]).is_empty());
    assert_eq!(value(session, own, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
}

fn read_only_sessions() {
    let session = open(0, false);
    assert_eq!(login(session, CKU_USER, PIN), CKR_OK);
    let kept = find(session, &[attribute(CKA_LABEL, b"copy")]);
    assert_eq!(kept.len(), 1, "token objects outlive sessions");
    assert!(create(session, &data(false)).is_ok());
    let on_token = [&data(false)[..], &[flag(CKA_TOKEN, true)]].concat();
    assert_eq!(create(session, &on_token), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(
        set(session, kept[0], attribute(CKA_LABEL, b"x")),
        CKR_SESSION_READ_ONLY
    );
    unsafe {
        assert_eq!(C_DestroyObject(session, kept[0]), CKR_SESSION_READ_ONLY);
        // What is private is gone with the login.
        assert_eq!(C_Logout(session), CKR_OK);
        assert!(find(session, &[attribute(CKA_LABEL, b"copy")]).is_empty());
        assert_eq!(value(session, kept[0], CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(C_CloseSession(session), CKR_OK);
    }
}

/// In a forked child nothing is initialized, and it may begin for itself.
fn a_child_begins_anew() {
    let session = open(0, false);
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = unsafe {
            let mut info = CK_SESSION_INFO::default();
            let foreign = C_GetSessionInfo(session, &mut info) == CKR_CRYPTOKI_NOT_INITIALIZED
                && C_Finalize(null_mut()) == CKR_CRYPTOKI_NOT_INITIALIZED;
            let own = C_Initialize(null_mut()) == CKR_OK
                && C_Initialize(null_mut()) == CKR_CRYPTOKI_ALREADY_INITIALIZED
                && C_GetSessionInfo(session, &mut info) == CKR_SESSION_HANDLE_INVALID
                && C_Finalize(null_mut()) == CKR_OK;
            i32::from(!(foreign && own))
        };
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    unsafe {
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0, "the child says what it saw by its code");
        assert_eq!(C_GetSessionInfo(session, &mut CK_SESSION_INFO::default()), CKR_OK);
    }
}

fn waiting_ends_with_the_library() {
    let mut slot = 0;
    unsafe {
        assert_eq!(
            C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, null_mut()),
            CKR_NO_EVENT
        )
    };
    let waiting = std::thread::spawn(|| {
        let mut slot = 0;
        unsafe { C_WaitForSlotEvent(0, &mut slot, null_mut()) }
    });
    // Whether it waits already or not yet: it must end.
    std::thread::yield_now();
    unsafe { assert_eq!(C_Finalize(null_mut()), CKR_OK) };
    assert_eq!(waiting.join().unwrap(), CKR_CRYPTOKI_NOT_INITIALIZED);
}
