//! What TLS 1.2 derives, through the C functions: master secrets with the version told, the keys of a connection in the structure
//! that the mechanism's parameter points to, and the code of a Finished message. The answers are OpenSSL's (`openssl kdf
//! TLS1-PRF`). One test, since the library is one for the whole process.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]
#![allow(dead_code, reason = "the caller has more words than this test needs")]

#[path = "wycheproof/caller.rs"]
mod caller;

use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use caller::{Session, Template, finalized, initialized, mechanism};
use cryptoki_sys::*;

const MASTER: &str =
    "3dd6a74faabc60729989592834c19c0e1f70accb6584130af76bcec37ddb3cdc9f228e7b4e66f3d26d24170a81261cd1";
const EXTENDED: &str =
    "6ff59a93d2b794ed4fa112931a0e9ee296b6c77f227f57d301668199c2018be845ea36460762f2afabe0c25ad037f8f4";
const KEYS: &str = "6840c50af5007d4310fc4b4b86d5cda8b8e038c26b8d9f56d621d2f7bb845a840452baaf92f03f5e54449d0f58c3d5319ca033eb\
                    51c3d9fe81829c4825e5718919eed520ff6c047bb22863762c470ec95d6a27ea18e31ba0601eed0fcedf06a8d1f0c5e1737f4dc3\
                    a1e4e954cd93e403";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn randoms(client: &mut [u8; 32], server: &mut [u8; 32]) -> CK_SSL3_RANDOM_DATA {
    CK_SSL3_RANDOM_DATA {
        pClientRandom: client.as_mut_ptr(),
        ulClientRandomLen: 32,
        pServerRandom: server.as_mut_ptr(),
        ulServerRandomLen: 32,
    }
}

/// A secret that may be derived from and read.
fn secret(session: &Session, value: &[u8]) -> CK_OBJECT_HANDLE {
    let template = Template::new(CKO_SECRET_KEY, CKK_GENERIC_SECRET)
        .flag(CKA_DERIVE, true)
        .flag(CKA_SIGN, true)
        .flag(CKA_EXTRACTABLE, true)
        .flag(CKA_SENSITIVE, false)
        .bytes(CKA_VALUE, value);
    session.create(template).unwrap()
}

#[test]
fn a_tls_connection_has_its_secrets_from_the_token() {
    let folder = tempfile::tempdir().unwrap();
    initialized(folder.path());
    let session = Session::open();
    let premaster: Vec<u8> = [3, 3].into_iter().chain(7..53).collect();
    let base = secret(&session, &premaster);
    masters(&session, base);
    let master: Vec<u8> = (0..48)
        .map(|at| u8::from_str_radix(&MASTER[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let master = secret(&session, &master);
    keys(&session, master);
    finished(&session, master);
    drop(session);
    finalized();
}

fn masters(session: &Session, base: CK_OBJECT_HANDLE) {
    let (mut client, mut server, mut version) = ([0xC1; 32], [0x5E; 32], CK_VERSION::default());
    let mut parameter = CK_TLS12_MASTER_KEY_DERIVE_PARAMS {
        RandomInfo: randoms(&mut client, &mut server),
        pVersion: &mut version,
        prfHashMechanism: CKM_SHA256,
    };
    let found = session.derive(
        mechanism(CKM_TLS12_MASTER_KEY_DERIVE, Some(&mut parameter)),
        base,
        None,
    );
    assert_eq!(hex(&found.unwrap()), MASTER);
    assert_eq!((version.major, version.minor), (3, 3));
    // Without a place for the version there is nothing to be done.
    parameter.pVersion = null_mut();
    let nowhere = session.derive(
        mechanism(CKM_TLS12_MASTER_KEY_DERIVE, Some(&mut parameter)),
        base,
        None,
    );
    assert!(nowhere.is_err());
    let found = session.derive(
        mechanism(CKM_TLS12_MASTER_KEY_DERIVE_DH, Some(&mut parameter)),
        base,
        None,
    );
    assert_eq!(hex(&found.unwrap()), MASTER);
    let (mut session_hash, mut version) = ([0xAB; 32], CK_VERSION::default());
    let mut parameter = CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS {
        prfHashMechanism: CKM_SHA256,
        pSessionHash: session_hash.as_mut_ptr(),
        ulSessionHashLen: 32,
        pVersion: &mut version,
    };
    let extended = mechanism(CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, Some(&mut parameter));
    assert_eq!(hex(&session.derive(extended, base, None).unwrap()), EXTENDED);
    assert_eq!((version.major, version.minor), (3, 3));
}

fn keys(session: &Session, master: CK_OBJECT_HANDLE) {
    let (mut client, mut server) = ([0xC1; 32], [0x5E; 32]);
    let mut ivs = [[0; 4]; 2];
    let [client_iv, server_iv] = &mut ivs;
    let mut out = CK_SSL3_KEY_MAT_OUT {
        pIVClient: client_iv.as_mut_ptr(),
        pIVServer: server_iv.as_mut_ptr(),
        ..CK_SSL3_KEY_MAT_OUT::default()
    };
    let mut parameter = CK_TLS12_KEY_MAT_PARAMS {
        ulMacSizeInBits: 160,
        ulKeySizeInBits: 256,
        ulIVSizeInBits: 32,
        bIsExport: CK_FALSE,
        RandomInfo: randoms(&mut client, &mut server),
        pReturnedKeyMaterial: &mut out,
        prfHashMechanism: CKM_SHA256,
    };
    let mut chosen = mechanism(CKM_TLS12_KEY_AND_MAC_DERIVE, Some(&mut parameter));
    let mut template = Template::new(CKO_SECRET_KEY, CKK_AES)
        .flag(CKA_EXTRACTABLE, true)
        .flag(CKA_SENSITIVE, false);
    let mut lines = template.lines();
    let (at, count) = (lines.as_mut_ptr(), lines.len() as CK_ULONG);
    let derived = unsafe { C_DeriveKey(session.0, &mut chosen, master, at, count, null_mut()) };
    assert_eq!(derived, CKR_OK);
    let handles = [
        out.hClientMacSecret,
        out.hServerMacSecret,
        out.hClientKey,
        out.hServerKey,
    ];
    let mut all = handles.map(|key| session.value(key)).concat();
    all.extend(ivs.concat());
    assert_eq!(hex(&all), KEYS);
    parameter.pReturnedKeyMaterial = null_mut();
    let mut chosen = mechanism(CKM_TLS12_KEY_AND_MAC_DERIVE, Some(&mut parameter));
    let derived = unsafe { C_DeriveKey(session.0, &mut chosen, master, at, count, null_mut()) };
    assert_eq!(derived, CKR_MECHANISM_PARAM_INVALID);
}

fn finished(session: &Session, master: CK_OBJECT_HANDLE) {
    for (side, wanted) in [(2, "1b55f14e281d2294b4d8b414"), (1, "87d6723a53759e52b0528fe3")] {
        let mut parameter = CK_TLS_MAC_PARAMS {
            prfHashMechanism: CKM_SHA256,
            ulMacLength: 12,
            ulServerOrClient: side,
        };
        let mut chosen = mechanism(CKM_TLS_MAC, Some(&mut parameter));
        let (mut hash, mut code, mut bytes) = ([0xAB; 32], [0; 12], 12);
        unsafe {
            assert_eq!(C_SignInit(session.0, &mut chosen, master), CKR_OK);
            let signed = C_Sign(session.0, hash.as_mut_ptr(), 32, code.as_mut_ptr(), &mut bytes);
            assert_eq!((signed, bytes), (CKR_OK, 12));
        }
        assert_eq!(hex(&code), wanted);
    }
}
