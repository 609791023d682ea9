//! What runs inside the application's interpreter: the engine's shared object and the few lines that load it.

/// The engine (crate `worker`), built by `build.rs`. The supervisor puts it into a memory file, which a zygote finds on
/// descriptor 4.
pub(crate) static ENGINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.so"));

/// Argument of the interpreter's `-c`. Loads the engine from descriptor 4 and gives it the control socket on descriptor 3.
/// One long argument behind it leaves room for the process's title, which is written over the arguments.
pub(crate) const BOOTSTRAP: &str = include_str!("../../worker/src/bootstrap.py");
