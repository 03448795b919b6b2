//! CPU time of another process, from the scheduler's own nanoseconds.

use std::fs;

use crate::Outcome;

/// Nanoseconds that all threads of a process have been on a CPU, user and kernel.
pub(crate) fn nanoseconds(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}
