//! `ready.json`: where a running server listens, for scripts that must not guess.
//!
//! It is there exactly while the server listens: removed before the start, written when both listeners are open, removed
//! when they close. A kill leaves a file that the next start removes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::Error;
use crate::files::{self, Readers};

/// What `ready.json` tells.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) mqtt: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) mux: Option<SocketAddr>,
    pub(crate) plain: Option<SocketAddr>,
    pub(crate) server_root: PathBuf,
    pub(crate) credentials: PathBuf,
}

impl Ready {
    /// Where the file is.
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("ready.json")
    }

    /// Writes the file in one step.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let address = |address: Option<SocketAddr>| address.map(|address| reachable(address).to_string());
        let content = json!({
            "mqtt": reachable(self.mqtt).to_string(),
            "api": reachable(self.api).to_string(),
            "mux": address(self.mux),
            "plain": address(self.plain),
            "metrics": address(self.metrics),
            "server_ca": absolute(&self.server_root),
            "credentials": absolute(&self.credentials),
        });
        files::write(
            &Self::path(data_dir),
            format!("{content:#}\n").as_bytes(),
            Readers::All,
        )
    }
}

/// An address that a client on this machine can connect to: nobody can connect to "every address".
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_exactly_the_documented_members() {
        let directory = tempfile::tempdir().unwrap();
        let ready = Ready {
            mqtt: "0.0.0.0:1883".parse().unwrap(),
            api: "[::1]:8443".parse().unwrap(),
            metrics: Some("127.0.0.1:9464".parse().unwrap()),
            mux: Some("0.0.0.0:443".parse().unwrap()),
            plain: None,
            server_root: directory.path().join("root.pem"),
            credentials: directory.path().join("credentials"),
        };
        ready.write(directory.path()).unwrap();
        let text = std::fs::read(Ready::path(directory.path())).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            value,
            json!({
                "mqtt": "127.0.0.1:1883",
                "api": "[::1]:8443",
                "mux": "127.0.0.1:443",
                "plain": null,
                "metrics": "127.0.0.1:9464",
                "server_ca": ready.server_root,
                "credentials": ready.credentials,
            })
        );
    }
}
