//! A C program in as few words as Rust allows: a token, sessions, objects and calls with two steps.

use std::ffi::c_void;
use std::path::Path;
use std::ptr::null_mut;

use birthmark_pkcs11::ffi::*;
use cryptoki_sys::*;
use zeroize::Zeroize;

const PIN: &[u8] = b"482915";

/// Initializes the library with one empty token in files, and logs its user in.
pub(crate) fn initialized(folder: &Path) {
    let config = folder.join("pkcs11.toml");
    let text = format!(
        "[[slot]]\nbackend = \"flash\"\ndirectory = {:?}\n",
        folder.join("token")
    );
    std::fs::write(&config, text).unwrap();
    // Nothing else runs in this process yet.
    unsafe { std::env::set_var("BIRTHMARK_PKCS11_CONF", &config) };
    let (mut pin, mut label) = (PIN.to_vec(), [b' '; 32]);
    let length = pin.len() as CK_ULONG;
    unsafe {
        assert_eq!(C_Initialize(null_mut()), CKR_OK);
        assert_eq!(
            C_InitToken(0, pin.as_mut_ptr(), length, label.as_mut_ptr()),
            CKR_OK
        );
        let session = Session::open();
        assert_eq!(C_Login(session.0, CKU_SO, pin.as_mut_ptr(), length), CKR_OK);
        assert_eq!(C_InitPIN(session.0, pin.as_mut_ptr(), length), CKR_OK);
        assert_eq!(C_Logout(session.0), CKR_OK);
    }
    logged_in();
}

/// The same token in the library's next life.
pub(crate) fn begun() {
    assert_eq!(unsafe { C_Initialize(null_mut()) }, CKR_OK);
    logged_in();
}

fn logged_in() {
    let mut pin = PIN.to_vec();
    let session = Session::open();
    let length = pin.len() as CK_ULONG;
    let login = unsafe { C_Login(session.0, CKU_USER, pin.as_mut_ptr(), length) };
    assert_eq!(login, CKR_OK);
    // The session stays open, so that nobody is logged out when another one is closed.
    std::mem::forget(session);
}

/// Ends it.
pub(crate) fn finalized() {
    assert_eq!(unsafe { C_Finalize(null_mut()) }, CKR_OK);
}

/// A session, closed when it goes.
pub(crate) struct Session(pub(crate) CK_SESSION_HANDLE);

impl Drop for Session {
    fn drop(&mut self) {
        unsafe { C_CloseSession(self.0) };
    }
}

/// Attributes of an object.
pub(crate) struct Template(Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>);

impl Template {
    pub(crate) fn new(class: CK_OBJECT_CLASS, key_type: CK_KEY_TYPE) -> Self {
        Self(Vec::new())
            .bytes(CKA_CLASS, &class.to_ne_bytes())
            .bytes(CKA_KEY_TYPE, &key_type.to_ne_bytes())
    }

    pub(crate) fn bytes(mut self, kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Self {
        self.0.push((kind, value.to_vec()));
        self
    }

    pub(crate) fn flag(self, kind: CK_ATTRIBUTE_TYPE, value: bool) -> Self {
        self.bytes(kind, &[value.into()])
    }

    /// Wipes what the values were.
    pub(crate) fn wipe(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }

    pub(crate) fn lines(&mut self) -> Vec<CK_ATTRIBUTE> {
        let lines = self.0.iter_mut().map(|(kind, value)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as CK_ULONG,
        });
        lines.collect()
    }
}

/// A mechanism and the structure that is its parameter.
pub(crate) fn mechanism<P>(number: CK_MECHANISM_TYPE, parameter: Option<&mut P>) -> CK_MECHANISM {
    let (at, bytes) = match parameter {
        Some(parameter) => (std::ptr::from_mut(parameter).cast::<c_void>(), size_of::<P>()),
        None => (null_mut(), 0),
    };
    CK_MECHANISM {
        mechanism: number,
        pParameter: at,
        ulParameterLen: bytes as CK_ULONG,
    }
}

/// A mechanism without parameter.
pub(crate) fn bare(number: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    mechanism::<u8>(number, None)
}

type Init = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE) -> CK_RV;
type Call =
    unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) -> CK_RV;

impl Session {
    pub(crate) fn open() -> Self {
        let mut session = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        let opened = unsafe { C_OpenSession(0, flags, null_mut(), None, &mut session) };
        assert_eq!(opened, CKR_OK);
        Self(session)
    }

    pub(crate) fn create(&self, mut template: Template) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        self.create_of(&mut template)
    }

    /// The first object like this.
    pub(crate) fn find(&self, mut template: Template) -> Option<CK_OBJECT_HANDLE> {
        let (mut lines, mut object, mut count) = (template.lines(), 0, 0);
        let length = lines.len() as CK_ULONG;
        unsafe {
            assert_eq!(C_FindObjectsInit(self.0, lines.as_mut_ptr(), length), CKR_OK);
            assert_eq!(C_FindObjects(self.0, &mut object, 1, &mut count), CKR_OK);
            assert_eq!(C_FindObjectsFinal(self.0), CKR_OK);
        }
        (count == 1).then_some(object)
    }

    pub(crate) fn create_of(&self, template: &mut Template) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let (mut lines, mut object) = (template.lines(), 0);
        let count = lines.len() as CK_ULONG;
        match unsafe { C_CreateObject(self.0, lines.as_mut_ptr(), count, &mut object) } {
            CKR_OK => Ok(object),
            number => Err(number),
        }
    }

    pub(crate) fn destroy(&self, object: CK_OBJECT_HANDLE) {
        assert_eq!(unsafe { C_DestroyObject(self.0, object) }, CKR_OK);
    }

    pub(crate) fn verify(
        &self,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> CK_RV {
        let (mut data, mut signature) = (data.to_vec(), signature.to_vec());
        let (length, signature_length) = (data.len() as CK_ULONG, signature.len() as CK_ULONG);
        unsafe {
            assert_eq!(C_VerifyInit(self.0, &mut mechanism, key), CKR_OK);
            C_Verify(
                self.0,
                data.as_mut_ptr(),
                length,
                signature.as_mut_ptr(),
                signature_length,
            )
        }
    }

    pub(crate) fn encrypt(
        &self,
        mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        self.two_steps(C_EncryptInit, C_Encrypt, mechanism, key, data)
    }

    pub(crate) fn decrypt(
        &self,
        mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        self.two_steps(C_DecryptInit, C_Decrypt, mechanism, key, data)
    }

    /// Asks for the length, then for the result.
    fn two_steps(
        &self,
        init: Init,
        call: Call,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        let done = |number| if number == CKR_OK { Ok(()) } else { Err(number) };
        let (mut data, mut bytes) = (data.to_vec(), 0);
        let length = data.len() as CK_ULONG;
        unsafe {
            done(init(self.0, &mut mechanism, key))?;
            done(call(self.0, data.as_mut_ptr(), length, null_mut(), &mut bytes))?;
            // At least one byte, so that there is a place.
            let mut out = vec![0; (bytes as usize).max(1)];
            done(call(
                self.0,
                data.as_mut_ptr(),
                length,
                out.as_mut_ptr(),
                &mut bytes,
            ))?;
            out.truncate(bytes as usize);
            Ok(out)
        }
    }

    /// Derives a secret of so many bytes that may be read, and reads it.
    pub(crate) fn derive(
        &self,
        mut mechanism: CK_MECHANISM,
        base: CK_OBJECT_HANDLE,
        bytes: Option<usize>,
    ) -> Result<Vec<u8>, CK_RV> {
        let mut template = Template::new(CKO_SECRET_KEY, CKK_GENERIC_SECRET)
            .flag(CKA_EXTRACTABLE, true)
            .flag(CKA_SENSITIVE, false);
        if let Some(bytes) = bytes {
            template = template.bytes(CKA_VALUE_LEN, &(bytes as CK_ULONG).to_ne_bytes());
        }
        let (mut lines, mut key) = (template.lines(), 0);
        let count = lines.len() as CK_ULONG;
        let derived =
            unsafe { C_DeriveKey(self.0, &mut mechanism, base, lines.as_mut_ptr(), count, &mut key) };
        if derived != CKR_OK {
            return Err(derived);
        }
        let value = self.value(key);
        self.destroy(key);
        Ok(value)
    }

    pub(crate) fn value(&self, key: CK_OBJECT_HANDLE) -> Vec<u8> {
        let mut out = vec![0; 20_000];
        let mut line = CK_ATTRIBUTE {
            type_: CKA_VALUE,
            pValue: out.as_mut_ptr().cast(),
            ulValueLen: out.len() as CK_ULONG,
        };
        assert_eq!(unsafe { C_GetAttributeValue(self.0, key, &mut line, 1) }, CKR_OK);
        out.truncate(line.ulValueLen as usize);
        out
    }
}
