//! The programs that people use a token with: what each must be told, and a command that proves that it works.
//!
//! Every line is complete and can be pasted into a shell; `birthmark token list --lines` prints them and `birthmark token
//! doctor` runs exactly them. A PIN is in none of them: they name the file that has it.

use std::path::{Path, PathBuf};

/// One private key of one token, as programs find it.
pub(super) struct Key {
    /// The PKCS #11 module.
    pub(super) module: PathBuf,
    /// The number of the slot.
    pub(super) slot: usize,
    /// What the token is called.
    pub(super) token: String,
    /// The key's URI: token, id, type (RFC 7512).
    pub(super) uri: String,
    /// The key's id in hex.
    pub(super) id: String,
    /// What the key is called.
    pub(super) label: String,
    /// The file with the user's PIN, if the token has a login.
    pub(super) pin_file: Option<PathBuf>,
}

/// Makes the file that a program reads: name and text.
pub(super) type MakeFile = fn(&Key) -> (&'static str, String);

/// A program, and what to tell it.
pub(super) struct Caller {
    /// What people call it.
    pub(super) name: &'static str,
    /// The program that must be there.
    pub(super) program: &'static str,
    /// A file that it reads.
    pub(super) file: Option<MakeFile>,
    /// A shell command that ends well when it works.
    pub(super) proof: fn(&Key) -> String,
}

/// All of them.
pub(super) const CALLERS: &[Caller] = &[
    Caller {
        name: "pkcs11-tool",
        program: "pkcs11-tool",
        file: None,
        proof: |key| {
            let (before, login) = match &key.pin_file {
                Some(file) => (
                    format!("PIN=\"$(cat {})\" ", quoted(file)),
                    " --login --pin env:PIN",
                ),
                None => (String::new(), ""),
            };
            format!(
                "echo hello | {before}pkcs11-tool --module {} --token-label {}{login} --sign -m ECDSA-SHA256 --id {} -o /dev/null",
                quoted(&key.module),
                quoted(Path::new(&key.token)),
                key.id,
            )
        },
    },
    Caller {
        name: "p11tool",
        program: "p11tool",
        file: None,
        proof: |key| {
            let (before, login) = match &key.pin_file {
                Some(file) => (format!("GNUTLS_PIN=\"$(cat {})\" ", quoted(file)), " --login"),
                None => (String::new(), ""),
            };
            format!(
                "{before}p11tool --provider {} --batch{login} --test-sign '{}'",
                quoted(&key.module),
                key.uri
            )
        },
    },
    Caller {
        name: "openssl",
        program: "openssl",
        file: Some(engine_file),
        proof: |key| format!("{} -out request.pem", request(key)),
    },
    Caller {
        name: "curl",
        program: "curl",
        file: Some(engine_file),
        proof: |_| "OPENSSL_CONF=openssl.cnf curl --engine list | grep -w pkcs11".to_owned(),
    },
    Caller {
        name: "nginx",
        program: "nginx",
        file: Some(|key| {
            let text = format!(
                "# besides openssl.cnf, which nginx must be started with: OPENSSL_CONF=openssl.cnf\n\
                 pid nginx.pid; error_log stderr; ssl_engine pkcs11;\n\
                 env OPENSSL_CONF; env BIRTHMARK_PKCS11_CONF;\n\
                 events {{}}\n\
                 http {{ server {{ listen 127.0.0.1:8445 ssl; ssl_certificate certificate.pem;\n\
                 ssl_certificate_key \"engine:pkcs11:{}\"; }} }}\n",
                with_pin(key)
            );
            ("nginx.conf", text)
        }),
        proof: |key| {
            format!(
                "{} -x509 -out certificate.pem && OPENSSL_CONF=openssl.cnf nginx -t -p . -e stderr -c \"$PWD/nginx.conf\"",
                request(key)
            )
        },
    },
    Caller {
        name: "ssh",
        program: "ssh-keygen",
        file: Some(|key| {
            let text = format!("PKCS11Provider {}\n", key.module.display());
            ("ssh_config", text)
        }),
        proof: |key| format!("ssh-keygen -D {} | grep ecdsa-sha2", quoted(&key.module)),
    },
    Caller {
        name: "java",
        program: "keytool",
        file: Some(|key| {
            let text = format!(
                "name = Birthmark\nlibrary = {}\nslotListIndex = {}\n",
                key.module.display(),
                key.slot
            );
            ("java.cfg", text)
        }),
        proof: |key| {
            let pin = match &key.pin_file {
                Some(file) => format!("-storepass:file {}", quoted(file)),
                None => "-storepass none".to_owned(),
            };
            format!(
                "keytool -list -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg java.cfg {pin}"
            )
        },
    },
];

/// What others must be told, that have no command which proves it at once.
pub(super) fn in_programs(key: &Key) -> String {
    let pin = key.pin_file.as_deref().map_or_else(
        || "\"0000\"".to_owned(),
        |file| format!("open(\"{}\").read().strip()", file.display()),
    );
    format!(
        "p11-kit (birthmark.module in the folder that `pkg-config --variable=p11_module_configs p11-kit-1` names):\n  module: {module}\n\
         python-pkcs11:\n  pkcs11.lib(\"{module}\").get_token(token_label=\"{token}\").open(user_pin={pin})\n\
         AWS IoT Device SDK for Python:\n  mtls_with_pkcs11(pkcs11_lib=io.Pkcs11Lib(file=\"{module}\"), user_pin={pin}, \
         token_label=\"{token}\", private_key_label=\"{label}\", cert_filepath=..., endpoint=...)\n",
        module = key.module.display(),
        token = key.token,
        label = key.label,
    )
}

/// A configuration of openssl that has libp11's engine with our module.
fn engine_file(key: &Key) -> (&'static str, String) {
    let text = format!(
        "openssl_conf = begin\n[begin]\nengines = engines\n[engines]\npkcs11 = pkcs11\n[pkcs11]\nengine_id = pkcs11\n\
         MODULE_PATH = {}\ninit = 1\n[req]\ndistinguished_name = name\n[name]\n",
        key.module.display()
    );
    ("openssl.cnf", text)
}

fn request(key: &Key) -> String {
    format!(
        "OPENSSL_CONF=openssl.cnf openssl req -new -subj /CN=test -engine pkcs11 -keyform engine -key '{}'",
        with_pin(key)
    )
}

/// The URI with where the PIN is.
fn with_pin(key: &Key) -> String {
    match &key.pin_file {
        Some(file) => format!("{}?pin-source=file:{}", key.uri, file.display()),
        None => key.uri.clone(),
    }
}

/// For a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pin_file: Option<&str>) -> Key {
        Key {
            module: "/lib/it's.so".into(),
            slot: 1,
            token: "my token".into(),
            uri: "pkcs11:token=my%20token;id=%01;type=private".into(),
            id: "01".into(),
            label: "key".into(),
            pin_file: pin_file.map(PathBuf::from),
        }
    }

    #[test]
    fn lines_name_the_file_of_the_pin_and_quote_what_a_shell_would_split() {
        let (with, without) = (key(Some("/p")), key(None));
        for caller in CALLERS {
            let (with, without) = ((caller.proof)(&with), (caller.proof)(&without));
            assert!(
                !without.contains("/p'") && !without.contains("file:"),
                "{without}"
            );
            assert!(!with.contains(" my token"), "{with}");
        }
        let proof = (CALLERS[0].proof)(&with);
        assert!(proof.contains("--module '/lib/it'\\''s.so'"), "{proof}");
        assert!(proof.contains("cat '/p'"), "{proof}");
    }
}
