//! The beginning that stories about mosquitto share: a cloud, an authority, and devices that it certified.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::registration::{open_policy, register, template};
use crate::{Aws, Certificates, Cloud, KeyKind, Mosquitto, tool};

/// A cloud that knows one authority, `signer`, with a provisioning template.
#[derive(Debug)]
pub struct Story {
    /// The cloud.
    pub cloud: Cloud,
    /// Its API.
    pub aws: Aws,
    /// All keys and certificates.
    pub certificates: Certificates,
    folder: TempDir,
}

impl Story {
    /// Starts it; none when a tool is missing.
    ///
    /// # Panics
    /// At the first surprise.
    #[must_use]
    pub fn begin(arguments: &[&str]) -> Option<Self> {
        Self::begin_as(|data_dir| Cloud::command(data_dir, arguments))
    }

    /// The same with a cloud that is run by a command.
    ///
    /// # Panics
    /// At the first surprise.
    #[must_use]
    pub fn begin_as(command: impl FnOnce(&Path) -> Command) -> Option<Self> {
        let _ = (tool("mosquitto_pub")?, tool("mosquitto_sub")?);
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::in_folder(folder.path())?;
        let data_dir = folder.path().join("cloud");
        let cloud = Cloud::start_as(command(&data_dir), &data_dir);
        let aws = cloud.aws()?;
        certificates.authority("signer", KeyKind::P256);
        let _ = register(&aws, &certificates, "signer", &template());
        Some(Self {
            cloud,
            aws,
            certificates,
            folder,
        })
    }

    /// Kills the cloud without a warning and starts it again.
    ///
    /// # Panics
    /// At the first surprise.
    pub fn kill_and_restart(&mut self, arguments: &[&str]) {
        let data_dir = self.folder.path().join("cloud");
        self.cloud.kill_and_restart(&data_dir, arguments);
        self.aws = self.cloud.aws().unwrap();
    }

    /// A device that the signer certified, not yet known to the cloud.
    #[must_use]
    pub fn newborn(&self, name: &str, kind: KeyKind) -> Mosquitto {
        self.certificates
            .signed(name, &format!("/CN={name}"), "signer", kind);
        let _ = self.certificates.chain(name, "signer");
        Mosquitto::new(&self.cloud, &self.certificates, name, name)
    }

    /// The same after its first connection.
    #[must_use]
    pub fn device(&self, name: &str) -> Mosquitto {
        let device = self.newborn(name, KeyKind::P256);
        let _ = device.publish(&format!("dt/{name}/hello"), 0, "first");
        device
    }

    /// A certificate of the cloud's own making that may do everything.
    ///
    /// # Panics
    /// At the first surprise.
    #[must_use]
    pub fn operator(&self) -> Mosquitto {
        let made = self.aws.iot(&["create-keys-and-certificate", "--set-as-active"]);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        std::fs::write(
            self.certificates.path("operator", "pem"),
            text(&made["certificatePem"]),
        )
        .unwrap();
        std::fs::write(
            self.certificates.path("operator", "key"),
            text(&made["keyPair"]["PrivateKey"]),
        )
        .unwrap();
        let open = open_policy();
        let _ = self.aws.iot(&[
            "create-policy",
            "--policy-name",
            "open",
            "--policy-document",
            &open,
        ]);
        let arn = text(&made["certificateArn"]);
        let _ = self
            .aws
            .iot(&["attach-policy", "--policy-name", "open", "--target", &arn]);
        Mosquitto::new(&self.cloud, &self.certificates, "operator", "operator")
    }

    /// The status of a certificate.
    #[must_use]
    pub fn status(&self, name: &str) -> String {
        let id = self.certificates.id(name);
        let described = self.aws.iot(&["describe-certificate", "--certificate-id", &id]);
        described["certificateDescription"]["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}
