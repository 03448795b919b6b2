//! Many connections that do nothing: each with one subscription, and perhaps a PINGREQ now and then.

use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use super::client::{Client, Road};
use crate::Outcome;
use crate::devices::Device;

/// Connections that are made at the same time.
const AT_ONCE: usize = 48;

/// How often each connection asks whether the server is there.
const PING: Duration = Duration::from_secs(45);

/// Connections that are all up.
pub(crate) struct Crowd {
    clients: Vec<Client>,
    tasks: LocalSet,
    runtime: tokio::runtime::Runtime,
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new() -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            clients: Vec::new(),
            tasks: LocalSet::new(),
            runtime,
        })
    }

    /// Connects these too, and subscribes each to its own topic; gives the seconds that it took.
    pub(crate) fn join(&mut self, road: &Road, devices: &[Device]) -> Outcome<f64> {
        let begun = Instant::now();
        let first = self.clients.len();
        let joined: Outcome<Vec<Client>> = self.tasks.block_on(&self.runtime, async {
            let (mut waiting, mut joined) = (JoinSet::new(), Vec::with_capacity(devices.len()));
            for (number, device) in devices.iter().enumerate() {
                while waiting.len() >= AT_ONCE {
                    joined.extend(waiting.join_next().await.transpose()?.transpose()?);
                }
                let (road, device) = (road.clone(), device.clone());
                waiting.spawn_local(async move {
                    let mut client = Client::open(&road, &device, first + number).await?;
                    client.subscribe(&format!("to/{}/x", device.name)).await?;
                    Ok::<Client, crate::Fault>(client)
                });
            }
            while let Some(client) = waiting.join_next().await {
                joined.push(client??);
            }
            Ok(joined)
        });
        self.clients.extend(joined?);
        Ok(begun.elapsed().as_secs_f64())
    }

    /// How many are up.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Keeps all of them alive for so long; any that ends is an error. Gives how often one of them was answered.
    pub(crate) fn stay(&mut self, time: Duration) -> Outcome<u64> {
        let count = self.clients.len().max(1) as u32;
        let (clients, tasks) = (&mut self.clients, &self.tasks);
        tasks.block_on(&self.runtime, async {
            let (begun, mut pings) = (Instant::now(), 0);
            while begun.elapsed() < time {
                for client in clients.iter_mut() {
                    client.ping().await?;
                    pings += 1;
                    if begun.elapsed() >= time {
                        break;
                    }
                    sleep(PING / count).await;
                }
            }
            Ok(pings)
        })
    }

    /// Asks every one of them whether it is still connected.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        let (clients, tasks) = (&mut self.clients, &self.tasks);
        tasks.block_on(&self.runtime, async {
            for client in clients.iter_mut() {
                client.ping().await?;
            }
            Ok(())
        })
    }

    /// Ends all connections at once, without a word.
    pub(crate) fn drop_all(&mut self) {
        let _in_the_runtime_of_the_sockets = self.runtime.enter();
        self.clients.clear();
    }
}
