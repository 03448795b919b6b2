//! PKCS #11 modules side by side: ours, SoftHSM 2, kryoptic, and bare aws-lc-rs, which none of them can beat.
//!
//! All are loaded into one process and take turns in short slices, so that whatever else the machine does hits all of them; what
//! is compared is the CPU time of this process. Each number is the middle one of all rounds. What is used lives in memory, what
//! must last on the disk.

mod measure;
#[expect(unsafe_code, reason = "C functions of modules from elsewhere")]
mod module;
mod peers;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::Outcome;

/// Measures and prints one JSON object. The configurations are in the environment, so the work is done by processes of its own.
pub(crate) fn run(ours: &Path, kryoptic: Option<&Path>) -> Outcome<()> {
    let mut all = Map::new();
    for (what, root) in [("use", memory()), ("last", PathBuf::from("."))] {
        let folder = tempfile::Builder::new()
            .prefix("bench-pkcs11-")
            .tempdir_in(root)?;
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["pkcs11-part", what]);
        for peer in peers::all(ours, kryoptic) {
            let (variable, file) = peer.configure(&std::path::absolute(folder.path())?)?;
            child.env(variable, file).arg(peer.name).arg(peer.library);
        }
        let ended = child.stderr(std::process::Stdio::inherit()).output()?;
        if !ended.status.success() {
            return Err(format!("the part `{what}` ended with {}", ended.status).into());
        }
        let part: Map<String, Value> = serde_json::from_slice(&ended.stdout)?;
        all.extend(part);
    }
    println!("{}", Value::Object(all));
    Ok(())
}

/// A folder that is not on a disk, if there is one.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

/// One part, in a process that was told where the tokens are.
pub(crate) fn part(what: &str, modules: &[&str]) -> Outcome<()> {
    let pairs = modules.chunks_exact(2).filter_map(|pair| match pair {
        [name, library] => Some((*name, Path::new(*library))),
        _ => None,
    });
    let values = match what {
        "use" => measure::using(pairs)?,
        "last" => measure::lasting(pairs)?,
        other => return Err(format!("no such part: {other}").into()),
    };
    println!("{}", Value::Object(values));
    Ok(())
}
