//! Signing with a software key costs not one allocation more than the bare library. One test, since the counter is one for the
//! whole process.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use identity::key::Curve;
use token::Hash;
use token::crypto::{EcPrivate, Key, Mechanism, Sign};

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: each call is the system's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The fewest of many tries: a signature is sometimes shorter, and the test's own runtime allocates now and then.
fn fewest(mut call: impl FnMut()) -> usize {
    let tries = (0..200).map(|_| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        call();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    });
    tries.min().unwrap()
}

#[test]
fn signing_allocates_no_more_than_the_library() {
    let private = EcPrivate::generate(Curve::P256).unwrap();
    let document = private.secret().unwrap();
    let bare = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document).unwrap();
    let key = Arc::new(Key::EcPrivate(Box::new(private)));
    let (made, mut out) = (digest(&SHA256, b"data"), [0; 64]);
    let least = fewest(|| {
        let digest = Digest::import_less_safe(made.as_ref(), &SHA256).unwrap();
        out.copy_from_slice(bare.sign_digest(&digest).unwrap().as_ref());
    });
    let raw = fewest(|| {
        let mut sign = Sign::new(&Mechanism::Ecdsa(None), &key).unwrap();
        sign.sign(made.as_ref(), &mut out).unwrap();
    });
    let hashed = fewest(|| {
        let mut sign = Sign::new(&Mechanism::Ecdsa(Some(Hash::Sha256)), &key).unwrap();
        sign.sign(b"data", &mut out).unwrap();
    });
    assert_eq!((raw, hashed), (least, least));
}
