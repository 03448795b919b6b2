//! Named curves as PKCS #11 and PKCS #8 write them.

use identity::key::Curve;

/// The curve that these parameters name.
pub(crate) fn curve_of_parameters(parameters: &[u8]) -> Option<Curve> {
    let mut all = [Curve::P256, Curve::P384, Curve::P521].into_iter();
    all.find(|curve| curve_parameters(*curve) == parameters)
}

/// The named curve as PKCS #11 wants it: its object identifier in DER (RFC 5480 2.1.1.1).
pub(crate) const fn curve_parameters(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
        Curve::P384 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22],
        Curve::P521 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23],
    }
}
