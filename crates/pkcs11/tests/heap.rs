//! Keys that are agreed with, wrapped, unwrapped, and opened again from the files leave nothing behind either: `forget` looks at
//! keys in their plain use, from another process; this one takes them further, through two lives of the library, and looks from
//! inside. One test, since the library is one for the whole process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]
#![allow(dead_code, reason = "the caller has more words than this test needs")]

#[path = "wycheproof/caller.rs"]
mod caller;

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use caller::{Session, Template, bare, finalized, initialized, mechanism};
use cryptoki_sys::*;
use token::crypto::{Key, Mechanism, PairKind, generate_pair};
use zeroize::{Zeroize, Zeroizing};

/// What is looked for: parts of secrets, never in memory as they are.
#[derive(Default)]
struct Needles(Vec<(&'static str, Vec<u8>)>);

const MASK: u8 = 0xA5;
/// So many bytes of a secret do not stand anywhere by chance.
const NEEDLE_BYTES: usize = 12;

impl Needles {
    /// Remembers the beginning and the end of a secret, in both orders of bytes: the library's numbers begin with the least.
    fn add(&mut self, name: &'static str, secret: &[u8]) {
        let mut backwards = Zeroizing::new(secret.to_vec());
        backwards.reverse();
        for form in [secret, &backwards] {
            for part in [&form[..NEEDLE_BYTES], &form[form.len() - NEEDLE_BYTES..]] {
                let masked = part.iter().map(|byte| byte ^ MASK).collect();
                self.0.push((name, masked));
            }
        }
    }

    /// Which of them stand in these bytes: one pass that looks at two bytes, and closer only where they fit.
    fn within(&self, bytes: &[u8]) -> Vec<&'static str> {
        let start = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        let mut starts = vec![false; 1 << 16];
        for (_, needle) in &self.0 {
            starts[start(needle)] = true;
        }
        let mask = usize::from(MASK) << 8 | usize::from(MASK);
        let mut found = Vec::new();
        for (at, _) in bytes
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| starts[start(pair) ^ mask])
        {
            let Some(window) = bytes.get(at..at + NEEDLE_BYTES) else {
                break;
            };
            let same = |needle: &[u8]| {
                window
                    .iter()
                    .zip(needle)
                    .all(|(byte, masked)| *byte == masked ^ MASK)
            };
            found.extend(
                self.0
                    .iter()
                    .filter(|(_, needle)| same(needle))
                    .map(|(name, _)| *name),
            );
        }
        found
    }
}

/// Writable memory of this process that no file and no stack is behind.
fn heap(needles: &Needles) -> Vec<&'static str> {
    let here = 0_u8;
    let stack = std::ptr::from_ref(&here).addr() as u64;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = fs::File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let name = words.nth(3).unwrap_or_default();
        let (start, end) = range.split_once('-').unwrap();
        let number = |digits| u64::from_str_radix(digits, 16).unwrap();
        let (start, end) = (number(start), number(end));
        let is_heap = rights.starts_with("rw") && (name.is_empty() || name == "[heap]");
        if !is_heap || (start..end).contains(&stack) {
            continue;
        }
        // What is never touched is not there, and cannot be read.
        let mut bytes = vec![0; (end - start) as usize];
        memory.seek(SeekFrom::Start(start)).unwrap();
        if memory.read_exact(&mut bytes).is_ok() {
            found.extend(needles.within(&bytes));
        }
        bytes.zeroize();
    }
    found
}

fn files(folder: &Path, needles: &Needles) -> Vec<&'static str> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path(), needles));
        } else {
            found.extend(needles.within(&fs::read(entry.path()).unwrap()));
        }
    }
    found
}

const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

/// Creates an object of a template whose values are wiped afterwards.
fn create(session: &Session, mut template: Template) -> CK_OBJECT_HANDLE {
    let object = session.create_of(&mut template).unwrap();
    template.wipe();
    object
}

fn curve_key(session: &Session, needles: &mut Needles, kept: bool) -> CK_OBJECT_HANDLE {
    let Key::EcPrivate(key) =
        generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ec(identity_curve())).unwrap()
    else {
        panic!("no key on a curve");
    };
    let scalar = key.scalar().unwrap();
    needles.add("a key on a curve", &scalar);
    let template = Template::new(CKO_PRIVATE_KEY, CKK_EC)
        .flag(CKA_TOKEN, kept)
        .flag(CKA_SIGN, true)
        .flag(CKA_DERIVE, true)
        .flag(CKA_EXTRACTABLE, true)
        .bytes(CKA_EC_PARAMS, P256)
        .bytes(CKA_VALUE, &scalar);
    create(session, template)
}

const fn identity_curve() -> identity::key::Curve {
    identity::key::Curve::P256
}

fn rsa_key(session: &Session, needles: &mut Needles) -> CK_OBJECT_HANDLE {
    let kind = PairKind::Rsa {
        bits: 2048,
        public_exponent: vec![1, 0, 1],
    };
    let Key::RsaPrivate(key) = generate_pair(&Mechanism::RsaKeyPairGen, &kind).unwrap() else {
        panic!("no RSA key");
    };
    let parts = key.parts().unwrap();
    needles.add("a prime", &parts.prime_1);
    needles.add("a prime", &parts.prime_2);
    needles.add("a private exponent", &parts.private_exponent);
    let template = Template::new(CKO_PRIVATE_KEY, CKK_RSA)
        .flag(CKA_TOKEN, true)
        .flag(CKA_SIGN, true)
        .flag(CKA_EXTRACTABLE, true)
        .bytes(CKA_MODULUS, &parts.modulus)
        .bytes(CKA_PUBLIC_EXPONENT, &parts.public_exponent)
        .bytes(CKA_PRIVATE_EXPONENT, &parts.private_exponent)
        .bytes(CKA_PRIME_1, &parts.prime_1)
        .bytes(CKA_PRIME_2, &parts.prime_2)
        .bytes(CKA_EXPONENT_1, &parts.exponent_1)
        .bytes(CKA_EXPONENT_2, &parts.exponent_2)
        .bytes(CKA_COEFFICIENT, &parts.coefficient);
    create(session, template)
}

fn aes_key(session: &Session, needles: &mut Needles) -> CK_OBJECT_HANDLE {
    let mut value = Zeroizing::new([0; 32]);
    assert_eq!(
        unsafe { C_GenerateRandom(session.0, value.as_mut_ptr(), 32) },
        CKR_OK
    );
    needles.add("an AES key", &*value);
    let template = Template::new(CKO_SECRET_KEY, CKK_AES)
        .flag(CKA_TOKEN, true)
        .flag(CKA_WRAP, true)
        .flag(CKA_UNWRAP, true)
        .flag(CKA_ENCRYPT, true)
        .flag(CKA_DECRYPT, false)
        .bytes(CKA_VALUE, &*value);
    create(session, template)
}

fn sign(session: &Session, mut mechanism: CK_MECHANISM, key: CK_OBJECT_HANDLE) {
    let (mut data, mut signature, mut bytes) = ([7; 32], [0; 512], 512);
    unsafe {
        assert_eq!(C_SignInit(session.0, &mut mechanism, key), CKR_OK);
        let signed = C_Sign(
            session.0,
            data.as_mut_ptr(),
            32,
            signature.as_mut_ptr(),
            &mut bytes,
        );
        assert_eq!(signed, CKR_OK);
    }
}

fn agree(session: &Session, key: CK_OBJECT_HANDLE) {
    let Key::EcPrivate(peer) =
        generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ec(identity_curve())).unwrap()
    else {
        panic!("no key on a curve");
    };
    let mut point = peer.public().ec_point().unwrap().to_vec();
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_mut_ptr(),
    };
    let derived = session.derive(mechanism(CKM_ECDH1_DERIVE, Some(&mut parameter)), key, None);
    assert_eq!(derived.unwrap().len(), 32);
}

/// Wraps the key and unwraps it again, as an object of the session.
fn wrap_and_unwrap(
    session: &Session,
    wrapping: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    key_type: CK_KEY_TYPE,
) {
    let mut mechanism = bare(CKM_AES_KEY_WRAP_KWP);
    let (mut wrapped, mut bytes) = (vec![0; 4096], 4096);
    unsafe {
        let done = C_WrapKey(
            session.0,
            &mut mechanism,
            wrapping,
            key,
            wrapped.as_mut_ptr(),
            &mut bytes,
        );
        assert_eq!(done, CKR_OK);
        let mut template = Template::new(CKO_PRIVATE_KEY, key_type).flag(CKA_SIGN, true);
        let (mut lines, mut again) = (template.lines(), 0);
        let done = C_UnwrapKey(
            session.0,
            &mut mechanism,
            wrapping,
            wrapped.as_mut_ptr(),
            bytes,
            lines.as_mut_ptr(),
            lines.len() as CK_ULONG,
            &mut again,
        );
        assert_eq!(done, CKR_OK);
        let number = if key_type == CKK_RSA {
            CKM_SHA256_RSA_PKCS
        } else {
            CKM_ECDSA
        };
        sign(session, bare(number), again);
    }
}

#[test]
fn wrapping_and_agreement_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut needles = Needles::default();
    initialized(folder.path());
    let session = Session::open();
    let curve = curve_key(&session, &mut needles, true);
    let other = curve_key(&session, &mut needles, false);
    let rsa = rsa_key(&session, &mut needles);
    let aes = aes_key(&session, &mut needles);
    for key in [curve, other] {
        sign(&session, bare(CKM_ECDSA), key);
        agree(&session, key);
        wrap_and_unwrap(&session, aes, key, CKK_EC);
    }
    sign(&session, bare(CKM_SHA256_RSA_PKCS), rsa);
    wrap_and_unwrap(&session, aes, rsa, CKK_RSA);
    session.encrypt(bare(CKM_AES_ECB), aes, &[1; 64]).unwrap();
    drop(session);
    finalized();
    assert_eq!(
        heap(&needles),
        Vec::<&str>::new(),
        "in the heap after the first life"
    );
    assert_eq!(files(folder.path(), &needles), Vec::<&str>::new(), "in the files");

    caller::begun();
    let session = Session::open();
    for (class, key_type, number) in [
        (CKO_PRIVATE_KEY, CKK_EC, CKM_ECDSA),
        (CKO_PRIVATE_KEY, CKK_RSA, CKM_SHA256_RSA_PKCS),
    ] {
        let key = session.find(Template::new(class, key_type)).unwrap();
        sign(&session, bare(number), key);
    }
    let aes = session.find(Template::new(CKO_SECRET_KEY, CKK_AES)).unwrap();
    session.encrypt(bare(CKM_AES_ECB), aes, &[1; 64]).unwrap();
    drop(session);
    finalized();
    assert_eq!(
        heap(&needles),
        Vec::<&str>::new(),
        "in the heap after the second life"
    );
}
