//! A bounded queue into a thread that takes everything that waits, at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

struct Inner<T> {
    waiting: VecDeque<T>,
    /// While the taker gathers: at which length it wants to be woken. It sleeps through everything in between.
    wanted: usize,
    /// Something waits that the taker must not sleep on.
    urgent: bool,
    closed: bool,
}

/// The queue; shared by those who put and the one thread that takes.
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    limit: usize,
}

/// Held by the taker: however its thread ends, the queue ends with it.
pub(crate) struct Taker<'a, T>(pub(crate) &'a Queue<T>);

impl<T> Drop for Taker<'_, T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Why an item was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        let inner = Inner {
            waiting: VecDeque::new(),
            wanted: 1,
            urgent: false,
            closed: false,
        };
        Self {
            inner: Mutex::new(inner),
            filled: Condvar::new(),
            limit,
        }
    }

    /// Puts an item at the end; never waits.
    pub(crate) fn put(&self, item: T) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if inner.waiting.len() >= self.limit {
            return Err(Refused::Full);
        }
        inner.waiting.push_back(item);
        if inner.waiting.len() == inner.wanted {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Ends a pause of the taker: somebody waits for what was put.
    pub(crate) fn hurry(&self) {
        self.lock().urgent = true;
        self.filled.notify_one();
    }

    /// Takes up to `most` items into `taken`; waits for the first, and up to `gather` for `enough` of them. False when the
    /// queue is closed and empty.
    pub(crate) fn take(&self, taken: &mut Vec<T>, most: usize, gather: Duration, enough: usize) -> bool {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.closed {
                return false;
            }
            inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if !gather.is_zero() {
            inner = self.gather(inner, gather, enough);
        }
        let count = inner.waiting.len().min(most);
        taken.extend(inner.waiting.drain(..count));
        true
    }

    /// No item is taken in from now on; what waits is still given out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Closes the queue and throws away what waits, so that nobody waits for a taker that is gone.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
        self.filled.notify_all();
    }

    /// How many items wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    fn gather<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner<T>>,
        gather: Duration,
        enough: usize,
    ) -> MutexGuard<'a, Inner<T>> {
        let deadline = Instant::now() + gather;
        inner.wanted = enough;
        while inner.waiting.len() < enough && !inner.closed && !inner.urgent {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self
                .filled
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        inner.wanted = 1;
        inner.urgent = false;
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_is_emptied() {
        let queue = Queue::new(2);
        assert_eq!(
            (queue.put(1), queue.put(2), queue.put(3)),
            (Ok(()), Ok(()), Err(Refused::Full))
        );
        assert_eq!(queue.depth(), 2);
        queue.close();
        assert_eq!(queue.put(4), Err(Refused::Closed));
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, 10, Duration::ZERO, 1));
        assert_eq!(taken, [1, 2]);
        assert!(!queue.take(&mut taken, 10, Duration::ZERO, 1));
    }

    #[test]
    fn nobody_waits_for_a_taker_that_is_gone() {
        let queue = Queue::new(2);
        let (answer, awaited) = crate::oneshot::channel::<u8>();
        assert_eq!(queue.put(answer), Ok(()));
        drop(Taker(&queue));
        assert_eq!(crate::wait(awaited), None);
        let (answer, _awaited) = crate::oneshot::channel::<u8>();
        assert_eq!(queue.put(answer), Err(Refused::Closed));
    }
}
