//! optiga
