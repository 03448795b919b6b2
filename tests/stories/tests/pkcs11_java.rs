//! Java's SunPKCS11 shows a key with its certificate as an entry of a key store, and signs with it.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::tokens::{Backend, CERTIFICATE, PIN, module};
use stories::{Tokens, run, tool};

#[test]
fn java_signs_with_an_entry_of_its_key_store() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/Sign.java");
    for backend in Backend::ALL {
        let tools = (tool("java"), tool("javac"), tool("keytool"));
        let ((Some(java), Some(_), Some(keytool)), Some(tokens)) = (tools, Tokens::with_certificate(backend))
        else {
            return;
        };
        let caller = Caller::new("java", Command::new(&java).arg("-version"));
        let config = format!(
            "name = Story\nlibrary = {}\nslotListIndex = 0\n",
            module().display()
        );
        std::fs::write(tokens.path("java.cfg"), config).unwrap();
        let mut list = tokens.command(&keytool);
        list.args([
            "-list",
            "-keystore",
            "NONE",
            "-storetype",
            "PKCS11",
            "-storepass",
            PIN,
        ]);
        list.args(["-addprovider", "SunPKCS11", "-providerArg", "java.cfg"]);
        let listed = run(&mut list).well().stdout;
        assert!(
            listed.contains(&format!("{CERTIFICATE}, PrivateKeyEntry")),
            "{listed}"
        );
        let mut sign = tokens.command(&java);
        sign.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1"])
            .arg(&program);
        sign.args(["java.cfg", PIN, CERTIFICATE, "signature", "SHA256withECDSA"]);
        let signed = run(&mut sign).well().stdout;
        assert_eq!(signed.trim(), "verified");
        std::fs::write(tokens.path("data"), "hello").unwrap();
        tokens.openssl_verifies("signature", "data");
        caller.did(
            &tokens,
            &[
                "`keytool -list` shows key and certificate as one entry",
                "SHA256withECDSA with the entry; Java and openssl believe it",
            ],
        );
    }
}
