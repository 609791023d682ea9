//! nginx's role: listeners, TLS, HTTP, files, upstreams and the hop to the workers.
