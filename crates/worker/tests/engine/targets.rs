//! What the configuration names: found, called, and refused before it would fail at every request.

use wire::control::FromZygote;

use crate::rig::{Plan, Worker, Zygote, on_every_python, pythons, until};

const TARGETS: &str = r#"
import functools


class Nested:
    @staticmethod
    def create(name="unnamed", *, options=()):
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr((name, options)).encode()]
        return application


create = Nested.create


def create_without():
    return create()


def create_with(config):
    return create(config)


class Made:
    def __init__(self):
        pass

    def __call__(self, environ, start_response):
        pass


class Iterated:
    """An application that PEP 3333 shows."""
    def __init__(self, environ, start_response):
        pass

    def __iter__(self):
        yield b""


def asgi_2(scope):
    async def instance(receive, send):
        pass
    return instance


async def handler(request):
    pass


def view(request):
    pass


@functools.wraps(view)
def wrapped(*arguments):
    pass


@functools.wraps(view)
async def wrapped_asgi(scope, receive, send):
    pass


def with_more(environ, start_response, more=None):
    pass


def create_app(*arguments, **options):
    return create()


def app_factory(**options):
    return create()


def make_nothing(*arguments):
    pass


async def make_late():
    return create()


def make_unusual():
    return lambda a, b: []


@functools.wraps(create_app)
def decorated(*arguments, **options):
    pass


def dispatch(*arguments):
    pass


class Aiohttp:
    def __call__(self):
        return self


class Tornado:
    def __call__(self, request):
        pass


TEXT = "text"
Aiohttp.__name__ = Tornado.__name__ = "Application"
Aiohttp.__module__, Tornado.__module__ = "aiohttp.web_app", "tornado.web"
of_aiohttp, of_tornado = type("Sub", (Aiohttp,), {})(), Tornado()
"#;

/// What `appliance check` hears of a target: the complaint, if there is one.
fn complaint(plan: Plan<'_>) -> Option<String> {
    let zygote = Zygote::start(&plan.check());
    match zygote.hear() {
        FromZygote::Failed { step, message, .. } => {
            assert_eq!(step, "callable", "{message}");
            Some(message)
        }
        FromZygote::Ready { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_called_as_its_interface_calls_it_is_refused_with_the_way_out() {
    on_every_python(|python| {
        let (wsgi, asgi) = (Plan::new(python, TARGETS), Plan::asgi(python, TARGETS));
        for (plan, target, told) in [
            (
                wsgi,
                "app:create_without",
                "write wsgi = \"app:create_without()\"",
            ),
            (wsgi, "app:create", "write wsgi = \"app:create()\""),
            (wsgi, "app:Made", "write wsgi = \"app:Made()\""),
            (
                asgi,
                "app:create_without",
                "write asgi = \"app:create_without()\"",
            ),
            (
                wsgi,
                "app:create_with",
                "takes (config), but wsgi calls it with (environ, start_response)",
            ),
            (wsgi, "app:asgi_2", "write asgi = \"app:asgi_2\""),
            (wsgi, "app:handler", "is an ASGI application"),
            (
                asgi,
                "app:handler",
                "takes (request), but asgi calls it with (scope, receive, send)",
            ),
            (asgi, "app:with_more", "is a WSGI application"),
            (asgi, "app:of_aiohttp", "an application of aiohttp"),
            (asgi, "app:of_tornado", "an application of Tornado"),
            (wsgi, "app:of_tornado", "[upstream.NAME]"),
        ] {
            let complaint = complaint(plan.target(target));
            let found = complaint
                .as_deref()
                .is_some_and(|complaint| complaint.contains(told));
            assert!(found, "{target}: {complaint:?}");
        }
        for (plan, target) in [
            (wsgi, "app:Iterated"),
            (wsgi, "app:wrapped"),
            (wsgi, "app:with_more"),
            (asgi, "app:asgi_2"),
            (asgi, "app:wrapped_asgi"),
        ] {
            assert_eq!(complaint(plan.target(target)), None, "{target}");
        }
    });
}

/// Nothing here depends on the version of Python.
#[test]
fn a_factory_and_what_it_gives_are_told_from_an_application() {
    let python = &pythons()[0];
    let (wsgi, asgi) = (Plan::new(python, TARGETS), Plan::asgi(python, TARGETS));
    for (plan, target, told) in [
        (wsgi, "app:create_app", "write wsgi = \"app:create_app()\""),
        (asgi, "app:create_app", "write asgi = \"app:create_app()\""),
        (asgi, "app:app_factory", "write asgi = \"app:app_factory()\""),
        (asgi, "app:create_app()", "write wsgi = \"app:create_app()\""),
        (asgi, "app:make_unusual()", "write wsgi = \"app:make_unusual()\""),
        (wsgi, "app:make_nothing()", "end the factory with the application"),
        (wsgi, "app:make_late()", "cannot be an `async def`"),
        (wsgi, "app:with_more()", "write wsgi = \"app:with_more\""),
        (wsgi, "app:Iterated()", "write wsgi = \"app:Iterated\""),
        (asgi, "app:functools", "as asgi = \"functools:NAME\""),
        (wsgi, "app:TEXT", "is str, which cannot be called"),
    ] {
        let complaint = complaint(plan.target(target));
        let found = complaint
            .as_deref()
            .is_some_and(|complaint| complaint.contains(told));
        assert!(found, "{target}: {complaint:?}");
    }
    for target in ["app:decorated", "app:dispatch"] {
        assert_eq!(complaint(wsgi.target(target)), None, "{target}");
    }
}

#[test]
fn a_factory_is_called_with_literals() {
    on_every_python(|python| {
        let plan = Plan::new(python, TARGETS);
        for (target, says) in [
            ("app:create()", "('unnamed', ())"),
            ("app:create('prod')", "('prod', ())"),
            (
                "app:Nested.create('a:b', options={'debug': False, 'of': [1, -2.5, None]})",
                "('a:b', {'debug': False, 'of': [1, -2.5, None]})",
            ),
            ("app:create_with((1, \"two\"))", "((1, 'two'), ())"),
        ] {
            let (_zygote, worker) = Worker::ready(&plan.target(target));
            assert_eq!(worker.link().get(1, "/").text(), says, "{target}");
        }
        for (target, told) in [
            ("app:create(view)", "not literals"),
            ("app:create('a'", "no \"create('a'\""),
            ("app:create(**{})", "not literals"),
            ("app:create('a') + create('b')", "not literals"),
            ("app:create(", "no \"create(\""),
            (
                "app:create(1, 2)",
                "the factory app:create(1, 2) raised TypeError",
            ),
            ("app:create_with()", "raised TypeError"),
        ] {
            let complaint = complaint(plan.target(target));
            let found = complaint
                .as_deref()
                .is_some_and(|complaint| complaint.contains(told));
            assert!(found, "{target}: {complaint:?}");
        }
    });
}

const LOGS: &str = r#"
import logging

log = logging.getLogger
log("uvicorn.error").info("from uvicorn.error")
log("uvicorn.error").debug("too little")
log("gunicorn.error").info("from gunicorn.error")
# What Flask applications do to be heard under gunicorn.
log("mine").handlers = log("gunicorn.error").handlers
log("mine").setLevel(log("gunicorn.error").level)
log("mine").info("from mine")
log("other").warning("from other")


async def app(scope, receive, send):
    pass
"#;

#[test]
fn the_loggers_of_other_servers_can_be_heard() {
    on_every_python(|python| {
        let (_zygote, worker) = Worker::ready(&Plan::asgi(python, LOGS));
        until("all is told", || {
            worker.stderr.lock().expect("no panic").contains("from other")
        });
        let text = worker.stderr.lock().expect("no panic").clone();
        for line in [
            "INFO uvicorn.error: from uvicorn.error",
            "INFO gunicorn.error: from gunicorn.error",
            "INFO mine: from mine",
        ] {
            assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{text}");
        }
        assert!(!text.contains("too little"), "{text}");
    });
}
