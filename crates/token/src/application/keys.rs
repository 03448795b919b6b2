//! Keys: generated.

use std::vec::Vec;

use super::objects::{Made, check_home, draft};
use super::{Application, Slot};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::backend::PairDraft;
use crate::crypto::{Key, generate, generate_pair};
use crate::error::Error;
use crate::material;
use crate::mechanism::{Abilities, KeyType, Mechanism};
use crate::object::Handle;
use crate::object::rules::Origin;
use crate::session::Open;
use crate::template::{Wanted, key_type_said};

impl Application {
    /// Generates a key pair; public key and private key.
    pub fn generate_key_pair(
        &self,
        session: u64,
        mechanism: &Mechanism,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
    ) -> Result<(u64, u64), Error> {
        self.generate_pair_at_once(session, mechanism, public, private, false)
    }

    /// The same, over a key that is there already if `overwrite` says so.
    pub(crate) fn generate_pair_at_once(
        &self,
        session: u64,
        mechanism: &Mechanism,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
        overwrite: bool,
    ) -> Result<(u64, u64), Error> {
        let session = self.session(session)?;
        let slot = self.of(&session)?;
        let (public, mut private) = read_pair(mechanism, public, private)?;
        let kind = material::pair_kind(mechanism, &public.attributes)?;
        check_home(slot, &session, &public)?;
        check_home(slot, &session, &private)?;
        if private.is_token() {
            let draft = pair_draft(mechanism, &public, &private, overwrite);
            if let Some((public, private)) = slot.token.generate_pair(&draft)? {
                return Ok((public.0, private.0));
            }
        }
        let session_pair = if public.is_token() || private.is_token() {
            None
        } else {
            let draft = pair_draft(mechanism, &public, &private, false);
            slot.token.backend().session_pair(&draft)?
        };
        let (public_key, key) = match session_pair {
            Some(pair) => {
                let info = pair.public.spki_der().to_vec();
                private.attributes.set(A::PublicKeyInfo, Value::from(info));
                (Key::from_public(pair.public)?, pair.private)
            }
            None => in_software(generate_pair(mechanism, &kind)?)?,
        };
        let made = [
            made(public, public_key, mechanism)?,
            made(private, key, mechanism)?,
        ];
        let (public, private) = self.settle_pair(slot, &session, made)?;
        Ok((public.0, private.0))
    }

    /// Both keys, or none: what goes to the token goes there in one commit.
    fn settle_pair(&self, slot: &Slot, session: &Open, made: [Made; 2]) -> Result<(Handle, Handle), Error> {
        let on_token = |made: &Made| made.attributes.flag(A::Token);
        let homes = made.each_ref().map(on_token);
        let mut drafts = Vec::new();
        let mut waiting = Vec::new();
        for (made, on_token) in made.into_iter().zip(homes) {
            if on_token {
                drafts.push(draft(made)?);
            } else {
                waiting.push(made);
            }
        }
        let kept = if drafts.is_empty() {
            Vec::new()
        } else {
            slot.token.keep(drafts)?
        };
        let (mut kept, mut waiting) = (kept.into_iter(), waiting.into_iter());
        let [public, private] = homes.map(|on_token| {
            if on_token {
                return kept.next();
            }
            waiting
                .next()
                .map(|made| self.settle_in_session(slot, session, made))
        });
        public
            .zip(private)
            .ok_or(Error::General("a key that was made is not there"))
    }

    /// Generates a secret key.
    pub fn generate_key(
        &self,
        session: u64,
        mechanism: &Mechanism,
        template: &[Attribute<'_>],
    ) -> Result<u64, Error> {
        let session = self.session(session)?;
        let slot = self.of(&session)?;
        let kind = mechanism.kind();
        if !kind.abilities().does(Abilities::GENERATE) {
            return Err(Error::MechanismInvalid(kind));
        }
        let key_type = match (mechanism, key_type_said(template)?) {
            (Mechanism::AesKeyGen, _) => KeyType::Aes,
            (Mechanism::HkdfKeyGen, _) => KeyType::Hkdf,
            // A secret of any use may be for one HMAC alone.
            (_, Some(KeyType::Aes | KeyType::Hkdf)) | (_, None) => KeyType::GenericSecret,
            (_, Some(said)) => said,
        };
        let wanted = Wanted::read(template, Origin::Generate, Class::SecretKey, Some(key_type))?;
        check_home(slot, &session, &wanted)?;
        let bytes = wanted
            .attributes
            .number(A::ValueLength)
            .ok_or(Error::TemplateIncomplete)?;
        let bytes = usize::try_from(bytes).map_err(|_| Error::KeySizeRange)?;
        let key = generate(mechanism, bytes)?;
        let made = made(wanted, key, mechanism)?;
        self.settle(slot, &session, made)
    }
}

/// Both templates of a pair. Programs say what the pair is in the public one; the private key has it, too.
fn read_pair(
    mechanism: &Mechanism,
    public: &[Attribute<'_>],
    private: &[Attribute<'_>],
) -> Result<(Wanted, Wanted), Error> {
    let kind = mechanism.kind();
    let makes = kind.abilities().does(Abilities::GENERATE_KEY_PAIR);
    let key_type = kind.key_types().first().copied().filter(|_| makes);
    let key_type = Some(key_type.ok_or(Error::MechanismInvalid(kind))?);
    let public = Wanted::read(public, Origin::Generate, Class::PublicKey, key_type)?;
    let mut private = Wanted::read(private, Origin::Generate, Class::PrivateKey, key_type)?;
    if let Some(parameters) = public.attributes.value(A::EcParams) {
        private.attributes.set(A::EcParams, parameters.clone());
    }
    Ok((public, private))
}

fn in_software(key: Key) -> Result<(Key, Key), Error> {
    let public = key.public()?;
    Ok((public.ok_or(Error::General("a pair without a public half"))?, key))
}

/// A key that was born here, with all its attributes.
fn made(mut wanted: Wanted, key: Key, mechanism: &Mechanism) -> Result<Made, Error> {
    // What was wished for is what came out.
    wanted.attributes.remove(A::ModulusBits);
    material::describe(&key, &mut wanted.attributes)?;
    let (attributes, _) = wanted.completed(Some(mechanism.kind().number()))?;
    Ok(Made {
        attributes,
        key: Some(key),
        value: None,
    })
}

fn pair_draft(mechanism: &Mechanism, public: &Wanted, private: &Wanted, overwrite: bool) -> PairDraft {
    PairDraft {
        mechanism: mechanism.clone(),
        public: public.attributes.clone(),
        private: private.attributes.clone(),
        overwrite,
    }
}
