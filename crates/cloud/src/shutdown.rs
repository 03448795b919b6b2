//! The one signal that ends every loop of the server, in steps: no new connections, then those that are there, then whoever
//! watched.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nobody new comes in; connections are ended at the chosen rate.
    Begun,
    /// What is still there is ended at once.
    Hurried,
    /// All of it is gone.
    Over,
}

/// Hears the signal. Cheap to clone, usable on every runtime.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<Phase>);

/// Gives the signal; it is also given when this is dropped.
#[derive(Debug)]
pub(crate) struct Trigger(watch::Sender<Phase>);

/// Ends a drain early.
#[derive(Clone, Debug)]
pub struct Hurry(watch::Sender<Phase>);

/// A signal that has not been given.
pub(crate) fn signal() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Gives the signal.
    pub(crate) fn pull(&self) {
        raise(&self.0, Phase::Begun);
    }

    /// Everybody but those who watch is gone.
    pub(crate) fn finish(&self) {
        raise(&self.0, Phase::Over);
    }

    /// For somebody who may lose patience.
    pub(crate) fn hurry(&self) -> Hurry {
        Hurry(self.0.clone())
    }
}

impl Hurry {
    /// Ends at once what is still being ended slowly.
    pub fn now(&self) {
        raise(&self.0, Phase::Hurried);
    }
}

fn raise(sender: &watch::Sender<Phase>, to: Phase) {
    sender.send_if_modified(|phase| {
        let rises = *phase < to;
        *phase = to.max(*phase);
        rises
    });
}

impl Shutdown {
    /// Ends when the signal has been given.
    pub(crate) async fn begun(&self) {
        self.reached(Phase::Begun).await;
    }

    /// Ends when nobody wants to wait any more.
    pub(crate) async fn hurried(&self) {
        self.reached(Phase::Hurried).await;
    }

    /// Ends when all else has ended.
    pub(crate) async fn over(&self) {
        self.reached(Phase::Over).await;
    }

    async fn reached(&self, wanted: Phase) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|phase| *phase >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_in_steps_and_never_goes_back() {
        let (trigger, shutdown) = signal();
        let phase = || *shutdown.0.borrow();
        let hurry = trigger.hurry();
        trigger.pull();
        assert_eq!(phase(), Phase::Begun);
        hurry.now();
        trigger.pull();
        assert_eq!(phase(), Phase::Hurried);
        trigger.finish();
        hurry.now();
        assert_eq!(phase(), Phase::Over);
    }
}
