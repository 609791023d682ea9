//! `scope`: the request as a dict.
//!
//! Built from a template that holds what rarely changes, with interned keys, and with objects that are shared between requests
//! where their bytes repeat; what an application might change (the dict, its list of fields, its extensions) is its own.

use std::{collections::HashMap, hash::BuildHasherDefault};

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use wire::request::Request;

use crate::wsgi::{environ::NameHasher, memo::Memo};

/// Names of header fields that are remembered; clients choose names, so there is an end to it.
const NAMES_MAX: usize = 256;

/// Longer values are made anew each time.
const VALUE_MAX: usize = 256;

/// Version of the HTTP specification. From 2.4 on a `send` after the client has left raises, and frameworks then do not look for the
/// disconnect themselves; here it does nothing, and they are told at once by `receive`, also between two events of theirs.
const HTTP_SPEC: &str = "2.3";

/// Version of the WebSocket specification; there a `send` after the client has left raises an OSError.
const WEBSOCKET_SPEC: &str = "2.4";

/// Extensions that every HTTP scope offers.
const HTTP_EXTENSIONS: &[&str] = &["http.response.trailers", "http.response.early_hint"];

/// Extensions that put a file in the place of a body. Frameworks use them wherever they are offered, and
/// middleware that looks at bodies (to compress them, to measure them) breaks on them: they are offered to
/// applications that ask for them.
const FILE_EXTENSIONS: &[&str] = &["http.response.pathsend", "http.response.zerocopysend"];

/// Builds scopes.
#[derive(Debug)]
pub(crate) struct Scopes {
    http: Py<PyDict>,
    websocket: Py<PyDict>,
    http_extensions: Py<PyDict>,
    websocket_extensions: Py<PyDict>,
    /// The lifespan's, which every scope gets a copy of.
    state: Option<Py<PyDict>>,
    fields: HashMap<Box<[u8]>, Field, BuildHasherDefault<NameHasher>>,
    method: Memo,
    client: Address,
    server: Address,
    mount: Memo,
    tls: Option<(u16, u16, Py<PyDict>)>,
}

/// A name and the last field of it.
#[derive(Debug)]
struct Field {
    name: Py<PyBytes>,
    last: Option<(Box<[u8]>, Py<PyTuple>)>,
}

/// The last address, as bytes and as a pair.
#[derive(Debug, Default)]
struct Address {
    host: Vec<u8>,
    port: Option<u16>,
    pair: Option<Py<PyTuple>>,
}

impl Address {
    fn pair<'py>(
        &mut self,
        py: Python<'py>,
        host: &[u8],
        port: Option<u16>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(pair) = &self.pair
            && self.port == port
            && self.host == host
        {
            return Ok(pair.bind(py).clone());
        }
        let text = String::from_utf8_lossy(host);
        let pair = (&*text, port).into_pyobject(py)?;
        self.host.clear();
        self.host.extend_from_slice(host);
        self.port = port;
        self.pair = Some(pair.clone().unbind());
        Ok(pair)
    }
}

impl Scopes {
    pub(crate) fn new(py: Python<'_>, state: Option<Py<PyDict>>, pathsend: bool) -> PyResult<Self> {
        let template = |kind: &str, scheme: &str, spec: &str| -> PyResult<Py<PyDict>> {
            let template = PyDict::new(py);
            let asgi = PyDict::new(py);
            asgi.set_item(intern!(py, "version"), intern!(py, "3.0"))?;
            asgi.set_item(intern!(py, "spec_version"), spec)?;
            template.set_item(intern!(py, "type"), PyString::intern(py, kind))?;
            template.set_item(intern!(py, "asgi"), asgi)?;
            template.set_item(intern!(py, "http_version"), intern!(py, "1.1"))?;
            template.set_item(intern!(py, "scheme"), PyString::intern(py, scheme))?;
            template.set_item(intern!(py, "root_path"), intern!(py, ""))?;
            template.set_item(intern!(py, "query_string"), PyBytes::new(py, b""))?;
            template.set_item(intern!(py, "client"), py.None())?;
            Ok(template.unbind())
        };
        let extensions = |names: &[&str]| -> PyResult<Py<PyDict>> {
            let extensions = PyDict::new(py);
            for name in names {
                extensions.set_item(PyString::intern(py, name), PyDict::new(py))?;
            }
            Ok(extensions.unbind())
        };
        let mut offered = HTTP_EXTENSIONS.to_vec();
        if pathsend {
            offered.extend(FILE_EXTENSIONS);
        }
        Ok(Self {
            http: template("http", "http", HTTP_SPEC)?,
            websocket: template("websocket", "ws", WEBSOCKET_SPEC)?,
            http_extensions: extensions(&offered)?,
            websocket_extensions: extensions(&["websocket.http.response"])?,
            state,
            fields: HashMap::default(),
            method: Memo::default(),
            client: Address::default(),
            server: Address::default(),
            mount: Memo::default(),
            tls: None,
        })
    }

    /// The scope of one request.
    pub(crate) fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = if request.websocket {
            let scope = self.websocket.bind(py).copy()?;
            if request.https {
                scope.set_item(intern!(py, "scheme"), intern!(py, "wss"))?;
            }
            scope.set_item(intern!(py, "subprotocols"), subprotocols(py, request)?)?;
            scope
        } else {
            let scope = self.http.bind(py).copy()?;
            if request.https {
                scope.set_item(intern!(py, "scheme"), intern!(py, "https"))?;
            }
            let method = if request.method.iter().any(u8::is_ascii_lowercase) {
                text(py, &request.method.to_ascii_uppercase())
            } else {
                self.method.text(py, request.method)?
            };
            scope.set_item(intern!(py, "method"), method)?;
            scope
        };
        // Applications may leave something there for themselves.
        if let Some(asgi) = scope.get_item(intern!(py, "asgi"))? {
            scope.set_item(intern!(py, "asgi"), asgi.cast::<PyDict>()?.copy()?)?;
        }
        match request.version {
            11 => {}
            20 => scope.set_item(intern!(py, "http_version"), intern!(py, "2"))?,
            _ => scope.set_item(intern!(py, "http_version"), intern!(py, "1.0"))?,
        }
        if request.mount.is_empty() {
            scope.set_item(intern!(py, "path"), text(py, request.path))?;
        } else {
            // The path says where in the whole site it is, the mount included.
            let whole = [request.mount, request.path].concat();
            scope.set_item(intern!(py, "path"), text(py, &whole))?;
            scope.set_item(
                intern!(py, "root_path"),
                match std::str::from_utf8(request.mount) {
                    Ok(mount) if mount.is_ascii() => self.mount.text(py, request.mount)?,
                    _ => text(py, request.mount),
                },
            )?;
        }
        scope.set_item(
            intern!(py, "raw_path"),
            PyBytes::new(py, raw_path(request.target)),
        )?;
        if !request.query.is_empty() {
            scope.set_item(intern!(py, "query_string"), PyBytes::new(py, request.query))?;
        }
        if !request.client.is_empty() {
            let client = self.client.pair(py, request.client, Some(request.client_port))?;
            scope.set_item(intern!(py, "client"), client)?;
        }
        // A Unix socket has a path and no port.
        let port = (request.server_port != 0).then_some(request.server_port);
        let server = self.server.pair(py, request.server, port)?;
        scope.set_item(intern!(py, "server"), server)?;
        scope.set_item(intern!(py, "headers"), self.headers(py, request)?)?;
        if let Some(state) = &self.state {
            scope.set_item(intern!(py, "state"), state.bind(py).copy()?)?;
        }
        let extensions = if request.websocket {
            &self.websocket_extensions
        } else {
            &self.http_extensions
        };
        let extensions = extensions.bind(py).copy()?;
        if request.tls_version != 0 {
            extensions.set_item(intern!(py, "tls"), self.tls(py, request)?)?;
        }
        scope.set_item(intern!(py, "extensions"), extensions)?;
        Ok(scope)
    }

    fn headers<'py>(&mut self, py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyList>> {
        let mut fields = Vec::with_capacity(request.headers.len());
        for (name, value) in request.headers.iter() {
            fields.push(self.field(py, name, value)?);
        }
        PyList::new(py, fields)
    }

    #[inline]
    fn field<'py>(&mut self, py: Python<'py>, name: &[u8], value: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
        let Some(field) = self.fields.get_mut(name) else {
            let made = PyBytes::new(py, name);
            if self.fields.len() < NAMES_MAX {
                let field = Field {
                    name: made.clone().unbind(),
                    last: None,
                };
                self.fields.insert(name.into(), field);
            }
            return PyTuple::new(py, [made, PyBytes::new(py, value)]);
        };
        if let Some((last, pair)) = &field.last
            && **last == *value
        {
            return Ok(pair.bind(py).clone());
        }
        let pair = PyTuple::new(py, [field.name.bind(py).clone(), PyBytes::new(py, value)])?;
        if value.len() <= VALUE_MAX {
            field.last = Some((value.into(), pair.clone().unbind()));
        }
        Ok(pair)
    }

    /// The TLS extension. What the handshake told of the client is the proxy's, so there is no certificate of either side.
    fn tls<'py>(&mut self, py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyDict>> {
        if let Some((version, suite, tls)) = &self.tls
            && (*version, *suite) == (request.tls_version, request.cipher_suite)
        {
            return tls.bind(py).copy();
        }
        let tls = PyDict::new(py);
        tls.set_item(intern!(py, "server_cert"), py.None())?;
        tls.set_item(intern!(py, "client_cert_chain"), PyTuple::empty(py))?;
        tls.set_item(intern!(py, "client_cert_name"), py.None())?;
        tls.set_item(intern!(py, "client_cert_error"), py.None())?;
        tls.set_item(intern!(py, "tls_version"), request.tls_version)?;
        tls.set_item(intern!(py, "cipher_suite"), request.cipher_suite)?;
        self.tls = Some((request.tls_version, request.cipher_suite, tls.clone().unbind()));
        tls.copy()
    }
}

/// UTF-8; what is none becomes the replacement character, as in every other server.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    PyString::new(py, &String::from_utf8_lossy(bytes))
}

/// The target without its query, and without scheme and authority where a client sent them.
fn raw_path(target: &[u8]) -> &[u8] {
    let path = memchr::memchr(b'?', target).map_or(target, |query| &target[..query]);
    if path.first() == Some(&b'/') {
        return path;
    }
    let Some(authority) = memchr::memmem::find(path, b"://").map(|at| &path[at + 3..]) else {
        return path;
    };
    memchr::memchr(b'/', authority).map_or(b"/", |at| &authority[at..])
}

/// What the client offers in Sec-WebSocket-Protocol, in its order.
fn subprotocols<'py>(py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyList>> {
    let offered = PyList::empty(py);
    for (name, value) in request.headers.iter() {
        if name == b"sec-websocket-protocol" {
            for protocol in value.split(|&byte| byte == b',') {
                let protocol = protocol.trim_ascii();
                if !protocol.is_empty() {
                    offered.append(text(py, protocol))?;
                }
            }
        }
    }
    Ok(offered)
}
