//! Clients of others speak at every listener: Paho, Amazon's SDKs, MQTT.js, mosquitto and rumqttc; by TLS, by the port for everything,
//! by WebSocket with a certificate and with a signature, and without TLS.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;

use stories::{Certificates, Cloud, Mosquitto, Python, birthmark, node_packages, run, tool};
use tempfile::TempDir;

/// A cloud with every listener, and a device whose policy allows it `dt/`.
struct Listeners {
    cloud: Cloud,
    python: Python,
    folder: TempDir,
}

impl Listeners {
    fn begin() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = address_443();
        let host = address.rsplit_once(':').unwrap().0.to_owned();
        let arguments = [
            "--listen-mux",
            &address,
            "--hostname",
            "localhost",
            "--hostname",
            &host,
        ];
        let plain = ["--listen-plain", "127.0.0.1:0", "--plain-policy", "local"];
        let cloud = Cloud::start(&folder.path().join("cloud"), &[&arguments[..], &plain].concat());
        let python = Python::of(&cloud)?;
        let listeners = Self {
            cloud,
            python,
            folder,
        };
        listeners
            .python
            .runs_with("listeners_setup", &[listeners.folder()]);
        Some(listeners)
    }

    fn folder(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn server_ca(&self) -> &str {
        self.cloud.server_ca().to_str().unwrap()
    }

    fn explained(&self, what: &str) -> String {
        let mut explain = birthmark();
        explain
            .arg("explain")
            .arg("--data-dir")
            .arg(self.folder.path().join("cloud"));
        run(explain.args([what, "--count", "1000"])).stderr
    }
}

/// Port 443 of an address of this machine that nobody else uses, so that clients need no other port; any port if that may not
/// be used.
fn address_443() -> String {
    let pid = std::process::id();
    let address = format!(
        "127.{}.{}.{}:443",
        64 + pid % 64,
        pid / 64 % 256,
        1 + pid / 16_384 % 250
    );
    match std::net::TcpListener::bind(&address) {
        Ok(_) => address,
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}

fn paho(listeners: &Listeners) {
    let cloud = &listeners.cloud;
    let addresses = [cloud.mqtt(), cloud.mux(), cloud.api(), cloud.plain()];
    let arguments = [&[listeners.folder(), listeners.server_ca()][..], &addresses].concat();
    assert_eq!(listeners.python.runs_with("listeners_paho", &arguments), "done\n");
}

fn amazon(listeners: &Listeners) {
    let cloud = &listeners.cloud;
    let arguments = [
        listeners.folder(),
        listeners.server_ca(),
        cloud.mqtt(),
        cloud.mux(),
    ];
    let said = listeners.python.runs_with("listeners_aws", &arguments);
    assert!(said.starts_with("done"), "{said}");
}

fn https(listeners: &Listeners) {
    let cloud = &listeners.cloud;
    let addresses = [cloud.mqtt(), cloud.mux(), cloud.api()];
    let arguments = [&[listeners.folder(), listeners.server_ca()][..], &addresses].concat();
    assert_eq!(
        listeners.python.runs_with("listeners_https", &arguments),
        "done\n"
    );
}

fn javascript(listeners: &Listeners) {
    let (Some(node), Some(packages)) = (tool("node"), node_packages()) else {
        return;
    };
    let (cloud, (key, secret)) = (&listeners.cloud, listeners.cloud.access_key());
    let mut command = Command::new(node);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("js/listeners.mjs"));
    command.env("NODE_PACKAGES", packages.parent().unwrap());
    command.args([
        listeners.folder(),
        listeners.server_ca(),
        cloud.mqtt(),
        cloud.mux(),
    ]);
    assert_eq!(run(command.args([key, secret])).well().stdout, "done\n");
}

fn mosquitto(listeners: &Listeners) {
    let Some(_) = tool("mosquitto_pub") else { return };
    let certificates = Certificates::in_folder(listeners.folder.path()).unwrap();
    let client = |name| Mosquitto::new(&listeners.cloud, &certificates, "device", name);
    let (host, port) = listeners.cloud.mux().rsplit_once(':').unwrap();
    let alpn = ["--tls-alpn", "x-amzn-mqtt-ca"];
    for name in ["mosquitto-v3", "mosquitto-v5"] {
        let mut client = client(name).at(host, port).tls13();
        if name.ends_with("v5") {
            client = client.v5();
        }
        let mut heard = client
            .clone()
            .named(&format!("{name}-ear"))
            .subscribe_with("dt/m/#", 1, 2, "%q %t %p", &alpn);
        for qos in [0, 1] {
            let _ = client
                .publish_with(&format!("dt/m/{qos}"), qos, "hello", &alpn)
                .well();
            assert_eq!(heard.next_message(), format!("{qos} dt/m/{qos} hello"));
        }
        // In MQTT 5.0 the program says so and goes on.
        let refused = client.publish_with("secret/m", 1, "no", &alpn);
        assert!(
            refused.code != Some(0) || refused.stderr.contains("Not authorized"),
            "{refused:?}"
        );
    }
}

fn rumqttc(listeners: &Listeners) {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let read = |name: &str| std::fs::read(listeners.folder.path().join(name)).unwrap();
    let tls = |alpn: Option<&str>| {
        Transport::Tls(TlsConfiguration::Simple {
            ca: std::fs::read(listeners.cloud.server_ca()).unwrap(),
            alpn: alpn.map(|name| vec![name.as_bytes().to_vec()]),
            client_auth: Some((read("device.pem"), read("device.key"))),
        })
    };
    let addresses = [
        (listeners.cloud.mqtt(), tls(None)),
        (listeners.cloud.mux(), tls(Some("x-amzn-mqtt-ca"))),
        (listeners.cloud.plain(), Transport::tcp()),
    ];
    for (index, (address, transport)) in addresses.into_iter().enumerate() {
        let (host, port) = address.rsplit_once(':').unwrap();
        let host = host.replace("127.0.0.1", "localhost");
        let name = format!("rumqttc-{index}");
        let mut options = MqttOptions::new(&name, host, port.parse().unwrap());
        options.set_transport(transport);
        let (client, mut connection) = Client::new(options, 10);
        let mut heard = Vec::new();
        client
            .subscribe(format!("dt/{name}/#"), QoS::AtLeastOnce)
            .unwrap();
        for event in connection.iter() {
            match event.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => {
                    client
                        .publish(format!("dt/{name}/0"), QoS::AtMostOnce, false, "soon")
                        .unwrap();
                    client
                        .publish(format!("dt/{name}/1"), QoS::AtLeastOnce, false, "surely")
                        .unwrap();
                }
                Event::Incoming(Packet::Publish(message)) => {
                    heard.push(message.payload);
                    if heard.len() == 2 {
                        client.publish("secret/x", QoS::AtLeastOnce, false, "no").unwrap();
                        break;
                    }
                }
                _ => {}
            }
        }
        assert_eq!(heard, ["soon", "surely"], "{name}");
        // The publish that its policy does not allow ends the connection.
        assert!(connection.iter().any(|event| event.is_err()), "{name}");
    }
}

#[test]
fn clients_of_others_speak_at_every_listener() {
    let Some(listeners) = Listeners::begin() else {
        return;
    };
    std::thread::scope(|scope| {
        let listeners = &listeners;
        let clients = [paho, amazon, https, javascript, mosquitto, rumqttc]
            .map(|client| scope.spawn(move || client(listeners)));
        for client in clients {
            client.join().unwrap();
        }
    });
    let explained = listeners.explained("last");
    for words in [
        "agreed on mqtt",
        "no custom authorizer",
        "signature we calculated does not match",
        "expired or not yet valid",
        "wss://HOST:PORT/mqtt",
        "the client is anonymous",
        "iot:RetainPublish",
        "is for access keys",
    ] {
        assert!(explained.contains(words), "`{words}` is not in\n{explained}");
    }
}

#[test]
fn a_custom_authorizer_decides_at_every_listener() {
    let folder = tempfile::tempdir().unwrap();
    // The program behind the authorizers listens there once this has let go of it; nothing else is given a port so low by the system.
    let pid = u16::try_from(std::process::id() % 12_000).unwrap();
    let mut ports = (0..100).map(|step| 20_000 + (pid + 97 * step) % 12_000);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find(is_free).unwrap().to_string();
    let config = folder.path().join("birthmark.toml");
    let webhook =
        format!("[webhooks.who]\nurl = \"http://127.0.0.1:{port}/\"\nallow_addresses = [\"127.0.0.1\"]\n");
    std::fs::write(&config, webhook).unwrap();
    let data_dir = folder.path().join("cloud");
    let config = config.to_str().unwrap();
    let cloud = Cloud::start(
        &data_dir,
        &[
            "--config",
            config,
            "--listen-mux",
            "127.0.0.1:0",
            "--hostname",
            "iot.cloud.test",
        ],
    );
    let (Some(python), Some(_)) = (Python::of(&cloud), tool("curl")) else {
        return;
    };
    let python = python.with("HOOK_PORT", &port).with("CLOUD_MUX", cloud.mux());
    assert_eq!(python.runs("authorizers"), "done\n");
    let mut explain = birthmark();
    explain.arg("explain").arg("--data-dir").arg(&data_dir);
    let explained = run(explain.args(["last", "--count", "1000"])).stderr;
    for words in [
        "not signed by a key of the authorizer",
        "does not know the client",
        "there is no authorizer named none",
        "is not for clients of custom authorizers",
        "is INACTIVE",
        "cloud.withdrawn.authorizer",
        "cloud.withdrawn.access_key",
    ] {
        assert!(explained.contains(words), "`{words}` is not in\n{explained}");
    }
}
