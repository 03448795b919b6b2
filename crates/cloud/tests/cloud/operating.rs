//! What an operator counts on: slow and stalled clients cost nobody else, clones are told of, and the end comes gently.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use cloud::{CloneAnswer, Config, FirstConnect};
use fleet::attempt::{StepVerdict, Verdict};
use serde_json::Value;
use store::What;

use crate::support::{Client, World, trusted_device};

/// Those who read while one does not.
const READERS: usize = 50;
const MESSAGES: usize = 1_000;
/// More than any socket buffers: what the one who does not read gets beside the others' messages.
const LARGE_MESSAGES: usize = 160;

fn world(change: fn(&mut Config)) -> World {
    World::start_with(FirstConnect::Close, change)
}

fn metric(world: &World, name: &str) -> f64 {
    let mut socket = TcpStream::connect(world.running().metrics.unwrap()).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn who_does_not_read_costs_nobody_else() {
    let world = world(|config| config.listen_metrics = "127.0.0.1:0".into());
    let device = trusted_device(&world, "fleet");
    let mut silent = world.connect(&device, "silent").unwrap();
    silent.subscribe("dt/#").unwrap();
    let mut readers: Vec<Client> = (0..READERS)
        .map(|number| {
            let mut reader = world.connect(&device, &format!("reader-{number}")).unwrap();
            reader.subscribe("dt/small").unwrap();
            reader
        })
        .collect();
    let mut sender = world.connect(&device, "sender").unwrap();
    let large = vec![b'x'; 128 * 1024];
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                if number % (MESSAGES / LARGE_MESSAGES) == 0 {
                    sender.tell("dt/large", &large).unwrap();
                }
                sender.tell("dt/small", &number.to_be_bytes()).unwrap();
            }
        });
        for readers in readers.chunks_mut(READERS / 2) {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    for reader in &mut *readers {
                        assert_eq!(
                            reader.next().unwrap().1,
                            number.to_be_bytes(),
                            "in order, none missing"
                        );
                    }
                }
            });
        }
    });
    let dropped = metric(&world, "birthmark_messages_dropped_total{reason=\"output_full\"}");
    assert!(dropped > 0.0, "what does not fit is thrown away, and counted");

    // At QoS 1 it is the queue that is full.
    for number in 0..40 {
        sender.publish("dt/large", &large).unwrap();
        if number % 10 == 0 {
            readers[0].ping().unwrap();
        }
    }
    let queued = metric(&world, "birthmark_queue_bytes{queue=\"sessions\"}");
    assert!(queued < 3e6, "{queued} bytes wait");
    let reasons = ["queue_bytes", "output_full"];
    let dropped = reasons.map(|reason| {
        metric(
            &world,
            &format!("birthmark_messages_dropped_total{{reason=\"{reason}\"}}"),
        )
    });
    let slow = metric(&world, "birthmark_disconnects_total{reason=\"slow\"}");
    assert!(dropped[0] > 0.0 || slow > 0.0, "{dropped:?} {slow}");
    drop(silent);
}

#[test]
fn who_stalls_at_the_door_keeps_nobody_out() {
    let world = world(|_| {});
    let device = trusted_device(&world, "bm-1");
    let mqtt = world.running().mqtt;
    let stalled: Vec<TcpStream> = (0..600)
        .map(|number| {
            let mut socket = TcpStream::connect(mqtt).unwrap();
            if number % 2 == 0 {
                // The beginning of a ClientHello.
                socket.write_all(&[0x16, 3, 1, 2]).unwrap();
            }
            socket
        })
        .collect();
    let begun = Instant::now();
    let mut client = world.connect(&device, "bm-1").unwrap();
    client.ping().unwrap();
    assert!(
        begun.elapsed() < cloud::limits::HANDSHAKE_DEADLINE / 2,
        "{:?}",
        begun.elapsed()
    );
    drop(stalled);
}

#[test]
fn one_certificate_in_two_places_is_told_once_and_disturbs_nobody() {
    let world = world(|config| config.listen_metrics = "127.0.0.1:0".into());
    let mut listener = world
        .connect(&trusted_device(&world, "operator"), "operator")
        .unwrap();
    listener
        .subscribe("$aws/events/birthmark/clone/suspected/+")
        .unwrap();
    let device = trusted_device(&world, "lamp");
    let mut clients: Vec<Client> = ["lamp-1", "lamp-2", "lamp-3"]
        .into_iter()
        .map(|client_id| world.connect(&device, client_id).unwrap())
        .collect();
    let (topic, payload) = listener.next().unwrap();
    assert_eq!(
        topic,
        format!("$aws/events/birthmark/clone/suspected/{}", device.id())
    );
    let event: Value = serde_json::from_slice(&payload).unwrap();
    let told = [
        "eventType",
        "cause",
        "action",
        "clientId",
        "ipAddress",
        "otherNetwork",
    ];
    assert_eq!(
        told.map(|name| event[name].as_str().unwrap()),
        [
            "clone_suspected",
            "client_ids",
            "alarm",
            "lamp-2",
            "127.0.0.1",
            "127.0.0.0/24"
        ]
    );
    clients.iter_mut().for_each(|client| client.ping().unwrap());
    let alarms = world
        .attempts(What::Certificate(device.id()))
        .iter()
        .flat_map(|attempt| attempt.trail.steps().to_vec())
        .filter(|step| step.name == "certificate.one_place" && step.verdict == StepVerdict::Alarm)
        .count();
    assert_eq!(alarms, 1);
    let name = "birthmark_clones_suspected_total{cause=\"client_ids\",action=\"alarm\"}";
    assert_eq!(metric(&world, name), 2.0);

    // Who comes again is no clone of itself.
    let alone = trusted_device(&world, "alone");
    let mut first = world.connect(&alone, "alone").unwrap();
    let mut second = world.connect(&alone, "alone").unwrap();
    first.wait_for_end();
    second.ping().unwrap();
    assert_eq!(metric(&world, name), 2.0);
}

#[test]
fn where_the_operator_wants_it_both_are_dropped() {
    let world = world(|config| config.clones.default = CloneAnswer::Drop);
    let device = trusted_device(&world, "lamp");
    for _ in 0..2 {
        // On whichever shards they live.
        for other in ["lamp-2", "lamp-3", "lamp-4"] {
            let mut first = world.connect(&device, "lamp-1").unwrap();
            first.ping().unwrap();
            if let Ok(mut second) = world.connect(&device, other) {
                second.wait_for_end();
            }
            first.wait_for_end();
        }
    }
    let dropped = world.attempts(What::Certificate(device.id()));
    let dropped = dropped
        .iter()
        .filter(|attempt| attempt.code.as_str() == "cloud.clone.dropped");
    assert!(dropped.clone().all(|attempt| attempt.verdict == Verdict::Refused));
    assert_eq!(dropped.count(), 1, "told once in a while");
    world.connect(&device, "lamp-1").unwrap().ping().unwrap();
}

#[test]
fn a_drain_ends_connections_at_its_rate() {
    let mut world = world(|config| config.drain.connections_per_second = 20);
    let device = trusted_device(&world, "fleet");
    let clients: Vec<Client> = (0..7)
        .map(|number| world.connect(&device, &format!("c{number}")).unwrap())
        .collect();
    let mqtt = world.running().mqtt;
    let begun = Instant::now();
    let ends: Vec<Duration> = thread::scope(|scope| {
        let waiting: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    client.wait_for_end();
                    begun.elapsed()
                })
            })
            .collect();
        world.stop();
        waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Of seven at least four are on one shard, which ends one in each tenth of a second.
    assert!(ends.iter().max() >= Some(&Duration::from_millis(290)), "{ends:?}");
    assert!(TcpStream::connect(mqtt).is_err(), "nobody new comes in");
}

#[test]
fn a_drain_can_be_hurried() {
    let mut world = world(|config| config.drain.connections_per_second = 1);
    let device = trusted_device(&world, "fleet");
    let clients: Vec<Client> = (0..20)
        .map(|number| world.connect(&device, &format!("c{number}")).unwrap())
        .collect();
    let hurry = world.running().hurry();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| world.stop());
        scope.spawn(move || {
            clients.into_iter().for_each(|mut client| client.wait_for_end());
        });
        hurry.now();
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "twenty seconds would be its rate"
    );
}
