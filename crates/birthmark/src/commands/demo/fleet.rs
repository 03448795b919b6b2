//! Chapters 4 and 5: every device connects for the first time, publishes, and a subscriber counts.
//!
//! Devices come in waves that fit the file limit. Each one builds its view of the chip, connects (and reconnects, when the
//! cloud closes a first connection), publishes one message at QoS 1 and says goodbye.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ::device::{
    Alpn, Connection, DeviceKey, Endpoint, Error, Options, QoS, SubscribeReturn, Tls, Versions,
    connect_with_backoff,
};
use optiga_sim::Tray;

use super::{crowd, world::chip_key};
use crate::{
    exit::{Context, Failure},
    words::{Chapter, say},
};

/// Pauses between a device's attempts. The cloud has kept everything before it closes a first connection, so that the next
/// one may follow at once; the later ones are for a machine that is busy.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// How long the subscriber waits for the next message before it looks whether it is still wanted.
const SUBSCRIBER_PATIENCE: Duration = Duration::from_millis(100);
/// How long after the last acknowledged publish a message may still arrive.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(20);
/// Refused devices of which the reason is printed.
const FAILURES_SHOWN: u64 = 5;

/// A device of the fleet: its chip and its name.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Index of its chip in the tray.
    pub(super) chip: u32,
    /// Its thing name.
    pub(super) thing: String,
    /// Its certificate's id, as the ledger has it.
    pub(super) certificate: String,
}

/// How devices reach the cloud.
pub(super) struct Road {
    pub(super) endpoint: Endpoint,
    tls12: Tls,
    tls13: Tls,
    /// Handshakes in which a chip signed.
    pub(super) handshakes: AtomicU64,
}

impl Road {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls12: Tls::new(Versions::Tls12),
            tls13: Tls::new(Versions::Tls13),
            handshakes: AtomicU64::new(0),
        }
    }

    /// Connects once with the identity in a chip. Even chips speak TLS 1.3, odd ones 1.2.
    pub(super) fn connect(
        &self,
        chip: u32,
        key: &Arc<dyn DeviceKey>,
        client_id: &str,
    ) -> Result<Connection, Error> {
        self.open(self.tls_for(chip), key, client_id, true)
    }

    /// Connects with the identity in a chip, again and again while the cloud is getting to know it.
    pub(super) fn connect_at_last(
        &self,
        chip: u32,
        key: &Arc<dyn DeviceKey>,
        client_id: &str,
    ) -> Result<Connection, Error> {
        let attempt = || self.connect(chip, key, client_id);
        connect_with_backoff(attempt, PAUSES).map(|(connection, _)| connection)
    }

    /// Connects once with an identity that is in no chip.
    pub(super) fn connect_software(
        &self,
        key: &Arc<dyn DeviceKey>,
        client_id: &str,
    ) -> Result<Connection, Error> {
        self.open(&self.tls13, key, client_id, false)
    }

    fn tls_for(&self, chip: u32) -> &Tls {
        if chip.is_multiple_of(2) {
            &self.tls13
        } else {
            &self.tls12
        }
    }

    fn open(
        &self,
        tls: &Tls,
        key: &Arc<dyn DeviceKey>,
        client_id: &str,
        in_chip: bool,
    ) -> Result<Connection, Error> {
        let config = tls.config(Arc::clone(key), Alpn::None)?;
        let connection = Connection::open(&self.endpoint, &config, &Options::new(client_id));
        if in_chip && connection.as_ref().map_or_else(has_signed, |_| true) {
            self.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        connection
    }
}

/// Whether a connection that came to nothing got as far as the device's signature.
fn has_signed(error: &Error) -> bool {
    use ::device::Moment;
    match error {
        Error::ClosedBeforeConnack(Moment::Connect)
        | Error::ConnectionRefused(_)
        | Error::Network(_)
        | Error::Timeout { .. } => true,
        Error::Alert { during, .. } => *during != Moment::Handshake,
        _ => false,
    }
}

/// What the fleet did.
#[derive(Default)]
pub(super) struct Done {
    pub(super) connected: u64,
    pub(super) sent: u64,
    pub(super) connecting_seconds: f64,
    pub(super) publishing_seconds: f64,
}

/// Takes the whole fleet through its first connections and its telemetry.
pub(super) fn run(fleet: &[Member], tray: &Tray, road: &Road, chapter: &Chapter) -> Done {
    let mut done = Done::default();
    let failures = AtomicU64::new(0);
    for wave in fleet.chunks(crowd::wave()) {
        let start = Instant::now();
        let connect = |member: &Member| {
            let key = chip_key(tray, member.chip).map_err(|failure| failure.to_string())?;
            let connection = road
                .connect_at_last(member.chip, &key, &member.thing)
                .map_err(|error| error.to_string());
            chapter.advance(1);
            connection
        };
        let connections = crowd::each(wave.iter().collect(), |member| {
            let connection = connect(member);
            if let Err(why) = &connection
                && failures.fetch_add(1, Ordering::Relaxed) < FAILURES_SHOWN
            {
                say(&format!("{}: {why}", member.thing));
            }
            connection.ok().map(|connection| (member, connection))
        });
        let connections: Vec<_> = connections.into_iter().flatten().collect();
        done.connected += connections.len() as u64;
        done.connecting_seconds += start.elapsed().as_secs_f64();
        let start = Instant::now();
        let sent = crowd::each(connections, |(member, connection)| publish(member, connection));
        done.sent += sent.into_iter().filter(|sent| *sent).count() as u64;
        done.publishing_seconds += start.elapsed().as_secs_f64();
    }
    done
}

fn publish(member: &Member, mut connection: Connection) -> bool {
    let topic = format!("dt/{}/telemetry", member.thing);
    let payload = format!("{{\"thing\":\"{}\",\"celsius\":21.5}}", member.thing);
    let sent = connection.publish(&topic, payload.as_bytes(), QoS::AtLeastOnce);
    if let Err(error) = &sent {
        say(&format!("{}: {error}", member.thing));
    }
    let said_goodbye = connection.disconnect();
    sent.is_ok() && said_goodbye.is_ok()
}

/// Counts telemetry on a thread of its own.
pub(super) struct Subscriber {
    heard: Arc<Mutex<HashSet<String>>>,
    wanted: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Subscriber {
    /// Connects, subscribes, and begins to count.
    pub(super) fn start(road: &Road, key: &Arc<dyn DeviceKey>, client_id: &str) -> Result<Self, Failure> {
        let what = || "the subscriber could not subscribe".to_owned();
        let mut connection = road.connect_software(key, client_id).fault(what)?;
        let granted = connection
            .subscribe(&[("dt/+/telemetry", QoS::AtLeastOnce)])
            .fault(what)?;
        if !granted.iter().all(|answer| *answer != SubscribeReturn::Failure) {
            return Err(Failure::refused(
                "the cloud refused the subscriber's topic filter",
            ));
        }
        let (heard, wanted) = (
            Arc::new(Mutex::new(HashSet::new())),
            Arc::new(AtomicBool::new(true)),
        );
        let (listening, still) = (Arc::clone(&heard), Arc::clone(&wanted));
        let thread = std::thread::Builder::new()
            .name("subscriber".to_owned())
            .spawn(move || listen(connection, &listening, &still))
            .fault(what)?;
        Ok(Self {
            heard,
            wanted,
            thread,
        })
    }

    /// Waits until as many different messages have arrived, or for long enough; gives their number.
    pub(super) fn end(self, expected: u64) -> u64 {
        let count = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let start = Instant::now();
        while count() < expected && start.elapsed() < DELIVERY_PATIENCE && !self.thread.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wanted.store(false, Ordering::Relaxed);
        let delivered = count();
        // A listener that died has counted less than expected already.
        let _ = self.thread.join();
        delivered
    }
}

fn listen(mut connection: Connection, heard: &Mutex<HashSet<String>>, wanted: &AtomicBool) {
    while wanted.load(Ordering::Relaxed) {
        match connection.next_message(SUBSCRIBER_PATIENCE) {
            Ok(Some(message)) => {
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(message.topic);
            }
            Ok(None) => {}
            Err(error) => {
                say(&format!("the subscriber lost its connection: {error}"));
                return;
            }
        }
    }
    // The count is complete; a goodbye that fails changes nothing.
    let _ = connection.disconnect();
}
