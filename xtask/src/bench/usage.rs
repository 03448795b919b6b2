//! What a program used: CPU time and the most memory it ever held, read from the kernel's own counters.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome, Trying};
use crate::process::Run;

/// How often the memory of a running program is looked at; the kernel keeps the maximum, so only the last moments
/// before the end can be missed.
const LOOK_MILLISECONDS: u64 = 20;

/// Ticks of the CPU clock in one second, as Linux reports them to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run used, with what it printed.
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) rss_bytes_max: u64,
    pub(super) stdout: String,
    /// Each line for people, with the CPU seconds used when it came.
    lines: Vec<(String, f64)>,
}

impl Usage {
    /// CPU seconds between the lines that begin with these words.
    pub(super) fn cpu_seconds_between(&self, first: &str, second: &str) -> Option<f64> {
        let at = |words: &str| {
            self.lines
                .iter()
                .find(|(line, _)| line.starts_with(words))
                .map(|(_, cpu)| *cpu)
        };
        Some(at(second)? - at(first)?)
    }
}

/// Runs a program to its end and measures it.
pub(super) fn measure(run: Run) -> Outcome<Usage> {
    let line = run.line();
    let cpu_before = children_cpu_seconds()?;
    let start = Instant::now();
    let mut command = run.into_command();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .trying(|| line.clone())?;
    let (stdout, stderr, pid) = (child.stdout.take(), child.stderr.take(), child.id());
    let stdout = thread::spawn(move || stdout.and_then(|stdout| std::io::read_to_string(stdout).ok()));
    let stderr = thread::spawn(move || stderr.map(|stderr| timed_lines(pid, stderr)));
    let rss_bytes_max = watch(&mut child)?;
    let seconds = start.elapsed().as_secs_f64();
    let status = child.wait().trying(|| line.clone())?;
    let stdout = stdout.join().ok().flatten().unwrap_or_default();
    let lines = stderr.join().ok().flatten().unwrap_or_default();
    if !status.success() {
        let said: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
        return Err(Failure::new(format!("{line} ended with {status}:\n{said}")));
    }
    Ok(Usage {
        seconds,
        cpu_seconds: children_cpu_seconds()? - cpu_before,
        rss_bytes_max,
        stdout,
        lines,
    })
}

fn timed_lines(pid: u32, stderr: impl Read) -> Vec<(String, f64)> {
    let lines = BufReader::new(stderr).lines().map_while(Result::ok);
    lines
        .map(|line| (line, cpu_seconds(&format!("/proc/{pid}/stat"), 11).unwrap_or(0.0)))
        .collect()
}

/// Waits for the end; returns the most memory seen.
fn watch(child: &mut Child) -> Outcome<u64> {
    let mut most = 0;
    loop {
        most = most.max(peak_bytes(child.id()).unwrap_or(0));
        if child
            .try_wait()
            .trying(|| "wait for a program".to_owned())?
            .is_some()
        {
            return Ok(most);
        }
        thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
    }
}

/// The high-water mark of a program's resident memory.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// CPU time of all children that have ended and been waited for.
fn children_cpu_seconds() -> Outcome<f64> {
    cpu_seconds("/proc/self/stat", 13)
}

/// Two neighbouring fields of a stat file, user and kernel time, counted from the first one after the name (proc(5)).
fn cpu_seconds(file: &str, first: usize) -> Outcome<f64> {
    let stat = fs::read_to_string(file).trying(|| format!("read {file}"))?;
    let fields = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .skip(first)
        .take(2);
    Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}
