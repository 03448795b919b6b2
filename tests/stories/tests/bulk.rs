//! A file of devices becomes things, line by line, from a directory that the operator named and from nowhere else.
#![forbid(unsafe_code)]

use std::fs;

use stories::{Cloud, Python, birthmark, tool};

#[test]
fn a_file_of_devices_is_registered_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let (bucket, config) = (folder.path().join("bucket"), folder.path().join("birthmark.toml"));
    fs::create_dir(&bucket).unwrap();
    fs::write(&config, format!("[buckets]\nfleet = {bucket:?}\n")).unwrap();
    let cloud = Cloud::start(
        &folder.path().join("cloud"),
        &["--config", config.to_str().unwrap()],
    );
    if let Some(python) = Python::of(&cloud) {
        let _ = python.with("BUCKET", bucket.to_str().unwrap()).runs("tasks");
    }
}

#[test]
fn a_task_that_was_killed_with_its_server_is_started_again() {
    let Some(python) = Python::alone() else { return };
    if tool("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _ = python
        .with("FOLDER", &folder.path().display().to_string())
        .with("BIRTHMARK", &birthmark().get_program().display().to_string())
        .runs("task_kill");
}
