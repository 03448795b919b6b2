//! The virtual I²C bus: requests of a program at the far end of a socket.

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
