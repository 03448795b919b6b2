//! One value that many threads read and few ever change: each part of the threads has a copy of the pointer of its own, so that
//! readers share nothing that is written.
//!
//! Its locks are those of `crate::sync`: the standard library's here, and in a test those of a checker that tries every order in
//! which threads may run.

use crate::sync::{Arc, Mutex, PoisonError, RwLock};

/// The value as one part of the threads holds it.
#[allow(
    clippy::redundant_allocation,
    reason = "each copy counts its own holders, which is what it is for"
)]
pub(crate) struct Shared<T>(Arc<Arc<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A copy of the pointer, on a line of the cache of its own.
#[repr(align(128))]
struct Copy<T>(RwLock<Option<Shared<T>>>);

/// All copies: each has the value, or none has.
pub(crate) struct Copies<T, const N: usize> {
    /// Held while the value comes or goes.
    turn: Mutex<()>,
    copies: [Copy<T>; N],
}

impl<T, const N: usize> Copies<T, N> {
    /// No value.
    pub(crate) fn new() -> Self {
        Self {
            turn: Mutex::new(()),
            copies: std::array::from_fn(|_| Copy(RwLock::new(None))),
        }
    }

    /// The value, by this copy.
    pub(crate) fn read(&self, copy: usize) -> Option<Shared<T>> {
        let copy = self.copies.get(copy % N)?;
        copy.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it a value; false if it has one.
    pub(crate) fn set(&self, value: T) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read(0).is_some() {
            return false;
        }
        let value = Arc::new(value);
        for copy in &self.copies {
            let mut place = copy.0.write().unwrap_or_else(PoisonError::into_inner);
            *place = Some(Shared(Arc::new(Arc::clone(&value))));
        }
        true
    }

    /// Takes it away: nobody reads it from now on, and it goes when the last who did has let go of it.
    pub(crate) fn take(&self) -> Option<Shared<T>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = None;
        for copy in &self.copies {
            taken = copy.0.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        taken
    }
}
