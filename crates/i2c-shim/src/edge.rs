//! The C functions, each in front of libc's own of the same name: pointers become slices here, and nowhere else.
//!
//! A function that is variadic in C takes its one optional argument as an ordinary one: on the ABIs of Linux it arrives in the
//! same register. Each has the contract of the C function of its name. Nothing here may panic: it would unwind into C.
#![expect(unsafe_code, reason = "the functions of libc, as C calls them")]
#![expect(unreachable_pub, reason = "C reaches them by name; Rust calls none of them")]

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::cell::UnsafeCell;

use libc::{DIR, FILE, dirent, dirent64, mode_t, size_t, ssize_t};

use crate::device::{Device, Errno, FUNCTIONS, Message};
use crate::limits::{MESSAGE_BYTES_MAX, MESSAGES_MAX};
use crate::listing::{self, Next as Entry};
use crate::next::Next;
use crate::opened;
use crate::places::{self, Bus};

const I2C_RETRIES: c_ulong = 0x0701;
const I2C_TIMEOUT: c_ulong = 0x0702;
const I2C_SLAVE: c_ulong = 0x0703;
const I2C_TENBIT: c_ulong = 0x0704;
const I2C_FUNCS: c_ulong = 0x0705;
const I2C_SLAVE_FORCE: c_ulong = 0x0706;
const I2C_RDWR: c_ulong = 0x0707;
const I2C_PEC: c_ulong = 0x0708;
const I2C_SMBUS: c_ulong = 0x0720;

/// `I2C_M_RD`, and the only flag that is understood.
const READS: u16 = 0x0001;

/// `struct i2c_msg`
#[repr(C)]
struct CMessage {
    address: u16,
    flags: u16,
    length: u16,
    bytes: *mut u8,
}

/// `struct i2c_rdwr_ioctl_data`
#[repr(C)]
struct CTransfer {
    messages: *mut CMessage,
    count: u32,
}

/// `struct i2c_smbus_ioctl_data`
#[repr(C)]
struct CSmbus {
    read_write: u8,
    command: u8,
    size: u32,
    byte: *mut u8,
}

/// Calls the function behind ours; without one the call fails with ENOSYS.
macro_rules! next {
    ($name:literal: fn($($type:ty),*) -> $result:ty, ($($argument:expr),*), $failure:expr) => {{
        static NEXT: Next = Next::new($name);
        let found = NEXT.find();
        if found.is_null() {
            fail(libc::ENOSYS);
            $failure
        } else {
            // SAFETY: the function of this name in libc has this type.
            let call: unsafe extern "C" fn($($type),*) -> $result = unsafe { core::mem::transmute(found) };
            // SAFETY: the arguments are those that our caller gave, under the same contract.
            unsafe { call($($argument),*) }
        }
    }};
}

mod files;

fn fail(errno: Errno) -> c_int {
    // SAFETY: libc gives each thread an errno of its own, for as long as the thread lives.
    unsafe { *libc::__errno_location() = errno };
    -1
}

fn result(outcome: Result<usize, Errno>) -> ssize_t {
    match outcome {
        Ok(count) => ssize_t::try_from(count).unwrap_or(ssize_t::MAX),
        Err(errno) => fail(errno) as ssize_t,
    }
}

/// # Safety
/// Null, or a C string.
unsafe fn text<'a>(path: *const c_char) -> &'a [u8] {
    if path.is_null() {
        return &[];
    }
    // SAFETY: the caller's contract.
    unsafe { CStr::from_ptr(path) }.to_bytes()
}

/// A descriptor of the kernel's for a bus of ours: it holds the number, so that no other file gets it.
fn open_bus(bus: &'static Bus, flags: c_int) -> c_int {
    let device = match Device::open(bus) {
        Ok(device) => device,
        Err(errno) => return fail(errno),
    };
    let descriptor = memory_file(flags & libc::O_CLOEXEC != 0);
    if descriptor >= 0 && opened::add(descriptor, device).is_err() {
        // SAFETY: the descriptor was made above and is nobody else's.
        unsafe { close(descriptor) };
        return fail(libc::EMFILE);
    }
    descriptor
}

fn memory_file(close_on_exec: bool) -> c_int {
    let flags: c_uint = if close_on_exec { libc::MFD_CLOEXEC } else { 0 };
    // SAFETY: the name is a C string and the flags are known to the kernel.
    unsafe { libc::memfd_create(c"birthmark-i2c".as_ptr(), flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: open's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => next!(c"open": fn(*const c_char, c_int, mode_t) -> c_int, (path, flags, mode), -1),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: open64's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => next!(c"open64": fn(*const c_char, c_int, mode_t) -> c_int, (path, flags, mode), -1),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: __open_2's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => next!(c"__open_2": fn(*const c_char, c_int) -> c_int, (path, flags), -1),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: __open64_2's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => next!(c"__open64_2": fn(*const c_char, c_int) -> c_int, (path, flags), -1),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: openat's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => {
            next!(c"openat": fn(c_int, *const c_char, c_int, mode_t) -> c_int, (folder, path, flags, mode), -1)
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: openat64's contract.
    match places::of_device(unsafe { text(path) }) {
        Some(bus) => open_bus(bus, flags),
        None => {
            next!(c"openat64": fn(c_int, *const c_char, c_int, mode_t) -> c_int, (folder, path, flags, mode), -1)
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    drop(opened::remove(descriptor));
    next!(c"close": fn(c_int) -> c_int, (descriptor), -1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(descriptor: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    let Some(device) = opened::find(descriptor) else {
        return next!(c"read": fn(c_int, *mut c_void, size_t) -> ssize_t, (descriptor, buffer, count), -1);
    };
    // SAFETY: read's contract: the buffer has room for so many bytes.
    let buffer = unsafe { slice_mut(buffer.cast(), count.min(MESSAGE_BYTES_MAX)) };
    result(opened::lock(&device).read(buffer))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __read_chk(
    descriptor: c_int,
    buffer: *mut c_void,
    count: size_t,
    room: size_t,
) -> ssize_t {
    if opened::find(descriptor).is_some() && count <= room {
        // SAFETY: the buffer has room for what is asked for.
        return unsafe { read(descriptor, buffer, count) };
    }
    next!(c"__read_chk": fn(c_int, *mut c_void, size_t, size_t) -> ssize_t, (descriptor, buffer, count, room), -1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let Some(device) = opened::find(descriptor) else {
        return next!(c"write": fn(c_int, *const c_void, size_t) -> ssize_t, (descriptor, bytes, count), -1);
    };
    // SAFETY: write's contract: there are so many bytes.
    let bytes = unsafe { slice(bytes.cast(), count.min(MESSAGE_BYTES_MAX)) };
    result(opened::lock(&device).write(bytes))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let Some(device) = opened::find(descriptor) else {
        return next!(c"ioctl": fn(c_int, c_ulong, *mut c_void) -> c_int, (descriptor, request, argument), -1);
    };
    let mut device = opened::lock(&device);
    let done = match request {
        // SAFETY: the contract of the request of this name, for each of them.
        I2C_FUNCS => unsafe { tell_functions(argument.cast()) },
        I2C_RDWR => unsafe { transfer(&mut device, argument.cast()) },
        I2C_SMBUS => unsafe { smbus(&mut device, argument.cast()) },
        I2C_SLAVE | I2C_SLAVE_FORCE => device.set_address(argument as u64).map(|()| 0),
        I2C_RETRIES | I2C_TIMEOUT => Ok(0),
        I2C_TENBIT | I2C_PEC if argument.is_null() => Ok(0),
        I2C_TENBIT | I2C_PEC => Err(libc::EINVAL),
        _ => Err(libc::ENOTTY),
    };
    done.unwrap_or_else(fail)
}

unsafe fn tell_functions(place: *mut c_ulong) -> Result<c_int, Errno> {
    if place.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's contract: an unsigned long.
    unsafe { place.write(FUNCTIONS as c_ulong) };
    Ok(0)
}

unsafe fn transfer(device: &mut Device, transfer: *mut CTransfer) -> Result<c_int, Errno> {
    // SAFETY: the caller's contract: null, or one transfer.
    let transfer = unsafe { transfer.as_ref() }.ok_or(libc::EFAULT)?;
    let count = transfer.count as usize;
    if count > MESSAGES_MAX {
        return Err(libc::EINVAL);
    }
    if transfer.messages.is_null() && count > 0 {
        return Err(libc::EFAULT);
    }
    let mut messages = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the caller's contract: so many messages.
        messages.push(unsafe { message(&*transfer.messages.add(index)) }?);
    }
    device.transfer(&mut messages).map(|count| count as c_int)
}

unsafe fn message<'a>(message: &CMessage) -> Result<Message<'a>, Errno> {
    let length = usize::from(message.length);
    let address = u8::try_from(message.address).map_err(|_| libc::EINVAL)?;
    if length > MESSAGE_BYTES_MAX || message.flags & !READS != 0 {
        return Err(libc::EINVAL);
    }
    if message.bytes.is_null() && length > 0 {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller's contract: a message has so many bytes, or room for them.
    Ok(if message.flags & READS == 0 {
        Message::Write(address, unsafe { slice(message.bytes, length) })
    } else {
        Message::Read(address, unsafe { slice_mut(message.bytes, length) })
    })
}

unsafe fn smbus(device: &mut Device, arguments: *mut CSmbus) -> Result<c_int, Errno> {
    // SAFETY: the caller's contract: null, or the arguments of one access.
    let arguments = unsafe { arguments.as_ref() }.ok_or(libc::EFAULT)?;
    let reads = arguments.read_write == 1;
    let mut byte = 0;
    device.smbus(reads, arguments.command, arguments.size, &mut byte)?;
    if reads && arguments.size == 1 {
        if arguments.byte.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: the caller's contract: a union that begins with a byte.
        unsafe { arguments.byte.write(byte) };
    }
    Ok(0)
}

unsafe fn slice<'a>(bytes: *const u8, count: usize) -> &'a [u8] {
    if bytes.is_null() {
        return &[];
    }
    // SAFETY: the caller's contract: so many bytes.
    unsafe { core::slice::from_raw_parts(bytes, count) }
}

unsafe fn slice_mut<'a>(bytes: *mut u8, count: usize) -> &'a mut [u8] {
    if bytes.is_null() {
        return &mut [];
    }
    // SAFETY: the caller's contract: room for so many bytes.
    unsafe { core::slice::from_raw_parts_mut(bytes, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: fopen's contract.
    match places::of_name_file(unsafe { text(path) }) {
        Some(bus) => name_file(bus),
        None => {
            next!(c"fopen": fn(*const c_char, *const c_char) -> *mut FILE, (path, mode), core::ptr::null_mut())
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: fopen64's contract.
    match places::of_name_file(unsafe { text(path) }) {
        Some(bus) => name_file(bus),
        None => {
            next!(c"fopen64": fn(*const c_char, *const c_char) -> *mut FILE, (path, mode), core::ptr::null_mut())
        }
    }
}

/// A file with the name of an adapter in it.
fn name_file(bus: &Bus) -> *mut FILE {
    let name = bus.name();
    let descriptor = memory_file(true);
    if descriptor < 0 {
        return core::ptr::null_mut();
    }
    // SAFETY: the descriptor was made above; the bytes are as many as is said; fdopen takes the descriptor over.
    unsafe {
        write(descriptor, name.as_ptr().cast(), name.len());
        libc::lseek(descriptor, 0, libc::SEEK_SET);
        libc::fdopen(descriptor, c"r".as_ptr())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut DIR {
    let real =
        |path: *const c_char| next!(c"opendir": fn(*const c_char) -> *mut DIR, (path), core::ptr::null_mut());
    // SAFETY: opendir's contract.
    let ours = !places::buses().is_empty() && places::is_listed_in(unsafe { text(path) });
    let folder = real(path);
    if !ours {
        return folder;
    }
    if folder.is_null() {
        // Nothing is really there: some other folder stands for it, and none of its entries is shown.
        let folder = real(c"/".as_ptr());
        if !folder.is_null() {
            listing::begin(folder as usize, false);
        }
        return folder;
    }
    listing::begin(folder as usize, true);
    folder
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn closedir(folder: *mut DIR) -> c_int {
    listing::end(folder as usize);
    next!(c"closedir": fn(*mut DIR) -> c_int, (folder), -1)
}

/// The entry that a thread was told last; it holds until the next call, as C promises.
struct Told<T>(UnsafeCell<T>);

thread_local! {
    // SAFETY: an entry of zeros is an entry without a name.
    static TOLD: Told<dirent> = const { Told(UnsafeCell::new(unsafe { core::mem::zeroed() })) };
    // SAFETY: as above.
    static TOLD64: Told<dirent64> = const { Told(UnsafeCell::new(unsafe { core::mem::zeroed() })) };
}

macro_rules! readdir {
    ($function:ident, $name:literal, $entry:ty, $told:ident) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(folder: *mut DIR) -> *mut $entry {
            let none = core::ptr::null_mut();
            let real = || next!($name: fn(*mut DIR) -> *mut $entry, (folder), none);
            let ours = match listing::next(folder as usize, false) {
                None => return real(),
                Some(Entry::Real) => {
                    let entry = real();
                    if !entry.is_null() {
                        return entry;
                    }
                    listing::next(folder as usize, true)
                }
                other => other,
            };
            let Some(Entry::Ours(name)) = ours else {
                return none;
            };
            $told.try_with(|told| {
                let entry = told.0.get();
                // SAFETY: only this thread has the entry, and C may keep it until the next call.
                unsafe {
                    (*entry).d_ino = 1;
                    (*entry).d_type = libc::DT_CHR;
                    (*entry).d_reclen = size_of::<$entry>() as u16;
                    for (place, byte) in (*entry).d_name.iter_mut().zip(name.bytes().chain([0])) {
                        *place = byte as c_char;
                    }
                }
                entry
            })
            .unwrap_or(none)
        }
    };
}

readdir!(readdir, c"readdir", dirent, TOLD);
readdir!(readdir64, c"readdir64", dirent64, TOLD64);

/// Keeps the layouts of C's structures from changing unseen.
const _: () = {
    assert!(size_of::<CMessage>() == 8 + size_of::<c_long>());
    assert!(size_of::<CTransfer>() == 2 * size_of::<c_long>());
    assert!(size_of::<CSmbus>() == 8 + size_of::<c_long>());
};
