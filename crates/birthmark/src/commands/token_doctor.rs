//! `birthmark token doctor`: is there anything that keeps a token from being used, and do the programs of this machine that
//! would use it? It runs them as a person would, with the lines that `birthmark token list --lines` prints.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ::token::{Application, PinState, Status};
use birthmark_pkcs11::config;

use super::{
    token::{application, keys},
    token_callers::{CALLERS, Caller, Key},
};
use crate::{
    args::TokenDoctor,
    exit::{Context, DONE, Failure, REFUSED},
    words::tell,
};

/// Says what is wrong; exit code 1 when something keeps a token from being used.
pub(crate) fn run(typed: &TokenDoctor) -> Result<u8, Failure> {
    let application = application(typed.config.config.as_deref())?;
    let mut broken = false;
    for slot in 0..application.slots() {
        let what = || format!("could not use slot {slot}");
        let (name, _) = application.describe_slot(slot).fault(what)?;
        let status = application.token(slot).map(|(_, status)| status);
        let (fatal, text) = match &status {
            Ok(status) => verdict(status),
            Err(error) => (true, error.to_string()),
        };
        broken |= fatal;
        line(
            if fatal { "BAD" } else { "ok " },
            &format!("slot {slot} ({name}): {text}"),
        )?;
        if let Some(status) = status.ok().filter(|_| !fatal) {
            broken |= programs(typed, &application, slot, &status)?;
        }
    }
    Ok(if broken { REFUSED } else { DONE })
}

fn line(mark: &str, text: &str) -> Result<(), Failure> {
    tell(&format!("{mark} {text}")).fault(|| "could not write to stdout".to_owned())
}

/// Runs what is installed with the first key of a token; whether something failed.
fn programs(
    typed: &TokenDoctor,
    application: &Application,
    slot: usize,
    status: &Status,
) -> Result<bool, Failure> {
    if status.login_required && typed.pin_file.is_none() {
        line("-- ", "no program was run: say --pin-file to have them sign")?;
        return Ok(false);
    }
    let Some(module) = module(typed.module.as_deref()) else {
        line(
            "-- ",
            "no program was run: libbirthmark_pkcs11.so is not beside this program, say --module",
        )?;
        return Ok(false);
    };
    let found = keys(application, slot, &module, typed.pin_file.as_deref())?;
    let Some(key) = found.first() else {
        line("-- ", "no program was run: the token has no private key yet")?;
        return Ok(false);
    };
    let folder = Folder::new()?;
    let mut broken = false;
    for caller in CALLERS {
        broken |= !proven(typed, caller, key, &folder.0)?;
    }
    Ok(broken)
}

/// Where the programs' files go; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let mut random = [0; 8];
        identity::crypto::random(&mut random).fault(|| "the system gives no random bytes".to_owned())?;
        let name = format!("birthmark-doctor-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).fault(|| format!("could not make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears its temporary directory anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the proof of one program; whether it worked or is not there to try.
fn proven(typed: &TokenDoctor, caller: &Caller, key: &Key, folder: &Path) -> Result<bool, Failure> {
    if !is_installed(caller.program) {
        line("-- ", &format!("{}: not installed", caller.name))?;
        return Ok(true);
    }
    if let Some(file) = caller.file {
        let (name, text) = file(key);
        fs::write(folder.join(name), text).fault(|| format!("could not write {name}"))?;
    }
    let proof = (caller.proof)(key);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &proof])
        .current_dir(folder)
        .stdin(Stdio::null());
    if let Some(config) = &typed.config.config {
        let config = std::path::absolute(config).fault(|| "the current directory is gone".to_owned())?;
        shell.env(config::VARIABLE, config);
    }
    let ended = shell.output().fault(|| "could not start sh".to_owned())?;
    if ended.status.success() {
        line("ok ", &format!("{}: works", caller.name))?;
        return Ok(true);
    }
    let said = [ended.stderr, b"\n".to_vec(), ended.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let said: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let said = said
        .iter()
        .find(|line| line.contains("rror"))
        .or_else(|| said.last());
    let why = said.copied().unwrap_or("it said nothing");
    line("BAD", &format!("{}: {why}; what was run: {proof}", caller.name))?;
    Ok(false)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The module that was named, else the one beside this program, else where packages put it.
pub(super) fn module(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return std::path::absolute(named).ok();
    }
    let name = "libbirthmark_pkcs11.so";
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| Some(own.parent()?.join(name)));
    let triplet = format!("/usr/lib/{}-linux-gnu/pkcs11", std::env::consts::ARCH);
    let places = [beside, Some(Path::new(&triplet).join(name))];
    places.into_iter().flatten().find(|path| path.is_file())
}

/// Whether a token can not be used, and what to know about it.
fn verdict(status: &Status) -> (bool, String) {
    let (fatal, text) = match status {
        Status {
            initialized: false, ..
        } => (
            true,
            "it is not initialized: run `birthmark token init`, or any program's C_InitToken",
        ),
        Status {
            login_required: false,
            ..
        } => (false, "it has no login: any local user can sign"),
        Status {
            user_pin: PinState::Absent,
            ..
        } => (
            true,
            "it has no user PIN: the security officer must set one (C_InitPIN)",
        ),
        Status {
            user_pin: PinState::Locked,
            ..
        } => (
            true,
            "the user PIN is locked: the security officer must set a new one (C_InitPIN)",
        ),
        Status {
            user_pin: PinState::FinalTry,
            ..
        } => (false, "one more wrong user PIN locks it"),
        Status {
            officer_pin: PinState::Locked,
            ..
        } => (
            false,
            "the security officer's PIN is locked: a lost user PIN can not be replaced",
        ),
        _ => (false, "it is ready"),
    };
    (fatal, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_can_not_use_is_bad() {
        let status = |initialized, login_required, user_pin| Status {
            label: String::new(),
            initialized,
            login_required,
            write_protected: false,
            user_pin,
            officer_pin: PinState::Set,
        };
        for (status, fatal, word) in [
            (status(false, true, PinState::Absent), true, "not initialized"),
            (status(true, true, PinState::Absent), true, "no user PIN"),
            (status(true, true, PinState::Locked), true, "locked"),
            (status(true, true, PinState::FinalTry), false, "one more"),
            (
                status(true, false, PinState::Absent),
                false,
                "any local user can sign",
            ),
            (status(true, true, PinState::Set), false, "ready"),
        ] {
            let (bad, text) = verdict(&status);
            assert!(bad == fatal && text.contains(word), "{text}");
        }
    }
}
