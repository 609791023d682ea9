//! One table of the file: keys are asked for by name, and what was never asked for is unknown.

use std::{cell::RefCell, ops::Range, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{Reading, Value, elsewhere, other::Other};
use crate::problem::nearest;

/// A table as written. It remembers which keys were asked for, so the list of known keys cannot drift from the code.
pub(crate) struct Section<'r> {
    pub(crate) reading: &'r Reading<'r>,
    /// How messages call it: `[server]`, `[[site]]`.
    title: String,
    span: Range<usize>,
    table: &'r DeTable<'r>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r> Section<'r> {
    pub(crate) fn new(
        reading: &'r Reading<'r>,
        title: impl Into<String>,
        span: Range<usize>,
        table: &'r DeTable<'r>,
    ) -> Self {
        Self {
            reading,
            title: title.into(),
            span,
            table,
            asked: RefCell::default(),
        }
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) fn problem(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.problem_with_help(self.span.clone(), message, help);
    }

    pub(crate) fn warning(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.warning(self.span.clone(), message, help);
    }

    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn value(&self, key: &'static str) -> Option<Value<'r>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        let (written_key, item) = self.table.get_key_value(key)?;
        Some(Value {
            reading: self.reading,
            written_key,
            item,
        })
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<&'r str> {
        self.value(key)?.text()
    }

    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.value(key)?.boolean()
    }

    pub(crate) fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.value(key)?.number(range)
    }

    pub(crate) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.value(key)?.duration(range)
    }

    pub(crate) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.value(key)?.size(range)
    }

    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.value(key)?.path()
    }

    pub(crate) fn list(&self, key: &'static str) -> Vec<Value<'r>> {
        self.value(key).map(|value| value.list()).unwrap_or_default()
    }

    /// A table below this one; an empty one when it is not written, so that defaults stand in one place only.
    /// The `example` is what to write in place of something else.
    pub(crate) fn section(&self, key: &'static str, title: &str, example: &str) -> Section<'r> {
        let written = self.value(key).and_then(|value| value.section(title, example));
        written.unwrap_or_else(|| Section::new(self.reading, title, self.span.clone(), self.reading.nothing))
    }

    /// The tables of a `[[list]]`, one of which looks like the `example`.
    pub(crate) fn sections(&self, key: &'static str, title: &str, example: &str) -> Vec<Section<'r>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        if let DeValue::Array(items) = value.item.get_ref() {
            return items
                .iter()
                .filter_map(|item| Value { item, ..value }.section(title, example))
                .collect();
        }
        let bare = title.trim_matches(['[', ']']);
        value.problem_with_help(
            format!("`{key}` must be a list of tables"),
            format!("write [[{bare}]]"),
        );
        Vec::new()
    }

    /// The tables of a `[word.NAME]`, sorted by name.
    pub(crate) fn named(&self, key: &'static str) -> Vec<(&'r str, Section<'r>)> {
        let Some(all) = self
            .value(key)
            .and_then(|value| value.section(format!("[{key}]"), &format!("[{key}.NAME] above its keys")))
        else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for value in all.entries() {
            if !is_name(value.key()) {
                let message = format!("`{}` cannot be the name of an {key}", value.key());
                value.key_problem(message, "use up to 40 letters, digits, `-` and `_`");
            } else if let Some(section) = value.as_section(format!("[{key}.{}]", value.key())) {
                named.push((value.key(), section));
            } else {
                let message = format!("`{}` must be a table", value.key());
                value.key_problem(message, format!("write [{key}.NAME], for example [{key}.web]"));
            }
        }
        named.sort_by_key(|(name, _)| *name);
        named
    }

    /// Every key and value, in the order written: for tables whose keys are the user's own.
    pub(crate) fn entries(&self) -> Vec<Value<'r>> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let values = entries.into_iter();
        values
            .map(|(written_key, item)| Value {
                reading: self.reading,
                written_key,
                item,
            })
            .collect()
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, others: &[Other]) {
        let asked = self.asked.into_inner();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            // Other servers' options are written with dashes as often as not.
            let word = name.to_ascii_lowercase().replace('-', "_");
            let here = others.iter().find(|other| other.word() == word);
            let unknown = || format!("unknown key `{name}` in {}", self.title);
            let (message, help) = match here.or_else(|| elsewhere::find(&word)) {
                Some(Other::Later(_, way)) => (format!("`{name}` is not supported yet"), (*way).to_owned()),
                Some(Other::Meant(_, way)) => (unknown(), format!("write {way}")),
                None => match nearest(name, asked.iter().copied()) {
                    Some(word) => (unknown(), format!("did you mean `{word}`?")),
                    None => (unknown(), format!("the keys here are {}", asked.join(", "))),
                },
            };
            self.reading.problem_with_help(key.span(), message, help);
        }
    }
}

/// True for what can stand for NAME in `[app.NAME]`.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(fits)
}

impl<'r> Value<'r> {
    /// The table, when it is one; reports nothing.
    pub(crate) fn as_section(&self, title: impl Into<String>) -> Option<Section<'r>> {
        let table = self.item.get_ref().as_table()?;
        Some(Section::new(self.reading, title, self.span(), table))
    }

    /// A table with keys of its own.
    pub(crate) fn section(&self, title: impl Into<String>, example: &str) -> Option<Section<'r>> {
        let table = self.as_section(title);
        table.or_else(|| self.wants_with_help("a table", Some(format!("write {example}"))))
    }
}

/// Names stand in process titles and log fields.
const NAME_CHARS_MAX: usize = 40;
