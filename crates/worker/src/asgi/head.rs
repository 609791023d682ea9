//! Status and header fields as the application's events give them, checked and in wire form.

use pyo3::{
    intern,
    prelude::*,
    types::{PyList, PyTuple},
};
use wire::{request::HeadersWriter, response::Response};

use super::{
    channel::broken,
    event::{Event, bytes},
};
use crate::wsgi::head::{
    BYTES_MAX, UPGRADE_REQUIRED, is_control, is_hop_by_hop, is_token, is_upgrade, type_name,
};

/// A response head.
#[derive(Debug)]
pub(crate) struct Head {
    /// [`wire::response`] without body bytes.
    pub(crate) payload: Vec<u8>,
    pub(crate) status: u16,
    /// The application's own Content-Length.
    pub(crate) content_length: Option<u64>,
    /// Trailers come behind the body.
    pub(crate) trailers: bool,
}

impl Head {
    /// Of an `http.response.start` or a `websocket.http.response.start`.
    pub(crate) fn new(py: Python<'_>, event: &Event<'_>) -> PyResult<Self> {
        let status = event.integer(intern!(py, "status"))?.unwrap_or(0);
        let status = u16::try_from(status)
            .ok()
            .filter(|status| (200..=999).contains(status))
            .ok_or_else(|| {
                broken(format!(
                    "the status of an answer is {status}, and not from 200 to 999"
                ))
            })?;
        let mut payload = Vec::with_capacity(256);
        let mut content_length = None;
        let mut fields = Response::encode(status, b"", &mut payload);
        if let Some(headers) = event.optional(intern!(py, "headers"))? {
            each_field(&headers, status == UPGRADE_REQUIRED, |name, value| {
                if name.eq_ignore_ascii_case(b"content-length") {
                    let length = length(value)
                        .filter(|&length| content_length.is_none_or(|other| other == length))
                        .ok_or_else(|| {
                            broken(format!("Content-Length is {:?}, and not one number", text(value)))
                        })?;
                    if content_length.replace(length).is_some() {
                        return Ok(());
                    }
                }
                put(&mut fields, &mut payload, name, value)
            })?;
        }
        fields.finish(&mut payload);
        Ok(Self {
            payload,
            status,
            content_length,
            trailers: event.flag(intern!(py, "trailers"))?,
        })
    }

    /// A head of ours, without any field.
    pub(crate) fn bare(status: u16) -> Self {
        let mut payload = Vec::new();
        Response::encode(status, b"", &mut payload).finish(&mut payload);
        Self {
            payload,
            status,
            content_length: Some(0),
            trailers: false,
        }
    }

    /// Adds a Content-Length.
    pub(crate) fn append_length(&mut self, len: u64) {
        let value = len.to_string();
        // A head of ours can be read, and one that could not would go without.
        if Response::append_field(&mut self.payload, b"content-length", value.as_bytes()).is_ok() {
            self.content_length = Some(len);
        }
    }
}

/// Appends the fields of an event's `headers` to a payload; for trailers and for the acceptance of a WebSocket.
pub(crate) fn put_fields(
    headers: Option<Bound<'_, PyAny>>,
    mut fields: HeadersWriter,
    payload: &mut Vec<u8>,
) -> PyResult<()> {
    let result = match headers {
        Some(headers) => each_field(&headers, false, |name, value| {
            put(&mut fields, payload, name, value)
        }),
        None => Ok(()),
    };
    fields.finish(payload);
    result
}

/// Every name and value of an iterable of pairs of bytes, checked. `upgrades`: `Upgrade` may be among them.
fn each_field(
    headers: &Bound<'_, PyAny>,
    upgrades: bool,
    mut take: impl FnMut(&[u8], &[u8]) -> PyResult<()>,
) -> PyResult<()> {
    let mut one = |field: Bound<'_, PyAny>| {
        let (name, value) = pair(&field)?;
        let (name, value) = match (bytes(&name), bytes(&value)) {
            (Ok(name), Ok(value)) => (name, value),
            _ => {
                return Err(broken(format!("header field {field} is not a pair of bytes")));
            }
        };
        let (name, value) = (name.as_bytes(), value.as_bytes());
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(broken(format!(
                "{:?} is not a name for a header field",
                text(name)
            )));
        }
        // Without a way out of the loop it goes over many bytes at a time.
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(broken(format!(
                "header field {} is {:?}, with a control character in it",
                text(name),
                text(value)
            )));
        }
        // Connections are the server's matter; frameworks copy such fields from answers that they got themselves.
        if is_hop_by_hop(name) && !(upgrades && is_upgrade(name)) {
            return Ok(());
        }
        take(name, value.trim_ascii())
    };
    if let Ok(list) = headers.cast_exact::<PyList>() {
        return list.iter().try_for_each(one);
    }
    for field in headers.try_iter()? {
        one(field?)?;
    }
    Ok(())
}

#[inline]
fn pair<'py>(field: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if let Ok(pair) = field.cast_exact::<PyTuple>()
        && pair.len() == 2
    {
        return Ok((pair.get_item(0)?, pair.get_item(1)?));
    }
    if let Ok(pair) = field.cast_exact::<PyList>()
        && pair.len() == 2
    {
        return Ok((pair.get_item(0)?, pair.get_item(1)?));
    }
    let parts: Vec<Bound<'_, PyAny>> = field
        .try_iter()
        .and_then(|parts| parts.take(3).collect())
        .unwrap_or_default();
    <[_; 2]>::try_from(parts)
        .map(|[name, value]| (name, value))
        .map_err(|_| {
            broken(format!(
                "a header field is {}, and not a pair of bytes",
                type_name(field)
            ))
        })
}

fn put(fields: &mut HeadersWriter, payload: &mut Vec<u8>, name: &[u8], value: &[u8]) -> PyResult<()> {
    fields.put(payload, name, value);
    if payload.len() > BYTES_MAX {
        return Err(broken(format!(
            "the header fields up to {} have more than {BYTES_MAX} bytes",
            text(name)
        )));
    }
    Ok(())
}

fn length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
