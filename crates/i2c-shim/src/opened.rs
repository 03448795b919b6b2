//! Which descriptors are ours. One bit for each answers that without a lock: every read and write of the program asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::Device;
use crate::limits::DESCRIPTORS_MAX;

static OURS: [AtomicU64; DESCRIPTORS_MAX / 64] = [const { AtomicU64::new(0) }; DESCRIPTORS_MAX / 64];
static DEVICES: Mutex<Option<HashMap<i32, Shared>>> = Mutex::new(None);

/// A device that several threads may use; they take turns.
pub(crate) type Shared = Arc<Mutex<Device>>;

/// Remembers a device under its descriptor; gives it back if the number is too high.
pub(crate) fn add(descriptor: i32, device: Device) -> Result<(), Device> {
    let Some((word, bit)) = bit_of(descriptor) else {
        return Err(device);
    };
    let mut devices = devices();
    let table = devices.get_or_insert_default();
    table.insert(descriptor, Arc::new(Mutex::new(device)));
    word.fetch_or(bit, Ordering::Release);
    Ok(())
}

/// Another number for the device behind a descriptor, as after dup: both have one address and one connection. False if the
/// number is too high.
pub(crate) fn share(from: i32, to: i32) -> bool {
    // Whatever the number stood for before is closed now.
    drop(remove(to));
    let Some(device) = find(from) else { return true };
    let Some((word, bit)) = bit_of(to) else {
        return false;
    };
    devices().get_or_insert_default().insert(to, device);
    word.fetch_or(bit, Ordering::Release);
    true
}

/// The device behind a descriptor, if it is ours.
pub(crate) fn find(descriptor: i32) -> Option<Shared> {
    if !is_ours(descriptor) {
        return None;
    }
    devices().as_ref()?.get(&descriptor).cloned()
}

/// Forgets a descriptor. The device is returned so that its connection is closed by the caller, outside of the table's lock.
pub(crate) fn remove(descriptor: i32) -> Option<Shared> {
    if !is_ours(descriptor) {
        return None;
    }
    let (word, bit) = bit_of(descriptor)?;
    word.fetch_and(!bit, Ordering::Release);
    devices().as_mut()?.remove(&descriptor)
}

pub(crate) fn lock(device: &Shared) -> MutexGuard<'_, Device> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_ours(descriptor: i32) -> bool {
    bit_of(descriptor).is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
}

fn bit_of(descriptor: i32) -> Option<(&'static AtomicU64, u64)> {
    let descriptor = usize::try_from(descriptor).ok()?;
    let word = OURS.get(descriptor / 64)?;
    Some((word, 1 << (descriptor % 64)))
}

fn devices() -> MutexGuard<'static, Option<HashMap<i32, Shared>>> {
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_shared_with_nobody() {
        assert!(share(5, 6) && share(5, -1));
        assert!(find(6).is_none());
    }

    #[test]
    fn a_number_has_one_bit_or_none() {
        assert!(bit_of(-1).is_none());
        assert!(bit_of(DESCRIPTORS_MAX as i32).is_none());
        assert_eq!(bit_of(65).unwrap().1, 2);
        assert!(!is_ours(5) && find(5).is_none() && remove(5).is_none());
    }
}
