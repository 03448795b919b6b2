//! Python uses a token through python-pkcs11 and through PyKCS11.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::tokens::{Backend, KEY, PIN, TOKEN, module};
use stories::{Tokens, run, tool};

/// Runs a program of ours with each backend; it checks everything itself.
fn uses(program: &str, package: &'static str, did: &[&str]) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(program);
    for backend in Backend::ALL {
        let (Some(python), Some(tokens)) = (tool("python"), Tokens::with_certificate(backend)) else {
            return;
        };
        let ask = format!("import importlib.metadata as m; print(m.version('{package}'))");
        let caller = Caller::new(package, Command::new(&python).args(["-c", &ask]));
        let mut command = tokens.command(&python);
        command.arg(&program).arg(module());
        let ended = run(command.args([TOKEN, PIN, KEY, backend.name()])).well();
        assert_eq!(ended.stdout.trim(), "done");
        caller.did(&tokens, did);
    }
}

#[test]
fn python_pkcs11_uses_a_token() {
    uses(
        "token_python_pkcs11.py",
        "python-pkcs11",
        &[
            "finds key, public key and certificate; leaves a search unfinished",
            "signs and verifies, digests in parts, takes random bytes",
            "is refused the value of the private key",
        ],
    );
}

#[test]
fn pykcs11_uses_a_token() {
    uses(
        "token_pykcs11.py",
        "PyKCS11",
        &[
            "logs in and out, reads attributes",
            "signs and verifies, digests in parts, takes random bytes",
        ],
    );
}
