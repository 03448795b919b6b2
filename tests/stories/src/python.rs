//! Programs in Python that speak with one cloud through boto3, as its users write them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Cloud, run, tool};

/// The interpreter of the environment that `cargo xtask test` makes, pointed at one cloud.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Python {
    /// For this cloud; `None` when the environment is missing and the test was counted as skipped.
    #[must_use]
    pub fn of(cloud: &Cloud) -> Option<Self> {
        let text = |path: &Path| path.display().to_string();
        Some(
            Self::alone()?
                .with("CLOUD_API", &format!("https://{}", cloud.api()))
                .with("CLOUD_MQTT", cloud.mqtt())
                .with("CLOUD_CA", &text(cloud.server_ca()))
                .with("AWS_SHARED_CREDENTIALS_FILE", &text(cloud.credentials())),
        )
    }

    /// For a program that starts its cloud itself.
    #[must_use]
    pub fn alone() -> Option<Self> {
        Some(Self {
            program: tool("python")?,
            settings: vec![
                ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
                ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
                ("NO_PROXY", "*".to_owned()),
            ],
        })
    }

    /// The same with one more variable that the program reads.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Runs `python/NAME.py` to its end; it must end well. Gives what it printed.
    #[track_caller]
    pub fn runs(&self, name: &str) -> String {
        self.runs_with(name, &[])
    }

    /// The same with arguments.
    #[track_caller]
    pub fn runs_with(&self, name: &str, arguments: &[&str]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut command = Command::new(&self.program);
        for key in [
            "AWS_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            command.env_remove(key);
        }
        command
            .arg("-B")
            .arg(folder.join(name).with_extension("py"))
            .args(arguments)
            .envs(self.settings.iter().map(|(key, value)| (key, value.as_str())));
        run(&mut command).well().stdout
    }
}
