//! Status and header fields as the application gave them, checked and in wire form.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU32, Ordering},
};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
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

/// The one status whose answer says what this connection should become (RFC 9110 §15.5.22).
pub(crate) const UPGRADE_REQUIRED: u16 = 426;

/// Most bytes of a head: far more than any client takes, and with the first body bytes it still fits in one frame.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Most bytes of the informational responses to one request: clients look at the first one.
pub(crate) const HINTS_BYTES_MAX: usize = 64 << 10;

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
        if reason.len() > Response::REASON_MAX || reason.bytes().any(is_control) {
            return Err(PyValueError::new_err(format!(
                "status is {text:?}, which no client can read"
            )));
        }

        let mut payload = Vec::with_capacity(256);
        let mut content_length = None;
        let mut scratch = Vec::new();
        let mut fields = Response::encode(number, latin1(reason, &mut scratch)?, &mut payload);
        each_field(headers, |name, value| {
            let name = utf8(string(name, "name of a header field")?)?;
            let value = utf8(string(value, "value of a header field")?)?;
            check_field(name, value)?;
            if let Some(hop) = hop_by_hop(name.as_bytes()) {
                if number != UPGRADE_REQUIRED {
                    tell_dropped(py, hop);
                    return Ok(());
                }
                if !is_upgrade(name.as_bytes()) {
                    return Ok(());
                }
            }
            let value = value.trim_matches([' ', '\t']);
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
                    return Ok(());
                }
            }
            scratch.clear();
            fields.put(&mut payload, name.as_bytes(), latin1(value, &mut scratch)?);
            if payload.len() > BYTES_MAX {
                return Err(PyValueError::new_err(format!(
                    "the header fields up to {name} have more than {BYTES_MAX} bytes"
                )));
            }
            Ok(())
        })?;
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

/// The payload of an informational response with these fields, whose names and values may be bytes as well.
pub(crate) fn hints(headers: &Bound<'_, PyList>) -> PyResult<Vec<u8>> {
    let mut payload = Vec::new();
    let mut fields = Response::encode(103, b"", &mut payload);
    each_field(headers, |name, value| {
        let mut scratch = [Vec::new(), Vec::new()];
        let (name, value) = (decoded(name)?, decoded(value)?);
        let [of_name, of_value] = &mut scratch;
        check_field(&name, &value)?;
        let value = value.trim_matches([' ', '\t']);
        fields.put(&mut payload, latin1(&name, of_name)?, latin1(value, of_value)?);
        Ok(())
    })?;
    fields.finish(&mut payload);
    if payload.len() > HINTS_BYTES_MAX {
        return Err(PyValueError::new_err(format!(
            "early hints have more than {HINTS_BYTES_MAX} bytes"
        )));
    }
    Ok(payload)
}

/// The text of a name or a value that may be bytes.
fn decoded<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, str>> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes().iter().map(|&byte| char::from(byte)).collect()),
        Err(_) => Ok(utf8(string(value, "part of a header field")?)?.into()),
    }
}

/// Name and value of each field. PEP 3333 says a list of tuples; every other server takes whatever gives
/// pairs.
fn each_field<'py>(
    headers: &Bound<'py, PyAny>,
    mut take: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let mut one = |field: Bound<'py, PyAny>| {
        let pair = if let Ok(pair) = field.cast::<PyTuple>()
            && pair.len() == 2
        {
            Some((pair.get_item(0)?, pair.get_item(1)?))
        } else if let Ok(pair) = field.cast::<PyList>()
            && pair.len() == 2
        {
            Some((pair.get_item(0)?, pair.get_item(1)?))
        } else {
            None
        };
        let (name, value) = pair.ok_or_else(|| {
            PyTypeError::new_err(format!("{field} in headers is not a pair of a name and a value"))
        })?;
        take(&name, &value)
    };
    if let Ok(list) = headers.cast::<PyList>() {
        return list.iter().try_for_each(one);
    }
    let fields = headers
        .try_iter()
        .map_err(|_| PyTypeError::new_err(format!("headers is {}, and not a list", type_name(headers))))?;
    for field in fields {
        one(field?)?;
    }
    Ok(())
}

/// Refuses what could end or falsify a head.
fn check_field(name: &str, value: &str) -> PyResult<()> {
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
    Ok(())
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
pub(crate) fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

/// May a field's name hold this byte?
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Does a field of this name speak of one connection?
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    hop_by_hop(name).is_some()
}

/// Is this the field that names the protocol of an answer with [`UPGRADE_REQUIRED`]?
pub(crate) fn is_upgrade(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"upgrade")
}

/// Which of the fields that speak of one connection this is.
fn hop_by_hop(name: &[u8]) -> Option<usize> {
    HOP_BY_HOP
        .iter()
        .position(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
}

/// Says that such a field is not sent: once for each name, since an application that sets one sets it with
/// every answer.
fn tell_dropped(py: Python<'_>, hop: usize) {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    if TOLD.fetch_or(1 << hop, Ordering::Relaxed) & 1 << hop == 0 {
        output::tell(
            py,
            &format!(
                "the application sets the header field {}, which is dropped from here on: connections are the server's matter",
                HOP_BY_HOP[hop]
            ),
        );
    }
}
