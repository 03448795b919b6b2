//! MQTT: the bytes of any stranger, before and after its CONNECT.

use mqtt::{Decoded, Matching, Packet, TopicFilter, TopicName, decode, encode, limits, server, v5};

/// A stream of packets, as a server reads it.
pub(super) fn packet(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(decoded) = decode(rest, limits::PACKET_BYTES_AWS_MAX) {
        match decoded {
            Decoded::Incomplete { bytes_needed } => {
                assert!(bytes_needed > rest.len());
                return;
            }
            Decoded::Packet { packet, bytes } => {
                assert!(bytes >= 2 && bytes <= rest.len());
                written_again(&packet);
                let _ = server::opening(packet.clone());
                let _ = server::request(packet);
                rest = &rest[bytes..];
            }
        }
    }
}

/// What was accepted can be written, and reads the same.
fn written_again(packet: &Packet<'_>) {
    let mut out = Vec::new();
    if encode::packet(&mut out, packet).is_err() {
        return;
    }
    match decode(&out, limits::PACKET_BYTES_AWS_MAX) {
        Ok(Decoded::Packet { packet: again, bytes }) => {
            assert_eq!(bytes, out.len());
            assert_eq!(&again, packet);
        }
        other => panic!("{packet:?} was written as {out:02x?}, which reads as {other:?}"),
    }
}

/// The same in MQTT 5.0.
pub(super) fn packet_v5(bytes: &[u8]) {
    let _ = server::first(bytes, limits::PACKET_BYTES_AWS_MAX);
    let mut rest = bytes;
    while let Ok(decoded) = v5::decode(rest, limits::PACKET_BYTES_AWS_MAX) {
        match decoded {
            v5::Decoded::Incomplete { bytes_needed } => {
                assert!(bytes_needed > rest.len());
                return;
            }
            v5::Decoded::Packet { packet, bytes } => {
                assert!(bytes >= 2 && bytes <= rest.len());
                written_again_v5(&packet);
                let _ = format!("{packet:?}");
                let _ = server::request_v5(packet);
                rest = &rest[bytes..];
            }
        }
    }
}

fn written_again_v5(packet: &v5::Packet<'_>) {
    let mut out = Vec::new();
    if v5::encode::packet(&mut out, packet).is_err() {
        return;
    }
    match v5::decode(&out, limits::PACKET_BYTES_AWS_MAX) {
        Ok(v5::Decoded::Packet { packet: again, bytes }) => {
            assert_eq!(bytes, out.len());
            assert_eq!(&again, packet);
        }
        other => panic!("{packet:?} was written as {out:02x?}, which reads as {other:?}"),
    }
}

/// `filter NUL topic`: whether the one matches the other.
pub(super) fn topic(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (filter, topic) = text.split_once('\0').unwrap_or((text, text));
    let (Ok(filter), Ok(topic)) = (TopicFilter::new(filter), TopicName::new(topic)) else {
        return;
    };
    let standard = filter.matches(topic, Matching::Standard);
    if filter.is_exact() {
        assert_eq!(standard, filter.as_str() == topic.as_str());
    }
}
