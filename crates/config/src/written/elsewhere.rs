//! Keys that are looked for in a table which does not have them: options of nginx, gunicorn, uvicorn, uWSGI
//! and Caddy, and our own where they stand in another table. A table's own list goes first.

use super::other::Other;

/// What people mean by `word`, wherever they write it.
pub(super) fn find(word: &str) -> Option<&'static Other> {
    EVERYWHERE.iter().find(|other| other.word() == word)
}

const LISTENER: &str = "[[listener]] with an `address`";
const LIMITS: &str = "it in [listener.limits]";
const CERTIFICATES: &str = "certificates = [{ certificate = \"...\", key = \"...\" }] in [tls]";
const HOSTS: &str = "`hosts` in [[site]]";
const FILES: &str = "files = { \"/static/\" = \"static/\" } in [[site]]";
const ROUTE: &str = "[[site.route]] with a `path`";
const UPSTREAM: &str =
    "[upstream.NAME] with `servers`, and `upstream = \"NAME\"` in [[site]] or [[site.route]]";
const TARGET: &str = "wsgi = \"module:callable\" or asgi = \"module:callable\" in [app.NAME]";
const TRUSTED: &str = "`trusted_proxies` in [server]";
const COMPRESS: &str = "make `.gz` or `.br` siblings, or let the application compress";
const VERIFY: &str =
    "nothing, `https://` servers are verified; tls = { verify = false } in [upstream.NAME] accepts any";
const PASSWORD: &str = "let the application ask for the password";
const FIREWALL: &str = "use the firewall";
const LIMITED: &str = "leave it out, queues and bodies are limited already";

const EVERYWHERE: &[Other] = &[
    // Where connections come in.
    Other::Meant("listen", LISTENER),
    Other::Meant("bind", LISTENER),
    Other::Meant("socket", LISTENER),
    Other::Meant("uds", "[[listener]] with address = \"unix:/path\""),
    Other::Meant("address", LISTENER),
    Other::Meant("port", LISTENER),
    Other::Meant("backlog", "it in [[listener]]"),
    Other::Meant("http2", "it in [[listener]]"),
    Other::Meant(
        "host",
        "[[listener]] with an `address`, or the names of a site as `hosts` in [[site]]",
    ),
    Other::Meant("connections_max", LIMITS),
    Other::Meant("head_timeout", LIMITS),
    Other::Meant("idle_timeout", LIMITS),
    Other::Meant("body_timeout", LIMITS),
    Other::Meant("worker_connections", "`connections_max` in [listener.limits]"),
    Other::Meant("limit_concurrency", "`connections_max` in [listener.limits]"),
    Other::Meant("client_header_timeout", "`head_timeout` in [listener.limits]"),
    Other::Meant("client_body_timeout", "`body_timeout` in [listener.limits]"),
    Other::Meant("send_timeout", "`body_timeout` in [listener.limits]"),
    Other::Meant("keepalive_timeout", "`idle_timeout` in [listener.limits]"),
    Other::Meant("keepalive", "`idle_timeout` in [listener.limits]"),
    Other::Meant("keepalive_requests", "`requests_max` in [listener.limits]"),
    Other::Meant("large_client_header_buffers", "`head_max` in [listener.limits]"),
    Other::Meant("limit_request_line", "`target_max` in [listener.limits]"),
    Other::Meant("limit_request_fields", "`headers_max` in [listener.limits]"),
    // Certificates.
    Other::Meant("certificates", "it in [tls]"),
    Other::Meant("certificate", CERTIFICATES),
    Other::Meant("key", CERTIFICATES),
    Other::Meant("certfile", CERTIFICATES),
    Other::Meant("keyfile", CERTIFICATES),
    Other::Meant("ssl_certificate", CERTIFICATES),
    Other::Meant("ssl_certificate_key", CERTIFICATES),
    Other::Meant("ssl_certfile", CERTIFICATES),
    Other::Meant("ssl_keyfile", CERTIFICATES),
    Other::Meant(
        "ssl",
        "`tls = true` in [[listener]], and the certificates in [tls]",
    ),
    Other::Meant("ssl_protocols", "`minimum` in [tls]"),
    Other::Meant("ssl_version", "`minimum` in [tls]"),
    Other::Later("ssl_ciphers", "leave it out, only sound suites are offered"),
    Other::Later(
        "email",
        "get certificates with certbot and name the files in [tls]",
    ),
    // Sites and what they serve.
    Other::Meant("hosts", "it in [[site]]"),
    Other::Meant("server_name", HOSTS),
    Other::Meant("domain", HOSTS),
    Other::Meant("domains", HOSTS),
    Other::Meant("files", "it in [[site]] or [[site.route]]"),
    Other::Meant("root", FILES),
    Other::Meant("alias", FILES),
    Other::Meant("static", FILES),
    Other::Meant("static_map", FILES),
    Other::Meant("file_server", FILES),
    Other::Meant(
        "try_files",
        "files = { \"/static/\" = \"static/\" } in [[site]]: what lies below a path of files is never asked of an app",
    ),
    Other::Meant("index", "files = { root = \"...\", index = \"...\" }"),
    Other::Later("autoindex", "directories are not listed"),
    Other::Meant(
        "expires",
        "files = { root = \"...\", cache_control = \"max-age=3600\" }",
    ),
    Other::Meant(
        "cache_control",
        "files = { root = \"...\", cache_control = \"...\" }",
    ),
    Other::Meant(
        "default_type",
        "files = { root = \"...\", types = { ENDING = \"text/plain\" } }",
    ),
    Other::Meant("location", ROUTE),
    Other::Meant("handle", ROUTE),
    Other::Meant("handle_path", "[[site.route]] with a `path` and `strip = true`"),
    Other::Meant("route", ROUTE),
    Other::Meant("routes", ROUTE),
    Other::Meant("path", "it in [[site.route]]"),
    Other::Meant("methods", "it in [[site.route]]"),
    Other::Meant("mount", "it in [[site.route]]"),
    Other::Meant("root_path", "`mount` in [[site.route]]"),
    Other::Meant("proxy_pass", UPSTREAM),
    Other::Meant("reverse_proxy", UPSTREAM),
    Other::Meant("servers", "it in [upstream.NAME]"),
    Other::Later(
        "uwsgi_pass",
        "serve the application as [app.NAME], or over http as [upstream.NAME]",
    ),
    Other::Later("fastcgi_pass", "serve the program over http as [upstream.NAME]"),
    Other::Later("php_fastcgi", "serve the program over http as [upstream.NAME]"),
    Other::Meant("proxy_connect_timeout", "`connect_timeout` in [upstream.NAME]"),
    Other::Meant("proxy_read_timeout", "`read_timeout` in [upstream.NAME]"),
    Other::Meant(
        "uwsgi_read_timeout",
        "timeout = { request = \"60s\" } in [app.NAME]",
    ),
    // Servers that are `https://`; nginx verifies none of them unless it is told to.
    Other::Meant(
        "proxy_ssl_trusted_certificate",
        "tls = { ca = \"ca.pem\" } in [upstream.NAME]",
    ),
    Other::Meant(
        "proxy_ssl_name",
        "tls = { server_name = \"...\" } in [upstream.NAME]",
    ),
    Other::Meant("proxy_ssl_verify", VERIFY),
    Other::Meant(
        "proxy_ssl_server_name",
        "nothing, the name is always sent to `https://` servers",
    ),
    Other::Meant(
        "proxy_ssl_session_reuse",
        "nothing, sessions of `https://` servers are resumed",
    ),
    Other::Later(
        "proxy_ssl_certificate",
        "let the servers ask for no client certificate",
    ),
    Other::Later(
        "proxy_ssl_certificate_key",
        "let the servers ask for no client certificate",
    ),
    Other::Later(
        "proxy_set_header",
        "leave it out, Host and X-Forwarded-* are told to every server",
    ),
    Other::Later(
        "proxy_http_version",
        "leave it out, servers are asked in HTTP/1.1",
    ),
    Other::Later(
        "proxy_buffering",
        "leave it out, responses are sent on as they come",
    ),
    Other::Meant("return", "`redirect` or `respond` in [[site.route]]"),
    Other::Meant("redir", "`redirect` in [[site.route]]"),
    Other::Later("rewrite", "use `redirect`, or let the application route"),
    Other::Meant(
        "add_header",
        "headers = { NAME = \"value\" } in [[site]] or [[site.route]]",
    ),
    Other::Meant(
        "header",
        "headers = { NAME = \"value\" } in [[site]] or [[site.route]]",
    ),
    Other::Meant("headers", "it in [[site]] or [[site.route]]"),
    Other::Meant("body_max", "it in [[site]] or [[site.route]]"),
    Other::Meant("client_max_body_size", "`body_max` in [[site]] or [[site.route]]"),
    Other::Later("gzip", COMPRESS),
    Other::Later("gzip_static", "leave it out, `.gz` and `.br` siblings are served"),
    Other::Later("brotli", COMPRESS),
    Other::Later("encode", COMPRESS),
    Other::Later("compress", COMPRESS),
    Other::Later("auth", PASSWORD),
    Other::Later("auth_basic", PASSWORD),
    Other::Later("basic_auth", PASSWORD),
    Other::Later("basicauth", PASSWORD),
    Other::Later("allow", FIREWALL),
    Other::Later("deny", FIREWALL),
    Other::Later("limit", LIMITED),
    Other::Later("limit_req", LIMITED),
    Other::Later("limit_conn", LIMITED),
    Other::Later("cache", "let the application send Cache-Control"),
    Other::Later("errors", "leave it out"),
    Other::Later("error_page", "leave it out"),
    // Applications and their processes.
    Other::Meant("wsgi", "it in [app.NAME]"),
    Other::Meant("asgi", "it in [app.NAME]"),
    Other::Meant("app", TARGET),
    Other::Meant("target", TARGET),
    Other::Meant("wsgi_app", "wsgi = \"module:callable\" in [app.NAME]"),
    Other::Meant("wsgi_file", "wsgi = \"module:callable\" in [app.NAME]"),
    Other::Meant("factory", "wsgi = \"module:factory()\" in [app.NAME]"),
    Other::Meant("workers", "it in [app.NAME]"),
    Other::Meant("processes", "`workers` in [app.NAME]"),
    Other::Meant(
        "worker_processes",
        "`workers` in [app.NAME], or `threads` in [server]",
    ),
    Other::Meant(
        "threads",
        "it in [app.NAME] for workers, in [server] for the proxy",
    ),
    Other::Meant(
        "worker_class",
        "`wsgi` or `asgi` in [app.NAME], and `green` for greenlets",
    ),
    Other::Meant("timeout", "timeout = { request = \"30s\" } in [app.NAME]"),
    Other::Meant("harakiri", "timeout = { request = \"30s\" } in [app.NAME]"),
    Other::Meant(
        "graceful_timeout",
        "timeout = { drain = \"30s\" } in [app.NAME], or `grace` in [server]",
    ),
    Other::Meant(
        "grace",
        "it in [server], or timeout = { drain = \"30s\" } in [app.NAME]",
    ),
    Other::Meant("preload", "it in [app.NAME]"),
    Other::Meant("preload_app", "`preload` in [app.NAME]"),
    Other::Meant("lazy_apps", "`preload = false` in [app.NAME]"),
    Other::Later(
        "max_requests",
        "leave it out, crashed and stuck workers are replaced",
    ),
    Other::Meant("directory", "it in [app.NAME]"),
    Other::Meant("chdir", "`directory` in [app.NAME]"),
    Other::Meant("app_dir", "`directory` in [app.NAME]"),
    Other::Meant("pythonpath", "env = { PYTHONPATH = \"...\" } in [app.NAME]"),
    Other::Meant("venv", "it in [app.NAME]"),
    Other::Meant("virtualenv", "`venv` in [app.NAME]"),
    Other::Meant("python", "it in [app.NAME]"),
    Other::Meant("env", "it in [app.NAME]"),
    Other::Meant("environment", "env = { NAME = \"value\" } in [app.NAME]"),
    Other::Meant("raw_env", "env = { NAME = \"value\" } in [app.NAME]"),
    Other::Meant("env_file", "it in [app.NAME]"),
    Other::Meant("no_new_privileges", "it in [app.NAME]"),
    Other::Later("reload", "send SIGHUP after a change"),
    Other::Later("autoreload", "send SIGHUP after a change"),
    // The server itself.
    Other::Meant("user", "it in [server] or [app.NAME]"),
    Other::Meant("uid", "`user` in [server] or [app.NAME]"),
    Other::Meant("group", "user = \"name:group\" in [server] or [app.NAME]"),
    Other::Meant("gid", "user = \"name:group\" in [server] or [app.NAME]"),
    Other::Meant("daemon", "`--daemon` on the command line"),
    Other::Meant("daemonize", "`--daemon` on the command line"),
    Other::Meant("pid", "`pid_file` in [server]"),
    Other::Meant("pidfile", "`pid_file` in [server]"),
    Other::Meant("pid_file", "it in [server]"),
    Other::Meant("control_socket", "`control` in [server]"),
    Other::Meant("trusted_proxies", "it in [server]"),
    Other::Meant("forwarded_allow_ips", TRUSTED),
    Other::Meant("proxy_headers", TRUSTED),
    Other::Meant("set_real_ip_from", TRUSTED),
    Other::Meant("real_ip_header", TRUSTED),
    Other::Later("include", "write everything in this file"),
    // Logs.
    Other::Meant("access_log", "`to` in [log.access]"),
    Other::Meant("accesslog", "`to` in [log.access]"),
    Other::Meant("error_log", "`to` in [log.error]"),
    Other::Meant("errorlog", "`to` in [log.error]"),
    Other::Meant("loglevel", "`level` in [log.error]"),
    Other::Meant("log_level", "`level` in [log.error]"),
    Other::Meant("log_format", "`format` in [log.access]"),
    Other::Meant("access_log_format", "`format` in [log.access]"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_word_stands_once_and_can_be_found() {
        let mut seen = HashSet::new();
        for other in EVERYWHERE {
            let word = other.word();
            assert!(seen.insert(word), "{word} stands twice");
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{word} is not as it is looked for"
            );
        }
    }
}
