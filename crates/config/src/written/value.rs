//! One value of the file, with its place and the key it stands under.

use std::{
    fmt::Display,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeString, DeValue},
};

use super::{Reading, amount};
use crate::problem::nearest;

/// A value as written. The typed readers return `None` after they have reported what is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Value<'r> {
    pub(crate) reading: &'r Reading<'r>,
    pub(crate) written_key: &'r Spanned<DeString<'r>>,
    pub(crate) item: &'r Spanned<DeValue<'r>>,
}

impl<'r> Value<'r> {
    pub(crate) fn key(&self) -> &'r str {
        self.written_key.get_ref()
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.item.span()
    }

    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.reading.problem(self.span(), message);
    }

    pub(crate) fn problem_with_help(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.problem_with_help(self.span(), message, help);
    }

    /// A problem of the key, for tables whose keys are the user's own.
    pub(crate) fn key_problem(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading
            .problem_with_help(self.written_key.span(), message, help);
    }

    /// The text, when it is one; reports nothing.
    pub(crate) fn as_text(&self) -> Option<&'r str> {
        self.item.get_ref().as_str()
    }

    /// A text without control characters: it ends in paths, header fields and logs.
    pub(crate) fn text(&self) -> Option<&'r str> {
        let text = self
            .as_text()
            .or_else(|| self.wants_with_help("a text", self.quoted()))?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            self.problem_with_help(
                format!("`{}` must not contain control characters", self.key()),
                "leave them out; within \"...\" a backslash is written twice",
            );
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let meant = self.as_text().and_then(truth);
        let plain = meant.map(|meant| format!("write {} = {meant}, without quotes", self.key()));
        let written = self.item.get_ref().as_bool();
        written.or_else(|| self.wants_with_help("true or false", plain))
    }

    pub(crate) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.number_or(range, "a whole number")
    }

    /// A number, or the word that asks for `automatic`.
    pub(crate) fn number_or_auto(&self, range: RangeInclusive<u64>, automatic: u64) -> Option<u64> {
        if self.as_text() == Some("auto") {
            return Some(automatic);
        }
        self.number_or(range, "a whole number or \"auto\"")
    }

    fn number_or(&self, range: RangeInclusive<u64>, what: &str) -> Option<u64> {
        let Some(integer) = self.item.get_ref().as_integer() else {
            let digits = self.as_text().map(str::trim);
            let digits = digits.filter(|text| text.parse::<u64>().is_ok() || *text == "auto");
            let plain = digits.map(|text| match text {
                "auto" => format!("write {} = \"auto\", without blanks", self.key()),
                _ => format!("write {} = {text}, without quotes", self.key()),
            });
            return self.wants_with_help(what, plain);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        self.in_range(number, integer, range, u64::to_string)
    }

    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let seconds = || Some(format!("write \"{}s\" for seconds", self.as_number()?));
        let text = self
            .as_text()
            .or_else(|| self.wants_with_help("a duration such as \"30s\"", seconds()))?;
        match amount::duration(text) {
            Ok(duration) => self.in_range(Some(duration), text, range, |bound| amount::show_duration(*bound)),
            Err(message) => self.refuse_amount(&message),
        }
    }

    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = || Some(format!("write \"{}B\" for bytes", self.as_number()?));
        let text = self
            .as_text()
            .or_else(|| self.wants_with_help("a size such as \"8MiB\"", bytes()))?;
        match amount::size(text) {
            Ok(size) => self.in_range(Some(size), text, range, |bound| amount::show_size(*bound)),
            Err(message) => self.refuse_amount(&message),
        }
    }

    fn refuse_amount<T>(&self, message: &str) -> Option<T> {
        self.problem(format!("`{}`: {message}", self.key()));
        None
    }

    fn in_range<T: PartialOrd>(
        &self,
        amount: Option<T>,
        written: impl Display,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let fits = amount.filter(|amount| range.contains(amount));
        if fits.is_none() {
            let (least, most) = (show(range.start()), show(range.end()));
            self.problem(format!(
                "`{}` must be from {least} to {most}, not {written}",
                self.key()
            ));
        }
        fits
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)], later: &[(&str, &str)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let listed = words()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let listed = format!("one of {listed}");
        let quoted = || {
            let scalar = self
                .scalar()
                .filter(|scalar| words().any(|word| word == scalar))?;
            Some(format!("write \"{scalar}\", in quotes"))
        };
        let text = self
            .as_text()
            .or_else(|| self.wants_with_help(&listed, quoted()))?;
        if let Some((_, chosen)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*chosen);
        }
        let what = format!("`{}` must be {listed}, not `{text}`", self.key());
        match (
            later.iter().find(|(word, _)| *word == text),
            nearest(text, words()),
        ) {
            (Some((_, way)), _) => self.problem_with_help(
                format!("`{} = \"{text}\"` is not supported", self.key()),
                (*way).to_owned(),
            ),
            (None, Some(word)) => self.problem_with_help(what, format!("did you mean \"{word}\"?")),
            (None, None) => self.problem(what),
        }
        None
    }

    /// A path, made absolute against the directory of the file. Symbolic links are left alone.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            self.problem_with_help(
                format!("`{}` is an empty path", self.key()),
                "write a path, or leave it out",
            );
            return None;
        }
        if text.starts_with('~') {
            self.problem_with_help(format!("`~` is not expanded in `{text}`"), "write the whole path");
            return None;
        }
        Some(self.reading.absolute(Path::new(text)))
    }

    /// The elements of a list; a single text stands for a list of one.
    pub(crate) fn list(&self) -> Vec<Value<'r>> {
        match self.item.get_ref() {
            DeValue::String(_) => vec![*self],
            DeValue::Array(items) => items.iter().map(|item| Value { item, ..*self }).collect(),
            _ => {
                self.wants::<()>("a list of texts");
                Vec::new()
            }
        }
    }

    /// True for `[]`.
    pub(crate) fn is_empty_list(&self) -> bool {
        self.item
            .get_ref()
            .as_array()
            .is_some_and(|items| items.is_empty())
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wants<T>(&self, what: &str) -> Option<T> {
        self.wants_with_help(what, None)
    }

    /// Reports a value of the wrong type, and how what was meant is written.
    pub(crate) fn wants_with_help<T>(&self, what: &str, help: Option<String>) -> Option<T> {
        let found = match self.item.get_ref() {
            DeValue::String(text) if is_short(text) => format!("the text \"{text}\""),
            DeValue::String(_) => "a text".to_owned(),
            DeValue::Integer(number) => format!("the number {}", number.as_str()),
            DeValue::Float(number) => format!("the number {}", number.as_str()),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(date) => format!("the date {date}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        let message = format!("`{}` must be {what}, not {found}", self.key());
        match help {
            Some(help) => self.problem_with_help(message, help),
            None => self.problem(message),
        }
        None
    }

    /// The way out where a text is wanted and something else is written that could be one.
    pub(crate) fn quoted(&self) -> Option<String> {
        let scalar = self.scalar()?;
        Some(format!("write \"{scalar}\", in quotes"))
    }

    /// A number or a truth value as it would stand in a text.
    fn scalar(&self) -> Option<String> {
        match self.item.get_ref() {
            DeValue::Integer(integer) => Some(integer.as_str().to_owned()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            DeValue::Boolean(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    /// The whole number written, when it is one; reports nothing.
    pub(crate) fn as_number(&self) -> Option<u64> {
        self.item.get_ref().as_integer()?.as_str().parse().ok()
    }
}

/// Fits in a message, which the whole line follows anyway.
fn is_short(text: &str) -> bool {
    text.chars().count() <= 40 && !text.chars().any(char::is_control)
}

/// What the words of other formats mean.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}
