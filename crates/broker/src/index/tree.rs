//! Filters with wildcards as a tree of levels. A branch is cut off when its last subscription ends.
//!
//! Depth is bounded by the limit on slashes, which is checked before a filter comes here; so is the recursion.

use std::collections::BTreeMap;

use mqtt::{Matching, TopicName};

use super::leaf::{Leaf, Matched};

#[derive(Debug, Default)]
pub(crate) struct Tree {
    children: BTreeMap<Box<str>, Self>,
    any_level: Option<Box<Self>>,
    /// Filters that end with this level.
    here: Leaf,
    /// Filters that end with `#` after this level.
    beneath: Leaf,
}

impl Tree {
    /// The place of a filter, made if it is not there.
    pub(crate) fn at(&mut self, filter: &str) -> &mut Leaf {
        let mut tree = self;
        for level in filter.split('/') {
            tree = match level {
                "#" => return &mut tree.beneath,
                "+" => tree.any_level.get_or_insert_default(),
                _ => tree.children.entry(level.into()).or_default(),
            };
        }
        &mut tree.here
    }

    /// Changes the place of a filter, if it is there, and cuts off what is empty then.
    pub(crate) fn change(&mut self, filter: &str, change: &mut dyn FnMut(&mut Leaf)) {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        if level == "#" {
            return change(&mut self.beneath);
        }
        let Some(child) = self.child_mut(level) else {
            return;
        };
        match rest {
            Some(rest) => child.change(rest, change),
            None => change(&mut child.here),
        }
        if child.is_empty() {
            match level {
                "+" => self.any_level = None,
                _ => drop(self.children.remove(level)),
            }
        }
    }

    fn child_mut(&mut self, level: &str) -> Option<&mut Self> {
        match level {
            "+" => self.any_level.as_deref_mut(),
            _ => self.children.get_mut(level),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any_level.is_none()
            && self.here.is_empty()
            && self.beneath.is_empty()
    }

    /// Shows every place beneath the levels of `path`, with its filter.
    pub(crate) fn walk(&self, path: &mut String, show: &mut dyn FnMut(&str, &Leaf)) {
        let before = path.len();
        let children = self.children.iter().map(|(level, child)| (&**level, child));
        for (level, child) in children.chain(self.any_level.as_deref().map(|child| ("+", child))) {
            path.push_str(level);
            show(path, &child.here);
            path.push('/');
            child.walk(path, show);
            path.truncate(before);
        }
        path.push('#');
        show(path, &self.beneath);
        path.truncate(before);
    }

    /// Adds every subscription that a message on `topic` matches, in no order, one session perhaps more than once.
    pub(crate) fn matches(&self, topic: TopicName<'_>, matching: Matching, matched: &mut Matched) {
        if !topic.is_reserved() {
            return self.collect(topic.as_str(), matching, matched);
        }
        // A filter that begins with a wildcard does not match a topic that begins with $ ([MQTT-4.7.2-1]).
        let (level, rest) = split(topic.as_str());
        if let Some(child) = self.children.get(level) {
            child.collect_rest(rest, matching, matched);
        }
    }

    fn collect(&self, levels: &str, matching: Matching, matched: &mut Matched) {
        self.beneath.collect(matched);
        let (level, rest) = split(levels);
        for child in [self.children.get(level), self.any_level.as_deref()]
            .into_iter()
            .flatten()
        {
            child.collect_rest(rest, matching, matched);
        }
    }

    fn collect_rest(&self, rest: Option<&str>, matching: Matching, matched: &mut Matched) {
        match rest {
            Some(rest) => self.collect(rest, matching, matched),
            None => {
                self.here.collect(matched);
                if matching == Matching::Standard {
                    self.beneath.collect(matched);
                }
            }
        }
    }
}

fn split(levels: &str) -> (&str, Option<&str>) {
    match levels.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (levels, None),
    }
}
