//! The one signal that ends every loop of the server.

use tokio::sync::watch;

/// Hears the signal. Cheap to clone, usable on every runtime.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// Gives the signal; it is also given when this is dropped.
#[derive(Debug)]
pub(crate) struct Trigger(watch::Sender<bool>);

/// A signal that has not been given.
pub(crate) fn signal() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Gives the signal.
    pub(crate) fn pull(&self) {
        let _ = self.0.send(true);
    }
}

impl Shutdown {
    /// Ends when the signal has been given.
    pub(crate) async fn begun(&self) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}
