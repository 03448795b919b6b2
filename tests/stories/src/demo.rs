//! One run of `birthmark demo` that all its chapters read.
//!
//! A runner that gives each test its own process makes them share the run through a file, kept for one test run.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{birthmark, run};

/// Devices of the run.
pub const DEVICES: u64 = 20;

/// What the demo said and left behind.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The object that it printed.
    pub story: Value,
    /// The folder that it kept.
    pub kept: PathBuf,
}

/// The run, made by whoever asks first.
#[track_caller]
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(shared)
}

fn shared() -> Demo {
    let run_id = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("pid-{}", std::process::id()));
    let folder = std::env::temp_dir().join("birthmark-stories").join(run_id);
    fs::create_dir_all(&folder).unwrap();
    let (kept, answer) = (folder.join("kept"), folder.join("answer.json"));
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !answer.exists() {
        let mut command = birthmark();
        command
            .args(["demo", "--json", "--devices", &DEVICES.to_string(), "--keep"])
            .arg(&kept);
        fs::write(&answer, run(&mut command).well().stdout).unwrap();
    }
    let story = serde_json::from_slice(&fs::read(&answer).unwrap()).expect("one JSON object");
    Demo { story, kept }
}
