//! The product: the release binary, started as a user starts it, with a CA registered for just-in-time provisioning.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::devices::Signer;

/// When a server that does not listen is given up.
const START_SECONDS_MAX: u64 = 30;

/// What the device of a first connection may do: connect under its own name.
pub(crate) fn connect_only() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"
        }]
    })
}

/// What the device of a fleet may do: connect under its own name, hear what is for it or for all, and tell anybody something.
pub(crate) fn member_of_a_fleet() -> Value {
    let arn = |what: &str| format!("arn:aws:iot:us-east-1:123456789012:{what}");
    let allow = |action: &str, resources: &[&str]| {
        let resources: Vec<_> = resources.iter().map(|resource| arn(resource)).collect();
        json!({ "Effect": "Allow", "Action": action, "Resource": resources })
    };
    let own = "${iot:Connection.Thing.ThingName}";
    json!({
        "Version": "2012-10-17",
        "Statement": [
            allow("iot:Connect", &[&format!("client/{own}")]),
            allow("iot:Publish", &["topic/to/*", "topic/all/*"]),
            allow("iot:Subscribe", &[&format!("topicfilter/to/{own}/*"), "topicfilter/all/*"]),
            allow("iot:Receive", &[&format!("topic/to/{own}/*"), "topic/all/*"]),
        ]
    })
}

/// What each first connection makes: a thing, an ACTIVE certificate, this policy.
fn template(policy: &Value) -> String {
    json!({
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": { "Type": "String" },
            "AWS::IoT::Certificate::Id": { "Type": "String" }
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": { "ThingName": { "Ref": "AWS::IoT::Certificate::CommonName" } }
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "ACTIVE" }
            },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyDocument": policy.to_string() } }
        }
    })
    .to_string()
}

/// A server process that ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it takes devices.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The process whose CPU time counts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A bare acceptor with the files of a folder.
    pub(crate) fn bare(check: &str, folder: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::of_this_program(command.args(["bare", check]).arg(folder))
    }

    /// A server whose connections stay where they came in, or go to another runtime.
    pub(crate) fn hand_over(how: &str) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::of_this_program(command.args(["hand-over-server", how]))
    }

    /// A part of this program that prints its address first.
    fn of_this_program(command: &mut Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().parse()?,
        })
    }

    /// A program that was told to listen at an address; what it says goes into a file.
    pub(crate) fn listening(mut command: Command, address: SocketAddr, log: &Path) -> Outcome<Self> {
        let log = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{command:?} ended with {status}").into());
            }
            if Instant::now() > deadline {
                return Err(format!("{command:?} does not listen").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cloud and a factory whose signer CA it knows.
pub(crate) struct Cloud {
    pub(crate) server: Server,
    pub(crate) signer: Signer,
    /// The folder of the server's own certificate and key.
    pub(crate) identity: PathBuf,
    pub(crate) server_root: PathBuf,
    /// The root above the signer.
    pub(crate) factory_root: PathBuf,
    /// Where its API is.
    pub(crate) api: SocketAddr,
    /// Its data directory.
    pub(crate) data: PathBuf,
    binary: PathBuf,
}

impl Cloud {
    /// Starts both in a folder that exists; devices get this policy.
    pub(crate) fn start(binary: &Path, folder: &Path, policy: &Value) -> Outcome<Self> {
        let (data, factory) = (folder.join("cloud"), folder.join("factory"));
        let (server, ready) = serve(binary, &data, None)?;
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        well(
            Command::new(binary)
                .args(["factory", "init", "--customer", "bench", "--dir"])
                .arg(&factory),
        )?;
        let template_file = folder.join("template.json");
        fs::write(&template_file, template(policy))?;
        let mut register = Command::new(binary);
        register
            .args(["factory", "register-ca", "--dir"])
            .arg(&factory)
            .arg("--template")
            .arg(&template_file);
        register.args(["--endpoint-url", &format!("https://{}", text("api"))]);
        well(register.args([
            "--ca-bundle",
            &text("server_ca"),
            "--credentials",
            &text("credentials"),
        ]))?;
        let signer = Signer::open(&factory.join("signer.pem"), &factory.join("signer.key.pem"))?;
        let server_root = PathBuf::from(text("server_ca"));
        let identity = server_root
            .parent()
            .ok_or("the server root is in no folder")?
            .to_path_buf();
        Ok(Self {
            server,
            signer,
            identity,
            server_root,
            factory_root: factory.join("root.pem"),
            api: text("api").parse()?,
            data,
            binary: binary.to_owned(),
        })
    }

    /// Ends the process as an operator does, so that everything is in its place on the disk.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        let pid = rustix::process::Pid::from_child(&self.server.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.server.child.wait()?;
        Ok(())
    }

    /// A fresh process that knows what the one before has kept.
    pub(crate) fn restart(&mut self) -> Outcome<()> {
        self.stop()?;
        (self.server, self.api) = Self::serve(&self.binary, &self.data)?;
        Ok(())
    }

    /// A server over a data directory, and where its API is.
    pub(crate) fn serve(binary: &Path, data: &Path) -> Outcome<(Server, SocketAddr)> {
        let (server, ready) = serve(binary, data, None)?;
        Ok((server, ready["api"].as_str().unwrap_or_default().parse()?))
    }

    /// A server with a configuration of its own, where its API is, and its root certificate.
    pub(crate) fn serve_configured(
        binary: &Path,
        data: &Path,
        config: &Path,
    ) -> Outcome<(Server, SocketAddr, PathBuf)> {
        let (server, ready) = serve(binary, data, Some(config))?;
        let text = |key: &str| ready[key].as_str().unwrap_or_default();
        Ok((server, text("api").parse()?, text("server_ca").into()))
    }
}

/// Starts the server as a user would, and waits until it listens.
fn serve(binary: &Path, data: &Path, config: Option<&Path>) -> Outcome<(Server, Value)> {
    let ready_file = data.join("ready.json");
    // One that was killed has left its own.
    let _ = fs::remove_file(&ready_file);
    let mut serve = Command::new(binary);
    serve.arg("serve").arg("--data-dir").arg(data).args([
        "--listen-mqtt",
        "127.0.0.1:0",
        "--listen-api",
        "127.0.0.1:0",
    ]);
    if let Some(config) = config {
        serve.arg("--config").arg(config);
    }
    let child = serve
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut server = Server {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let ready = ready(&ready_file)?;
    server.address = ready["mqtt"].as_str().unwrap_or_default().parse()?;
    Ok((server, ready))
}

fn ready(file: &Path) -> Outcome<Value> {
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    while Instant::now() < deadline {
        if let Ok(text) = fs::read(file) {
            return Ok(serde_json::from_slice(&text)?);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("serve does not listen".into())
}

fn well(command: &mut Command) -> Outcome<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
