//! The objects of one token by handle, with their indexes: those that it keeps, and those of this program's sessions.
//!
//! An object that is still the same after the token was read again keeps its handle; a handle is never given twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Contents, Damage, Found, Place};
use crate::error::Error;
use crate::index::{Candidates, Index};
use crate::object::computed::complete;
use crate::object::{Handle, Home, Object};

/// The handles of one application, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct Handles(AtomicU64);

impl Handles {
    /// One that nothing has had.
    pub(crate) fn next(&self) -> Handle {
        Handle(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// All objects of a token.
pub(crate) struct Table {
    handles: Arc<Handles>,
    /// Up to which commit the token was read; nothing was read yet.
    generation: Option<u64>,
    objects: BTreeMap<Handle, Arc<Object>>,
    places: HashMap<Place, Vec<Handle>>,
    index: Index,
    damaged: Vec<Damage>,
}

impl Table {
    pub(crate) fn new(handles: Arc<Handles>) -> Self {
        Self {
            handles,
            generation: None,
            objects: BTreeMap::new(),
            places: HashMap::new(),
            index: Index::default(),
            damaged: Vec::new(),
        }
    }

    pub(crate) const fn generation(&self) -> Option<u64> {
        self.generation
    }

    pub(crate) const fn set_generation(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// The token is to be read again before it is next used; its objects are gone.
    pub(crate) fn forget(&mut self) {
        self.generation = None;
        self.retain(|object| !matches!(object.home, Home::Token(_)));
    }

    pub(crate) fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// What the token holds now.
    pub(crate) fn load(&mut self, contents: Contents, generation: u64) {
        let mut known = core::mem::take(&mut self.places);
        let mut kept = Vec::with_capacity(contents.objects.len());
        for found in contents.objects {
            let handles = known.entry(found.place).or_default();
            let same = handles.iter().position(|handle| {
                self.objects
                    .get(handle)
                    .is_some_and(|object| object.is(&found.attributes))
            });
            kept.push((same.map(|at| handles.swap_remove(at)), found));
        }
        for gone in known.into_values().flatten() {
            self.remove(gone);
        }
        for (handle, found) in kept {
            match handle {
                Some(handle) => self.keep(handle, found),
                None => {
                    self.insert_found(found);
                }
            }
        }
        if self.generation.is_none() {
            self.add_profiles();
        }
        self.damaged = contents.damaged;
        self.generation = Some(generation);
    }

    /// What a program may expect of every token here (PKCS #11 Profiles v3.1).
    fn add_profiles(&mut self) {
        let known = self.objects.values().any(|object| object.home == Home::Library);
        for profile in PROFILES.into_iter().filter(|_| !known) {
            let handle = self.handles.next();
            let attributes = Arc::new(profile_attributes(profile));
            self.insert(Object::new(handle, Home::Library, attributes, &[]));
        }
    }

    /// The same object under its old handle.
    fn keep(&mut self, handle: Handle, found: Found) {
        self.places.entry(found.place).or_default().push(handle);
        let Some(object) = self.objects.get(&handle) else {
            return;
        };
        if !Arc::ptr_eq(object.shared_attributes(), &found.attributes) {
            let changed = object.changed(completed(found).attributes);
            self.replace(changed);
        }
    }

    /// The handle of an object that is there as it was found.
    pub(crate) fn handle_of(&self, found: &Found) -> Option<Handle> {
        let mut handles = self.places.get(&found.place)?.iter().rev();
        let same = handles.find(|handle| {
            self.objects
                .get(handle)
                .is_some_and(|object| object.is(&found.attributes))
        });
        same.copied()
    }

    /// Adds a token object.
    pub(crate) fn insert_found(&mut self, found: Found) -> Handle {
        let found = completed(found);
        let handle = self.handles.next();
        self.places.entry(found.place).or_default().push(handle);
        let home = Home::Token(found.place);
        self.insert(Object::new(handle, home, found.attributes, found.aliases));
        handle
    }

    /// Adds an object.
    pub(crate) fn insert(&mut self, object: Object) {
        self.index.add(&object);
        self.objects.insert(object.handle, Arc::new(object));
    }

    /// Puts a changed object in the place of the old one.
    pub(crate) fn replace(&mut self, object: Object) {
        if let Some(old) = self.objects.get(&object.handle) {
            self.index.remove(old);
        }
        self.insert(object);
    }

    /// Takes an object away.
    pub(crate) fn remove(&mut self, handle: Handle) {
        let Some(object) = self.objects.remove(&handle) else {
            return;
        };
        self.index.remove(&object);
        if let Home::Token(place) = object.home
            && let Some(handles) = self.places.get_mut(&place)
        {
            handles.retain(|known| *known != handle);
        }
    }

    /// Takes away what does not stay; says what went.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Object) -> bool) -> Vec<Handle> {
        let goes = self.objects.values().filter(|object| !stays(object));
        let gone: Vec<_> = goes.map(|object| object.handle).collect();
        for handle in &gone {
            self.remove(*handle);
        }
        gone
    }

    /// Every object.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// The object behind a handle.
    pub(crate) fn object(&self, handle: Handle) -> Result<&Arc<Object>, Error> {
        self.objects.get(&handle).ok_or(Error::ObjectHandleInvalid)
    }

    /// The objects that have every attribute of the template and may be seen, in the order of their handles.
    pub(crate) fn find(&self, template: &[Attribute<'_>], seen: impl Fn(&Object) -> bool) -> Vec<Handle> {
        let matching = |object: &&Arc<Object>| seen(object) && object.matches(template);
        match self.index.candidates(template) {
            Candidates::None => Vec::new(),
            Candidates::These(handles) => {
                let objects = handles.iter().filter_map(|handle| self.objects.get(handle));
                objects.filter(matching).map(|object| object.handle).collect()
            }
            Candidates::All => self
                .objects
                .values()
                .filter(matching)
                .map(|object| object.handle)
                .collect(),
        }
    }
}

/// `CKP_BASELINE_PROVIDER`, `CKP_EXTENDED_PROVIDER`, `CKP_AUTHENTICATION_TOKEN`, `CKP_PUBLIC_CERTIFICATES_TOKEN`.
const PROFILES: [u64; 4] = [1, 2, 3, 4];

fn profile_attributes(profile: u64) -> Attributes {
    let flag = |kind, flag| Attribute::new(kind, Value::Flag(flag));
    let mut attributes: Attributes = [
        Attribute::class(Class::Profile),
        flag(AttributeKind::Token, true),
        flag(AttributeKind::Modifiable, false),
        flag(AttributeKind::Copyable, false),
        flag(AttributeKind::Destroyable, false),
        Attribute::new(AttributeKind::ProfileId, Value::Number(profile)),
        Attribute::new(
            AttributeKind::UniqueId,
            Value::from(std::format!("profile {profile}").into_bytes()),
        ),
    ]
    .into_iter()
    .collect();
    complete(&mut attributes);
    attributes
}

/// A backend need not say what is the same for all objects of a class.
fn completed(mut found: Found) -> Found {
    if found.attributes.value(AttributeKind::Destroyable).is_none() {
        let mut attributes = Attributes::clone(&found.attributes);
        attributes.set_default(AttributeKind::Token, Value::Flag(true));
        complete(&mut attributes);
        found.attributes = Arc::new(attributes);
    }
    found
}
