//! The locks of `copies`.

pub(crate) use std::sync::{Arc, Mutex, PoisonError, RwLock};
