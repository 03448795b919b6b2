//! Where the demo's story takes place: one directory with the factory, the chips, the cloud and the devices.
//!
//! `factory/` CA keys and ledger · `chips.tray` the simulated chips · `cloud/` what `serve` keeps · `impostor/` a second
//! cloud that nobody's trust anchor knows · `devices/` what devices remember · `demo.json` how many there are.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::device::{DeviceKey, Endpoint, KeyError, Labels, TokenKey};
use cloud::{Config, FirstConnect, Running, Server};
use factory::{Factory, Plan};
use identity::{certificate::Certificate, crypto::SoftwareKey, issue::Signer};
use optiga::Optiga;
use optiga_sim::{Settings, Tray};
use serde_json::{Value, json};
use token::Access;

use super::super::{chip::new_seed, factory::now};
use crate::{
    aws::{self, AccessKey, Client},
    exit::{Context, Failure},
};

/// Chips beyond the fleet: one that will be expired, one that will be revoked, one that is enrolled by hand.
pub(super) const EXTRA_CHIPS: u32 = 3;
/// The customer of the demo's factory.
const CUSTOMER: &str = "Birthmark Demo";

/// The directory of the story, removed at the end unless it is kept.
pub(super) struct Place {
    path: PathBuf,
    kept: bool,
}

impl Place {
    /// The kept directory, or a new one below the system's temporary directory.
    pub(super) fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("birthmark-demo-{:016x}", new_seed()?)),
        };
        make_private(&path)?;
        let path = fs::canonicalize(&path).fault(|| format!("could not find {}", path.display()))?;
        Ok(Self {
            path,
            kept: keep.is_some(),
        })
    }

    pub(super) fn cloud(&self) -> PathBuf {
        self.path.join("cloud")
    }

    pub(super) fn devices(&self) -> PathBuf {
        self.path.join("devices")
    }

    pub(super) fn impostor(&self) -> PathBuf {
        self.path.join("impostor")
    }

    fn factory(&self) -> PathBuf {
        self.path.join("factory")
    }

    fn tray(&self) -> PathBuf {
        self.path.join("chips.tray")
    }

    /// Agrees on the number of devices with an earlier run in the same directory.
    pub(super) fn agree(&self, devices: u32) -> Result<(), Failure> {
        let file = self.path.join("demo.json");
        match fs::read_to_string(&file) {
            Ok(text) => {
                let before = serde_json::from_str::<Value>(&text)
                    .ok()
                    .and_then(|value| value.get("devices")?.as_u64());
                match before {
                    Some(before) if before == u64::from(devices) => Ok(()),
                    Some(before) => Err(Failure::usage(format!(
                        "{} holds a demo of {before} devices: run it with --devices {before}, or choose another directory",
                        self.path.display()
                    ))),
                    None => Err(Failure::fault(format!(
                        "{} is not readable as a demo's own file",
                        file.display()
                    ))),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_whole(&file, &json!({ "devices": devices }).to_string())
            }
            Err(error) => Err(Failure::fault(format!("could not read {}", file.display())).because(error)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // The system clears its temporary directory anyway.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn make_private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .fault(|| format!("could not make the directory {}", path.display()))
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let what = || format!("could not write {}", path.display());
    let temporary = path.with_extension("new");
    fs::write(&temporary, text).fault(what)?;
    fs::File::open(&temporary)
        .and_then(|file| file.sync_all())
        .fault(what)?;
    fs::rename(&temporary, path).fault(what)
}

/// Opens the factory of the demo, or makes it.
pub(super) fn open_factory(place: &Place) -> Result<Factory, Failure> {
    let what = || format!("could not open the factory in {}", place.factory().display());
    let plan = Plan::new(CUSTOMER, true, now()).fault(what)?;
    Factory::open_or_create(&place.factory(), &plan, now()).fault(what)
}

/// Opens the chips of the demo, or makes them: in memory, or in a file if the story is kept.
pub(super) fn open_tray(place: &Place, chips: u32) -> Result<Tray, Failure> {
    let what = || format!("could not open the chips in {}", place.tray().display());
    if !place.kept {
        return Tray::memory(chips, new_seed()?).fault(what);
    }
    if place.tray().exists() {
        return Tray::open_existing(&place.tray(), Settings::default().behaviour).fault(what);
    }
    Tray::open_file(&place.tray(), chips, new_seed()?).fault(what)
}

/// Starts a cloud on free ports.
pub(super) fn start_cloud(data_dir: &Path, first_connect: FirstConnect) -> Result<Running, Failure> {
    let config = Config {
        data_dir: data_dir.to_owned(),
        listen_mqtt: "127.0.0.1:0".to_owned(),
        listen_api: "127.0.0.1:0".to_owned(),
        first_connect,
        allow_simulated: true,
        ..Config::default()
    };
    Server::start(&config).fault(|| format!("could not start the cloud in {}", data_dir.display()))
}

/// A client of that cloud's API, with the access key it has made.
pub(super) fn open_client(running: &Running) -> Result<Client, Failure> {
    let ca_bundle_pem =
        fs::read_to_string(&running.server_ca).fault(|| "could not read the cloud's server CA".to_owned())?;
    let endpoint = aws::Endpoint {
        url: format!("https://localhost:{}", running.api.port()),
        ca_bundle_pem,
        region: "us-east-1".to_owned(),
        real_aws: false,
    };
    Client::new(&endpoint, AccessKey::from_file(&running.credentials, "default")?)
}

/// The cloud's server root, which becomes the chips' trust anchor.
pub(super) fn server_root(running: &Running) -> Result<Certificate, Failure> {
    let text =
        fs::read_to_string(&running.server_ca).fault(|| "could not read the cloud's server CA".to_owned())?;
    Certificate::from_pem(&text).fault(|| "the cloud's server CA is not a certificate".to_owned())
}

/// Where devices connect to.
pub(super) fn mqtt_endpoint(running: &Running) -> Result<Endpoint, Failure> {
    Endpoint::new(running.mqtt, "localhost").fault(|| "localhost is no server name".to_owned())
}

/// A driver for one chip of the tray.
pub(super) fn driver(tray: &Tray, index: u32) -> Option<Optiga<i2c_bus::LocalClient, i2c_bus::BusDelay>> {
    let client = tray.bus(index)?.client();
    let delay = client.delay();
    Some(Optiga::new(client, delay, optiga::Config::default()))
}

/// A session on the token in one chip of the tray.
pub(super) fn session(tray: &Tray, index: u32) -> Result<token::Session, Failure> {
    let bus = tray
        .bus(index)
        .ok_or_else(|| Failure::fault(format!("the tray has no chip {index}")))?;
    let client = bus.client();
    let delay = client.delay();
    let chip = token::chip::Chip::new(client, delay, optiga::Config::default());
    token::Session::on(Box::new(chip), Access::ReadWrite).fault(|| format!("chip {index} did not answer"))
}

/// The identity in one chip of the tray: a key that signs.
pub(super) fn chip_key(tray: &Tray, index: u32) -> Result<Arc<dyn DeviceKey>, Failure> {
    let key = TokenKey::find(session(tray, index)?, &Labels::default())
        .fault(|| format!("the identity in chip {index} cannot be used"))?;
    Ok(Arc::new(key))
}

/// An identity in memory: for the subscriber, who is a program and no device, and for those who have no chip to show.
pub(super) struct SoftwareIdentity {
    key: SoftwareKey,
    chain: Vec<Vec<u8>>,
    anchor: Vec<u8>,
}

impl SoftwareIdentity {
    pub(super) fn new(key: SoftwareKey, chain: Vec<Vec<u8>>, anchor: &Certificate) -> Self {
        Self {
            key,
            chain,
            anchor: anchor.der().to_vec(),
        }
    }
}

impl DeviceKey for SoftwareIdentity {
    fn certificate_chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key
            .sign(message)
            .map_err(|_| KeyError::Malformed("the software key did not sign"))
    }

    fn trust_anchor(&self) -> Vec<u8> {
        self.anchor.clone()
    }
}
