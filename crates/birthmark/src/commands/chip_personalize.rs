//! `birthmark chip personalize`: a plan in TOML, carried out on one chip.
//!
//! Typed → checked → shown → done: the whole plan is read and checked, and every file in it opened, before the chip is
//! written to; what can never be undone is shown first, and nothing at all is done without `--apply`. The first step that
//! the chip refuses ends the run, and says which steps were done before it.

use std::{fs, path::Path};

use embedded_hal::{delay::DelayNs, i2c::I2c};
use identity::certificate::Certificate;
use optiga::{
    Access, Curve, KeySlot, KeyUsage, Lifecycle, LifecycleOf, Metadata, MetadataChange, ObjectId, Optiga,
    WriteMode, limits,
    metadata::{Comparison, Of},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    chip_apdu::{curve_name, hexadecimal, object_name, usage_words},
    chip_bus,
};
use crate::{
    args::ChipPersonalize,
    exit::{Context, DONE, Failure, REFUSED},
    words::{say, tell},
};

/// Most steps of one plan.
const STEPS_MAX: usize = 64;

/// The file as it is typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    step: Vec<TypedStep>,
}

/// One step as it is typed.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum TypedStep {
    GenerateKey {
        object: String,
        #[serde(default = "p256")]
        curve: String,
        usage: Vec<String>,
    },
    WriteCertificate {
        object: String,
        file: String,
    },
    WriteData {
        object: String,
        text: Option<String>,
        hex: Option<String>,
        file: Option<String>,
    },
    SetMetadata {
        object: String,
        change: Option<String>,
        read: Option<String>,
        execute: Option<String>,
        lifecycle: Option<String>,
    },
    SetSleepDelay {
        ms: u8,
    },
    SetCurrentLimit {
        ma: u8,
    },
    AdvanceLifecycle {
        of: String,
        to: String,
    },
}

fn p256() -> String {
    "P-256".to_owned()
}

/// One step, checked.
#[derive(Debug)]
enum Step {
    GenerateKey(KeySlot, Curve, KeyUsage),
    WriteIdentity(ObjectId, Vec<u8>),
    WriteData(ObjectId, Vec<u8>),
    SetMetadata(ObjectId, MetadataChange),
    SetSleepDelay(u8),
    SetCurrentLimit(u8),
    AdvanceLifecycle(LifecycleOf, Lifecycle),
}

/// Shows a plan, and carries it out if asked to.
pub(crate) fn run(typed: &ChipPersonalize) -> Result<u8, Failure> {
    let text = fs::read_to_string(&typed.plan).map_err(|error| {
        Failure::usage(format!("could not read the plan {}", typed.plan.display())).because(error)
    })?;
    let folder = typed.plan.parent().unwrap_or_else(|| Path::new("."));
    let steps = plan(&text, folder)?;
    let mut chip = chip_bus::driver(&typed.chip)?;
    chip.open()
        .fault(|| format!("the chip at {} did not answer; nothing was done", typed.chip))?;
    let places = steps
        .iter()
        .map(|step| found(&mut chip, step))
        .collect::<Result<Vec<_>, _>>()
        .fault(|| {
            format!(
                "the chip at {} does not tell its metadata; nothing was done",
                typed.chip
            )
        })?;
    let steps: Vec<Planned> = steps.into_iter().zip(places).map(Planned::new).collect();
    show(&steps);
    if !typed.apply {
        say("nothing was done; --apply does it");
        tell_json(typed, &steps, 0, &[])?;
        return Ok(REFUSED);
    }
    let (mut done, mut keys) = (0, Vec::new());
    let mut result = Ok(());
    for Planned { step, .. } in &steps {
        match perform(&mut chip, step) {
            Ok(key) => {
                keys.extend(key);
                done += 1;
                say(&format!("done {done}. {}", words(step)));
            }
            Err(error) => {
                let what = format!(
                    "step {} of {}: {}; {done} steps were done",
                    done + 1,
                    steps.len(),
                    words(step)
                );
                let refused = error.refusal().is_some();
                let failure = if refused {
                    Failure::refused(what)
                } else {
                    Failure::fault(what)
                };
                result = Err(failure.because(error.to_string()));
                break;
            }
        }
    }
    tell_json(typed, &steps, done, &keys)?;
    result.map(|()| DONE)
}

/// A step, and what the chip says of its object before anything is done.
struct Planned {
    step: Step,
    now: Option<Metadata>,
}

impl Planned {
    fn new((step, now): (Step, Option<Metadata>)) -> Self {
        Self { step, now }
    }

    /// Why the step can never be undone on this chip, if it can not.
    fn never_undone(&self) -> Option<&'static str> {
        match (&self.step, self.now) {
            // Nothing is lost where there is no key.
            (Step::GenerateKey(..), Some(now)) if now.algorithm.is_none() => None,
            (step, _) => never_undone(step),
        }
    }

    /// What the object is like now; how the steps before this one change it is not in it.
    fn now_words(&self) -> Option<String> {
        let now = self.now?;
        let holds = match (now.algorithm, now.used_bytes) {
            (Some(curve), _) => format!("a {} key", curve_name(curve.identifier())),
            (None, Some(bytes)) if bytes > 0 => format!("{bytes} bytes"),
            (None, None) if now.max_bytes.is_some() => "data, full".to_owned(),
            _ => "nothing".to_owned(),
        };
        let state = now.lifecycle.map_or("fixed", state_name);
        let change = now
            .change
            .map_or_else(|| "NEV".to_owned(), |access| access.to_string());
        Some(format!("holds {holds}, {state}, change {change}"))
    }

    /// Whether the object is locked already, so that the chip will refuse the step.
    fn is_locked(&self) -> bool {
        let Some(now) = self.now else { return false };
        let operational = now
            .lifecycle
            .is_none_or(|state| state.byte() >= Lifecycle::Operational.byte());
        let open = now.change.is_some_and(|access| {
            access != Access::NEVER && !(operational && access == Access::UNTIL_OPERATIONAL)
        });
        match &self.step {
            // A life cycle may go forward at any time.
            Step::SetMetadata(_, change) => {
                let only_forward = change.change.or(change.read).or(change.execute).is_none();
                operational && !(only_forward && now.lifecycle.is_some())
            }
            _ => !open,
        }
    }
}

/// What the chip says of the object of a step.
fn found<I: I2c, D: DelayNs>(
    chip: &mut Optiga<I, D>,
    step: &Step,
) -> Result<Option<Metadata>, optiga::Error<I::Error>> {
    let object = match step {
        Step::GenerateKey(slot, ..) => slot.object(),
        Step::WriteIdentity(object, _) | Step::WriteData(object, _) | Step::SetMetadata(object, _) => *object,
        Step::SetSleepDelay(_) | Step::SetCurrentLimit(_) | Step::AdvanceLifecycle(..) => return Ok(None),
    };
    chip.read_metadata(object).map(Some)
}

fn tell_json(
    typed: &ChipPersonalize,
    steps: &[Planned],
    done: usize,
    keys: &[MadeKey],
) -> Result<(), Failure> {
    if !typed.json {
        return Ok(());
    }
    let steps: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(index, planned)| {
            json!({
                "step": words(&planned.step),
                "now": planned.now_words(),
                "locked_already": planned.is_locked(),
                "never_undone": planned.never_undone(),
                "done": index < done,
            })
        })
        .collect();
    let keys: Vec<_> = keys
        .iter()
        .map(|(slot, point)| json!({ "object": slot.object().to_string(), "point": hexadecimal(point) }))
        .collect();
    let object = json!({ "applied": typed.apply, "steps": steps, "keys": keys });
    tell(&object.to_string()).fault(|| "could not write to stdout".to_owned())
}

fn show(steps: &[Planned]) {
    let for_ever: Vec<_> = steps
        .iter()
        .enumerate()
        .filter_map(|(index, planned)| Some((index + 1, words(&planned.step), planned.never_undone()?)))
        .collect();
    if for_ever.is_empty() {
        say("every step can be undone");
    } else {
        say("THESE STEPS CAN NEVER BE UNDONE:");
    }
    for (number, step, why) in for_ever {
        say(&format!("  {number}. {step}: {why}"));
    }
    say("the whole plan:");
    for (index, planned) in steps.iter().enumerate() {
        say(&format!("  {}. {}", index + 1, words(&planned.step)));
        if let Some(now) = planned.now_words() {
            say(&format!("     on this chip it {now}"));
        }
        if planned.is_locked() {
            say("     it is locked already: the chip will refuse this step");
        }
    }
}

/// Why a step can never be undone, if it can not.
fn never_undone(step: &Step) -> Option<&'static str> {
    match step {
        Step::GenerateKey(..) => Some("the key that was there is gone for ever"),
        Step::WriteIdentity(..) | Step::WriteData(..) => None,
        Step::SetMetadata(_, change) => match change.lifecycle {
            Some(_) => Some("a life cycle never goes back"),
            None => None,
        },
        Step::AdvanceLifecycle(..) => Some("a life cycle never goes back"),
        Step::SetSleepDelay(_) | Step::SetCurrentLimit(_) => None,
    }
}

fn words(step: &Step) -> String {
    let of = |object: &ObjectId| format!("{object} ({})", object_name(*object));
    match step {
        Step::GenerateKey(slot, curve, usage) => format!(
            "generate a {} key in {} to {}",
            curve_name(curve.identifier()),
            of(&slot.object()),
            usage_words(*usage)
        ),
        Step::WriteIdentity(object, der) => {
            format!("write a certificate of {} bytes into {}", der.len(), of(object))
        }
        Step::WriteData(object, bytes) => format!("replace {} by {} bytes", of(object), bytes.len()),
        Step::SetMetadata(object, change) => format!("say of {}: {}", of(object), change_words(change)),
        Step::SetSleepDelay(ms) => format!("let the chip sleep after {ms} ms"),
        Step::SetCurrentLimit(ma) => format!("let the chip draw {ma} mA"),
        Step::AdvanceLifecycle(of, to) => format!("move the {} to {}", lifecycle_of(*of), state_name(*to)),
    }
}

fn change_words(change: &MetadataChange) -> String {
    let access = [
        ("change", change.change),
        ("read", change.read),
        ("use", change.execute),
    ];
    let mut words: Vec<String> = access
        .into_iter()
        .filter_map(|(verb, access)| Some(format!("{verb} {}", access?)))
        .collect();
    words.extend(
        change
            .lifecycle
            .map(|state| format!("life cycle {}", state_name(state))),
    );
    words.join(", ")
}

const fn lifecycle_of(of: LifecycleOf) -> &'static str {
    match of {
        LifecycleOf::Chip => "chip",
        LifecycleOf::Application => "application",
    }
}

const fn state_name(state: Lifecycle) -> &'static str {
    super::chip_apdu::lifecycle_name(state)
}

/// A key that the chip made: where, and its public point.
type MadeKey = (KeySlot, Vec<u8>);

fn perform<I: I2c, D: DelayNs>(
    chip: &mut Optiga<I, D>,
    step: &Step,
) -> Result<Option<MadeKey>, optiga::Error<I::Error>> {
    match step {
        Step::GenerateKey(slot, curve, usage) => {
            let key = chip.generate_key(*slot, *curve, *usage)?;
            return Ok(Some((*slot, key.point().to_vec())));
        }
        Step::WriteIdentity(object, der) => chip.write_certificate(*object, der)?,
        Step::WriteData(object, bytes) => chip.write_object(*object, WriteMode::Replace, 0, bytes)?,
        Step::SetMetadata(object, change) => chip.write_metadata(*object, change)?,
        Step::SetSleepDelay(ms) => chip.set_sleep_delay_ms(*ms)?,
        Step::SetCurrentLimit(ma) => chip.set_current_limit_ma(*ma)?,
        Step::AdvanceLifecycle(of, to) => chip.advance_lifecycle(*of, *to)?,
    }
    Ok(None)
}

/// Reads and checks a whole plan; files in it are relative to `folder`.
fn plan(text: &str, folder: &Path) -> Result<Vec<Step>, Failure> {
    let file: PlanFile = toml::from_str(text)
        .map_err(|error| Failure::usage("the plan does not parse").because(error.to_string()))?;
    if file.step.is_empty() || file.step.len() > STEPS_MAX {
        return Err(Failure::usage(format!(
            "a plan has 1 to {STEPS_MAX} steps, this one {}",
            file.step.len()
        )));
    }
    file.step
        .into_iter()
        .enumerate()
        .map(|(index, typed)| {
            checked(typed, folder)
                .map_err(|what| Failure::usage(format!("step {} of the plan: {what}", index + 1)))
        })
        .collect()
}

fn checked(typed: TypedStep, folder: &Path) -> Result<Step, String> {
    Ok(match typed {
        TypedStep::GenerateKey { object, curve, usage } => {
            Step::GenerateKey(key_slot(&object)?, parse_curve(&curve)?, parse_usage(&usage)?)
        }
        TypedStep::WriteCertificate { object, file } => certificate(object_id(&object)?, &folder.join(file))?,
        TypedStep::WriteData {
            object,
            text,
            hex,
            file,
        } => {
            let bytes = match (text, hex, file) {
                (Some(text), None, None) => text.into_bytes(),
                (None, Some(hex), None) => unhex(&hex)?,
                (None, None, Some(file)) => read(&folder.join(file))?,
                _ => return Err("exactly one of text, hex and file says what is written".to_owned()),
            };
            data(object_id(&object)?, bytes)?
        }
        TypedStep::SetMetadata {
            object,
            change,
            read,
            execute,
            lifecycle,
        } => {
            let access = |text: Option<String>| text.as_deref().map(parse_access).transpose();
            let change = MetadataChange {
                lifecycle: lifecycle.as_deref().map(parse_state).transpose()?,
                change: access(change)?,
                read: access(read)?,
                execute: access(execute)?,
            };
            if change == MetadataChange::default() {
                return Err("one of change, read, execute and lifecycle must be there".to_owned());
            }
            let fits = change.write(&mut [0; limits::METADATA_BYTES_MAX]).is_some();
            fits.then_some(())
                .ok_or("the access conditions are longer than the chip takes")?;
            Step::SetMetadata(object_id(&object)?, change)
        }
        TypedStep::SetSleepDelay { ms } => {
            let range = limits::SLEEP_DELAY_MS;
            range
                .contains(&ms)
                .then_some(())
                .ok_or("the sleep delay is 20 to 255 ms")?;
            Step::SetSleepDelay(ms)
        }
        TypedStep::SetCurrentLimit { ma } => {
            let range = limits::CURRENT_LIMIT_MA;
            range
                .contains(&ma)
                .then_some(())
                .ok_or("the current limit is 6 to 15 mA")?;
            Step::SetCurrentLimit(ma)
        }
        TypedStep::AdvanceLifecycle { of, to } => {
            let of = match of.as_str() {
                "chip" => LifecycleOf::Chip,
                "application" => LifecycleOf::Application,
                _ => return Err(format!("{of} is neither chip nor application")),
            };
            Step::AdvanceLifecycle(of, parse_state(&to)?)
        }
    })
}

fn object_id(text: &str) -> Result<ObjectId, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let id = u16::from_str_radix(digits, 16).ok().map(ObjectId);
    id.filter(|id| ObjectId::all().any(|known| known == *id))
        .ok_or_else(|| format!("{text} is no object of the chip"))
}

fn key_slot(text: &str) -> Result<KeySlot, String> {
    let object = object_id(text)?;
    let slots = [KeySlot::E0F1, KeySlot::E0F2, KeySlot::E0F3];
    let slot = slots.into_iter().find(|slot| slot.object() == object);
    slot.ok_or_else(|| format!("{text} is no place for a new key; E0F1, E0F2 and E0F3 are"))
}

fn parse_curve(text: &str) -> Result<Curve, String> {
    match text {
        "P-256" => Ok(Curve::P256),
        "P-384" => Ok(Curve::P384),
        _ => Err(format!("{text} is neither P-256 nor P-384")),
    }
}

fn parse_usage(words: &[String]) -> Result<KeyUsage, String> {
    let usage = words.iter().try_fold(KeyUsage(0), |usage, word| {
        Ok(usage.and(match word.as_str() {
            "authenticate" => KeyUsage::AUTHENTICATE,
            "sign" => KeyUsage::SIGN,
            "agree" => KeyUsage::AGREE,
            _ => return Err(format!("{word} is none of authenticate, sign and agree")),
        }))
    })?;
    if usage == KeyUsage(0) {
        return Err("a key without a usage can do nothing".to_owned());
    }
    Ok(usage)
}

fn parse_state(text: &str) -> Result<Lifecycle, String> {
    match text {
        "cr" | "creation" => Ok(Lifecycle::Creation),
        "in" | "initialisation" => Ok(Lifecycle::Initialisation),
        "op" | "operational" => Ok(Lifecycle::Operational),
        "te" | "termination" => Ok(Lifecycle::Termination),
        _ => Err(format!(
            "{text} is none of creation, initialisation, operational and termination"
        )),
    }
}

/// `always`, `never`, or conditions such as `LcsO<op and LcsG=op or LcsA>in`; "and" binds tighter.
fn parse_access(text: &str) -> Result<Access, String> {
    match text {
        "always" | "ALW" => return Ok(Access::ALWAYS),
        "never" | "NEV" => return Ok(Access::NEVER),
        _ => {}
    }
    let mut whole: Option<Access> = None;
    for term in text.split(" or ") {
        for (index, condition) in term.split(" and ").enumerate() {
            let condition = parse_condition(condition.trim())?;
            whole = match whole {
                None => Some(condition),
                Some(before) if index == 0 => before.or(condition),
                Some(before) => before.and(condition),
            };
            if whole.is_none() {
                return Err(format!("{text} is longer than the chip takes"));
            }
        }
    }
    whole.ok_or_else(|| format!("{text} is no access condition"))
}

fn parse_condition(text: &str) -> Result<Access, String> {
    let wrong = || format!("{text} is no condition; LcsO<op is one");
    let at = text.find(['<', '>', '=']).ok_or_else(wrong)?;
    let (of, rest) = text.split_at(at);
    let of = match of.trim() {
        "LcsG" => Of::Chip,
        "LcsA" => Of::Application,
        "LcsO" => Of::Object,
        _ => return Err(wrong()),
    };
    let (sign, state) = rest.split_at(1);
    let comparison = match sign {
        "<" => Comparison::Before,
        ">" => Comparison::After,
        _ => Comparison::Equal,
    };
    Ok(Access::when(of, comparison, parse_state(state.trim())?))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("could not read {}: {error}", file.display()))
}

/// A certificate goes into certificate objects in the TLS identity form, into trust anchors as plain DER.
fn certificate(object: ObjectId, file: &Path) -> Result<Step, String> {
    let bytes = read(file)?;
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => Certificate::from_pem(text),
        _ => Certificate::parse(&bytes),
    };
    let der = parsed
        .map_err(|error| format!("{} holds no certificate: {error}", file.display()))?
        .der()
        .to_vec();
    match object {
        ObjectId(0xE0E0..=0xE0E3) if der.len() + 9 <= limits::CERTIFICATE_OBJECT_BYTES_MAX => {
            Ok(Step::WriteIdentity(object, der))
        }
        ObjectId::TRUST_ANCHOR | ObjectId::FIRMWARE_TRUST_ANCHOR => data(object, der),
        ObjectId(0xE0E0..=0xE0E3) => Err(format!(
            "a certificate of {} bytes is too long for {object}",
            der.len()
        )),
        _ => Err(format!("{object} is no place for a certificate")),
    }
}

fn data(object: ObjectId, bytes: Vec<u8>) -> Result<Step, String> {
    let room = match object.0 {
        0xE0E0..=0xE0E3 => limits::CERTIFICATE_OBJECT_BYTES_MAX,
        0xE0E8 | 0xE0EF => limits::TRUST_ANCHOR_BYTES_MAX,
        0xF1D0..=0xF1DF => 100,
        0xF1E0 | 0xF1E1 => 1500,
        _ => return Err(format!("{object} holds no data of yours")),
    };
    if bytes.is_empty() || bytes.len() > room {
        return Err(format!("{object} takes 1 to {room} bytes, not {}", bytes.len()));
    }
    Ok(Step::WriteData(object, bytes))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    whole
        .then_some(())
        .ok_or_else(|| format!("{text} is not hexadecimal"))?;
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    Ok(digits.chunks_exact(2).filter_map(byte).collect())
}

#[cfg(test)]
mod tests {
    use optiga::Config;
    use optiga_sim::{Settings, Tray};

    use super::*;

    fn checked_plan(text: &str) -> Result<Vec<Step>, String> {
        plan(text, Path::new("/no/such/folder")).map_err(|failure| failure.to_string())
    }

    const WHOLE: &str = r#"
        [[step]]
        do = "generate-key"
        object = "E0F1"
        usage = ["authenticate", "sign"]
        [[step]]
        do = "write-data"
        object = "0xF1D0"
        text = "line 7"
        [[step]]
        do = "set-metadata"
        object = "F1D0"
        change = "LcsO<op and LcsG=op or LcsA<op"
        [[step]]
        do = "set-sleep-delay"
        ms = 50
        [[step]]
        do = "set-metadata"
        object = "F1D0"
        lifecycle = "operational"
        change = "never"
    "#;

    #[test]
    fn what_can_never_be_undone_is_told() {
        let steps = checked_plan(WHOLE).unwrap();
        let told: Vec<bool> = steps.iter().map(|step| never_undone(step).is_some()).collect();
        assert_eq!(told, [true, false, false, false, true]);
        assert_eq!(
            words(&steps[2]),
            "say of F1D0 (data object of 100 bytes): change LcsO<op and LcsG=op or LcsA<op"
        );
        let end = checked_plan("[[step]]\ndo = \"advance-lifecycle\"\nof = \"application\"\nto = \"op\"\n")
            .unwrap();
        assert!(never_undone(&end[0]).is_some());
    }

    /// Words, whether it can never be undone, whether it is locked: for each step on this chip.
    fn judged<I: I2c, D: DelayNs>(chip: &mut Optiga<I, D>, plan: &str) -> Vec<(String, bool, bool)>
    where
        I::Error: std::fmt::Debug,
    {
        let steps = checked_plan(plan).unwrap().into_iter();
        let planned = steps.map(|step| {
            let now = found(chip, &step).unwrap();
            let planned = Planned::new((step, now));
            let never = planned.never_undone().is_some();
            (
                planned.now_words().unwrap_or_default(),
                never,
                planned.is_locked(),
            )
        });
        planned.collect()
    }

    #[test]
    fn the_plan_is_judged_by_what_the_chip_is_like() {
        let tray = Tray::memory_with(1, 3, Settings::default()).unwrap();
        let client = tray.bus(0).unwrap().client();
        let delay = client.delay();
        let mut chip = Optiga::new(client, delay, Config::default());
        chip.open().unwrap();
        let before = judged(&mut chip, WHOLE);
        let told = |rows: &[(String, bool, bool)]| rows.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>();
        assert_eq!(before[0].0, "holds nothing, creation, change LcsO<op");
        assert_eq!(
            told(&before),
            [
                (false, false),
                (false, false),
                (false, false),
                (false, false),
                (true, false)
            ]
        );
        for step in checked_plan(WHOLE).unwrap() {
            perform(&mut chip, &step).unwrap();
        }
        let after = judged(&mut chip, WHOLE);
        assert_eq!(after[0].0, "holds a P-256 key, creation, change LcsO<op");
        assert_eq!(after[1].0, "holds 6 bytes, operational, change NEV");
        assert_eq!(
            told(&after),
            [
                (true, false),
                (false, true),
                (false, true),
                (false, false),
                (true, true)
            ]
        );
    }

    #[test]
    fn a_plan_is_done_on_a_chip_and_refused_the_second_time() {
        let tray = Tray::memory_with(1, 3, Settings::default()).unwrap();
        let client = tray.bus(0).unwrap().client();
        let delay = client.delay();
        let mut chip = Optiga::new(client, delay, Config::default());
        chip.open().unwrap();
        let steps = checked_plan(WHOLE).unwrap();
        let keys: Vec<_> = steps
            .iter()
            .filter_map(|step| perform(&mut chip, step).unwrap())
            .collect();
        assert_eq!((keys.len(), keys[0].1.len()), (1, 65));
        let mut content = [0; 10];
        assert_eq!(chip.read_object(ObjectId(0xF1D0), 0, &mut content).unwrap(), 6);
        assert_eq!(chip.sleep_delay_ms().unwrap(), 50);
        let metadata = chip.read_metadata(ObjectId(0xF1D0)).unwrap();
        assert_eq!(metadata.lifecycle, Some(Lifecycle::Operational));
        let error = perform(&mut chip, &steps[1]).unwrap_err();
        assert_eq!(error.code(), "chip.refused.access");
    }

    #[test]
    fn a_wrong_plan_is_refused_before_the_chip_is_touched() {
        let step = |line: &str| format!("[[step]]\n{line}\n");
        let cases = [
            (String::new(), "does not parse"),
            ("step = []".to_owned(), "1 to 64 steps"),
            (step("do = \"format\""), "does not parse"),
            (step("do = \"set-sleep-delay\"\nms = 19"), "20 to 255"),
            (step("do = \"set-current-limit\"\nma = 16"), "6 to 15"),
            (
                step("do = \"set-current-limit\"\nma = 6\nmv = 1"),
                "does not parse",
            ),
            (
                step("do = \"generate-key\"\nobject = \"E0F0\"\nusage = [\"sign\"]"),
                "no place for a new key",
            ),
            (
                step("do = \"generate-key\"\nobject = \"E0F1\"\nusage = []"),
                "can do nothing",
            ),
            (
                step("do = \"generate-key\"\nobject = \"E0F1\"\nusage = [\"fly\"]"),
                "fly",
            ),
            (step("do = \"write-data\"\nobject = \"F1D0\""), "exactly one"),
            (
                step("do = \"write-data\"\nobject = \"F1D0\"\nhex = \"abc\""),
                "hexadecimal",
            ),
            (
                step("do = \"write-data\"\nobject = \"F1F0\"\nhex = \"ab\""),
                "no object",
            ),
            (
                step("do = \"write-data\"\nobject = \"E0F1\"\nhex = \"ab\""),
                "no data of yours",
            ),
            (
                step(&format!(
                    "do = \"write-data\"\nobject = \"F1D0\"\ntext = \"{}\"",
                    "x".repeat(101)
                )),
                "1 to 100",
            ),
            (
                step("do = \"write-certificate\"\nobject = \"E0E1\"\nfile = \"none.pem\""),
                "could not read",
            ),
            (step("do = \"set-metadata\"\nobject = \"F1D0\""), "must be there"),
            (
                step("do = \"set-metadata\"\nobject = \"F1D0\"\nread = \"LcsX<op\""),
                "no condition",
            ),
            (
                step("do = \"set-metadata\"\nobject = \"F1D0\"\nread = \"sometimes\""),
                "no condition",
            ),
            (
                step("do = \"advance-lifecycle\"\nof = \"host\"\nto = \"op\""),
                "neither chip nor application",
            ),
            (
                step("do = \"advance-lifecycle\"\nof = \"chip\"\nto = \"back\""),
                "none of creation",
            ),
        ];
        for (text, words) in cases {
            let refused = checked_plan(&text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        assert!(
            checked_plan(&step(&format!(
                "do = \"write-data\"\nobject = \"F1D0\"\ntext = \"{}\"",
                "x".repeat(100)
            )))
            .is_ok()
        );
    }
}
