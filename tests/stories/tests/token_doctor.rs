//! `birthmark token`: made with PINs from files, listed with what each program must be told, and tried out by the programs.
#![forbid(unsafe_code)]

use stories::tokens::{Backend, PIN, TOKEN};
use stories::{Ended, Tokens, birthmark, run, tool};

/// `birthmark token NAME` for the token's configuration.
fn token(tokens: &Tokens, name: &str, arguments: &[&str]) -> Ended {
    let mut command = birthmark();
    command.args(["token", name]).args(arguments);
    command.arg("--config").arg(tokens.path("pkcs11.toml"));
    if tokens.backend() == Backend::Flash {
        command.arg("--pin-file").arg(tokens.path("pin"));
    }
    run(&mut command)
}

#[test]
fn the_doctor_runs_every_program_that_is_there() {
    for backend in Backend::ALL {
        let Some(tokens) = Tokens::with_key(backend) else {
            return;
        };
        let lines = token(&tokens, "list", &["--lines"]).well().stdout;
        assert!(lines.contains(&format!("# {}", tokens.uri())), "{lines}");
        for word in ["mtls_with_pkcs11", "engine_id = pkcs11", "p11tool --provider"] {
            assert!(lines.contains(word), "no {word}:\n{lines}");
        }
        assert!(!lines.contains(PIN), "a PIN is told:\n{lines}");

        let said = token(&tokens, "doctor", &[]).well().stdout;
        for (name, program) in [
            ("pkcs11-tool", "pkcs11-tool"),
            ("p11tool", "p11tool"),
            ("openssl", "openssl"),
            ("curl", "curl"),
            ("nginx", "nginx"),
            ("ssh", "ssh-keygen"),
            ("java", "keytool"),
        ] {
            let there = tool(program).is_some();
            assert!(!there || said.contains(&format!("ok  {name}: works")), "{said}");
        }
        let open = said.contains("any local user can sign");
        assert_eq!(open, backend == Backend::Chip, "{said}");
    }
}

#[test]
fn the_doctor_says_what_fails_and_why() {
    let (Some(tokens), Some(_)) = (Tokens::with_key(Backend::Chip), tool("ssh-keygen")) else {
        return;
    };
    let broken = tokens.path("broken.so");
    std::fs::write(&broken, "no module").unwrap();
    let said = token(&tokens, "doctor", &["--module", broken.to_str().unwrap()]);
    let said = said.refused(&["BAD pkcs11-tool", "BAD p11tool", "BAD ssh", "what was run"]);
    assert!(said.stdout.contains("ok  slot 0"), "{}", said.stdout);
    std::fs::write(
        tokens.path("pkcs11.toml"),
        "[[slot]]\nbackend = \"flash\"\ndirectory = \"nowhere\"\n",
    )
    .unwrap();
    token(&tokens, "doctor", &[]).refused(&["BAD slot 0", "not initialized"]);
}

#[test]
fn there_is_no_default_pin_but_for_those_who_ask() {
    let folder = tempfile::tempdir().unwrap();
    let init = |name: &str, arguments: &[&str]| {
        let mut command = birthmark();
        command.args(["token", "init", "--backend", "flash", "--label", TOKEN]);
        run(command.arg("--dir").arg(folder.path().join(name)).args(arguments))
    };
    init("none", &[]).refused(&["--pin-file"]);
    let said = init("dev", &["--freertos-dev"]).well();
    assert!(said.stderr.contains("never ship"), "{}", said.stderr);
    let pin = folder.path().join("pin");
    let list = |text: &str| {
        std::fs::write(&pin, text).unwrap();
        let mut command = birthmark();
        command
            .args(["token", "list", "--config"])
            .arg(folder.path().join("dev/pkcs11.toml"));
        run(command.arg("--pin-file").arg(&pin))
    };
    list("0000\n").well();
    list("1111\n").refused(&["could not log in"]);
}

#[test]
fn a_chip_has_the_pin_that_its_machine_asks_for() {
    let tokens = Tokens::empty(Backend::Chip);
    let dir = tokens.path("guarded");
    let mut init = birthmark();
    init.args(["token", "init", "--backend", "chip", "--label", TOKEN]);
    init.args(["--chip", tokens.chip().unwrap(), "--dir"]).arg(&dir);
    init.arg("--pin-file").arg(tokens.path("pin"));
    run(init.arg("--so-pin-file").arg(tokens.path("so-pin"))).well();
    let list = |pin: &str| {
        let mut command = birthmark();
        command
            .args(["token", "list", "--config"])
            .arg(dir.join("pkcs11.toml"));
        run(command.arg("--pin-file").arg(tokens.path(pin)))
    };
    list("pin").well();
    list("so-pin").refused(&["could not log in"]);
    let mut doctor = birthmark();
    doctor
        .args(["token", "doctor", "--config"])
        .arg(dir.join("pkcs11.toml"));
    let said = run(&mut doctor).well().stdout;
    assert!(!said.contains("any local user"), "{said}");
}
