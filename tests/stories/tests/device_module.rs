//! A device whose token is somebody else's: SoftHSM, by the path of its module. The device sees labels and nothing else.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use stories::tokens::{Backend, TOKEN, module};
use stories::{Cloud, Tokens, birthmark, run, tool};
use tempfile::TempDir;

const PIN: &str = "2468";

/// A SoftHSM of our own with one token.
struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// Where Debian puts it.
    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

    fn new() -> Option<Self> {
        let util = tool("softhsm2-util")?;
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let config = format!("directories.tokendir = {}\n", tokens.display());
        std::fs::write(folder.path().join("softhsm2.conf"), config).unwrap();
        std::fs::write(folder.path().join("pin"), PIN).unwrap();
        let soft = Self { folder };
        let mut init = Command::new(util);
        init.args(["--init-token", "--free", "--label", "lamp"]);
        init.args(["--pin", PIN, "--so-pin", "13579"]);
        run(soft.configured(&mut init)).well();
        Some(soft)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configured<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
    }
}

/// `birthmark device NAME` with a module.
fn device(name: &str, module: &Path, token: &str, pin: &Path) -> Command {
    let mut command = birthmark();
    command.args(["device", name, "--module"]).arg(module);
    command.args(["--token", token, "--pin-file"]).arg(pin);
    command
}

/// What `enroll` says on top of that.
fn enrolling<'a>(command: &'a mut Command, cloud: &Cloud) -> &'a mut Command {
    let port = |place: &str| place.rsplit_once(':').unwrap().1.to_owned();
    command.args(["--json", "--thing", "lamp-1", "--policy", "lamps"]);
    command.args(["--mqtt", &format!("localhost:{}", cloud.mqtt_port())]);
    command.args([
        "--endpoint-url",
        &format!("https://localhost:{}", port(cloud.api())),
    ]);
    command.arg("--ca-bundle").arg(cloud.server_ca());
    command.arg("--credentials").arg(cloud.credentials())
}

/// The cloud's certificates have a common name that is no thing's.
fn connecting<'a>(command: &'a mut Command, cloud: &Cloud) -> &'a mut Command {
    command.args(["--client-id", "lamp-1"]);
    command.args(["--mqtt", &format!("localhost:{}", cloud.mqtt_port())])
}

#[test]
fn a_device_lives_in_somebody_elses_module() {
    let Some(soft) = SoftHsm::new() else {
        return;
    };
    let cloud = Cloud::start(&soft.path("cloud"), &[]);
    let module = Path::new(SoftHsm::MODULE);
    let (pin, wrong) = (soft.path("pin"), soft.path("wrong"));
    let command = |name: &str| device(name, module, "lamp", &pin);

    let enrolled = run(soft.configured(enrolling(&mut command("enroll"), &cloud)));
    assert_eq!(enrolled.well().json()["connected"], true);
    run(soft.configured(connecting(&mut command("run"), &cloud))).well();
    let again = run(soft.configured(enrolling(&mut command("enroll"), &cloud)));
    again.refused(&["--overwrite", "would be lost"]);
    let mut replaced = command("enroll");
    run(soft.configured(enrolling(&mut replaced, &cloud).arg("--overwrite"))).well();
    run(soft.configured(connecting(&mut command("run"), &cloud))).well();

    std::fs::write(&wrong, "8642").unwrap();
    let mut intruder = device("run", module, "lamp", &wrong);
    run(soft.configured(connecting(&mut intruder, &cloud))).refused(&["PIN"]);
    let mut nowhere = device("run", module, "lantern", &pin);
    run(soft.configured(connecting(&mut nowhere, &cloud))).refused(&["no such initialized token"]);
}

#[test]
fn our_own_module_is_a_module_like_any_other() {
    let tokens = Tokens::empty(Backend::Flash);
    let cloud = Cloud::start(&tokens.path("cloud"), &[]);
    let module = module();
    let command = |name: &str| {
        let mut command = device(name, &module, TOKEN, &tokens.path("pin"));
        command.env("BIRTHMARK_PKCS11_CONF", tokens.path("pkcs11.toml"));
        command
    };
    run(enrolling(&mut command("enroll"), &cloud)).well();
    run(connecting(&mut command("run"), &cloud)).well();
}
