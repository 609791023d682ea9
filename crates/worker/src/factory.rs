//! `module:factory('production', debug=False)`: a call with literals, as gunicorn takes it.

use pyo3::{
    exceptions::{PySyntaxError, PyValueError},
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{refusal::Refusal, signature::interface_of};

/// Calls the factory that `module:path` names; `arguments` is what stands in the brackets.
pub(crate) fn call<'py>(
    factory: &Bound<'py, PyAny>,
    target: &str,
    arguments: &str,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let py = factory.py();
    if let (Some(interface), Some((name, _))) = (interface_of(factory), target.split_once('(')) {
        return Err(Refusal::new(
            "callable",
            format!("{name} is the application itself, and no factory: write {interface} = {name:?}"),
        ));
    }
    let (positional, named) = literals(py, arguments).map_err(|error| {
        if error.is_instance_of::<PySyntaxError>(py) || error.is_instance_of::<PyValueError>(py) {
            Refusal::new(
                "callable",
                format!(
                    "the arguments of {target} are not literals: a factory takes texts, numbers, True, False, None, \
                     and lists, tuples and dicts of them"
                ),
            )
        } else {
            Refusal::raised(py, "callable", &format!("reading the arguments of {target}"), &error)
        }
    })?;
    factory
        .call(positional, Some(&named))
        .map_err(|error| Refusal::raised(py, "callable", &format!("the factory {target}"), &error))
}

/// Positional and keyword arguments, evaluated without running anything.
fn literals<'py>(py: Python<'py>, arguments: &str) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let ast = py.import("ast")?;
    let options = PyDict::new(py);
    options.set_item("mode", "eval")?;
    let call = ast
        .call_method("parse", (format!("factory({arguments})"),), Some(&options))?
        .getattr("body")?;
    // `a) + other(b` would be something else than one call.
    if !call.is_instance(&ast.getattr("Call")?)?
        || !call.getattr("func")?.is_instance(&ast.getattr("Name")?)?
    {
        return Err(PyValueError::new_err("not one call"));
    }
    let mut positional = Vec::new();
    for argument in call.getattr("args")?.try_iter()? {
        positional.push(ast.call_method1("literal_eval", (argument?,))?);
    }
    let named = PyDict::new(py);
    for keyword in call.getattr("keywords")?.try_iter()? {
        let keyword = keyword?;
        let name = keyword.getattr("arg")?;
        if name.is_none() {
            return Err(PyValueError::new_err("** in the arguments"));
        }
        named.set_item(
            name,
            ast.call_method1("literal_eval", (keyword.getattr("value")?,))?,
        )?;
    }
    Ok((PyTuple::new(py, positional)?, named))
}
