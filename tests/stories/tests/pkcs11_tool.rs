//! OpenSC's `pkcs11-tool` makes, uses and destroys everything that a token can hold.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::tokens::{Backend, KEY, OFFICER_PIN, PIN, TOKEN};
use stories::{Certificates, KeyKind, Tokens, run, tool};

/// OpenSC tells its version by another of its programs.
fn caller() -> Option<Caller> {
    let opensc = tool("opensc-tool")?;
    Some(Caller::new("pkcs11-tool", Command::new(opensc).arg("--info")))
}

/// Signs `data` with the key that these words choose.
fn sign(tokens: &Tokens, which: &[&str], mechanism: &[&str]) {
    let files = ["--sign", "-i", "data", "-o", "signature"];
    tokens.as_user(&[&files[..], mechanism, which].concat()).well();
}

const ECDSA: [&str; 4] = ["-m", "ECDSA-SHA256", "--signature-format", "openssl"];

fn signs_and_verifies(tokens: &Tokens) {
    std::fs::write(tokens.path("data"), "hello").unwrap();
    let id = tokens.id();
    sign(tokens, &["--id", &id], &ECDSA);
    tokens.openssl_verifies("signature", "data");

    sign(tokens, &["--id", &id], &ECDSA[..2]);
    let verify = |data: &str| {
        let what = [
            "--verify",
            "--id",
            &id,
            "-i",
            data,
            "--signature-file",
            "signature",
        ];
        tokens.as_user(&[&what[..], &ECDSA[..2]].concat()).well().stdout
    };
    assert!(verify("data").contains("Signature is valid"));
    std::fs::write(tokens.path("other"), "hullo").unwrap();
    assert!(verify("other").contains("Invalid signature"));
}

fn tests_itself(tokens: &Tokens) {
    let tested = tokens.as_user(&["--test"]).well();
    assert!(tested.stdout.contains("No errors"), "{}", tested.stdout);
    let forked = tokens.as_user(&["--test-fork"]).well();
    assert!(forked.stdout.contains("forked child"), "{}", forked.stdout);
    initializes_in_threads(tokens);
}

/// Each thread initializes, asks who the module is, which slots there are, and what a token says of itself. The main thread has
/// enough to do meanwhile: `pkcs11-tool` waits half a minute for threads that outlive it.
fn initializes_in_threads(tokens: &Tokens) {
    let threads = match tokens.backend() {
        Backend::Flash => "ILGISLT0T0",
        Backend::Chip => "ILGISL",
    };
    let threads = ["--test-threads", threads].repeat(4);
    let meanwhile = ["--test", "--generate-random", "50000", "-o", "random"];
    let said = tokens.as_user(&[&threads[..], &meanwhile].concat()).well();
    let said = format!("{}{}", said.stdout, said.stderr);
    assert!(
        said.contains("all threads have ended with CKR_OK"),
        "a thread failed:\n{said}"
    );
}

/// The secret that the token and openssl agree on is the same.
fn derives(tokens: &Tokens) {
    let certificates = tokens.certificates().unwrap();
    certificates.key("peer", KeyKind::P256);
    let openssl = |arguments: &[&str]| run(tokens.command(&tool("openssl").unwrap()).args(arguments)).well();
    let peer = ["pkey", "-in", "peer.key", "-pubout", "-outform", "DER"];
    openssl(&[&peer[..], &["-out", "peer.der"]].concat());
    let id = tokens.id();
    let derive = ["--derive", "-m", "ECDH1-DERIVE", "-i", "peer.der"];
    tokens
        .as_user(&[&derive[..], &["--id", &id, "-o", "ours"]].concat())
        .well();
    let theirs = ["pkeyutl", "-derive", "-inkey", "peer.key", "-out", "theirs"];
    let public = tokens.public_key_pem();
    openssl(&[&theirs[..], &["-peerkey", &public.to_string_lossy()]].concat());
    let read = |name: &str| std::fs::read(tokens.path(name)).unwrap();
    assert_eq!(read("ours"), read("theirs"));
}

fn keeps_a_certificate(tokens: &Tokens) {
    let certificates = ["-O", "--type", "cert"];
    let listed = tokens.pkcs11_tool(&certificates).well().stdout;
    assert!(listed.contains("CN=story"), "{listed}");
    let read = ["--read-object", "--type", "cert", "--id", &tokens.id()];
    tokens
        .pkcs11_tool(&[&read[..], &["-o", "read.der"]].concat())
        .well();
    let bytes = |name: &str| std::fs::read(tokens.path(name)).unwrap();
    assert_eq!(bytes("read.der"), bytes("device.der"));
}

#[test]
fn pkcs11_tool_makes_a_key_and_uses_it() {
    for backend in Backend::ALL {
        let (Some(caller), Some(tokens)) = (caller(), Tokens::with_certificate(backend)) else {
            return;
        };
        let listed = tokens.as_user(&["-O", "--type", "privkey"]).well().stdout;
        assert!(
            listed.contains("sensitive, always sensitive, never extractable, local"),
            "{listed}"
        );
        signs_and_verifies(&tokens);
        tests_itself(&tokens);
        keeps_a_certificate(&tokens);
        caller.did(
            &tokens,
            &[
                "generates a P-256 key pair",
                "signs (ECDSA with SHA-256); openssl believes it",
                "verifies, and refuses what was not signed",
                "writes and reads a certificate",
                "`--test`, `--test-fork`, `--test-threads`",
            ],
        );
    }
}

#[test]
fn pkcs11_tool_agrees_on_a_secret() {
    for backend in Backend::ALL {
        let (Some(caller), Some(_), Some(tokens)) = (
            caller(),
            tool("openssl"),
            Tokens::with_key_for(backend, "--usage-derive"),
        ) else {
            return;
        };
        derives(&tokens);
        caller.did(&tokens, &["derives the same secret as openssl (ECDH)"]);
    }
}

#[test]
fn a_chip_shows_no_empty_slots_and_overwrites_no_key() {
    if tool("pkcs11-tool").is_none() {
        return;
    }
    let tokens = Tokens::empty(Backend::Chip);
    let listed = tokens.pkcs11_tool(&["-L"]).well();
    assert!(listed.stdout.contains("OPTIGA Trust X"), "{}", listed.stdout);
    let objects = tokens.pkcs11_tool(&["-O"]).well().stdout;
    // One key is there from the wafer: the maker's own.
    assert_eq!(
        objects.matches("Private Key Object").count(),
        1,
        "an empty slot is no object: {objects}"
    );
    assert!(objects.contains("Infineon Device Key"), "{objects}");
    let generate = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", KEY];
    tokens.pkcs11_tool(&generate).well();
    tokens.pkcs11_tool(&generate).refused(&["0x1b"]);
}

/// A PIN protects what is private, a wrong one opens nothing, and destroyed is destroyed.
#[test]
fn a_pin_guards_the_token_in_files() {
    let Some(tokens) = Tokens::with_key(Backend::Flash) else {
        return;
    };
    let with =
        |pin: &str, arguments: &[&str]| tokens.pkcs11_tool(&[&["--login", "--pin", pin], arguments].concat());
    let seen = |listed: &str| listed.contains("Private Key Object");
    assert!(
        !seen(&tokens.pkcs11_tool(&["-O"]).well().stdout),
        "a private key is seen without login"
    );
    assert!(seen(&with(PIN, &["-O"]).well().stdout));
    with("9999", &["-O"]).refused(&["CKR_PIN_INCORRECT"]);
    with(PIN, &["--change-pin", "--new-pin", "4321"]).well();
    with(PIN, &["-O"]).refused(&["CKR_PIN_INCORRECT"]);
    with("4321", &["--delete-object", "--type", "privkey", "--id", "01"]).well();
    assert!(!seen(&with("4321", &["-O"]).well().stdout));

    let officer = |arguments: &[&str]| tokens.pkcs11_tool(&[&["--so-pin", OFFICER_PIN], arguments].concat());
    officer(&["--login", "--login-type", "so", "--init-pin", "--new-pin", "5678"]).well();
    with("5678", &["-O"]).well();
    officer(&["--init-token", "--slot", "0", "--label", "anew"]).well();
    let listed = tokens.pkcs11_tool(&["-L"]).well().stdout;
    assert!(listed.contains("anew") && !listed.contains(TOKEN), "{listed}");
}

/// What openssl made becomes a key of the token, which signs with it.
fn imports(tokens: &Tokens, certificates: &Certificates, kind: KeyKind, id: &str, mechanism: &[&str]) {
    certificates.authority("imported", kind);
    let convert = |arguments: &[&str]| {
        run(tokens.command(&tool("openssl").unwrap()).args(arguments)).well();
    };
    let key = ["pkey", "-in", "imported.key", "-outform", "DER"];
    convert(&[&key[..], &["-out", "imported.der"]].concat());
    convert(&[&key[..], &["-pubout", "-out", "public.der"]].concat());
    convert(&["pkey", "-in", "imported.key", "-pubout", "-out", "public.pem"]);
    convert(&[
        "x509",
        "-in",
        "imported.pem",
        "-outform",
        "DER",
        "-out",
        "certificate.der",
    ]);
    for (file, class, more) in [
        ("imported.der", "privkey", &["--usage-sign"][..]),
        ("public.der", "pubkey", &[]),
        ("certificate.der", "cert", &[]),
    ] {
        let write = [
            "--write-object",
            file,
            "--type",
            class,
            "--id",
            id,
            "--label",
            "imported",
        ];
        tokens.as_user(&[&write[..], more].concat()).well();
    }
    sign(tokens, &["--id", id], mechanism);
    let mut verify = tokens.command(&tool("openssl").unwrap());
    verify.args([
        "dgst",
        "-sha256",
        "-verify",
        "public.pem",
        "-signature",
        "signature",
        "data",
    ]);
    assert!(run(&mut verify).well().stdout.contains("Verified OK"));
}

#[test]
fn pkcs11_tool_imports_keys_and_keeps_data() {
    let (Some(caller), Some(tokens)) = (caller(), Tokens::with_key(Backend::Flash)) else {
        return;
    };
    let Some(certificates) = tokens.certificates() else {
        return;
    };
    std::fs::write(tokens.path("data"), "hello").unwrap();
    imports(&tokens, &certificates, KeyKind::P256, "02", &ECDSA);
    let data = ["--type", "data", "--label", "note"];
    tokens
        .as_user(&[&["--write-object", "data"][..], &data].concat())
        .well();
    let read = tokens.as_user(&[&["--read-object"][..], &data].concat()).well();
    assert!(read.stdout.contains("hello"), "{}", read.stdout);
    tokens.as_user(&[&["--delete-object"][..], &data].concat()).well();
    let gone = tokens.as_user(&["-O", "--type", "data"]).well().stdout;
    assert!(!gone.contains("note"), "{gone}");
    refuses_a_broken_key(&tokens);
    caller.did(
        &tokens,
        &[
            "imports an EC key with its certificate, and signs with it",
            "writes, reads and destroys data",
            "changes PINs; a wrong one opens nothing",
            "initializes the token anew as security officer",
        ],
    );
}

fn refuses_a_broken_key(tokens: &Tokens) {
    std::fs::write(Path::new(&tokens.path("broken.der")), [0x30, 3, 2, 1, 1]).unwrap();
    let write = ["--write-object", "broken.der", "--type", "privkey", "--id", "09"];
    tokens.as_user(&write).refused(&[]);
}
