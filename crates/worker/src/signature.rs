//! Can what was found be called as its interface calls applications? Asked before the first request, which
//! would fail.

use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple, PyType},
};

/// Frameworks whose applications are callable and yet are none: they are called by servers of their own.
const SERVED_BY_THEMSELVES: [(&str, &str, &str); 2] = [
    ("aiohttp", "aiohttp.web_app", "python -m aiohttp.web"),
    ("Tornado", "tornado.web", "its HTTPServer"),
];

/// Why it cannot, and what to write instead. `None`: it can, or nobody can tell.
pub(crate) fn mismatch(application: &Bound<'_, PyAny>, target: &str, interface: &str) -> Option<String> {
    if let Some((framework, server)) = served_by_itself(application) {
        return Some(format!(
            "{target} is an application of {framework}, which is neither WSGI nor ASGI: run it as a service of its own \
             ({server}) and name its address in an [upstream.NAME]"
        ));
    }
    // What has no signature (written in C, say) is believed.
    let takes = Takes::of(application).ok()?;
    let is_made = target.ends_with(')');
    let (called_with, fits) = match interface {
        "asgi" => ("(scope, receive, send)", takes.binds(3) || takes.is_asgi_2()),
        _ => ("(environ, start_response)", takes.binds(2)),
    };
    if !is_made && (takes.is_factory() || takes.is_factory_by_name(application)) {
        return Some(format!(
            "{target} takes no argument that {interface} gives, so it seems to make the application: \
             write {interface} = \"{target}()\""
        ));
    }
    if fits {
        return None;
    }
    let hint = if interface == "wsgi" && takes.is_asgi_2() {
        format!("; if it is an ASGI 2 application, write asgi = \"{target}\"")
    } else if interface == "asgi" && takes.needed == 2 {
        format!("; if it is a WSGI application, write wsgi = \"{target}\"")
    } else if interface == "wsgi" && takes.needed == 3 {
        format!("; if it is an ASGI application, write asgi = \"{target}\"")
    } else if is_made {
        "; what the call gives must be the application".to_owned()
    } else if takes.is_function {
        format!("; if it makes the application, write its arguments: {interface} = \"{target}(...)\"")
    } else {
        String::new()
    };
    Some(format!(
        "{target} takes {}, but {interface} calls it with {called_with}{hint}",
        takes.text()
    ))
}

/// The interface whose servers call it as it stands, told by the names of its parameters.
pub(crate) fn interface_of(application: &Bound<'_, PyAny>) -> Option<&'static str> {
    let takes = Takes::of(application).ok()?;
    let names: Vec<&str> = takes.names.iter().map(String::as_str).collect();
    match names[..] {
        ["scope", "receive", "send"] => Some("asgi"),
        [_, "start_response", ..] => Some("wsgi"),
        _ => None,
    }
}

/// Is it called with the scope alone, and what it gives with the rest?
pub(crate) fn is_asgi_2(application: &Bound<'_, PyAny>) -> bool {
    Takes::of(application).is_ok_and(|takes| !takes.binds(3) && takes.is_asgi_2())
}

fn served_by_itself(application: &Bound<'_, PyAny>) -> Option<(&'static str, &'static str)> {
    let bases = application.get_type().getattr("__mro__").ok()?;
    let bases = bases.cast_into::<PyTuple>().ok()?;
    bases.iter().find_map(|base| {
        let name: String = base.getattr("__name__").ok()?.extract().ok()?;
        let module: String = base.getattr("__module__").ok()?.extract().ok()?;
        SERVED_BY_THEMSELVES
            .iter()
            .find(|(_, home, _)| *home == module && name == "Application")
            .map(|(framework, _, server)| (*framework, *server))
    })
}

/// The parameters of a callable.
struct Takes<'py> {
    signature: Bound<'py, PyAny>,
    /// Positional parameters without a default.
    needed: usize,
    /// It takes any number of them.
    any: bool,
    /// Names of the positional parameters.
    names: Vec<String>,
    is_function: bool,
    is_coroutine: bool,
}

impl<'py> Takes<'py> {
    fn of(application: &Bound<'py, PyAny>) -> PyResult<Self> {
        let inspect = application.py().import("inspect")?;
        let options = PyDict::new(application.py());
        // A decorator that makes an application of something else shows the parameters of the latter.
        options.set_item("follow_wrapped", false)?;
        let signature = inspect.call_method("signature", (application,), Some(&options))?;
        let empty = inspect.getattr("Parameter")?.getattr("empty")?;
        let (mut needed, mut any, mut names) = (0, false, Vec::new());
        for parameter in signature
            .getattr("parameters")?
            .call_method0("values")?
            .try_iter()?
        {
            let parameter = parameter?;
            let kind: String = parameter.getattr("kind")?.getattr("name")?.extract()?;
            match kind.as_str() {
                "POSITIONAL_ONLY" | "POSITIONAL_OR_KEYWORD" => {
                    needed += usize::from(parameter.getattr("default")?.is(&empty));
                    names.push(parameter.getattr("name")?.extract()?);
                }
                "VAR_POSITIONAL" => any = true,
                _ => {}
            }
        }
        let is_function = inspect.call_method1("isfunction", (application,))?.is_truthy()?;
        Ok(Self {
            is_coroutine: inspect
                .call_method1("iscoroutinefunction", (application,))?
                .is_truthy()?,
            is_function: is_function || application.is_instance_of::<PyType>(),
            signature,
            needed,
            any,
            names,
        })
    }

    /// Can it be called with so many positional arguments?
    fn binds(&self, number: usize) -> bool {
        let py = self.signature.py();
        let arguments = PyTuple::new(py, (0..number).map(|_| py.None()));
        arguments.is_ok_and(|arguments| self.signature.call_method1("bind", arguments).is_ok())
    }

    /// One argument, and what it gives is called with the other two.
    fn is_asgi_2(&self) -> bool {
        self.needed == 1 && !self.any && !self.is_coroutine && self.binds(1)
    }

    /// A function that can be called without arguments, as no application can.
    fn is_factory(&self) -> bool {
        const OF_APPLICATIONS: [&str; 4] = ["environ", "env", "environment", "scope"];
        let first = self.names.first().map(String::as_str);
        self.is_function
            && !self.any
            && self.binds(0)
            && first.is_none_or(|name| !OF_APPLICATIONS.contains(&name))
    }

    /// A function that takes anything and says by its name that it makes something:
    /// `create_app(*args, **kwargs)`. What a decorator has wrapped takes anything too, and has the name of what
    /// it wraps.
    fn is_factory_by_name(&self, application: &Bound<'py, PyAny>) -> bool {
        let is_wrapped = application.hasattr("__wrapped__").unwrap_or(true);
        let name: Option<String> = application
            .getattr("__name__")
            .ok()
            .and_then(|name| name.extract().ok());
        let says_so = |name: String| {
            let verb = name.split('_').next().unwrap_or_default();
            matches!(verb, "create" | "make" | "build" | "get") || name.ends_with("factory")
        };
        self.any && self.names.is_empty() && self.is_function && !is_wrapped && name.is_some_and(says_so)
    }

    fn text(&self) -> String {
        self.signature.to_string()
    }
}
