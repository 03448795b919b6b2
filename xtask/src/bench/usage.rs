//! What a program used: CPU time and the most memory it ever held, read from the kernel's own counters.

use std::fs;
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
}

/// Runs a program to its end and measures it.
pub(super) fn measure(run: Run) -> Outcome<Usage> {
    let line = run.line();
    let cpu_before = children_cpu_seconds()?;
    let start = Instant::now();
    let mut child = run
        .into_command()
        .stdout(Stdio::piped())
        .spawn()
        .trying(|| line.clone())?;
    let reader = child
        .stdout
        .take()
        .map(|stdout| thread::spawn(move || std::io::read_to_string(stdout)));
    let rss_bytes_max = watch(&mut child)?;
    let seconds = start.elapsed().as_secs_f64();
    let status = child.wait().trying(|| line.clone())?;
    let stdout = reader
        .and_then(|reader| reader.join().ok())
        .and_then(Result::ok)
        .unwrap_or_default();
    if !status.success() {
        return Err(Failure::new(format!("{line} ended with {status}")));
    }
    Ok(Usage {
        seconds,
        cpu_seconds: children_cpu_seconds()? - cpu_before,
        rss_bytes_max,
        stdout,
    })
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
    let stat = fs::read_to_string("/proc/self/stat").trying(|| "read /proc/self/stat".to_owned())?;
    // Fields after the name in brackets; cutime and cstime are the 16th and 17th of all (proc(5)).
    let fields = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .skip(13)
        .take(2);
    Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}
