//! Descriptors that are copied, and what files are asked about themselves: a bus of ours is a character device of i2c-dev.

use core::ffi::{c_char, c_int, c_uint, c_void};

use super::{fail, text};
use crate::next::Next;
use crate::opened;
use crate::places;

/// The major number of i2c-dev (Linux, Documentation/admin-guide/devices.txt).
const MAJOR: c_uint = 89;
/// What everybody in the group may do with a bus.
const MODE: libc::mode_t = libc::S_IFCHR | 0o660;

/// Lets a copy of a descriptor stand for the same device.
fn copied(from: c_int, to: c_int) -> c_int {
    if to < 0 || from == to || opened::share(from, to) {
        return to;
    }
    next!(c"close": fn(c_int) -> c_int, (to), -1);
    fail(libc::EMFILE)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(from: c_int) -> c_int {
    copied(from, next!(c"dup": fn(c_int) -> c_int, (from), -1))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    copied(from, next!(c"dup2": fn(c_int, c_int) -> c_int, (from, to), -1))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    copied(
        from,
        next!(c"dup3": fn(c_int, c_int, c_int) -> c_int, (from, to, flags), -1),
    )
}

macro_rules! fcntl {
    ($function:ident, $name:literal) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(descriptor: c_int, command: c_int, argument: *mut c_void) -> c_int {
            let done = next!($name: fn(c_int, c_int, *mut c_void) -> c_int, (descriptor, command, argument), -1);
            match command {
                libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => copied(descriptor, done),
                _ => done,
            }
        }
    };
}

fcntl!(fcntl, c"fcntl");
fcntl!(fcntl64, c"fcntl64");

/// Whether a path is a bus of ours. Everybody may use it who can reach its server.
///
/// # Safety
/// Null, or a C string.
unsafe fn is_bus(path: *const c_char) -> bool {
    // SAFETY: the caller's contract.
    places::of_device(unsafe { text(path) }).is_some()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: access's contract.
    if unsafe { is_bus(path) } {
        return permitted(mode);
    }
    next!(c"access": fn(*const c_char, c_int) -> c_int, (path, mode), -1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn eaccess(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: eaccess's contract.
    if unsafe { is_bus(path) } {
        return permitted(mode);
    }
    next!(c"eaccess": fn(*const c_char, c_int) -> c_int, (path, mode), -1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn euidaccess(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: euidaccess's contract.
    if unsafe { is_bus(path) } {
        return permitted(mode);
    }
    next!(c"euidaccess": fn(*const c_char, c_int) -> c_int, (path, mode), -1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn faccessat(folder: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int {
    // SAFETY: faccessat's contract.
    if unsafe { is_bus(path) } {
        return permitted(mode);
    }
    next!(c"faccessat": fn(c_int, *const c_char, c_int, c_int) -> c_int, (folder, path, mode, flags), -1)
}

/// A bus is read and written, and never run.
fn permitted(mode: c_int) -> c_int {
    if mode & libc::X_OK != 0 {
        return fail(libc::EACCES);
    }
    0
}

/// Fills in what is known of a bus; the rest is zero.
macro_rules! describe {
    ($place:expr, $number:expr) => {{
        if $place.is_null() {
            return fail(libc::EFAULT);
        }
        // SAFETY: the caller's contract: room for one. All of its fields are numbers, for which zero is a value.
        unsafe {
            $place.write(core::mem::zeroed());
            (*$place).st_mode = MODE;
            (*$place).st_nlink = 1;
            (*$place).st_rdev = libc::makedev(MAJOR, $number);
        }
        0
    }};
}

/// A function that describes a file by its path.
macro_rules! stat_by_path {
    ($function:ident, $name:literal, $stat:ty) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(path: *const c_char, place: *mut $stat) -> c_int {
            // SAFETY: the contract of the function of this name.
            match places::of_device(unsafe { text(path) }) {
                Some(bus) => describe!(place, bus.number),
                None => next!($name: fn(*const c_char, *mut $stat) -> c_int, (path, place), -1),
            }
        }
    };
}

stat_by_path!(stat, c"stat", libc::stat);
stat_by_path!(stat64, c"stat64", libc::stat64);
stat_by_path!(lstat, c"lstat", libc::stat);
stat_by_path!(lstat64, c"lstat64", libc::stat64);

/// A function that describes a file by its path, from a folder.
macro_rules! stat_in_folder {
    ($function:ident, $name:literal, $stat:ty) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(
            folder: c_int,
            path: *const c_char,
            place: *mut $stat,
            flags: c_int,
        ) -> c_int {
            // SAFETY: the contract of the function of this name.
            match places::of_device(unsafe { text(path) }) {
                Some(bus) => describe!(place, bus.number),
                None => {
                    next!($name: fn(c_int, *const c_char, *mut $stat, c_int) -> c_int, (folder, path, place, flags), -1)
                }
            }
        }
    };
}

stat_in_folder!(fstatat, c"fstatat", libc::stat);
stat_in_folder!(fstatat64, c"fstatat64", libc::stat64);

/// A function that describes an open file.
macro_rules! stat_of_descriptor {
    ($function:ident, $name:literal, $stat:ty) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(descriptor: c_int, place: *mut $stat) -> c_int {
            match opened::find(descriptor) {
                Some(device) => describe!(place, opened::lock(&device).number()),
                None => next!($name: fn(c_int, *mut $stat) -> c_int, (descriptor, place), -1),
            }
        }
    };
}

stat_of_descriptor!(fstat, c"fstat", libc::stat);
stat_of_descriptor!(fstat64, c"fstat64", libc::stat64);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    place: *mut libc::statx,
) -> c_int {
    // SAFETY: statx's contract.
    let bytes = unsafe { text(path) };
    let opened = opened::find(folder).filter(|_| bytes.is_empty());
    let opened = opened.map(|device| opened::lock(&device).number());
    let Some(number) = opened.or_else(|| places::of_device(bytes).map(|bus| bus.number)) else {
        return next!(
            c"statx": fn(c_int, *const c_char, c_int, c_uint, *mut libc::statx) -> c_int,
            (folder, path, flags, mask, place),
            -1
        );
    };
    if place.is_null() {
        return fail(libc::EFAULT);
    }
    // SAFETY: the caller's contract: room for one. All of its fields are numbers, for which zero is a value.
    unsafe {
        place.write(core::mem::zeroed());
        (*place).stx_mask = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_NLINK;
        (*place).stx_mode = MODE as u16;
        (*place).stx_nlink = 1;
        (*place).stx_rdev_major = MAJOR;
        (*place).stx_rdev_minor = number;
    }
    0
}
