//! The behaviour that every implementation of [`Records`](crate::Records) and [`Attempts`](crate::Attempts) has.
