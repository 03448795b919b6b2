//! OpenSSL 3 through libp11's engine: it certifies a key that it never sees, proves it in TLS, and lends it to curl and nginx.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use stories::callers::Caller;
use stories::tokens::Backend;
use stories::{Cloud, Tokens, birthmark, run, tool, wait_until};

/// Requests at the same time.
const CLIENTS: usize = 6;

/// A program that finds engine and module through openssl's configuration.
fn with_engine(tokens: &Tokens, program: &Path) -> Command {
    let mut command = tokens.command(program);
    command.env("OPENSSL_CONF", tokens.path("openssl.cnf"));
    command
}

#[test]
fn openssl_requests_a_certificate_for_a_key_that_it_never_sees() {
    for backend in Backend::ALL {
        let (Some(openssl), Some(tokens)) = (tool("openssl"), Tokens::with_key(backend)) else {
            return;
        };
        if tokens.openssl_config().is_none() {
            return;
        }
        let caller = Caller::new("openssl", Command::new(&openssl).arg("version"));
        let mut request = with_engine(&tokens, &openssl);
        request.args(["req", "-new", "-subj", "/CN=story", "-out", "device.csr"]);
        request.args([
            "-engine",
            "pkcs11",
            "-keyform",
            "engine",
            "-key",
            &tokens.uri_with_pin(),
        ]);
        run(&mut request).well();
        let mut verify = tokens.command(&openssl);
        verify.args(["req", "-in", "device.csr", "-noout", "-verify", "-pubkey"]);
        let verified = run(&mut verify).well();
        assert!(verified.stderr.contains("verify OK"), "{}", verified.stderr);
        let public = std::fs::read_to_string(tokens.public_key_pem()).unwrap();
        assert_eq!(verified.stdout.trim(), public.trim());
        caller.did(
            &tokens,
            &["`req -engine pkcs11 -new`: a request signed by the key"],
        );
    }
}

/// What the cloud says of the last connection.
fn explained(cloud: &Path) -> String {
    let mut explain = birthmark();
    run(explain.arg("explain").arg("--data-dir").arg(cloud)).stderr
}

#[test]
fn openssl_proves_the_key_to_the_cloud() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cloud");
    let mut cloud = None;
    for backend in Backend::ALL {
        let (Some(openssl), Some(tokens)) = (tool("openssl"), Tokens::with_certificate(backend)) else {
            return;
        };
        if tokens.openssl_config().is_none() {
            return;
        }
        let cloud = cloud.get_or_insert_with(|| Cloud::start(&data, &[]));
        let caller = Caller::new("openssl", Command::new(&openssl).arg("version"));
        let mut client = with_engine(&tokens, &openssl);
        client.args(["s_client", "-connect", cloud.mqtt(), "-servername", "localhost"]);
        client
            .args(["-ign_eof", "-verify_return_error", "-CAfile"])
            .arg(cloud.server_ca());
        client.args([
            "-engine",
            "pkcs11",
            "-keyform",
            "engine",
            "-key",
            &tokens.uri_with_pin(),
        ]);
        let connected = run(client.args(["-cert", "device.pem"]));
        let said = format!("{}{}", connected.stdout, connected.stderr);
        assert!(said.contains("Verification: OK"), "{said}");
        // Nobody registered the authority, so it ends there; but the cloud knows who it was.
        let id = tokens.certificates().unwrap().id("device");
        let record = wait_until("the attempt record", || {
            let record = explained(&data);
            record.contains(&id).then_some(record)
        });
        assert!(record.contains("ok   tls.possession"), "{record}");
        caller.did(
            &tokens,
            &["`s_client`: mutual TLS, the cloud sees the key proven"],
        );
    }
}

/// nginx, ended with its workers when dropped.
struct Nginx(Child);

impl Nginx {
    /// Serves HTTPS with the key in the token on the socket `https`, for clients that have a certificate of the authority.
    fn start(tokens: &Tokens, program: &Path) -> Self {
        let config = format!(
            "daemon off; worker_processes 2; pid nginx.pid; error_log stderr; user root;\n\
             env BIRTHMARK_PKCS11_CONF; env OPENSSL_CONF; ssl_engine pkcs11;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n\
             uwsgi_temp_path u; scgi_temp_path s;\n\
             server {{ listen unix:{}/https ssl; ssl_certificate device.pem;\n\
             ssl_certificate_key \"engine:pkcs11:{}\";\n\
             ssl_client_certificate client.pem; ssl_verify_client on;\n\
             location / {{ return 200 \"$ssl_client_verify $ssl_client_s_dn\"; }} }} }}\n",
            tokens.path("").display(),
            tokens.uri_with_pin(),
        );
        std::fs::write(tokens.path("nginx.conf"), config).unwrap();
        let mut command = with_engine(tokens, program);
        command.arg("-p").arg(tokens.path("")).args(["-c", "nginx.conf"]);
        let log = std::fs::File::create(tokens.path("nginx.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut nginx = Self(command.spawn().unwrap());
        let socket = tokens.path("https");
        wait_until("nginx", || {
            if let Some(status) = nginx.0.try_wait().unwrap() {
                let log = std::fs::read_to_string(tokens.path("nginx.log")).unwrap();
                panic!("nginx ended with {status}:\n{log}");
            }
            socket.exists().then_some(())
        });
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers when it is asked to end, not when it is killed.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// A request to nginx on its socket.
fn curl(tokens: &Tokens, program: &Path, server: &Tokens) -> Command {
    let mut curl = with_engine(tokens, program);
    curl.args(["--silent", "--show-error", "--unix-socket"])
        .arg(server.path("https"));
    curl.arg("--cacert").arg(server.path("authority.pem"));
    curl.arg("https://story/");
    curl
}

#[test]
fn nginx_serves_with_a_key_in_one_token_and_curl_comes_with_a_key_in_another() {
    for (server, client) in [(Backend::Flash, Backend::Chip), (Backend::Chip, Backend::Flash)] {
        let programs = (tool("nginx"), tool("curl"));
        let tokens = (Tokens::with_certificate(server), Tokens::with_certificate(client));
        let ((Some(nginx), Some(curl_program)), (Some(server), Some(client))) = (programs, tokens) else {
            return;
        };
        if server.openssl_config().is_none() || client.openssl_config().is_none() {
            return;
        }
        // The client's authority is another one: the server must know it.
        std::fs::copy(client.path("authority.pem"), server.path("client.pem")).unwrap();
        let running = Nginx::start(&server, &nginx);
        let request = || curl(&client, &curl_program, &server);
        let anonymous = run(&mut request()).well().stdout;
        assert!(anonymous.contains("No required SSL certificate"), "{anonymous}");
        for _ in 0..4 {
            let mut request = request();
            request.args(["--engine", "pkcs11", "--key-type", "ENG", "--cert", "device.pem"]);
            let answer = run(request.args(["--key", &client.uri_with_pin()])).well().stdout;
            assert_eq!(answer, "SUCCESS CN=story");
        }
        drop(running);
        Caller::new("nginx", Command::new(nginx).arg("-v"))
            .did(&server, &["serves HTTPS with the key, two workers"]);
        Caller::new("curl", Command::new(curl_program).arg("--version"))
            .did(&client, &["proves the key as its client certificate's"]);
    }
}

/// Two workers serve with a key while several clients prove the same one: a token has many processes at a time.
#[test]
fn nginx_and_curl_share_one_token_at_the_same_time() {
    for backend in Backend::ALL {
        let programs = (tool("nginx"), tool("curl"));
        let ((Some(nginx), Some(curl_program)), Some(tokens)) = (programs, Tokens::with_certificate(backend))
        else {
            return;
        };
        if tokens.openssl_config().is_none() {
            return;
        }
        std::fs::copy(tokens.path("authority.pem"), tokens.path("client.pem")).unwrap();
        let running = Nginx::start(&tokens, &nginx);
        let key = tokens.uri_with_pin();
        let ask = || {
            let mut request = curl(&tokens, &curl_program, &tokens);
            request.args(["--engine", "pkcs11", "--key-type", "ENG", "--cert", "device.pem"]);
            run(request.args(["--key", &key])).well().stdout
        };
        let answers: Vec<String> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(answers, ["SUCCESS CN=story"; CLIENTS]);
        drop(running);
        let shares = |name, ask: &mut Command| {
            let things = ["nginx's workers and curl share one token at the same time"];
            Caller::new(name, ask).did(&tokens, &things);
        };
        shares("nginx", Command::new(&nginx).arg("-v"));
        shares("curl", Command::new(&curl_program).arg("--version"));
    }
}
