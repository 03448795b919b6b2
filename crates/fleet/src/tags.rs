//! Tags: one check of a list of them, TagResource and UntagResource.

use crate::batch::Record;
use crate::call::{Call, Decision};
use crate::limits::{TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::record::Tag;
use crate::refusal::{Exception, Refusal};

/// The tags of a resource after more were put on it: a key that is there already gets the new value.
pub fn added(old: &[Tag], new: Vec<Tag>) -> Result<Vec<Tag>, Refusal> {
    check(&new)?;
    let mut tags: Vec<Tag> = old
        .iter()
        .filter(|tag| !new.iter().any(|other| other.key == tag.key))
        .cloned()
        .collect();
    tags.extend(new);
    if tags.len() > TAGS_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.tags.limit",
            format!(
                "the resource would have {} tags, more than {TAGS_MAX}",
                tags.len()
            ),
        )
        .hint("take some off first (UntagResource)"));
    }
    Ok(tags)
}

/// The tags of a resource after those with these keys were taken off.
pub fn removed(old: &[Tag], keys: &[String]) -> Vec<Tag> {
    old.iter()
        .filter(|tag| !keys.contains(&tag.key))
        .cloned()
        .collect()
}

/// What TagResource and UntagResource keep: the record with its new tags in the place of the one that was read.
pub fn retagged(call: &Call, arn: &str, record: Record, version: u64) -> Decision<()> {
    let mut batch = call.batch();
    batch.audit.push(call.entry("resource.tag", arn, ""));
    batch.replace(record, version);
    Decision {
        batch,
        events: Vec::new(),
        reply: (),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn tags_are_put_on_changed_and_taken_off() {
        let old = [tag("a", "1"), tag("b", "2")];
        let new = added(&old, vec![tag("b", "3"), tag("c", "")]).unwrap();
        assert_eq!(new, [tag("a", "1"), tag("b", "3"), tag("c", "")]);
        assert_eq!(removed(&new, &["a".to_owned(), "x".to_owned()]), new[1..]);
    }

    #[test]
    fn a_resource_has_fifty_tags_and_no_more() {
        let many: Vec<_> = (0..50).map(|number| tag(&number.to_string(), "")).collect();
        assert!(check(&many).is_ok());
        assert!(added(&many, vec![tag("7", "again")]).is_ok());
        assert!(added(&many, vec![tag("50", "")]).is_err());
    }

    #[test]
    fn keys_and_values_have_their_lengths() {
        assert!(check(&[tag(&"k".repeat(128), &"v".repeat(256))]).is_ok());
        for bad in [tag("", ""), tag(&"k".repeat(129), ""), tag("k", &"v".repeat(257))] {
            assert!(check(&[bad]).is_err());
        }
        assert!(check(&[tag("k", "1"), tag("k", "2")]).is_err());
    }
}
