//! Runs the cloud alone until its standard input ends: for trying things out by hand.
//!
//!     cargo run -p cloud --example serve -- DATA_DIR [hold]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data_dir = arguments.next().unwrap_or_else(|| "birthmark-data".into()).into();
    let first_connect = match arguments.next().as_deref() {
        Some("hold") => cloud::FirstConnect::Hold,
        _ => cloud::FirstConnect::Close,
    };
    let any = "127.0.0.1:0".to_owned();
    let config = cloud::Config {
        data_dir,
        first_connect,
        listen_mqtt: any.clone(),
        listen_api: any,
        allow_simulated: true,
        ..cloud::Config::default()
    };
    let running = cloud::Server::start(&config)?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    running.shutdown();
    Ok(())
}
