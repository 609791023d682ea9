//! Keys of other servers, and keys of ours to come.

/// A key that means something to people, although it is not one of ours.
pub(crate) enum Other {
    /// Ours one day; the text is the way out until then.
    Later(&'static str, &'static str),
    /// Called differently here; the text is what to write.
    Meant(&'static str, &'static str),
}

impl Other {
    /// The key that people write.
    pub(super) fn word(&self) -> &'static str {
        let (Self::Later(word, _) | Self::Meant(word, _)) = self;
        word
    }
}
