//! Buckets: directories and stores that the operator gave a name, as AWS's callers name buckets.
//!
//! Callers can only name what stands in the operator's configuration; where it is, and with which key it is opened, they
//! never say.

mod config;
mod directory;
mod store;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use config::{BucketConfig, StoreConfig};
pub(crate) use config::{BucketPlan, plan};
pub(crate) use store::Store;

use crate::error::Error;

/// A bucket that can be read.
#[derive(Clone)]
pub(crate) enum Bucket {
    /// A directory.
    Directory(PathBuf),
    /// A store.
    Store(Arc<Store>),
}

/// Where the lines of a task come from.
pub(crate) enum Source {
    /// A file that is open.
    File(File),
    /// An object that is still to be brought.
    Object(Arc<Store>, String),
}

impl Bucket {
    /// What is under a key; a file is opened at once, an object when it is read.
    pub(crate) fn find(&self, key: &str) -> std::io::Result<Source> {
        match self {
            Self::Directory(directory) => directory::open(directory, key).map(Source::File),
            Self::Store(store) => Ok(Source::Object(store.clone(), key.to_owned())),
        }
    }
}

/// Opens every bucket; nobody is called yet.
pub(crate) fn open_all(
    plans: &BTreeMap<String, BucketPlan>,
    data_dir: &Path,
) -> Result<BTreeMap<String, Bucket>, Error> {
    let opened = plans.iter().map(|(name, plan)| {
        let bucket = match plan {
            BucketPlan::Directory(path) => Bucket::Directory(path.clone()),
            BucketPlan::Store(plan) => Bucket::Store(Arc::new(Store::open(plan, data_dir)?)),
        };
        Ok((name.clone(), bucket))
    });
    opened.collect()
}
