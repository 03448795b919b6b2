//! The few bytes of MQTT 3.1.1 that a load generator needs: written by hand, so that no broker is measured with its own codec.
//!
//! It must stay cheap: what the generator burns, the servers on the same cores do not get.

use crate::Outcome;

/// A packet that a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// CONNACK with its return code.
    Connected(u8),
    /// SUBACK with the first granted QoS.
    Subscribed(u8),
    /// PUBACK.
    Acknowledged,
    /// PUBLISH, with its identifier at QoS 1.
    Published { id: Option<u16>, payload: &'a [u8] },
    /// PINGRESP.
    Pong,
}

/// CONNECT with a clean session (section 3.1).
pub(crate) fn connect(out: &mut Vec<u8>, client_id: &str, keep_alive_seconds: u16) {
    begin(out, 0x10, 10 + 2 + client_id.len());
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, 2]);
    out.extend_from_slice(&keep_alive_seconds.to_be_bytes());
    text(out, client_id);
}

/// SUBSCRIBE to one filter with QoS 1 (section 3.8).
pub(crate) fn subscribe(out: &mut Vec<u8>, filter: &str) {
    begin(out, 0x82, 2 + 2 + filter.len() + 1);
    out.extend_from_slice(&[0, 1]);
    text(out, filter);
    out.push(1);
}

/// PUBLISH with QoS 1 (section 3.3).
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    begin(out, 0x32, 2 + topic.len() + 2 + payload.len());
    text(out, topic);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// PUBACK (section 3.4).
pub(crate) fn acknowledge(out: &mut Vec<u8>, id: u16) {
    out.extend_from_slice(&[0x40, 2]);
    out.extend_from_slice(&id.to_be_bytes());
}

/// PINGREQ (section 3.12).
pub(crate) const PING: [u8; 2] = [0xC0, 0];

fn begin(out: &mut Vec<u8>, first: u8, length: usize) {
    out.push(first);
    let mut rest = length;
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        out.push(if rest > 0 { byte | 128 } else { byte });
        if rest == 0 {
            return;
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The first packet of `input` and its length; `None` while it is not complete.
pub(crate) fn packet(input: &[u8]) -> Outcome<Option<(Packet<'_>, usize)>> {
    let Some((length, head)) = length(input) else {
        return Ok(None);
    };
    let (Some(first), Some(body)) = (input.first(), input.get(head..head + length)) else {
        return Ok(None);
    };
    let byte = |at: usize| body.get(at).copied().ok_or("a packet is too short");
    let packet = match first >> 4 {
        2 => Packet::Connected(byte(1)?),
        3 => published(*first, body)?,
        4 => Packet::Acknowledged,
        9 => Packet::Subscribed(byte(2)?),
        13 => Packet::Pong,
        other => return Err(format!("the server sent a packet of type {other}").into()),
    };
    Ok(Some((packet, head + length)))
}

fn published(first: u8, body: &[u8]) -> Outcome<Packet<'_>> {
    let number = |at: usize| -> Outcome<u16> {
        let bytes = body.get(at..at + 2).ok_or("a PUBLISH is too short")?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let topic = 2 + usize::from(number(0)?);
    let (id, payload) = match first & 0b110 {
        0 => (None, topic),
        _ => (Some(number(topic)?), topic + 2),
    };
    let payload = body.get(payload..).ok_or("a PUBLISH is too short")?;
    Ok(Packet::Published { id, payload })
}

/// The remaining length and where what it counts begins (section 2.2.3).
fn length(input: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * at);
        if byte & 128 == 0 {
            return Some((length, at + 2));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_standard_says() {
        let check = |write: &dyn Fn(&mut Vec<u8>), expected: &[u8]| {
            let mut out = Vec::new();
            write(&mut out);
            assert_eq!(out, expected);
        };
        check(
            &|out| connect(out, "a", 60),
            b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a",
        );
        check(&|out| subscribe(out, "a/b"), b"\x82\x08\0\x01\0\x03a/b\x01");
        check(&|out| publish(out, "a", 7, b"xy"), b"\x32\x07\0\x01a\0\x07xy");
        check(&|out| acknowledge(out, 258), b"\x40\x02\x01\x02");
    }

    #[test]
    fn packets_are_read_when_they_are_complete() {
        let check = |input: &[u8], expected: Option<(Packet<'_>, usize)>| {
            assert_eq!(packet(input).unwrap(), expected, "{input:02x?}");
        };
        check(b"", None);
        check(b"\x20\x02\0", None);
        check(b"\x20\x02\0\x05\x40", Some((Packet::Connected(5), 4)));
        check(b"\x90\x03\0\x01\x80", Some((Packet::Subscribed(0x80), 5)));
        check(b"\x40\x02\0\x01", Some((Packet::Acknowledged, 4)));
        check(b"\xd0\0", Some((Packet::Pong, 2)));
        let payload = b"xy".as_slice();
        check(
            b"\x32\x07\0\x01a\0\x07xy",
            Some((Packet::Published { id: Some(7), payload }, 9)),
        );
        check(
            b"\x30\x05\0\x01axy",
            Some((Packet::Published { id: None, payload }, 7)),
        );
        let mut long = Vec::new();
        publish(&mut long, "a", 1, &[0; 300]);
        assert!(packet(&long[..300]).unwrap().is_none());
        assert_eq!(packet(&long).unwrap().unwrap().1, long.len());
        assert!(packet(b"\x32\x01\0").is_err());
        assert!(packet(b"\xe0\0").is_err());
    }
}
