//! One answer from the writer thread to whoever waits: on any runtime, or on a plain thread.
//!
//! The standard library has no channel that can be awaited; this is the smallest one that can, without unsafe code.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::thread::Thread;

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// The side that answers.
pub(crate) struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// The side that waits; `None` if the other side went away without an answer.
pub(crate) struct Awaited<T>(Arc<Mutex<Slot<T>>>);

pub(crate) fn channel<T>() -> (Answer<T>, Awaited<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        value: None,
        waker: None,
        closed: false,
    }));
    (Answer(slot.clone()), Awaited(slot))
}

impl<T> Answer<T> {
    pub(crate) fn send(self, value: T) {
        self.lock(|slot| slot.value = Some(value));
        // Dropping self wakes whoever waits.
    }

    fn lock<R>(&self, change: impl FnOnce(&mut Slot<T>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let waker = self.lock(|slot| {
            slot.closed = true;
            slot.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Awaited<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.closed {
            return Poll::Ready(None);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            empty => *empty = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, without a runtime: for tools and tests.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_arrives_from_another_thread() {
        let (answer, awaited) = channel();
        let sender = std::thread::spawn(move || answer.send(7));
        assert_eq!(wait(awaited), Some(7));
        sender.join().unwrap();
    }

    #[test]
    fn an_answer_that_never_comes_ends_the_wait() {
        let (answer, awaited) = channel::<u8>();
        let sender = std::thread::spawn(move || drop(answer));
        assert_eq!(wait(awaited), None);
        sender.join().unwrap();
    }
}
