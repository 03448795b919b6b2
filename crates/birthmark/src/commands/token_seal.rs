//! `birthmark token seal`: ends all changes of a token in files, so that its directory can go to a medium that is written once.
//!
//! What counts wrong PINs moves out of the directory first, since it must go on. It must never seal a token whose counters
//! have no place, and there is no way back.

use std::{fs, io::Write as _, path::Path};

use ::token::{Backend as _, User, flash::Flash};
use serde_json::json;

use super::token::pin;
use crate::{
    args::TokenSeal,
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// Seals the token that `token init` made in this directory.
pub(crate) fn seal(typed: &TokenSeal) -> Result<u8, Failure> {
    let officer = pin(Some(&typed.so_pin_file), "--so-pin-file")?;
    let absolute = |path: &Path| {
        let what = || format!("could not find {}", path.display());
        std::path::absolute(path).fault(what)
    };
    let (image, counters) = (absolute(&typed.dir.join("token"))?, absolute(&typed.counters)?);
    if counters.starts_with(&image) {
        let what = format!("{} must not be in the token itself", counters.display());
        return Err(Failure::usage(what));
    }
    let what = || format!("could not seal the token in {}", image.display());
    let token = Flash::new(&image);
    let status = token.status().refused(what)?;
    if !status.initialized {
        return Err(Failure::refused(format!(
            "there is no token in {}",
            image.display()
        )));
    }
    if status.write_protected {
        return Err(Failure::refused(format!("{} is sealed already", image.display())));
    }
    token.login(User::SecurityOfficer, &officer).refused(what)?;
    if !counters.exists() {
        fs::copy(image.join("pins"), &counters)
            .fault(|| format!("could not write {}", counters.display()))?;
    }
    let config = typed.dir.join("pkcs11.toml");
    name_counters(&config, &image, &counters)?;
    Flash::with_counters(&image, &counters)
        .end_changes(&officer)
        .refused(what)?;
    close(&image)?;
    say(&format!(
        "{} never changes again: copy it to where it may stay, and name that place in {}",
        image.display(),
        config.display()
    ));
    let answer = json!({ "image": image, "counters": counters, "config": config });
    tell(&answer.to_string()).fault(|| "could not write to stdout".to_owned())?;
    Ok(DONE)
}

/// Writes the place of the counters beside the directory of the token, in whichever slot has it.
fn name_counters(config: &Path, image: &Path, counters: &Path) -> Result<(), Failure> {
    let what = || format!("could not change {}", config.display());
    let mut table: toml::Table = fs::read_to_string(config).fault(what)?.parse().fault(what)?;
    let slots = table.get_mut("slot").and_then(toml::Value::as_array_mut);
    let mut found = false;
    for slot in slots.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        if slot.get("directory").and_then(toml::Value::as_str) == image.to_str() {
            let counters = counters.to_string_lossy().into_owned();
            slot.insert("counters".to_owned(), counters.into());
            found = true;
        }
    }
    if !found {
        let what = format!("{} has no slot for {}", config.display(), image.display());
        return Err(Failure::refused(what));
    }
    let new = config.with_extension("new");
    let mut file = fs::File::create(&new).fault(what)?;
    file.write_all(table.to_string().as_bytes()).fault(what)?;
    file.sync_all().fault(what)?;
    fs::rename(&new, config).fault(what)
}

/// Takes the right to write away from everybody.
#[cfg(unix)]
fn close(image: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let what = || format!("could not take away the right to write {}", image.display());
    let mode = fs::Permissions::from_mode;
    fs::set_permissions(image.join("journal"), mode(0o400)).fault(what)?;
    fs::set_permissions(image, mode(0o500)).fault(what)
}

#[cfg(not(unix))]
const fn close(_: &Path) -> Result<(), Failure> {
    Ok(())
}
