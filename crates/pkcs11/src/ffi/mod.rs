//! The C functions. Each one has the same three steps: is the library initialized, are the pointers what they must be, call
//! safe code.
//!
//! All unsafe code of the product's tokens is here, one block per argument shape (`pointers`), each with the clause of the
//! standard that gives its guarantee (PKCS #11 v3.1, section 5). A pointer that is NULL where it must not be is
//! `CKR_ARGUMENTS_BAD`; a panic is `CKR_GENERAL_ERROR`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use cryptoki_sys::{
    CK_RV, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_GENERAL_ERROR, CKR_OK,
};
use token::Application;

use crate::library::Library;

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

mod general;
mod objects;
mod operations;
mod parameters;
mod pointers;
mod sessions;
mod tables;
mod unsupported;

pub use general::*;
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
    // SAFETY: CURRENT is NULL or comes from Box::leak in `begin`; it is never freed or changed but through its own locks.
    unsafe { library.as_ref() }
}

/// The application of this process.
fn application() -> Result<Arc<Application>, Fault> {
    current()
        .and_then(Library::application)
        .ok_or(Fault(CKR_CRYPTOKI_NOT_INITIALIZED))
}

/// Initializes: exactly one of several threads does.
fn begin(application: Application) -> Outcome {
    let application = Arc::new(application);
    let already = Fault(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    let found = CURRENT.load(Ordering::Acquire);
    if let Some(ours) = current().filter(|library| library.is_ours()) {
        return if ours.begin(application) {
            Ok(())
        } else {
            Err(already)
        };
    }
    let new = Box::into_raw(Box::new(Library::new(application)));
    match CURRENT.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(()),
        Err(_) => {
            // SAFETY: `new` comes from Box::into_raw just above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
            Err(already)
        }
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
