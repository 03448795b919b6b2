//! Messages between devices, whichever shard they live on.

use cloud::FirstConnect;

use crate::support::{World, trusted_device};

#[test]
fn messages_cross_shards_at_least_once() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "fleet");
    // Enough clients that both shards have some.
    let mut listeners: Vec<_> = (0..8)
        .map(|n| world.connect(&device, &format!("listener-{n}")).unwrap())
        .collect();
    for listener in &mut listeners {
        assert_eq!(listener.subscribe("dt/+/telemetry").unwrap(), 1);
    }
    let mut senders: Vec<_> = (0..8)
        .map(|n| world.connect(&device, &format!("sender-{n}")).unwrap())
        .collect();
    for (number, sender) in senders.iter_mut().enumerate() {
        sender
            .publish(&format!("dt/{number}/telemetry"), number.to_string().as_bytes())
            .unwrap();
    }
    for listener in &mut listeners {
        let mut seen: Vec<_> = (0..8).map(|_| listener.next().unwrap()).collect();
        seen.sort();
        let expected: Vec<_> = (0..8)
            .map(|n| (format!("dt/{n}/telemetry"), n.to_string().into_bytes()))
            .collect();
        assert_eq!(seen, expected);
    }
}

#[test]
fn the_same_client_id_takes_over() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut first = world.connect(&device, "bm-1").unwrap();
    let mut second = world.connect(&device, "bm-1").unwrap();
    first.wait_for_end();
    second.ping().unwrap();
}

#[test]
fn large_messages_and_many_at_once_arrive() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut listener = world.connect(&device, "listener").unwrap();
    listener.subscribe("big").unwrap();
    let mut sender = world.connect(&device, "sender").unwrap();
    let payload = vec![b'x'; 128 * 1024];
    sender.publish("big", &payload).unwrap();
    assert!(listener.next().unwrap().1 == payload);
    for number in 0..200 {
        sender.publish("big", format!("{number}").as_bytes()).unwrap();
    }
    for number in 0..200 {
        assert!(
            listener.next().unwrap().1 == format!("{number}").into_bytes(),
            "{number}"
        );
    }
}

#[test]
fn what_is_sent_right_after_connect_is_not_lost() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let config = crate::support::tls(world.running(), Some(&device), crate::support::Version::Tls13);
    let mut client = crate::support::Client::handshake(world.running(), config).unwrap();
    // CONNECT, SUBSCRIBE and PINGREQ in one write.
    let mut bytes = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04bm-1".to_vec();
    bytes.extend(b"\x82\x06\x00\x01\x00\x01a\x01\xc0\x00");
    client.open(&bytes).unwrap();
    client.ping().unwrap();
    client.publish("a", b"1").unwrap();
}

#[test]
fn a_message_of_the_api_reaches_subscribers() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut listener = world.connect(&device, "listener").unwrap();
    listener.subscribe("cmd/#").unwrap();
    let mut api = world.api();
    api.send("POST", "/topics/cmd%2Fa?qos=1", &[], b"not json {", true)
        .unwrap();
    assert_eq!(
        listener.next().unwrap(),
        ("cmd/a".to_owned(), b"not json {".to_vec())
    );
    assert_eq!(
        api.send("POST", "/topics/$aws%2Fx", &[], b"", true)
            .unwrap_err()
            .status,
        400
    );
}
