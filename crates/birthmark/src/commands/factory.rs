//! `birthmark factory`: a CA for a customer, a line for its chips, a ledger that says what happened.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ::factory::{
    Factory, Plan, Terms, ledger,
    line::{Outcome, Setup},
};
use identity::{UnixMillis, certificate::Certificate};
use serde_json::{Value, json};

use super::{
    chip_bus, fleet_manifest,
    registration::{self, Registered, Registration},
};
use crate::{
    args::{Api, FactoryDir, FactoryInit, FactoryRun, RegisterCa},
    aws::{AccessKey, Client, Endpoint},
    exit::{Context, DONE, Failure, REFUSED},
    words::{Chapter, say, tell},
};

/// The order of `factory run`.
const ORDER: &str = "line";

/// Milliseconds since 1970, now.
pub(crate) fn now() -> UnixMillis {
    let elapsed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// Makes a factory.
pub(crate) fn init(typed: &FactoryInit) -> Result<u8, Failure> {
    let what = || format!("could not make a factory in {}", typed.dir.display());
    let plan = Plan::new(&typed.customer, typed.simulated, now())
        .map_err(|error| Failure::usage(what()).because(error))?;
    let factory = Factory::create(&typed.dir, &plan, now()).fault(what)?;
    say(&format!("root   {}", factory.root().subject()));
    say(&format!("signer {}", factory.signer().subject()));
    say(&format!(
        "keys and ledger are in {}: keep a copy of root.key.pem where no line can reach it",
        typed.dir.display()
    ));
    Ok(DONE)
}

/// Takes chips through the line.
pub(crate) fn run(typed: &FactoryRun) -> Result<u8, Failure> {
    let mut factory = open(&typed.dir)?;
    let setup = Setup::new(certificate(&typed.server_root)?);
    let what = || "the line could not be set up".to_owned();
    let terms = Terms::new(ORDER, &typed.prefix, typed.order_count, now())
        .map_err(|error| Failure::usage(what()).because(error))?;
    let order = factory.order(&terms, now()).refused(what)?;
    let chips = typed
        .chips
        .iter()
        .map(|address| chip_bus::driver(address))
        .collect::<Result<Vec<_>, _>>()?;
    let chapter = Chapter::begin(2, "Line", chips.len() as u64);
    let mut results = Vec::new();
    let report = factory
        .line(&order, &setup)
        .and_then(|mut line| {
            line.run(chips, &now, |finished| {
                chapter.advance(1);
                results.push(finished.clone());
            })
        })
        .fault(|| "the line stopped".to_owned())?;
    chapter.end(&format!(
        "{} done, {} scrapped, {} set aside",
        report.done(),
        report.scrapped,
        report.aside
    ));
    for (address, finished) in typed.chips.iter().zip(&results) {
        if let Outcome::Scrapped(reason) | Outcome::Aside(reason) = &finished.outcome {
            say(&format!("{address}: {reason}"));
        }
    }
    if typed.json {
        let things: Vec<_> = results
            .iter()
            .filter_map(|finished| finished.thing.as_ref().map(|thing| thing.as_str()))
            .collect();
        print(
            &json!({ "made": report.made, "resumed": report.resumed, "already_done": report.already_done,
                       "scrapped": report.scrapped, "aside": report.aside, "things": things }),
        )?;
    }
    Ok(if report.scrapped + report.aside == 0 {
        DONE
    } else {
        REFUSED
    })
}

/// Counts what the ledger holds.
pub(crate) fn status(typed: &FactoryDir) -> Result<u8, Failure> {
    let orders = ledger::orders(&typed.dir)
        .fault(|| format!("could not read the ledger in {}", typed.dir.display()))?;
    let sum = |count: fn(&::factory::Order) -> u64| orders.iter().map(count).sum::<u64>();
    if typed.json {
        let by_order: serde_json::Map<String, Value> = orders
            .iter()
            .map(|order| {
                let counts = json!({ "count": order.terms.count, "intended": order.intended, "signed": order.signed,
                                     "done": order.done, "scrapped": order.scrapped });
                (order.terms.name.clone(), counts)
            })
            .collect();
        print(
            &json!({ "intended": sum(|o| o.intended), "signed": sum(|o| o.signed), "done": sum(|o| o.done),
                       "scrapped": sum(|o| o.scrapped), "orders": by_order }),
        )?;
        return Ok(DONE);
    }
    say(&format!(
        "{:<24} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "order", "count", "intended", "signed", "done", "scrapped"
    ));
    for order in &orders {
        say(&format!(
            "{:<24} {:>10} {:>10} {:>10} {:>10} {:>10}",
            order.terms.name, order.terms.count, order.intended, order.signed, order.done, order.scrapped
        ));
    }
    Ok(DONE)
}

/// Verifies the ledger.
pub(crate) fn verify(typed: &FactoryDir) -> Result<u8, Failure> {
    let verified = match ledger::verify(&typed.dir) {
        Ok(verified) => verified,
        Err(error) => {
            if typed.json {
                print(&json!({ "ok": false, "error": error.to_string() }))?;
            }
            return Err(
                Failure::refused(format!("the ledger in {} does not verify", typed.dir.display()))
                    .because(error),
            );
        }
    };
    if typed.json {
        print(
            &json!({ "ok": true, "records": verified.records, "orders": verified.orders, "intended": verified.intended,
                       "signed": verified.signed, "done": verified.done, "scrapped": verified.scrapped,
                       "verifications": verified.verifications, "torn_bytes": verified.torn_bytes }),
        )?;
    }
    say(&format!(
        "the ledger verifies: {} records, every serial once; {} chips done, {} scrapped, {} certificates signed and {} prepared that are in no chip yet",
        verified.records, verified.done, verified.scrapped, verified.signed, verified.intended
    ));
    Ok(DONE)
}

/// Registers the signer CA with a cloud.
pub(crate) fn register_ca(typed: &RegisterCa) -> Result<u8, Failure> {
    let mut factory = open(&typed.dir)?;
    let template = typed.template.as_deref().map(read).transpose()?;
    let mut client = client(&typed.api)?;
    match register(&mut factory, &mut client, template.as_deref(), &typed.role_arn)? {
        Registered::New(id) => {
            say(&format!("registered, ACTIVE, auto-registration on: {id}"));
            if fleet_manifest::close_where_signers_are(&mut client, &id)? {
                say(
                    "its gate is closed: only devices of a manifest come in (birthmark fleet manifest import)",
                );
            }
        }
        Registered::Before => say("this CA was registered before; nothing was changed"),
    }
    Ok(DONE)
}

/// Code, verification certificate, registration.
pub(crate) fn register(
    factory: &mut Factory,
    client: &mut Client,
    template: Option<&str>,
    role_arn: &str,
) -> Result<Registered, Failure> {
    let code = registration::code(client).refused(|| "the cloud gave no registration code".to_owned())?;
    let verification = factory
        .verification_certificate(&code, now())
        .refused(|| "the factory did not sign the registration code".to_owned())?;
    let ca_pem = factory.signer().pem();
    let registration = Registration {
        ca_pem: &ca_pem,
        verification_pem: &verification.pem(),
        template,
        role_arn,
    };
    registration::register(client, &registration).refused(|| "the cloud did not register the CA".to_owned())
}

/// A client of the API that was typed.
pub(crate) fn client(api: &Api) -> Result<Client, Failure> {
    let reached = reached(api)?;
    let endpoint = Endpoint {
        url: reached.url,
        ca_bundle_pem: read(&reached.ca_bundle)?,
        region: api.region.clone(),
        real_aws: api.real_aws,
    };
    Client::new(
        &endpoint,
        AccessKey::from_file(&reached.credentials, &api.profile)?,
    )
}

/// Where an API is, and what is needed to speak with it.
pub(crate) struct Reached {
    url: String,
    /// What its certificate ends in.
    pub(crate) ca_bundle: PathBuf,
    credentials: PathBuf,
}

/// What was typed; the rest as a server on this machine has written it down.
pub(crate) fn reached(api: &Api) -> Result<Reached, Failure> {
    let ready = match &api.data_dir {
        Some(data_dir) => ready(data_dir)?,
        None => Value::Null,
    };
    let told = |name: &str| ready.get(name).and_then(Value::as_str);
    let file = |typed: &Option<PathBuf>, name: &str| typed.clone().or_else(|| told(name).map(PathBuf::from));
    let url = api.endpoint_url.clone();
    let url = url.or_else(|| told("api").map(|address| format!("https://{address}")));
    let parts = url
        .zip(file(&api.ca_bundle, "server_ca"))
        .zip(file(&api.credentials, "credentials"));
    let ((url, ca_bundle), credentials) =
        parts.ok_or_else(|| Failure::usage("ready.json lacks what an API is reached by".to_owned()))?;
    Ok(Reached {
        url,
        ca_bundle,
        credentials,
    })
}

/// What a running server says of itself.
fn ready(data_dir: &Path) -> Result<Value, Failure> {
    let path = data_dir.join("ready.json");
    let text = fs::read_to_string(&path).fault(|| {
        let path = path.display();
        format!("could not read {path}: it is there while `birthmark serve` runs with that data directory")
    })?;
    serde_json::from_str(&text).fault(|| format!("could not understand {}", path.display()))
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).fault(|| format!("could not read {}", path.display()))
}

/// Reads one certificate.
pub(crate) fn certificate(path: &Path) -> Result<Certificate, Failure> {
    Certificate::from_pem(&read(path)?).map_err(|error| {
        Failure::usage(format!("{} is not one certificate in PEM", path.display())).because(error)
    })
}

/// Opens a factory.
pub(crate) fn open(dir: &Path) -> Result<Factory, Failure> {
    Factory::open(dir).fault(|| format!("could not open the factory in {}", dir.display()))
}

/// Prints one JSON object for machines.
pub(crate) fn print(value: &Value) -> Result<(), Failure> {
    tell(&value.to_string()).fault(|| "could not write to stdout".to_owned())
}
