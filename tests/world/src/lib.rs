//! A fleet in one process: nothing is here but its tests.
#![forbid(unsafe_code)]
