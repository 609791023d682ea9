//! Why a request gets no answer from whom it was for, as a value: one place makes a page and a line of it.

use logs::Outcome;

use crate::client_error::ClientError;

/// A refusal: what the client is told, and what the record says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Status of the page.
    pub status: u16,
    /// How the request ended.
    pub outcome: Outcome,
    /// Fields that come with the page.
    pub fields: Vec<(&'static str, String)>,
}

impl Refused {
    /// A page without fields of its own.
    pub const fn new(status: u16, outcome: Outcome) -> Self {
        Self {
            status,
            outcome,
            fields: Vec::new(),
        }
    }

    /// The same with a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// Why a request is not answered to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// Its client failed.
    Client(ClientError),
    /// It is refused.
    Refused(Refused),
}

impl From<ClientError> for Unanswered {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Refused> for Unanswered {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
