//! Start and end of the server: the order in which everything comes to be, and goes.
//!
//! It stands above all other parts and wires them. Nothing is written before the data directory is ours and both ports are;
//! `ready.json` is written last. Every thread that is started here is joined here.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use socket2::{Domain, Protocol, Socket, Type};
use store::{Attempts as _, DataDirectory, LocalAttempts, LocalRecords};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::config::{Config, Plan};
use crate::control::Control;
use crate::domains::Domains;
use crate::error::Error;
use crate::keys::Keys;
use crate::limits::{ACCEPT_BACKLOG, CROSSINGS_MAX};
use crate::pki::{Pki, Ready, access_key};
use crate::renewal::{self, Renewal};
use crate::server_certificates::ServerCertificates;
use crate::shard::{self, Restored, Shards};
use crate::shutdown::{Hurry, Shutdown, Trigger, signal};
use crate::temporary_keys::TemporaryKeys;
use crate::tls::{Settings, Shown};
use crate::webhook::Webhooks;
use crate::{api, bucket, clock, desk, files, front_door, metrics, mux, telemetry};

/// The cloud.
#[derive(Debug)]
pub struct Server;

/// A running server. Dropping it shuts it down.
pub struct Running {
    /// Where MQTT over TLS listens.
    pub mqtt: SocketAddr,
    /// Where the HTTPS API listens.
    pub api: SocketAddr,
    /// Where metrics are read, if they are.
    pub metrics: Option<SocketAddr>,
    /// Where the port for everything listens, if it does.
    pub mux: Option<SocketAddr>,
    /// Where MQTT without TLS listens, if it does.
    pub plain: Option<SocketAddr>,
    /// The server's root certificate, for clients to trust.
    pub server_ca: PathBuf,
    /// The access key of the API, in the AWS shared-credentials format.
    pub credentials: PathBuf,
    data_dir: PathBuf,
    renewal: Renewal,
    control: Arc<Control>,
    trigger: Trigger,
    threads: Vec<JoinHandle<()>>,
    /// Those that watch the others to the end.
    watchers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server, and returns when it listens.
    ///
    /// # Errors
    /// A setting cannot be, the data directory or a port is not ours, or the system gives no thread.
    pub fn start(config: &Config) -> Result<Running, Error> {
        let plan = config.plan()?;
        let directory = DataDirectory::open(&plan.data_dir).map_err(Error::Store)?;
        let mqtt = listen("MQTT", plan.listen_mqtt)?;
        let api = listen("the API", plan.listen_api)?;
        let open =
            |listener, address: Option<_>| address.map(|address| listen(listener, address)).transpose();
        let mux = open("everything", plan.listen_mux)?;
        let plain = open("MQTT without TLS", plan.listen_plain)?;
        let metrics = open("metrics", plan.listen_metrics)?;
        files::remove(&Ready::path(&plan.data_dir))?;
        let pki = Pki::open(
            &plan.data_dir.join("pki"),
            &plan.names(),
            plan.tls.server_rsa,
            clock::now(),
        )?;
        let temporary_keys = TemporaryKeys::open(&plan.data_dir.join("pki").join("temporary-keys.key"))?;
        let credentials = plan.data_dir.join("credentials");
        let mut keys = vec![(
            access_key(&credentials, plan.tenant.account)?,
            credentials.clone(),
        )];
        for further in &plan.access_keys {
            let path = plan.data_dir.join(&further.file);
            let key = access_key(&path, further.account)?;
            keys.push((key.limited(further.role, further.regions.clone()), path));
        }
        let keys = Keys::open(&plan.data_dir, keys)?;
        let buckets = bucket::open_all(&plan.buckets, &plan.data_dir)?;
        let (desk, tray) = desk::open();
        let webhooks = Webhooks::open(&plan.webhooks, &plan.data_dir)?;
        let (shards, slots) = Shards::new(plan.shards);
        let records = LocalRecords::open(&directory).map_err(Error::Store)?;
        let attempts = LocalAttempts::open(&directory).map_err(Error::Store)?;
        let data_dir = plan.data_dir.clone();
        let restored = shard::open_all(
            &data_dir,
            plan.broker,
            plan.shards,
            plan.durability,
            shards.interests(),
        )?;
        let certificates = Arc::new(ServerCertificates::open(&plan)?);
        let own = renewal::own(&plan, &pki, &certificates)?;
        let domains = Arc::new(Domains::open(&records, certificates, pki.server_issuer)?);
        let shown = Arc::new(Shown::new(own, Some(domains.clone())));
        if let Some(anchors) = &plan.tls.terms.anchors {
            let cas = records.every_ca().map_err(Error::Store)?;
            let cas = cas.into_iter().map(|(tenant, ca)| (Some(tenant), ca.id, ca.der));
            anchors.hold(cas.chain([pki.issuer.anchor()]));
        }
        let settings = (
            Settings::mqtt(&shown, &plan.tls.terms).map_err(Error::Tls)?,
            mux::Settings::new(&shown, &plan.tls.terms).map_err(Error::Tls)?,
            Settings::api(&shown, &plan.tls.terms).map_err(Error::Tls)?,
        );
        let renewal = Renewal::new(plan.clone(), shown, domains.clone());
        let mut control = Control::new(
            plan,
            records,
            attempts,
            (pki.issuer, domains),
            (keys, temporary_keys, buckets),
            shards,
            (webhooks, desk),
        )
        .map_err(Error::Issue)?;
        let exporter = control.trace();
        let (trigger, shutdown) = signal();
        let mut running = Running {
            mqtt: local_address("MQTT", &mqtt)?,
            api: local_address("the API", &api)?,
            mux: mux
                .as_ref()
                .map(|mux| local_address("everything", mux))
                .transpose()?,
            plain: plain
                .as_ref()
                .map(|plain| local_address("MQTT without TLS", plain))
                .transpose()?,
            metrics: metrics
                .as_ref()
                .map(|metrics| local_address("metrics", metrics))
                .transpose()?,
            server_ca: pki.server_root,
            credentials,
            data_dir,
            renewal,
            control: Arc::new(control),
            trigger,
            threads: Vec::new(),
            watchers: Vec::new(),
        };
        let slots = slots.into_iter().zip(restored).collect();
        let listeners = ([Some(mqtt), mux, plain], [Some(api)]);
        running.start_threads(slots, listeners, settings, tray, &shutdown)?;
        if metrics.is_some() {
            let (control, ended) = (running.control.clone(), shutdown.clone());
            let serve = move |[metrics]: [_; 1]| async move {
                let Some(metrics) = metrics else { return };
                metrics::serve(control, metrics, ended).await;
            };
            running.watchers.push(start_thread("metrics", [metrics], serve)?);
        }
        if let Some(exporter) = exporter {
            let thread = telemetry::start(running.control.clone(), exporter, shutdown.clone());
            running.watchers.push(thread.map_err(Error::Thread)?);
        }
        running.ready().write(&running.data_dir)?;
        Ok(running)
    }
}

impl Running {
    fn start_threads(
        &mut self,
        slots: Vec<(mpsc::Receiver<shard::Mail>, Restored)>,
        (devices, api): ([Option<TcpListener>; 3], [Option<TcpListener>; 1]),
        (mqtt_settings, mux_settings, api_settings): (Settings, mux::Settings, Settings),
        tray: desk::Tray,
        shutdown: &Shutdown,
    ) -> Result<(), Error> {
        for (index, (slot, restored)) in slots.into_iter().enumerate() {
            let thread = shard::start(self.control.clone(), index, slot, restored, shutdown.clone())
                .map_err(Error::Thread)?;
            self.threads.push(thread);
        }
        let (http, visitors) = mpsc::channel(CROSSINGS_MAX);
        let (hosts, guests) = mpsc::channel(CROSSINGS_MAX);
        let (control, ended) = (self.control.clone(), shutdown.clone());
        let serve = move |[mqtt, mux, plain]: [_; 3]| async move {
            let Some(mqtt) = mqtt else { return };
            let entrances = front_door::Entrances {
                mqtt: (mqtt, mqtt_settings),
                mux: Option::map(mux, |mux| (mux, mux_settings)),
                plain,
                guests,
            };
            front_door::serve(control, entrances, http, ended).await;
        };
        self.threads.push(start_thread("front-door", devices, serve)?);
        let (control, ended) = (self.control.clone(), shutdown.clone());
        let serve = move |[api]: [_; 1]| async move {
            let Some(api) = api else { return };
            let ways = api::Ways {
                visitors,
                guests: hosts,
            };
            let work = desk::work(control.clone(), tray, ended.clone());
            tokio::join!(work, api::serve(control, api, api_settings, ways, ended));
        };
        self.threads.push(start_thread("control", api, serve)?);
        Ok(())
    }

    fn ready(&self) -> Ready {
        Ready {
            mqtt: self.mqtt,
            api: self.api,
            metrics: self.metrics,
            mux: self.mux,
            plain: self.plain,
            server_root: self.server_ca.clone(),
            credentials: self.credentials.clone(),
        }
    }

    /// Where this server keeps everything.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The file that says where this server listens.
    pub fn ready_file(&self) -> PathBuf {
        Ready::path(&self.data_dir)
    }

    /// Reads the server's certificates and keys again, and renews those of its own that end soon. Connections stay as they are; if
    /// anything cannot be read, everything stays as it was.
    ///
    /// # Errors
    /// A file cannot be read, or a key does not belong to its certificate.
    pub async fn renew_certificates(&self) -> Result<(), Error> {
        self.renewal.renew().await
    }

    /// Whether that is due: a file has changed, or the last time is a day ago.
    pub fn is_renewal_due(&self) -> bool {
        self.renewal.is_due()
    }

    /// Makes every attempt that was recorded so far readable for others.
    ///
    /// # Errors
    /// The records cannot be written.
    pub fn flush_attempts(&self) -> Result<(), Error> {
        store::wait(self.control.attempts.flush()).map_err(Error::Store)
    }

    /// How many attempt records were dropped because they came faster than they could be written.
    pub fn attempts_dropped(&self) -> u64 {
        self.control.attempts_dropped()
    }

    /// For whoever loses patience while connections are ended at the chosen rate.
    pub fn hurry(&self) -> Hurry {
        self.trigger.hurry()
    }

    /// Stops listening, ends every connection, at the rate that the configuration chose, and waits until everything that was promised is on disk.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.trigger.pull();
        let _ = files::remove(&Ready::path(&self.data_dir));
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join();
        }
        self.trigger.finish();
        for watcher in self.watchers.drain(..) {
            let _ = watcher.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl core::fmt::Debug for Running {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Running")
            .field("mqtt", &self.mqtt)
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// Every name that the server's certificate has to be valid for.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.hostnames.clone();
        for account in self.accounts() {
            let tenant = identity::Tenant {
                account,
                ..self.tenant
            };
            names.push(self.endpoint_of(&tenant));
        }
        names
    }
}

/// Runs listeners on a thread and a runtime of their own.
fn start_thread<const N: usize, F: Future<Output = ()>>(
    name: &str,
    listeners: [Option<TcpListener>; N],
    serve: impl FnOnce([Option<tokio::net::TcpListener>; N]) -> F + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    let mut opened = [const { None }; N];
    {
        let _entered = runtime.enter();
        for (to, from) in opened.iter_mut().zip(listeners) {
            let listener = from.map(tokio::net::TcpListener::from_std).transpose();
            *to = listener.map_err(Error::Thread)?;
        }
    }
    let thread = std::thread::Builder::new().name(name.into());
    thread
        .spawn(move || LocalSet::new().block_on(&runtime, serve(opened)))
        .map_err(Error::Thread)
}

fn listen(listener: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let opened = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for old connections to be forgotten by the system.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        // What is accepted takes it over: a handshake is many small messages, none of which may wait for the next.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(ACCEPT_BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    opened().map_err(|source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::AddressTaken { listener, address },
        _ => Error::Listen {
            listener,
            address,
            source,
        },
    })
}

fn local_address(listener: &'static str, socket: &TcpListener) -> Result<SocketAddr, Error> {
    let address = SocketAddr::from(([0, 0, 0, 0], 0));
    socket.local_addr().map_err(|source| Error::Listen {
        listener,
        address,
        source,
    })
}
