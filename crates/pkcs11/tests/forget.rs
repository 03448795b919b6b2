//! After `C_Finalize` nothing of a private key is left in the memory of the process, and at no time is anything of it in the
//! files: another process looks.
//!
//! The program is this file again, started by the test. It makes keys of every type, in the token and in a session, uses them,
//! ends the library and waits; the test then reads all of its memory but the stack. What programs hold themselves is not the
//! library's to wipe, so the program wipes its own buffers.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![expect(clippy::print_stdout, reason = "one process tells the other")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;
use support::*;
use zeroize::Zeroize as _;

const FOLDER: &str = "BIRTHMARK_TEST_FORGET";
/// So many bytes of a key in a row are a piece of it.
const PIECE_BYTES: usize = 16;
/// What is told from one process to the other must not look like the key.
const MASK: u8 = 0xA7;
/// This is found wherever it is: so the search works.
const FOUND_ALWAYS: [u8; 32] = *b"the search finds what is there..";

/// One secret, as the test that looks for it has it.
struct Wanted {
    name: String,
    bytes: Vec<u8>,
}

#[test]
fn nothing_of_a_private_key_is_left_behind() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return use_keys(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    // With one thread the work is done on the process's own stack.
    program.args(["--exact", "nothing_of_a_private_key_is_left_behind"]);
    program
        .args(["--test-threads=1", "--nocapture"])
        .env(FOLDER, folder.path());
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut wanted, mut seen) = (Vec::new(), Vec::new());
    for line in lines.by_ref().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["secret", name, hex] => wanted.push(Wanted {
                name: (*name).to_owned(),
                bytes: unmasked(hex),
            }),
            ["look", when] => {
                seen.push(((*when).to_owned(), search(child.id(), &wanted)));
                child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            }
            _ => {}
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(wanted.len() >= 11, "only {} secrets", wanted.len());
    let [(_, in_use), (_, at_the_end)] = &seen[..] else {
        panic!("looked {} times", seen.len())
    };
    for found in [in_use, at_the_end] {
        assert!(found.contains(&"always".to_owned()), "the search finds nothing");
    }
    assert!(in_use.len() > 1, "keys that are in use are somewhere: {in_use:?}");
    // Private data are no key: their seal is checked in the files, and what a program asked for again is its own to wipe.
    let left: Vec<_> = at_the_end.iter().filter(|name| *name != "data").collect();
    assert_eq!(left, ["always"], "left in memory");
    in_no_file(folder.path(), &wanted);
}

fn in_no_file(folder: &Path, wanted: &[Wanted]) {
    let mut files = 0;
    for entry in fs::read_dir(folder.join("token0")).unwrap() {
        let path = entry.unwrap().path();
        let found = pieces_in(&fs::read(&path).unwrap(), wanted);
        assert!(found.is_empty(), "{found:?} in {}", path.display());
        files += 1;
    }
    assert_eq!(files, 3);
}

// The process that looks.

fn unmasked(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap() ^ MASK;
    digits.map(byte).collect()
}

/// The names of secrets that have a piece in the memory of a process, save in its stack.
fn search(process: u32, wanted: &[Wanted]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let skipped = words
            .get(5)
            .is_some_and(|name| name.starts_with("[stack") || name.starts_with("[v"));
        if !words[1].starts_with("rw") || skipped {
            continue;
        }
        let (start, end) = words[0].split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        memory.seek(SeekFrom::Start(start)).unwrap();
        if memory.read_exact(&mut bytes).is_ok() {
            found.extend(pieces_in(&bytes, wanted));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Numbers stand in memory in both orders.
fn pieces_in(bytes: &[u8], wanted: &[Wanted]) -> Vec<String> {
    let mut pieces = std::collections::HashMap::new();
    for secret in wanted {
        let backwards: Vec<u8> = secret.bytes.iter().rev().copied().collect();
        for order in [&secret.bytes, &backwards] {
            for piece in order.chunks_exact(PIECE_BYTES) {
                pieces.insert(<[u8; PIECE_BYTES]>::try_from(piece).unwrap(), &secret.name);
            }
        }
    }
    // Few windows begin like a piece does.
    let mut begins = vec![false; 1 << 16];
    for piece in pieces.keys() {
        begins[usize::from(u16::from_ne_bytes([piece[0], piece[1]]))] = true;
    }
    let windows = bytes.array_windows_of();
    let found = windows.filter(|window| begins[usize::from(u16::from_ne_bytes([window[0], window[1]]))]);
    found
        .filter_map(|window| pieces.get(window).map(|name| (*name).clone()))
        .collect()
}

trait Windows {
    fn array_windows_of(&self) -> impl Iterator<Item = &[u8; PIECE_BYTES]>;
}

impl Windows for [u8] {
    fn array_windows_of(&self) -> impl Iterator<Item = &[u8; PIECE_BYTES]> {
        self.windows(PIECE_BYTES)
            .filter_map(|window| window.try_into().ok())
    }
}

// The process that has secrets.

/// Tells the other process what to look for.
fn tell(name: &str, bytes: &[u8]) {
    print!("secret {name} ");
    for byte in bytes {
        print!("{:02x}", byte ^ MASK);
    }
    println!();
}

/// Waits while the other process looks.
fn look(when: &str) {
    println!("look {when}");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn use_keys(folder: &Path) {
    let always = Box::new(FOUND_ALWAYS);
    println!();
    tell("always", &FOUND_ALWAYS);
    configure(folder, 1);
    unsafe { assert_eq!(C_Initialize(null_mut()), CKR_OK) };
    init_token(0);
    let session = open(0, true);
    assert_eq!(login(session, CKU_USER, PIN), CKR_OK);
    for on_token in [true, false] {
        curve_from_outside(session, on_token);
        curve_made_here(session, on_token);
        secrets(session, on_token);
        rsa(session, on_token);
    }
    edwards(session);
    private_data(session);
    look("in-use");
    unsafe { assert_eq!(C_Finalize(null_mut()), CKR_OK) };
    look("at-the-end");
    assert_eq!(*always, FOUND_ALWAYS);
}

fn name(what: &str, on_token: bool) -> String {
    format!("{what}-{}", if on_token { "token" } else { "session" })
}

/// Tells a value that the library gave, and wipes the copy.
fn tell_value(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, kind: CK_ATTRIBUTE_TYPE, name: &str) {
    let mut value = value(session, key, kind).unwrap();
    tell(name, &value);
    value.zeroize();
}

fn signs(session: CK_SESSION_HANDLE, kind: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) {
    assert_eq!(sign_init(session, kind, key), CKR_OK);
    let (mut signature, mut length) = ([0; 512], 512);
    let digest = [7_u8; 32];
    let data = digest.as_ptr().cast_mut();
    let done = unsafe { C_Sign(session, data, 32, signature.as_mut_ptr(), &mut length) };
    assert_eq!(done, CKR_OK);
}

/// Bytes that nobody else has, from the library itself.
fn random(session: CK_SESSION_HANDLE) -> [u8; 32] {
    let mut bytes = [0; 32];
    unsafe { assert_eq!(C_GenerateRandom(session, bytes.as_mut_ptr(), 32), CKR_OK) };
    // Below the order of the curve.
    bytes[0] &= 0x7F;
    bytes
}

fn curve_from_outside(session: CK_SESSION_HANDLE, on_token: bool) {
    let mut scalar = random(session);
    let template = [
        number(CKA_CLASS, CKO_PRIVATE_KEY),
        number(CKA_KEY_TYPE, CKK_EC),
        flag(CKA_TOKEN, on_token),
        flag(CKA_SIGN, true),
        attribute(CKA_EC_PARAMS, &P256),
        attribute(CKA_VALUE, &scalar),
    ];
    let key = create(session, &template).unwrap();
    tell(&name("imported-scalar", on_token), &scalar);
    scalar.zeroize();
    signs(session, CKM_ECDSA, key);
}

fn open_private(on_token: bool) -> [CK_ATTRIBUTE; 4] {
    [
        flag(CKA_TOKEN, on_token),
        flag(CKA_SIGN, true),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
    ]
}

fn curve_made_here(session: CK_SESSION_HANDLE, on_token: bool) {
    let public = [attribute(CKA_EC_PARAMS, &P256), flag(CKA_TOKEN, on_token)];
    let made = generate(session, CKM_EC_KEY_PAIR_GEN, &public, &open_private(on_token));
    let (_, key) = made.unwrap();
    tell_value(session, key, CKA_VALUE, &name("generated-scalar", on_token));
    signs(session, CKM_ECDSA, key);
}

fn edwards(session: CK_SESSION_HANDLE) {
    const ED25519: [u8; 5] = [0x06, 0x03, 0x2B, 0x65, 0x70];
    let public = [attribute(CKA_EC_PARAMS, &ED25519), flag(CKA_TOKEN, true)];
    let made = generate(session, CKM_EC_EDWARDS_KEY_PAIR_GEN, &public, &open_private(true));
    let (_, key) = made.unwrap();
    tell_value(session, key, CKA_VALUE, "edwards");
    signs(session, CKM_EDDSA, key);
}

fn secrets(session: CK_SESSION_HANDLE, on_token: bool) {
    for (what, class, kind) in [
        ("aes", CKK_AES, CKM_AES_CMAC),
        ("generic", CKK_GENERIC_SECRET, CKM_SHA256_HMAC),
    ] {
        let mut bytes = random(session);
        let template = [
            number(CKA_CLASS, CKO_SECRET_KEY),
            number(CKA_KEY_TYPE, class),
            flag(CKA_TOKEN, on_token),
            flag(CKA_SIGN, true),
            attribute(CKA_VALUE, &bytes),
        ];
        let key = create(session, &template).unwrap();
        tell(&name(what, on_token), &bytes);
        bytes.zeroize();
        signs(session, kind, key);
    }
}

fn rsa(session: CK_SESSION_HANDLE, on_token: bool) {
    let public = [number(CKA_MODULUS_BITS, 2048), flag(CKA_TOKEN, on_token)];
    let made = generate(
        session,
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        &public,
        &open_private(on_token),
    );
    let (_, key) = made.unwrap();
    for (what, part) in [
        ("prime-1", CKA_PRIME_1),
        ("prime-2", CKA_PRIME_2),
        ("exponent", CKA_PRIVATE_EXPONENT),
        ("coefficient", CKA_COEFFICIENT),
    ] {
        tell_value(session, key, part, &name(what, on_token));
    }
    signs(session, CKM_SHA256_RSA_PKCS, key);
}

/// Not a key, but as private.
fn private_data(session: CK_SESSION_HANDLE) {
    let mut bytes = random(session);
    let template = [
        number(CKA_CLASS, CKO_DATA),
        flag(CKA_TOKEN, true),
        flag(CKA_PRIVATE, true),
        attribute(CKA_VALUE, &bytes),
    ];
    let object = create(session, &template).unwrap();
    tell("data", &bytes);
    bytes.zeroize();
    let mut told = value(session, object, CKA_VALUE).unwrap();
    told.zeroize();
}
