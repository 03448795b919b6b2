//! Searches.

use std::vec::Vec;

use super::Application;
use crate::attribute::Attribute;
use crate::error::Error;
use crate::limits::TEMPLATE_ATTRIBUTES_MAX;
use crate::object::{Handle, Object};
use crate::session::Open;
use crate::session::operation::Kind;

impl Application {
    /// Begins a search. `None` is a template that nothing can match.
    pub fn find_init(&self, session: u64, template: Option<&[Attribute<'_>]>) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().is_active(Kind::Find) {
            return Err(Error::OperationActive);
        }
        let found = match template {
            Some(template) => self.found(&session, template)?,
            None => Vec::new(),
        };
        session.operations().find = Some(found.into());
        Ok(())
    }

    /// A whole search at once, beside whatever runs in the session.
    pub(crate) fn find_at_once(
        &self,
        session: u64,
        template: &[Attribute<'_>],
    ) -> Result<Vec<Handle>, Error> {
        let session = self.session(session)?;
        self.found(&session, template)
    }

    /// The objects that the session may see and that have every attribute of the template.
    pub(crate) fn found(&self, session: &Open, template: &[Attribute<'_>]) -> Result<Vec<Handle>, Error> {
        if template.len() > TEMPLATE_ATTRIBUTES_MAX {
            return Err(Error::ArgumentsBad("too many attributes in one template"));
        }
        let slot = self.of(session)?;
        slot.token.follow()?;
        let sees_private = slot.sees_private();
        let seen = |object: &Object| sees_private || !object.is_private();
        Ok(slot.token.table().find(template, seen))
    }

    /// The next objects that were found, as many as there is room for; says how many.
    pub fn find(&self, session: u64, room: &mut [u64]) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let found = operations.find.as_mut().ok_or(Error::OperationNotInitialized)?;
        let mut count = 0;
        for (place, handle) in room.iter_mut().zip(core::iter::from_fn(|| found.pop_front())) {
            *place = handle.0;
            count += 1;
        }
        Ok(count)
    }

    /// Ends a search.
    pub fn find_final(&self, session: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        let ended = session.operations().find.take();
        ended.map(|_| ()).ok_or(Error::OperationNotInitialized)
    }
}
