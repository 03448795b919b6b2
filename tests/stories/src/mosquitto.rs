//! `mosquitto_pub` and `mosquitto_sub`, as Debian packs them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{Certificates, Cloud, Ended, run, tool};

/// When a subscriber ends although nothing came.
const SECONDS_MAX: &str = "60";

/// A client with one certificate.
#[derive(Clone, Debug)]
pub struct Mosquitto {
    host: String,
    port: String,
    server_ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    client_id: String,
    tls: &'static str,
    version: &'static str,
}

impl Mosquitto {
    /// `NAME.pem` and `NAME.key` of a folder, with a client id.
    #[must_use]
    pub fn new(cloud: &Cloud, certificates: &Certificates, name: &str, client_id: &str) -> Self {
        Self {
            host: "localhost".to_owned(),
            port: cloud.mqtt_port().to_owned(),
            server_ca: cloud.server_ca().to_path_buf(),
            certificate: certificates.path(name, "pem"),
            key: certificates.path(name, "key"),
            client_id: client_id.to_owned(),
            tls: "tlsv1.2",
            version: "mqttv311",
        }
    }

    /// The same client at another listener.
    #[must_use]
    pub fn at(mut self, host: &str, port: &str) -> Self {
        (self.host, self.port) = (host.to_owned(), port.to_owned());
        self
    }

    /// The same client with TLS 1.3.
    #[must_use]
    pub fn tls13(mut self) -> Self {
        self.tls = "tlsv1.3";
        self
    }

    /// The same client with MQTT 5.0.
    #[must_use]
    pub fn v5(mut self) -> Self {
        self.version = "mqttv5";
        self
    }

    /// The same certificate under another client id.
    #[must_use]
    pub fn named(mut self, client_id: &str) -> Self {
        self.client_id = client_id.to_owned();
        self
    }

    /// Subscribes with a session that stays, and goes away as soon as the server has said yes.
    #[track_caller]
    pub fn subscribe_and_leave(&self, filter: &str, qos: u8, further: &[&str]) {
        let mut command = self.command("mosquitto_sub");
        command.args(["-c", "-E", "-t", filter, "-q", &qos.to_string()]);
        let _ = run(command.args(further)).well();
    }

    /// Comes back to a session that stayed and gives the first message, in a format, which may come before the subscription is
    /// answered.
    #[track_caller]
    #[must_use]
    pub fn come_back(&self, filter: &str, format: &str, further: &[&str]) -> String {
        let mut command = self.command("mosquitto_sub");
        command.args([
            "-c",
            "-W",
            SECONDS_MAX,
            "-C",
            "1",
            "-q",
            "1",
            "-t",
            filter,
            "-F",
            format,
        ]);
        run(command.args(further)).well().stdout.trim().to_owned()
    }

    /// The same client with another certificate file.
    #[must_use]
    pub fn certificate(mut self, file: &Path) -> Self {
        self.certificate = file.to_path_buf();
        self
    }

    /// Publishes one message and disconnects.
    #[track_caller]
    #[must_use]
    pub fn publish(&self, topic: &str, qos: u8, message: &str) -> Ended {
        self.publish_with(topic, qos, message, &[])
    }

    /// The same with further arguments.
    #[track_caller]
    #[must_use]
    pub fn publish_with(&self, topic: &str, qos: u8, message: &str, further: &[&str]) -> Ended {
        let mut command = self.command("mosquitto_pub");
        run(command
            .args(["-t", topic, "-q", &qos.to_string(), "-m", message])
            .args(further))
    }

    /// Subscribes and waits until the server has said yes.
    #[track_caller]
    #[must_use]
    pub fn subscribe(&self, filter: &str, qos: u8, count: usize) -> Subscriber {
        self.subscribe_with(filter, qos, count, "%q %t %p", &[])
    }

    /// The same with messages in a format of its own, and further arguments.
    #[track_caller]
    #[must_use]
    pub fn subscribe_with(
        &self,
        filter: &str,
        qos: u8,
        count: usize,
        format: &str,
        further: &[&str],
    ) -> Subscriber {
        let format = format!("story message {format}");
        let mut command = self.command("mosquitto_sub");
        command.args([
            "-W",
            SECONDS_MAX,
            "-t",
            filter,
            "-q",
            &qos.to_string(),
            "-C",
            &count.to_string(),
            "-d",
            "-F",
            &format,
        ]);
        command.args(further);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut subscriber = Subscriber { child, lines };
        let answer = subscriber.line_with("Subscribed (mid");
        assert!(answer.is_some(), "the subscription to {filter} was not answered");
        subscriber
    }

    /// Subscribes and demands that the server says no: by closing, or by code 128.
    #[track_caller]
    #[must_use]
    pub fn subscribe_refused(&self, filter: &str) -> Ended {
        let mut command = self.command("mosquitto_sub");
        run(command.args(["-t", filter, "-C", "1", "-W", SECONDS_MAX, "-d"]))
    }

    fn command(&self, program: &str) -> Command {
        // Into a pipe it would keep its lines until the end.
        let mut command = Command::new("stdbuf");
        command
            .arg("-oL")
            .arg(tool(program).expect("the caller has asked for mosquitto"));
        command.args([
            "-h",
            &self.host,
            "-p",
            &self.port,
            "-i",
            &self.client_id,
            "--tls-version",
            self.tls,
            "-V",
            self.version,
        ]);
        command.arg("--cafile").arg(&self.server_ca);
        command
            .arg("--cert")
            .arg(&self.certificate)
            .arg("--key")
            .arg(&self.key);
        command
    }
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub struct Subscriber {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Subscriber {
    /// The next message, as `QOS TOPIC PAYLOAD` unless another format was asked for.
    #[track_caller]
    pub fn next_message(&mut self) -> String {
        let line = self.line_with("message ").expect("a message before the end");
        line.split_once("message ")
            .map(|(_, rest)| rest.trim().to_owned())
            .unwrap_or_default()
    }

    /// The next line that holds these words; none when it ends without.
    pub fn line_with(&mut self, words: &str) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if line.contains(words) {
                return Some(line);
            }
            line.clear();
        }
        None
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
