//! What is wrong with a configuration, shown where it stands.

use std::{fmt, ops::Range, path::Path};

use crate::{Visible, is_invisible};

/// Every problem of one file, in the order they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    reports: Vec<String>,
}

impl Problems {
    /// How many there are; never zero in an `Err`.
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// Each problem as it is shown: place, message, the line and a caret.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.reports.iter().map(String::as_str)
    }

    /// One problem of a file that could not even be read.
    pub(crate) fn unreadable(path: &Path, message: &str) -> Self {
        Self {
            reports: vec![format!("{}: {message}", path.display())],
        }
    }

    /// Renders `problems` against the text they were found in.
    pub(crate) fn render(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        let reports = problems
            .iter()
            .map(|problem| problem.render(path, text))
            .collect();
        Self { reports }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reports.join("\n\n"))
    }
}

impl std::error::Error for Problems {}

/// One problem and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Bytes of the text that are to blame.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// The way out, when there is an evident one.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// `file:line:column: message`, the line, a caret below it, and the help.
    pub(crate) fn render(&self, path: &Path, text: &str) -> String {
        let start = floor_boundary(text, self.span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let line_number = line_number(text, start);
        let column = text[line_start..start].chars().count();
        let end = floor_boundary(text, self.span.end).clamp(start, line_end);
        let width = text[start..end].trim_end().chars().count().max(1);

        let (excerpt, caret_at) = excerpt(text[line_start..line_end].trim_end_matches('\r'), column);
        let caret_width = width.min(EXCERPT_CHARS - caret_at.min(EXCERPT_CHARS - 1));
        let gutter = " ".repeat(line_number.to_string().len());
        let mut report = format!(
            "{}:{line_number}:{}: {}\n{gutter} |\n{line_number} | {excerpt}\n{gutter} | {}{}",
            Visible(&path.to_string_lossy()),
            column + 1,
            Visible(&self.message),
            " ".repeat(caret_at),
            "^".repeat(caret_width),
        );
        if let Some(help) = &self.help {
            report.push_str(&format!("\n{gutter} = help: {}", Visible(help)));
        }
        report
    }
}

/// The line that the byte `at` stands in, counted from one.
pub(crate) fn line_number(text: &str, at: usize) -> usize {
    text[..floor_boundary(text, at)].matches('\n').count() + 1
}

/// The part of a line that is shown, and where the column lies in it. What is invisible becomes spaces, so
/// that the caret stays below its column and nothing in a broken file reaches the terminal as an escape
/// sequence.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let skip = if column < EXCERPT_CHARS * 3 / 4 {
        0
    } else {
        column - EXCERPT_CHARS / 2
    };
    let shown = line.chars().skip(skip).take(EXCERPT_CHARS);
    let shown: String = shown.map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    (shown.trim_end().to_owned(), column - skip)
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Longer lines are cut: a line of a configuration may be a whole certificate.
const EXCERPT_CHARS: usize = 120;

/// The one of `known` that `written` is most likely meant to be.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase().replace(['-', ' '], "_");
    let score = |word: &str| strsim::damerau_levenshtein(&written, &word.to_lowercase().replace('-', "_"));
    let known: Vec<&str> = known.into_iter().collect();
    let begins =
        |word: &&&'k str| word.len() >= 3 && (written.starts_with(**word) || word.starts_with(&written));
    if let Some(word) = known.iter().find(begins).filter(|_| written.len() >= 3) {
        return Some(word);
    }
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let scored = known.into_iter().map(|word| (score(word), word));
    scored
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_words_to_blame() {
        let text = "[server]\n\tü = 1\n";
        let problem = Problem {
            span: 10..12,
            message: "unknown key `ü`".into(),
            help: Some("leave it out".into()),
        };
        let expected = "a.toml:2:2: unknown key `ü`\n  |\n2 |  ü = 1\n  |  ^\n  = help: leave it out";
        assert_eq!(problem.render(Path::new("a.toml"), text), expected);
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let problem = Problem {
            span: 5000..5001,
            message: "odd".into(),
            help: None,
        };
        let report = problem.render(Path::new("a.toml"), &text);
        let lines: Vec<&str> = report.lines().collect();
        assert!(lines[2].len() < 140);
        assert_eq!(lines[2].find('X'), lines[3].find('^'));
    }

    #[test]
    fn a_place_past_the_end_or_inside_a_character_is_shown_all_the_same() {
        for span in [0..0, 1..2, 3..900, 900..901] {
            let problem = Problem {
                span,
                message: "odd".into(),
                help: None,
            };
            assert!(problem.render(Path::new("a"), "ü\nü").contains("odd"));
        }
    }

    #[test]
    fn a_word_is_only_suggested_when_it_is_near() {
        assert_eq!(nearest("hots", ["hosts", "app"]), Some("hosts"));
        assert_eq!(nearest("body-max", ["body_max"]), Some("body_max"));
        assert_eq!(nearest("zebra", ["hosts", "app"]), None);
    }
}
