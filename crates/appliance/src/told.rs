//! What a command says on the terminal.
//!
//! Much of it comes from applications and files: none of it may act on the terminal. A closed pipe behind us
//! is not our trouble.

use std::{
    fmt::Display,
    io::{Write, stderr, stdout},
};

use config::Visible;

pub(crate) fn tell(text: &dyn Display) {
    let _ = writeln!(stdout(), "{}", Visible(&text.to_string()));
}

pub(crate) fn complain(text: &dyn Display) {
    let _ = writeln!(stderr(), "{}", Visible(&text.to_string()));
}
