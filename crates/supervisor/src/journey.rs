//! The way of an app from exec to its first ready worker, told when it does not get there.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Lines of output that are remembered; the end of them says what went wrong.
const PRINTED_MAX: usize = 60;

/// Longest remembered piece of one line.
const PRINTED_LINE_MAX: usize = 2000;

/// Why an app does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which step: `exec`, `python`, `import`, `callable`, `fork`, `after_fork`, `boot`.
    pub(crate) step: String,
    /// One line that names the thing and the way out.
    pub(crate) message: String,
    /// Python's traceback, or empty.
    pub(crate) traceback: String,
}

impl Failure {
    /// A failure without a traceback.
    pub(crate) fn new(step: &str, message: impl Into<String>) -> Self {
        Self {
            step: step.to_owned(),
            message: message.into(),
            traceback: String::new(),
        }
    }
}

/// What one app has gone through since its zygote was started.
#[derive(Debug)]
pub(crate) struct Journey {
    began: Instant,
    steps: Vec<(String, Duration)>,
    printed: VecDeque<String>,
}

impl Journey {
    /// Starts now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            steps: Vec::new(),
            printed: VecDeque::new(),
        }
    }

    /// A step is done; the first few count, what comes later is not on the way to the first ready worker.
    pub(crate) fn step(&mut self, what: impl Into<String>, now: Instant) {
        if self.steps.len() < 16 {
            self.steps
                .push((what.into(), now.saturating_duration_since(self.began)));
        }
    }

    /// The app printed this.
    pub(crate) fn printed(&mut self, line: &[u8]) {
        if self.printed.len() == PRINTED_MAX {
            self.printed.pop_front();
        }
        let line = &line[..line.len().min(PRINTED_LINE_MAX)];
        self.printed.push_back(String::from_utf8_lossy(line).into_owned());
    }

    /// Since the start.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The whole story, a line each: steps with their times, what the app printed, the traceback.
    pub(crate) fn tell(&self, failure: &Failure, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let mut before = Duration::ZERO;
        for (what, at) in &self.steps {
            let took = at.saturating_sub(before);
            lines.push(format!("  done    {what} ({} ms)", took.as_millis()));
            before = *at;
        }
        let took = self.elapsed(now).saturating_sub(before);
        // The application has a hand in it: no second line of it may look like one of ours.
        let mut message = failure.message.lines();
        lines.push(format!(
            "  FAILED  {} ({} ms): {}",
            failure.step.lines().next().unwrap_or_default(),
            took.as_millis(),
            message.next().unwrap_or_default()
        ));
        lines.extend(message.map(|line| format!("    {line}")));
        if !self.printed.is_empty() {
            lines.push("  it printed:".to_owned());
            lines.extend(self.printed.iter().map(|line| format!("    {line}")));
        }
        lines.extend(failure.traceback.lines().map(|line| format!("  {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_steps_times_output_and_traceback() {
        let start = Instant::now();
        let mut journey = Journey::new(start);
        journey.step("exec /usr/bin/python3", start + Duration::from_millis(2));
        journey.printed(b"connecting");
        let failure = Failure {
            step: "import".to_owned(),
            message: "no module named shop".to_owned(),
            traceback: "Traceback:\n  line 1".to_owned(),
        };
        let told = journey.tell(&failure, start + Duration::from_millis(50));
        assert_eq!(
            told,
            [
                "  done    exec /usr/bin/python3 (2 ms)",
                "  FAILED  import (48 ms): no module named shop",
                "  it printed:",
                "    connecting",
                "  Traceback:",
                "    line 1",
            ]
        );
    }

    #[test]
    fn a_message_of_several_lines_cannot_pass_for_one_of_ours() {
        let failure = Failure::new("import\nx", "no\neverything is in order");
        let told = Journey::new(Instant::now()).tell(&failure, Instant::now());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("  FAILED  import ("), "{told:?}");
        assert_eq!(told[1], "    everything is in order");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let mut journey = Journey::new(Instant::now());
        for number in 0..1000 {
            journey.printed(format!("line {number}").as_bytes());
        }
        assert_eq!(journey.printed.len(), PRINTED_MAX);
        assert_eq!(journey.printed.back().map(String::as_str), Some("line 999"));
    }
}
