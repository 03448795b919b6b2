//! A token that was sealed goes to a medium that is written once: it signs there, and nothing of it ever changes.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use stories::tokens::{Backend, KEY, OFFICER_PIN, PIN, TOKEN};
use stories::{Ended, Tokens, birthmark, run};

/// Wrong tries of a PIN until it is locked.
const TRIES_MAX: usize = 10;

fn seal(tokens: &Tokens, counters: &Path) -> Ended {
    let mut seal = birthmark();
    seal.args(["token", "seal", "--dir"]).arg(tokens.path(""));
    seal.arg("--counters").arg(counters);
    run(seal.arg("--so-pin-file").arg(tokens.path("so-pin")))
}

/// A copy of the image that can not be written, if this machine lets us make one.
struct Medium {
    folder: std::path::PathBuf,
    is_mounted: bool,
}

impl Medium {
    fn burn(tokens: &Tokens) -> Self {
        let folder = tokens.path("medium");
        fs::create_dir(&folder).unwrap();
        fs::copy(tokens.path("token/journal"), folder.join("journal")).unwrap();
        let mount = |words: &[&str]| {
            let mounted = Command::new("mount").args(words).arg(&folder).output();
            mounted.is_ok_and(|ended| ended.status.success())
        };
        let place = folder.to_str().unwrap();
        let is_mounted = mount(&["--bind", place]) && mount(&["-o", "remount,bind,ro"]);
        Self { folder, is_mounted }
    }

    /// Every file with its bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.folder).unwrap().map(Result::unwrap);
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        };
        entries.map(read).collect()
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
    }
}

#[test]
fn a_sealed_token_signs_from_a_medium_that_is_written_once() {
    let Some(tokens) = Tokens::with_key(Backend::Flash) else {
        return;
    };
    let counters = tokens.path("pins");
    let wrong = tokens.path("so-pin.wrong");
    fs::write(&wrong, "not the PIN").unwrap();
    let mut refused = birthmark();
    refused.args(["token", "seal", "--dir"]).arg(tokens.path(""));
    refused
        .arg("--counters")
        .arg(&counters)
        .arg("--so-pin-file")
        .arg(&wrong);
    run(&mut refused).refused(&["could not seal", "the PIN is wrong"]);
    seal(&tokens, &tokens.path("token/pins")).refused(&["must not be in the token"]);
    let sealed = seal(&tokens, &counters).well().json();
    assert_eq!(sealed["image"], tokens.path("token").to_str().unwrap());
    seal(&tokens, &counters).refused(&["sealed already"]);

    let medium = Medium::burn(&tokens);
    let config = format!(
        "[[slot]]\nbackend = \"flash\"\ndirectory = \"{}\"\ncounters = \"{}\"\n",
        medium.folder.display(),
        counters.display()
    );
    fs::write(tokens.path("pkcs11.toml"), config).unwrap();
    let before = medium.files();
    assert_eq!(before.keys().collect::<Vec<_>>(), ["journal"]);

    let listed = tokens.pkcs11_tool(&["-L"]).well().stdout;
    assert!(listed.contains(TOKEN) && listed.contains("readonly"), "{listed}");
    fs::write(tokens.path("data"), "hello").unwrap();
    let sign = ["--sign", "-m", "ECDSA-SHA256", "--signature-format", "openssl"];
    let files = ["--label", KEY, "-i", "data", "-o", "sig"];
    let _ = tokens.as_user(&[&sign[..], &files].concat()).well();
    tokens.openssl_verifies("sig", "data");
    for change in [
        &["--keypairgen", "--key-type", "EC:prime256v1"][..],
        &["--write-object", "data", "--type", "data", "--label", "x"],
        &["--delete-object", "--type", "privkey", "--label", KEY],
        &["--change-pin", "--new-pin", "54321"],
    ] {
        tokens.as_user(change).refused(&["CKR_TOKEN_WRITE_PROTECTED"]);
    }
    wrong_pins_lock(&tokens);
    assert_eq!(medium.files(), before, "the image has changed");
}

/// They are counted outside of the image, and there is no way back.
fn wrong_pins_lock(tokens: &Tokens) {
    let guess = |pin: &str| tokens.pkcs11_tool(&["--login", "--pin", pin, "-O"]);
    guess("9999").refused(&["CKR_PIN_INCORRECT"]);
    let low = tokens.pkcs11_tool(&["-L"]).well().stdout;
    assert!(low.contains("user PIN count low"), "{low}");
    let _ = guess(PIN).well();
    for _ in 0..TRIES_MAX {
        guess("9999").refused(&["CKR_PIN_INCORRECT"]);
    }
    guess(PIN).refused(&["CKR_PIN_LOCKED"]);
    let officer = ["--so-pin", OFFICER_PIN, "--login", "--login-type", "so"];
    tokens
        .pkcs11_tool(&[&officer[..], &["--init-pin", "--new-pin", PIN]].concat())
        .refused(&["CKR_TOKEN_WRITE_PROTECTED"]);
}

#[test]
fn an_init_that_was_ended_before_its_configuration_can_be_done_again() {
    let tokens = Tokens::empty(Backend::Flash);
    let init = |label: &str, pin: &str| {
        let mut init = birthmark();
        init.args(["token", "init", "--backend", "flash", "--label", label, "--dir"]);
        init.arg(tokens.path("")).arg("--pin-file").arg(tokens.path(pin));
        run(init.arg("--so-pin-file").arg(tokens.path("so-pin")))
    };
    init(TOKEN, "pin").refused(&["exists"]);
    fs::remove_file(tokens.path("pkcs11.toml")).unwrap();
    init("another", "pin").refused(&["there is a token"]);
    fs::write(tokens.path("pin.other"), "98765").unwrap();
    init(TOKEN, "pin.other").refused(&["with other PINs"]);
    let _ = init(TOKEN, "pin").well();
    let _ = tokens.as_user(&["-L"]).well();
}
