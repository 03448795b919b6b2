//! What was typed after `cargo xtask`, checked before anything is started.

use crate::bench;
use crate::failure::{Failure, Outcome};
use crate::requests;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
cargo xtask COMMAND

  test [--require-tools] [--seed N]  everything, from the set-up of this machine to the last story
                                     --require-tools: a missing outside tool is an error, not a skip
                                     --seed: replay the random kills of one earlier run
  tidy                               the walls between the crates, licences, paths in documents, leftovers
  callers                            run the stories of programs that use the PKCS #11 module, and write their page
  kills [--count N] [--seed N]       kill whoever changes a token, 500 times for each kind of change
  kills --cloud [--count N] [--seed N]  kill the server under the load of callers and new devices, 200 times
  valgrind                           run programs that use the PKCS #11 module under valgrind
  docs                               write the generated reference pages again
  bench NAME [--json]                measure side by side and print a table; NAME: chip, cloud, mqtt, pkcs11,
                                     story, tray
                                     cloud: --things N, --lines N, --devices N; 0 leaves a part out
                                     mqtt: --connections N [--minutes M] with so many at once; --peers builds other brokers
  fuzz [NAME] [--seconds N]          feed one decoder (or all, 10 s each) with mutated bytes
  firmware                           build the board images and tell how big the chip driver is
  requests [--count N] [--seed N]    send a server random requests that know AWS's model: no 500, no panic, flat memory
  world [--seed N]                   run the simulated fleet with 10 000 seeds, or replay one
  help                               this page

Exit code: 0 all is well, 1 a check failed, 2 the command could not be carried out.";

/// One command, complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Test {
        require_tools: bool,
        seed: Option<u64>,
    },
    Tidy,
    Callers,
    Kills {
        count: u64,
        seed: Option<u64>,
    },
    CloudKills {
        count: u64,
        seed: Option<u64>,
    },
    Valgrind,
    Docs,
    Bench {
        name: String,
        choice: bench::Choice,
        json: bool,
    },
    Fuzz {
        name: Option<String>,
        seconds: u64,
    },
    Firmware,
    Requests {
        count: u64,
        seed: u64,
    },
    World {
        seed: Option<u64>,
    },
}

/// Seconds that one fuzz target runs when nothing else is said.
pub(crate) const FUZZ_SECONDS: u64 = 10;

/// Kills of each kind when nothing else is said.
pub(crate) const KILLS: u64 = 500;

/// Kills of the cloud when nothing else is said.
pub(crate) const CLOUD_KILLS: u64 = 200;

/// Reads the words after `cargo xtask`.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Outcome<Command> {
    let mut words = Words(words.collect());
    let Some(command) = words.next_plain() else {
        return Ok(Command::Help);
    };
    let parsed = match command.as_str() {
        "help" => Command::Help,
        "test" => Command::Test {
            require_tools: words.flag("--require-tools"),
            seed: words.number("--seed")?,
        },
        "tidy" => Command::Tidy,
        "callers" => Command::Callers,
        "kills" if words.flag("--cloud") => Command::CloudKills {
            count: words.number("--count")?.unwrap_or(CLOUD_KILLS),
            seed: words.number("--seed")?,
        },
        "kills" => Command::Kills {
            count: words.number("--count")?.unwrap_or(KILLS),
            seed: words.number("--seed")?,
        },
        "valgrind" => Command::Valgrind,
        "docs" => Command::Docs,
        "bench" => Command::Bench {
            json: words.flag("--json"),
            choice: bench::Choice {
                cloud: bench::cloud::Choice {
                    things: words.number("--things")?,
                    lines: words.number("--lines")?,
                    devices: words.number("--devices")?,
                },
                mqtt: bench::mqtt::Choice {
                    connections: words.number("--connections")?.unwrap_or(0),
                    minutes: words.number("--minutes")?.unwrap_or(0),
                    peers: words.flag("--peers"),
                },
            },
            name: words.next_plain().ok_or_else(|| {
                Failure::new("bench: which one? known: chip, cloud, mqtt, pkcs11, story, tray")
            })?,
        },
        "fuzz" => Command::Fuzz {
            seconds: words.number("--seconds")?.unwrap_or(FUZZ_SECONDS),
            name: words.next_plain(),
        },
        "firmware" => Command::Firmware,
        "requests" => Command::Requests {
            count: words.number("--count")?.unwrap_or(requests::COUNT),
            seed: words.number("--seed")?.unwrap_or(1),
        },
        "world" => Command::World {
            seed: words.number("--seed")?,
        },
        other => {
            return Err(Failure::new(format!(
                "no command `{other}`; cargo xtask help lists them"
            )));
        }
    };
    words.finish(parsed)
}

/// The words not yet understood.
struct Words(Vec<String>);

impl Words {
    fn next_plain(&mut self) -> Option<String> {
        let asked_for_help = self.flag("--help") | self.flag("-h");
        if asked_for_help {
            return Some("help".to_owned());
        }
        let at = self.0.iter().position(|word| !word.starts_with('-'))?;
        Some(self.0.remove(at))
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn number(&mut self, name: &str) -> Outcome<Option<u64>> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.0.remove(at);
        let value = if at < self.0.len() {
            self.0.remove(at)
        } else {
            String::new()
        };
        let number = value
            .parse()
            .map_err(|_| Failure::new(format!("{name} needs a number, not `{value}`")))?;
        Ok(Some(number))
    }

    fn finish(self, parsed: Command) -> Outcome<Command> {
        match self.0.first() {
            None => Ok(parsed),
            Some(_) if parsed == Command::Help => Ok(parsed),
            Some(word) => Err(Failure::new(format!(
                "did not understand `{word}`; cargo xtask help"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: Option<Command>) {
        let parsed = parse(typed.split_whitespace().map(str::to_owned));
        assert_eq!(parsed.ok(), expected, "{typed}");
    }

    #[test]
    fn words_become_commands_or_are_refused() {
        check("", Some(Command::Help));
        check("test --help", Some(Command::Help));
        check(
            "test",
            Some(Command::Test {
                require_tools: false,
                seed: None,
            }),
        );
        check(
            "test --seed 7 --require-tools",
            Some(Command::Test {
                require_tools: true,
                seed: Some(7),
            }),
        );
        check("tidy", Some(Command::Tidy));
        check("callers", Some(Command::Callers));
        check("valgrind", Some(Command::Valgrind));
        check(
            "kills --seed 3",
            Some(Command::Kills {
                count: 500,
                seed: Some(3),
            }),
        );
        check(
            "kills --count 9 --cloud",
            Some(Command::CloudKills { count: 9, seed: None }),
        );
        check(
            "bench story --json",
            Some(Command::Bench {
                name: "story".to_owned(),
                choice: bench::Choice::default(),
                json: true,
            }),
        );
        check(
            "bench mqtt --connections 18000 --minutes 10 --peers",
            Some(Command::Bench {
                name: "mqtt".to_owned(),
                choice: bench::Choice {
                    mqtt: bench::mqtt::Choice {
                        connections: 18_000,
                        minutes: 10,
                        peers: true,
                    },
                    ..bench::Choice::default()
                },
                json: false,
            }),
        );
        check(
            "requests --count 7",
            Some(Command::Requests { count: 7, seed: 1 }),
        );
        check("bench", None);
        check(
            "fuzz",
            Some(Command::Fuzz {
                name: None,
                seconds: 10,
            }),
        );
        check(
            "fuzz mqtt --seconds 3",
            Some(Command::Fuzz {
                name: Some("mqtt".to_owned()),
                seconds: 3,
            }),
        );
        check("fuzz mqtt --seconds", None);
        check("fuzz mqtt --seconds x", None);
        check("firmware", Some(Command::Firmware));
        check("firmware now", None);
        check("world", Some(Command::World { seed: None }));
        check("world --seed 9", Some(Command::World { seed: Some(9) }));
        check("tidy --fast", None);
        check("dance", None);
    }
}
