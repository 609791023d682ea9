//! What keeps state of its clients in the memory of one process, so that a second worker would not know them.

use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

/// What the import has brought in, as `Gradio, channels.layers.InMemoryChannelLayer`; empty when there is
/// none.
pub(crate) fn found(py: Python<'_>) -> PyResult<String> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let imported = |module: &str| modules.contains(module).unwrap_or(false);
    let mut found: Vec<&str> = FRAMEWORKS
        .iter()
        .filter(|(module, _)| imported(module))
        .map(|(_, name)| *name)
        .collect();
    // These ask objects of the application, which may raise what they like: then nothing is known of it.
    if imported("channels") && imported("django.conf") && has_layer_in_memory(py).unwrap_or(false) {
        found.push(LAYER);
    }
    if imported("socketio") && has_lone_server(py, &modules).unwrap_or(false) {
        found.push(match imported("flask_socketio") {
            true => "Flask-SocketIO without a message_queue",
            false => "python-socketio without a client_manager that other processes share",
        });
    }
    Ok(found.join(", "))
}

/// Does a Django project with channels hand messages on within the process alone?
fn has_layer_in_memory(py: Python<'_>) -> PyResult<bool> {
    let settings = py.import("django.conf")?.getattr("settings")?;
    if !settings.getattr("configured")?.is_truthy()? {
        return Ok(false);
    }
    let layers = settings.getattr("CHANNEL_LAYERS")?.cast_into::<PyDict>()?;
    let backend = |layer: Bound<'_, PyAny>| layer.get_item("BACKEND").ok()?.extract::<String>().ok();
    Ok(layers
        .values()
        .iter()
        .filter_map(backend)
        .any(|backend| backend == LAYER))
}

/// Is there a Socket.IO server whose clients are known to this process alone? Servers stand in no list, so
/// the objects of the process are looked through; only where python-socketio was imported.
fn has_lone_server(py: Python<'_>, modules: &Bound<'_, PyDict>) -> PyResult<bool> {
    let servers: Vec<Bound<'_, PyAny>> = [
        "socketio.server",
        "socketio.async_server",
        "socketio.asyncio_server",
    ]
    .iter()
    .zip(["Server", "AsyncServer", "AsyncServer"])
    .filter_map(|(module, class)| modules.get_item(module).ok()??.getattr(class).ok())
    .collect();
    let objects = py
        .import("gc")?
        .call_method0("get_objects")?
        .cast_into::<PyList>()?;
    for object in objects.iter() {
        let kind = object.get_type();
        if !servers
            .iter()
            .any(|server| kind.is_subclass(server).unwrap_or(false))
        {
            continue;
        }
        let manager = object.getattr("manager")?.get_type().mro();
        let names: Vec<String> = manager
            .iter()
            .filter_map(|class| class.getattr("__name__").ok()?.extract().ok())
            .collect();
        // Redis, Kafka and the like are managers that publish, under either kind of server.
        if !names.iter().any(|name| name.ends_with("PubSubManager")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Modules of frameworks that keep sessions in the process, whatever they are told.
const FRAMEWORKS: [(&str, &str); 7] = [
    ("streamlit", "Streamlit"),
    ("gradio", "Gradio"),
    ("nicegui", "NiceGUI"),
    ("panel", "Panel"),
    ("shiny", "Shiny"),
    ("solara", "Solara"),
    ("chainlit", "Chainlit"),
];

const LAYER: &str = "channels.layers.InMemoryChannelLayer";
