//! Pages of lists on the wire: the two styles of AWS IoT, read and written in one place.
//!
//! It stands between the list operations and `fleet::page`. Certificates and policies use `pageSize` and `marker` and may
//! be asked for in either order; everything else uses `maxResults` and `nextToken`, oldest first.

use fleet::page::{Marker, Page, PageRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::ApiFault;
use super::render::{Answer, object};

/// The members of a list request that say which page; flattened into the operation's own.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pages {
    max_results: Option<i64>,
    next_token: Option<String>,
    page_size: Option<i64>,
    marker: Option<String>,
    #[serde(default, alias = "ascendingOrder")]
    is_ascending_order: bool,
}

impl Pages {
    /// `maxResults` and `nextToken`.
    pub(super) fn tokens(&self) -> Result<PageRequest, ApiFault> {
        Ok(PageRequest::parse(
            self.max_results,
            self.next_token.as_deref(),
            true,
        )?)
    }

    /// `pageSize`, `marker` and `isAscendingOrder`.
    pub(super) fn markers(&self) -> Result<PageRequest, ApiFault> {
        Ok(PageRequest::parse(
            self.page_size,
            self.marker.as_deref(),
            self.is_ascending_order,
        )?)
    }
}

/// A page whose next one is found by `nextToken`.
pub(super) fn by_token<T>(member: &str, page: &Page<T>, show: impl Fn(&T) -> Value) -> Answer {
    shown(member, page, "nextToken", show)
}

/// A page whose next one is found by `nextMarker`.
pub(super) fn by_marker<T>(member: &str, page: &Page<T>, show: impl Fn(&T) -> Value) -> Answer {
    shown(member, page, "nextMarker", show)
}

/// The part of a short list, all of which is at hand, that a page asks for.
pub(super) fn part<T>(items: Vec<T>, request: PageRequest) -> Page<T> {
    let skipped = request.after.map_or(0, |marker| marker.0);
    let skip = usize::try_from(skipped).unwrap_or(usize::MAX);
    let size = usize::from(request.size);
    let more = items.len() > skip.saturating_add(size);
    let next = more.then(|| Marker(skipped.saturating_add(u64::from(request.size))));
    Page {
        items: items.into_iter().skip(skip).take(size).collect(),
        next,
    }
}

fn shown<T>(member: &str, page: &Page<T>, next: &str, show: impl Fn(&T) -> Value) -> Answer {
    let items: Vec<Value> = page.items.iter().map(show).collect();
    object(json!({ member: items, next: page.next.map(|marker| marker.to_token()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: u64, after: u64, size: u16, expected: &[u64], next: Option<u64>) {
        let request = PageRequest {
            after: (after > 0).then_some(Marker(after)),
            size,
            ascending: true,
        };
        let page = part((1..=items).collect(), request);
        assert_eq!(
            (page.items.as_slice(), page.next),
            (expected, next.map(Marker)),
            "{items} items behind {after}"
        );
    }

    #[test]
    fn short_lists_are_shown_in_parts() {
        check(3, 0, 5, &[1, 2, 3], None);
        check(3, 0, 2, &[1, 2], Some(2));
        check(3, 2, 2, &[3], None);
        check(2, 0, 2, &[1, 2], None);
        check(2, 9, 2, &[], None);
        check(2, u64::MAX, 2, &[], None);
    }
}
