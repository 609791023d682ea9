//! Supervises the proxy, the zygotes and the workers.
