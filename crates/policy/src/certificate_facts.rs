//! What policies can ask about a certificate: its id, its serial number, and the names in it.
//!
//! It stands beside [`Context`](crate::Context), which has what is known of one connection. It is made of the parsed certificate
//! and kept as long as any connection of it lives, so all of its texts stand in one piece. It must never say of a text that
//! could change the meaning of a policy that it may stand in the place of a variable.

use core::fmt::Write as _;

use identity::certificate::Certificate;
use identity::extension::AlternativeName;
use identity::name::{AttributeKind, Name};
use identity::{CertificateId, Hex};

use crate::limits::{ATTRIBUTE_VALUES_MAX, VALUE_CHARACTERS_MAX};
use crate::variable::{AlternativeKind, Variable, Whose};

/// What policies can ask about a certificate; made once per certificate and shared by its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// All texts, one behind the other.
    texts: Box<str>,
    id: Span,
    serial_number: Option<Span>,
    attributes: Box<[(Attribute, Span)]>,
}

/// Where in the texts one of them is, and whether it may stand in the place of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    begin: u32,
    end: u32,
    substitutable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Attribute {
    Subject(AttributeKind),
    Issuer(AttributeKind),
    Alternative(AlternativeKind),
}

/// A text and whether it may stand in the place of a variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) text: &'a str,
    pub(crate) substitutable: bool,
}

impl<'a> Shown<'a> {
    pub(crate) fn substitution(self) -> Option<&'a str> {
        self.substitutable.then_some(self.text)
    }
}

/// Whether a text may stand in the place of a variable.
pub(crate) fn is_substitutable(text: &str) -> bool {
    let is_wild = |byte| matches!(byte, b'*' | b'$' | b'+' | b'?' | b'#');
    let is_short = text.len() <= VALUE_CHARACTERS_MAX || text.chars().count() <= VALUE_CHARACTERS_MAX;
    !text.is_empty() && is_short && !text.bytes().any(is_wild)
}

impl CertificateFacts {
    /// Facts of a certificate of which nothing but the id is known.
    #[must_use]
    pub fn new(id: CertificateId) -> Self {
        let mut texts = String::with_capacity(2 * id.0.len());
        let id = append_hex(&mut texts, &id.0);
        Self::without_names(texts, id)
    }

    /// A client that shows no certificate but is known by this name otherwise. Every variable of a certificate matches nothing.
    #[must_use]
    pub fn of_other(principal: &str) -> Self {
        let mut texts = String::with_capacity(principal.len());
        let id = append(&mut texts, principal);
        let substitutable = false;
        Self::without_names(texts, Span { substitutable, ..id })
    }

    fn without_names(texts: String, id: Span) -> Self {
        Self {
            texts: texts.into_boxed_str(),
            id,
            serial_number: None,
            attributes: Box::default(),
        }
    }

    /// All facts of the certificate with this id.
    #[must_use]
    pub fn of(id: CertificateId, certificate: &Certificate) -> Self {
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        let alternatives = certificate.alternative_names();
        let serial = certificate.serial();
        let digits = 2 * (id.0.len() + serial.len());
        let mut texts = String::with_capacity(digits + bytes_of(subject) + bytes_of(issuer));
        let count = subject.attributes().len() + issuer.attributes().len() + alternatives.len();
        let mut attributes = Vec::with_capacity(count);
        let id = append_hex(&mut texts, &id.0);
        let serial_number = Some(append_hex(&mut texts, serial));
        for (kind, text) in subject.attributes() {
            attributes.push((Attribute::Subject(kind.clone()), append(&mut texts, text)));
        }
        for (kind, text) in issuer.attributes() {
            attributes.push((Attribute::Issuer(kind.clone()), append(&mut texts, text)));
        }
        for name in alternatives {
            attributes.extend(alternative(&mut texts, name));
        }
        Self {
            texts: texts.into_boxed_str(),
            id,
            serial_number,
            attributes: attributes.into_boxed_slice(),
        }
    }

    /// Bytes that it occupies, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.texts.len() + size_of_val(&*self.attributes)
    }

    /// The certificate's id as text; of a client without one, its name.
    pub(crate) fn id(&self) -> Shown<'_> {
        self.shown(self.id)
    }

    pub(crate) fn serial_number(&self) -> Option<Shown<'_>> {
        self.serial_number.map(|span| self.shown(span))
    }

    /// The values of the attribute that a variable names, however many it has.
    pub(crate) fn values(&self, variable: &Variable) -> impl Iterator<Item = Shown<'_>> {
        let attributes = self.attributes.iter();
        attributes
            .filter(move |(attribute, _)| attribute.is_meant(variable))
            .map(|(_, span)| self.shown(*span))
            .take(ATTRIBUTE_VALUES_MAX)
    }

    fn shown(&self, span: Span) -> Shown<'_> {
        let bounds = span.begin as usize..span.end as usize;
        Shown {
            text: self.texts.get(bounds).unwrap_or_default(),
            substitutable: span.substitutable,
        }
    }
}

impl Attribute {
    fn is_meant(&self, variable: &Variable) -> bool {
        match (self, variable) {
            (Self::Subject(own), Variable::Name { whose, kind, .. }) => {
                *whose == Whose::Subject && own == kind
            }
            (Self::Issuer(own), Variable::Name { whose, kind, .. }) => *whose == Whose::Issuer && own == kind,
            (Self::Alternative(own), Variable::Alternative { kind, .. }) => own == kind,
            _ => false,
        }
    }
}

fn bytes_of(name: &Name) -> usize {
    name.attributes().iter().map(|(_, text)| text.len()).sum()
}

/// Where the next text begins or the last one ends. What is beyond is never found again, and certificates are far shorter.
fn position(texts: &str) -> u32 {
    u32::try_from(texts.len()).unwrap_or(u32::MAX)
}

fn append(texts: &mut String, text: &str) -> Span {
    let begin = position(texts);
    texts.push_str(text);
    Span {
        begin,
        end: position(texts),
        substitutable: is_substitutable(text),
    }
}

fn append_hex(texts: &mut String, bytes: &[u8]) -> Span {
    let begin = position(texts);
    // Writing into a text cannot fail.
    let _ = write!(texts, "{}", Hex(bytes));
    let text = texts.get(begin as usize..).unwrap_or_default();
    Span {
        begin,
        end: position(texts),
        substitutable: is_substitutable(text),
    }
}

fn alternative(texts: &mut String, name: &AlternativeName) -> Option<(Attribute, Span)> {
    let (kind, span) = match name {
        AlternativeName::Email(text) => (AlternativeKind::Email, append(texts, text)),
        AlternativeName::Dns(text) => (AlternativeKind::Dns, append(texts, text)),
        AlternativeName::Directory(name) => (AlternativeKind::Directory, append(texts, &name.to_string())),
        AlternativeName::Uri(text) => (AlternativeKind::Uri, append(texts, text)),
        AlternativeName::Ip(address) => (AlternativeKind::Ip, append(texts, &address.to_string())),
        AlternativeName::Other(_) => return None,
    };
    Some((Attribute::Alternative(kind), span))
}
