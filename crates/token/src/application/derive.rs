//! Keys that come from keys.

use std::sync::Arc;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::objects::{Made, check_home};
use super::wrap::template_of;
use super::{Application, Slot, Usable};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::crypto::{Derived, HardwareSecret, HkdfParameters, HkdfSalt, Key, KeyBlock, agree_inside, derive};
use crate::error::Error;
use crate::material;
use crate::mechanism::{Abilities, KeyType, Mechanism, MechanismType};
use crate::object::rules::Origin;
use crate::session::Open;
use crate::template::{Wanted, class_said, key_type_said, merged};

/// What a derivation made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DerivedKeys {
    /// One object.
    One(u64),
    /// A master secret, and the version that its premaster secret began with.
    Master {
        /// The secret.
        key: u64,
        /// Major and minor, if there was one.
        version: Option<(u8, u8)>,
    },
    /// The keys of a TLS connection; those that nobody asked for are not there.
    Connection {
        /// Authenticates what the client writes.
        client_mac: Option<u64>,
        /// Authenticates what the server writes.
        server_mac: Option<u64>,
        /// Encrypts what the client writes.
        client_key: Option<u64>,
        /// Encrypts what the server writes.
        server_key: Option<u64>,
        /// Begins what the client writes.
        client_iv: Vec<u8>,
        /// Begins what the server writes.
        server_iv: Vec<u8>,
    },
}

impl Application {
    /// Derives a key, or the keys of a connection.
    pub fn derive_key(
        &self,
        session: u64,
        mechanism: &Mechanism,
        base: u64,
        template: &[Attribute<'_>],
    ) -> Result<DerivedKeys, Error> {
        let session = self.session(session)?;
        let slot = self.of(&session)?;
        let usable = self.usable_key(&session, mechanism, base, Abilities::DERIVE, A::Derive)?;
        let base = slot.token.object(usable.object)?;
        let template = merged(template, template_of(base.attributes(), A::DeriveTemplate))?;
        let data = matches!(mechanism, Mechanism::HkdfData(_));
        let class = class_said(&template)?.unwrap_or(if data { Class::Data } else { Class::SecretKey });
        if (class == Class::Data) != data || !matches!(class, Class::Data | Class::SecretKey) {
            return Err(Error::TemplateInconsistent(
                "this mechanism makes another class of object",
            ));
        }
        let key_type = match class {
            Class::SecretKey => Some(key_type_said(&template)?.unwrap_or(KeyType::GenericSecret)),
            _ => None,
        };
        let connection = matches!(mechanism, Mechanism::Tls12KeyAndMac(_));
        let wanted = |template: &[Attribute<'_>]| {
            let wanted = Wanted::read(template, Origin::Derive, class, key_type)?;
            check_home(slot, &session, &wanted)?;
            Ok::<_, Error>(wanted)
        };
        let first = wanted(&template)?;
        let bytes = length(&first)?.filter(|_| !connection);
        if let Mechanism::Ecdh1(parameters) = mechanism
            && stays_inside(&first)
            && let Some(device) = agree_inside(parameters, &usable.key)?
        {
            let made = inside(first, device, base.attributes())?;
            return self.settle(slot, &session, made).map(DerivedKeys::One);
        }
        let salt = self.salt(&session, mechanism)?;
        let derived = derive(
            mechanism,
            &usable.key,
            salt.as_ref().map(|salt| &*salt.key),
            bytes,
        )?;
        let settle = |wanted, value: &Zeroizing<Vec<u8>>| {
            let made = derived_object(wanted, value, base.attributes())?;
            self.settle(slot, &session, made)
        };
        match derived {
            Derived::Value(value) => settle(first, &value).map(DerivedKeys::One),
            Derived::Master { secret, version } => Ok(DerivedKeys::Master {
                key: settle(first, &secret)?,
                version,
            }),
            Derived::KeyBlock(block) => {
                self.settle_block(slot, &session, &template, base.attributes(), block)
            }
        }
    }

    /// The keys of a connection. Those that authenticate only do that.
    fn settle_block(
        &self,
        slot: &Slot,
        session: &Open,
        template: &[Attribute<'_>],
        base: &Attributes,
        block: KeyBlock,
    ) -> Result<DerivedKeys, Error> {
        let cipher = key_type_said(template)?.unwrap_or(KeyType::GenericSecret);
        let key = |key_type: KeyType, value: &Zeroizing<Vec<u8>>| {
            if value.is_empty() {
                return Ok(None);
            }
            let own = template
                .iter()
                .filter(|line| line.kind != A::KeyType && line.kind != A::ValueLength);
            let own: Vec<_> = own.cloned().collect();
            let wanted = Wanted::read(&own, Origin::Derive, Class::SecretKey, Some(key_type))?;
            let made = derived_object(wanted, value, base)?;
            self.settle(slot, session, made).map(Some)
        };
        Ok(DerivedKeys::Connection {
            client_mac: key(KeyType::GenericSecret, &block.client_mac)?,
            server_mac: key(KeyType::GenericSecret, &block.server_mac)?,
            client_key: key(cipher, &block.client_key)?,
            server_key: key(cipher, &block.server_key)?,
            client_iv: block.client_iv,
            server_iv: block.server_iv,
        })
    }

    /// The key that HKDF takes as salt.
    fn salt(&self, session: &Open, mechanism: &Mechanism) -> Result<Option<Usable>, Error> {
        let (Mechanism::HkdfDerive(HkdfParameters { extract, .. })
        | Mechanism::HkdfData(HkdfParameters { extract, .. })) = mechanism
        else {
            return Ok(None);
        };
        match extract {
            Some(HkdfSalt::Key(key)) => self
                .usable_key(session, mechanism, *key, Abilities::DERIVE, A::Derive)
                .map(Some),
            _ => Ok(None),
        }
    }
}

/// Whether a secret may stay in the device that it is agreed on in: one of the session that nobody may see, and that is good for
/// nothing but what a device can do with it.
fn stays_inside(wanted: &Wanted) -> bool {
    let all = &wanted.attributes;
    let in_hardware = [
        MechanismType::Tls12MasterKeyDeriveDh,
        MechanismType::Tls12ExtendedMasterKeyDeriveDh,
        MechanismType::Tls12Kdf,
    ];
    let only = match all.value(A::AllowedMechanisms) {
        Some(Value::Numbers(allowed)) => {
            let known = |number: &u64| in_hardware.iter().any(|kind| kind.number() == *number);
            !allowed.is_empty() && allowed.iter().all(known)
        }
        _ => false,
    };
    let hidden = !all.flag(A::Extractable) && all.value(A::Sensitive) != Some(&Value::Flag(false));
    let whole = all.value(A::ValueLength).is_none();
    wanted.key_type == Some(KeyType::GenericSecret) && !wanted.is_token() && only && hidden && whole
}

fn inside(wanted: Wanted, device: Arc<dyn HardwareSecret>, base: &Attributes) -> Result<Made, Error> {
    let mut made = Made::from_outside(wanted, Key::HardwareSecret(device))?;
    for (kind, flag) in [
        (A::AlwaysSensitive, base.flag(A::AlwaysSensitive)),
        (A::NeverExtractable, base.flag(A::NeverExtractable)),
    ] {
        made.attributes.set(kind, Value::Flag(flag));
    }
    Ok(made)
}

/// How many bytes a template wants.
fn length(wanted: &Wanted) -> Result<Option<usize>, Error> {
    let said = wanted.attributes.number(A::ValueLength);
    said.map(usize::try_from)
        .transpose()
        .map_err(|_| Error::KeySizeRange)
}

/// What was derived, as an object. A key is no more secret than the one that it comes from (PKCS #11 v3.1, 6.3.20 and others).
fn derived_object(mut wanted: Wanted, value: &Zeroizing<Vec<u8>>, base: &Attributes) -> Result<Made, Error> {
    if wanted.class == Class::Data {
        let private = wanted.is_private();
        if !private {
            wanted.attributes.set(A::Value, Value::from(value.to_vec()));
        }
        let (mut attributes, _) = wanted.completed(None)?;
        if private {
            attributes.remove(A::Value);
        }
        return Ok(Made {
            attributes,
            key: None,
            value: private.then(|| value.clone()),
        });
    }
    let said = wanted.attributes.number(A::ValueLength);
    let key = material::secret(wanted.key_type, said, value)?;
    let mut made = Made::from_outside(wanted, key)?;
    let attributes = &mut made.attributes;
    let always = base.flag(A::AlwaysSensitive) && attributes.flag(A::Sensitive);
    let never = base.flag(A::NeverExtractable) && !attributes.flag(A::Extractable);
    attributes.set(A::AlwaysSensitive, Value::Flag(always));
    attributes.set(A::NeverExtractable, Value::Flag(never));
    Ok(made)
}
