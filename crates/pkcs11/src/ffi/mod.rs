//! The C functions. Each one has the same three steps: is the library initialized, are the pointers what they must be, call
//! safe code.
//!
//! All unsafe code of the product's tokens is here, one block per argument shape (`pointers`), each with the clause of the
//! standard that gives its guarantee (PKCS #11 v3.1, section 5). A pointer that is NULL where it must not be is
//! `CKR_ARGUMENTS_BAD`; a panic is `CKR_GENERAL_ERROR`.

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicPtr, Ordering};

use cryptoki_sys::{
    CK_RV, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_GENERAL_ERROR, CKR_OK,
};
use token::Application;

use crate::library::{Library, Shared};

/// Defines C functions: each is exported under its own name and runs behind the panic barrier.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of PKCS #11.")]
        ///
        /// # Safety
        /// Each pointer is NULL or points to what the standard says this function takes, for as long as the call lasts.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> cryptoki_sys::CK_RV {
            $crate::ffi::barrier(|| $body)
        }
    )*};
}

mod cipher;
mod general;
mod keys;
mod objects;
mod operations;
mod parameters;
mod pointers;
mod sessions;
mod tables;
mod unsupported;

pub use cipher::*;
pub use general::*;
pub use keys::*;
pub use objects::*;
pub use operations::*;
pub use sessions::*;
pub use tables::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};
pub use unsupported::*;

/// What a function answers when it is not `CKR_OK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault(CK_RV);

impl From<token::Error> for Fault {
    fn from(error: token::Error) -> Self {
        Self(CK_RV::try_from(error.number()).unwrap_or(CKR_GENERAL_ERROR))
    }
}

impl From<CK_RV> for Fault {
    fn from(number: CK_RV) -> Self {
        Self(number)
    }
}

type Outcome = Result<(), Fault>;

/// Nothing unwinds into C.
fn barrier(body: impl FnOnce() -> Outcome) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(Fault(number))) => number,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// The library of this process, or of a process that it was forked from. What it points to is never freed: a call may still be
/// looking at it, and a child must not touch its parent's. There is one for each process that initialized, not one for each
/// `C_Initialize`.
static CURRENT: AtomicPtr<Library> = AtomicPtr::new(std::ptr::null_mut());

fn current() -> Option<&'static Library> {
    let library = CURRENT.load(Ordering::Acquire);
    // SAFETY: CURRENT is NULL or comes from Box::leak in `ours`; it is never freed or changed but through its own locks.
    unsafe { library.as_ref() }
}

/// The application of this process.
fn application() -> Result<Shared, Fault> {
    current()
        .and_then(Library::application)
        .ok_or(Fault(CKR_CRYPTOKI_NOT_INITIALIZED))
}

/// The same, where there is time to ask the system which process this is.
fn application_of_this_process() -> Result<Shared, Fault> {
    let ours = current().filter(|library| library.is_ours());
    ours.and_then(Library::application)
        .ok_or(Fault(CKR_CRYPTOKI_NOT_INITIALIZED))
}

/// This process's library; a new one if there is none or it is the parent's.
fn ours() -> &'static Library {
    loop {
        let found = CURRENT.load(Ordering::Acquire);
        if let Some(ours) = current().filter(|library| library.is_ours()) {
            return ours;
        }
        watch_forks();
        let new = Box::into_raw(Box::new(Library::new()));
        if CURRENT
            .compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: `new` comes from Box::into_raw just above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

/// Has the C library tell of forks, once: children inherit it.
#[cfg(unix)]
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::AcqRel) {
        // SAFETY: `forked` is a function for all of the process's life and does nothing but store a number. If there is no
        // memory to note it, the process id still tells.
        unsafe { libc::pthread_atfork(None, None, Some(crate::library::forked)) };
    }
}

#[cfg(not(unix))]
const fn watch_forks() {}

/// Initializes: exactly one of several threads does.
fn begin(application: impl FnOnce() -> Result<Application, Fault>) -> Outcome {
    let already = Fault(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    let library = ours();
    if library.has_begun() {
        return Err(already);
    }
    if library.begin(application()?) {
        Ok(())
    } else {
        Err(already)
    }
}

/// Finalizes.
fn end() -> Outcome {
    let ended = current()
        .filter(|library| library.is_ours())
        .is_some_and(Library::end);
    if ended {
        Ok(())
    } else {
        Err(Fault(CKR_CRYPTOKI_NOT_INITIALIZED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_at_the_barrier() {
        assert_eq!(barrier(|| panic!("a mistake of ours")), CKR_GENERAL_ERROR);
        assert_eq!(barrier(|| Err(Fault(7))), 7);
        assert_eq!(barrier(|| Ok(())), CKR_OK);
    }
}
