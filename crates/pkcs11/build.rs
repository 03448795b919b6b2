//! How the module is linked: once loaded it stays, since what ends a thread may call into it after its last user let go of it.
//!
//! A program that unloads a module (`dlclose`) while a thread of its own is about to end would make that thread run the
//! destructors of its thread-local values in memory that is no longer there.
#![forbid(unsafe_code)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
