//! Programs use the module under valgrind, and valgrind finds no error that goes through the module.
//!
//! `cargo xtask valgrind` runs all of them (`BIRTHMARK_EVERY_CALLER=1`); among the other stories it is one short one.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]
#![expect(clippy::print_stderr, reason = "a person who waits wants to know for what")]

use std::fs;

use stories::tokens::{Backend, KEY, PIN, module};
use stories::{Tokens, run, tool};

/// Errors of others that valgrind knows nothing of. There are none yet: each would need its reason here.
const SUPPRESSIONS: &str = "";
const MODULE: &str = "libbirthmark_pkcs11.so";

/// Runs a program under valgrind; the errors whose stack goes through the module.
fn errors(tokens: &Tokens, program: &str, arguments: &[&str]) -> Vec<String> {
    // A forked child leaves its parent's library as it is, for ever and on purpose.
    let leaks = if arguments.contains(&"--test-fork") {
        "no"
    } else {
        "full"
    };
    let (valgrind, program) = (tool("valgrind").unwrap(), tool(program).unwrap());
    eprintln!("valgrind {} {arguments:?}", program.display());
    fs::write(tokens.path("suppressions"), SUPPRESSIONS).unwrap();
    let log = tokens.path("valgrind.log");
    let mut command = tokens.command(&valgrind);
    command.args(["--quiet", "--track-fds=no"]);
    command.arg(format!("--leak-check={leaks}"));
    command.args(["--errors-for-leak-kinds=definite", "--num-callers=40"]);
    command.arg(format!("--log-file={}", log.display()));
    command.arg(format!(
        "--suppressions={}",
        tokens.path("suppressions").display()
    ));
    let _ = run(command.arg(program).args(arguments)).well();
    let said = fs::read_to_string(log).unwrap();
    assert!(!said.contains("FATAL") && !said.contains("unhandled"), "{said}");
    // One error is some lines; a line with nothing but the process id ends it.
    let ends = |line: &str| line.trim_end().ends_with("==") && !line.contains(' ');
    let lines: Vec<&str> = said.lines().collect();
    let blocks = lines.split(|line| ends(line.trim_end()));
    let ours = blocks.filter(|block| block.iter().any(|line| line.contains(MODULE)));
    ours.map(|block| block.join("\n")).collect()
}

fn all() -> bool {
    std::env::var_os("BIRTHMARK_EVERY_CALLER").is_some()
}

#[test]
fn valgrind_finds_no_error_of_the_module() {
    if tool("valgrind").is_none() || tool("p11tool").is_none() || tool("ssh-keygen").is_none() {
        return;
    }
    let Some(tokens) = Tokens::with_key(Backend::Flash) else {
        return;
    };
    let module = module();
    let module = module.to_str().unwrap();
    let none = Vec::<String>::new();
    assert_eq!(errors(&tokens, "ssh-keygen", &["-D", module]), none);
    if !all() {
        return;
    }
    let login = ["--module", module, "--login", "--pin", PIN];
    fs::write(tokens.path("data"), "hello").unwrap();
    let sign = [
        "--sign",
        "-m",
        "ECDSA-SHA256",
        "--label",
        KEY,
        "-i",
        "data",
        "-o",
        "sig",
    ];
    let make = [
        "--keypairgen",
        "--key-type",
        "rsa:2048",
        "--label",
        "rsa",
        "--usage-sign",
    ];
    for arguments in [&["--test"][..], &sign, &make, &["-O"], &["--test-fork"]] {
        assert_eq!(
            errors(&tokens, "pkcs11-tool", &[&login, arguments].concat()),
            none
        );
    }
    let provider = ["--provider", module, "--login", "--set-pin", PIN, "--batch"];
    let uri = tokens.uri();
    for arguments in [["--list-all", "pkcs11:token=story"], ["--test-sign", &uri]] {
        assert_eq!(
            errors(&tokens, "p11tool", &[&provider[..], &arguments].concat()),
            none
        );
    }
}
