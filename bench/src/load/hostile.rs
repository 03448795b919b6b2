//! Those who disturb: a storm of handshakes at full rate, clients that stall, and clients that drip.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use super::client::{Client, Road};
use super::wire;
use crate::Outcome;
use crate::client::{End, connect};
use crate::devices::Device;

/// Handshakes under way at any time.
const IN_FLIGHT: usize = 32;

/// How much less important the storm is than the traffic that is measured beside it: a real storm comes from other machines.
const NICENESS: i32 = 19;

/// How often a slow client sends one byte.
const DRIP: Duration = Duration::from_millis(500);

/// Devices that connect again and again, as fast as the server takes them.
pub(crate) struct Storm {
    stop: Arc<AtomicBool>,
    connected: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Storm {
    pub(crate) fn start(
        server: SocketAddr,
        root: &CertificateDer<'static>,
        devices: &[Device],
    ) -> Outcome<Self> {
        let mut storm = Self {
            stop: Arc::default(),
            connected: Arc::default(),
            failed: Arc::default(),
            threads: Vec::new(),
        };
        for index in 0..IN_FLIGHT {
            let devices: Vec<Device> = devices.iter().skip(index).step_by(IN_FLIGHT).cloned().collect();
            let root = root.clone();
            let (stop, connected, failed) = (
                Arc::clone(&storm.stop),
                Arc::clone(&storm.connected),
                Arc::clone(&storm.failed),
            );
            storm.threads.push(thread::spawn(move || {
                let _where_it_is_allowed = rustix::process::nice(NICENESS);
                for device in devices.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let count = match connect(server, &root, device) {
                        Ok(End::Accepted) => &connected,
                        _ => &failed,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Ok(storm)
    }

    /// How many connected so far, and how many did not.
    pub(crate) fn count(&self) -> (u64, u64) {
        (
            self.connected.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Clients that hold their connections and do not do what the server waits for.
pub(crate) struct Sluggards {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sluggards {
    /// Of each kind one per device: one that sends half a ClientHello and stalls, one that stalls after its handshake, one that
    /// drips its CONNECT, and one that subscribes to everything and reads nothing.
    pub(crate) fn start(road: &Road, devices: &[Device]) -> Outcome<Self> {
        let (stop, road, devices) = (Arc::new(AtomicBool::new(false)), road.clone(), devices.to_vec());
        let over = Arc::clone(&stop);
        let thread = thread::Builder::new().name("sluggards".into()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            LocalSet::new().block_on(&runtime, async {
                for (number, device) in devices.iter().enumerate() {
                    spawn_local(stall_in_hello(road.clone(), number));
                    spawn_local(stall_after_handshake(road.clone(), device.clone(), number));
                    spawn_local(drip(road.clone(), device.clone(), number));
                    spawn_local(never_read(road.clone(), device.clone(), number));
                }
                while !over.load(Ordering::Relaxed) {
                    sleep(DRIP).await;
                }
            });
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Sluggards {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The head of a ClientHello that never ends (RFC 8446, 5.1 and 4.1.2); comes again when it is shown out.
async fn stall_in_hello(road: Road, number: usize) -> Outcome<()> {
    loop {
        let mut tcp = road.tcp(number).await?;
        tcp.write_all(&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xFC, 3, 3]).await?;
        let _shown_out = tcp.readable().await;
    }
}

async fn stall_after_handshake(road: Road, device: Device, number: usize) -> Outcome<()> {
    loop {
        let stream = road.handshake(&device, number).await?;
        let _shown_out = stream.get_ref().0.readable().await;
    }
}

async fn drip(road: Road, device: Device, number: usize) -> Outcome<()> {
    let mut packet = Vec::new();
    wire::connect(&mut packet, &device.name, 60);
    loop {
        let mut stream = road.handshake(&device, number).await?;
        for byte in &packet {
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            sleep(DRIP).await;
        }
    }
}

/// Comes again when it is thrown out, as a device in a boot loop does.
async fn never_read(road: Road, device: Device, number: usize) -> Outcome<()> {
    loop {
        let mut client = Client::open(&road, &device, number).await?;
        client.subscribe("all/x").await?;
        while client.poke().await.is_ok() {
            sleep(DRIP).await;
        }
    }
}
