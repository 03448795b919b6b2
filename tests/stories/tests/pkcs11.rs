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
