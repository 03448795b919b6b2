//! Threads that begin, sign, look and end at the same time: exactly one begins, nobody gets a wrong answer, nothing is left
//! behind.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

mod support;

use std::ptr::null_mut;
use std::sync::{Arc, Barrier};
use std::thread;

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;
use support::*;

const THREADS: usize = 8;
const ROUNDS: usize = 6;

#[test]
fn threads_begin_sign_look_and_end_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), 1);
    unsafe { assert_eq!(C_Initialize(null_mut()), CKR_OK) };
    init_token(0);
    let session = open(0, true);
    assert_eq!(login(session, CKU_USER, PIN), CKR_OK);
    // Public, so that those who come after an end need no login; what signs is a session's own.
    pair(session, b"everybody's", true, &[flag(CKA_PRIVATE, false)]);
    one_session_is_shared(session);
    unsafe { assert_eq!(C_Finalize(null_mut()), CKR_OK) };
    for round in 0..ROUNDS {
        one_begins(round);
        some_work_while_one_ends(round);
    }
}

/// A session that threads share never crashes, and a signature that comes out is right.
fn one_session_is_shared(session: CK_SESSION_HANDLE) {
    let (public, private) = pair(session, b"shared", false, &[]);
    let work = move || {
        for _ in 0..50 {
            let begun = sign_init(session, CKM_ECDSA, private);
            assert!([CKR_OK, CKR_OPERATION_ACTIVE].contains(&begun), "{begun:#x}");
            let (mut signature, mut length) = ([0; 64], 64);
            let digest = [7_u8; 32];
            unsafe {
                let done = C_Sign(
                    session,
                    digest.as_ptr().cast_mut(),
                    32,
                    signature.as_mut_ptr(),
                    &mut length,
                );
                assert!(
                    [CKR_OK, CKR_OPERATION_NOT_INITIALIZED].contains(&done),
                    "{done:#x}"
                );
                if done == CKR_OK {
                    let own = open(0, false);
                    let mut ecdsa = mechanism(CKM_ECDSA);
                    assert_eq!(C_VerifyInit(own, &mut ecdsa, public), CKR_OK);
                    let data = digest.as_ptr().cast_mut();
                    assert_eq!(C_Verify(own, data, 32, signature.as_mut_ptr(), 64), CKR_OK);
                    assert_eq!(C_CloseSession(own), CKR_OK);
                }
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(work)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn one_begins(round: usize) {
    let barrier = Arc::new(Barrier::new(THREADS));
    let begin = |barrier: Arc<Barrier>| {
        thread::spawn(move || {
            barrier.wait();
            unsafe { C_Initialize(null_mut()) }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|_| begin(Arc::clone(&barrier))).collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    let counted = (count(CKR_OK), count(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    assert_eq!(counted, (1, THREADS - 1), "round {round}");
}

/// Until somebody ends it everything works; afterwards everything says so.
fn some_work_while_one_ends(round: usize) {
    let barrier = Arc::new(Barrier::new(THREADS + 1));
    let spawn = |barrier: Arc<Barrier>| {
        thread::spawn(move || {
            let mut session = 0;
            let rv = unsafe { C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session) };
            barrier.wait();
            assert_eq!(rv, CKR_OK);
            while works(session) {}
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|_| spawn(Arc::clone(&barrier))).collect();
    barrier.wait();
    // Some rounds end at once, some after some work.
    for _ in 0..round * 3 {
        thread::yield_now();
    }
    unsafe { assert_eq!(C_Finalize(null_mut()), CKR_OK) };
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    unsafe { assert_eq!(C_Finalize(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED) };
}

/// Looks for the key and signs with it; false when the library has ended.
fn works(session: CK_SESSION_HANDLE) -> bool {
    let mut template = [
        attribute(CKA_LABEL, b"everybody's"),
        number(CKA_CLASS, CKO_PRIVATE_KEY),
    ];
    let (mut found, mut count) = ([0; 2], 0);
    let (mut ecdsa, mut signature, mut length) = (mechanism(CKM_ECDSA), [0; 64], 64);
    let digest = [7_u8; 32];
    let steps: [&mut dyn FnMut() -> CK_RV; 4] = unsafe {
        [
            &mut || C_FindObjectsInit(session, template.as_mut_ptr(), 2),
            &mut || C_FindObjects(session, found.as_mut_ptr(), 2, &mut count),
            &mut || C_FindObjectsFinal(session),
            &mut || C_DigestInit(session, &mut mechanism(CKM_SHA256)),
        ]
    };
    for step in steps {
        match step() {
            CKR_OK => {}
            CKR_CRYPTOKI_NOT_INITIALIZED => return false,
            other => panic!("{other:#x}"),
        }
    }
    assert_eq!(count, 1);
    unsafe {
        // Nobody has logged in, so the key cannot be opened; it is there all the same.
        let begun = C_SignInit(session, &mut ecdsa, found[0]);
        assert!(
            [CKR_OK, CKR_USER_NOT_LOGGED_IN, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&begun),
            "{begun:#x}"
        );
        if begun == CKR_OK {
            let data = digest.as_ptr().cast_mut();
            C_Sign(session, data, 32, signature.as_mut_ptr(), &mut length);
        }
        let ended = C_SessionCancel(session, CKF_DIGEST | CKF_SIGN);
        ended == CKR_OK
    }
}
