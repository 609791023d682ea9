//! The access record, its formats and sinks, and the error log.
