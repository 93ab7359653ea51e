//! Finding processes in `/proc`.

use std::{collections::HashMap, fs};

use rustix::process::Pid;

/// Every living process below `root`, zombies left out.
pub(super) fn of(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in pids() {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root.as_raw_pid()];
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        next.extend(&below);
        found.extend(below);
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// Every living process whose environment holds `entry` (`NAME=value`).
pub(super) fn with_environment(entry: &str) -> Vec<Pid> {
    let holds = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|pair| pair == entry.as_bytes()))
    };
    pids().filter(holds).filter_map(Pid::from_raw).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The parent of a process that is not a zombie. `stat` is `pid (name) state ppid …`, and the name may hold
/// anything, parentheses too.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let alive = !matches!(fields.next()?, "Z" | "X");
    alive.then(|| fields.next()?.parse().ok()).flatten()
}
