//! A token behind any vendor's PKCS #11 module: an HSM, a smart card, another secure element, or software.
//!
//! Only what every module has is used: 2.40's functions, CKM_EC_KEY_PAIR_GEN, and CKM_ECDSA over a digest made here. The
//! module is code of somebody else in this process; nothing can be promised about what it does to it.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use identity::certificate::Certificate;
use identity::der::Writer;
use identity::key::{Curve, PublicKey};

use crate::device_token::DeviceToken;
use crate::key::KeyError;
use crate::limits::KEY_ID_BYTES;

/// The name of P-256 (RFC 5480, 2.1.1.1), as CKA_EC_PARAMS has it.
const P256: [u8; 10] = [6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];

/// Which of a module's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenChoice {
    /// The number of its slot.
    pub slot: Option<u64>,
    /// What the token is called.
    pub label: Option<String>,
}

/// A read-write session on a token of a module, logged in if the token has a login.
pub struct VendorToken {
    session: Mutex<Session>,
    /// Kept as long as the session: it is the module.
    _module: Pkcs11,
}

impl fmt::Debug for VendorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VendorToken")
    }
}

/// What a module answers, in its own words.
fn answered(error: cryptoki::error::Error) -> KeyError {
    KeyError::Module(error.to_string())
}

impl VendorToken {
    /// Loads a module and opens a session. A token without login takes no PIN.
    pub fn open(module: &Path, choice: &TokenChoice, pin: Option<&[u8]>) -> Result<Self, KeyError> {
        let context = Pkcs11::new(module).map_err(answered)?;
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        context.initialize(locking).map_err(answered)?;
        let slot = chosen(&context, choice)?;
        let session = context.open_rw_session(slot).map_err(answered)?;
        if context.get_token_info(slot).map_err(answered)?.login_required() {
            let pin = pin.ok_or_else(|| KeyError::Module("the token wants its user's PIN".into()))?;
            session
                .login_with_raw(UserType::User, &RawAuthPin::new(Box::new(pin.to_vec())))
                .map_err(answered)?;
        }
        Ok(Self {
            session: Mutex::new(session),
            _module: context,
        })
    }

    /// PKCS #11 has one operation of a kind in a session, so a thread waits for another's.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot with the number or the token with the label; without either the first that is initialized.
fn chosen(module: &Pkcs11, choice: &TokenChoice) -> Result<Slot, KeyError> {
    let slots = module.get_slots_with_initialized_token().map_err(answered)?;
    let fits = |slot: &Slot| {
        let label = || module.get_token_info(*slot).map(|token| token.label().to_owned());
        let named = choice.label.as_ref();
        choice.slot.is_none_or(|number| slot.id() == number)
            && named.is_none_or(|wanted| label().is_ok_and(|label| label.trim_end() == wanted))
    };
    let found = slots.into_iter().find(fits);
    found.ok_or_else(|| KeyError::Module("it has no such initialized token".into()))
}

fn find(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, KeyError> {
    session.find_objects(template).map_err(answered)
}

/// One attribute that is an array of bytes.
fn bytes(session: &Session, object: ObjectHandle, kind: AttributeType) -> Result<Option<Vec<u8>>, KeyError> {
    let found = session.get_attributes(object, &[kind]).map_err(answered)?;
    Ok(found.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(bytes)
        | Attribute::Value(bytes)
        | Attribute::EcParams(bytes)
        | Attribute::EcPoint(bytes) => Some(bytes),
        _ => None,
    }))
}

fn named(class: ObjectClass, label: &str) -> [Attribute; 2] {
    [Attribute::Class(class), Attribute::Label(label.into())]
}

/// The other objects that have the key's id and this class.
fn of_key(session: &Session, key: ObjectHandle, class: ObjectClass) -> Result<Vec<ObjectHandle>, KeyError> {
    match bytes(session, key, AttributeType::Id)? {
        Some(id) if !id.is_empty() => find(session, &[Attribute::Class(class), Attribute::Id(id)]),
        _ => Ok(Vec::new()),
    }
}

/// From a public key object; a point is an OCTET STRING, though some modules leave that away (PKCS #11 v3.1, 6.3.3).
fn public_key(session: &Session, object: ObjectHandle) -> Result<PublicKey, KeyError> {
    const OTHER: KeyError = KeyError::Malformed("the key is not on P-256");
    let curve = bytes(session, object, AttributeType::EcParams)?;
    if curve.as_deref() != Some(&P256) {
        return Err(OTHER);
    }
    let point = bytes(session, object, AttributeType::EcPoint)?.unwrap_or_default();
    let point = match point.as_slice() {
        [4, 65, point @ ..] if point.len() == 65 => point,
        bare => bare,
    };
    PublicKey::from_ec_point(Curve::P256, point).map_err(|_| OTHER)
}

impl DeviceToken for VendorToken {
    type Key = ObjectHandle;

    fn private_keys(&self, label: &str) -> Result<Vec<ObjectHandle>, KeyError> {
        find(&self.session(), &named(ObjectClass::PRIVATE_KEY, label))
    }

    fn public_key(&self, key: ObjectHandle) -> Result<Option<PublicKey>, KeyError> {
        let session = self.session();
        let found = of_key(&session, key, ObjectClass::PUBLIC_KEY)?;
        found
            .first()
            .map(|object| public_key(&session, *object))
            .transpose()
    }

    fn sign(&self, key: ObjectHandle, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let digest = identity::crypto::sha256(message);
        let session = self.session();
        session.sign(&Mechanism::Ecdsa, key, &digest).map_err(answered)
    }

    fn generate(&self, label: &str) -> Result<ObjectHandle, KeyError> {
        let session = self.session();
        let mut old = find(&session, &named(ObjectClass::PRIVATE_KEY, label))?;
        for key in old.clone() {
            old.extend(of_key(&session, key, ObjectClass::PUBLIC_KEY)?);
        }
        let id = session.generate_random_vec(KEY_ID_BYTES).map_err(answered)?;
        let both = |more: &[Attribute]| {
            let shared = [
                Attribute::Token(true),
                Attribute::Label(label.into()),
                Attribute::Id(id.clone()),
            ];
            [&shared[..], more].concat()
        };
        let public = both(&[
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(P256.to_vec()),
        ]);
        let private = both(&[
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        let (_, private) = session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(answered)?;
        destroy(&session, &old)?;
        Ok(private)
    }

    fn certificates(&self, label: &str) -> Result<Vec<Vec<u8>>, KeyError> {
        let session = self.session();
        let found = find(&session, &named(ObjectClass::CERTIFICATE, label))?;
        let values = found.into_iter().map(|object| {
            let value = bytes(&session, object, AttributeType::Value)?;
            value.ok_or(KeyError::Malformed("a certificate object without certificate"))
        });
        values.collect()
    }

    fn store_certificate(&self, label: &str, der: &[u8], key: Option<ObjectHandle>) -> Result<(), KeyError> {
        let parsed = Certificate::parse(der);
        let certificate = parsed.map_err(|_| KeyError::Malformed("what came back is no certificate"))?;
        let session = self.session();
        let old = find(&session, &named(ObjectClass::CERTIFICATE, label))?;
        let serial = Writer::build(|writer| writer.unsigned(certificate.serial()));
        let mut template = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Label(label.into()),
            Attribute::Subject(certificate.subject().der().to_vec()),
            Attribute::Issuer(certificate.issuer().der().to_vec()),
            Attribute::SerialNumber(serial),
            Attribute::Value(der.to_vec()),
        ];
        if let Some(key) = key {
            let id = bytes(&session, key, AttributeType::Id)?;
            template.extend(id.map(Attribute::Id));
        }
        session.create_object(&template).map_err(answered)?;
        destroy(&session, &old)
    }
}

fn destroy(session: &Session, objects: &[ObjectHandle]) -> Result<(), KeyError> {
    let mut objects = objects.iter();
    objects.try_for_each(|object| session.destroy_object(*object).map_err(answered))
}
