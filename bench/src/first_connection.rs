//! The comparison: the same client, the same certificates, all servers in turns.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cloud::{Cloud, connect_only};
use crate::{Outcome, in_turns};

/// Prints what each server used per connection.
pub(crate) fn run(binary: &Path) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let cloud = Cloud::start(binary, folder.path(), &connect_only())?;
    let root = CertificateDer::from_pem_file(&cloud.server_root)?;
    let bare = files_for_others(&cloud, folder.path())?;
    println!("{}", in_turns::compare(&cloud, &bare, &root)?);
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
