//! `birthmark token init` and `list`: makes tokens for the PKCS #11 module, and lists what is in them.
//!
//! PINs come from files only, and none has a default. It must never overwrite a configuration or a token.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use ::token::{
    Access, Application, AttributeKind, Backend, ChipAddress, ChipSetting, Class, Object, PinState, Setup,
    Status, TokenDescription, User, flash::Flash,
};
use birthmark_pkcs11::config;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::token_callers::{CALLERS, Key, in_programs};
use crate::{
    args::{TokenBackend, TokenInit, TokenList},
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

type Pin = Zeroizing<Vec<u8>>;

/// What FreeRTOS's examples log in with; a token has it only when a developer asks for it.
const FREERTOS_PIN: &[u8] = b"0000";
/// Objects that one search is asked for at a time.
const OBJECTS_AT_ONCE: usize = 256;

/// Makes a token and a configuration that has it.
pub(crate) fn init(typed: &TokenInit) -> Result<u8, Failure> {
    let config = typed.dir.join("pkcs11.toml");
    if config.exists() {
        let what = format!("{} exists: choose another directory", config.display());
        return Err(Failure::refused(what));
    }
    if typed.label.is_empty() || typed.label.len() > ::token::limits::LABEL_BYTES_MAX {
        return Err(Failure::usage("a token's label has 1 to 32 bytes"));
    }
    let slot = match typed.backend {
        TokenBackend::Flash => init_flash(typed)?,
        TokenBackend::Chip => chip_slot(typed)?,
    };
    fs::create_dir_all(&typed.dir).fault(|| format!("could not make {}", typed.dir.display()))?;
    let what = || format!("could not write {}", config.display());
    let mut file = fs::File::create_new(&config).fault(what)?;
    file.write_all(slot.as_bytes()).fault(what)?;
    file.sync_all().fault(what)?;
    say(&format!(
        "the module finds the token with BIRTHMARK_PKCS11_CONF={}",
        config.display()
    ));
    let answer = json!({ "config": config, "label": typed.label });
    tell(&answer.to_string()).fault(|| "could not write to stdout".to_owned())?;
    Ok(DONE)
}

fn init_flash(typed: &TokenInit) -> Result<String, Failure> {
    let (pin, officer) = pins(typed)?;
    let folder = std::path::absolute(typed.dir.join("token"))
        .fault(|| format!("could not find {}", typed.dir.display()))?;
    let token = Flash::backend(&folder);
    let what = || format!("could not make a token in {}", folder.display());
    let status = token.status().fault(what)?;
    if !status.initialized {
        token.init_token(&officer, &typed.label).fault(what)?;
    } else if !is_half_made(token.as_ref(), &status, &typed.label).fault(what)? {
        let what = format!("there is a token in {} already", folder.display());
        return Err(Failure::refused(what));
    }
    let other = || {
        format!(
            "there is a token in {} already, with other PINs",
            folder.display()
        )
    };
    if status.user_pin == PinState::Absent {
        token.login(User::SecurityOfficer, &officer).refused(other)?;
        token.init_pin(&pin).fault(what)?;
    } else {
        token.login(User::User, &pin).refused(other)?;
    }
    Ok(format!(
        "[[slot]]\nbackend = \"flash\"\ndirectory = {}\n",
        quoted(&folder.to_string_lossy())
    ))
}

/// Whether an earlier run was ended before it wrote its configuration: the token is there under this label, and empty.
fn is_half_made(token: &dyn Backend, status: &Status, label: &str) -> Result<bool, ::token::Error> {
    Ok(status.label == label && !status.write_protected && token.load()?.objects.is_empty())
}

fn chip_slot(typed: &TokenInit) -> Result<String, Failure> {
    let address = typed.chip.as_deref().unwrap_or_default();
    let parsed = ChipAddress::parse(address).map_err(|error| Failure::usage(error.to_string()))?;
    let what = || format!("the chip at {address} did not answer");
    let backend = parsed.backend(ChipSetting::default()).fault(what)?;
    backend.describe().fault(what)?;
    let slot = format!(
        "[[slot]]\nbackend = \"chip\"\naddress = {}\nlabel = {}\n",
        quoted(address),
        quoted(&typed.label)
    );
    if typed.pin_file.is_none() && !typed.freertos_dev {
        say("a chip has no PIN of its own: any local user who reaches its bus can sign with its key");
        return Ok(slot);
    }
    Ok(slot + &host_pin(typed)?)
}

/// A PIN for a chip, which this machine asks for and the chip does not: it keeps honest users apart, and stops nobody who can
/// open the bus without us.
fn host_pin(typed: &TokenInit) -> Result<String, Failure> {
    let (pin, officer) = pins(typed)?;
    let what = || format!("could not keep the PIN in {}", typed.dir.display());
    let file = std::path::absolute(typed.dir.join("pins")).fault(what)?;
    fs::create_dir_all(&typed.dir).fault(what)?;
    ::token::chip::init_host_pin(&file, &typed.label, &officer, &pin).fault(what)?;
    say("this machine asks for the PIN; who opens the chip's bus without this module needs none");
    let file = quoted(&file.to_string_lossy());
    Ok(format!("login = \"host-pin\"\npin_file = {file}\n"))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The user's PIN and the security officer's.
fn pins(typed: &TokenInit) -> Result<(Pin, Pin), Failure> {
    if typed.freertos_dev {
        say("the PIN is 0000, as FreeRTOS's examples have it: everybody knows it, never ship this token");
        let known = || Zeroizing::new(FREERTOS_PIN.to_vec());
        return Ok((known(), known()));
    }
    let user = pin(typed.pin_file.as_deref(), "--pin-file")?;
    Ok((user, pin(typed.so_pin_file.as_deref(), "--so-pin-file")?))
}

/// A PIN from a file, without the end of its line.
pub(super) fn pin(path: Option<&Path>, option: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let path = path.ok_or_else(|| Failure::usage(format!("{option} says where the PIN is")))?;
    let read = fs::read(path).fault(|| format!("could not read {}", path.display()))?;
    let mut pin = Zeroizing::new(read);
    while pin.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        pin.pop();
    }
    let (min, max) = (::token::limits::PIN_BYTES_MIN, ::token::limits::PIN_BYTES_MAX);
    if !(min..=max).contains(&pin.len()) {
        let what = format!("the PIN in {} must have {min} to {max} bytes", path.display());
        return Err(Failure::usage(what));
    }
    Ok(pin)
}

/// The slots of a configuration, or of the one that the module would take.
pub(super) fn application(config: Option<&Path>) -> Result<Application, Failure> {
    let setups: Vec<Setup> = match config {
        Some(path) => config::setups_of(path),
        None => config::setups(),
    }
    .map_err(|error| Failure::usage(error.to_string()))?;
    if setups.is_empty() {
        return Err(Failure::usage(format!(
            "there are no slots: name a configuration with --config or {}, or write {}",
            config::VARIABLE,
            config::MACHINE_FILE
        )));
    }
    Application::new(setups).map_err(|error| Failure::usage(error.to_string()))
}

/// Lists everything that can be seen.
pub(crate) fn list(typed: &TokenList) -> Result<u8, Failure> {
    let application = application(typed.config.config.as_deref())?;
    let pin = typed.pin_file.as_deref();
    let pin = pin.map(|path| self::pin(Some(path), "--pin-file")).transpose()?;
    let slots = (0..application.slots())
        .map(|slot| slot_listed(&application, slot, pin.as_deref().map(Vec::as_slice)))
        .collect::<Result<Vec<_>, _>>()?;
    let out = match (typed.json, typed.lines) {
        (true, _) => json!({ "slots": slots }).to_string(),
        (false, true) => told_to_programs(typed, &application)?,
        (false, false) => lines(&slots),
    };
    tell(out.trim_end()).fault(|| "could not write to stdout".to_owned())?;
    Ok(DONE)
}

fn slot_listed(application: &Application, slot: usize, pin: Option<&[u8]>) -> Result<Value, Failure> {
    let what = || format!("could not use slot {slot}");
    let (name, _) = application.describe_slot(slot).fault(what)?;
    if !application.is_present(slot).fault(what)? {
        return Ok(json!({ "slot": slot, "name": name, "token": null, "objects": [] }));
    }
    let (description, status) = application.token(slot).fault(what)?;
    let token = token_uri(&description, &status);
    let session = application.open_session(slot, Access::ReadOnly).fault(what)?;
    if let Some(pin) = pin.filter(|_| status.login_required) {
        let login = application.login(session, User::User, pin);
        login.refused(|| format!("could not log in to slot {slot}"))?;
    }
    let objects: Vec<_> = objects(application, session)
        .fault(what)?
        .iter()
        .map(|object| Value::String(object_uri(&token, object)))
        .collect();
    application.close_session(session).fault(what)?;
    Ok(json!({ "slot": slot, "name": name, "token": token, "objects": objects }))
}

/// For each key and each program what it must be told, and how to see that it works.
fn told_to_programs(typed: &TokenList, application: &Application) -> Result<String, Failure> {
    let module = super::token_doctor::module(typed.module.as_deref());
    let module = module.ok_or_else(|| Failure::usage("where is libbirthmark_pkcs11.so? say --module"))?;
    let mut out = String::new();
    if let Some(config) = &typed.config.config {
        let config = std::path::absolute(config).fault(|| "the current directory is gone".to_owned())?;
        let _ = writeln!(out, "export {}='{}'\n", config::VARIABLE, config.display());
    }
    for slot in 0..application.slots() {
        for key in keys(application, slot, &module, typed.pin_file.as_deref())? {
            let _ = writeln!(out, "# {}\n", key.uri);
            for caller in CALLERS {
                let _ = writeln!(out, "{}:", caller.name);
                if let Some((name, text)) = caller.file.map(|file| file(&key)) {
                    let text = text.trim_end().replace('\n', "\n    ");
                    let _ = writeln!(out, "  {name}:\n    {text}");
                }
                let _ = writeln!(out, "  $ {}", (caller.proof)(&key));
            }
            out.push_str(&in_programs(&key));
        }
    }
    Ok(out)
}

/// The private keys of a slot, as programs find them.
pub(super) fn keys(
    application: &Application,
    slot: usize,
    module: &Path,
    pin_file: Option<&Path>,
) -> Result<Vec<Key>, Failure> {
    let what = || format!("could not use slot {slot}");
    let (_, status) = application.token(slot).fault(what)?;
    let session = application.open_session(slot, Access::ReadOnly).fault(what)?;
    let pin_file = pin_file.filter(|_| status.login_required);
    if let Some(path) = pin_file {
        let login = application.login(session, User::User, &pin(Some(path), "--pin-file")?);
        login.refused(|| format!("could not log in to slot {slot}"))?;
    }
    let absolute = pin_file.map(std::path::absolute).transpose();
    let pin_file = absolute.fault(|| "the current directory is gone".to_owned())?;
    let found = objects(application, session).fault(what)?;
    application.close_session(session).fault(what)?;
    let private = found.iter().filter(|object| object.class() == Class::PrivateKey);
    let key = |object: &std::sync::Arc<Object>| {
        let id = object.attribute(AttributeKind::Id);
        let id = id
            .ok()
            .and_then(|id| id.as_bytes().map(<[u8]>::to_vec))
            .unwrap_or_default();
        let hex = |before: &str| {
            id.iter()
                .fold(String::new(), |text, byte| format!("{text}{before}{byte:02x}"))
        };
        Key {
            module: module.to_owned(),
            slot,
            token: status.label.clone(),
            uri: format!(
                "pkcs11:token={};id={};type=private",
                percent(status.label.as_bytes()),
                hex("%")
            ),
            id: hex(""),
            label: object.label().to_owned(),
            pin_file: pin_file.clone(),
        }
    };
    Ok(private.map(key).collect())
}

fn objects(application: &Application, session: u64) -> Result<Vec<std::sync::Arc<Object>>, ::token::Error> {
    application.find_init(session, Some(&[]))?;
    let mut objects = Vec::new();
    loop {
        let mut found = [0; OBJECTS_AT_ONCE];
        let count = application.find(session, &mut found)?;
        if count == 0 {
            break;
        }
        for handle in found.iter().take(count) {
            let object = application.object(session, *handle)?;
            // What the library says about itself is nothing that anybody keeps.
            if object.class() != Class::Profile {
                objects.push(object);
            }
        }
    }
    application.find_final(session)?;
    Ok(objects)
}

fn lines(slots: &[Value]) -> String {
    let mut out = String::new();
    for slot in slots {
        let name = slot["name"].as_str().unwrap_or_default();
        let token = slot["token"].as_str().unwrap_or("no token there");
        let _ = writeln!(out, "slot {} ({name}): {token}", slot["slot"]);
        for object in slot["objects"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {}", object.as_str().unwrap_or_default());
        }
    }
    out
}

/// A token's URI (RFC 7512).
fn token_uri(description: &TokenDescription, status: &Status) -> String {
    format!(
        "pkcs11:token={};serial={};model={};manufacturer={}",
        percent(status.label.as_bytes()),
        percent(description.serial.as_bytes()),
        percent(description.model.as_bytes()),
        percent(description.manufacturer.as_bytes())
    )
}

fn object_uri(token: &str, object: &Object) -> String {
    let class = match object.class() {
        Class::PrivateKey => "private",
        Class::PublicKey => "public",
        Class::Certificate => "cert",
        Class::SecretKey => "secret-key",
        Class::Data | Class::Profile => "data",
    };
    let mut uri = format!(
        "{token};object={};type={class}",
        percent(object.label().as_bytes())
    );
    if let Ok(id) = object.attribute(AttributeKind::Id) {
        uri.push_str(";id=");
        for byte in id.as_bytes().unwrap_or_default() {
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri
}

/// Everything but letters, digits and a few marks is escaped.
fn percent(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_uri_is_escaped() {
        assert_eq!(percent(b"a-Z 0;=/\xC3"), "a-Z%200%3B%3D%2F%C3");
    }

    #[test]
    fn a_pin_is_a_line_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            pin(Some(&path), "--pin-file")
                .map(|pin| pin.to_vec())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("1234\n"), Ok(b"1234".to_vec()));
        assert_eq!(read("12 34\r\n"), Ok(b"12 34".to_vec()));
        for wrong in ["", "123\n", &"1".repeat(65)] {
            assert!(read(wrong).unwrap_err().contains("4 to 64"), "{wrong}");
        }
    }
}
