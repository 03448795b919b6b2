//! `birthmark chip trace`: a bus that was recorded, or that is being listened to, in words.
//!
//! A recording is text, one transaction, frame or command a line (the form of the golden traces), or JSON lines with the
//! same three fields. Words for people go to stderr; with `--json` each line is one object on stdout.

use std::{fs, io::Read, path::Path};

use serde::Deserialize;
use serde_json::json;

use super::{
    chip_apdu::hexadecimal,
    chip_bus,
    chip_decode::{Decoder, Happening, Layer, Line, Speaker},
    chip_record::Recorded,
};
use crate::{
    args::{ChipTrace, TraceLayer},
    exit::{Context, DONE, Failure},
    words::{say, tell},
};

/// Longest recording that is read.
const RECORDING_BYTES_MAX: u64 = 64 << 20;
/// Most bytes that stand beside a line for people.
const SHOWN_BYTES_MAX: usize = 24;
/// Longest gap in a recording of commands.
const GAP_BYTES_MAX: usize = 1557;

/// Reads a recording, or talks to a chip and tells what crosses the bus.
pub(crate) fn run(typed: &ChipTrace) -> Result<u8, Failure> {
    let mut teller = Teller::new(typed);
    match (&typed.file, &typed.chip) {
        (Some(file), None) => {
            for recorded in parse(&read(file)?)? {
                teller.take(&recorded)?;
            }
            teller.end()?;
        }
        (None, Some(address)) => live(address, typed.save.as_deref(), &mut teller)?,
        _ => {
            return Err(Failure::usage(
                "either a recording or --chip says what is to be decoded",
            ));
        }
    }
    Ok(DONE)
}

fn read(file: &Path) -> Result<String, Failure> {
    let what = || format!("could not read the recording {}", file.display());
    let mut text = String::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(fs::File::open(file).fault(what)?)
    };
    let bytes = source
        .take(RECORDING_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .fault(what)?;
    if bytes as u64 > RECORDING_BYTES_MAX {
        let limit = RECORDING_BYTES_MAX >> 20;
        return Err(Failure::usage(format!(
            "{} is longer than {limit} MiB",
            file.display()
        )));
    }
    Ok(text)
}

/// Opens the chip and reads what every chip has, so that there is something to see.
fn live(address: &str, save: Option<&Path>, teller: &mut Teller) -> Result<(), Failure> {
    let mut chip = chip_bus::recorded(address)?;
    let mut text = String::new();
    let mut result = Ok(());
    for step in 0..4 {
        result = match step {
            0 => chip.open(),
            1 => chip.read_uid().map(drop),
            2 => chip.read_metadata(optiga::ObjectId::CERTIFICATE_1).map(drop),
            _ => chip.lifecycle(optiga::LifecycleOf::Chip).map(drop),
        };
        for recorded in chip.bus_mut().take() {
            text.push_str(&line_of(&recorded));
            teller.take(&recorded)?;
        }
        if result.is_err() {
            break;
        }
    }
    teller.end()?;
    if let Some(file) = save {
        let head = format!("title recorded from the chip at {address}\n\n");
        fs::write(file, head + &text)
            .fault(|| format!("could not save the recording to {}", file.display()))?;
    }
    result.fault(|| format!("the chip at {address} did not answer"))
}

/// One line of a recording.
fn line_of(recorded: &Recorded) -> String {
    let time = recorded.ms.map_or_else(String::new, |ms| format!("@{ms:.3} "));
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or_else(|| "NAK".to_owned(), spaced);
    match &recorded.what {
        Happening::Write(data) => format!("{time}W {}\n", bytes(data)),
        Happening::Read(data) => format!("{time}R {}\n", bytes(data)),
        Happening::Fault(what) => format!("# {what}\n"),
        // Only recordings that are read hold frames and commands of their own.
        Happening::Frame { .. } | Happening::Apdu { .. } => String::new(),
    }
}

fn spaced(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}

/// A line of a recording in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine {
    #[serde(default)]
    ms: Option<f64>,
    /// `W`, `R`, `H`, `C`, `LOST`, `>` or `<`.
    kind: String,
    /// Hexadecimal, or `NAK`.
    bytes: String,
}

/// Everything that a recording says happened.
pub(super) fn parse(text: &str) -> Result<Vec<Recorded>, Failure> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let parsed = parse_line(line.trim())
                .map_err(|what| Failure::usage(format!("line {} of the recording: {what}", index + 1)));
            parsed.transpose()
        })
        .collect()
}

fn parse_line(line: &str) -> Result<Option<Recorded>, String> {
    const HEAD: [&str; 4] = ["origin ", "title ", "frame-bytes ", "numbering "];
    if line.is_empty() || line.starts_with('#') || HEAD.iter().any(|word| line.starts_with(word)) {
        return Ok(None);
    }
    if line.starts_with('{') {
        let line: JsonLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let what = happening(&line.kind, &line.bytes)?;
        return Ok(Some(Recorded { ms: line.ms, what }));
    }
    let (ms, rest) = match line.strip_prefix('@') {
        Some(rest) => {
            let (time, rest) = rest.split_once(' ').ok_or("a time and nothing after it")?;
            (
                Some(time.parse().map_err(|_| format!("{time} is no time"))?),
                rest.trim(),
            )
        }
        None => (None, line),
    };
    let (kind, bytes) = rest.split_once(' ').ok_or("a kind and no bytes")?;
    let what = happening(kind, bytes)?;
    Ok(Some(Recorded { ms, what }))
}

fn happening(kind: &str, bytes: &str) -> Result<Happening, String> {
    let transaction = || match bytes.trim() {
        "NAK" => Ok(None),
        bytes => unhex(bytes).map(Some),
    };
    let frame = |from, lost| {
        let bytes = unhex(bytes)?;
        Ok(Happening::Frame { from, bytes, lost })
    };
    let apdu = |from| {
        let bytes = unhex(bytes)?;
        Ok(Happening::Apdu { from, bytes })
    };
    match kind {
        "W" => transaction().map(Happening::Write),
        "R" => transaction().map(Happening::Read),
        "H" => frame(Speaker::Host, false),
        "C" => frame(Speaker::Chip, false),
        "LOST" => frame(Speaker::Host, true),
        ">" => apdu(Speaker::Host),
        "<" => apdu(Speaker::Chip),
        _ => Err(format!("{kind} is none of W, R, H, C, LOST, > and <")),
    }
}

/// Hexadecimal with or without spaces; `{name:n}` stands for n bytes that are not known.
fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for token in text.split_whitespace() {
        if let Some(gap) = token.strip_prefix('{').and_then(|gap| gap.strip_suffix('}')) {
            let count = gap
                .split_once(':')
                .and_then(|(_, count)| count.parse::<usize>().ok());
            let count = count.filter(|count| *count <= GAP_BYTES_MAX);
            let count = count.ok_or_else(|| format!("{token} is no gap of so many bytes"))?;
            bytes.resize(bytes.len() + count, 0);
            continue;
        }
        let digits = token.as_bytes();
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(format!("{token} is half a byte"));
        }
        for pair in pairs {
            let byte = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| !pair.starts_with('+'));
            let byte = byte.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            bytes.push(byte.ok_or_else(|| format!("{token} is not hexadecimal"))?);
        }
    }
    Ok(bytes)
}

/// Decodes and prints, and joins repeats of "not acknowledged" into one line.
struct Teller {
    decoder: Decoder,
    json: bool,
    layer: Option<Layer>,
    held: Option<(Option<f64>, Line, usize)>,
}

impl Teller {
    fn new(typed: &ChipTrace) -> Self {
        let layer = typed.layer.map(|layer| match layer {
            TraceLayer::Physical => Layer::Physical,
            TraceLayer::Link => Layer::Link,
            TraceLayer::Transport => Layer::Transport,
            TraceLayer::Command => Layer::Command,
        });
        Self {
            decoder: Decoder::new(),
            json: typed.json,
            layer,
            held: None,
        }
    }

    fn take(&mut self, recorded: &Recorded) -> Result<(), Failure> {
        for line in self.decoder.take(&recorded.what) {
            if self.layer.is_some_and(|layer| layer != line.layer) {
                continue;
            }
            match &mut self.held {
                Some((_, held, count)) if *held == line && line.bytes.is_empty() && !self.json => *count += 1,
                _ => {
                    self.end()?;
                    self.held = Some((recorded.ms, line, 1));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let Some((ms, line, count)) = self.held.take() else {
            return Ok(());
        };
        if self.json {
            let object = json!({
                "ms": ms,
                "layer": line.layer.name(),
                "from": speaker(line.from),
                "text": line.text,
                "bytes": hexadecimal(&line.bytes),
            });
            return tell(&object.to_string()).fault(|| "could not write to stdout".to_owned());
        }
        say(&for_people(ms, &line, count));
        Ok(())
    }
}

const fn speaker(from: Speaker) -> &'static str {
    match from {
        Speaker::Host => "host",
        Speaker::Chip => "chip",
    }
}

/// Time, who, layer (each one further in), words, and the bytes of the physical layer.
fn for_people(ms: Option<f64>, line: &Line, count: usize) -> String {
    let time = ms.map_or_else(|| " ".repeat(10), |ms| format!("{ms:>10.3}"));
    let arrow = match line.from {
        Speaker::Host => "host >",
        Speaker::Chip => "chip <",
    };
    let indent = "  ".repeat(line.layer as usize);
    let times = if count > 1 {
        format!(" ({count} times)")
    } else {
        String::new()
    };
    let bytes = match line.layer {
        Layer::Physical if !line.bytes.is_empty() => {
            let more = if line.bytes.len() > SHOWN_BYTES_MAX {
                " ..."
            } else {
                ""
            };
            let head = line.bytes.get(..SHOWN_BYTES_MAX).unwrap_or(&line.bytes);
            format!("   [{}{more}]", spaced(head))
        }
        _ => String::new(),
    };
    format!(
        "{time} {arrow} {:<9} {indent}{}{times}{bytes}",
        line.layer.name(),
        line.text
    )
}

#[cfg(test)]
mod tests {
    use optiga::frame::{Frame, Number, Verdict};

    use super::*;

    fn vectors() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/optiga")
    }

    /// The lines of one layer that a golden trace decodes to.
    fn told(name: &str, layer: Layer) -> Vec<String> {
        let text = fs::read_to_string(vectors().join(format!("{name}.trace"))).unwrap();
        let mut decoder = Decoder::new();
        parse(&text)
            .unwrap()
            .iter()
            .flat_map(|recorded| decoder.take(&recorded.what))
            .filter(|line| line.layer == layer)
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn the_silicon_capture_in_commands() {
        assert_eq!(
            told("g01-open-and-uid-fragmented", Layer::Command),
            [
                "OpenApplication, clears the last error",
                "done",
                "GetDataObject E0C6 (longest command)",
                "done: 2 bytes, 0615",
                "GetDataObject F1C0 (application life cycle), 1 bytes from 0",
                "done: 1 bytes, 01",
                "GetDataObject E0C0 (chip life cycle), 1 bytes from 0",
                "done: 1 bytes, 07",
                "GetDataObject E0C2 (coprocessor UID), its metadata",
                "done: room for 27 bytes, change NEV, read ALW",
                "GetDataObject E0C2 (coprocessor UID), 27 bytes from 0",
                "done: 27 bytes, cd16335601001c000500000a0784d700050080008e801010701048",
            ]
        );
        let chains = told("g01-open-and-uid-fragmented", Layer::Transport);
        assert_eq!(chains.len(), 4, "{chains:?}");
        assert!(
            told("g01-open-and-uid-fragmented", Layer::Physical)
                .contains(&"I2C_STATE: busy, a frame of 5 bytes waits".to_owned())
        );
    }

    #[test]
    fn the_link_in_words() {
        let link = told("g08-loss-and-resync", Layer::Link);
        assert!(
            link.iter().any(|line| line.starts_with("re-synchronisation")),
            "{link:?}"
        );
        assert!(
            link.iter()
                .any(|line| line.ends_with("a repeat") || line.ends_with("lost on its way"))
        );
        let link = told("g09-corrupted-answer", Layer::Link);
        assert!(
            link.contains(&"damaged frame: its checksum is wrong".to_owned()),
            "{link:?}"
        );
        let transport = told("g13-chaining-error", Layer::Transport);
        assert_eq!(
            transport.last().unwrap(),
            "reports that it cannot follow the chain"
        );
        let transport = told("g14-other-product", Layer::Transport);
        assert!(
            transport.iter().all(|line| line.contains("Trust M")),
            "{transport:?}"
        );
    }

    #[test]
    fn every_golden_trace_is_understood() {
        let mut count = 0;
        for folder in [vectors(), vectors().join("commands"), vectors().join("dtls")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "trace") {
                    continue;
                }
                let mut decoder = Decoder::new();
                for recorded in parse(&fs::read_to_string(&path).unwrap()).unwrap() {
                    for line in decoder.take(&recorded.what) {
                        let unclear = ["not known", "unknown", "no sense", "without input"];
                        let clear = !unclear.iter().any(|word| line.text.contains(word));
                        assert!(
                            clear || line.text.contains("DEAD"),
                            "{}: {}",
                            path.display(),
                            line.text
                        );
                    }
                }
                count += 1;
            }
        }
        assert!(count >= 40, "{count} traces");
    }

    #[test]
    fn dtls_and_keys_in_words() {
        let of = |name: &str| told(name, Layer::Command).swap_remove(0);
        assert_eq!(
            of("dtls/g39-client-hello"),
            "ProcUpLinkMsg ClientHello, session E100"
        );
        assert_eq!(
            of("dtls/g40-certificate"),
            "ProcUpLinkMsg Certificate, session E100"
        );
        assert_eq!(
            of("dtls/g41-server-hello"),
            "ProcDownLinkMsg ServerHello, session E100"
        );
        assert_eq!(
            of("dtls/g42-encrypt"),
            "ProcUpLinkMsg encrypt a record, session E100"
        );
        assert_eq!(
            of("dtls/g43-decrypt"),
            "ProcDownLinkMsg decrypt a record, session E100"
        );
        assert_eq!(
            of("dtls/g44-close"),
            "ProcUpLinkMsg close the session, session E100"
        );
        assert_eq!(
            of("commands/g35-agreement-stays"),
            "CalcSSec with E100 (session context), kept in E100"
        );
        // A secret that crosses the bus is counted, not shown.
        let secret = told("commands/k1-agreement-p256", Layer::Command).swap_remove(1);
        assert_eq!(secret, "done: a secret of 32 bytes (not shown)");
        let refused = told("g19-private-key-read", Layer::Command);
        assert_eq!(
            refused.last().unwrap(),
            "done: access condition not satisfied (07)"
        );
    }

    #[test]
    fn recordings_in_both_forms_and_their_mistakes() {
        let text = parse("@1.5 W 82\nR NAK\n").unwrap();
        let json = "{\"ms\":1.5,\"kind\":\"W\",\"bytes\":\"82\"}\n{\"kind\":\"R\",\"bytes\":\"NAK\"}\n";
        assert_eq!(parse(json).unwrap(), text);
        let again: String = text.iter().map(line_of).collect();
        assert_eq!(parse(&again).unwrap(), text);
        for wrong in [
            "W",
            "X 00",
            "W 0",
            "W +1",
            "W GG",
            "@x W 82",
            "@1",
            "> {a:9999}",
            "> {a}",
            "{\"kind\":\"W\"}",
        ] {
            let failure = parse(wrong).err().unwrap().to_string();
            assert!(failure.starts_with("line 1 of the recording: "), "{failure}");
        }
    }

    #[test]
    fn nothing_that_a_bus_may_carry_stops_the_decoder() {
        let mut decoder = Decoder::new();
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for round in 0..20_000 {
            let bytes: Vec<u8> = (0..round % 23)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as u8
                })
                .collect();
            let from = if round % 2 == 0 {
                Speaker::Host
            } else {
                Speaker::Chip
            };
            for what in [
                Happening::Write(Some(bytes.clone())),
                Happening::Read(Some(bytes.clone())),
                Happening::Frame {
                    from,
                    bytes: bytes.clone(),
                    lost: false,
                },
                Happening::Apdu {
                    from,
                    bytes: bytes.clone(),
                },
            ] {
                decoder.take(&what);
            }
            // The same as a packet that arrived well.
            let mut frame = [0; 64];
            let packet = Frame::Data {
                number: Number::new(0),
                verdict: Verdict::Ack(Number::new(0)),
                packet: &bytes,
            };
            if let Some(length) = packet.write(&mut frame).filter(|_| !bytes.is_empty()) {
                let bytes = frame[..length].to_vec();
                decoder.take(&Happening::Frame {
                    from,
                    bytes,
                    lost: false,
                });
            }
        }
    }
}
