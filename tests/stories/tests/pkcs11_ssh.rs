//! OpenSSH reads a public key from a token, certifies another with it, and signs with it through its agent.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use stories::callers::Caller;
use stories::tokens::{Backend, PIN, module};
use stories::{Ended, Tokens, run, tool, wait_until};

/// A program of OpenSSH that gets the PIN when it asks for it.
fn command(tokens: &Tokens, program: &str) -> Command {
    let mut command = tokens.command(&tool(program).unwrap());
    command.env("SSH_AUTH_SOCK", tokens.path("agent"));
    command.env("SSH_ASKPASS", tokens.path("askpass"));
    command.env("SSH_ASKPASS_REQUIRE", "force");
    command
}

fn ssh_keygen(tokens: &Tokens, arguments: &[&str]) -> Ended {
    run(command(tokens, "ssh-keygen").args(arguments))
}

/// ssh-agent; ended when dropped.
struct Agent(Child);

impl Agent {
    fn start(tokens: &Tokens) -> Self {
        let mut agent = command(tokens, "ssh-agent");
        agent.args(["-D", "-P", "*", "-a"]).arg(tokens.path("agent"));
        let quiet = agent
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let agent = Self(quiet.spawn().unwrap());
        wait_until("ssh-agent", || tokens.path("agent").exists().then_some(()));
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// What the agent signs with the key is believed, and nothing else.
fn signs_through_the_agent(tokens: &Tokens, public: &str) {
    let _agent = Agent::start(tokens);
    run(command(tokens, "ssh-add").arg("-s").arg(module())).well();
    let listed = run(command(tokens, "ssh-add").arg("-L")).well().stdout;
    let key = public.split(' ').nth(1).unwrap();
    assert!(listed.contains(key), "{listed}");
    fs::write(tokens.path("key.pub"), public).unwrap();
    fs::write(tokens.path("data"), "hello").unwrap();
    ssh_keygen(tokens, &["-Y", "sign", "-n", "story", "-f", "key.pub", "data"]).well();
    let (kind, allowed) = (public.split(' ').next().unwrap(), tokens.path("allowed"));
    fs::write(&allowed, format!("device {kind} {key}\n")).unwrap();
    let verify = |data: &str| {
        let who = ["-Y", "verify", "-n", "story", "-f", "allowed", "-I", "device"];
        let mut verify = command(tokens, "ssh-keygen");
        verify.args(who).args(["-s", "data.sig"]);
        verify.stdin(fs::File::open(tokens.path(data)).unwrap());
        verify.output().unwrap().status.success()
    };
    assert!(verify("data"));
    assert!(!verify("allowed"));
}

#[test]
fn ssh_uses_a_key_in_a_token() {
    for backend in Backend::ALL {
        let (Some(ssh), Some(_), Some(tokens)) = (tool("ssh"), tool("ssh-agent"), Tokens::with_key(backend))
        else {
            return;
        };
        let caller = Caller::new("ssh", Command::new(ssh).arg("-V"));
        let askpass = tokens.path("askpass");
        fs::write(&askpass, format!("#!/bin/sh\necho {PIN}\n")).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o755)).unwrap();
        let module = module();
        let module = module.to_str().unwrap();
        let public = ssh_keygen(&tokens, &["-D", module]).well().stdout;
        assert!(public.starts_with("ecdsa-sha2-nistp256 "), "{public}");

        fs::write(tokens.path("ca.pub"), &public).unwrap();
        ssh_keygen(&tokens, &["-q", "-t", "ed25519", "-N", "", "-f", "user"]).well();
        let certify = ["-q", "-s", "ca.pub", "-D", module, "-I", "somebody", "-n", "user"];
        ssh_keygen(&tokens, &[&certify[..], &["user.pub"]].concat()).well();
        let certificate = ssh_keygen(&tokens, &["-L", "-f", "user-cert.pub"]).well().stdout;
        assert!(certificate.contains("Signing CA: ECDSA"), "{certificate}");
        signs_through_the_agent(&tokens, &public);
        caller.did(
            &tokens,
            &[
                "`ssh-keygen -D` reads the public key",
                "`ssh-keygen -s` certifies a user's key with it",
                "`ssh-add -s`: the agent signs with it",
            ],
        );
    }
}
