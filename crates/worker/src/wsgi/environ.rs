//! `environ`: the request as CGI variables.
//!
//! Built from a template that holds what never changes, with interned keys, and with strings that are shared between requests
//! where their bytes repeat. One builder per host thread, so nothing is locked.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString},
};
use wire::request::Request;

use super::{file_wrapper::FileWrapper, input::Input, memo::Memo};
use crate::ffi::text::latin1;

/// Names of header fields that are remembered; clients choose names, so there is an end to it.
const NAMES_MAX: usize = 256;

/// Ours, in `SERVER_SOFTWARE`.
const SOFTWARE: &str = concat!("appliance/", env!("CARGO_PKG_VERSION"));

/// Builds environs for one host thread.
#[derive(Debug)]
pub(crate) struct Environ {
    template: Py<PyDict>,
    names: HashMap<Box<[u8]>, Field, BuildHasherDefault<NameHasher>>,
    method: Memo,
    client: Memo,
    server: Memo,
    server_port: (u16, Option<Py<PyString>>),
    mount: Memo,
    query: Memo,
}

/// What a header field becomes.
#[derive(Debug)]
enum Field {
    /// A variable of this name, and its last value.
    Variable { key: Py<PyString>, last: Memo },
    /// Nothing: it would shadow another one, or the proxy says it better.
    Dropped,
}

impl Environ {
    pub(crate) fn new(py: Python<'_>, threads: usize) -> PyResult<Self> {
        let template = PyDict::new(py);
        template.set_item(intern!(py, "wsgi.version"), (1, 0))?;
        template.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
        template.set_item(intern!(py, "wsgi.input"), Bound::new(py, Input::empty())?)?;
        template.set_item(intern!(py, "wsgi.errors"), py.import("sys")?.getattr("stderr")?)?;
        template.set_item(intern!(py, "wsgi.multithread"), threads > 1)?;
        template.set_item(intern!(py, "wsgi.multiprocess"), true)?;
        template.set_item(intern!(py, "wsgi.run_once"), false)?;
        template.set_item(intern!(py, "wsgi.file_wrapper"), py.get_type::<FileWrapper>())?;
        template.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        template.set_item(intern!(py, "SERVER_SOFTWARE"), SOFTWARE)?;
        template.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.1"))?;
        template.set_item(intern!(py, "SCRIPT_NAME"), intern!(py, ""))?;
        template.set_item(intern!(py, "QUERY_STRING"), intern!(py, ""))?;
        template.set_item(intern!(py, "REMOTE_ADDR"), intern!(py, ""))?;
        Ok(Self {
            template: template.unbind(),
            names: HashMap::default(),
            method: Memo::default(),
            client: Memo::default(),
            server: Memo::default(),
            server_port: (0, None),
            mount: Memo::default(),
            query: Memo::default(),
        })
    }

    /// From here on this variable has this value in every environ.
    pub(crate) fn always(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.template.bind(py).set_item(name, value)
    }

    /// What every environ begins as.
    pub(crate) fn template<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.template.bind(py)
    }

    /// The environ of one request; `input` only when it has a body.
    pub(crate) fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request<'_>,
        input: Option<Input>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.template.bind(py).copy()?;
        environ.set_item(
            intern!(py, "REQUEST_METHOD"),
            self.method.text(py, request.method)?,
        )?;
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, request.path)?)?;
        // The one is uWSGI's and Apache's name for it, the other gunicorn's.
        let target = latin1(py, request.target)?;
        environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
        environ.set_item(intern!(py, "RAW_URI"), target)?;
        if !request.mount.is_empty() {
            environ.set_item(intern!(py, "SCRIPT_NAME"), self.mount.text(py, request.mount)?)?;
        }
        if !request.query.is_empty() {
            environ.set_item(intern!(py, "QUERY_STRING"), self.query.text(py, request.query)?)?;
        }
        if !request.client.is_empty() {
            environ.set_item(intern!(py, "REMOTE_ADDR"), self.client.text(py, request.client)?)?;
        }
        if request.client_port != 0 {
            environ.set_item(
                intern!(py, "REMOTE_PORT"),
                number(py, u64::from(request.client_port))?,
            )?;
        }
        environ.set_item(intern!(py, "SERVER_NAME"), self.server.text(py, request.server)?)?;
        environ.set_item(intern!(py, "SERVER_PORT"), self.port(py, request.server_port)?)?;
        if request.version != 11 {
            let protocol = if request.version == 20 {
                intern!(py, "HTTP/2.0")
            } else {
                intern!(py, "HTTP/1.0")
            };
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
        }
        if request.https {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
            environ.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
        }
        if let Some(input) = input {
            environ.set_item(intern!(py, "wsgi.input"), Bound::new(py, input)?)?;
        }

        let before = environ.len();
        let mut set = 0;
        for (name, value) in request.headers.iter() {
            let Some((key, value)) = self.variable(py, name, value)? else {
                continue;
            };
            environ.set_item(key, value)?;
            set += 1;
        }
        if environ.len() != before + set {
            self.join(py, request, &environ)?;
        }
        Ok(environ)
    }

    /// Name and value of the variable for one header field.
    #[inline]
    fn variable<'py>(
        &mut self,
        py: Python<'py>,
        name: &[u8],
        value: &[u8],
    ) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyString>)>> {
        if let Some(field) = self.names.get_mut(name) {
            return match field {
                Field::Dropped => Ok(None),
                Field::Variable { key, last } => Ok(Some((key.bind(py).clone(), last.text(py, value)?))),
            };
        }
        let key = variable_name(name).map(|key| PyString::intern(py, &key));
        let found = match &key {
            Some(key) => Some((key.clone(), latin1(py, value)?)),
            None => None,
        };
        if self.names.len() < NAMES_MAX {
            let field = match key {
                Some(key) => Field::Variable {
                    key: key.unbind(),
                    last: Memo::default(),
                },
                None => Field::Dropped,
            };
            self.names.insert(name.into(), field);
        }
        Ok(found)
    }

    /// A field came more than once (or one of them is set already): all values of one variable in it, in
    /// their order.
    fn join(&mut self, py: Python<'_>, request: &Request<'_>, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut joined: Vec<(&[u8], Vec<u8>)> = Vec::new();
        for (name, value) in request.headers.iter() {
            match joined.iter_mut().find(|(seen, _)| are_one_variable(seen, name)) {
                Some((_, values)) => {
                    // Cookie is the one field whose values are not a list with commas (RFC 9113, 8.2.3).
                    values.extend_from_slice(if name == b"cookie" { b"; " } else { b"," });
                    values.extend_from_slice(value);
                }
                None => joined.push((name, value.to_vec())),
            }
        }
        for (name, value) in joined {
            if let Some((key, value)) = self.variable(py, name, &value)? {
                environ.set_item(key, value)?;
            }
        }
        Ok(())
    }

    fn port<'py>(&mut self, py: Python<'py>, port: u16) -> PyResult<Bound<'py, PyString>> {
        if let (last, Some(text)) = &self.server_port
            && *last == port
        {
            return Ok(text.bind(py).clone());
        }
        let text = number(py, u64::from(port))?;
        self.server_port = (port, Some(text.clone().unbind()));
        Ok(text)
    }
}

/// Do fields of these names become one variable?
fn are_one_variable(one: &[u8], other: &[u8]) -> bool {
    let letter = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    one.len() == other.len() && one.iter().map(letter).eq(other.iter().map(letter))
}

/// The variable for a field of this name in lower case. None for `proxy`, which programs take for their own
/// configuration (httpoxy). Names with an underscore, which are mistaken for those with a hyphen, come only
/// where they are wanted.
fn variable_name(name: &[u8]) -> Option<String> {
    match name {
        b"content-type" => Some("CONTENT_TYPE".to_owned()),
        b"content-length" => Some("CONTENT_LENGTH".to_owned()),
        b"proxy" | b"" => None,
        _ => {
            let mut key = String::with_capacity(5 + name.len());
            key.push_str("HTTP_");
            for byte in name {
                match byte {
                    b'-' => key.push('_'),
                    byte if byte.is_ascii_graphic() => key.push(char::from(byte.to_ascii_uppercase())),
                    _ => return None,
                }
            }
            Some(key)
        }
    }
}

fn number(py: Python<'_>, value: u64) -> PyResult<Bound<'_, PyString>> {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = value;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    latin1(py, &digits[at..])
}

/// FNV-1a: names are short and the table is small.
#[derive(Debug)]
pub(crate) struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
