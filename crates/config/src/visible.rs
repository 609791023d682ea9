//! Texts that end on somebody's terminal, though others have written them: applications, configuration files,
//! names of files.

use std::fmt::{self, Write};

/// Does it act on a terminal, or on the order in which a line is read, instead of being seen? Control
/// characters of both kinds, what many programs end a line at, and what turns the direction of a text.
pub fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with its lines, and with what is invisible in them written as escapes: `\u{1b}`.
#[derive(Debug, Clone, Copy)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if is_invisible(char) && !matches!(char, '\n' | '\t') {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_is_written_out_and_lines_stay() {
        let text = "a\u{1b}[2J\tb\r\nü \u{202e}txt.exe\u{2066}\u{9b}1m";
        assert_eq!(
            Visible(text).to_string(),
            "a\\u{1b}[2J\tb\\u{d}\nü \\u{202e}txt.exe\\u{2066}\\u{9b}1m"
        );
    }
}
