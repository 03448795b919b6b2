//! A PKCS #11 module loaded from its file: the few calls that the bench makes, and all of its unsafe code.
//!
//! It must add as little as it can to a call: `sign` and `find` are the C functions and nothing else.

use std::path::Path;
use std::ptr;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_OBJECT_HANDLE,
    CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CKF_OS_LOCKING_OK,
    CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_TOKEN_INITIALIZED, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKR_OK,
    CKU_SO, CKU_USER, Pkcs11,
};

use crate::Outcome;

pub(super) const PIN: &[u8] = b"12345678";
/// A raw signature on P-256.
const SIGNATURE_BYTES: usize = 64;

/// A module that was initialized.
pub(super) struct Module {
    functions: CK_FUNCTION_LIST,
    /// Keeps the file loaded.
    _library: Pkcs11,
}

/// An open session.
#[derive(Clone, Copy)]
pub(super) struct Session(CK_SESSION_HANDLE);

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object(CK_OBJECT_HANDLE);

/// One line of a template.
pub(super) struct Line<'a>(pub(super) CK_ATTRIBUTE_TYPE, pub(super) &'a [u8]);

macro_rules! call {
    ($module:expr, $name:ident($($argument:expr),*)) => {{
        let function = $module.functions.$name.ok_or(concat!("no ", stringify!($name)))?;
        // SAFETY: the function comes from the module's own table, and every pointer is to something that lives longer than
        // the call and is as long as the number beside it says (PKCS #11 v3.1, section 5).
        check(stringify!($name), unsafe { function($($argument),*) })
    }};
}

fn check(name: &str, result: CK_RV) -> Outcome<()> {
    if result == CKR_OK {
        return Ok(());
    }
    Err(format!("{name} answered {result:#x}").into())
}

fn length(bytes: &[u8]) -> CK_ULONG {
    bytes.len() as CK_ULONG
}

fn template(lines: &[Line<'_>]) -> Vec<CK_ATTRIBUTE> {
    let attribute = |line: &Line<'_>| CK_ATTRIBUTE {
        type_: line.0,
        pValue: line.1.as_ptr().cast_mut().cast(),
        ulValueLen: length(line.1),
    };
    lines.iter().map(attribute).collect()
}

/// A template that is ready to be used again and again.
pub(super) struct Template<'a> {
    lines: Vec<CK_ATTRIBUTE>,
    _bytes: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> Template<'a> {
    pub(super) fn new(lines: &[Line<'a>]) -> Self {
        Self {
            lines: template(lines),
            _bytes: std::marker::PhantomData,
        }
    }
}

impl Module {
    /// Loads and initializes a module.
    pub(super) fn load(path: &Path) -> Outcome<Self> {
        // SAFETY: a PKCS #11 module runs no code at loading that asks for anything.
        let library = unsafe { Pkcs11::new(path) }?;
        let mut list = ptr::null_mut();
        // SAFETY: the pointer is to a pointer that lives here.
        check("C_GetFunctionList", unsafe {
            library.C_GetFunctionList(&raw mut list)
        })?;
        // SAFETY: the module answers with its own table, which lives as long as it is loaded.
        let functions = *unsafe { list.as_ref() }.ok_or("a module without functions")?;
        let module = Self {
            functions,
            _library: library,
        };
        module.initialize()?;
        Ok(module)
    }

    /// `C_Initialize` for a program with threads.
    pub(super) fn initialize(&self) -> Outcome<()> {
        let mut arguments = CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: CKF_OS_LOCKING_OK,
            pReserved: ptr::null_mut(),
        };
        call!(self, C_Initialize((&raw mut arguments).cast()))
    }

    pub(super) fn finalize(&self) -> Outcome<()> {
        call!(self, C_Finalize(ptr::null_mut()))
    }

    fn slots(&self) -> Outcome<Vec<CK_SLOT_ID>> {
        let mut count = 0;
        call!(self, C_GetSlotList(1, ptr::null_mut(), &raw mut count))?;
        let mut slots = vec![0; usize::try_from(count)?];
        call!(self, C_GetSlotList(1, slots.as_mut_ptr(), &raw mut count))?;
        Ok(slots)
    }

    fn token(&self, slot: CK_SLOT_ID) -> Outcome<CK_TOKEN_INFO> {
        let mut info = CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo(slot, &raw mut info))?;
        Ok(info)
    }

    /// The slot with this token.
    pub(super) fn slot(&self, label: &str) -> Outcome<CK_SLOT_ID> {
        for slot in self.slots()? {
            let info = self.token(slot)?;
            let known = info.flags & CKF_TOKEN_INITIALIZED != 0;
            if known && info.label.trim_ascii_end() == label.as_bytes() {
                return Ok(slot);
            }
        }
        Err(format!("no token called {label}").into())
    }

    /// Makes a token in a slot that has none yet, with both PINs.
    pub(super) fn make_token(&self, label: &str) -> Outcome<()> {
        let mut empty = None;
        for slot in self.slots()? {
            if self.token(slot)?.flags & CKF_TOKEN_INITIALIZED == 0 {
                empty = Some(slot);
                break;
            }
        }
        let slot = empty.ok_or("no slot without a token")?;
        let mut padded = [b' '; 32];
        padded
            .iter_mut()
            .zip(label.bytes())
            .for_each(|(to, from)| *to = from);
        let pin = PIN.as_ptr().cast_mut();
        call!(self, C_InitToken(slot, pin, length(PIN), padded.as_mut_ptr()))?;
        let session = self.open(self.slot(label)?)?;
        self.login(session, CKU_SO)?;
        call!(self, C_InitPIN(session.0, pin, length(PIN)))?;
        call!(self, C_Logout(session.0))?;
        self.close(session)
    }

    /// Opens a session that may write.
    pub(super) fn open(&self, slot: CK_SLOT_ID) -> Outcome<Session> {
        let mut session = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        call!(
            self,
            C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut session)
        )?;
        Ok(Session(session))
    }

    pub(super) fn close(&self, session: Session) -> Outcome<()> {
        call!(self, C_CloseSession(session.0))
    }

    pub(super) fn login_user(&self, session: Session) -> Outcome<()> {
        self.login(session, CKU_USER)
    }

    fn login(&self, session: Session, user: CK_USER_TYPE) -> Outcome<()> {
        let pin = PIN.as_ptr().cast_mut();
        call!(self, C_Login(session.0, user, pin, length(PIN)))
    }

    pub(super) fn create(&self, session: Session, lines: &[Line<'_>]) -> Outcome<Object> {
        let (mut lines, mut object) = (template(lines), 0);
        let count = lines.len() as CK_ULONG;
        call!(
            self,
            C_CreateObject(session.0, lines.as_mut_ptr(), count, &raw mut object)
        )?;
        Ok(Object(object))
    }

    pub(super) fn destroy(&self, session: Session, object: Object) -> Outcome<()> {
        call!(self, C_DestroyObject(session.0, object.0))
    }

    /// Generates a key pair on a curve; public key and private key.
    pub(super) fn generate(
        &self,
        session: Session,
        public: &[Line<'_>],
        private: &[Line<'_>],
    ) -> Outcome<(Object, Object)> {
        let (mut public, mut private) = (template(public), template(private));
        let mut mechanism = mechanism(CKM_EC_KEY_PAIR_GEN);
        let (mut public_key, mut private_key) = (0, 0);
        let lengths = (public.len() as CK_ULONG, private.len() as CK_ULONG);
        call!(
            self,
            C_GenerateKeyPair(
                session.0,
                &raw mut mechanism,
                public.as_mut_ptr(),
                lengths.0,
                private.as_mut_ptr(),
                lengths.1,
                &raw mut public_key,
                &raw mut private_key
            )
        )?;
        Ok((Object(public_key), Object(private_key)))
    }

    /// `C_SignInit` and `C_Sign` with `CKM_ECDSA`.
    pub(super) fn sign(
        &self,
        session: Session,
        key: Object,
        digest: &[u8; 32],
    ) -> Outcome<[u8; SIGNATURE_BYTES]> {
        let mut mechanism = mechanism(CKM_ECDSA);
        call!(self, C_SignInit(session.0, &raw mut mechanism, key.0))?;
        let (mut signature, mut length) = ([0; SIGNATURE_BYTES], SIGNATURE_BYTES as CK_ULONG);
        let data = digest.as_ptr().cast_mut();
        call!(
            self,
            C_Sign(session.0, data, 32, signature.as_mut_ptr(), &raw mut length)
        )?;
        Ok(signature)
    }

    /// `C_FindObjectsInit`, `C_FindObjects`, `C_FindObjectsFinal`: the first two that match.
    pub(super) fn find(&self, session: Session, template: &mut Template<'_>) -> Outcome<(usize, Object)> {
        let lines = &mut template.lines;
        let count = lines.len() as CK_ULONG;
        call!(self, C_FindObjectsInit(session.0, lines.as_mut_ptr(), count))?;
        let (mut found, mut number) = ([0; 2], 0);
        call!(
            self,
            C_FindObjects(session.0, found.as_mut_ptr(), 2, &raw mut number)
        )?;
        call!(self, C_FindObjectsFinal(session.0))?;
        Ok((usize::try_from(number)?, Object(found[0])))
    }
}

const fn mechanism(number: CK_ULONG) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: number,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    }
}
