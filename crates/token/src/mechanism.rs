//! What a token can do: the `CKM_` part of PKCS #11's vocabulary.

mod hash;
mod info;
mod kind;
pub(crate) mod parameters;

pub use hash::Hash;
pub use info::{Abilities, Size};
pub use kind::{KeyType, MechanismType};
pub use parameters::Mechanism;
