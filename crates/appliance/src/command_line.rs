//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Tried in this order when `--conf` is not given.
const DEFAULTS: [&str; 2] = ["site.toml", "/etc/appliance/site.toml"];

/// Serves web sites and Python web applications as one file, site.toml, says.
#[derive(Debug, Parser)]
#[command(version, about, after_help = SIGNALS)]
pub(crate) struct CommandLine {
    /// The configuration [default: ./site.toml, then /etc/appliance/site.toml]
    #[arg(long, value_name = "FILE", global = true)]
    conf: Option<PathBuf>,

    /// Go into the background once everything serves
    #[arg(long, global = true)]
    pub(crate) daemon: bool,

    /// What to do instead of running
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const SIGNALS: &str = "\
Signals:
  TERM, QUIT  stop; running requests end within server.grace
  INT         stop at once
  HUP         read the configuration and the applications again, without losing a request
  USR1        open the log files again

Exit codes: 0 stopped, 1 could not start, 2 bad configuration, 3 no application boots and there is\nnothing else to serve";

/// What can be asked for.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Try everything a start would need: configuration, files, certificates, applications
    Check,
}

impl CommandLine {
    /// Reads it; tells what is wrong and exits when it can not be understood.
    pub(crate) fn read() -> Self {
        Self::parse()
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn conf_may_stand_before_or_behind_the_command() {
        for arguments in [
            ["appliance", "--conf", "a.toml", "check"],
            ["appliance", "check", "--conf", "a.toml"],
        ] {
            let line = CommandLine::try_parse_from(arguments).expect("a command line");
            assert_eq!(line.conf(), PathBuf::from("a.toml"));
            assert!(matches!(line.command, Some(Command::Check)));
        }
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(CommandLine::try_parse_from(["appliance", "--config", "a.toml"]).is_err());
    }
}
