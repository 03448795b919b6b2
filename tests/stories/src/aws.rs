//! The AWS command line as its users run it: credentials, CA bundle and endpoint from what `serve` wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Cloud, Ended, run, tool};

/// The AWS command line, pointed at one cloud.
#[derive(Debug)]
pub struct Aws {
    program: PathBuf,
    endpoint: String,
    ca_bundle: PathBuf,
    credentials: PathBuf,
}

impl Aws {
    pub(crate) fn new(cloud: &Cloud) -> Option<Self> {
        Some(Self {
            program: tool("aws")?,
            endpoint: format!("https://{}", cloud.api()),
            ca_bundle: cloud.server_ca().to_path_buf(),
            credentials: cloud.credentials().to_path_buf(),
        })
    }

    /// The same with another access key file.
    #[must_use]
    pub fn with_credentials(mut self, file: &Path) -> Self {
        self.credentials = file.to_path_buf();
        self
    }

    /// Runs `aws iot ...`; the answer as JSON (null when it is empty).
    #[track_caller]
    pub fn iot(&self, arguments: &[&str]) -> Value {
        let ended = self.try_iot(arguments).well();
        if ended.stdout.trim().is_empty() {
            Value::Null
        } else {
            ended.json()
        }
    }

    /// Runs `aws iot ...` and demands that it is refused with these words.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str], words: &[&str]) {
        let _ = self.try_iot(arguments).refused(words);
    }

    /// Runs `aws iot ...`, whatever comes of it.
    #[track_caller]
    #[must_use]
    pub fn try_iot(&self, arguments: &[&str]) -> Ended {
        run(self.command().arg("iot").args(arguments))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for key in [
            "AWS_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL",
        ] {
            command.env_remove(key);
        }
        command
            .env("AWS_SHARED_CREDENTIALS_FILE", &self.credentials)
            .env("AWS_CONFIG_FILE", Path::new("/dev/null"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_PAGER", "")
            .env("NO_PROXY", "*")
            .args([
                "--region",
                "us-east-1",
                "--output",
                "json",
                "--endpoint-url",
                &self.endpoint,
            ])
            .arg("--ca-bundle")
            .arg(&self.ca_bundle);
        command
    }
}
