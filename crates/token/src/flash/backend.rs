//! The flash token behind the wall that all backends have.

use super::*;
use crate::limits;

impl Backend for Flash {
    fn describe(&mut self) -> Result<TokenDescription, Error> {
        self.refresh()?;
        let serial = |state: &State| {
            let digits = state.header.token.iter().take(8);
            digits.map(|byte| std::format!("{byte:02X}")).collect()
        };
        Ok(TokenDescription {
            manufacturer: "Birthmark",
            model: "Birthmark flash",
            serial: self.state.as_ref().map_or_else(|| "0".repeat(16), serial),
        })
    }

    fn status(&mut self) -> Result<Status, Error> {
        self.refresh()?;
        let Some(state) = &self.state else {
            return Ok(Status {
                label: String::new(),
                initialized: false,
                login_required: true,
                write_protected: false,
                user_pin: PinState::Absent,
                officer_pin: PinState::Absent,
            });
        };
        let pins = Pins::read(&self.path("pins"))?;
        let user = state.header.user.as_ref().map(|_| pins.state(User::User));
        Ok(Status {
            label: state.header.label.clone(),
            initialized: true,
            login_required: true,
            write_protected: false,
            user_pin: user.unwrap_or(PinState::Absent),
            officer_pin: pins.state(User::SecurityOfficer),
        })
    }

    fn login(&mut self, user: User, pin: &[u8]) -> Result<(), Error> {
        let _lock = self.writing()?;
        let key = self.unlock(user, pin)?;
        self.login = Some(Login { user, key });
        Ok(())
    }

    fn logout(&mut self) {
        self.forget();
    }

    fn is_free(&self) -> bool {
        true
    }

    fn changed(&mut self) -> Result<bool, Error> {
        self.refresh()
    }

    fn load(&mut self) -> Result<Contents, Error> {
        self.refresh()?;
        let mut contents = Contents::default();
        let Some(state) = &self.state else {
            return Ok(contents);
        };
        let user = self.login.as_ref().filter(|login| login.user == User::User);
        for (place, stored) in &state.objects {
            let secret = match user {
                Some(login) if is_class(stored, Class::Data) => Some(state.secret(stored, &login.key)?),
                _ => None,
            };
            match object(*place, stored, secret) {
                Some(object) => contents.objects.push(object),
                None => contents.damaged.push(Damage {
                    label: "",
                    why: "an object lacks what its class must have",
                }),
            }
        }
        Ok(contents)
    }

    fn sign_digest(&mut self, place: Place, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = software::fitted(curve, digest)?;
        let signature = self
            .key(place, curve)?
            .sign_digest(&digest)
            .map_err(|_| LIBRARY)?;
        Ok(signature.as_ref().to_vec())
    }

    fn key_place(&self, _: &str) -> Option<Place> {
        None
    }

    fn generate(&mut self, _: Place, _: Curve, _: bool, _: bool) -> Result<PublicKey, Error> {
        Err(Error::FunctionNotSupported)
    }

    fn certificate_place(&self, _: &str) -> Option<Place> {
        None
    }

    fn key_of_certificate(&self, _: Place) -> Option<Place> {
        None
    }

    fn store_certificate(&mut self, _: Place, _: &[u8]) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    fn generate_pair(
        &mut self,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
    ) -> Result<(Place, Place), Error> {
        let curve = template::curve(public)?;
        let pair = EcdsaKeyPair::generate(signing(curve)?).map_err(|_| LIBRARY)?;
        let (key, secret) = halves(&pair, curve)?;
        let drafts = [
            template::public_key(public, &key, curve, true)?,
            template::private_key(private, &key, curve, secret, true)?,
        ];
        match self.put(drafts.into())?[..] {
            [public, private] => Ok((public, private)),
            _ => Err(LIBRARY),
        }
    }

    fn create(&mut self, wanted: &[Attribute<'_>]) -> Result<Place, Error> {
        let class = wanted
            .iter()
            .find(|attribute| attribute.kind == AttributeKind::Class);
        let is = |class: Class, value: &Value<'_>| *value == Value::Number(class.number());
        let draft = match class.map(|attribute| &attribute.value) {
            None => return Err(Error::TemplateIncomplete),
            Some(class) if is(Class::Certificate, class) => template::certificate(wanted)?,
            Some(class) if is(Class::Data, class) => template::data(wanted)?,
            Some(class) if is(Class::PublicKey, class) => {
                let curve = template::curve(wanted)?;
                template::public_key(wanted, &template::point(wanted, curve)?, curve, false)?
            }
            Some(class) if is(Class::PrivateKey, class) => {
                let curve = template::curve(wanted)?;
                let pair = imported(template::scalar(wanted)?, curve)?;
                let (key, secret) = halves(&pair, curve)?;
                template::private_key(wanted, &key, curve, secret, false)?
            }
            Some(_) => {
                return Err(Error::TemplateInconsistent(
                    "the token has no objects of this class",
                ));
            }
        };
        let places = self.put([draft].into())?;
        places.first().copied().ok_or(LIBRARY)
    }

    fn destroy(&mut self, place: Place) -> Result<(), Error> {
        let (_lock, key) = self.begin()?;
        let stored = self
            .state()?
            .objects
            .get(&place)
            .ok_or(Error::ObjectHandleInvalid)?;
        let record = Record::Delete { id: stored.id };
        self.commit(&key, [(record, Zeroizing::default())].into())
    }

    fn init_token(&mut self, pin: &[u8], label: &str) -> Result<(), Error> {
        check_pin(pin)?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(Error::ArgumentsBad("a token's label has at most 32 bytes"));
        }
        let _lock = self.writing()?;
        if self.state.is_some() {
            self.unlock(User::SecurityOfficer, pin)?;
        }
        let (token, key) = (seal::random()?, DataKey::new(seal::random()?));
        let header = Header {
            token,
            label: label.into(),
            officer: Wrap::new(&key, pin, &token, OFFICER)?,
            user: None,
        };
        let record = Record::Header(header);
        let context = record.context(&journal::START, &token, 0);
        let sealed = seal::seal(&seal::object_key(&key, &token, &record.id())?, &context, &[])?;
        let mut body = Vec::new();
        record.write(&sealed, &mut body);
        let (bytes, _) = journal::frame(&journal::START, &body)?;
        Pins::create(&self.path("pins"))?;
        journal::replace(&self.path("journal"), &bytes)?;
        self.forget();
        self.refresh_locked()?;
        Ok(())
    }

    fn init_pin(&mut self, pin: &[u8]) -> Result<(), Error> {
        check_pin(pin)?;
        let _lock = self.writing()?;
        match &self.login {
            Some(Login {
                user: User::SecurityOfficer,
                key,
            }) => {
                let key = key.clone();
                self.wrap(User::User, &key, pin)
            }
            _ => Err(Error::UserNotLoggedIn),
        }
    }

    fn set_pin(&mut self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        check_pin(new)?;
        let _lock = self.writing()?;
        let key = self.unlock(user, old)?;
        self.wrap(user, &key, new)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| LIBRARY)
    }
}

impl Flash {
    /// The lock for writing, on top of whatever others have written.
    fn writing(&mut self) -> Result<File, Error> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder
            .create(&self.folder)
            .map_err(failed("make the token's directory"))?;
        let lock = self.lock(true)?;
        if self.path("journal").exists() {
            self.refresh_locked()?;
        } else {
            self.forget();
            self.state = None;
        }
        Ok(lock)
    }
}

fn found(stored: &Stored, kind: AttributeKind) -> Option<&Value<'static>> {
    stored
        .attributes
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, value)| value)
}

fn is_class(stored: &Stored, class: Class) -> bool {
    found(stored, AttributeKind::Class) == Some(&Value::Number(class.number()))
}

/// An object as programs see it. `secret` is the value of a private data object.
fn object(place: Place, stored: &Stored, secret: Option<Zeroizing<Vec<u8>>>) -> Option<Object> {
    use AttributeKind as A;
    let bytes = |kind| found(stored, kind).and_then(Value::as_bytes);
    let flag = |kind| found(stored, kind) == Some(&Value::Flag(true));
    let public = || PublicKey::from_spki_der(bytes(A::PublicKeyInfo)?).ok();
    let mut attributes = stored.attributes.clone();
    let content = if is_class(stored, Class::PrivateKey) {
        Content::PrivateKey {
            curve: curve_of_parameters(bytes(A::EcParams)?)?,
            sign: flag(A::Sign),
            derive: flag(A::Derive),
            public: Some(public()?),
        }
    } else if is_class(stored, Class::PublicKey) {
        Content::PublicKey(public()?)
    } else if is_class(stored, Class::Certificate) {
        attributes.retain(|(kind, _)| *kind != A::Value);
        Content::Certificate {
            certificate: Certificate::parse(bytes(A::Value)?).ok()?,
            authority: false,
        }
    } else if is_class(stored, Class::Data) {
        if let Some(secret) = secret.filter(|_| flag(A::Private)) {
            attributes.push((A::Value, Value::from(secret.to_vec())));
        }
        Content::Data
    } else {
        return None;
    };
    if found(stored, A::Local) == Some(&Value::Flag(false)) {
        attributes.push((A::KeyGenMechanism, Value::Number(limits::UNAVAILABLE)));
    }
    for kind in [A::Modifiable, A::Copyable] {
        attributes.push((kind, Value::Flag(false)));
    }
    Some(Object {
        naming: NO_NAME,
        place,
        content,
        attributes,
    })
}
