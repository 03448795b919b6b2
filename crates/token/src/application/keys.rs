//! Keys: made.

use super::objects::{Made, check_home, draft};
use super::{Application, Slot};
use crate::attribute::{Attribute, AttributeKind as A, Class};
use crate::backend::PairDraft;
use crate::crypto::{EcPrivate, Key};
use crate::error::Error;
use crate::material;
use crate::mechanism::{KeyType, Mechanism};
use crate::object::Handle;
use crate::object::rules::Origin;
use crate::session::Open;
use crate::template::Wanted;

impl Application {
    /// Generates a key pair; public key and private key.
    pub fn generate_key_pair(
        &self,
        session: u64,
        mechanism: &Mechanism,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
    ) -> Result<(u64, u64), Error> {
        let session = self.session(session)?;
        self.generate_pair(&session, mechanism, public, private, false)
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
        self.generate_pair(&session, mechanism, public, private, overwrite)
    }

    fn generate_pair(
        &self,
        session: &Open,
        mechanism: &Mechanism,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
        overwrite: bool,
    ) -> Result<(u64, u64), Error> {
        let slot = self.of(session)?;
        if *mechanism != Mechanism::EcKeyPairGen {
            return Err(Error::MechanismInvalid(mechanism.kind()));
        }
        let read = |template, class| Wanted::read(template, Origin::Generate, class, Some(KeyType::Ec));
        let (public, mut private) = (read(public, Class::PublicKey)?, read(private, Class::PrivateKey)?);
        // Programs name the curve in the public template; some in both.
        let curve = material::curve(&public.attributes)?;
        if let Some(parameters) = public.attributes.value(A::EcParams) {
            private.attributes.set(A::EcParams, parameters.clone());
        }
        check_home(slot, session, &public)?;
        check_home(slot, session, &private)?;
        if private.is_token() {
            let draft = pair_draft(mechanism, &public, &private, overwrite);
            if let Some((public, private)) = slot.token.generate_pair(&draft)? {
                return Ok((public.0, private.0));
            }
        }
        let key = EcPrivate::generate(curve)?;
        let public_key = Key::from_public(key.public().clone())?;
        let made = [
            made(public, public_key, mechanism)?,
            made(private, Key::EcPrivate(Box::new(key)), mechanism)?,
        ];
        let (public, private) = self.settle_pair(slot, session, made)?;
        Ok((public.0, private.0))
    }

    /// Both keys, or none: what goes to the token goes there in one commit.
    fn settle_pair(
        &self,
        slot: &Slot,
        session: &Open,
        [public, private]: [Made; 2],
    ) -> Result<(Handle, Handle), Error> {
        let lost = Error::General("a key that was made is not there");
        let on_token = |made: &Made| made.attributes.flag(A::Token);
        match (on_token(&public), on_token(&private)) {
            (true, true) => match slot.token.keep([draft(public)?, draft(private)?].into())?[..] {
                [public, private] => Ok((public, private)),
                _ => Err(lost),
            },
            (true, false) => {
                let kept = slot.token.keep([draft(public)?].into())?;
                let public = kept.first().copied().ok_or(lost)?;
                Ok((public, self.settle_in_session(slot, session, private)))
            }
            (false, true) => {
                let kept = slot.token.keep([draft(private)?].into())?;
                let private = kept.first().copied().ok_or(lost)?;
                Ok((self.settle_in_session(slot, session, public), private))
            }
            (false, false) => Ok((
                self.settle_in_session(slot, session, public),
                self.settle_in_session(slot, session, private),
            )),
        }
    }
}

fn made(mut wanted: Wanted, key: Key, mechanism: &Mechanism) -> Result<Made, Error> {
    material::describe(&key, &mut wanted.attributes);
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
