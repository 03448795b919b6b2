//! Programs that know nothing of this product use its tokens through `libbirthmark_pkcs11.so`.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stories::{Ended, birthmark, run, tool, wait_until};
use tempfile::TempDir;

/// The module beside the binary.
fn module() -> PathBuf {
    let binary = PathBuf::from(birthmark().get_program());
    let found = binary.with_file_name("libbirthmark_pkcs11.so");
    assert!(
        found.is_file(),
        "{}: build the whole workspace first",
        found.display()
    );
    found
}

/// Tokens of one configuration, in a folder of their own.
struct Tokens {
    folder: TempDir,
    chip: Option<Child>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        if let Some(chip) = &mut self.chip {
            let _ = chip.kill();
            let _ = chip.wait();
        }
    }
}

impl Tokens {
    /// A simulated chip, fresh from the wafer.
    fn chip() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("chip.sock");
        let mut serve = birthmark();
        serve.args(["chip", "serve", "--socket"]).arg(&socket);
        let quiet = serve.stdout(Stdio::null()).stderr(Stdio::null());
        let chip = Some(quiet.spawn().unwrap());
        wait_until("the chip's socket", || socket.exists().then_some(()));
        let config = format!(
            "[[slot]]\nbackend = \"chip\"\naddress = \"unix:{}\"\n",
            socket.display()
        );
        std::fs::write(folder.path().join("pkcs11.toml"), config).unwrap();
        Self { folder, chip }
    }

    /// A token in files, initialized by `pkcs11-tool`, with one key that has the label and the id of its certificate.
    fn flash() -> Self {
        let tokens = Self {
            folder: tempfile::tempdir().unwrap(),
            chip: None,
        };
        let config = format!(
            "[[slot]]\nbackend = \"flash\"\ndirectory = \"{}\"\n",
            tokens.path("token").display()
        );
        std::fs::write(tokens.path("pkcs11.toml"), config).unwrap();
        let officer = ["--so-pin", "87654321"];
        let tool = |arguments: &[&str]| tokens.pkcs11_tool(&[&officer[..], arguments].concat()).well();
        tool(&["--init-token", "--slot", "0", "--label", "story"]);
        tool(&["--init-pin", "--login", "--login-type", "so", "--new-pin", "1234"]);
        tokens
            .as_user(&[
                "--keypairgen",
                "--key-type",
                "EC:prime256v1",
                "--label",
                "key",
                "--id",
                "01",
            ])
            .well();
        tokens
    }

    fn as_user(&self, arguments: &[&str]) -> Ended {
        self.pkcs11_tool(&[&["--login", "--pin", "1234"], arguments].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("BIRTHMARK_PKCS11_CONF", self.path("pkcs11.toml"));
        command.current_dir(self.folder.path());
        command
    }

    fn pkcs11_tool(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(&tool("pkcs11-tool").unwrap());
        command.arg("--module").arg(module()).args(arguments);
        run(&mut command)
    }
}

/// openssl believes a signature that the token made.
fn openssl_verifies(tokens: &Tokens, public_der: &str, signature: &str, data: &str) {
    let openssl = tool("openssl").unwrap();
    let pem = tokens.path("public.pem");
    let mut convert = tokens.command(&openssl);
    convert.args(["pkey", "-pubin", "-inform", "DER", "-in", public_der, "-out"]);
    run(convert.arg(&pem)).well();
    let mut verify = tokens.command(&openssl);
    verify.args([
        "dgst",
        "-sha256",
        "-verify",
        "public.pem",
        "-signature",
        signature,
        data,
    ]);
    assert!(run(&mut verify).well().stdout.contains("Verified OK"));
}

#[test]
fn a_key_in_a_chip_signs_for_pkcs11_tool_and_openssl_believes_it() {
    let (Some(_), Some(_)) = (tool("pkcs11-tool"), tool("openssl")) else {
        return;
    };
    let tokens = Tokens::chip();
    let listed = tokens.pkcs11_tool(&["-L"]).well();
    assert!(listed.stdout.contains("OPTIGA Trust X"), "{}", listed.stdout);
    assert!(
        !tokens.pkcs11_tool(&["-O"]).well().stdout.contains("Key"),
        "an empty slot is no object"
    );
    let label = ["--label", "Device Priv TLS Key"];
    let generate = ["--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign"];
    tokens.pkcs11_tool(&[&generate[..], &label].concat()).well();
    let again = tokens.pkcs11_tool(&[&generate[..], &label].concat());
    again.refused(&["0x1b"]);
    let listed = tokens.pkcs11_tool(&["-O"]).well().stdout;
    assert!(
        listed.contains("never extractable") && listed.contains("Public Key Object"),
        "{listed}"
    );

    std::fs::write(tokens.path("data"), "hello").unwrap();
    let sign = [
        "--sign",
        "-m",
        "ECDSA-SHA256",
        "--signature-format",
        "openssl",
        "-i",
        "data",
        "-o",
        "sig",
    ];
    tokens.pkcs11_tool(&[&sign[..], &label].concat()).well();
    let read = [
        "--read-object",
        "--type",
        "pubkey",
        "--label",
        "Device Pub TLS Key",
        "-o",
        "public.der",
    ];
    tokens.pkcs11_tool(&read).well();
    openssl_verifies(&tokens, "public.der", "sig", "data");
}

#[test]
fn a_forked_child_starts_anew() {
    if tool("pkcs11-tool").is_none() {
        return;
    }
    let tokens = Tokens::chip();
    let forked = tokens.pkcs11_tool(&["--test-fork"]).well();
    assert!(forked.stdout.contains("forked child"), "{}", forked.stdout);
}

#[test]
fn without_a_configuration_there_are_no_slots_and_with_a_wrong_one_it_says_why() {
    if tool("pkcs11-tool").is_none() {
        return;
    }
    let tokens = Tokens {
        folder: tempfile::tempdir().unwrap(),
        chip: None,
    };
    tokens.pkcs11_tool(&["-L"]).refused(&["No slots"]);
    std::fs::write(tokens.path("pkcs11.toml"), "[[slot]]\nbackend = \"tape\"\n").unwrap();
    tokens.pkcs11_tool(&["-L"]).refused(&["birthmark pkcs11", "tape"]);
}

const KEY: &str = "pkcs11:token=story;object=key;type=private";

#[test]
fn a_key_in_files_lives_and_dies_by_pkcs11_tool() {
    let (Some(_), Some(_)) = (tool("pkcs11-tool"), tool("openssl")) else {
        return;
    };
    let tokens = Tokens::flash();
    std::fs::write(tokens.path("data"), "hello").unwrap();
    let sign = [
        "--sign",
        "-m",
        "ECDSA-SHA256",
        "--signature-format",
        "openssl",
        "--id",
        "01",
    ];
    let files = ["-i", "data", "-o", "sig"];
    tokens.as_user(&[&sign[..], &files].concat()).well();
    let read = [
        "--read-object",
        "--type",
        "pubkey",
        "--id",
        "01",
        "-o",
        "public.der",
    ];
    tokens.pkcs11_tool(&read).well();
    openssl_verifies(&tokens, "public.der", "sig", "data");

    let seen = |listed: Ended| listed.well().stdout.contains("Private Key Object");
    assert!(
        !seen(tokens.pkcs11_tool(&["-O"])),
        "a private key is seen without login"
    );
    assert!(seen(tokens.as_user(&["-O"])));
    tokens.as_user(&["--test"]).well();
    tokens.as_user(&["--test-fork"]).well();
    tokens
        .pkcs11_tool(&["--login", "--pin", "9999", "-O"])
        .refused(&["CKR_PIN_INCORRECT"]);
    tokens.as_user(&["--change-pin", "--new-pin", "4321"]).well();
    tokens.as_user(&["-O"]).refused(&["CKR_PIN_INCORRECT"]);
    let destroy = [
        "--login",
        "--pin",
        "4321",
        "--delete-object",
        "--type",
        "privkey",
        "--id",
        "01",
    ];
    tokens.pkcs11_tool(&destroy).well();
    assert!(!seen(tokens.pkcs11_tool(&["--login", "--pin", "4321", "-O"])));
}

#[test]
fn p11tool_lists_and_signs_and_generates() {
    let (Some(_), Some(p11tool)) = (tool("pkcs11-tool"), tool("p11tool")) else {
        return;
    };
    let tokens = Tokens::flash();
    let p11tool = |arguments: &[&str]| {
        let mut command = tokens.command(&p11tool);
        command
            .arg("--provider")
            .arg(module())
            .args(["--login", "--set-pin", "1234", "--batch"]);
        run(command.args(arguments)).well().stdout
    };
    let listed = p11tool(&["--list-all", "pkcs11:token=story"]);
    assert!(
        listed.contains("object=key;type=private") && listed.contains("CKA_NEVER_EXTRACTABLE"),
        "{listed}"
    );
    p11tool(&["--test-sign", KEY]);
    let generate = [
        "--generate-privkey",
        "ecdsa",
        "--curve",
        "secp384r1",
        "--label",
        "other",
    ];
    p11tool(&[&generate[..], &["pkcs11:token=story"]].concat());
    p11tool(&["--test-sign", "pkcs11:token=story;object=other;type=private"]);
}

#[test]
fn ssh_keygen_reads_the_public_key() {
    let (Some(_), Some(ssh_keygen)) = (tool("pkcs11-tool"), tool("ssh-keygen")) else {
        return;
    };
    let tokens = Tokens::flash();
    let read = run(tokens.command(&ssh_keygen).arg("-D").arg(module())).well();
    assert!(read.stdout.starts_with("ecdsa-sha2-nistp256 "), "{}", read.stdout);
}

#[test]
fn openssl_certifies_a_key_that_it_never_sees_and_the_certificate_joins_it() {
    let (Some(_), Some(openssl)) = (tool("pkcs11-tool"), tool("openssl")) else {
        return;
    };
    let tokens = Tokens::flash();
    if run(tokens.command(&openssl).args(["engine", "pkcs11"])).code != Some(0) {
        return stories::skip(
            "openssl's engine for PKCS #11",
            "apt-get install libengine-pkcs11-openssl",
        );
    }
    let config = format!(
        "openssl_conf = begin\n[begin]\nengines = engines\n[engines]\npkcs11 = pkcs11\n[pkcs11]\n\
         engine_id = pkcs11\nMODULE_PATH = {}\nPIN = 1234\n[req]\ndistinguished_name = name\n[name]\n",
        module().display()
    );
    std::fs::write(tokens.path("openssl.cnf"), config).unwrap();
    let mut certify = tokens.command(&openssl);
    certify.env("OPENSSL_CONF", tokens.path("openssl.cnf"));
    certify.args(["req", "-engine", "pkcs11", "-keyform", "engine", "-key", KEY]);
    certify.args([
        "-new", "-x509", "-subj", "/CN=key", "-days", "30", "-outform", "DER", "-out", "key.der",
    ]);
    run(&mut certify).well();
    tokens
        .as_user(&[
            "--write-object",
            "key.der",
            "--type",
            "cert",
            "--id",
            "01",
            "--label",
            "key",
        ])
        .well();
    let listed = tokens.pkcs11_tool(&["-O", "--type", "cert"]).well().stdout;
    assert!(listed.contains("CN=key"), "{listed}");
}
