//! The resource limits of another process.
//!
//! Every process of a user may lower those of every other one: prlimit(2) asks whose they are, and not
//! whether they hide. Its workers inherit what a zygote has, for as long as it lives.

use std::fs;

/// All of them, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits(Vec<Limit>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    /// As the kernel calls it.
    name: String,
    soft: u64,
    hard: u64,
}

/// Columns of a name in `/proc/PID/limits`, with the space behind it.
const NAME_COLUMNS: usize = 26;

impl Limits {
    /// `None`: it is gone, or there is nothing that could be read.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let limits = Self::read(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?);
        (!limits.0.is_empty()).then_some(limits)
    }

    fn read(text: &str) -> Self {
        Self(text.lines().filter_map(Limit::read).collect())
    }

    /// The name of one that is lower than it was.
    pub(crate) fn lowered(&self, before: &Self) -> Option<&str> {
        let lowered = |limit: &&Limit| {
            let before = before.0.iter().find(|before| before.name == limit.name);
            before.is_some_and(|before| limit.soft < before.soft || limit.hard < before.hard)
        };
        self.0.iter().find(lowered).map(|limit| limit.name.as_str())
    }
}

impl Limit {
    fn read(line: &str) -> Option<Self> {
        let (name, numbers) = line.split_at_checked(NAME_COLUMNS)?;
        let mut numbers = numbers.split_ascii_whitespace().map(|number| match number {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        });
        Some(Self {
            name: name.trim_end().to_owned(),
            soft: numbers.next()??,
            hard: numbers.next()??,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_became_lower_is_named_and_one_that_became_higher_is_not() {
        let before = Limits::of(std::process::id()).expect("we are there");
        assert!(before.0.len() > 10, "{before:?}");
        assert_eq!(before.lowered(&before), None);
        let limits = |processes: &str| {
            Limits::read(&format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max file size             unlimited            unlimited            bytes     \n\
                 Max processes             {processes}       processes \n"
            ))
        };
        let before = limits("100        200");
        assert_eq!(before.0.len(), 2);
        for (after, lowered) in [
            ("100        unlimited", None),
            ("200        200", None),
            ("99         200", Some("Max processes")),
            ("100        100", Some("Max processes")),
            ("0          unlimited", Some("Max processes")),
        ] {
            assert_eq!(limits(after).lowered(&before), lowered, "{after}");
        }
    }
}
