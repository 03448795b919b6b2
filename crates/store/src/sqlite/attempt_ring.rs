//! Who may keep how many attempts, and which of them go: the ring's bookkeeping, without a database.
//!
//! Peers that proved who they are share by CA; everybody else by source address. Each share, each device in it and each of
//! the two sides has its own limit, so a flood of strangers can only push out strangers, a device that runs wild only
//! itself, and one CA's devices only that CA's. Of a storm of equal failures the first and the newest are kept, and the
//! newest carries the count.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use fleet::attempt::{Attempt, Standing, StormKey};
use identity::{CertificateId, UnixMillis};

use crate::limits::{
    ATTEMPTS_KNOWN_MAX, ATTEMPTS_PER_CA_MAX, ATTEMPTS_PER_DEVICE_MAX, ATTEMPTS_PER_SOURCE_MAX,
    ATTEMPTS_STRANGERS_MAX, STORM_SILENCE_MILLIS, STORMS_MAX,
};

/// Whose attempts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Share {
    Ca(Option<CertificateId>),
    /// An IPv4 address, or the network half of an IPv6 address: one host may use all of it.
    Source(Option<IpAddr>),
}

impl Share {
    pub(super) fn of(attempt: &Attempt) -> Self {
        match attempt.standing {
            Standing::Known { ca } => Self::Ca(ca),
            Standing::Stranger => Self::Source(attempt.peer.map(|peer| network(peer.ip()))),
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Ca(_) => ATTEMPTS_PER_CA_MAX,
            Self::Source(_) => ATTEMPTS_PER_SOURCE_MAX,
        }
    }

    /// The column in the table.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Ca(None) => vec![0],
            Self::Ca(Some(ca)) => [&[1][..], &ca.0].concat(),
            Self::Source(None) => vec![2],
            Self::Source(Some(IpAddr::V4(address))) => [&[3][..], &address.octets()].concat(),
            Self::Source(Some(IpAddr::V6(address))) => [&[4][..], &address.octets()].concat(),
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => Some(Self::Ca(None)),
            1 => Some(Self::Ca(Some(CertificateId(rest.try_into().ok()?)))),
            2 => Some(Self::Source(None)),
            3 => Some(Self::Source(Some(<[u8; 4]>::try_from(rest).ok()?.into()))),
            4 => Some(Self::Source(Some(<[u8; 16]>::try_from(rest).ok()?.into()))),
            _ => None,
        }
    }
}

/// Whose attempt a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) share: Share,
    /// The certificate, proven or only shown; counted when it was proven.
    pub(super) device: Option<CertificateId>,
}

impl Owner {
    fn of(attempt: &Attempt) -> Self {
        let device = attempt.certificate.as_ref().map(|certificate| certificate.id);
        Self {
            share: Share::of(attempt),
            device,
        }
    }

    fn proven_device(&self) -> Option<CertificateId> {
        self.device.filter(|_| matches!(self.share, Share::Ca(_)))
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

/// One of the two sides of the ring.
#[derive(Default)]
struct Side {
    limit: usize,
    order: BTreeMap<u64, Owner>,
}

/// A storm that is being followed.
struct Storm {
    count: u64,
    first_at: UnixMillis,
    last_at: UnixMillis,
    /// The row of the newest failure, unless it is also the first.
    newest: Option<u64>,
}

/// Where an attempt goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) place: u64,
    pub(super) count: u64,
    pub(super) first_at: UnixMillis,
}

/// The bookkeeping.
pub(super) struct Ring {
    next: u64,
    shares: HashMap<Share, BTreeSet<u64>>,
    devices: HashMap<CertificateId, VecDeque<u64>>,
    known: Side,
    strangers: Side,
    storms: HashMap<StormKey, Storm>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            next: 1,
            shares: HashMap::new(),
            devices: HashMap::new(),
            known: Side {
                limit: ATTEMPTS_KNOWN_MAX,
                order: BTreeMap::new(),
            },
            strangers: Side {
                limit: ATTEMPTS_STRANGERS_MAX,
                order: BTreeMap::new(),
            },
            storms: HashMap::new(),
        }
    }

    /// A row that is in the table from before.
    pub(super) fn remember(&mut self, place: u64, owner: Owner) {
        self.next = self.next.max(place + 1);
        self.add(place, owner);
    }

    /// Finds the place of an attempt; rows that have to go for it are added to `gone`.
    pub(super) fn place(&mut self, attempt: &Attempt, gone: &mut Vec<u64>) -> Placed {
        let place = self.next;
        self.next += 1;
        let owner = Owner::of(attempt);
        let (count, first_at) = self.follow_storm(attempt, place, gone);
        self.add(place, owner);
        self.evict(owner, gone);
        Placed {
            place,
            count,
            first_at,
        }
    }

    fn follow_storm(&mut self, attempt: &Attempt, place: u64, gone: &mut Vec<u64>) -> (u64, UnixMillis) {
        let Some(key) = attempt.storm_key() else {
            return (1, attempt.at);
        };
        let at = attempt.at;
        let going_on = |storm: &&mut Storm| at.0.saturating_sub(storm.last_at.0) <= STORM_SILENCE_MILLIS;
        if let Some(storm) = self.storms.get_mut(&key).filter(going_on) {
            storm.count += 1;
            storm.last_at = at;
            let (count, first_at) = (storm.count, storm.first_at);
            if let Some(before) = storm.newest.replace(place) {
                self.remove(before);
                gone.push(before);
            }
            return (count, first_at);
        }
        self.make_room_for_storm(at);
        self.storms.insert(
            key,
            Storm {
                count: 1,
                first_at: at,
                last_at: at,
                newest: None,
            },
        );
        (1, at)
    }

    /// Forgets storms that are over; if there are still too many, all that are older than the median.
    fn make_room_for_storm(&mut self, now: UnixMillis) {
        if self.storms.len() < STORMS_MAX {
            return;
        }
        self.storms
            .retain(|_, storm| now.0.saturating_sub(storm.last_at.0) <= STORM_SILENCE_MILLIS);
        if self.storms.len() >= STORMS_MAX {
            let mut times: Vec<_> = self.storms.values().map(|storm| storm.last_at).collect();
            let half = times.len() / 2;
            let median = *times.select_nth_unstable(half).1;
            self.storms.retain(|_, storm| storm.last_at > median);
        }
    }

    fn add(&mut self, place: u64, owner: Owner) {
        self.shares.entry(owner.share).or_default().insert(place);
        if let Some(device) = owner.proven_device() {
            self.devices.entry(device).or_default().push_back(place);
        }
        self.side(owner.share).order.insert(place, owner);
    }

    /// Takes away the oldest of the device, of the share and of the side, where there is one too many.
    fn evict(&mut self, owner: Owner, gone: &mut Vec<u64>) {
        let device = owner.proven_device().and_then(|device| self.devices.get(&device));
        let of_device = device.filter(|places| places.len() > ATTEMPTS_PER_DEVICE_MAX);
        self.take_away(of_device.and_then(|places| places.front().copied()), gone);
        let of_share = self
            .shares
            .get(&owner.share)
            .filter(|places| places.len() > owner.share.limit());
        self.take_away(of_share.and_then(|places| places.first().copied()), gone);
        let side = self.side(owner.share);
        let too_many = side.order.len() > side.limit;
        let oldest = side.order.first_key_value().map(|(place, _)| *place);
        self.take_away(oldest.filter(|_| too_many), gone);
    }

    fn take_away(&mut self, place: Option<u64>, gone: &mut Vec<u64>) {
        if let Some(place) = place {
            self.remove(place);
            gone.push(place);
        }
    }

    fn remove(&mut self, place: u64) {
        let owner = self
            .known
            .order
            .remove(&place)
            .or_else(|| self.strangers.order.remove(&place));
        let Some(owner) = owner else { return };
        if let Some(places) = self.shares.get_mut(&owner.share) {
            places.remove(&place);
            if places.is_empty() {
                self.shares.remove(&owner.share);
            }
        }
        if let Some(device) = owner.proven_device()
            && let Some(places) = self.devices.get_mut(&device)
        {
            if let Ok(at) = places.binary_search(&place) {
                places.remove(at);
            }
            if places.is_empty() {
                self.devices.remove(&device);
            }
        }
    }

    fn side(&mut self, share: Share) -> &mut Side {
        match share {
            Share::Ca(_) => &mut self.known,
            Share::Source(_) => &mut self.strangers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::attempt::{Kind, TraceId, Verdict};
    use identity::Tenant;

    fn attempt(ca: Option<u8>, source: u32, at: i64, code: &str) -> Attempt {
        let mut attempt = Attempt::begin(TraceId([0; 16]), Kind::Connect, Tenant::default(), UnixMillis(at));
        if let Some(ca) = ca {
            attempt.standing = Standing::Known {
                ca: Some(CertificateId([ca; 32])),
            };
        }
        attempt.peer = Some((IpAddr::from(source.to_be_bytes()), 1).into());
        if !code.is_empty() {
            attempt.end(Verdict::Refused, code, "", "");
        } else {
            attempt.accept();
        }
        attempt
    }

    #[test]
    fn a_storm_keeps_its_first_its_newest_and_its_count() {
        let mut ring = Ring::new();
        let mut gone = Vec::new();
        let counts: Vec<_> = (0..5)
            .map(|at| ring.place(&attempt(None, 1, at, "c"), &mut gone).count)
            .collect();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
        assert_eq!(gone, [2, 3, 4], "places 1 and 5 stay");
        let other = ring.place(&attempt(None, 1, 6, "other"), &mut gone);
        assert_eq!((other.place, other.count), (6, 1));
        let later = ring.place(&attempt(None, 1, 5 + STORM_SILENCE_MILLIS + 1, "c"), &mut gone);
        assert_eq!(later.count, 1, "after a silence a new storm begins");
    }

    #[test]
    fn accepted_attempts_are_no_storm() {
        let mut ring = Ring::new();
        let mut gone = Vec::new();
        for at in 0..3 {
            assert_eq!(ring.place(&attempt(Some(1), 1, at, ""), &mut gone).count, 1);
        }
        assert!(gone.is_empty());
    }

    #[test]
    fn a_source_has_its_share_and_no_more() {
        let mut ring = Ring::new();
        let mut gone = Vec::new();
        for at in 0..=ATTEMPTS_PER_SOURCE_MAX {
            ring.place(&attempt(None, 1, at as i64, ""), &mut gone);
        }
        assert_eq!(gone, [1]);
    }

    #[test]
    fn a_device_that_runs_wild_pushes_out_only_itself() {
        let mut ring = Ring::new();
        let mut gone = Vec::new();
        let of = |device: u8, code: &str| {
            let mut attempt = attempt(Some(1), 1, 0, code);
            attempt.certificate = Some(fleet::attempt::CertificateFacts {
                id: CertificateId([device; 32]),
                subject: Default::default(),
                issuer: Default::default(),
                not_before: UnixMillis(0),
                not_after: UnixMillis(0),
            });
            attempt
        };
        let quiet = ring.place(&of(1, ""), &mut gone).place;
        let wild: Vec<_> = (0..=ATTEMPTS_PER_DEVICE_MAX)
            .map(|topic| ring.place(&of(2, &format!("topic {topic}")), &mut gone).place)
            .collect();
        assert_eq!(gone, [wild[0]]);
        assert!(!gone.contains(&quiet));
    }

    #[test]
    fn strangers_push_out_strangers_only() {
        let mut ring = Ring::new();
        let mut gone = Vec::new();
        let known = ring.place(&attempt(Some(1), 1, 0, ""), &mut gone).place;
        for source in 0..=ATTEMPTS_STRANGERS_MAX {
            ring.place(&attempt(None, source as u32, 1, "unknown"), &mut gone);
        }
        assert_eq!(
            gone,
            [known + 1],
            "the oldest stranger goes, the known device stays"
        );
    }

    #[test]
    fn shares_are_read_back() {
        let shares = [
            Share::Ca(None),
            Share::Ca(Some(CertificateId([9; 32]))),
            Share::Source(None),
            Share::Source(Some("10.0.0.1".parse().unwrap())),
            Share::Source(Some("2001:db8::".parse().unwrap())),
        ];
        for share in shares {
            assert_eq!(Share::from_bytes(&share.to_bytes()), Some(share));
        }
        assert_eq!(Share::from_bytes(&[]), None);
        assert_eq!(Share::from_bytes(&[1, 2]), None);
        assert_eq!(
            network("2001:db8::1".parse().unwrap()),
            network("2001:db8::2".parse::<IpAddr>().unwrap())
        );
    }
}
