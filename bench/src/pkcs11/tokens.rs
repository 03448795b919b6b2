//! The tokens of one module as the bench needs them: an empty one with a key, and a full one with the same and many objects.

use std::path::Path;

use cryptoki_sys::{
    CKA_CLASS, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ID, CKA_KEY_TYPE, CKA_LABEL, CKA_PRIVATE, CKA_SIGN,
    CKA_TOKEN, CKA_VERIFY, CKK_EC, CKO_PUBLIC_KEY,
};

use super::module::{Line, Module, Object, Session, Template};
use crate::Outcome;

/// prime256v1.
const CURVE: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const YES: &[u8] = &[1];
const NO: &[u8] = &[0];
const EMPTY: &str = "empty";
const FULL: &str = "full";

/// A module with its two tokens, and a key in each.
pub(super) struct Tokens {
    pub(super) name: String,
    pub(super) module: Module,
    pub(super) empty: Signer,
    pub(super) full: Signer,
    pub(super) objects: u32,
    empty_slot: u64,
}

/// A logged-in session and a key in its token.
#[derive(Clone, Copy)]
pub(super) struct Signer {
    pub(super) session: Session,
    pub(super) key: Object,
}

fn label(number: u32) -> String {
    format!("object {number}")
}

/// The lines that find one of the many.
pub(super) struct Wanted {
    label: String,
    id: [u8; 4],
    class: [u8; 8],
}

impl Wanted {
    pub(super) fn new(number: u32) -> Self {
        Self {
            label: label(number),
            id: number.to_be_bytes(),
            class: CKO_PUBLIC_KEY.to_ne_bytes(),
        }
    }

    pub(super) fn by_label(&self) -> Template<'_> {
        Template::new(&[Line(CKA_LABEL, self.label.as_bytes())])
    }

    pub(super) fn by_class_and_id(&self) -> Template<'_> {
        Template::new(&[Line(CKA_CLASS, &self.class), Line(CKA_ID, &self.id)])
    }
}

impl Tokens {
    /// Makes both tokens, and `objects` in the full one.
    pub(super) fn make(name: &str, library: &Path, objects: u32) -> Outcome<Self> {
        let module = Module::load(library)?;
        module.make_token(EMPTY)?;
        module.make_token(FULL)?;
        let empty = signer(&module, EMPTY)?;
        let full = signer(&module, FULL)?;
        for number in 0..objects {
            public_key(&module, full.session, number)?;
        }
        let empty_slot = module.slot(EMPTY)?;
        Ok(Self {
            name: name.to_owned(),
            module,
            empty,
            full,
            objects,
            empty_slot,
        })
    }

    /// Another session beside the first, which is logged in with it.
    pub(super) fn another(&self) -> Outcome<Signer> {
        Ok(Signer {
            session: self.module.open(self.empty_slot)?,
            key: self.empty.key,
        })
    }

    pub(super) fn open_and_close(&self) -> Outcome<()> {
        self.module.close(self.module.open(self.empty_slot)?)
    }

    /// A key pair that lasts, and its end.
    pub(super) fn make_and_destroy_pair(&self) -> Outcome<()> {
        let (public, private) = pair(&self.module, self.empty.session, "short-lived")?;
        self.module.destroy(self.empty.session, public)?;
        self.module.destroy(self.empty.session, private)
    }

    /// Seconds from a fresh start until an object of the full token is found.
    pub(super) fn reopen(&mut self) -> Outcome<f64> {
        self.module.finalize()?;
        let start = std::time::Instant::now();
        self.module.initialize()?;
        let session = self.module.open(self.module.slot(FULL)?)?;
        let wanted = Wanted::new(self.objects / 2);
        let (found, _) = self.module.find(session, &mut wanted.by_label())?;
        if found != 1 {
            return Err("an object that was made is not there".into());
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn signer(module: &Module, label: &str) -> Outcome<Signer> {
    let session = module.open(module.slot(label)?)?;
    module.login_user(session)?;
    let (_, key) = pair(module, session, "signs")?;
    Ok(Signer { session, key })
}

fn pair(module: &Module, session: Session, label: &str) -> Outcome<(Object, Object)> {
    let public = [
        Line(CKA_TOKEN, YES),
        Line(CKA_PRIVATE, NO),
        Line(CKA_VERIFY, YES),
        Line(CKA_EC_PARAMS, CURVE),
        Line(CKA_LABEL, label.as_bytes()),
        Line(CKA_ID, b"pair"),
    ];
    let private = [
        Line(CKA_TOKEN, YES),
        Line(CKA_PRIVATE, YES),
        Line(CKA_SIGN, YES),
        Line(CKA_LABEL, label.as_bytes()),
        Line(CKA_ID, b"pair"),
    ];
    module.generate(session, &public, &private)
}

/// One of the many: a public key, whose point is the curve's generator.
fn public_key(module: &Module, session: Session, number: u32) -> Outcome<Object> {
    let (class, kind) = (CKO_PUBLIC_KEY.to_ne_bytes(), CKK_EC.to_ne_bytes());
    let (label, id) = (label(number), number.to_be_bytes());
    let template = [
        Line(CKA_CLASS, &class),
        Line(CKA_KEY_TYPE, &kind),
        Line(CKA_TOKEN, YES),
        Line(CKA_PRIVATE, NO),
        Line(CKA_EC_PARAMS, CURVE),
        Line(CKA_EC_POINT, &GENERATOR),
        Line(CKA_LABEL, label.as_bytes()),
        Line(CKA_ID, &id),
    ];
    module.create(session, &template)
}

/// The generator of P-256 in an OCTET STRING (SEC 2, section 2.4.2).
const GENERATOR: [u8; 67] = *b"\x04\x41\x04\
    \x6B\x17\xD1\xF2\xE1\x2C\x42\x47\xF8\xBC\xE6\xE5\x63\xA4\x40\xF2\
    \x77\x03\x7D\x81\x2D\xEB\x33\xA0\xF4\xA1\x39\x45\xD8\x98\xC2\x96\
    \x4F\xE3\x42\xE2\xFE\x1A\x7F\x9B\x8E\xE7\xEB\x4A\x7C\x0F\x9E\x16\
    \x2B\xCE\x33\x57\x6B\x31\x5E\xCE\xCB\xB6\x40\x68\x37\xBF\x51\xF5";
