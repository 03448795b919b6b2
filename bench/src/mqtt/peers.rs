//! Other brokers, each set up for the same work: TLS with a client certificate of the same CA, and rules about topics where the
//! broker knows any.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::cloud::Server;

/// A broker that is compared.
pub(super) struct Peer {
    pub(super) name: String,
    program: PathBuf,
}

impl Peer {
    /// `NAME=PROGRAM`, as it is typed.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (name, program) = word.split_once('=')?;
        ["mosquitto", "rumqttd", "rmqtt"].contains(&name).then(|| Self {
            name: name.to_owned(),
            program: program.into(),
        })
    }

    /// A fresh process; `files` holds `server.pem`, `server.key` and `clients.pem`.
    pub(super) fn start(&self, files: &Path) -> Outcome<Server> {
        let address = free_address()?;
        let folder = tempfile::tempdir_in(files)?.keep();
        let mut command = Command::new(&self.program);
        command.current_dir(&folder);
        match self.name.as_str() {
            "mosquitto" => mosquitto(&mut command, &self.program, files, &folder, address)?,
            "rumqttd" => rumqttd(&mut command, files, &folder, address)?,
            _ => rmqtt(&mut command, files, &folder, address)?,
        }
        Server::listening(command, address, &folder.join("log"))
    }
}

/// An address that nobody listens at.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The program may lie in an unpacked package, with its libraries beside it.
fn mosquitto(
    command: &mut Command,
    program: &Path,
    files: &Path,
    folder: &Path,
    address: SocketAddr,
) -> Outcome<()> {
    let (config, rules) = (folder.join("mosquitto.conf"), folder.join("acl"));
    fs::write(
        &rules,
        "pattern write to/#\npattern read to/%u/#\npattern readwrite all/#\n",
    )?;
    let text = format!(
        "user root\nlistener {} 127.0.0.1\ncafile {files}/clients-and-root.pem\ncertfile {files}/server.pem\n\
         keyfile {files}/server.key\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false\n\
         acl_file {}\npersistence false\nlog_dest none\nset_tcp_nodelay true\n",
        address.port(),
        rules.display(),
        files = files.display(),
    );
    fs::write(&config, text)?;
    command.arg("-c").arg(config);
    if let Some(root) = program.ancestors().nth(3) {
        let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
        let libraries = ["usr/lib", "lib"].map(|part| root.join(part).join(&machine).display().to_string());
        command.env("LD_LIBRARY_PATH", libraries.join(":"));
    }
    Ok(())
}

/// It has no rules about topics, and wants to know from the organisation in the certificate whose tenant a client is.
fn rumqttd(command: &mut Command, files: &Path, folder: &Path, address: SocketAddr) -> Outcome<()> {
    let text = format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 20010\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n[v4.1]\nname = \"v4-1\"\nlisten = \"{address}\"\n\
         next_connection_delay_ms = 0\n[v4.1.tls]\ncapath = \"{files}/clients.pem\"\ncertpath = \"{files}/server.pem\"\n\
         keypath = \"{files}/server.key\"\n[v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\n\
         max_inflight_count = 100\ndynamic_filters = true\n",
        files = files.display(),
    );
    let config = folder.join("rumqttd.toml");
    fs::write(&config, text)?;
    command.arg("--config").arg(config).arg("--quiet");
    Ok(())
}

/// Its rules about topics are a plug-in, which is on with its own defaults.
fn rmqtt(command: &mut Command, files: &Path, folder: &Path, address: SocketAddr) -> Outcome<()> {
    let text = format!(
        "[task]\nexec_workers = 2000\nexec_queue_max = 300000\n[node]\nid = 1\n[plugins]\ndir = \"{folder}/plugins\"\n\
         default_startups = []\n[log]\nto = \"off\"\nlevel = \"error\"\ndir = \"{folder}\"\nfile = \"rmqtt.log\"\n\
         [listener.tls.external]\naddr = \"{address}\"\nallow_anonymous = true\nmax_connections = 20000\n\
         max_handshaking_limit = 5000\nhandshake_timeout = \"15s\"\ncross_certificate = true\n\
         cert = \"{files}/server.pem\"\nkey = \"{files}/server.key\"\nclient_ca_certs = \"{files}/clients.pem\"\n",
        files = files.display(),
        folder = folder.display(),
    );
    fs::create_dir(folder.join("plugins"))?;
    let config = folder.join("rmqtt.toml");
    fs::write(&config, text)?;
    command.arg("-f").arg(config);
    Ok(())
}
