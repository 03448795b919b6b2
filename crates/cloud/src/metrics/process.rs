//! What the system knows of this process, under the names that every Prometheus client library gives it.
//!
//! Linux only; elsewhere the page has none of it.

use std::fs;

use super::page::Page;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux architecture that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Writes what the system tells.
pub(super) fn write(page: &mut Page) {
    let page_bytes = rustix::param::page_size() as u64;
    if let Some(stat) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(Stat::read)
    {
        let hundredths = stat.cpu_ticks * 100 / TICKS_PER_SECOND;
        page.value(
            "process_cpu_seconds_total",
            format_args!("{}.{:02}", hundredths / 100, hundredths % 100),
        );
        page.value("process_resident_memory_bytes", stat.resident_pages * page_bytes);
        if let Some(booted) = booted_seconds() {
            let started = booted + stat.started_ticks / TICKS_PER_SECOND;
            page.value("process_start_time_seconds", started);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.value("process_open_fds", open.count());
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.value("process_max_fds", most);
    }
}

struct Stat {
    cpu_ticks: u64,
    started_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    /// Fields 14, 15, 22 and 24 of proc(5); the second is a name in parentheses that may hold anything.
    fn read(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn booted_seconds() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_skipped() {
        let text = "1 (a) b) S 2 3 4 5 6 7 8 9 10 11 100 23 16 17 18 19 20 21 777 25 4096 27";
        let stat = Stat::read(text).unwrap();
        assert_eq!(
            (stat.cpu_ticks, stat.started_ticks, stat.resident_pages),
            (123, 777, 4096)
        );
        assert!(Stat::read("1 (a) S 2").is_none());
    }
}
