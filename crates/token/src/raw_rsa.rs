//! RSA through the library's C interface: the only unsafe code of this crate.
//!
//! The safe interface of aws-lc-rs has no bare RSA (`CKM_RSA_X_509`), no signatures over SHA-1, SHA-224 or a DigestInfo that
//! the caller made, no choice of PSS salt or OAEP mask, and no keys from components. All arithmetic, padding and blinding is
//! the library's; here pointers are made of slices, once per call, and nothing else.
//!
//! A [`RawRsa`] owns its key. The library locks inside (Montgomery and blinding caches), so that threads may share one
//! (aws-lc, `include/openssl/rsa.h`, "RSA"). It must never be copied without a reference count, and is freed exactly once.
#![expect(
    unsafe_code,
    reason = "the library's C interface; each block says why it is sound"
)]

use core::ffi::c_int;
use core::ptr::{self, NonNull};
use std::vec::Vec;

use aws_lc_sys as c;
use zeroize::Zeroizing;

use crate::mechanism::Hash;

/// The library said no. It does not say why in a way that is safe to tell.
#[derive(Debug)]
pub(crate) struct Failed;

/// What the library does around the bare function.
#[derive(Clone, Copy)]
pub(crate) enum Padding {
    /// PKCS #1 version 1.5.
    Pkcs1,
    /// Nothing: input and output are as long as the modulus.
    None,
}

impl Padding {
    const fn number(self) -> c_int {
        match self {
            Self::Pkcs1 => c::RSA_PKCS1_PADDING,
            Self::None => c::RSA_NO_PADDING,
        }
    }
}

/// `RSA_sign_raw`, `RSA_verify_raw`, `RSA_encrypt` or `RSA_decrypt`: key, length out, output and its room, input and its length,
/// padding.
type Bare = unsafe extern "C" fn(*mut c::RSA, *mut usize, *mut u8, usize, *const u8, usize, c_int) -> c_int;

/// A key of the library's.
pub(crate) struct RawRsa(NonNull<c::EVP_PKEY>);

// SAFETY: the library's keys belong to no thread; they are freed from any.
unsafe impl Send for RawRsa {}
// SAFETY: once made, a key only changes in caches that the library guards with its own locks.
unsafe impl Sync for RawRsa {}

impl Drop for RawRsa {
    fn drop(&mut self) {
        // SAFETY: made by `of`, owned here alone, never used again. The library wipes what it frees.
        unsafe { c::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

fn done(result: c_int) -> Result<(), Failed> {
    if result == 1 {
        return Ok(());
    }
    // SAFETY: takes nothing; empties this thread's queue, which nobody here reads.
    unsafe { c::ERR_clear_error() }
    Err(Failed)
}

impl RawRsa {
    /// Takes a key over.
    fn of(rsa: *mut c::RSA) -> Result<Self, Failed> {
        if rsa.is_null() {
            return done(0).and(Err(Failed));
        }
        // SAFETY: takes nothing.
        let key = NonNull::new(unsafe { c::EVP_PKEY_new() }).map(Self);
        // SAFETY: both are live; on success the key owns `rsa`, whose only pointer this was.
        let assigned = key.filter(|key| unsafe { c::EVP_PKEY_assign_RSA(key.0.as_ptr(), rsa) } == 1);
        assigned.ok_or_else(|| {
            // SAFETY: nobody has taken `rsa` over.
            unsafe { c::RSA_free(rsa) };
            Failed
        })
    }

    /// The RSA key inside, which lives as long as this.
    fn rsa(&self) -> *mut c::RSA {
        // SAFETY: the key is live and holds RSA: only `of` makes one.
        unsafe { c::EVP_PKEY_get0_RSA(self.0.as_ptr()) }
    }

    /// A new key of so many bits, with this public exponent.
    pub(crate) fn generate(bits: u16, exponent: &[u8]) -> Result<Self, Failed> {
        let exponent = Number::new(exponent)?;
        // SAFETY: takes nothing.
        let rsa = unsafe { c::RSA_new() };
        if rsa.is_null() {
            return Err(Failed);
        }
        // SAFETY: `rsa` is new, the exponent is live, there is no callback.
        let made = unsafe { c::RSA_generate_key_ex(rsa, bits.into(), exponent.0.as_ptr(), ptr::null_mut()) };
        let key = Self::of(rsa)?;
        done(made).map(|()| key)
    }

    /// From an RSAPrivateKey (RFC 8017, A.1.2); the library checks that its parts belong together.
    pub(crate) fn private(der: &[u8]) -> Result<Self, Failed> {
        // SAFETY: reads `der.len()` bytes.
        Self::of(unsafe { c::RSA_private_key_from_bytes(der.as_ptr(), der.len()) })
    }

    /// From an RSAPublicKey (RFC 8017, A.1.1).
    pub(crate) fn public(der: &[u8]) -> Result<Self, Failed> {
        // SAFETY: reads `der.len()` bytes.
        Self::of(unsafe { c::RSA_public_key_from_bytes(der.as_ptr(), der.len()) })
    }

    /// An RSAPrivateKey.
    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let (mut der, mut bytes) = (ptr::null_mut(), 0);
        // SAFETY: the key is live; both places are ours.
        done(unsafe { c::RSA_private_key_to_bytes(&mut der, &mut bytes, self.rsa()) })?;
        // SAFETY: on success `der` points to `bytes` bytes that nobody else has.
        let copy = Zeroizing::new(unsafe { core::slice::from_raw_parts(der, bytes) }.to_vec());
        // SAFETY: allocated by the library for us, not used again; freeing wipes it.
        unsafe { c::OPENSSL_free(der.cast()) };
        Ok(copy)
    }

    /// Bytes of the modulus.
    pub(crate) fn bytes(&self) -> usize {
        // SAFETY: the key is live.
        unsafe { c::RSA_size(self.rsa()) as usize }
    }

    /// Bits of the modulus.
    pub(crate) fn bits(&self) -> usize {
        // SAFETY: the key is live.
        unsafe { c::RSA_bits(self.rsa()) as usize }
    }

    /// One of the library's four bare operations; how many bytes it wrote.
    fn apply(
        &self,
        operation: Bare,
        padding: Padding,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Failed> {
        let mut bytes = 0;
        // SAFETY: the key is live; each of the four reads `input` and writes at most `out.len()` bytes.
        done(unsafe {
            operation(
                self.rsa(),
                &mut bytes,
                out.as_mut_ptr(),
                out.len(),
                input.as_ptr(),
                input.len(),
                padding.number(),
            )
        })
        .map(|()| bytes)
    }

    /// Pads as for a signature, then applies the private key.
    pub(crate) fn sign(&self, padding: Padding, input: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        self.apply(c::RSA_sign_raw, padding, input, out)
    }

    /// Applies the public key, then takes the padding of a signature off.
    pub(crate) fn recover(&self, padding: Padding, input: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        self.apply(c::RSA_verify_raw, padding, input, out)
    }

    /// Pads as for encryption, then applies the public key.
    pub(crate) fn encrypt(&self, padding: Padding, input: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        self.apply(c::RSA_encrypt, padding, input, out)
    }

    /// Applies the private key, then takes the padding of encryption off.
    pub(crate) fn decrypt(&self, padding: Padding, input: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        self.apply(c::RSA_decrypt, padding, input, out)
    }

    /// A PSS signature over a digest of this hash.
    pub(crate) fn sign_pss(&self, pss: &Pss, digest: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
        let mut bytes = 0;
        // SAFETY: the key and the hashes are live; reads `digest`, writes at most `out.len()` bytes.
        done(unsafe {
            c::RSA_sign_pss_mgf1(
                self.rsa(),
                &mut bytes,
                out.as_mut_ptr(),
                out.len(),
                digest.as_ptr(),
                digest.len(),
                message_digest(pss.hash),
                message_digest(pss.mask),
                pss.salt_bytes.into(),
            )
        })
        .map(|()| bytes)
    }

    /// Verifies one.
    pub(crate) fn verify_pss(&self, pss: &Pss, digest: &[u8], signature: &[u8]) -> Result<(), Failed> {
        // SAFETY: the key and the hashes are live; reads `digest` and `signature`.
        done(unsafe {
            c::RSA_verify_pss_mgf1(
                self.rsa(),
                digest.as_ptr(),
                digest.len(),
                message_digest(pss.hash),
                message_digest(pss.mask),
                pss.salt_bytes.into(),
                signature.as_ptr(),
                signature.len(),
            )
        })
    }

    /// OAEP with the public key.
    pub(crate) fn encrypt_oaep(
        &self,
        oaep: &Oaep<'_>,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Failed> {
        let context = Context::new(self)?;
        // SAFETY: the context is live and new.
        done(unsafe { c::EVP_PKEY_encrypt_init(context.0.as_ptr()) })?;
        context.set(oaep)?;
        let mut bytes = out.len();
        // SAFETY: the context is live; reads `input`, writes at most `bytes` bytes.
        done(unsafe {
            c::EVP_PKEY_encrypt(
                context.0.as_ptr(),
                out.as_mut_ptr(),
                &mut bytes,
                input.as_ptr(),
                input.len(),
            )
        })
        .map(|()| bytes)
    }

    /// OAEP with the private key.
    pub(crate) fn decrypt_oaep(
        &self,
        oaep: &Oaep<'_>,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Failed> {
        let context = Context::new(self)?;
        // SAFETY: the context is live and new.
        done(unsafe { c::EVP_PKEY_decrypt_init(context.0.as_ptr()) })?;
        context.set(oaep)?;
        let mut bytes = out.len();
        // SAFETY: the context is live; reads `input`, writes at most `bytes` bytes.
        done(unsafe {
            c::EVP_PKEY_decrypt(
                context.0.as_ptr(),
                out.as_mut_ptr(),
                &mut bytes,
                input.as_ptr(),
                input.len(),
            )
        })
        .map(|()| bytes)
    }
}

/// How a digest is padded for PSS.
pub(crate) struct Pss {
    pub(crate) hash: Hash,
    pub(crate) mask: Hash,
    pub(crate) salt_bytes: u16,
}

/// How a message is padded for OAEP.
pub(crate) struct Oaep<'a> {
    pub(crate) hash: Hash,
    pub(crate) mask: Hash,
    pub(crate) label: &'a [u8],
}

/// One operation with a key.
struct Context(NonNull<c::EVP_PKEY_CTX>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `new`, owned here alone.
        unsafe { c::EVP_PKEY_CTX_free(self.0.as_ptr()) }
    }
}

impl Context {
    fn new(key: &RawRsa) -> Result<Self, Failed> {
        // SAFETY: the key is live; the context counts its own reference to it.
        NonNull::new(unsafe { c::EVP_PKEY_CTX_new(key.0.as_ptr(), ptr::null_mut()) })
            .map(Self)
            .ok_or(Failed)
    }

    fn set(&self, oaep: &Oaep<'_>) -> Result<(), Failed> {
        let context = self.0.as_ptr();
        // SAFETY: the context is live and has begun an operation.
        done(unsafe { c::EVP_PKEY_CTX_set_rsa_padding(context, c::RSA_PKCS1_OAEP_PADDING) })?;
        // SAFETY: the same; the hash is static.
        done(unsafe { c::EVP_PKEY_CTX_set_rsa_oaep_md(context, message_digest(oaep.hash)) })?;
        // SAFETY: the same.
        done(unsafe { c::EVP_PKEY_CTX_set_rsa_mgf1_md(context, message_digest(oaep.mask)) })?;
        if oaep.label.is_empty() {
            return Ok(());
        }
        // SAFETY: takes a size.
        let label = unsafe { c::OPENSSL_malloc(oaep.label.len()) }.cast::<u8>();
        if label.is_null() {
            return Err(Failed);
        }
        // SAFETY: `label` has just been allocated with that length.
        unsafe { ptr::copy_nonoverlapping(oaep.label.as_ptr(), label, oaep.label.len()) };
        // SAFETY: the context is live; on success it owns the label.
        let set = unsafe { c::EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, oaep.label.len()) };
        if set != 1 {
            // SAFETY: nobody has taken the label over.
            unsafe { c::OPENSSL_free(label.cast()) };
        }
        done(set)
    }
}

/// A big number.
struct Number(NonNull<c::BIGNUM>);

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: made by `new`, owned here alone.
        unsafe { c::BN_free(self.0.as_ptr()) }
    }
}

impl Number {
    fn new(magnitude: &[u8]) -> Result<Self, Failed> {
        // SAFETY: reads the magnitude; NULL asks for a new number.
        let number = unsafe { c::BN_bin2bn(magnitude.as_ptr(), magnitude.len(), ptr::null_mut()) };
        NonNull::new(number).map(Self).ok_or(Failed)
    }
}

fn message_digest(hash: Hash) -> *const c::EVP_MD {
    // SAFETY: each takes nothing and gives a static object.
    unsafe {
        match hash {
            Hash::Sha1 => c::EVP_sha1(),
            Hash::Sha224 => c::EVP_sha224(),
            Hash::Sha256 => c::EVP_sha256(),
            Hash::Sha384 => c::EVP_sha384(),
            Hash::Sha512 => c::EVP_sha512(),
            Hash::Sha3_224 => c::EVP_sha3_224(),
            Hash::Sha3_256 => c::EVP_sha3_256(),
            Hash::Sha3_384 => c::EVP_sha3_384(),
            Hash::Sha3_512 => c::EVP_sha3_512(),
        }
    }
}
