//! What every story needs: a server in a directory of its own, an API caller, authorities and devices.

mod api;
mod device;
mod receiver;

use std::collections::BTreeMap;
use std::path::Path;

use cloud::{Config, FirstConnect, Running, Server, WebhookConfig};
use fleet::attempt::{Attempt, Verdict};
use identity::CertificateId;
use serde_json::{Value, json};
use store::{AttemptReader, Filter, What};
use tempfile::TempDir;

pub(crate) use api::Api;
pub(crate) use device::{Authority, Client, Device, Left, Version, named, tls};
pub(crate) use receiver::Receiver;

/// A server that lives as long as the test.
pub(crate) struct World {
    running: Option<Running>,
    directory: TempDir,
    first_connect: FirstConnect,
    change: fn(&mut Config),
    webhooks: BTreeMap<String, WebhookConfig>,
}

impl World {
    pub(crate) fn start(first_connect: FirstConnect) -> Self {
        Self::made(first_connect, |_| {}, BTreeMap::new())
    }

    /// The same with a change of its configuration.
    pub(crate) fn start_with(first_connect: FirstConnect, change: fn(&mut Config)) -> Self {
        Self::made(first_connect, change, BTreeMap::new())
    }

    /// The same with webhooks.
    pub(crate) fn with_webhooks(
        first_connect: FirstConnect,
        webhooks: BTreeMap<String, WebhookConfig>,
    ) -> Self {
        Self::made(first_connect, |_| {}, webhooks)
    }

    fn made(
        first_connect: FirstConnect,
        change: fn(&mut Config),
        webhooks: BTreeMap<String, WebhookConfig>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self {
            running: None,
            directory,
            first_connect,
            change,
            webhooks,
        };
        world.restart();
        world
    }

    /// Shuts the server down, if it runs, and starts it on the same data.
    pub(crate) fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown();
        }
        self.running = Some(Server::start(&self.config()).unwrap());
    }

    /// Shuts the server down.
    pub(crate) fn stop(&mut self) {
        self.running.take().unwrap().shutdown();
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config {
            data_dir: self.directory.path().join("data"),
            listen_mqtt: "127.0.0.1:0".into(),
            listen_api: "127.0.0.1:0".into(),
            first_connect: self.first_connect,
            allow_simulated: false,
            shards: 2,
            webhooks: self.webhooks.clone(),
            ..Config::default()
        };
        (self.change)(&mut config);
        config
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.running().data_dir()
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.running())
    }

    pub(crate) fn connect(&self, device: &Device, client_id: &str) -> Result<Client, Left> {
        Client::connect(self.running(), device, client_id, Version::Tls13)
    }

    /// Attempts that match, newest first, as another process would read them.
    pub(crate) fn attempts(&self, what: What) -> Vec<Attempt> {
        self.running().flush_attempts().unwrap();
        let reader = AttemptReader::open(self.data_dir()).unwrap();
        let filter = Filter {
            what,
            ..Filter::default()
        };
        reader
            .newest(&filter, 100)
            .unwrap()
            .into_iter()
            .map(|recorded| recorded.attempt)
            .collect()
    }

    /// The newest attempt of this certificate.
    pub(crate) fn last_attempt(&self, certificate: CertificateId) -> Attempt {
        self.attempts(What::Certificate(certificate))
            .into_iter()
            .next()
            .unwrap()
    }

    /// Checks that the newest attempt of this device was refused with this code, and gives it.
    pub(crate) fn refused(&self, device: &Device, code: &str) -> Attempt {
        let attempt = self.last_attempt(device.id());
        assert_eq!(
            (attempt.verdict, attempt.code.as_str()),
            (Verdict::Refused, code),
            "{attempt:#?}"
        );
        attempt
    }

    /// Registers this authority, active, with automatic registration and this template.
    pub(crate) fn register(&self, authority: &Authority, template: Option<&str>) -> String {
        let mut api = self.api();
        let code = api.ok("GET", "/registrationcode", Value::Null)["registrationCode"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut body = json!({
            "caCertificate": authority.pem(),
            "verificationCertificate": authority.verification(&code),
        });
        if let Some(template) = template {
            body["registrationConfig"] =
                json!({ "templateBody": template, "roleArn": "arn:aws:iam::123456789012:role/JITP" });
        }
        let path = "/cacertificate?setAsActive=true&allowAutoRegistration=true";
        api.ok("POST", path, body)["certificateId"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// A template that names the thing after the certificate, and lets it do what devices of this story do.
pub(crate) fn template() -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": "arn:aws:iot:*:*:topic/dt/${iot:ClientId}/*"},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/dt/${iot:ClientId}/*"},
        ],
    });
    json!({
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": {"Type": "String"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": document.to_string()}},
        },
    })
    .to_string()
}

/// A policy document with one statement that allows everything.
pub(crate) const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// A device whose certificate is registered, active and may do everything.
pub(crate) fn trusted_device(world: &World, name: &str) -> Device {
    let mut api = world.api();
    if api.call("GET", "/policies/everything", Value::Null).is_err() {
        api.ok(
            "POST",
            "/policies/everything",
            json!({ "policyDocument": ALLOW_ALL }),
        );
    }
    let device = Device::self_signed(name);
    let body = json!({ "certificatePem": device.pem(), "status": "ACTIVE" });
    let arn = api.ok("POST", "/certificate/register-no-ca", body)["certificateArn"].clone();
    api.ok("PUT", "/target-policies/everything", json!({ "target": arn }));
    device
}
