//! Clones: one certificate that is live in two places at once, which a key in a chip cannot be.
//!
//! It stands beside the connections of all shards: each tells when it begins and when it ends, and the first that should not be
//! is a suspicion. AWS lets one certificate have many client ids, so a suspicion says what was seen and no more; what follows
//! from it is the operator's choice. It must never remember more than a bounded part of what strangers do, nor tell of one
//! certificate more often than [`CLONE_ALARM_REST_MILLIS`] allows.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, HashMap};

use identity::{CertificateId, Tenant, UnixMillis};

use crate::limits::{
    CLONE_ALARM_REST_MILLIS, CLONE_NETWORK_BITS_V4, CLONE_NETWORK_BITS_V6, CLONE_PLACES_MAX, CLONES_TOLD_MAX,
};

/// What follows from a suspicion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is looked at.
    Off,
    /// It is told, and nobody is disturbed.
    #[default]
    Alarm,
    /// It is told, and both connections end.
    Drop,
}

/// Which connection of which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: u16,
    /// Its number there.
    pub connection: u64,
}

/// Where a client comes from, as coarsely as one device may wander: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpAddr);

/// One live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Which.
    pub place: Place,
    /// Tells client ids apart.
    pub client: u64,
    /// Whence.
    pub network: Network,
    /// Another connection with the same client id has taken over, and is about to say so.
    taken_over: bool,
}

/// What should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Two client ids at once.
    ClientIds,
    /// Two networks at once.
    Networks,
}

/// A certificate that is perhaps in two places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What was seen.
    pub cause: Cause,
    /// Whether to tell it; it was told lately otherwise.
    pub is_told: bool,
    /// Suspicions since the last one that was told.
    pub untold: u32,
    /// Where the others come from.
    pub network: Network,
    /// The other live connections, those that are remembered.
    pub others: Vec<Place>,
}

/// All live connections that count, by certificate.
#[derive(Debug, Default)]
pub struct Watch {
    live: BTreeMap<Tenant, HashMap<CertificateId, Live>>,
    /// Certificates that are only remembered because something was told of them.
    remembered: usize,
}

/// A certificate with one connection costs no more than this.
#[derive(Debug, Default)]
struct Live {
    first: Option<Presence>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    others: Vec<Presence>,
    /// Connections beyond those.
    uncounted: u32,
    told_at: Option<UnixMillis>,
    untold: u32,
}

impl Network {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX << (32 - CLONE_NETWORK_BITS_V4);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - CLONE_NETWORK_BITS_V6);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match self.0 {
            IpAddr::V4(_) => CLONE_NETWORK_BITS_V4,
            IpAddr::V6(_) => CLONE_NETWORK_BITS_V6,
        };
        write!(f, "{}/{bits}", self.0)
    }
}

impl Presence {
    /// A connection that has begun.
    #[must_use]
    pub const fn new(place: Place, client: u64, network: Network) -> Self {
        Self {
            place,
            client,
            network,
            taken_over: false,
        }
    }
}

impl Cause {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientIds => "client_ids",
            Self::Networks => "networks",
        }
    }
}

impl Watch {
    /// A connection has begun.
    pub fn enter(
        &mut self,
        tenant: &Tenant,
        certificate: CertificateId,
        presence: Presence,
        now: UnixMillis,
    ) -> Option<Suspicion> {
        let live = self
            .live
            .entry(*tenant)
            .or_default()
            .entry(certificate)
            .or_default();
        if live.is_empty() && live.more.is_some() {
            self.remembered = self.remembered.saturating_sub(1);
        }
        live.enter(presence, now)
    }

    /// A connection has ended; `taken_over`: by another one with its client id, which enters next.
    pub fn leave(
        &mut self,
        tenant: &Tenant,
        certificate: CertificateId,
        place: Place,
        taken_over: bool,
        now: UnixMillis,
    ) {
        let Some(of_tenant) = self.live.get_mut(tenant) else {
            return;
        };
        let Some(live) = of_tenant.get_mut(&certificate) else {
            return;
        };
        if taken_over {
            return live.take_over(place);
        }
        live.leave(place);
        if !live.is_empty() {
            return;
        }
        if live.is_quiet(now) {
            of_tenant.remove(&certificate);
        } else {
            self.remembered += 1;
            self.forget_some(now);
        }
    }

    /// How many certificates it knows.
    #[must_use]
    pub fn certificates(&self) -> usize {
        self.live.values().map(HashMap::len).sum()
    }

    /// What is only remembered so as not to be told again is forgotten when it is too much.
    fn forget_some(&mut self, now: UnixMillis) {
        if self.remembered <= CLONES_TOLD_MAX {
            return;
        }
        for of_tenant in self.live.values_mut() {
            of_tenant.retain(|_, live| !live.is_empty() || !live.is_quiet(now));
        }
        let still = |live: &&Live| live.is_empty();
        self.remembered = self.live.values().flat_map(HashMap::values).filter(still).count();
        if self.remembered > CLONES_TOLD_MAX {
            for of_tenant in self.live.values_mut() {
                of_tenant.retain(|_, live| !live.is_empty());
            }
            self.remembered = 0;
        }
    }
}

impl Live {
    fn enter(&mut self, presence: Presence, now: UnixMillis) -> Option<Suspicion> {
        let before: Vec<Presence> = self.all().copied().collect();
        self.remove_where(|known| known.taken_over && known.client == presence.client);
        self.add(presence);
        let elsewhere = before.iter().find(|known| known.network != presence.network);
        let otherwise = before.iter().find(|known| known.client != presence.client);
        let (cause, other) = match (elsewhere, otherwise) {
            (Some(other), _) => (Cause::Networks, other),
            (None, Some(other)) => (Cause::ClientIds, other),
            (None, None) => return None,
        };
        let more = self.more.get_or_insert_default();
        let is_told = more.is_quiet(now);
        let untold = more.untold;
        if is_told {
            (more.told_at, more.untold) = (Some(now), 0);
        } else {
            more.untold = more.untold.saturating_add(1);
        }
        Some(Suspicion {
            cause,
            is_told,
            untold,
            network: other.network,
            others: before
                .iter()
                .filter(|known| !known.taken_over)
                .map(|known| known.place)
                .collect(),
        })
    }

    fn add(&mut self, presence: Presence) {
        if self.first.is_none() {
            self.first = Some(presence);
            return;
        }
        let more = self.more.get_or_insert_default();
        if more.others.len() + 1 < CLONE_PLACES_MAX {
            more.others.push(presence);
        } else {
            more.uncounted = more.uncounted.saturating_add(1);
        }
    }

    fn take_over(&mut self, place: Place) {
        let others = self.more.iter_mut().flat_map(|more| more.others.iter_mut());
        for known in self.first.iter_mut().chain(others) {
            known.taken_over |= known.place == place;
        }
    }

    fn leave(&mut self, place: Place) {
        if !self.remove_where(|known| known.place == place)
            && let Some(more) = &mut self.more
        {
            more.uncounted = more.uncounted.saturating_sub(1);
        }
    }

    fn remove_where(&mut self, is_it: impl Fn(&Presence) -> bool) -> bool {
        if self.first.as_ref().is_some_and(&is_it) {
            self.first = self.more.as_mut().and_then(|more| more.others.pop());
            return true;
        }
        let Some(more) = &mut self.more else { return false };
        let before = more.others.len();
        more.others.retain(|known| !is_it(known));
        more.others.len() < before
    }

    fn all(&self) -> impl Iterator<Item = &Presence> {
        let others = self.more.iter().flat_map(|more| more.others.iter());
        self.first.iter().chain(others)
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.uncounted == 0)
    }

    fn is_quiet(&self, now: UnixMillis) -> bool {
        self.more.as_ref().is_none_or(|more| more.is_quiet(now))
    }
}

impl More {
    fn is_quiet(&self, now: UnixMillis) -> bool {
        self.told_at
            .is_none_or(|told_at| now.since(told_at) >= CLONE_ALARM_REST_MILLIS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: CertificateId = CertificateId([7; 32]);

    struct Bench {
        watch: Watch,
        now: UnixMillis,
        next: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                watch: Watch::default(),
                now: UnixMillis(1_000_000),
                next: 0,
            }
        }

        /// What is suspected, and whether it is told.
        fn enter(&mut self, client: u64, address: &str) -> Option<(Cause, bool)> {
            self.next += 1;
            let place = Place {
                shard: 0,
                connection: self.next,
            };
            let presence = Presence::new(place, client, Network::of(address.parse().unwrap()));
            let found = self
                .watch
                .enter(&Tenant::default(), CERTIFICATE, presence, self.now);
            found.map(|suspicion| (suspicion.cause, suspicion.is_told))
        }

        fn leave(&mut self, connection: u64, taken_over: bool) {
            let place = Place { shard: 0, connection };
            self.watch
                .leave(&Tenant::default(), CERTIFICATE, place, taken_over, self.now);
        }
    }

    #[test]
    fn networks_are_as_coarse_as_the_limits_say() {
        let rows = [
            ("192.0.2.1", "192.0.2.254", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("::ffff:192.0.2.1", "192.0.2.2", true),
            ("2001:db8:1::1", "2001:db8:1:ffff::1", true),
            ("2001:db8:1::1", "2001:db8:2::1", false),
        ];
        for (one, other, same) in rows {
            let of = |text: &str| Network::of(text.parse().unwrap());
            assert_eq!(of(one) == of(other), same, "{one} {other}");
        }
        assert_eq!(
            Network::of("192.0.2.77".parse().unwrap()).to_string(),
            "192.0.2.0/24"
        );
        assert_eq!(
            Network::of("2001:db8:1:2::3".parse().unwrap()).to_string(),
            "2001:db8:1::/48"
        );
    }

    #[test]
    fn a_device_that_comes_and_goes_is_nobody_else() {
        let mut bench = Bench::new();
        assert_eq!(bench.enter(1, "192.0.2.1"), None);
        bench.leave(1, false);
        assert_eq!(
            bench.enter(1, "198.51.100.1"),
            None,
            "it wandered while it was away"
        );
        bench.leave(2, true);
        assert_eq!(
            bench.enter(1, "198.51.100.9"),
            None,
            "it came again before it was missed"
        );
        bench.leave(3, false);
        assert_eq!(bench.watch.certificates(), 0);
    }

    #[test]
    fn two_client_ids_and_two_networks_are_suspected() {
        let mut bench = Bench::new();
        assert_eq!(bench.enter(1, "192.0.2.1"), None);
        assert_eq!(bench.enter(2, "192.0.2.1"), Some((Cause::ClientIds, true)));
        let mut bench = Bench::new();
        bench.enter(1, "192.0.2.1");
        assert_eq!(bench.enter(2, "198.51.100.1"), Some((Cause::Networks, true)));
        let mut bench = Bench::new();
        bench.enter(1, "192.0.2.1");
        bench.leave(1, true);
        assert_eq!(
            bench.enter(1, "198.51.100.1"),
            Some((Cause::Networks, true)),
            "taken over from elsewhere"
        );
        bench.leave(2, false);
        assert_eq!(bench.enter(1, "192.0.2.1"), None, "only one was live");
    }

    #[test]
    fn it_is_told_once_in_a_while() {
        let mut bench = Bench::new();
        bench.enter(1, "192.0.2.1");
        assert_eq!(bench.enter(2, "192.0.2.1"), Some((Cause::ClientIds, true)));
        assert_eq!(bench.enter(3, "192.0.2.1"), Some((Cause::ClientIds, false)));
        for connection in 1..=3 {
            bench.leave(connection, false);
        }
        assert_eq!(bench.enter(1, "192.0.2.1"), None);
        assert_eq!(
            bench.enter(2, "192.0.2.1"),
            Some((Cause::ClientIds, false)),
            "it is remembered when all are gone"
        );
        bench.now = bench.now.plus_millis(CLONE_ALARM_REST_MILLIS);
        assert_eq!(bench.enter(3, "192.0.2.1"), Some((Cause::ClientIds, true)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut bench = Bench::new();
        for client in 0..CLONE_PLACES_MAX as u64 + 5 {
            bench.enter(client, "192.0.2.1");
        }
        let known = bench.watch.live[&Tenant::default()][&CERTIFICATE].all().count();
        assert_eq!(known, CLONE_PLACES_MAX);
        for connection in 1..=CLONE_PLACES_MAX as u64 + 5 {
            bench.leave(connection, false);
        }
        bench.now = bench.now.plus_millis(CLONE_ALARM_REST_MILLIS);
        bench.enter(1, "192.0.2.1");
        bench.leave(bench.next, false);
        assert_eq!(bench.watch.certificates(), 0, "every one that came has gone");

        let mut watch = Watch::default();
        let (tenant, now) = (Tenant::default(), UnixMillis(0));
        for number in 0..=CLONES_TOLD_MAX as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            for client in [1, 2] {
                let place = Place {
                    shard: 0,
                    connection: client,
                };
                let network = Network::of(Ipv4Addr::LOCALHOST.into());
                watch.enter(
                    &tenant,
                    CertificateId(id),
                    Presence::new(place, client, network),
                    now,
                );
            }
            for connection in [1, 2] {
                watch.leave(
                    &tenant,
                    CertificateId(id),
                    Place { shard: 0, connection },
                    false,
                    now,
                );
            }
        }
        assert!(watch.certificates() <= CLONES_TOLD_MAX);
    }
}
