//! Kinds of keys that no chip has, in a token in files: RSA, Edwards curves and AES, as far as each caller takes them.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::tokens::{Backend, CERTIFICATE, KEY, PIN, TOKEN, module};
use stories::{Ended, Tokens, run, tool};

/// OpenSC tells its version by another of its programs.
fn pkcs11_tool() -> Option<Caller> {
    let opensc = tool("opensc-tool")?;
    Some(Caller::new("pkcs11-tool", Command::new(opensc).arg("--info")))
}

fn openssl(tokens: &Tokens, arguments: &[&str]) -> Ended {
    let mut openssl = tokens.command(&tool("openssl").unwrap());
    openssl.env("OPENSSL_CONF", tokens.path("openssl.cnf"));
    run(openssl.args(arguments)).well()
}

/// openssl believes what `pkcs11-tool` has the key sign; `pkcs11-tool` believes it, too, and nothing else.
fn signs_and_verifies(tokens: &Tokens) {
    std::fs::write(tokens.path("data"), "hello").unwrap();
    std::fs::write(tokens.path("other"), "hullo").unwrap();
    let key = ["-m", "SHA256-RSA-PKCS", "--label", KEY];
    tokens
        .as_user(&[&["--sign", "-i", "data", "-o", "signature"][..], &key].concat())
        .well();
    tokens.openssl_verifies("signature", "data");
    for (data, said) in [("data", "Signature is valid"), ("other", "Invalid signature")] {
        let verify = ["--verify", "-i", data, "--signature-file", "signature"];
        let verified = tokens.as_user(&[&verify[..], &key].concat()).well().stdout;
        assert!(verified.contains(said), "{data}: {verified}");
    }
}

/// What an AES key of the token encrypts is another text, and the same again once decrypted.
fn encrypts(tokens: &Tokens) {
    let named = ["--label", "secret", "--id", "05"];
    tokens
        .as_user(&[&["--keygen", "--key-type", "AES:32"][..], &named].concat())
        .well();
    let listed = tokens.as_user(&["-O", "--type", "secrkey"]).well().stdout;
    assert!(listed.contains("AES length 32"), "{listed}");
    let cbc = ["-m", "AES-CBC-PAD", "--iv", "000102030405060708090a0b0c0d0e0f"];
    for (what, from, to) in [("--encrypt", "data", "sealed"), ("--decrypt", "sealed", "opened")] {
        let key = [what, "--id", "05", "-i", from, "-o", to];
        tokens.as_user(&[&key[..], &cbc].concat()).well();
    }
    let read = |name: &str| std::fs::read(tokens.path(name)).unwrap();
    assert_eq!(read("sealed").len(), 16);
    assert_eq!(read("opened"), read("data"));
}

/// openssl believes the signature of an Ed25519 key, and no other text.
fn signs_with_edwards(tokens: &Tokens) {
    let generate = ["--keypairgen", "--key-type", "EC:edwards25519", "--usage-sign"];
    tokens
        .as_user(&[&generate[..], &["--label", "edwards", "--id", "07"]].concat())
        .well();
    let sign = ["--sign", "-m", "EDDSA", "--id", "07", "-i", "data"];
    tokens
        .as_user(&[&sign[..], &["-o", "edwards.sig"]].concat())
        .well();
    let read = ["--read-object", "--type", "pubkey", "--id", "07"];
    tokens
        .pkcs11_tool(&[&read[..], &["-o", "edwards.pub"]].concat())
        .well();
    let verified = |data: &str| {
        let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "edwards.pub"];
        let mut openssl = tokens.command(&tool("openssl").unwrap());
        openssl
            .args(verify)
            .args(["-sigfile", "edwards.sig", "-in", data]);
        run(&mut openssl)
    };
    verified("data").well();
    verified("other").refused(&["Verification Failure"]);
}

fn requests_a_certificate(tokens: &Tokens) {
    let key = tokens.uri_with_pin();
    let request = ["req", "-new", "-subj", "/CN=story", "-out", "device.csr"];
    let engine = ["-engine", "pkcs11", "-keyform", "engine", "-key", &key];
    openssl(tokens, &[&request[..], &engine].concat());
    let verified = openssl(
        tokens,
        &["req", "-in", "device.csr", "-noout", "-verify", "-pubkey"],
    );
    assert!(verified.stderr.contains("verify OK"), "{}", verified.stderr);
    let public = std::fs::read_to_string(tokens.public_key_pem()).unwrap();
    assert_eq!(verified.stdout.trim(), public.trim());
}

fn certifies_for_ssh(tokens: &Tokens, ssh_keygen: &Path) {
    let askpass = tokens.path("askpass");
    std::fs::write(&askpass, format!("#!/bin/sh\necho {PIN}\n")).unwrap();
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ssh_keygen = |arguments: &[&str]| {
        let mut command = tokens.command(ssh_keygen);
        command
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force");
        run(command.args(arguments)).well().stdout
    };
    let module = module();
    let module = module.to_str().unwrap();
    let public = ssh_keygen(&["-D", module]);
    assert!(public.starts_with("ssh-rsa "), "{public}");
    std::fs::write(tokens.path("ca.pub"), &public).unwrap();
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "user"]);
    let certify = ["-q", "-s", "ca.pub", "-D", module, "-I", "somebody", "-n", "user"];
    ssh_keygen(&[&certify[..], &["user.pub"]].concat());
    let certificate = ssh_keygen(&["-L", "-f", "user-cert.pub"]);
    assert!(certificate.contains("Signing CA: RSA"), "{certificate}");
}

fn signs_in_java(tokens: &Tokens, java: &Path) {
    let config = format!(
        "name = Story\nlibrary = {}\nslotListIndex = 0\n",
        module().display()
    );
    std::fs::write(tokens.path("java.cfg"), config).unwrap();
    let mut sign = tokens.command(java);
    sign.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1"]);
    sign.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java/Sign.java"));
    sign.args(["java.cfg", PIN, CERTIFICATE, "signed", "SHA256withRSA"]);
    assert_eq!(run(&mut sign).well().stdout.trim(), "verified");
    tokens.openssl_verifies("signed", "data");
}

#[test]
fn callers_use_the_keys_that_only_a_token_in_files_has() {
    let tools = (tool("ssh"), tool("ssh-keygen"), tool("java"), tool("javac"));
    let ((Some(ssh), Some(ssh_keygen), Some(java), Some(_)), Some(caller)) = (tools, pkcs11_tool()) else {
        return;
    };
    let Some(tokens) = Tokens::with_rsa_certificate() else {
        return;
    };
    if tokens.openssl_config().is_none() {
        return;
    }
    signs_and_verifies(&tokens);
    encrypts(&tokens);
    caller.did(
        &tokens,
        &[
            "generates an RSA key of 2048 bits, signs (SHA256-RSA-PKCS) and verifies; openssl believes it",
            "generates an AES key, encrypts and decrypts",
        ],
    );
    requests_a_certificate(&tokens);
    let version = |program: &str| Command::new(tool(program).unwrap());
    Caller::new("openssl", version("openssl").arg("version"))
        .did(&tokens, &["`req -engine pkcs11 -new` with an RSA key"]);
    certifies_for_ssh(&tokens, &ssh_keygen);
    Caller::new("ssh", Command::new(ssh).arg("-V"))
        .did(&tokens, &["`ssh-keygen -D` and `-s` with an RSA key"]);
    signs_in_java(&tokens, &java);
    Caller::new("java", Command::new(&java).arg("-version"))
        .did(&tokens, &["SHA256withRSA; Java and openssl believe it"]);
    // The last: libp11 0.4 finds no private key at all on a token that has one of a type which it does not know.
    signs_with_edwards(&tokens);
    caller.did(
        &tokens,
        &["generates an Ed25519 key, signs (EdDSA); openssl believes it"],
    );
}

#[test]
fn python_pkcs11_makes_keys_of_many_kinds() {
    let Some(python) = tool("python") else {
        return;
    };
    let tokens = Tokens::empty(Backend::Flash);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/token_python_pkcs11_kinds.py");
    let mut command = tokens.command(&python);
    command.arg(program).arg(module()).args([TOKEN, PIN]);
    assert_eq!(run(&mut command).well().stdout.trim(), "done");
    let ask = "import importlib.metadata as m; print(m.version('python-pkcs11'))";
    Caller::new("python-pkcs11", Command::new(&python).args(["-c", ask])).did(
        &tokens,
        &[
            "makes P-256, Ed25519 and RSA pairs of a session, signs and verifies with each",
            "makes an AES key, encrypts and decrypts, copies it to the token; seeds the random generator",
        ],
    );
}
