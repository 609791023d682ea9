//! A text that is often the same as last time.

use pyo3::{prelude::*, types::PyString};

use crate::ffi::text::latin1;

/// Longer texts are made anew each time.
const LEN_MAX: usize = 256;

/// The last bytes and the string they made. Comparing is cheaper than making a string, and the string is shared.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    bytes: Vec<u8>,
    text: Option<Py<PyString>>,
}

impl Memo {
    /// The string of these bytes.
    #[inline]
    pub(crate) fn text<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
        if let Some(text) = &self.text
            && self.bytes == bytes
        {
            return Ok(text.bind(py).clone());
        }
        let text = latin1(py, bytes)?;
        if bytes.len() <= LEN_MAX {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.text = Some(text.clone().unbind());
        }
        Ok(text)
    }
}
