//! Address ranges of the operators `IpAddress` and `NotIpAddress`: `203.0.113.0/24`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// `None` for what is no address range.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (bits, width) = bits_and_width(address.parse().ok()?);
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= width)?,
            None => width,
        };
        // A length of 0 shifts everything out.
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        Some(Self {
            bits: bits & mask,
            mask,
            is_v4: width == 32,
        })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let (bits, width) = bits_and_width(address);
        self.is_v4 == (width == 32) && bits & self.mask == self.bits
    }
}

fn bits_and_width(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses() {
        let check = |network: &str, address: &str, expected| {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        };
        check("203.0.113.0/24", "203.0.113.255", true);
        check("203.0.113.0/24", "203.0.114.0", false);
        check("203.0.113.7", "203.0.113.7", true);
        check("203.0.113.7", "203.0.113.8", false);
        check("203.0.113.9/31", "203.0.113.8", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "8.8.8.8", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::", false);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "203.0.113.0/33",
            "::/129",
            "203.0.113.0/",
            "203.0.113",
            "a.b.c.d",
            "203.0.113.0/-1",
            "1.2.3.4/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
