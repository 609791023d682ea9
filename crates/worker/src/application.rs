//! From a target in the configuration to something that can be called, or to a refusal that says what to do.

use pyo3::{
    exceptions::{PyAttributeError, PyModuleNotFoundError},
    prelude::*,
    types::{PyDict, PyList, PyModule, PyType},
};

use crate::{boot::Boot, factory, loggers, output, refusal::Refusal, signature};

/// Names that are tried when the target is a module alone.
const CONVENTIONS: [&str; 2] = ["application", "app"];

/// Most names of a listing in a message.
const LISTED_MAX: usize = 20;

/// `module:callable`, `module:factory(...)` or `module`. Dots after the colon go into attributes.
pub(crate) fn import<'py>(py: Python<'py>, boot: &Boot) -> Result<Bound<'py, PyAny>, Refusal> {
    let (target, directory) = (boot.target.as_str(), boot.directory.as_str());
    let (name, path) = match target.split_once(':') {
        Some((name, path)) => (name.trim(), Some(path.trim())),
        None => (target.trim(), None),
    };
    loggers::set_up(py, &boot.interface)
        .map_err(|error| Refusal::raised(py, "python", "setting loggers up", &error))?;
    let module = PyModule::import(py, name).map_err(|error| not_imported(py, name, directory, &error))?;
    let application = match path {
        None => conventional(&module, name)?,
        Some(path) => {
            let call = path.strip_suffix(')').and_then(|call| call.split_once('('));
            match call {
                None => attribute(&module, name, path)?,
                Some((path, arguments)) => {
                    factory::call(&attribute(&module, name, path.trim_end())?, target, arguments)?
                }
            }
        }
    };
    check(py, &application, target, &boot.interface)?;
    Ok(application)
}

fn not_imported(py: Python<'_>, name: &str, directory: &str, error: &PyErr) -> Refusal {
    let missing: Option<String> = error
        .is_instance_of::<PyModuleNotFoundError>(py)
        .then(|| error.value(py).getattr("name").ok()?.extract().ok())
        .flatten();
    let is_target = missing.as_deref().is_some_and(|missing| {
        name == missing
            || name
                .strip_prefix(missing)
                .is_some_and(|rest| rest.starts_with('.'))
    });
    let Some(missing) = missing else {
        return Refusal::raised(py, "import", &format!("importing {name:?}"), error);
    };
    let within = missing
        .rsplit_once('.')
        .and_then(|(package, module)| within(py, package, module));
    if is_target {
        let why = within.unwrap_or_else(|| {
            format!(
                "no module named {missing:?}; the app's directory {directory} has {}; sys.path is {}",
                listing(directory),
                sys_text(py, "path"),
            )
        });
        return Refusal::new("import", why);
    }
    let mut refusal = Refusal::raised(py, "import", &format!("importing {name:?}"), error);
    let why = within.unwrap_or_else(|| {
        format!(
            "{missing:?} is not installed for {}: set the app's venv or python if that is the wrong one",
            sys_text(py, "executable")
        )
    });
    refusal.message.push_str(&format!("; {why}"));
    refusal
}

/// Why `package` has no `module`, when it is the package that was found: no interpreter is wrong then, a name
/// is.
fn within(py: Python<'_>, package: &str, module: &str) -> Option<String> {
    let found = py
        .import("sys")
        .ok()?
        .getattr("modules")
        .ok()?
        .get_item(package)
        .ok()?;
    let Ok(path) = found.getattr("__path__") else {
        return Some(format!(
            "{package:?} is a module and has no modules in it: for a name in it write \"{package}:{module}\""
        ));
    };
    let modules = modules(&path).unwrap_or_default();
    let hint = match PyList::new(py, &modules)
        .ok()
        .and_then(|names| alike(&names, module))
    {
        Some(close) => format!("; did you mean \"{package}.{close}\"?"),
        None if modules.is_empty() => String::new(),
        None => {
            let listed: Vec<_> = modules.into_iter().take(LISTED_MAX).collect();
            format!("; in it are {}", listed.join(", "))
        }
    };
    Some(format!("package {package:?} has no module {module:?}{hint}"))
}

/// The names of the modules of a package, whose `__path__` is given; `__main__` is for nobody to import.
fn modules(path: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let found = path
        .py()
        .import("pkgutil")?
        .call_method1("iter_modules", (path,))?;
    found
        .try_iter()?
        .map(|module| module?.getattr("name")?.extract())
        .filter(|name| !matches!(name, Ok(name) if name == "__main__"))
        .collect::<PyResult<Vec<String>>>()
}

fn conventional<'py>(module: &Bound<'py, PyModule>, name: &str) -> Result<Bound<'py, PyAny>, Refusal> {
    CONVENTIONS
        .iter()
        .find_map(|convention| module.getattr(*convention).ok())
        .ok_or_else(|| {
            Refusal::new(
                "callable",
                format!(
                    "module {name:?} has neither \"application\" nor \"app\"; name what is to be called, as \"{name}:NAME\"{}",
                    callables(module)
                ),
            )
        })
}

fn attribute<'py>(
    module: &Bound<'py, PyModule>,
    name: &str,
    path: &str,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let py = module.py();
    let mut found = module.clone().into_any();
    for part in path.split('.') {
        found = found.getattr(part).map_err(|error| {
            if !error.is_instance_of::<PyAttributeError>(py) {
                return Refusal::raised(
                    py,
                    "callable",
                    &format!("looking up {path:?} in {name:?}"),
                    &error,
                );
            }
            let hint = match found.dir().ok().and_then(|names| alike(&names, part)) {
                Some(other) => format!("; did you mean {other:?}?"),
                None => callables(module),
            };
            Refusal::new("callable", format!("module {name:?} has no {path:?}{hint}"))
        })?;
    }
    Ok(found)
}

/// The one of `names` that is spelled most like `part`.
fn alike(names: &Bound<'_, PyList>, part: &str) -> Option<String> {
    let close = names
        .py()
        .import("difflib")
        .and_then(|difflib| difflib.call_method1("get_close_matches", (part, names, 1)))
        .ok()?;
    close.get_item(0).ok()?.extract().ok()
}

/// What in the module could be called, as the end of a sentence.
fn callables(module: &Bound<'_, PyModule>) -> String {
    let names: Vec<String> = module
        .dict()
        .iter()
        .filter(|(_, value)| value.is_callable() && !value.is_instance_of::<PyType>())
        .filter_map(|(name, _)| name.extract::<String>().ok())
        .filter(|name| !name.starts_with('_'))
        .take(LISTED_MAX)
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("; callable in it: {}", names.join(", "))
    }
}

/// Refuses what cannot be called, and what is written for the other interface.
fn check(
    py: Python<'_>,
    application: &Bound<'_, PyAny>,
    target: &str,
    interface: &str,
) -> Result<(), Refusal> {
    if !application.is_callable() {
        let why = uncallable(application, target, interface);
        return Err(Refusal::new("callable", why));
    }
    let found = kind(py, application).unwrap_or(Kind::Unknown);
    let (is, other) = match (interface, found) {
        ("wsgi", Kind::Asgi) => ("an ASGI application", "asgi"),
        ("asgi", Kind::Wsgi) => ("a WSGI application", "wsgi"),
        _ => {
            return match signature::mismatch(application, target, interface) {
                Some(message) => Err(Refusal::new("callable", message)),
                None => Ok(()),
            };
        }
    };
    Err(Refusal::new(
        "callable",
        format!("{target} is {is}, but the app says {interface} = {target:?}: write {other} = {target:?}"),
    ))
}

/// What stands where an application should, and how it comes there.
fn uncallable(found: &Bound<'_, PyAny>, target: &str, interface: &str) -> String {
    let kind = crate::wsgi::head::type_name(found);
    match target.strip_suffix(')') {
        Some(_) if found.is_none() => {
            format!("{target} returned None: end the factory with the application, as in `return app`")
        }
        Some(_) if kind == "coroutine" => {
            format!(
                "{target} is a coroutine: a factory is called without an event loop, so it cannot be an `async def`"
            )
        }
        Some(_) => format!(
            "{target} returned {kind}, which cannot be called: the factory must return the application"
        ),
        None if found.is_instance_of::<PyModule>() => {
            let name = found.getattr("__name__").and_then(|name| name.extract());
            let module = name.unwrap_or_else(|_| target.replace(':', "."));
            format!(
                "{target} is a module: name what is to be called in it, as {interface} = \"{module}:NAME\""
            )
        }
        None => format!(
            "{target} is {kind}, which cannot be called: name the application, as {interface} = \"MODULE:NAME\""
        ),
    }
}

/// What kind of application something looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wsgi,
    Asgi,
    Unknown,
}

/// ASGI: coroutine functions, objects whose `__call__` is one, and what takes exactly scope, receive and send. WSGI: what takes
/// `environ` and `start_response`, by these names or as the only two that it needs.
fn kind(py: Python<'_>, application: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let inspect = py.import("inspect")?;
    let coroutine = inspect.getattr("iscoroutinefunction")?;
    if coroutine.call1((application,))?.is_truthy()? {
        return Ok(Kind::Asgi);
    }
    if !application.is_instance_of::<PyType>()
        && let Some(call) = application.get_type().getattr_opt("__call__")?
        && coroutine.call1((call,))?.is_truthy()?
    {
        return Ok(Kind::Asgi);
    }
    let parameters = inspect
        .call_method1("signature", (application,))?
        .getattr("parameters")?;
    let names: Vec<String> = parameters
        .try_iter()?
        .map(|name| name?.extract())
        .collect::<PyResult<_>>()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(match names[..] {
        ["scope", "receive", "send"] => Kind::Asgi,
        ["environ" | "env" | "environment", _] | [_, "start_response", ..] => Kind::Wsgi,
        _ => Kind::Unknown,
    })
}

/// Tells what it costs to run this application as it is configured; once for all workers of a zygote.
pub(crate) fn tell_cost(py: Python<'_>, application: &Bound<'_, PyAny>, boot: &Boot) {
    let target = boot.target.as_str();
    if boot.interface == "asgi" {
        if is_django(application).unwrap_or(false) {
            output::tell(
                py,
                &format!(
                    "{target} is Django under ASGI: its synchronous views run one at a time in a thread of the event loop; \
                     an app whose views are mostly synchronous is many times faster with wsgi"
                ),
            );
        }
    } else if boot.green.is_empty()
        && let Some(library) = patched_by(py, boot.threads_patched)
    {
        let threads = boot.threads_patched;
        let runs = match threads {
            1 => "one request at a time, in its main thread".to_owned(),
            _ => format!("{threads} requests at a time, each in a greenlet"),
        };
        output::tell(
            py,
            &format!(
                "{target} patches the standard library with {library}, so each worker runs {runs}; green = {library:?} runs as \
                 many as `connections` says"
            ),
        );
    }
}

/// Django calls a synchronous view of an ASGI application in one thread, so that they run one after the
/// other.
fn is_django(application: &Bound<'_, PyAny>) -> PyResult<bool> {
    match module(application.py(), "django.core.handlers.asgi")? {
        Some(module) => application.is_instance(&module.getattr("ASGIHandler")?),
        None => Ok(false),
    }
}

/// The library with which the application has patched the standard library. On several threads only a patch of
/// threads counts, which makes greenlets of them. On one, any: what has made subprocesses or sockets wait in the
/// hub of the main thread may work nowhere else.
pub(crate) fn patched_by(py: Python<'_>, threads: usize) -> Option<&'static str> {
    let is_patched = |library: &str, question: &str, parts: &[&str], thread: &str| {
        let asked = || match module(py, library)? {
            Some(library) => {
                let parts = if threads > 1 { &[thread] } else { parts };
                for part in parts {
                    if library.call_method1(question, (*part,))?.is_truthy()? {
                        return Ok(true);
                    }
                }
                Ok::<_, PyErr>(false)
            }
            None => Ok(false),
        };
        asked().unwrap_or(false)
    };
    if is_patched("gevent.monkey", "is_module_patched", GEVENT_PARTS, "threading") {
        Some("gevent")
    } else if is_patched("eventlet.patcher", "is_monkey_patched", EVENTLET_PARTS, "thread") {
        Some("eventlet")
    } else {
        None
    }
}

/// What the libraries can patch, in their own names.
const GEVENT_PARTS: &[&str] = &[
    "threading",
    "_thread",
    "socket",
    "ssl",
    "select",
    "selectors",
    "subprocess",
    "os",
    "signal",
    "time",
    "queue",
];
const EVENTLET_PARTS: &[&str] = &["thread", "socket", "select", "os", "time", "psycopg", "MySQLdb"];

/// A module, if something has imported it.
fn module<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    modules.get_item(name)
}

fn listing(directory: &str) -> String {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return "nothing that can be read".to_owned();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            Some(if folder { format!("{name}/") } else { name })
        })
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let more = names.len().saturating_sub(LISTED_MAX);
    names.truncate(LISTED_MAX);
    match (names.is_empty(), more) {
        (true, _) => "nothing in it".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn sys_text(py: Python<'_>, name: &str) -> String {
    py.import("sys")
        .and_then(|sys| sys.getattr(name))
        .map_or_else(|_| "?".to_owned(), |value| value.to_string())
}

/// Makes the process a place for the application: its directory is the working directory and the first of `sys.path`.
#[expect(
    clippy::disallowed_methods,
    reason = "applications open files by relative paths; here nothing of ours does, and there is one thread"
)]
pub(crate) fn enter(py: Python<'_>, directory: &str, target: &str) -> Result<(), Refusal> {
    std::env::set_current_dir(directory)
        .map_err(|error| Refusal::new("python", format!("the app's directory {directory}: {error}")))?;
    let place = || -> PyResult<()> {
        let sys = py.import("sys")?;
        let path = sys.getattr("path")?.cast_into::<PyList>()?;
        // `-c` puts "" there, which would follow every later chdir; a safe-path interpreter puts nothing.
        let first = path
            .get_item(0)
            .ok()
            .and_then(|first| first.extract::<String>().ok());
        if first.as_deref() == Some("") {
            path.set_item(0, directory)?;
        } else {
            path.insert(0, directory)?;
        }
        sys.setattr("argv", [target])?;
        let main = py
            .import("__main__")?
            .getattr("__dict__")?
            .cast_into::<PyDict>()?;
        for name in ["importlib", "machinery", "util", "loader", "spec", "engine"] {
            let _ = main.del_item(name);
        }
        Ok(())
    };
    place().map_err(|error| Refusal::raised(py, "python", "preparing the interpreter", &error))
}
