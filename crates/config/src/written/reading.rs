//! One document while it is read.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use crate::{
    Surroundings,
    climb::climbed,
    problem::{Problem, line_number},
};

/// What is needed, and what gathers, while one document is read.
pub(crate) struct Reading<'r> {
    pub(crate) surroundings: &'r dyn Surroundings,
    text: &'r str,
    /// Relative paths start here.
    pub(crate) directory: PathBuf,
    /// Stands in for tables that are not written.
    pub(crate) nothing: &'r DeTable<'r>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    left_out: Cell<usize>,
}

impl<'r> Reading<'r> {
    /// Of a document with this text, whose paths are relative to `directory`.
    pub(super) fn new(
        surroundings: &'r dyn Surroundings,
        text: &'r str,
        directory: &Path,
        nothing: &'r DeTable<'r>,
    ) -> Self {
        Self {
            surroundings,
            text,
            directory: directory.to_owned(),
            nothing,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            left_out: Cell::default(),
        }
    }

    /// Every problem so far, with a last one that counts those that were left out.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.take();
        if self.left_out.get() > 0 {
            problems.push(Problem {
                span: self.text.len()..self.text.len(),
                message: format!("and {} more problems", self.left_out.get()),
                help: None,
            });
        }
        problems
    }

    pub(super) fn warnings(&self) -> Vec<Problem> {
        self.warnings.take()
    }

    pub(crate) fn problem(&self, span: Range<usize>, message: impl Into<String>) {
        self.add(Problem {
            span,
            message: message.into(),
            help: None,
        });
    }

    pub(crate) fn problem_with_help(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Problem {
            span,
            message: message.into(),
            help: Some(help.into()),
        });
    }

    pub(crate) fn warning(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let message = format!("warning: {}", message.into());
        self.warnings.borrow_mut().push(Problem {
            span,
            message,
            help: Some(help.into()),
        });
    }

    fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    /// Where the first of two that are the same stands, as the help for the second.
    pub(crate) fn first(&self, span: &Range<usize>) -> String {
        format!("it stands first in line {}", self.line(span))
    }

    /// The line that something begins in.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        line_number(self.text, span.start)
    }

    /// The path from the directory of the file, without `.` and `..`; symbolic links stay, but those that it
    /// climbs out of.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        climbed(&self.directory.join(path), |path| {
            self.surroundings.canonical(path)
        })
    }
}

/// More than anybody reads; a binary file given by mistake must not make a million.
pub(super) const PROBLEMS_MAX: usize = 100;
