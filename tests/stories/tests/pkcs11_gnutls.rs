//! GnuTLS' `p11tool` and `p11-kit` find the tokens, by path and by the module file that a package installs.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use stories::callers::Caller;
use stories::tokens::{Backend, CERTIFICATE, KEY, PIN, TOKEN, module};
use stories::{Ended, Tokens, run, tool};

fn p11tool(tokens: &Tokens, arguments: &[&str]) -> Ended {
    let mut command = tokens.command(&tool("p11tool").unwrap());
    command.arg("--provider").arg(module()).arg("--batch");
    if tokens.backend() == Backend::Flash {
        command.args(["--login", "--set-pin", PIN]);
    }
    run(command.args(arguments))
}

#[test]
fn p11tool_lists_and_signs() {
    for backend in Backend::ALL {
        let (Some(program), Some(tokens)) = (tool("p11tool"), Tokens::with_certificate(backend)) else {
            return;
        };
        let caller = Caller::new("p11tool", Command::new(program).arg("--version"));
        let token = format!("pkcs11:token={TOKEN}");
        let listed = p11tool(&tokens, &["--list-all", &token]).well().stdout;
        for words in [
            "type=private",
            "type=public",
            "type=cert",
            "CKA_NEVER_EXTRACTABLE",
        ] {
            assert!(listed.contains(words), "no {words}:\n{listed}");
        }
        let signed = p11tool(&tokens, &["--test-sign", &tokens.uri()]).well();
        let signed = format!("{}{}", signed.stdout, signed.stderr);
        assert_eq!(signed.matches("... ok").count(), 3, "{signed}");
        let certificate = format!("{token};object={};type=cert", CERTIFICATE.replace(' ', "%20"));
        let exported = p11tool(&tokens, &["--export", &certificate]).well().stdout;
        assert!(exported.contains("BEGIN CERTIFICATE"), "{exported}");
        p11tool(&tokens, &["--export", &format!("{token};object=nothing")]).refused(&[]);
        caller.did(
            &tokens,
            &[
                "lists token and objects by URI",
                "signs and verifies (`--test-sign`)",
                "exports a certificate by URI",
            ],
        );
    }
}

#[test]
fn p11tool_generates_a_key() {
    for backend in Backend::ALL {
        let Some(program) = tool("p11tool") else {
            return;
        };
        let tokens = Tokens::empty(backend);
        let caller = Caller::new("p11tool", Command::new(program).arg("--version"));
        let token = format!("pkcs11:token={TOKEN}");
        let generate = ["--generate-privkey", "ecdsa", "--curve", "secp384r1"];
        // A chip has a place for each label that it knows.
        p11tool(&tokens, &[&generate[..], &["--label", KEY, &token]].concat()).well();
        p11tool(&tokens, &["--test-sign", &tokens.uri()]).well();
        caller.did(&tokens, &["generates a P-384 key, and signs with it"]);
    }
}

/// The module file of the package, for a module that lies somewhere else.
fn module_file(module: &Path) -> String {
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/p11-kit/birthmark.module");
    let text = fs::read_to_string(packaged).unwrap();
    let ours = "module: libbirthmark_pkcs11.so";
    assert!(text.lines().any(|line| line == ours), "{text}");
    text.replace(ours, &format!("module: {}", module.display()))
}

/// Somebody who is not root, since p11-kit does not look into root's own folder: their files, and what starts their programs.
struct Somebody {
    id: Option<u32>,
}

impl Somebody {
    /// The one who runs the test, unless that is root.
    fn new() -> Self {
        let root = run(Command::new("id").arg("-u")).well().stdout.trim() == "0";
        Self {
            id: root.then_some(65534),
        }
    }

    fn gets(&self, path: &Path) {
        if self.id.is_some() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            chown(path, self.id, self.id).unwrap();
        }
    }

    fn gets_all(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.gets_all(&path);
            }
            self.gets(&path);
        }
        self.gets(folder);
    }

    fn runs(&self, tokens: &Tokens, program: &Path) -> Command {
        let Some(id) = self.id.map(|id| id.to_string()) else {
            return tokens.command(program);
        };
        let mut command = tokens.command(&tool("setpriv").unwrap());
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(program);
        command
    }
}

/// Installs the module for one user, beside the token.
fn install(tokens: &Tokens) -> PathBuf {
    let copy = tokens.path("libbirthmark_pkcs11.so");
    fs::copy(module(), &copy).unwrap();
    let configured = tokens.path("config/pkcs11/modules");
    fs::create_dir_all(&configured).unwrap();
    fs::write(configured.join("birthmark.module"), module_file(&copy)).unwrap();
    tokens.path("config")
}

#[test]
fn p11_kit_shows_the_module_to_every_program() {
    for backend in Backend::ALL {
        let (Some(p11_kit), Some(p11tool)) = (tool("p11-kit"), tool("p11tool")) else {
            return;
        };
        let caller = Caller::of_version("p11-kit", &p11_kit_version());
        let tokens = Tokens::empty(backend);
        let (somebody, config) = (Somebody::new(), install(&tokens));
        if backend == Backend::Chip {
            // Who made the token has locked its bus already, and that lock is not another user's.
            let place = tokens.path("pkcs11.toml");
            let slot = fs::read_to_string(&place).unwrap();
            fs::write(place, format!("{slot}lock = {:?}\n", tokens.path("bus.lock"))).unwrap();
        }
        somebody.gets_all(&tokens.path(""));
        let tell = |program: &Path, arguments: &[&str]| {
            let mut command = somebody.runs(&tokens, program);
            command
                .env("XDG_CONFIG_HOME", &config)
                .env("HOME", tokens.path(""));
            run(command.args(arguments)).well().stdout
        };
        let listed = tell(&p11_kit, &["list-modules"]);
        let ours = listed.split("\nbirthmark: ").nth(1).unwrap_or_default();
        let words = [
            "library-manufacturer: Birthmark",
            "token: story",
            "token-initialized",
        ];
        for words in words {
            assert!(ours.contains(words), "no {words}:\n{listed}");
        }
        let tokens_listed = tell(&p11tool, &["--list-tokens"]);
        assert!(tokens_listed.contains("token=story"), "{tokens_listed}");
        caller.did(
            &tokens,
            &[
                "`list-modules` shows module and token from the packaged module file",
                "programs that ask p11-kit find the token without being told of the module",
            ],
        );
    }
}

/// p11-kit does not tell; its package does.
fn p11_kit_version() -> String {
    let mut ask = Command::new("dpkg-query");
    let asked = ask
        .args(["--showformat", "${Version}", "--show", "p11-kit"])
        .output();
    let told = asked.ok().filter(|said| said.status.success());
    let told = told.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let upstream = told.and_then(|told| told.split('-').next().map(str::to_owned));
    upstream.unwrap_or_else(|| "unknown".to_owned())
}
