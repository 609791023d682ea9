//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{hints, told::complain};

/// Tried in this order when `--conf` is not given.
const DEFAULTS: [&str; 2] = ["site.toml", "/etc/appliance/site.toml"];

/// Of a command line that cannot be understood, as clap has it.
const USAGE: i32 = 2;

/// Serves web sites and Python web applications as one file, site.toml, says.
#[derive(Debug, Parser)]
#[command(version, about, after_help = MORE)]
pub(crate) struct CommandLine {
    /// The configuration [default: ./site.toml, then /etc/appliance/site.toml]
    #[arg(short, long, value_name = "FILE", global = true)]
    conf: Option<PathBuf>,

    /// Go into the background once everything serves
    #[arg(long, global = true)]
    pub(crate) daemon: bool,

    /// The same as `check`
    #[arg(short = 't')]
    test: bool,

    /// What to do instead of running
    #[command(subcommand)]
    command: Option<Command>,
}

const MORE: &str = "\
Signals:
  TERM, QUIT  stop; running requests end within server.grace
  INT         stop at once
  HUP         read the configuration and the applications again, without losing a request
  USR1        open the log files again

Exit codes: 0 stopped, 1 could not start, 2 bad configuration, 3 no application boots and there is
nothing else to serve. Of reload, reopen, stop and status: 0 done, 1 refused or failed, 3 not running";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Try everything a start would need: configuration, files, certificates, applications
    Check,
    /// Tell how the server of this configuration is doing
    Status {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Let new code and configuration take over without a failed request, and wait until they do
    Reload {
        /// Do not wait for the outcome
        #[arg(long)]
        no_wait: bool,
    },
    /// Open the log files again, after they were moved
    Reopen,
    /// Stop; wait until running requests have ended and the process is gone
    Stop {
        /// Abort running requests
        #[arg(long)]
        now: bool,
    },
    /// Print the version
    Version,
}

impl CommandLine {
    /// Reads it; tells what is wrong and exits when it cannot be understood.
    #[expect(
        clippy::disallowed_methods,
        reason = "main's first call: nothing runs and nothing is to be flushed"
    )]
    pub(crate) fn read() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| {
            let Some(hint) = hint(&error) else { error.exit() };
            complain(&format!("appliance: {hint}"));
            std::process::exit(USAGE)
        })
    }

    fn of<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error> {
        let line = Self::try_parse_from(words)?;
        if line.test && line.command.is_some() {
            // To nginx, `-t` means that nothing is done; a command would be.
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "`-t` is a command of its own, the same as `check`: it goes with no other",
            ));
        }
        Ok(line)
    }

    /// What to do; `None`: run.
    pub(crate) fn asked_for(&self) -> Option<Command> {
        self.command.or(self.test.then_some(Command::Check))
    }

    /// The configuration's file.
    pub(crate) fn conf(&self) -> PathBuf {
        match &self.conf {
            Some(conf) => conf.clone(),
            None => DEFAULTS
                .into_iter()
                .map(PathBuf::from)
                .find(|conf| conf.exists())
                .unwrap_or_else(|| PathBuf::from(DEFAULTS[0])),
        }
    }
}

/// For a word that another server knows.
fn hint(error: &clap::Error) -> Option<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    let Some(ContextValue::String(stranger)) = error.get(kind) else {
        return None;
    };
    let given: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // Of `-w4` clap knows only the letter, and of `--workers=4` only the word.
    hints::hint(&given, stranger).map(|hint| format!("`{stranger}` is no word of ours: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CommandLine {
        let words = ["appliance"].into_iter().chain(text.split_whitespace());
        CommandLine::of(words).expect("a command line")
    }

    #[test]
    fn a_test_of_the_configuration_goes_with_no_command() {
        for words in [
            &["-t", "reload"][..],
            &["-t", "stop"],
            &["-tc", "a.toml", "check"],
            &["-t", "status", "--json"],
        ] {
            let refused = CommandLine::of([&["appliance"], words].concat()).expect_err("refused");
            assert_eq!(refused.kind(), ErrorKind::ArgumentConflict, "{words:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn conf_may_stand_before_or_behind_the_command() {
        for text in [
            "--conf a.toml check",
            "check --conf a.toml",
            "-c a.toml check",
            "check -c a.toml",
            "-t -c a.toml",
            "-c a.toml -t",
        ] {
            assert_eq!(line(text).conf(), PathBuf::from("a.toml"), "{text}");
            assert_eq!(line(text).asked_for(), Some(Command::Check), "{text}");
        }
        assert_eq!(line("-c a.toml").asked_for(), None);
    }

    #[test]
    fn the_commands_have_their_options() {
        assert_eq!(line("status").asked_for(), Some(Command::Status { json: false }));
        assert_eq!(
            line("status --json").asked_for(),
            Some(Command::Status { json: true })
        );
        assert_eq!(
            line("reload").asked_for(),
            Some(Command::Reload { no_wait: false })
        );
        assert_eq!(
            line("reload --no-wait").asked_for(),
            Some(Command::Reload { no_wait: true })
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(CommandLine::try_parse_from(["appliance", "--config", "a.toml"]).is_err());
    }
}
