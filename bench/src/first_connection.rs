//! The comparison: the same client, the same certificates, one server after the other.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::Outcome;
use crate::client::{End, connect_all};
use crate::cloud::{Cloud, Server, connect_only};
use crate::cpu;
use crate::devices::Device;

/// Devices of each measurement.
const DEVICES: usize = 3_000;

/// Devices that connect before anything is measured.
const WARM_UP: usize = 300;

/// Prints what each server used per connection.
pub(crate) fn run(binary: &Path) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let cloud = Cloud::start(binary, folder.path(), &connect_only())?;
    let root = CertificateDer::from_pem_file(&cloud.server_root)?;
    let bare = files_for_others(&cloud, folder.path())?;
    let (warm_up, devices) = (
        cloud.signer.devices("warm", WARM_UP)?,
        cloud.signer.devices("bm", DEVICES)?,
    );

    let measure = |server: &Server, end| -> Outcome<f64> {
        connect_all(server.address, &root, &warm_up, end)?;
        microseconds(server, &root, &devices, end)
    };
    let chain = measure(&Server::bare("chain", &bare)?, End::Accepted)?;
    let possession = measure(&Server::bare("possession", &bare)?, End::Accepted)?;
    let first = measure(&cloud.server, End::Closed)?;
    let known = microseconds(&cloud.server, &root, &devices, End::Accepted)?;
    println!(
        "{}",
        json!({
            "devices": DEVICES,
            "bare_us": chain,
            "bare_known_us": possession,
            "bare_ratio": possession / chain,
            "first_us": first,
            "known_us": known,
            "ratio": first / chain,
            "known_ratio": known / possession,
        })
    );
    Ok(())
}

/// A folder with the server's own certificate and key and the CA of its devices, for servers that are compared with it.
pub(crate) fn files_for_others(cloud: &Cloud, folder: &Path) -> Outcome<PathBuf> {
    let bare = folder.join("bare");
    fs::create_dir(&bare)?;
    fs::copy(cloud.identity.join("server.pem"), bare.join("server.pem"))?;
    fs::copy(cloud.identity.join("server.key"), bare.join("server.key"))?;
    let signer = cloud.signer.certificate().pem();
    fs::write(bare.join("clients.pem"), &signer)?;
    // OpenSSL trusts nobody but a root.
    let root = fs::read_to_string(&cloud.factory_root)?;
    fs::write(bare.join("clients-and-root.pem"), signer + &root)?;
    Ok(bare)
}

/// CPU time of a server per connection.
pub(crate) fn microseconds(
    server: &Server,
    root: &CertificateDer<'static>,
    devices: &[Device],
    end: End,
) -> Outcome<f64> {
    let before = cpu::nanoseconds(server.pid())?;
    connect_all(server.address, root, devices, end)?;
    let used = cpu::nanoseconds(server.pid())? - before;
    Ok(used as f64 / 1_000.0 / devices.len() as f64)
}
