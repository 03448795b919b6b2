//! Objects: found, asked, made, destroyed.

use cryptoki_sys::*;
use token::{Application, Attribute, Error, Object, Value};
use zeroize::Zeroizing;

use super::pointers::{self, Out, length};
use super::{Fault, application};
use crate::describe::{self, UNAVAILABLE};
use crate::template;

functions! {
    fn C_FindObjectsInit(session: CK_SESSION_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or as many attributes with their values (5.7).
        let raw = unsafe { pointers::template(attributes, count) }?;
        Ok(application.find_init(session.into(), template::for_search(&raw).as_deref())?)
    }

    fn C_FindObjects(
        session: CK_SESSION_HANDLE,
        objects: *mut CK_OBJECT_HANDLE,
        room: CK_ULONG,
        count: *mut CK_ULONG,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a count (5.7).
        let out = unsafe { Out::new(count) }?;
        // SAFETY: NULL or room for as many handles (5.7).
        let objects = unsafe { pointers::array_mut(objects, room) }?;
        out.set(length(application.find(session.into(), objects)?));
        Ok(())
    }

    fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) {
        Ok(application()?.find_final(session.into())?)
    }

    fn C_GetAttributeValue(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        let application = application()?;
        if attributes.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: as many attributes, each with NULL or room for as many bytes (5.7).
        let attributes = unsafe { pointers::array_mut(attributes, count) }?;
        let object = application.object(session.into(), object.into())?;
        // Every attribute is answered; one of the things that went wrong is told at the end.
        let mut worst = Ok(());
        for attribute in attributes {
            // SAFETY: the same promise.
            if let Err(fault) = unsafe { one(&application, session, &object, attribute) } {
                worst = Err(fault);
            }
        }
        worst
    }

    fn C_GetObjectSize(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, size: *mut CK_ULONG) {
        let application = application()?;
        // SAFETY: NULL or room for a size (5.7).
        let out = unsafe { Out::new(size) }?;
        out.set(length(application.object_size(session.into(), object.into())?));
        Ok(())
    }

    fn C_SetAttributeValue(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        let application = application()?;
        // SAFETY: NULL or as many attributes with their values (5.7).
        let raw = unsafe { pointers::template(attributes, count) }?;
        application.object(session.into(), object.into())?;
        let template = template::for_object(&raw)?;
        Ok(application.set_attributes(session.into(), object.into(), &template)?)
    }

    fn C_CreateObject(
        session: CK_SESSION_HANDLE,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        object: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a handle (5.7).
        let out = unsafe { Out::new(object) }?;
        // SAFETY: NULL or as many attributes with their values (5.7).
        let raw = unsafe { pointers::template(attributes, count) }?;
        application.check_session(session.into())?;
        let template = template::for_object(&raw)?;
        out.set(application.create_object(session.into(), &template)? as CK_OBJECT_HANDLE);
        Ok(())
    }

    fn C_CopyObject(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attributes: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        copy: *mut CK_OBJECT_HANDLE,
    ) {
        let application = application()?;
        // SAFETY: NULL or room for a handle (5.7).
        let out = unsafe { Out::new(copy) }?;
        // SAFETY: NULL or as many attributes with their values (5.7).
        let raw = unsafe { pointers::template(attributes, count) }?;
        application.object(session.into(), object.into())?;
        let template = template::for_object(&raw)?;
        out.set(application.copy_object(session.into(), object.into(), &template)? as CK_OBJECT_HANDLE);
        Ok(())
    }

    fn C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) {
        Ok(application()?.destroy_object(session.into(), object.into())?)
    }
}

/// Answers one attribute: its length, and its value if there is room.
///
/// # Safety
/// `pValue` is NULL or points to room for `ulValueLen` bytes.
unsafe fn one(
    application: &Application,
    session: CK_SESSION_HANDLE,
    object: &Object,
    attribute: &mut CK_ATTRIBUTE,
) -> Result<(), Fault> {
    let room = attribute.ulValueLen;
    attribute.ulValueLen = UNAVAILABLE;
    let kind = describe::attribute(attribute.type_).ok_or(Fault(CKR_ATTRIBUTE_TYPE_INVALID))?;
    let value = application.attribute(session.into(), object, kind)?;
    if let Value::Template(lines) = &value {
        // SAFETY: the caller's promise; the value of such an attribute is attributes again.
        return unsafe { inner(lines, attribute, room) };
    }
    let value = Zeroizing::new(describe::value(&value));
    if attribute.pValue.is_null() {
        attribute.ulValueLen = length(value.len());
        return Ok(());
    }
    if room < length(value.len()) {
        return Err(Error::BufferTooSmall { needed: value.len() }.into());
    }
    // SAFETY: not NULL, and there is room for these bytes by the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), attribute.pValue.cast(), value.len()) };
    attribute.ulValueLen = length(value.len());
    Ok(())
}

/// Answers a template: types and lengths, and the values for which there is room.
///
/// # Safety
/// `pValue` is NULL or points to room for `ulValueLen` bytes, in which attributes are initialized.
unsafe fn inner(lines: &[Attribute<'_>], attribute: &mut CK_ATTRIBUTE, room: CK_ULONG) -> Result<(), Fault> {
    let needed = lines.len() * size_of::<CK_ATTRIBUTE>();
    if attribute.pValue.is_null() {
        attribute.ulValueLen = length(needed);
        return Ok(());
    }
    if room < length(needed) {
        return Err(Error::BufferTooSmall { needed }.into());
    }
    // SAFETY: the caller's promise; there is room for these.
    let places =
        unsafe { pointers::array_mut(attribute.pValue.cast::<CK_ATTRIBUTE>(), length(lines.len())) }?;
    attribute.ulValueLen = length(needed);
    let mut worst = Ok(());
    for (place, line) in places.iter_mut().zip(lines) {
        let value = describe::value(&line.value);
        let (room, bytes) = (place.ulValueLen, length(value.len()));
        place.type_ = line.kind.number() as CK_ATTRIBUTE_TYPE;
        place.ulValueLen = bytes;
        if place.pValue.is_null() {
            continue;
        }
        if room < bytes {
            place.ulValueLen = UNAVAILABLE;
            worst = Err(Error::BufferTooSmall { needed: value.len() }.into());
            continue;
        }
        // SAFETY: not NULL, and there is room for these bytes by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), place.pValue.cast(), value.len()) };
    }
    worst
}
