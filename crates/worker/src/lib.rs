//! The engine that runs inside the application's own Python interpreter.
