//! Status and header fields as the application gave them, checked and in wire form.

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyList, PyString, PyTuple},
};
use wire::response::Response;

use crate::{ffi::text::utf8, output};

/// A response head.
#[derive(Debug)]
pub(crate) struct Head {
    /// [`wire::response`] without body bytes.
    pub(crate) payload: Vec<u8>,
    pub(crate) status: u16,
    /// The application's own Content-Length.
    pub(crate) content_length: Option<u64>,
}

/// Fields that speak of one connection, which is the proxy's (PEP 3333 forbids them to applications).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Most bytes of a head: far more than any client takes, and with the first body bytes it still fits in one frame.
pub(crate) const BYTES_MAX: usize = 1 << 20;

impl Head {
    /// Checks the first two arguments of `start_response`.
    pub(crate) fn new(
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let status = string(status, "status")?;
        let text = utf8(status)?;
        let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
        let number = code
            .parse::<u16>()
            .ok()
            .filter(|number| code.len() == 3 && (200..=999).contains(number))
            .ok_or_else(|| {
                PyValueError::new_err(format!(
                    "status is {text:?}, and not as \"200 OK\", from 200 to 999"
                ))
            })?;
        if reason.len() > 255 || reason.bytes().any(is_control) {
            return Err(PyValueError::new_err(format!(
                "status is {text:?}, which no client can read"
            )));
        }

        let mut payload = Vec::with_capacity(256);
        let mut content_length = None;
        let mut scratch = Vec::new();
        let mut fields = Response::encode(number, latin1(reason, &mut scratch)?, &mut payload);
        let headers = headers.cast::<PyList>().map_err(|_| {
            PyTypeError::new_err(format!("headers is {}, and not a list", type_name(headers)))
        })?;
        for field in headers.iter() {
            let pair = field
                .cast::<PyTuple>()
                .ok()
                .filter(|pair| pair.len() == 2)
                .ok_or_else(|| {
                    PyTypeError::new_err(format!("{field} in headers is not a (name, value) tuple"))
                })?;
            let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
            let name = utf8(string(&name, "name of a header field")?)?;
            let value = utf8(string(&value, "value of a header field")?)?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(PyValueError::new_err(format!(
                    "{name:?} is not a name for a header field"
                )));
            }
            if value.bytes().any(is_control) {
                return Err(PyValueError::new_err(format!(
                    "header field {name} is {value:?}, with a control character in it"
                )));
            }
            if is_hop_by_hop(name.as_bytes()) {
                output::tell(
                    py,
                    &format!("header field {name}: {value} was dropped: connections are the server's matter"),
                );
                continue;
            }
            if name.eq_ignore_ascii_case("content-length") {
                let length = value
                    .parse::<u64>()
                    .ok()
                    .filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()))
                    .filter(|&length| content_length.is_none_or(|other| other == length))
                    .ok_or_else(|| {
                        PyValueError::new_err(format!("Content-Length is {value:?}, and not one number"))
                    })?;
                if content_length.replace(length).is_some() {
                    continue;
                }
            }
            scratch.clear();
            fields.put(&mut payload, name.as_bytes(), latin1(value, &mut scratch)?);
            if payload.len() > BYTES_MAX {
                return Err(PyValueError::new_err(format!(
                    "the header fields up to {name} have more than {BYTES_MAX} bytes"
                )));
            }
        }
        fields.finish(&mut payload);
        Ok(Self {
            payload,
            status: number,
            content_length,
        })
    }

    /// Adds a Content-Length, where the application gave none.
    pub(super) fn append_length(&mut self, len: u64) {
        let value = len.to_string();
        // A head of ours can be read, and one that could not would go without.
        if Response::append_field(&mut self.payload, b"Content-Length", value.as_bytes()).is_ok() {
            self.content_length = Some(len);
        }
    }
}

fn string<'a, 'py>(value: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyString>> {
    value
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{what} is {}, and not str", type_name(value))))
}

pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "something".to_owned(), |name| name.to_string())
}

/// The text's code points as bytes; almost always that is the text itself.
fn latin1<'a>(text: &'a str, scratch: &'a mut Vec<u8>) -> PyResult<&'a [u8]> {
    if text.is_ascii() {
        return Ok(text.as_bytes());
    }
    for character in text.chars() {
        let byte = u8::try_from(u32::from(character)).map_err(|_| {
            PyValueError::new_err(format!(
                "{text:?} has characters outside of latin-1, all that a head can hold"
            ))
        })?;
        scratch.push(byte);
    }
    Ok(scratch)
}

/// Controls but the tab: they end or falsify a head.
fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

/// May a field's name hold this byte?
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Does a field of this name speak of one connection?
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP
        .iter()
        .any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
}
