//! A process that is killed while it changes a token leaves the old state or the new one, and every wrong PIN counted.
//!
//! The moments are random and their seed is printed; `cargo xtask test --seed N` brings them back. `BIRTHMARK_KILLS=500` kills
//! more often.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]
#![expect(clippy::print_stderr, reason = "the seed must be seen")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use stories::tokens::{Backend, OFFICER_PIN, PIN, module};
use stories::{Random, Tokens, birthmark, run};

/// Kills of each test when nothing else is said.
const KILLS: u64 = 10;
/// The longest that a writer lives once it is ready.
const MICROSECONDS_MAX: u64 = 40_000;
/// Wrong tries of a PIN until it is locked.
const TRIES_MAX: usize = 10;

fn kills() -> u64 {
    let given = std::env::var("BIRTHMARK_KILLS").ok();
    given.map_or(KILLS, |kills| kills.parse().unwrap())
}

/// What a writer said before it died.
struct Said {
    done: Vec<String>,
    /// Begun and not done.
    open: Option<String>,
    locked: bool,
}

/// Starts a writer and kills it at some moment after it was ready.
fn killed(tokens: &Tokens, what: &str, pin: &str, round: u64, after: Duration) -> Said {
    let mut writer = tokens.command(Path::new(env!("CARGO_BIN_EXE_token-writer")));
    writer.arg(module()).args([what, pin, &round.to_string()]);
    let mut child = writer.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    thread::sleep(after);
    let _ = child.kill();
    let mut said = Said {
        done: Vec::new(),
        open: None,
        locked: false,
    };
    for line in lines.map_while(Result::ok) {
        match line.strip_prefix("begin ") {
            Some(begun) => said.open = Some(begun.to_owned()),
            None if line == "done" => said.done.extend(said.open.take()),
            None => said.locked |= line == "locked",
        }
    }
    child.wait().unwrap();
    said
}

/// `label;class` of everything on the token.
fn objects(tokens: &Tokens, pin: &str) -> Option<BTreeSet<String>> {
    std::fs::write(tokens.path("pin-now"), pin).unwrap();
    let mut list = birthmark();
    list.args(["token", "list", "--json", "--config"]);
    list.arg(tokens.path("pkcs11.toml"))
        .arg("--pin-file")
        .arg(tokens.path("pin-now"));
    let listed = run(&mut list);
    if listed.code != Some(0) {
        return None;
    }
    let listed = listed.json();
    let all = listed["slots"][0]["objects"].as_array().unwrap();
    let part = |uri: &str, name: &str| {
        let of_name = uri.split(';').find_map(|part| part.strip_prefix(name));
        of_name.unwrap_or_default().to_owned()
    };
    let all = all.iter().map(|uri: &Value| {
        let uri = uri.as_str().unwrap();
        format!("{};{}", part(uri, "object="), part(uri, "type="))
    });
    Some(all.collect())
}

/// What the token holds after a change.
fn apply(change: &str, state: &BTreeSet<String>) -> BTreeSet<String> {
    let (what, name) = change.split_once(' ').unwrap();
    let mut state = state.clone();
    let mut put = |class: &str| assert!(state.insert(format!("{name};{class}")));
    match what {
        "pair" => {
            put("public");
            put("private");
        }
        "data" => put("data"),
        destroyed => {
            let class = destroyed.strip_prefix("destroy-").unwrap();
            assert!(state.remove(&format!("{name};{class}")));
        }
    }
    state
}

fn old_or_new(what: &str) {
    let mut random = Random::from_environment();
    eprintln!("seed {}", random.seed);
    let tokens = Tokens::empty(Backend::Flash);
    let (mut state, mut in_the_middle) = (objects(&tokens, PIN).unwrap(), 0);
    for round in 0..kills() {
        let after = Duration::from_micros(random.below(MICROSECONDS_MAX));
        let said = killed(&tokens, what, PIN, round, after);
        let place = format!("seed {}, kill {round} after {after:?}", random.seed);
        for change in &said.done {
            state = apply(change, &state);
        }
        let found = objects(&tokens, PIN).unwrap_or_else(|| panic!("{place}: the token does not open"));
        if let Some(change) = &said.open {
            in_the_middle += 1;
            let new = apply(change, &state);
            assert!(found == state || found == new, "{place}, {change}: {found:?}");
        } else {
            assert_eq!(found, state, "{place}");
        }
        state = found;
    }
    assert!(
        in_the_middle > kills() / 3,
        "only {in_the_middle} kills met a change"
    );
}

#[test]
fn a_killed_key_generation_leaves_both_keys_or_none() {
    old_or_new("pairs");
}

#[test]
fn a_killed_creation_leaves_an_object_or_none() {
    old_or_new("objects");
}

#[test]
fn a_killed_change_of_the_pin_leaves_the_old_one_or_the_new_one() {
    let mut random = Random::from_environment();
    eprintln!("seed {}", random.seed);
    let tokens = Tokens::empty(Backend::Flash);
    let mut pin = PIN.to_owned();
    for round in 0..kills() {
        // A new PIN takes as long as two tries of one.
        let after = Duration::from_micros(random.below(10 * MICROSECONDS_MAX));
        let said = killed(&tokens, "pins", &pin, round, after);
        let place = format!("seed {}, kill {round} after {after:?}", random.seed);
        let new = |change: &String| change.strip_prefix("pin ").unwrap().to_owned();
        pin = said.done.last().map_or(pin, new);
        let opens = |pin: &str| objects(&tokens, pin).is_some();
        match said.open.as_ref().map(new) {
            Some(other) => {
                let (old_opens, new_opens) = (opens(&pin), opens(&other));
                assert!(old_opens != new_opens, "{place}: {old_opens} {new_opens}");
                pin = if new_opens { other } else { pin };
            }
            None => assert!(opens(&pin), "{place}"),
        }
        // What failed above is forgiven by what did not; names do not grow for ever.
        if pin.len() > 40 {
            let changed = tokens.pkcs11_tool(&["--login", "--pin", &pin, "--change-pin", "--new-pin", PIN]);
            let _ = changed.well();
            PIN.clone_into(&mut pin);
        }
    }
}

#[test]
fn wrong_pins_are_counted_whoever_is_killed() {
    let mut random = Random::from_environment();
    eprintln!("seed {}", random.seed);
    let tokens = Tokens::empty(Backend::Flash);
    // Each lock takes a few kills.
    for round in 0..kills().div_ceil(4) {
        let (mut answered, mut begun) = (0, 0);
        loop {
            let after = Duration::from_micros(random.below(5 * MICROSECONDS_MAX));
            let said = killed(&tokens, "guesses", PIN, round, after);
            answered += said.done.len();
            begun += said.done.len() + usize::from(said.open.is_some());
            assert!(answered <= TRIES_MAX, "seed {}, round {round}", random.seed);
            if said.locked {
                break;
            }
        }
        // Its last words were about a try that was refused uncounted.
        assert!(
            begun > TRIES_MAX,
            "seed {}: locked after {begun} tries",
            random.seed
        );
        assert!(objects(&tokens, PIN).is_none(), "a locked PIN opens");
        let officer = ["--so-pin", OFFICER_PIN, "--login", "--login-type", "so"];
        let _ = tokens
            .pkcs11_tool(&[&officer[..], &["--init-pin", "--new-pin", PIN]].concat())
            .well();
        assert!(objects(&tokens, PIN).is_some(), "a new PIN does not open");
    }
}
