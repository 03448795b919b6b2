//! The access key of the API, in the file format that every AWS tool reads.
//!
//! It is made at the first start. Its prefix is not one of AWS's, so that a leaked key is not mistaken for one of theirs.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::AccountId;
use zeroize::Zeroizing;

use crate::api::AccessKey;
use crate::clock;
use crate::config::Role;
use crate::error::Error;
use crate::files::{self, Readers};

const PREFIX: &str = "BMKA";
/// The profiles that the file is written with: tools without a profile use the first.
const PROFILES: [&str; 2] = ["default", "birthmark"];

/// The access key in the file at `path`; it is made if there is none.
pub(crate) fn access_key(path: &Path, account: AccountId) -> Result<AccessKey, Error> {
    match files::read_text(path)?.map(Zeroizing::new) {
        Some(text) => parse(&text, account).ok_or_else(|| Error::Identity {
            path: path.to_owned(),
            what: "its profile [default] has no aws_access_key_id and aws_secret_access_key".into(),
        }),
        None => fresh_access_key(path, account),
    }
}

/// The profile `default` of somebody else's file: the id of its access key, and the secret.
pub(crate) fn read_credentials(path: &Path) -> Result<(String, Zeroizing<String>), Error> {
    let wrong = || Error::Identity {
        path: path.to_owned(),
        what: "its profile [default] has no aws_access_key_id and aws_secret_access_key".into(),
    };
    let text = files::read_text(path)?.map(Zeroizing::new).ok_or_else(wrong)?;
    let key = parse(&text, AccountId::default()).ok_or_else(wrong)?;
    Ok((key.id, key.secret))
}

/// A new access key, in the file at `path` whatever was there.
pub(crate) fn fresh_access_key(path: &Path, account: AccountId) -> Result<AccessKey, Error> {
    let key = make(account).map_err(Error::Issue)?;
    files::write(path, render(&key).as_bytes(), Readers::Owner)?;
    Ok(key)
}

/// A random name of an access key that begins so.
pub(crate) fn access_key_name(prefix: &str) -> Result<String, identity::Error> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters =
        clock::random::<16>()?.map(|byte| ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'A'));
    Ok(letters.iter().fold(prefix.to_owned(), |id, letter| {
        id + &char::from(*letter).to_string()
    }))
}

fn make(account: AccountId) -> Result<AccessKey, identity::Error> {
    let id = access_key_name(PREFIX)?;
    let secret = Zeroizing::new(clock::random::<30>()?);
    Ok(AccessKey {
        id,
        secret: Zeroizing::new(STANDARD.encode(secret.as_slice())),
        account,
        role: Role::Admin,
        regions: Vec::new(),
    })
}

fn render(key: &AccessKey) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for profile in PROFILES {
        text.push_str(&format!("[{profile}]\naws_access_key_id = {}\n", key.id));
        text.push_str("aws_secret_access_key = ");
        text.push_str(&key.secret);
        text.push('\n');
    }
    text
}

/// Reads the profile `default` ("Configuration and credential file settings" of the AWS CLI user guide).
fn parse(text: &str, account: AccountId) -> Option<AccessKey> {
    let lines = text.lines().map(str::trim);
    let profile = lines
        .skip_while(|line| *line != "[default]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let (mut id, mut secret) = (None, None);
    for (name, value) in profile.filter_map(|line| line.split_once('=')) {
        match name.trim() {
            "aws_access_key_id" => id = Some(value.trim().to_owned()),
            "aws_secret_access_key" => secret = Some(Zeroizing::new(value.trim().to_owned())),
            _ => {}
        }
    }
    Some(AccessKey {
        id: id.filter(|id| !id.is_empty())?,
        secret: secret.filter(|secret| !secret.is_empty())?,
        account,
        role: Role::Admin,
        regions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let made = access_key(&path, AccountId::default()).unwrap();
        assert!(made.id.starts_with("BMKA") && made.id.len() == 20 && made.secret.len() == 40);
        let read = access_key(&path, AccountId::default()).unwrap();
        assert_eq!((read.id, read.secret), (made.id, made.secret));
    }

    #[test]
    fn what_others_wrote_is_read_or_refused() {
        let read = |text: &str| parse(text, AccountId::default()).map(|key| (key.id, key.secret.to_string()));
        let both = "[other]\naws_access_key_id=no\n[default]\naws_access_key_id=A\n aws_secret_access_key = b=/+ \n[x]\n";
        assert_eq!(read(both), Some(("A".into(), "b=/+".into())));
        for text in [
            "",
            "[default]\n",
            "[default]\naws_access_key_id=A\n[b]\naws_secret_access_key=c",
            "aws_access_key_id=A",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
