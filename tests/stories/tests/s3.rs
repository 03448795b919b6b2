//! A registration task reads its file from a store that speaks S3 and leaves its reports there; nobody is called who was not
//! named by the operator.
#![forbid(unsafe_code)]

use std::process::Command;

use stories::{Python, birthmark, run, tool};

#[test]
fn a_file_in_a_store_becomes_things_and_its_reports_go_back_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(openssl) = tool("openssl") else { return };
    let mut certificate = Command::new(openssl);
    certificate
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "store.key", "-out", "store.pem"])
        .current_dir(folder.path());
    let _ = run(&mut certificate).well();
    let Some(python) = Python::alone() else { return };
    let program = birthmark().get_program().to_str().unwrap().to_owned();
    let _ = python
        .with("FOLDER", folder.path().to_str().unwrap())
        .with("BIRTHMARK", &program)
        .runs("s3");
}
