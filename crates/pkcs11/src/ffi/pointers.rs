//! Pointers of C as slices and references: here, once for each shape, and nowhere else.
//!
//! Each function refuses NULL where the standard wants something, and lengths that no object can have. What can not be
//! checked — that the rest is there — is the caller's promise (PKCS #11 v3.1, 5.1.6 and 5.2).

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_MECHANISM, CK_ULONG, CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
};
use token::limits::TEMPLATE_ATTRIBUTES_MAX;
use token::{Error, Mechanism, Shape};
use zeroize::Zeroizing;

use super::Fault;
use crate::describe::{self, UNAVAILABLE};
use crate::limits::ANSWER_BYTES_MAX;
use crate::template::Raw;

const BAD: Fault = Fault(CKR_ARGUMENTS_BAD);

/// A count of things that are `bytes` long each; more than an address space holds is no count.
fn count(length: CK_ULONG, bytes: usize) -> Result<usize, Fault> {
    let count = usize::try_from(length).map_err(|_| BAD)?;
    let fits = count
        .checked_mul(bytes)
        .is_some_and(|all| isize::try_from(all).is_ok());
    if fits { Ok(count) } else { Err(BAD) }
}

/// An array to read.
///
/// # Safety
/// `first` is NULL or points to `length` initialized elements, which nobody writes while `'a` lasts.
pub(super) unsafe fn array<'a, T>(first: *const T, length: CK_ULONG) -> Result<&'a [T], Fault> {
    let length = count(length, size_of::<T>())?;
    if length == 0 {
        return Ok(&[]);
    }
    if first.is_null() || !first.is_aligned() {
        return Err(BAD);
    }
    // SAFETY: not NULL, aligned, no longer than an address space; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(first, length) })
}

/// An array to write.
///
/// # Safety
/// As [`array`], and nobody else reads or writes it while `'a` lasts.
pub(super) unsafe fn array_mut<'a, T>(first: *mut T, length: CK_ULONG) -> Result<&'a mut [T], Fault> {
    let length = count(length, size_of::<T>())?;
    if length == 0 {
        return Ok(&mut []);
    }
    if first.is_null() || !first.is_aligned() {
        return Err(BAD);
    }
    // SAFETY: not NULL, aligned, no longer than an address space; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(first, length) })
}

/// A place for one answer.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or points to room for one `T` until the answer is set.
    pub(super) unsafe fn new(place: *mut T) -> Result<Self, Fault> {
        if place.is_null() || !place.is_aligned() {
            return Err(BAD);
        }
        Ok(Self(place))
    }

    pub(super) fn set(&self, value: T) {
        // SAFETY: `new` has checked the pointer, and its caller has promised the room.
        unsafe { self.0.write(value) }
    }
}

impl Out<CK_ULONG> {
    /// The length that the caller has written there.
    fn value(&self) -> CK_ULONG {
        // SAFETY: as in `set`; a length is passed both ways (5.2), so it has been written.
        unsafe { self.0.read() }
    }
}

/// A number of things as C counts them.
pub(super) fn length(count: usize) -> CK_ULONG {
    CK_ULONG::try_from(count).unwrap_or(UNAVAILABLE)
}

/// A mechanism and its parameter; `None` for NULL.
///
/// # Safety
/// `mechanism` is NULL or points to an initialized `CK_MECHANISM`, whose `pParameter` is NULL or points to `ulParameterLen`
/// bytes.
pub(super) unsafe fn mechanism(
    mechanism: *const CK_MECHANISM,
) -> Result<Option<Result<Mechanism, Fault>>, Fault> {
    if mechanism.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise; one element.
    let [mechanism] = (unsafe { array(mechanism, 1) })? else {
        return Err(BAD);
    };
    // SAFETY: the caller's promise for the parameter.
    let parameter = unsafe {
        array(
            mechanism.pParameter.cast::<u8>().cast_const(),
            mechanism.ulParameterLen,
        )
    };
    let parameter = parameter.map_err(|_| Fault(CKR_MECHANISM_PARAM_INVALID));
    Ok(Some(parameter.and_then(|bytes| {
        // SAFETY: the caller's promise for what the parameter points to.
        unsafe { super::parameters::mechanism(mechanism.mechanism.into(), bytes) }
    })))
}

/// A template to read.
///
/// # Safety
/// `first` is NULL or points to `length` initialized attributes, each of whose `pValue` is NULL or points to `ulValueLen`
/// bytes; the value of a template attribute is such attributes again.
pub(super) unsafe fn template<'a>(
    first: *const CK_ATTRIBUTE,
    length: CK_ULONG,
) -> Result<Vec<Raw<'a>>, Fault> {
    // SAFETY: the caller's promise.
    let attributes = unsafe { array(first, length) }?;
    if attributes.len() > TEMPLATE_ATTRIBUTES_MAX {
        return Err(BAD);
    }
    let values = attributes.iter().map(|attribute| {
        let holds_template =
            describe::attribute(attribute.type_).is_some_and(|kind| kind.shape() == Shape::Template);
        // SAFETY: the caller's promise for each attribute.
        let value = unsafe { bytes_of(attribute) }?;
        if !holds_template {
            return Ok(Raw::Bytes(attribute.type_, value));
        }
        // SAFETY: the caller's promise for templates in templates.
        let lines = unsafe { inner(attribute) }?;
        Ok(Raw::Template(attribute.type_, lines))
    });
    values.collect()
}

/// # Safety
/// `pValue` is NULL or points to `ulValueLen` bytes.
unsafe fn bytes_of<'a>(attribute: &CK_ATTRIBUTE) -> Result<&'a [u8], Fault> {
    // SAFETY: the caller's promise.
    unsafe { array(attribute.pValue.cast::<u8>().cast_const(), attribute.ulValueLen) }
}

/// # Safety
/// `pValue` is NULL or points to attributes in `ulValueLen` bytes, each with its value.
unsafe fn inner<'a>(attribute: &CK_ATTRIBUTE) -> Result<Vec<(CK_ATTRIBUTE_TYPE, &'a [u8])>, Fault> {
    let bytes = usize::try_from(attribute.ulValueLen).map_err(|_| BAD)?;
    if bytes % size_of::<CK_ATTRIBUTE>() != 0 || bytes / size_of::<CK_ATTRIBUTE>() > TEMPLATE_ATTRIBUTES_MAX {
        return Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    let first = attribute.pValue.cast::<CK_ATTRIBUTE>().cast_const();
    // SAFETY: the caller's promise.
    let lines = unsafe { array(first, length(bytes / size_of::<CK_ATTRIBUTE>())) }?;
    let values = lines.iter().map(|line| {
        // SAFETY: the caller's promise for each line.
        let value = unsafe { bytes_of(line) }?;
        Ok((line.type_, value))
    });
    values.collect()
}

/// The protocol of answers of unknown length (5.2): no buffer asks for the length, a small one is told the length.
///
/// The answer is made in memory of ours: the standard lets input and output be the same place.
///
/// # Safety
/// `room` is NULL or points to a length; `out` is NULL or points to as many bytes.
pub(super) unsafe fn answer(
    out: *mut u8,
    room: *mut CK_ULONG,
    produce: impl FnOnce(Option<&mut [u8]>) -> Result<usize, Error>,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let room = unsafe { Out::new(room) }?;
    if out.is_null() {
        room.set(length(produce(None)?));
        return Ok(());
    }
    let fits = usize::try_from(room.value()).unwrap_or(usize::MAX);
    let mut answer = [0; ANSWER_BYTES_MAX];
    let buffer = answer.get_mut(..fits.min(ANSWER_BYTES_MAX));
    match produce(buffer) {
        Ok(bytes) => {
            let bytes = bytes.min(fits).min(ANSWER_BYTES_MAX);
            // SAFETY: `out` has room for `fits` bytes by the caller's promise; `answer` is ours.
            unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), out, bytes) };
            room.set(length(bytes));
            Ok(())
        }
        Err(Error::BufferTooSmall { needed }) => {
            room.set(length(needed));
            Err(Error::BufferTooSmall { needed }.into())
        }
        Err(other) => Err(other.into()),
    }
}

/// The same for answers that may be long: they are made in memory of ours that is wiped afterwards.
///
/// # Safety
/// As [`answer`].
pub(super) unsafe fn long_answer(
    out: *mut u8,
    room: *mut CK_ULONG,
    mut produce: impl FnMut(Option<&mut [u8]>) -> Result<usize, Error>,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let room = unsafe { Out::new(room) }?;
    let longest = produce(None)?;
    if out.is_null() {
        room.set(length(longest));
        return Ok(());
    }
    let fits = usize::try_from(room.value()).unwrap_or(usize::MAX);
    let mut answer = Zeroizing::new(vec![0; longest.min(fits)]);
    match produce(Some(&mut answer)) {
        Ok(bytes) => {
            let bytes = bytes.min(answer.len());
            // SAFETY: `out` has room for `fits` bytes by the caller's promise, and these are not more; `answer` is ours.
            unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), out, bytes) };
            room.set(length(bytes));
            Ok(())
        }
        Err(Error::BufferTooSmall { needed }) => {
            room.set(length(needed));
            Err(Error::BufferTooSmall { needed }.into())
        }
        Err(other) => Err(other.into()),
    }
}

/// The same for lists: how many there are, or as many as there are.
///
/// # Safety
/// `room` is NULL or points to a count; `out` is NULL or points to room for as many elements.
pub(super) unsafe fn list<T: Copy>(out: *mut T, room: *mut CK_ULONG, items: &[T]) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let room = unsafe { Out::new(room) }?;
    let fits = if out.is_null() { None } else { Some(room.value()) };
    room.set(length(items.len()));
    match fits {
        None => Ok(()),
        Some(fits) if fits < length(items.len()) => Err(Fault(cryptoki_sys::CKR_BUFFER_TOO_SMALL)),
        Some(_) if !out.is_aligned() => Err(BAD),
        Some(_) => {
            // SAFETY: there is room for `fits` elements by the caller's promise, and these are not more.
            unsafe { std::ptr::copy_nonoverlapping(items.as_ptr(), out, items.len()) };
            Ok(())
        }
    }
}
