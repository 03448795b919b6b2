//! The C functions of the PKCS #11 module, as a hostile program calls them: any order, any handle, any length, NULL where bytes
//! should be, and pointers into one arena whose every byte comes from the fuzzer. What a pointer is said to lead to lies in the
//! arena: more than that no library can check.

mod parameters;

use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;

use parameters::MECHANISMS;

const PIN: [u8; 4] = *b"1234";
const ARENA_WORDS: usize = 512;
const CALLS_MAX: usize = 64;
/// The longest structure that a program keeps.
const KEPT_WORDS: usize = 10;

/// A token in a folder of its own, made once.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("birthmark-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the token");
        let config = folder.join("pkcs11.toml");
        let slots = format!(
            "[[slot]]\nbackend = \"flash\"\ndirectory = {:?}\n",
            folder.join("token")
        );
        std::fs::write(&config, slots).expect("the configuration");
        // SAFETY: no other thread of the fuzzer reads the environment yet.
        unsafe { std::env::set_var("BIRTHMARK_PKCS11_CONF", &config) };
        make_token();
        folder
    })
}

fn make_token() {
    let (mut pin, mut label) = (PIN, [b' '; 32]);
    // SAFETY: every pointer is NULL or leads to a value of this function.
    unsafe {
        assert_eq!(C_Initialize(null_mut()), CKR_OK);
        assert_eq!(C_InitToken(0, pin.as_mut_ptr(), 4, label.as_mut_ptr()), CKR_OK);
        let session = open(true);
        assert_eq!(C_Login(session, CKU_SO, pin.as_mut_ptr(), 4), CKR_OK);
        assert_eq!(C_InitPIN(session, pin.as_mut_ptr(), 4), CKR_OK);
        assert_eq!(C_CloseSession(session), CKR_OK);
    }
}

fn open(writes: bool) -> CK_SESSION_HANDLE {
    let mut session = 0;
    let flags = CKF_SERIAL_SESSION | if writes { CKF_RW_SESSION } else { 0 };
    // SAFETY: the handle is a value of this function.
    unsafe { C_OpenSession(0, flags, null_mut(), None, &mut session) };
    session
}

/// A session that keeps the user logged in: a login takes longer than a hundred programs.
fn stay_logged_in() {
    static KEEPER: AtomicU64 = AtomicU64::new(0);
    let (mut info, mut pin) = (CK_SESSION_INFO::default(), PIN);
    // SAFETY: every pointer is NULL or leads to a value of this function.
    unsafe {
        C_Initialize(null_mut());
        let known = KEEPER.load(Ordering::Relaxed);
        if C_GetSessionInfo(known, &mut info) == CKR_OK && info.state == CKS_RO_USER_FUNCTIONS {
            return;
        }
        let session = open(false);
        KEEPER.store(session, Ordering::Relaxed);
        C_Login(session, CKU_USER, pin.as_mut_ptr(), 4);
    }
}

/// One program.
pub(super) fn calls(bytes: &[u8]) {
    folder();
    stay_logged_in();
    let mut program = Program::new(bytes);
    program.session = open(false);
    program.sessions.push(program.session);
    for _ in 0..CALLS_MAX {
        let Some(function) = program.next() else { break };
        let answer = program.call(function);
        assert_ne!(answer, CKR_GENERAL_ERROR, "function {function} panicked");
    }
    // What is left over would be another program's beginning.
    for session in program.sessions {
        // SAFETY: it takes no pointer.
        unsafe { C_CloseSession(session) };
    }
}

struct Program<'a> {
    bytes: &'a [u8],
    arena: Box<[u64; ARENA_WORDS]>,
    session: CK_SESSION_HANDLE,
    sessions: Vec<CK_SESSION_HANDLE>,
    objects: Vec<CK_OBJECT_HANDLE>,
    /// What pointers outside of the arena lead to, for as long as the program runs.
    kept: Vec<Box<[CK_ATTRIBUTE]>>,
    words: Vec<Box<[u64; KEPT_WORDS]>>,
}

const CURVES: &[&[u8]] = &[
    &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7],
    &[6, 5, 0x2B, 0x81, 4, 0, 0x22],
    &[6, 3, 0x2B, 0x65, 0x70],
    &[6, 3, 0x2B, 0x65, 0x6E],
];

const KINDS: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKA_CERTIFICATE_TYPE,
    CKA_TRUSTED,
    CKA_CHECK_VALUE,
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_DERIVE,
    CKA_START_DATE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_WRAP_TEMPLATE,
    CKA_UNWRAP_TEMPLATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_PROFILE_ID,
    0x7FFF_FFFF,
];

impl<'a> Program<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut arena = Box::new([0; ARENA_WORDS]);
        for (word, chunk) in arena.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(padded);
        }
        Self {
            bytes,
            arena,
            session: 0,
            sessions: Vec::new(),
            objects: Vec::new(),
            kept: Vec::new(),
            words: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// Bytes somewhere: none, none but with a length, or as many in the arena.
    fn buffer(&mut self) -> (*mut u8, CK_ULONG) {
        let (kind, at, length) = (self.byte(), self.byte(), self.byte());
        let room = ARENA_WORDS * 8;
        let at = usize::from(at) * 8 % room;
        match kind % 8 {
            0 => (null_mut(), 0),
            1 => (null_mut(), CK_ULONG::from(length)),
            2 => (null_mut(), CK_ULONG::MAX),
            3 => (self.at(at), 0),
            _ => (self.at(at), usize::from(length).min(room - at) as CK_ULONG),
        }
    }

    fn at(&mut self, at: usize) -> *mut u8 {
        // SAFETY: `at` is smaller than the arena.
        unsafe { self.arena.as_mut_ptr().cast::<u8>().add(at) }
    }

    /// A length that is read and written; sometimes none. `room` is how much there is at most.
    fn room(&mut self, room: CK_ULONG) -> *mut CK_ULONG {
        match self.byte() % 8 {
            0 => null_mut(),
            _ => self.keep(room),
        }
    }

    /// A value that stays where it is.
    fn keep<T>(&mut self, value: T) -> *mut T {
        assert!(size_of::<T>() <= size_of::<[u64; KEPT_WORDS]>() && align_of::<T>() <= align_of::<u64>());
        self.words.push(Box::new([0; KEPT_WORDS]));
        let place: *mut T = self
            .words
            .last_mut()
            .map_or(null_mut(), |words| words.as_mut_ptr().cast());
        // SAFETY: there is room for it, as was asserted, and it is aligned.
        unsafe { place.write(value) };
        place
    }

    fn handle(&mut self) -> CK_OBJECT_HANDLE {
        let byte = self.byte();
        match self.objects.get(usize::from(byte) % 16) {
            Some(object) if byte < 240 => *object,
            _ => CK_OBJECT_HANDLE::from(byte),
        }
    }

    fn session(&mut self) -> CK_SESSION_HANDLE {
        match self.byte() {
            0 => 0,
            1 => CK_ULONG::MAX,
            _ => self.session,
        }
    }

    /// Attributes, most of them as they should be.
    fn template(&mut self, nested: bool) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        let count = usize::from(self.byte() % 12);
        if self.byte() == 0 {
            return (null_mut(), count as CK_ULONG);
        }
        let lines: Vec<_> = (0..count).map(|_| self.line(nested)).collect();
        self.kept.push(lines.into_boxed_slice());
        let first = self
            .kept
            .last_mut()
            .map_or(null_mut(), |lines| lines.as_mut_ptr());
        (first, count as CK_ULONG)
    }

    fn line(&mut self, nested: bool) -> CK_ATTRIBUTE {
        let kind = KINDS[usize::from(self.byte()) % KINDS.len()];
        let (value, length) = match (kind, self.byte() % 8) {
            (CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE, _) if !nested => {
                let (lines, count) = self.template(true);
                (
                    lines.cast(),
                    count.wrapping_mul(size_of::<CK_ATTRIBUTE>() as CK_ULONG),
                )
            }
            // Whatever else stands there would be pointers that lead nowhere.
            (CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE, _) => (null_mut(), 0),
            (_, 0..=1) => self.buffer(),
            (CKA_EC_PARAMS, _) => {
                let curve = CURVES[usize::from(self.byte()) % CURVES.len()];
                (curve.as_ptr().cast_mut(), curve.len() as CK_ULONG)
            }
            (CKA_CLASS | CKA_KEY_TYPE | CKA_VALUE_LEN | CKA_MODULUS_BITS, _) => {
                let number = CK_ULONG::from(self.byte() % 0x44);
                (self.keep(number).cast(), size_of::<CK_ULONG>() as CK_ULONG)
            }
            (CKA_VALUE | CKA_LABEL | CKA_ID | CKA_EC_POINT, _) => self.buffer(),
            _ => {
                let flag = self.byte() & 1;
                (self.keep(flag), 1)
            }
        };
        CK_ATTRIBUTE {
            type_: kind,
            pValue: value.cast(),
            ulValueLen: length,
        }
    }

    fn mechanism(&mut self) -> *mut CK_MECHANISM {
        let chosen = self.byte();
        if chosen == 255 {
            return null_mut();
        }
        let (kind, parameter) = MECHANISMS[usize::from(chosen) % MECHANISMS.len()];
        let (place, length) = self.parameter(chosen, parameter);
        self.keep(CK_MECHANISM {
            mechanism: kind,
            pParameter: place.cast(),
            ulParameterLen: length,
        })
    }

    fn out(&mut self) -> *mut CK_OBJECT_HANDLE {
        match self.byte() {
            0 => null_mut(),
            _ => self.keep(0),
        }
    }

    fn note(&mut self, object: *mut CK_OBJECT_HANDLE) {
        // SAFETY: NULL or a handle that this program keeps.
        if let Some(object) = unsafe { object.as_ref() }.filter(|object| **object != 0) {
            self.objects.truncate(15);
            self.objects.insert(0, *object);
        }
    }

    fn call(&mut self, function: u8) -> CK_RV {
        let session = self.session();
        // SAFETY: each pointer is NULL, or leads to as many bytes as are said, in the arena or in memory that stays.
        unsafe {
            match function % 48 {
                0..=3 => self.making(session, function % 4),
                4 => {
                    let (lines, count) = self.template(false);
                    C_FindObjectsInit(session, lines, count)
                }
                5 => {
                    let mut found = [0; 8];
                    let count = self.room(0);
                    let answer = C_FindObjects(session, found.as_mut_ptr(), 8, count);
                    found.iter_mut().for_each(|object| self.note(object));
                    answer
                }
                6 => C_FindObjectsFinal(session),
                7..=8 => {
                    let (object, (lines, count)) = (self.handle(), self.template(true));
                    C_GetAttributeValue(session, object, lines, count)
                }
                9 => {
                    let (object, (lines, count)) = (self.handle(), self.template(false));
                    C_SetAttributeValue(session, object, lines, count)
                }
                10 => {
                    let (object, (lines, count), out) = (self.handle(), self.template(false), self.out());
                    let answer = C_CopyObject(session, object, lines, count, out);
                    self.note(out);
                    answer
                }
                11 => {
                    let object = self.handle();
                    C_DestroyObject(session, object)
                }
                12 => {
                    let (object, room) = (self.handle(), self.room(0));
                    C_GetObjectSize(session, object, room)
                }
                13..=19 => self.beginning(session, function % 48 - 13),
                20..=38 => self.going_on(session, function % 48 - 20),
                39 => C_SessionCancel(session, CK_FLAGS::from(self.byte()) << 8),
                40 => {
                    let (bytes, length) = self.buffer();
                    C_GenerateRandom(session, bytes, length)
                }
                41 => {
                    let (bytes, length) = self.buffer();
                    C_SeedRandom(session, bytes, length)
                }
                42 => {
                    let (bytes, room) = (self.buffer(), self.room(0));
                    C_GetOperationState(session, bytes.0, room)
                }
                43 => C_CloseSession(CK_SESSION_HANDLE::from(self.byte())),
                44 => {
                    self.session = open(false);
                    self.sessions.push(self.session);
                    CKR_OK
                }
                45 => {
                    let (bytes, length) = self.buffer();
                    C_LoginUser(session, CKU_CONTEXT_SPECIFIC, bytes, length, null_mut(), 0)
                }
                46 => C_GetMechanismInfo(0, CK_MECHANISM_TYPE::from(self.byte()), null_mut()),
                _ => C_WaitForSlotEvent(CKF_DONT_BLOCK, null_mut(), null_mut()),
            }
        }
    }

    /// # Safety
    /// As every call here: the pointers are made by this program.
    unsafe fn making(&mut self, session: CK_SESSION_HANDLE, which: u8) -> CK_RV {
        let (lines, count) = self.template(false);
        let out = self.out();
        // SAFETY: as above.
        let answer = unsafe {
            match which {
                0 => C_CreateObject(session, lines, count, out),
                1 => C_GenerateKey(session, self.mechanism(), lines, count, out),
                2 => {
                    let (more, more_count) = self.template(false);
                    let second = self.out();
                    let mechanism = self.mechanism();
                    let answer =
                        C_GenerateKeyPair(session, mechanism, lines, count, more, more_count, out, second);
                    self.note(second);
                    answer
                }
                _ => {
                    let (mechanism, base) = (self.mechanism(), self.handle());
                    if self.byte() % 2 == 0 {
                        C_DeriveKey(session, mechanism, base, lines, count, out)
                    } else {
                        let (bytes, length) = self.buffer();
                        C_UnwrapKey(session, mechanism, base, bytes, length, lines, count, out)
                    }
                }
            }
        };
        self.note(out);
        answer
    }

    /// # Safety
    /// As [`Self::making`].
    unsafe fn beginning(&mut self, session: CK_SESSION_HANDLE, which: u8) -> CK_RV {
        let (mechanism, key) = (self.mechanism(), self.handle());
        // SAFETY: as above.
        unsafe {
            match which {
                0 => C_EncryptInit(session, mechanism, key),
                1 => C_DecryptInit(session, mechanism, key),
                2 => C_DigestInit(session, mechanism),
                3 => C_SignInit(session, mechanism, key),
                4 => C_VerifyInit(session, mechanism, key),
                5 => C_SignRecoverInit(session, mechanism, key),
                _ => C_VerifyRecoverInit(session, mechanism, key),
            }
        }
    }

    /// # Safety
    /// As [`Self::making`].
    unsafe fn going_on(&mut self, session: CK_SESSION_HANDLE, which: u8) -> CK_RV {
        let ((data, length), (out, room)) = (self.buffer(), self.buffer());
        // A buffer that is not there has no room that could be used.
        let bytes = if out.is_null() { 0 } else { room };
        let room = self.room(bytes);
        let key = self.handle();
        // SAFETY: as above.
        unsafe {
            match which {
                0 => C_Encrypt(session, data, length, out, room),
                1 => C_EncryptUpdate(session, data, length, out, room),
                2 => C_EncryptFinal(session, out, room),
                3 => C_Decrypt(session, data, length, out, room),
                4 => C_DecryptUpdate(session, data, length, out, room),
                5 => C_DecryptFinal(session, out, room),
                6 => C_Digest(session, data, length, out, room),
                7 => C_DigestUpdate(session, data, length),
                8 => C_DigestFinal(session, out, room),
                9 => C_DigestKey(session, key),
                10 => C_Sign(session, data, length, out, room),
                11 => C_SignUpdate(session, data, length),
                12 => C_SignFinal(session, out, room),
                13 => C_Verify(session, data, length, out, bytes),
                14 => C_VerifyUpdate(session, data, length),
                15 => C_VerifyFinal(session, data, length),
                16 => C_SignRecover(session, data, length, out, room),
                17 => C_VerifyRecover(session, data, length, out, room),
                _ => {
                    let (mechanism, target) = (self.mechanism(), self.handle());
                    C_WrapKey(session, mechanism, key, target, out, room)
                }
            }
        }
    }
}
