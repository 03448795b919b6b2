//! What arrives in pieces, what a peer may do to trip the library up, and what an idle connection holds.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use core::future::poll_fn;
use rustls::ConnectionTrafficSecrets;

use super::*;
use crate::tls::engine::Engine;

/// A handshake in memory: a client and the server's side, which gets the client's bytes in pieces of this size.
fn meet(config: ClientConfig, piece: usize) -> (ClientConnection, Engine) {
    let settings = api(&server());
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let chosen = settings.choose(None, None);
    let mut engine = Engine::new(chosen.config, chosen.content_bytes_max).unwrap();
    let mut plain = Vec::new();
    while client.is_handshaking() || engine.common().is_handshaking() {
        say(&mut client, &mut engine, piece, &mut plain).unwrap();
        hear(&mut client, &mut engine);
    }
    assert!(plain.is_empty());
    (client, engine)
}

/// Carries what the client has to say over, in pieces.
fn say(
    client: &mut ClientConnection,
    engine: &mut Engine,
    piece: usize,
    plain: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
        .chunks(piece)
        .try_for_each(|piece| bring(engine, piece, plain))
}

/// What a stream does with bytes of its socket.
fn bring(engine: &mut Engine, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
    let mut incoming = [engine.unused(), bytes].concat();
    engine.receive(&mut incoming, plain)
}

/// Carries back what the server has to say.
fn hear(client: &mut ClientConnection, engine: &mut Engine) {
    let mut bytes = Vec::new();
    let all = engine.outgoing.write(|out| {
        bytes.extend_from_slice(out);
        Ok(out.len())
    });
    assert!(all.unwrap());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
}

#[test]
fn pieces_of_any_size_are_put_together_and_nothing_is_held_afterwards() {
    use std::io::{Read as _, Write as _};
    for version in [&TLS12, &TLS13] {
        for piece in [1, 3, 64, 70_000] {
            let (mut client, mut engine) = meet(Client::of(version).config(), piece);
            let message = vec![7; 12_000];
            client.writer().write_all(&message).unwrap();
            let mut plain = Vec::new();
            say(&mut client, &mut engine, piece, &mut plain).unwrap();
            assert!(plain == message, "{version:?} {piece}");
            assert_eq!(engine.unused().len(), 0);
            assert_eq!(engine.encrypt(&message).unwrap(), message.len());
            hear(&mut client, &mut engine);
            let mut answer = vec![0; message.len()];
            client.reader().read_exact(&mut answer).unwrap();
            assert!(answer == message);
            // Encrypted bytes that wait are bounded; the rest is taken later.
            let taken: usize = (0..10).map(|_| engine.encrypt(&message).unwrap()).sum();
            assert!((50_000..70_000).contains(&taken), "{taken}");
        }
    }
}

#[test]
fn a_torn_record_ends_with_its_alert_and_nothing_more_is_taken() {
    for version in [&TLS12, &TLS13] {
        let (mut client, mut engine) = meet(Client::of(version).config(), 70_000);
        let mut plain = Vec::new();
        let garbage = [23, 3, 3, 0, 40, 1, 2, 3];
        let rest = [9; 37];
        bring(&mut engine, &garbage, &mut plain).unwrap();
        assert!(bring(&mut engine, &rest, &mut plain).is_err(), "{version:?}");
        assert!(!engine.outgoing.is_empty(), "the alert waits");
        assert!(engine.encrypt(b"more").is_err());
        assert!(bring(&mut engine, &rest, &mut plain).is_ok() && plain.is_empty());
        let mut alert = Vec::new();
        let sent = engine.outgoing.write(|out| {
            alert.extend_from_slice(out);
            Ok(out.len())
        });
        assert!(sent.unwrap());
        client.read_tls(&mut &alert[..]).unwrap();
        let refused = client.process_new_packets().unwrap_err();
        assert!(matches!(refused, Error::AlertReceived(_)), "{refused:?}");
    }
}

#[test]
fn a_handshake_message_may_come_in_two_parts_while_the_server_speaks() {
    use std::io::Read as _;
    let mut config = Client::of(&TLS13).config();
    config.enable_secret_extraction = true;
    let (mut client, mut engine) = meet(config, 70_000);
    assert_eq!(engine.encrypt(b"before").unwrap(), 6);
    hear(&mut client, &mut engine);
    let mut word = [0; 6];
    client.reader().read_exact(&mut word).unwrap();
    let (number, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let mut seal = Sealer(number, secrets);
    let mut plain = Vec::new();
    // KeyUpdate, update_requested (RFC 8446 4.6.3): its header and its content, each in a record.
    let (first, second) = (seal.handshake(&[24, 0]), seal.handshake(&[0, 1, 1]));
    bring(&mut engine, &first, &mut plain).unwrap();
    assert!(!engine.unused().is_empty());
    assert_eq!(engine.encrypt(b"between").unwrap(), 7);
    let (head, tail) = second.split_at(4);
    bring(&mut engine, head, &mut plain).unwrap();
    assert_eq!(engine.encrypt(b"again").unwrap(), 5);
    bring(&mut engine, tail, &mut plain).unwrap();
    assert_eq!(engine.unused().len(), 0);
    assert_eq!(engine.encrypt(b"after").unwrap(), 5);
    engine.notify_close();
    assert!(plain.is_empty());
}

#[test]
fn what_never_becomes_a_message_is_not_kept_for_ever() {
    let mut config = Client::of(&TLS13).config();
    config.enable_secret_extraction = true;
    let (client, mut engine) = meet(config, 70_000);
    let (number, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let mut seal = Sealer(number, secrets);
    let mut plain = Vec::new();
    // A handshake message that says it is long, byte by byte.
    let mut outcome = bring(&mut engine, &seal.handshake(&[24, 0, 0xff, 0xf0]), &mut plain);
    let mut most = 0;
    for _ in 0..2_000 {
        if outcome.is_err() {
            break;
        }
        most = most.max(engine.unused().len());
        outcome = bring(&mut engine, &seal.handshake(&[0]), &mut plain);
    }
    assert!(
        outcome.is_err() && most <= crate::limits::RECORD_BYTES_MAX,
        "{most}"
    );
    assert_eq!(engine.unused().len(), 0);
}

/// Makes records of a client whose library would not.
struct Sealer(u64, ConnectionTrafficSecrets);

impl Sealer {
    fn handshake(&mut self, content: &[u8]) -> Vec<u8> {
        let Self(number, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = self else {
            panic!("another suite");
        };
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        for (byte, other) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= other;
        }
        *number += 1;
        let mut sealed = [content, &[22]].concat();
        let length = u16::try_from(sealed.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header),
            &mut sealed,
        )
        .unwrap();
        [&header[..], &sealed].concat()
    }
}

#[tokio::test]
async fn a_stream_gives_no_more_than_it_is_asked_for() {
    use std::io::Write as _;
    let settings = api(&server());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let far = std::thread::spawn(move || {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(Client::of(&TLS13).config()), name).unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, socket);
        stream.write_all(&[5; 1000]).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream
    });
    let (socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    let hello = read_hello(&socket, &mut bytes).await.unwrap().unwrap();
    let mut stream = Stream::new(socket, settings.choose(Some(&hello), None)).unwrap();
    stream.handshake(&bytes).await.unwrap();
    let (mut buffer, mut sizes) = (vec![1], Vec::new());
    loop {
        let count = poll_fn(|context| stream.poll_fill(context, &mut buffer, 300)).await;
        match count.unwrap() {
            0 => break,
            count => sizes.push(count),
        }
    }
    assert!(sizes.iter().all(|size| *size <= 300), "{sizes:?}");
    assert_eq!(buffer.len(), 1001);
    drop(far.join());
}
