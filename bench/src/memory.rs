//! Resident memory of another process.

use std::fs;

use crate::Outcome;

/// Bytes of memory that a process has now: its own, and what it reads of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// Its own. Whatever else it holds, the kernel can take back.
    pub(crate) anonymous: u64,
    /// All together.
    pub(crate) total: u64,
}

/// Looks into the status of a process (proc(5)).
pub(crate) fn of(pid: u32) -> Outcome<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |key: &str| -> Outcome<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let text = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .ok_or("no such line in status")?;
        Ok(text.trim().parse::<u64>()? * 1024)
    };
    Ok(Resident {
        anonymous: bytes("RssAnon:")?,
        total: bytes("VmRSS:")?,
    })
}
