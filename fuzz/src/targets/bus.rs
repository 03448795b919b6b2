//! The virtual I²C bus: requests of a program at the far end of a socket.

use i2c_bus::serial::{Decoder, encode};
use i2c_bus::wire::{REQUEST_HEADER_BYTES, Request, RequestHeader};

/// One request: header, then payload.
pub(super) fn request(bytes: &[u8]) {
    let Some((header, payload)) = bytes.split_first_chunk::<REQUEST_HEADER_BYTES>() else {
        return;
    };
    let Ok(request) = Request::parse(RequestHeader::from_bytes(*header), payload) else {
        return;
    };
    let (head, rest) = request.encode().expect("what was accepted can be written");
    let written = [head.bytes(), rest].concat();
    let (header, payload) = written.split_first_chunk().expect("a header");
    assert_eq!(
        Request::parse(RequestHeader::from_bytes(*header), payload),
        Ok(request)
    );
}

/// A serial line: noise and frames. A frame that was found is found again when it is written again.
pub(super) fn serial(bytes: &[u8]) {
    let mut line = Decoder::new([0; 600]);
    for byte in bytes {
        let Some(frame) = line.push(*byte) else { continue };
        let mut written = Vec::new();
        encode(frame.number, &[frame.message], |part| {
            written.extend_from_slice(part);
        });
        let (end, before) = written.split_last().expect("a frame has an end");
        let mut other = Decoder::new([0; 600]);
        assert!(before.iter().all(|byte| other.push(*byte).is_none()));
        assert_eq!(other.push(*end), Some(frame));
    }
}
