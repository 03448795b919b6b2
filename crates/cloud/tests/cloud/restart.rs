//! What survives: everything that anybody was told.

use cloud::{Error, FirstConnect, Server};
use fleet::attempt::Verdict;
use serde_json::Value;

use crate::support::{Authority, Left, World, template};

#[test]
fn everything_survives_a_restart() {
    let mut world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, Some(&template()));
    let device = authority.device("bm-1");
    assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
    let code = world.api().ok("GET", "/registrationcode", Value::Null);
    let root = std::fs::read(&world.running().server_ca).unwrap();
    let key = world.api().key;

    world.restart();
    assert_eq!(std::fs::read(&world.running().server_ca).unwrap(), root);
    assert_eq!(world.api().key, key);
    assert_eq!(world.api().ok("GET", "/registrationcode", Value::Null), code);
    let described = world
        .api()
        .ok("GET", &format!("/cacertificate/{ca}"), Value::Null);
    assert_eq!(described["certificateDescription"]["status"], "ACTIVE");
    world
        .connect(&device, "bm-1")
        .unwrap()
        .publish("dt/bm-1/x", b"1")
        .unwrap();
    assert_eq!(world.last_attempt(device.id()).verdict, Verdict::Accepted);
}

#[test]
fn ready_says_where_and_only_while_it_is_true() {
    let mut world = World::start(FirstConnect::Close);
    let read = |world: &World| -> Value {
        serde_json::from_slice(&std::fs::read(world.running().ready_file()).unwrap()).unwrap()
    };
    let ready = read(&world);
    assert_eq!(ready["mqtt"], world.running().mqtt.to_string());
    assert_eq!(ready["api"], world.running().api.to_string());
    assert!(ready["mux"].is_null());
    for member in ["server_ca", "credentials"] {
        assert!(std::path::Path::new(ready[member].as_str().unwrap()).is_absolute());
    }
    world.restart();
    assert_eq!(read(&world)["mqtt"], world.running().mqtt.to_string());
    let file = world.running().ready_file();
    drop(world);
    assert!(!file.exists());
}

#[test]
fn shutdown_ends_live_connections() {
    let mut world = World::start(FirstConnect::Hold);
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let device = authority.device("bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();
    world.restart();
    client.wait_for_end();
    world.connect(&device, "bm-1").unwrap();
}

#[test]
fn a_taken_port_or_directory_is_named() {
    let world = World::start(FirstConnect::Close);
    let error = Server::start(&world.config()).unwrap_err();
    assert!(
        matches!(error, Error::Store(_)) && error.to_string().contains("in use by process"),
        "{error}"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.data_dir = elsewhere.path().join("data");
    config.listen_mqtt = world.running().mqtt.to_string();
    let error = Server::start(&config).unwrap_err();
    assert!(matches!(error, Error::AddressTaken { .. }), "{error}");
    assert!(error.to_string().contains(&config.listen_mqtt), "{error}");
    assert!(!config.data_dir.join("pki").exists());

    std::fs::write(elsewhere.path().join("file"), b"").unwrap();
    config.data_dir = elsewhere.path().join("file/data");
    config.listen_mqtt = "127.0.0.1:0".into();
    let error = Server::start(&config).unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}
