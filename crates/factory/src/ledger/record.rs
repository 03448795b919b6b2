//! What the ledger says, record by record, and how each looks as bytes: DER, so that `openssl asn1parse` shows it.

use identity::{
    ThingName, UnixMillis,
    certificate::Certificate,
    der::{Fault, Reader, Tag, Writer},
    issue::{Serial, Validity},
};
use optiga::Uid;

use crate::{Terms, limits};

const ORDER: u32 = 1;
const INTENT: u32 = 2;
const SIGNED: u32 = 3;
const DONE: u32 = 4;
const SCRAPPED: u32 = 5;

/// One fact of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An order was accepted; orders are numbered from 1 as they come.
    Order(Terms),
    /// A certificate may be signed: exactly these bytes, and no others under this serial number.
    Intent(Intent),
    /// A certificate was signed; no other will ever leave under its serial number.
    Signed(Certificate),
    /// The chip holds the certificate and is locked.
    Done(Serial),
    /// The chip is lost for its order.
    Scrapped(Scrap),
}

/// A certificate that may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its serial number.
    pub serial: Serial,
    /// The SHA-256 of its public key (SubjectPublicKeyInfo).
    pub key_hash: [u8; 32],
    /// What it is for.
    pub purpose: Purpose,
    /// The complete to-be-signed bytes.
    pub tbs: Vec<u8>,
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A CA of this factory.
    Authority,
    /// A device.
    Device(Device),
    /// Proof to a cloud that the CA's key is at hand.
    Verification,
}

/// The device of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its order.
    pub order: u32,
    /// Its number in the order, from 1.
    pub number: u64,
    /// Its chip.
    pub uid: Uid,
    /// Its name.
    pub thing: ThingName,
}

/// A chip that is lost for its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrap {
    /// The order.
    pub order: u32,
    /// The chip.
    pub uid: Uid,
    /// The certificate that was meant for it, if it came so far.
    pub serial: Option<Serial>,
    /// Why.
    pub reason: String,
}

impl Record {
    /// The record as bytes, with the moment at which it is written.
    pub(crate) fn encode(&self, time: UnixMillis) -> Vec<u8> {
        Writer::build(|writer| {
            writer.sequence(|record| {
                let kind = match self {
                    Self::Order(_) => ORDER,
                    Self::Intent(_) => INTENT,
                    Self::Signed(_) => SIGNED,
                    Self::Done(_) => DONE,
                    Self::Scrapped(_) => SCRAPPED,
                };
                number(record, u64::from(kind));
                number(record, u64::try_from(time.0).unwrap_or_default());
                self.write(record);
            });
        })
    }

    fn write(&self, record: &mut Writer) {
        match self {
            Self::Order(terms) => {
                record.element(Tag::UTF8_STRING, terms.name.as_bytes());
                record.element(Tag::UTF8_STRING, terms.prefix.as_bytes());
                number(record, terms.count);
                record.time(terms.validity.not_before());
                record.time(terms.validity.not_after());
            }
            Self::Intent(intent) => {
                record.element(Tag::OCTET_STRING, intent.serial.bytes());
                record.element(Tag::OCTET_STRING, &intent.key_hash);
                intent.purpose.write(record);
                record.raw(&intent.tbs);
            }
            Self::Signed(certificate) => record.raw(certificate.der()),
            Self::Done(serial) => record.element(Tag::OCTET_STRING, serial.bytes()),
            Self::Scrapped(scrap) => {
                number(record, u64::from(scrap.order));
                record.element(Tag::OCTET_STRING, &scrap.uid.0);
                record.element(Tag::UTF8_STRING, shorten(&scrap.reason).as_bytes());
                if let Some(serial) = &scrap.serial {
                    record.element(Tag::OCTET_STRING, serial.bytes());
                }
            }
        }
    }

    /// Reads a record and its moment.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, UnixMillis), Fault> {
        Reader::whole(bytes, |reader| {
            reader.sequence(|record| {
                let kind = record.small()?;
                let time = UnixMillis(i64::try_from(read_number(record)?).map_err(|_| Fault::Content)?);
                Ok((Self::read(kind, record)?, time))
            })
        })
    }

    fn read(kind: u32, record: &mut Reader<'_>) -> Result<Self, Fault> {
        match kind {
            ORDER => {
                let (name, prefix) = (read_text(record)?, read_text(record)?);
                let count = read_number(record)?;
                let validity = Validity::new(record.time()?, record.time()?).map_err(|_| Fault::Content)?;
                Ok(Self::Order(Terms {
                    name,
                    prefix,
                    count,
                    validity,
                }))
            }
            INTENT => Ok(Self::Intent(Intent {
                serial: read_serial(record)?,
                key_hash: record.octets()?.try_into().map_err(|_| Fault::Content)?,
                purpose: Purpose::read(record)?,
                tbs: record.expect(Tag::SEQUENCE)?.bytes.into(),
            })),
            SIGNED => {
                let der = record.expect(Tag::SEQUENCE)?.bytes;
                Certificate::parse(der)
                    .map(Self::Signed)
                    .map_err(|_| Fault::Content)
            }
            DONE => Ok(Self::Done(read_serial(record)?)),
            SCRAPPED => Ok(Self::Scrapped(Scrap {
                order: record.small()?,
                uid: read_uid(record)?,
                reason: read_text(record)?,
                serial: if record.is_empty() {
                    None
                } else {
                    Some(read_serial(record)?)
                },
            })),
            _ => Err(Fault::Content),
        }
    }
}

impl Purpose {
    fn write(&self, record: &mut Writer) {
        match self {
            Self::Authority => record.element(Tag::context(0), &[]),
            Self::Device(device) => record.nested(Tag::context_constructed(1), |inner| {
                number(inner, u64::from(device.order));
                number(inner, device.number);
                inner.element(Tag::OCTET_STRING, &device.uid.0);
                inner.element(Tag::UTF8_STRING, device.thing.as_str().as_bytes());
            }),
            Self::Verification => record.element(Tag::context(2), &[]),
        }
    }

    fn read(record: &mut Reader<'_>) -> Result<Self, Fault> {
        let element = record.element()?;
        match (element.tag, element.content) {
            (tag, []) if tag == Tag::context(0) => Ok(Self::Authority),
            (tag, []) if tag == Tag::context(2) => Ok(Self::Verification),
            (tag, content) if tag == Tag::context_constructed(1) => Reader::whole(content, |inner| {
                Ok(Self::Device(Device {
                    order: inner.small()?,
                    number: read_number(inner)?,
                    uid: read_uid(inner)?,
                    thing: read_text(inner)?.parse().map_err(|_| Fault::Content)?,
                }))
            }),
            _ => Err(Fault::Content),
        }
    }
}

fn number(writer: &mut Writer, value: u64) {
    writer.unsigned(&value.to_be_bytes());
}

fn read_number(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    let magnitude = reader.unsigned()?;
    if magnitude.len() > 8 {
        return Err(Fault::Content);
    }
    Ok(magnitude
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, Fault> {
    let content = reader.expect(Tag::UTF8_STRING)?.content;
    String::from_utf8(content.into()).map_err(|_| Fault::Content)
}

fn read_serial(reader: &mut Reader<'_>) -> Result<Serial, Fault> {
    let bytes = reader.octets()?.try_into().map_err(|_| Fault::Content)?;
    Serial::new(bytes).map_err(|_| Fault::Content)
}

fn read_uid(reader: &mut Reader<'_>) -> Result<Uid, Fault> {
    reader.octets()?.try_into().map(Uid).map_err(|_| Fault::Content)
}

/// At most so many characters as a reason may have.
fn shorten(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(limits::REASON_CHARACTERS_MAX)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn serial(number: u8) -> Serial {
        Serial::new([0x40, 0, 0, 0, 0, 0, 0, number, 9, 9, 9, 9, 9, 9, 9, 9]).unwrap()
    }

    #[test]
    fn records_read_back_equal() {
        let now = UnixMillis(1_795_305_600_123);
        let uid = Uid([7; 27]);
        let device = Device {
            order: 1,
            number: 1_000_000,
            uid,
            thing: "bm-1000000".parse().unwrap(),
        };
        let intent = |purpose| {
            Record::Intent(Intent {
                serial: serial(1),
                key_hash: [5; 32],
                purpose,
                tbs: vec![0x30, 1, 0],
            })
        };
        for record in [
            Record::Order(Terms::new("o", "bm-", u64::from(u32::MAX) / 8, now).unwrap()),
            intent(Purpose::Authority),
            intent(Purpose::Device(device)),
            intent(Purpose::Verification),
            Record::Done(serial(2)),
            Record::Scrapped(Scrap {
                order: 1,
                uid,
                serial: None,
                reason: "chip.refused.access".into(),
            }),
            Record::Scrapped(Scrap {
                order: 1,
                uid,
                serial: Some(serial(3)),
                reason: String::new(),
            }),
        ] {
            let bytes = record.encode(now);
            // Validity is kept in whole seconds; so is everything that is compared.
            let (again, time) = Record::decode(&bytes).unwrap();
            assert_eq!(again.encode(time), bytes, "{record:?}");
            assert_eq!(time, now);
            for end in 0..bytes.len() {
                assert!(Record::decode(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        assert_eq!(shorten(&"ä".repeat(501)), "ä".repeat(500));
        assert_eq!(shorten("short"), "short");
    }

    #[test]
    fn unknown_kinds_are_refused() {
        let bytes = Writer::build(|writer| {
            writer.sequence(|record| {
                number(record, 99);
                number(record, 0);
            });
        });
        assert_eq!(Record::decode(&bytes), Err(Fault::Content));
    }
}
