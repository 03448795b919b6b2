//! optiga-sim
