//! Many devices at the same time, within what the system allows: parallel work, waves, and the file limit.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Threads that drive devices: enough that the cloud can keep many first connections with one write to the disk.
const THREADS: usize = 96;
/// Devices that are connected at the same time, at most.
const WAVE_DEVICES_MAX: usize = 400;
/// Files that everything else in this process needs.
const OTHER_FILES: u64 = 200;
/// Files of one connected device: both ends of its connection are in this process.
const FILES_PER_DEVICE: u64 = 2;
/// More files than this are never asked for.
const FILES_WANTED: u64 = 65_536;

/// Raises the limit of open files to what is allowed, and gives the number of devices that fit at the same time.
pub(super) fn wave() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(FILES_WANTED).min(FILES_WANTED);
    let current = limit.current.unwrap_or(FILES_WANTED);
    let raised = current < allowed
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(allowed),
                maximum: limit.maximum,
            },
        )
        .is_ok();
    let files = if raised { allowed } else { current };
    let devices = files.saturating_sub(OTHER_FILES) / FILES_PER_DEVICE;
    usize::try_from(devices)
        .unwrap_or(WAVE_DEVICES_MAX)
        .clamp(1, WAVE_DEVICES_MAX)
}

/// Does `work` with every item, many at a time; the answers are in the order of the items.
pub(super) fn each<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let next = AtomicUsize::new(0);
    let mut answers: Vec<(usize, R)> = thread::scope(|scope| {
        let take = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(place) = items.get(index) else {
                    return done;
                };
                let item = place.lock().unwrap_or_else(PoisonError::into_inner).take();
                done.extend(item.map(|item| (index, work(item))));
            }
        };
        let threads: Vec<_> = (0..THREADS.min(count)).map(|_| scope.spawn(take)).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .flatten()
            .collect()
    });
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::{each, wave};

    #[test]
    fn every_item_is_done_once_and_in_order() {
        let answers = each((0..1000).collect(), |item: u32| item * 2);
        assert_eq!(answers, (0..1000).map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_wave_has_somebody_in_it() {
        assert!(wave() >= 1);
    }
}
