//! What a process uses, as the kernel counts it, and how many files this one may open.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Returns how much processor time the process `id` has used.
///
/// # Errors
/// Where there is no such process, or the kernel writes down no accounts.
pub fn cpu_time(id: u32) -> io::Result<Duration> {
    let line = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is a name in parentheses, which may hold anything; user and system time are 14 and 15.
    let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Returns how many bytes of memory the process `id` holds.
///
/// # Errors
/// Where there is no such process, or the kernel writes down no accounts.
pub fn resident(id: u32) -> io::Result<u64> {
    let line = fs::read_to_string(format!("/proc/{id}/statm"))?;
    let pages = line.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| io::Error::other(format!("expected numbers in /proc/{id}/statm, found `{line}`")))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Returns how many bytes of memory the process `id` has held at most.
///
/// # Errors
/// Where there is no such process, or the kernel writes down no accounts.
pub fn peak(id: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| io::Error::other(format!("expected `VmHWM` in /proc/{id}/status")))?;
    Ok(kibibytes * 1024)
}

/// Lets this process open as many files as the system allows it to.
///
/// # Errors
/// Where the system refuses.
pub fn open_many_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
