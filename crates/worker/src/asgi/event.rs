//! Events of the application, which are dicts: what they must hold, and of which type.

use pyo3::{
    intern,
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyMemoryView, PyString},
};

use super::channel::broken;
use crate::{ffi::text::utf8, wsgi::head::type_name};

/// An event and its type.
#[derive(Debug)]
pub(crate) struct Event<'py> {
    fields: Bound<'py, PyDict>,
    kind: Bound<'py, PyString>,
}

impl<'py> Event<'py> {
    #[inline]
    pub(crate) fn new(event: &Bound<'py, PyAny>) -> PyResult<Self> {
        let fields = event
            .cast::<PyDict>()
            .map_err(|_| broken(format!("send() was given {}, and not a dict", type_name(event))))?;
        let kind = fields
            .get_item(intern!(event.py(), "type"))?
            .and_then(|kind| kind.cast_into::<PyString>().ok())
            .ok_or_else(|| broken("send() was given a dict whose \"type\" is no str".to_owned()))?;
        Ok(Self {
            fields: fields.clone(),
            kind,
        })
    }

    #[inline]
    pub(crate) fn kind(&self) -> PyResult<&str> {
        utf8(&self.kind)
    }

    /// A field that may be missing; None is missing.
    #[inline]
    pub(crate) fn optional(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.fields.get_item(name)?.filter(|value| !value.is_none()))
    }

    pub(crate) fn required(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.optional(name)?
            .ok_or_else(|| broken(format!("{} needs {name:?}", self.kind)))
    }

    #[inline]
    pub(crate) fn flag(&self, name: &Bound<'py, PyString>) -> PyResult<bool> {
        match self.fields.get_item(name)? {
            None => Ok(false),
            Some(value) => match value.cast::<PyBool>() {
                Ok(value) => Ok(value.is_true()),
                Err(_) => value.is_truthy(),
            },
        }
    }

    /// Bytes, or something that is like them; missing is `None`.
    #[inline]
    pub(crate) fn bytes(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(value) = self.optional(name)? else {
            return Ok(None);
        };
        bytes(&value).map(Some).map_err(|_| {
            broken(format!(
                "{name:?} of {} is {}, and not bytes",
                self.kind,
                type_name(&value)
            ))
        })
    }

    pub(crate) fn text(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyString>>> {
        let Some(value) = self.optional(name)? else {
            return Ok(None);
        };
        match value.cast_into::<PyString>() {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(broken(format!(
                "{name:?} of {} is {}, and not str",
                self.kind,
                type_name(&error.into_inner())
            ))),
        }
    }

    pub(crate) fn integer(&self, name: &Bound<'py, PyString>) -> PyResult<Option<u64>> {
        let Some(value) = self.optional(name)? else {
            return Ok(None);
        };
        value.extract().map(Some).map_err(|_| {
            broken(format!(
                "{name:?} of {} is {value:?}, and not a number",
                self.kind
            ))
        })
    }
}

/// A bytearray or a memoryview is copied; nothing else is taken for bytes.
#[inline]
pub(crate) fn bytes<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let copy = value.py().get_type::<PyBytes>().call1((value,))?;
        return Ok(copy.cast_into::<PyBytes>()?);
    }
    Err(broken(format!("{} is not bytes", type_name(value))))
}
