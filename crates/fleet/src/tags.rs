//! One check of a list of tags.

use crate::limits::{TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::record::Tag;
use crate::refusal::{Exception, Refusal};

/// Refuses too many tags, too long ones and a key that comes twice.
pub(crate) fn check(tags: &[Tag]) -> Result<(), Refusal> {
    let fits = |tag: &Tag| {
        (1..=TAG_KEY_BYTES_MAX).contains(&tag.key.len()) && tag.value.len() <= TAG_VALUE_BYTES_MAX
    };
    let why = if tags.len() > TAGS_MAX {
        "there are more than 50"
    } else if !tags.iter().all(fits) {
        "a key has 1 to 128 bytes and a value at most 256"
    } else if tags
        .iter()
        .enumerate()
        .any(|(at, tag)| tags.iter().take(at).any(|other| other.key == tag.key))
    {
        "a key is given twice"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.tags",
        format!("the tags cannot be used: {why}"),
    ))
}
