//! Pages of lists: how many, from where, in which direction.
//!
//! Every list is in the order in which its records were made, so a marker is the place of the last item shown. Markers are
//! opaque to callers; a marker that was not made here is refused.

use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::refusal::{Exception, Refusal};

/// The place after which a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker(pub u64);

impl Marker {
    /// The marker as callers see it.
    pub fn to_token(self) -> String {
        format!("m1-{:x}-{:02x}", self.0, self.check())
    }

    /// Reads a marker that a caller sent back.
    pub fn parse(token: &str) -> Result<Self, Refusal> {
        token
            .strip_prefix("m1-")
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(place, _)| u64::from_str_radix(place, 16).ok())
            .filter(|place| i64::try_from(*place).is_ok())
            .map(Self)
            .filter(|marker| marker.to_token() == token)
            .ok_or_else(|| {
                Refusal::new(
                    Exception::InvalidRequest,
                    "fleet.page.marker",
                    "the marker was not made by this server",
                )
                .hint("start again without a marker")
            })
    }

    fn check(self) -> u8 {
        self.0
            .to_le_bytes()
            .iter()
            .fold(0x5a, |sum, byte| sum.rotate_left(1) ^ byte)
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at most.
    pub size: u16,
    /// The last item of the page before.
    pub after: Option<Marker>,
    /// Oldest first.
    pub ascending: bool,
}

impl PageRequest {
    /// Checks a page request from outside.
    pub fn parse(size: Option<i64>, marker: Option<&str>, ascending: bool) -> Result<Self, Refusal> {
        let size = match size {
            None => PAGE_ITEMS_DEFAULT,
            Some(size) => u16::try_from(size)
                .ok()
                .filter(|size| (1..=PAGE_ITEMS_MAX).contains(size))
                .ok_or_else(|| {
                    Refusal::new(
                        Exception::InvalidRequest,
                        "fleet.page.size",
                        format!("a page cannot have {size} items"),
                    )
                    .hint("ask for 1 to 250 items")
                })?,
        };
        let after = marker.map(Marker::parse).transpose()?;
        Ok(Self {
            size,
            after,
            ascending,
        })
    }

    /// The first page of the default size, oldest first.
    pub fn first() -> Self {
        Self {
            size: PAGE_ITEMS_DEFAULT,
            after: None,
            ascending: true,
        }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Marker>,
}

impl<T> Page<T> {
    /// Turns each item into what is shown.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(show).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_read_back_and_others_refused() {
        for place in [0, 1, 255, 1 << 40] {
            assert_eq!(Marker::parse(&Marker(place).to_token()).unwrap(), Marker(place));
        }
        for bad in [
            "",
            "m1-",
            "m1-1",
            "m1-1-00",
            "5",
            "m1-ffffffffffffffff-5a",
            "m1-01-5b",
        ] {
            assert!(Marker::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_1_to_250_items() {
        for good in [1, 250] {
            assert!(PageRequest::parse(Some(good), None, true).is_ok());
        }
        for bad in [0, 251, -1, 1 << 40] {
            assert!(PageRequest::parse(Some(bad), None, true).is_err(), "{bad}");
        }
    }
}
