//! `wsgi` and `asgi`: where the callable of an application is.

use super::Value;

/// `module:callable`, `module:factory(...)` or `module`.
pub(super) fn target(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let dotted = |name: &str| name.split('.').all(is_identifier);
    let (module, callable) = text
        .split_once(':')
        .map_or((text, None), |(module, rest)| (module, Some(rest)));
    // What stands in the brackets is Python, and read as such when the application is imported.
    let called = callable.and_then(|callable| callable.strip_suffix(')')?.split_once('('));
    let attribute = called.map(|(factory, _)| factory).or(callable);
    if dotted(module) && attribute.is_none_or(dotted) && !module.ends_with(".py") {
        return Some(text.to_owned());
    }
    let as_module = |path: &str| {
        path.trim_end_matches(".py")
            .trim_matches(['/', '.'])
            .replace('/', ".")
    };
    let help = if module.contains('/') || module.ends_with(".py") {
        let callable = attribute.filter(|name| dotted(name)).unwrap_or("application");
        format!(
            "write the module, not the file: \"{}:{callable}\"",
            as_module(module)
        )
    } else if callable.is_some_and(|callable| callable.contains('(')) {
        "a factory is called with literals: \"module:factory('production', debug=False)\"".to_owned()
    } else {
        "write \"module:callable\", such as \"mysite.wsgi:application\"".to_owned()
    };
    value.problem_with_help(format!("`{text}` does not name a callable"), help);
    None
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && characters.all(|c| c.is_alphanumeric() || c == '_')
}
