//! Where to look first: handles by label, by identifier and by class, so that a search touches a few objects and not all.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::vec::Vec;

use crate::attribute::{Attribute, AttributeKind, Class};
use crate::object::{Handle, Object};

type ByBytes = HashMap<Vec<u8>, BTreeSet<Handle>>;

/// The indexes of one token's objects.
#[derive(Default)]
pub(crate) struct Index {
    labels: ByBytes,
    ids: ByBytes,
    classes: HashMap<Class, BTreeSet<Handle>>,
}

/// Where a search looks.
pub(crate) enum Candidates<'a> {
    /// At these.
    These(&'a BTreeSet<Handle>),
    /// Nothing can match.
    None,
    /// At everything.
    All,
}

impl Index {
    /// Adds an object.
    pub(crate) fn add(&mut self, object: &Object) {
        for label in labels(object) {
            self.labels
                .entry(label.to_vec())
                .or_default()
                .insert(object.handle);
        }
        if let Some(id) = id(object) {
            self.ids.entry(id.to_vec()).or_default().insert(object.handle);
        }
        self.classes
            .entry(object.class())
            .or_default()
            .insert(object.handle);
    }

    /// Takes an object away.
    pub(crate) fn remove(&mut self, object: &Object) {
        for label in labels(object) {
            drop_one(&mut self.labels, label, object.handle);
        }
        if let Some(id) = id(object) {
            drop_one(&mut self.ids, id, object.handle);
        }
        if let Some(handles) = self.classes.get_mut(&object.class()) {
            handles.remove(&object.handle);
        }
    }

    /// The fewest objects that this template can match.
    pub(crate) fn candidates(&self, template: &[Attribute<'_>]) -> Candidates<'_> {
        let lines = || template.iter().filter_map(|wanted| self.of(wanted));
        let fewest = lines().min_by_key(|handles| handles.map_or(0, BTreeSet::len));
        match fewest {
            Some(Some(handles)) => Candidates::These(handles),
            Some(None) => Candidates::None,
            None => Candidates::All,
        }
    }

    /// What the index knows of one line; `None` if there is no index for it.
    fn of(&self, wanted: &Attribute<'_>) -> Option<Option<&BTreeSet<Handle>>> {
        match wanted.kind {
            AttributeKind::Label => Some(self.labels.get(wanted.value.as_bytes()?)),
            AttributeKind::Id => Some(self.ids.get(wanted.value.as_bytes()?)),
            AttributeKind::Class => {
                let class = Class::from_number(wanted.value.as_number()?);
                Some(class.and_then(|class| self.classes.get(&class)))
            }
            _ => None,
        }
    }
}

fn labels(object: &Object) -> impl Iterator<Item = &[u8]> {
    let label = object.attributes().bytes(AttributeKind::Label);
    let aliases = object.aliases().iter().map(|alias| alias.as_bytes());
    label.into_iter().chain(aliases)
}

fn id(object: &Object) -> Option<&[u8]> {
    object.attributes().bytes(AttributeKind::Id)
}

fn drop_one(index: &mut ByBytes, bytes: &[u8], handle: Handle) {
    if let Entry::Occupied(mut entry) = index.entry(bytes.to_vec()) {
        entry.get_mut().remove(&handle);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}
