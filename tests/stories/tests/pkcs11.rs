//! The module as every program finds it: slots from one file, and a reason when that file is wrong.
#![forbid(unsafe_code)]

use stories::tokens::{Backend, module};
use stories::{Ended, Tokens, run, tool};

#[test]
fn without_a_configuration_there_are_no_slots_and_with_a_wrong_one_it_says_why() {
    let Some(pkcs11_tool) = tool("pkcs11-tool") else {
        return;
    };
    let tokens = Tokens::empty(Backend::Flash);
    let config = tokens.path("elsewhere.toml");
    let slots = || -> Ended {
        let mut command = tokens.command(&pkcs11_tool);
        command.env("BIRTHMARK_PKCS11_CONF", &config);
        run(command.arg("--module").arg(module()).arg("-L"))
    };
    slots().refused(&["No slots"]);
    std::fs::write(&config, "[[slot]]\nbackend = \"tape\"\n").unwrap();
    slots().refused(&["birthmark pkcs11", "tape"]);
    std::fs::copy(tokens.path("pkcs11.toml"), &config).unwrap();
    assert!(slots().well().stdout.contains("story"));
}
