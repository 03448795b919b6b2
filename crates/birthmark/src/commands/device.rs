//! `birthmark device`: one device by hand, with whatever token it has. It names a slot and labels, never a chip.

use std::{path::Path, time::Duration};

use ::device::{
    Alpn, Connection, DeviceKey, DeviceToken, Endpoint, Error, Labels, Options, QoS, Tls, TokenKey, Versions,
    connect_with_backoff,
};
use identity::certificate::Certificate;
use serde_json::json;
use std::sync::Arc;

use super::{
    device_attempts,
    device_token::{self, Opened},
    enrolment::{Enrolment, enrol},
    factory::{certificate, client, reached},
    registration::text,
};
use crate::{
    args::{DeviceRun, Enroll},
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// Port of MQTT over mutual TLS when only a host name is known.
const MQTT_PORT: u16 = 8883;
/// Pauses between attempts: a first connection is closed by the server, and the next one goes through.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Enrols one device and connects with it.
pub(crate) fn enroll(typed: &Enroll) -> Result<u8, Failure> {
    match device_token::open(&typed.token)? {
        Opened::Own(token) => enroll_in(token, typed),
        Opened::Vendor(token) => enroll_in(token, typed),
    }
}

fn enroll_in<T: DeviceToken + 'static>(token: T, typed: &Enroll) -> Result<u8, Failure> {
    let labels = device_token::labels(&typed.token);
    let mut client = client(&typed.api)?;
    let root_file = match &typed.server_root {
        Some(file) => file.clone(),
        None => reached(&typed.api)?.ca_bundle,
    };
    let server_root = certificate(&root_file)?;
    let enrolment = Enrolment {
        thing: &typed.thing,
        policy: &typed.policy,
        server_root: server_root.der(),
        overwrite: typed.overwrite,
        labels: &labels,
    };
    let enrolled = enrol(&token, &mut client, &enrolment)?;
    say(&format!(
        "the token holds the certificate {}",
        enrolled.certificate_id
    ));
    let endpoint = match &typed.mqtt {
        Some(place) => endpoint(place)?,
        None => described(&mut client)?,
    };
    let key = TokenKey::find(token, &labels).fault(unusable)?;
    let (connection, _) = connect(Arc::new(key), &endpoint, Versions::Both, &typed.thing)
        .fault(|| format!("{} could not connect", typed.thing))?;
    connection
        .disconnect()
        .fault(|| "could not say goodbye".to_owned())?;
    say(&format!("{} connected with the key in the token", typed.thing));
    if typed.json {
        let answer = json!({ "thing": typed.thing, "certificate_id": enrolled.certificate_id, "certificate_arn": enrolled.certificate_arn, "connected": true });
        tell(&answer.to_string()).fault(|| "could not write to stdout".to_owned())?;
    }
    Ok(DONE)
}

fn unusable() -> String {
    "the identity in the token cannot be used".to_owned()
}

/// Connects with the identity in the token and publishes one message.
pub(crate) fn run(typed: &DeviceRun) -> Result<u8, Failure> {
    let labels = device_token::labels(&typed.token);
    let key: Arc<dyn DeviceKey> = match device_token::open(&typed.token)? {
        Opened::Own(token) => found(token, &labels)?,
        Opened::Vendor(token) => found(token, &labels)?,
    };
    let name = common_name(&*key);
    let client_id = typed
        .client_id
        .clone()
        .or(name)
        .ok_or_else(|| Failure::usage("the device's certificate has no common name: say --client-id"))?;
    let topic = typed
        .topic
        .clone()
        .unwrap_or_else(|| format!("dt/{client_id}/telemetry"));
    let versions = if typed.tls12 {
        Versions::Tls12
    } else {
        Versions::Both
    };
    let endpoint = endpoint(&typed.mqtt)?;
    let done = connect(key, &endpoint, versions, &client_id).and_then(|(mut connection, tries)| {
        connection.publish(&topic, typed.message.as_bytes(), QoS::AtLeastOnce)?;
        connection.disconnect()?;
        Ok(tries)
    });
    match done {
        Ok(tries) => {
            say(&format!(
                "{client_id} connected ({tries} tries) and published to {topic}; the cloud acknowledged it"
            ));
            Ok(DONE)
        }
        Err(error) => {
            remember(typed.data_dir.as_deref(), &client_id, &endpoint, &error)?;
            Err(Failure::refused(format!("{client_id} did not get through to {}", typed.mqtt)).because(error))
        }
    }
}

fn found<T: DeviceToken + 'static>(token: T, labels: &Labels) -> Result<Arc<dyn DeviceKey>, Failure> {
    Ok(Arc::new(TokenKey::find(token, labels).fault(unusable)?))
}

fn remember(
    data_dir: Option<&Path>,
    client_id: &str,
    endpoint: &Endpoint,
    error: &Error,
) -> Result<(), Failure> {
    match data_dir {
        Some(dir) => device_attempts::Log::open(dir)?.refused(client_id, endpoint.address(), error),
        None => Ok(()),
    }
}

/// Connects, trying again while the server is still getting to know the device.
fn connect(
    key: Arc<dyn DeviceKey>,
    endpoint: &Endpoint,
    versions: Versions,
    client_id: &str,
) -> Result<(Connection, usize), Error> {
    let alpn = Alpn::for_port(endpoint.address().port());
    let tls = Tls::new(versions).config(key, alpn)?;
    let options = Options::new(client_id);
    connect_with_backoff(|| Connection::open(endpoint, &tls, &options), BACKOFF)
}

fn common_name(key: &dyn DeviceKey) -> Option<String> {
    let chain = key.certificate_chain();
    let certificate = Certificate::parse(chain.first()?).ok()?;
    certificate.subject().common_name().map(str::to_owned)
}

fn endpoint(place: &str) -> Result<Endpoint, Failure> {
    let wrong = || Failure::usage(format!("{place} is not an MQTT endpoint: it must be HOST:PORT"));
    let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Endpoint::resolve(host, port).fault(|| format!("could not find {place}"))
}

fn described(client: &mut crate::aws::Client) -> Result<Endpoint, Failure> {
    let answer = client
        .call("GET", "/endpoint?endpointType=iot%3AData-ATS", &[], None)
        .refused(|| "the cloud did not describe its endpoint".to_owned())?;
    let host = text(&answer, "endpointAddress");
    Endpoint::resolve(&host, MQTT_PORT).fault(|| format!("could not find {host}"))
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_endpoint_is_host_and_port() {
        assert!(endpoint("127.0.0.1:8883").is_ok());
        assert!(endpoint("[::1]:8883").is_ok());
        for wrong in ["localhost", "localhost:port", ""] {
            assert!(
                endpoint(wrong).err().unwrap().to_string().contains("HOST:PORT"),
                "{wrong}"
            );
        }
    }
}
