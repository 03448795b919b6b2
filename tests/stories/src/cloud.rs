//! `birthmark serve`, running: on free ports, in its own data directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{Aws, birthmark, wait_until};

/// A running cloud; killed when dropped.
#[derive(Debug)]
pub struct Cloud {
    child: Child,
    ready: Value,
    stderr: PathBuf,
}

impl Cloud {
    /// Starts `serve` and waits until it listens. Further arguments may be given.
    #[track_caller]
    #[must_use]
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_as(Self::command(data_dir, arguments), data_dir)
    }

    /// The same by a command that runs it.
    #[track_caller]
    #[must_use]
    pub fn start_as(mut command: Command, data_dir: &Path) -> Self {
        let ready = data_dir.join("ready.json");
        // Of an earlier run: its ports mean nothing now.
        let _ = fs::remove_file(&ready);
        let stderr = data_dir.with_extension("stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let ready = wait_until("ready.json", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "serve ended with {status}:\n{}",
                    fs::read_to_string(&stderr).unwrap_or_default()
                );
            }
            serde_json::from_slice(&fs::read(&ready).ok()?).ok()
        });
        Self { child, ready, stderr }
    }

    /// The command that `start` runs. Without a configuration of its own it has two shards, however few cores there are: what one hands
    /// to the other is half of the story.
    #[must_use]
    pub fn command(data_dir: &Path, arguments: &[&str]) -> Command {
        let mut command = birthmark();
        command.arg("serve").arg("--data-dir").arg(data_dir);
        let config = data_dir.with_extension("toml");
        // Some data directories are where nothing can be written.
        if !arguments.contains(&"--config") && fs::write(&config, "shards = 2\n").is_ok() {
            command.arg("--config").arg(config);
        }
        command
            .args(["--listen-mqtt", "127.0.0.1:0", "--listen-api", "127.0.0.1:0"])
            .args(arguments);
        command
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// HOST:PORT of MQTT.
    #[must_use]
    pub fn mqtt(&self) -> &str {
        self.text("mqtt")
    }

    /// HOST:PORT of the port for everything; only with `--listen-mux`.
    #[must_use]
    pub fn mux(&self) -> &str {
        self.text("mux")
    }

    /// The port of MQTT.
    #[must_use]
    pub fn mqtt_port(&self) -> &str {
        self.mqtt().rsplit(':').next().unwrap_or_default()
    }

    /// HOST:PORT of the API.
    #[must_use]
    pub fn api(&self) -> &str {
        self.text("api")
    }

    /// HOST:PORT of the metrics.
    #[must_use]
    pub fn metrics(&self) -> &str {
        self.text("metrics")
    }

    /// HOST:PORT of MQTT without TLS.
    #[must_use]
    pub fn plain(&self) -> &str {
        self.text("plain")
    }

    /// The certificate that the server's certificates end in.
    #[must_use]
    pub fn server_ca(&self) -> &Path {
        Path::new(self.text("server_ca"))
    }

    /// The access key file.
    #[must_use]
    pub fn credentials(&self) -> &Path {
        Path::new(self.text("credentials"))
    }

    /// The AWS command line, pointed here; `None` when it is not installed and the test was counted as skipped.
    #[must_use]
    pub fn aws(&self) -> Option<Aws> {
        Aws::new(self)
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it without a warning, and begins it again with what it left behind.
    pub fn kill_and_restart(&mut self, data_dir: &Path, arguments: &[&str]) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Self::start(data_dir, arguments);
    }

    /// Ends it without a warning, though others may still hold it.
    pub fn kill_now(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-KILL", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks it to end and returns its exit code.
    #[must_use]
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let child = &mut self.child;
        wait_until("serve to end", || child.try_wait().unwrap()).code()
    }

    /// What it has told people so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The first access key, and its secret.
    #[must_use]
    pub fn access_key(&self) -> (String, String) {
        let file = fs::read_to_string(self.credentials()).unwrap();
        let value = |name: &str| {
            let lines = file.lines().filter_map(|line| line.split_once('='));
            let mut named = lines.filter(|(key, _)| key.trim() == name);
            named
                .next()
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        (value("aws_access_key_id"), value("aws_secret_access_key"))
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key]
            .as_str()
            .unwrap_or_else(|| panic!("ready.json has no {key}: {}", self.ready))
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
