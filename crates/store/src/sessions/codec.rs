//! Records of the data plane as bytes, and back. Each begins with a byte that says which it is; numbers are in as few bytes as
//! they need, text and bytes have their length before them.
//!
//! A byte once given to a kind of record is never given to another: a log written today is read by every later version.

use std::num::NonZeroU32;
use std::sync::Arc;

use broker::mqtt::v5::{Place, Properties};
use broker::mqtt::{PacketId, QoS, TopicName, Version};
use broker::{
    Absence, Chosen, DisconnectReason, Identifiers, KeptWill, Message, NodeIndex, Parts, Record, SessionKey,
    Stamp, Wanted,
};
use identity::{Tenant, UnixMillis};

/// What each record begins with.
mod kind {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const SESSION: u8 = 2;
    pub(super) const ATTACHED: u8 = 3;
    pub(super) const GONE: u8 = 4;
    pub(super) const WILL_DONE: u8 = 5;
    pub(super) const SUBSCRIBED: u8 = 6;
    pub(super) const UNSUBSCRIBED: u8 = 7;
    pub(super) const QUEUED: u8 = 8;
    pub(super) const RELEASED: u8 = 9;
    pub(super) const DONE: u8 = 10;
    pub(super) const RECEIVED: u8 = 11;
    pub(super) const COMPLETED: u8 = 12;
    pub(super) const ENDED: u8 = 13;
    pub(super) const RETAINED: u8 = 14;
    pub(super) const RELAY: u8 = 15;
    pub(super) const RELAYED: u8 = 16;
    pub(super) const SEEN: u8 = 17;
    pub(super) const CHOSEN: u8 = 18;
    pub(super) const HANDED_OVER: u8 = 19;
    /// [`GONE`] with the reason behind it.
    pub(super) const GONE_FOR: u8 = 20;
}

/// Appends a record.
pub(crate) fn write(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Message { id, message } => {
            out.push(kind::MESSAGE);
            number(out, *id);
            write_message(out, message);
        }
        Record::Session {
            key,
            tenant,
            client_id,
            speaks,
            expiry_seconds,
            next,
        } => {
            about(out, kind::SESSION, *key);
            write_tenant(out, tenant);
            bytes(out, client_id.as_bytes());
            out.push(match speaks {
                Version::V3 => 4,
                Version::V5 => 5,
            });
            number(out, u64::from(*expiry_seconds));
            number(out, *next);
        }
        Record::Attached {
            key,
            expiry_seconds,
            will,
        } => {
            about(out, kind::ATTACHED, *key);
            number(out, u64::from(*expiry_seconds));
            out.push(u8::from(will.is_some()));
            if let Some(will) = will {
                number(out, will.message);
                number(out, u64::from(will.delay_seconds));
            }
        }
        Record::Gone {
            key,
            absence,
            expiry_seconds,
            will_due,
        } => {
            let reason = absence.reason.map(DisconnectReason::number);
            about(out, reason.map_or(kind::GONE, |_| kind::GONE_FOR), *key);
            time(out, absence.since);
            number(out, u64::from(*expiry_seconds));
            maybe_time(out, *will_due);
            out.extend(reason);
        }
        Record::WillDone { key } => about(out, kind::WILL_DONE, *key),
        Record::Subscribed { key, filter, wanted } => {
            about(out, kind::SUBSCRIBED, *key);
            bytes(out, filter.as_bytes());
            write_wanted(out, *wanted);
        }
        Record::Unsubscribed { key, filter } => {
            about(out, kind::UNSUBSCRIBED, *key);
            bytes(out, filter.as_bytes());
        }
        Record::Queued {
            key,
            number: place,
            message,
            qos,
            retain,
            identifiers,
        } => {
            about(out, kind::QUEUED, *key);
            number(out, *place);
            number(out, *message);
            out.push(qos.bits() | u8::from(*retain) << 2);
            let identifiers = identifiers.as_slice();
            number(out, identifiers.len() as u64);
            identifiers.iter().for_each(|id| number(out, u64::from(id.get())));
        }
        Record::Chosen {
            key,
            number: place,
            filter,
        } => {
            about(out, kind::CHOSEN, *key);
            number(out, *place);
            bytes(out, filter.as_bytes());
        }
        Record::Released { key, number: place } => {
            about(out, kind::RELEASED, *key);
            number(out, *place);
        }
        Record::Done { key, number: place } => {
            about(out, kind::DONE, *key);
            number(out, *place);
        }
        Record::Received { key, id } => {
            about(out, kind::RECEIVED, *key);
            number(out, u64::from(id.value()));
        }
        Record::Completed { key, id } => {
            about(out, kind::COMPLETED, *key);
            number(out, u64::from(id.value()));
        }
        Record::Ended { key } => about(out, kind::ENDED, *key),
        Record::Retained { message } => {
            out.push(kind::RETAINED);
            number(out, *message);
        }
        Record::Relay {
            number: relay,
            message,
            chosen,
        } => {
            out.push(kind::RELAY);
            number(out, *relay);
            number(out, *message);
            number(out, chosen.len() as u64);
            for (filter, node) in chosen.iter() {
                bytes(out, filter.as_bytes());
                number(out, u64::from(node.0));
            }
        }
        Record::HandedOver {
            number: relay,
            message,
            filter,
            node,
        } => {
            out.push(kind::HANDED_OVER);
            number(out, *relay);
            number(out, *message);
            bytes(out, filter.as_bytes());
            number(out, u64::from(node.0));
        }
        Record::Relayed { number: relay } => {
            out.push(kind::RELAYED);
            number(out, *relay);
        }
        Record::Seen { from, number: relay } => {
            out.push(kind::SEEN);
            number(out, u64::from(from.0));
            number(out, *relay);
        }
    }
}

fn write_message(out: &mut Vec<u8>, message: &Message) {
    write_tenant(out, message.tenant());
    bytes(out, message.topic().as_bytes());
    bytes(out, message.payload());
    out.push(message.qos().bits() | u8::from(message.is_retained()) << 2);
    bytes(out, message.properties().as_bytes());
    let stamp = message.stamp();
    maybe_time(out, message.parts().and_then(|parts| parts.expires));
    time(out, stamp.at);
    number(out, u64::from(stamp.node.0));
    number(out, stamp.count);
}

fn write_tenant(out: &mut Vec<u8>, tenant: &Tenant) {
    bytes(out, tenant.account.as_str().as_bytes());
    bytes(out, tenant.region.as_str().as_bytes());
}

fn write_wanted(out: &mut Vec<u8>, wanted: Wanted) {
    out.push(wanted.qos.bits() | u8::from(wanted.no_local) << 2 | u8::from(wanted.retain_as_published) << 3);
    number(out, wanted.identifier.map_or(0, |id| u64::from(id.get())));
}

fn about(out: &mut Vec<u8>, kind: u8, key: SessionKey) {
    out.push(kind);
    number(out, key.0);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn time(out: &mut Vec<u8>, at: UnixMillis) {
    out.extend(at.0.to_le_bytes());
}

fn maybe_time(out: &mut Vec<u8>, at: Option<UnixMillis>) {
    out.push(u8::from(at.is_some()));
    at.into_iter().for_each(|at| time(out, at));
}

/// Seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads all records of a frame, in order.
///
/// # Errors
/// What cannot be read, in a word.
pub(crate) fn read_all(
    frame: &[u8],
    mut each: impl FnMut(Record) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader(frame);
    while !reader.0.is_empty() {
        let record = reader.record().ok_or("a record cannot be read")?;
        each(record)?;
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn record(&mut self) -> Option<Record> {
        let kind = self.byte()?;
        Some(match kind {
            kind::MESSAGE => Record::Message {
                id: self.number()?,
                message: self.message()?,
            },
            kind::RETAINED => Record::Retained {
                message: self.number()?,
            },
            kind::RELAY => Record::Relay {
                number: self.number()?,
                message: self.number()?,
                chosen: self.chosen()?,
            },
            kind::HANDED_OVER => Record::HandedOver {
                number: self.number()?,
                message: self.number()?,
                filter: self.text()?,
                node: NodeIndex(self.small()?),
            },
            kind::RELAYED => Record::Relayed {
                number: self.number()?,
            },
            kind::SEEN => Record::Seen {
                from: NodeIndex(self.small()?),
                number: self.number()?,
            },
            kind => {
                let key = SessionKey(self.number()?);
                self.of_session(kind, key)?
            }
        })
    }

    fn of_session(&mut self, kind: u8, key: SessionKey) -> Option<Record> {
        Some(match kind {
            kind::SESSION => Record::Session {
                key,
                tenant: self.tenant()?,
                client_id: self.text()?,
                speaks: match self.byte()? {
                    4 => Version::V3,
                    5 => Version::V5,
                    _ => return None,
                },
                expiry_seconds: self.small()?,
                next: self.number()?,
            },
            kind::ATTACHED => Record::Attached {
                key,
                expiry_seconds: self.small()?,
                will: match self.byte()? {
                    0 => None,
                    _ => Some(KeptWill {
                        message: self.number()?,
                        delay_seconds: self.small()?,
                    }),
                },
            },
            kind::GONE | kind::GONE_FOR => {
                let since = self.time()?;
                let (expiry_seconds, will_due) = (self.small()?, self.maybe_time()?);
                let reason = match kind {
                    kind::GONE => None,
                    _ => Some(DisconnectReason::of_number(self.byte()?)?),
                };
                Record::Gone {
                    key,
                    absence: Absence { since, reason },
                    expiry_seconds,
                    will_due,
                }
            }
            kind::WILL_DONE => Record::WillDone { key },
            kind::SUBSCRIBED => Record::Subscribed {
                key,
                filter: self.text()?,
                wanted: self.wanted()?,
            },
            kind::UNSUBSCRIBED => Record::Unsubscribed {
                key,
                filter: self.text()?,
            },
            kind::QUEUED => self.queued(key)?,
            kind::CHOSEN => Record::Chosen {
                key,
                number: self.number()?,
                filter: self.text()?,
            },
            kind::RELEASED => Record::Released {
                key,
                number: self.number()?,
            },
            kind::DONE => Record::Done {
                key,
                number: self.number()?,
            },
            kind::RECEIVED => Record::Received {
                key,
                id: PacketId::new(self.small()?)?,
            },
            kind::COMPLETED => Record::Completed {
                key,
                id: PacketId::new(self.small()?)?,
            },
            kind::ENDED => Record::Ended { key },
            _ => return None,
        })
    }

    fn queued(&mut self, key: SessionKey) -> Option<Record> {
        let (number, message, flags) = (self.number()?, self.number()?, self.byte()?);
        let count = self.number()?;
        let mut identifiers = Vec::new();
        for _ in 0..count {
            identifiers.push(NonZeroU32::new(self.small()?)?);
        }
        Some(Record::Queued {
            key,
            number,
            message,
            qos: QoS::from_bits(flags & 0b11)?,
            retain: flags & 0b100 != 0,
            identifiers: Identifiers::from_iter(identifiers),
        })
    }

    fn chosen(&mut self) -> Option<Chosen> {
        let count = self.number()?;
        let mut chosen = Vec::new();
        for _ in 0..count {
            chosen.push((self.text()?, NodeIndex(self.small()?)));
        }
        Some(chosen.into())
    }

    fn message(&mut self) -> Option<Arc<Message>> {
        let tenant = self.tenant()?;
        let topic = TopicName::new(str::from_utf8(self.bytes()?).ok()?).ok()?;
        let (payload, flags) = (self.bytes()?, self.byte()?);
        let properties = Properties::new(self.bytes()?, Place::Publish).ok()?;
        let expires = self.maybe_time()?;
        let stamp = Stamp {
            at: self.time()?,
            node: NodeIndex(self.small()?),
            count: self.number()?,
        };
        let parts = Parts {
            tenant,
            topic,
            payload,
            qos: QoS::from_bits(flags & 0b11)?,
            retain: flags & 0b100 != 0,
            properties,
            expires,
            stamp,
        };
        Message::from_parts(&parts).ok()
    }

    fn tenant(&mut self) -> Option<Tenant> {
        let account = str::from_utf8(self.bytes()?).ok()?.parse().ok()?;
        let region = str::from_utf8(self.bytes()?).ok()?.parse().ok()?;
        Some(Tenant { account, region })
    }

    fn wanted(&mut self) -> Option<Wanted> {
        let flags = self.byte()?;
        Some(Wanted {
            qos: QoS::from_bits(flags & 0b11)?,
            no_local: flags & 0b100 != 0,
            retain_as_published: flags & 0b1000 != 0,
            identifier: NonZeroU32::new(self.small()?),
        })
    }

    fn text(&mut self) -> Option<Arc<str>> {
        str::from_utf8(self.bytes()?).ok().map(Arc::from)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn time(&mut self) -> Option<UnixMillis> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(UnixMillis(i64::from_le_bytes(*bytes)))
    }

    fn maybe_time(&mut self) -> Option<Option<UnixMillis>> {
        match self.byte()? {
            0 => Some(None),
            _ => self.time().map(Some),
        }
    }

    /// A number that fits its type.
    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(retain: bool) -> Arc<Message> {
        let mut properties = Vec::new();
        Properties::append(
            &mut properties,
            broker::mqtt::v5::Property::ContentType("text/plain"),
        )
        .unwrap();
        let parts = Parts {
            tenant: Tenant::default(),
            topic: TopicName::new("a/ü").unwrap(),
            payload: &[0, 255, 7],
            qos: QoS::ExactlyOnce,
            retain,
            properties: Properties::new(&properties, Place::Publish).unwrap(),
            expires: retain.then_some(UnixMillis(5_000)),
            stamp: Stamp {
                at: UnixMillis(-1),
                node: NodeIndex(700),
                count: u64::MAX,
            },
        };
        Message::from_parts(&parts).unwrap()
    }

    /// One of each kind, with the smallest and the largest of what may be in it.
    fn records() -> Vec<Record> {
        let (key, id) = (SessionKey(u64::MAX), PacketId::new(u16::MAX).unwrap());
        let wanted = |qos, set, identifier| Wanted {
            qos,
            no_local: set,
            retain_as_published: set,
            identifier: NonZeroU32::new(identifier),
        };
        let identifiers = |list: &[u32]| list.iter().copied().filter_map(NonZeroU32::new).collect();
        let queued = |qos, retain, list| Record::Queued {
            key,
            number: 1 << 40,
            message: 3,
            qos,
            retain,
            identifiers: identifiers(list),
        };
        vec![
            Record::Message {
                id: 0,
                message: message(true),
            },
            Record::Message {
                id: u64::MAX,
                message: message(false),
            },
            Record::Session {
                key,
                tenant: Tenant::default(),
                client_id: "ü".into(),
                speaks: Version::V5,
                expiry_seconds: u32::MAX,
                next: 0,
            },
            Record::Session {
                key: SessionKey(0),
                tenant: Tenant::default(),
                client_id: "".into(),
                speaks: Version::V3,
                expiry_seconds: 0,
                next: u64::MAX,
            },
            Record::Attached {
                key,
                expiry_seconds: 1,
                will: None,
            },
            Record::Attached {
                key,
                expiry_seconds: 1,
                will: Some(KeptWill {
                    message: 9,
                    delay_seconds: u32::MAX,
                }),
            },
            Record::Gone {
                key,
                absence: Absence {
                    since: UnixMillis(i64::MAX),
                    reason: None,
                },
                expiry_seconds: 2,
                will_due: None,
            },
            Record::Gone {
                key,
                absence: Absence {
                    since: UnixMillis(i64::MIN),
                    reason: Some(DisconnectReason::ApiInitiated),
                },
                expiry_seconds: 2,
                will_due: Some(UnixMillis(0)),
            },
            Record::WillDone { key },
            Record::Subscribed {
                key,
                filter: "$share/g/a/+".into(),
                wanted: wanted(QoS::ExactlyOnce, true, 268_435_455),
            },
            Record::Subscribed {
                key,
                filter: "#".into(),
                wanted: wanted(QoS::AtMostOnce, false, 0),
            },
            Record::Unsubscribed {
                key,
                filter: "#".into(),
            },
            queued(QoS::AtLeastOnce, false, &[]),
            queued(QoS::ExactlyOnce, true, &[1]),
            queued(QoS::AtLeastOnce, true, &[1, 128, 268_435_455]),
            Record::Released { key, number: 127 },
            Record::Done { key, number: 128 },
            Record::Received { key, id },
            Record::Completed { key, id },
            Record::Ended { key },
            Record::Retained { message: 1 },
            Record::Relay {
                number: 1,
                message: 2,
                chosen: Arc::new([]),
            },
            Record::Relay {
                number: 1,
                message: 2,
                chosen: Arc::new([("$share/g/a".into(), NodeIndex(u16::MAX))]),
            },
            Record::HandedOver {
                number: 1,
                message: 2,
                filter: "$share/g/a".into(),
                node: NodeIndex(u16::MAX),
            },
            Record::Chosen {
                key,
                number: 1 << 40,
                filter: "$share/g/a".into(),
            },
            Record::Relayed { number: 5 },
            Record::Seen {
                from: NodeIndex(3),
                number: 5,
            },
        ]
    }

    fn told(record: &Record) -> String {
        match record {
            Record::Message { message, .. } => format!("{record:?} {:?}", message.parts()),
            _ => format!("{record:?}"),
        }
    }

    #[test]
    fn every_kind_of_record_comes_back_as_it_was() {
        let mut frame = Vec::new();
        let records = records();
        records.iter().for_each(|record| write(&mut frame, record));
        let mut read = Vec::new();
        read_all(&frame, |record| {
            read.push(told(&record));
            Ok(())
        })
        .unwrap();
        assert_eq!(read, records.iter().map(told).collect::<Vec<_>>());
    }

    #[test]
    fn a_client_that_went_before_reasons_were_kept_is_gone_all_the_same() {
        let since = UnixMillis(0x0807_0605_0403_0201);
        let mut bytes = vec![kind::GONE, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0];
        let expected = |reason| Record::Gone {
            key: SessionKey(7),
            absence: Absence { since, reason },
            expiry_seconds: 9,
            will_due: None,
        };
        let read = |bytes: &[u8]| {
            let mut read = Vec::new();
            read_all(bytes, |record| {
                read.push(told(&record));
                Ok(())
            })
            .unwrap();
            read
        };
        assert_eq!(read(&bytes), [told(&expected(None))]);
        bytes[0] = kind::GONE_FOR;
        bytes.push(8);
        let reason = Some(DisconnectReason::ServerError);
        assert_eq!(read(&bytes), [told(&expected(reason))]);
        bytes[12] = 200;
        assert!(read_all(&bytes, |_| Ok(())).is_err(), "no such reason");
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused_and_never_read_beyond() {
        for record in records() {
            let mut frame = Vec::new();
            write(&mut frame, &record);
            for end in 1..frame.len() {
                assert!(
                    read_all(&frame[..end], |_| Ok(())).is_err(),
                    "{record:?} cut at {end}"
                );
            }
        }
        for kind in [0, kind::GONE_FOR + 1, 255] {
            assert!(read_all(&[kind, 0, 0, 0], |_| Ok(())).is_err());
        }
        let endless = [vec![kind::DONE], vec![0xff; 20]].concat();
        assert!(read_all(&endless, |_| Ok(())).is_err());
    }
}
