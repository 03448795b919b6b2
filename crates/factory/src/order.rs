//! Orders: how many devices, under which names, valid until when. The signer holds to it, whatever the line asks for.

use std::sync::atomic::{AtomicU64, Ordering};

use identity::{
    ThingName, UnixMillis,
    issue::{SignError, Signer, Validity},
    key::{PublicKey, SignatureAlgorithm},
};

use crate::{Error, limits};

/// What a customer ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The order's own name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The beginning of every thing name; a counter with leading zeros follows.
    pub prefix: String,
    /// How many certificates there may ever be.
    pub count: u64,
    /// From when to when each is valid.
    pub validity: Validity,
}

impl Terms {
    /// An order with the usual validity: from a day before `now`, for [`limits::DEVICE_YEARS`] years.
    pub fn new(name: &str, prefix: &str, count: u64, now: UnixMillis) -> Result<Self, Error> {
        let validity = Validity::new(now.plus_days(-1), now.plus_years(limits::DEVICE_YEARS))?;
        let terms = Self {
            name: name.into(),
            prefix: prefix.into(),
            count,
            validity,
        };
        terms.check()?;
        Ok(terms)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=limits::ORDER_NAME_CHARACTERS_MAX).contains(&self.name.len())
            || !self.name.bytes().all(plain)
        {
            let allowed = "1 to 64 letters, digits, dots, underscores and hyphens";
            return Err(Error::Term {
                what: "the name of the order",
                allowed,
            });
        }
        if self.prefix.len() > limits::PREFIX_CHARACTERS_MAX || self.thing(1).is_err() {
            let allowed = "at most 100 letters, digits, colons, underscores and hyphens";
            return Err(Error::Term {
                what: "the prefix of the thing names",
                allowed,
            });
        }
        if (1..=limits::ORDER_COUNT_MAX).contains(&self.count) {
            Ok(())
        } else {
            Err(Error::Term {
                what: "the count of the order",
                allowed: "1 to 1 000 000 000",
            })
        }
    }

    /// The name of thing number `number`.
    pub(crate) fn thing(&self, number: u64) -> Result<ThingName, Error> {
        let digits = self.count.to_string().len().max(limits::NUMBER_DIGITS_MIN);
        Ok(format!("{}{number:0digits$}", self.prefix).parse()?)
    }

    /// Whether `other` is the same order, but for the moment at which it was placed.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.name == other.name && self.prefix == other.prefix && self.count == other.count
    }
}

/// An order in the ledger, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number in this factory, from 1.
    pub id: u32,
    /// What was ordered.
    pub terms: Terms,
    /// Certificates that were prepared; each has its number, whatever became of it.
    pub intended: u64,
    /// Certificates that were signed.
    pub signed: u64,
    /// Chips that left the line complete.
    pub done: u64,
    /// Chips that were scrapped.
    pub scrapped: u64,
}

impl Order {
    /// How many chips may still begin.
    pub fn remaining(&self) -> u64 {
        self.terms.count.saturating_sub(self.intended)
    }
}

/// The key of the CA as one order may use it: as often as the order has certificates left.
///
/// A preparation that was interrupted before its certificate was kept is signed again at the cost of one, because the
/// signature before it left nothing behind.
pub(crate) struct OrderSigner<'a> {
    key: &'a dyn Signer,
    left: AtomicU64,
}

impl<'a> OrderSigner<'a> {
    pub(crate) fn new(key: &'a dyn Signer, order: &Order) -> Self {
        Self {
            key,
            left: AtomicU64::new(order.terms.count.saturating_sub(order.signed)),
        }
    }
}

impl Signer for OrderSigner<'_> {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let take = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .map_err(|_| SignError::Refused("every certificate of the order has been signed".into()))?;
        self.key.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use identity::{crypto::SoftwareKey, key::Curve};

    use super::*;

    #[test]
    fn things_are_numbered_with_leading_zeros() {
        let terms = |count| Terms::new("o", "bm-", count, UnixMillis(0)).unwrap();
        assert_eq!(terms(100).thing(1).unwrap().as_str(), "bm-000001");
        assert_eq!(terms(10_000_000).thing(77).unwrap().as_str(), "bm-00000077");
    }

    #[test]
    fn terms_that_cannot_be_kept_are_refused() {
        let terms = |name: &str, prefix: &str, count| Terms::new(name, prefix, count, UnixMillis(0)).is_ok();
        assert!(terms("a.B_c-9", "bm:", 1) && terms("a", "", limits::ORDER_COUNT_MAX));
        assert!(terms(&"n".repeat(64), &"p".repeat(100), 1));
        for (name, prefix, count) in [
            ("", "bm-", 1),
            ("a b", "bm-", 1),
            ("a/b", "bm-", 1),
            (&*"n".repeat(65), "bm-", 1),
            ("a", "b m", 1),
            ("a", &*"p".repeat(101), 1),
            ("a", "bm-", 0),
            ("a", "bm-", limits::ORDER_COUNT_MAX + 1),
        ] {
            assert!(!terms(name, prefix, count), "{name} {prefix} {count}");
        }
    }

    #[test]
    fn the_signer_signs_as_often_as_the_order_says() {
        let key = SoftwareKey::generate(Curve::P256).unwrap();
        let terms = Terms::new("o", "bm-", 3, UnixMillis(0)).unwrap();
        let order = Order {
            id: 1,
            terms,
            intended: 3,
            signed: 1,
            done: 0,
            scrapped: 0,
        };
        let signer = OrderSigner::new(&key, &order);
        assert!(signer.sign(b"2").is_ok() && signer.sign(b"3").is_ok());
        assert!(matches!(signer.sign(b"4"), Err(SignError::Refused(_))));
    }
}
