//! `birthmark serve`: runs the cloud alone until it is asked to stop, and says how tools and devices reach it.

use cloud::{Running, Server};

use super::configuration;
use crate::{
    args::Serve,
    exit::{Context, DONE, Failure},
    words::say,
};

/// Runs the cloud.
pub(crate) fn run(typed: &Serve) -> Result<u8, Failure> {
    let effective = configuration::resolve(typed)?;
    let running = Server::start(&effective.config).fault(|| "could not start the cloud".to_owned())?;
    directions(&running).lines().for_each(say);
    tend(&running)?;
    match effective.config.drain.connections_per_second {
        0 => say("stopping: connections are closed, everything acknowledged is on disk"),
        rate => {
            say(&format!(
                "draining: {rate} connections are closed each second; a second signal closes the rest at once"
            ));
            let hurry = running.hurry();
            // It ends with the process.
            let _waiting = std::thread::spawn(move || wait_for_the_end().map(|()| hurry.now()));
        }
    }
    running.shutdown();
    Ok(DONE)
}

/// Blocks until SIGINT or SIGTERM. Meanwhile certificates are read again when their files change, and on SIGHUP.
fn tend(running: &Running) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let what = || "could not wait for signals".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .fault(what)?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate, mut hangup) = (
            signal(SignalKind::interrupt()).fault(what)?,
            signal(SignalKind::terminate()).fault(what)?,
            signal(SignalKind::hangup()).fault(what)?,
        );
        let mut look = tokio::time::interval(cloud::limits::CERTIFICATE_LOOK);
        loop {
            let asked = tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => true,
                _ = look.tick() => false,
            };
            if asked || running.is_renewal_due() {
                match running.renew_certificates().await {
                    Ok(()) => say("certificates were read again; new connections see them"),
                    Err(error) => say(&format!("certificates stay as they were: {error}")),
                }
            }
        }
    })
}

/// Blocks until SIGINT or SIGTERM.
pub(crate) fn wait_for_the_end() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let what = || "could not wait for signals".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .fault(what)?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt()).fault(what)?,
            signal(SignalKind::terminate()).fault(what)?,
        );
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// The exact lines for the AWS CLI, the SDKs, mosquitto and a real device.
fn directions(running: &Running) -> String {
    let (api, mqtt) = (running.api, running.mqtt);
    let ca = running.server_ca.display();
    let credentials = running.credentials.display();
    let further = further(running);
    format!(
        "\
birthmark cloud is ready
  API   https://localhost:{api_port}   (listens on {api})
  MQTT  localhost:{mqtt_port}, mutual TLS   (listens on {mqtt})
{further}
AWS CLI, any version:
  export AWS_SHARED_CREDENTIALS_FILE={credentials} AWS_CA_BUNDLE={ca} AWS_DEFAULT_REGION=us-east-1
  aws --endpoint-url https://localhost:{api_port} iot list-things
AWS CLI with a profile that knows its endpoint (1.29, 2.13 or newer); in the file that AWS_CONFIG_FILE names:
  [profile birthmark]
  region = us-east-1
  endpoint_url = https://localhost:{api_port}
  ca_bundle = {ca}
then, with AWS_SHARED_CREDENTIALS_FILE as above:
  aws --profile birthmark iot list-things

AWS IoT device SDKs: endpoint=\"localhost\", port={mqtt_port}, ca_filepath=\"{ca}\"
mosquitto: mosquitto_pub -h localhost -p {mqtt_port} --cafile {ca} --cert device.pem --key device.key -i THING -q 1 -t dt/THING/telemetry -m hello

From a real device: start with --listen-mqtt 0.0.0.0:8883 --hostname NAME, where NAME is what the device connects to.
Why was a device refused?  birthmark explain --data-dir {data_dir} last",
        api_port = api.port(),
        mqtt_port = mqtt.port(),
        data_dir = running.data_dir().display(),
    )
}

/// The listeners that are off unless they are asked for.
fn further(running: &Running) -> String {
    let mux = running.mux.map(|mux| {
        format!(
            "  443   localhost:{port}: MQTT (ALPN x-amzn-mqtt-ca), wss://localhost:{port}/mqtt, HTTPS   (listens on {mux})\n",
            port = mux.port()
        )
    });
    let plain = running
        .plain
        .map(|plain| format!("  plain MQTT without TLS, for this machine only   (listens on {plain})\n"));
    mux.into_iter().chain(plain).collect()
}
