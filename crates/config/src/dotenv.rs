//! `env_file`: KEY=VALUE lines, as shells and other servers read them.
//!
//! Comments, blank lines, `export`, single quotes (no escapes), double quotes (`\n`, `\t`, `\"`, `\\`, `\$`)
//! and values over several lines inside quotes. `${NAME}` and `${NAME:-default}` are replaced wherever they
//! stand, as python-dotenv does it; `"\${NAME}"` is not. `$NAME` is deliberately left alone: a password may
//! contain it.

/// Names and values in order.
pub(crate) type Variables = Vec<(String, String)>;

/// Every variable, or every problem with its line number. What a value refers to is looked up in the lines
/// above it, then outside.
pub(crate) fn parse(
    text: &str,
    outside: impl Fn(&str) -> Option<String>,
) -> Result<Variables, Vec<(usize, String)>> {
    let (mut variables, mut problems): (Variables, _) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let line_number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            rest = after;
            continue;
        }
        let Some((key, value)) = rest.split_once('=').filter(|(key, _)| !key.contains('\n')) else {
            problems.push((line_number, "no `=` in this line, write NAME=value".to_owned()));
            rest = after;
            continue;
        };
        let key = key.trim();
        let key = key.strip_prefix("export ").map_or(key, str::trim_start);
        if !is_name(key) {
            problems.push((
                line_number,
                "a name has letters, digits, `_`, `.` and `-`".to_owned(),
            ));
        }
        match read_value(value) {
            Ok((value, _)) if value.text.contains('\0') => {
                problems.push((line_number, "NUL in the value".to_owned()))
            }
            Ok((value, left)) => {
                let value = value.expanded(|name| {
                    let above = variables.iter().rev().find(|(other, _)| other == name);
                    above.map(|(_, value)| value.clone()).or_else(|| outside(name))
                });
                match value {
                    Some(value) => variables.push((key.to_owned(), value)),
                    None => problems.push((line_number, format!("a value of more than {BYTES_MAX} bytes"))),
                }
                rest = left;
                continue;
            }
            Err(message) => problems.push((line_number, message.to_owned())),
        }
        rest = after;
    }
    if problems.is_empty() {
        Ok(variables)
    } else {
        Err(problems)
    }
}

/// Names that every shell and Python can carry.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Largest value: no program can be started with more in one variable, and each reference may double what it
/// refers to.
const BYTES_MAX: usize = 128 << 10;

/// A value as it was read.
#[derive(Debug, Default)]
struct Value {
    text: String,
    /// Where dollars stand that were escaped.
    literal: Vec<usize>,
}

impl Value {
    /// With what it refers to in it; what is not set is empty. `None`: it is too large.
    fn expanded(&self, look_up: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut expanded = String::new();
        let mut at = 0;
        while let Some(found) = self.text[at..].find("${").map(|found| at + found) {
            expanded.push_str(&self.text[at..found]);
            let reference = (!self.literal.contains(&found))
                .then(|| reference(&self.text[found + 2..]))
                .flatten();
            match reference {
                Some((name, default, len)) => {
                    expanded.push_str(&look_up(name).unwrap_or_else(|| default.to_owned()));
                    at = found + 2 + len;
                }
                None => {
                    expanded.push('$');
                    at = found + 1;
                }
            }
            if expanded.len() > BYTES_MAX {
                return None;
            }
        }
        expanded.push_str(&self.text[at..]);
        (expanded.len() <= BYTES_MAX).then_some(expanded)
    }
}

/// Name, default and length of a reference behind its `${`.
fn reference(text: &str) -> Option<(&str, &str, usize)> {
    let end = text.find('}')?;
    let inside = &text[..end];
    let (name, default) = match inside.find(':') {
        None => (inside, ""),
        Some(colon) => (&inside[..colon], inside[colon + 1..].strip_prefix('-')?),
    };
    Some((name, default, end + 1))
}

/// The value and what stands after its line.
fn read_value(text: &str) -> Result<(Value, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let (line, left) = text.split_once('\n').unwrap_or((text, ""));
        let comment = line
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
        let value = comment.map_or(line, |(at, _)| &line[..at]);
        let text = value.trim().to_owned();
        return Ok((
            Value {
                text,
                literal: Vec::new(),
            },
            left,
        ));
    };
    let mut value = Value::default();
    let mut characters = text[1..].char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            let (tail, left) = text[1 + at + 1..]
                .split_once('\n')
                .unwrap_or((&text[1 + at + 1..], ""));
            let tail = tail.trim();
            if !tail.is_empty() && !tail.starts_with('#') {
                return Err("text after the closing quote");
            }
            return Ok((value, left));
        }
        if c != '\\' || quote == '\'' {
            value.text.push(c);
            continue;
        }
        match characters.next().map(|(_, escaped)| escaped) {
            Some('n') => value.text.push('\n'),
            Some('r') => value.text.push('\r'),
            Some('t') => value.text.push('\t'),
            Some('$') => {
                value.literal.push(value.text.len());
                value.text.push('$');
            }
            Some(c @ ('"' | '\\' | '`' | '\'')) => value.text.push(c),
            Some(other) => value.text.extend(['\\', other]),
            None => break,
        }
    }
    Err("the quote is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Variables, Vec<(usize, String)>> {
        super::parse(text, |name| (name == "HOME").then(|| "/home/web".to_owned()))
    }

    fn value(text: &str) -> String {
        parse(text).unwrap().remove(0).1
    }

    #[test]
    fn references_are_replaced_by_what_stands_above_or_outside() {
        let text = "HOST=db\nURL=postgres://${USER:-web}@${HOST}/${NAME}\nHOME=/srv\nA='${HOME}'\nB=\"\\${HOME} ${HOST}\"\n\
                    C=$HOST ${HOST ${HOST:x}\nHOST=other\nD=${HOST}${HOST}\n";
        let values: Vec<String> = parse(text).unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                "db",
                "postgres://web@db/",
                "/srv",
                "/srv",
                "${HOME} db",
                "$HOST ${HOST ${HOST:x}",
                "other",
                "otherother"
            ]
        );
        assert_eq!(value("DATA=${HOME}/data"), "/home/web/data");
    }

    #[test]
    fn references_cannot_grow_without_end() {
        let mut text = "A0=xxxxxxxxxxxxxxxx\n".to_owned();
        for number in 1..40 {
            text.push_str(&format!("A{number}=${{A{0}}}${{A{0}}}\n", number - 1));
        }
        assert_eq!(parse(&text).unwrap_err()[0].0, 15);
    }

    #[test]
    fn quotes_comments_and_export_are_understood() {
        let text = "# secrets\n\nexport A=1\nB = two words # comment\nC='a#b $x \\n'\nD=\"a\\nb\\\"\"  # end\nE=\nF=a#b\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a#b $x \\n"),
            ("D", "a\nb\""),
            ("E", ""),
            ("F", "a#b"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn a_quoted_value_may_have_several_lines() {
        assert_eq!(
            value("KEY=\"-----BEGIN\nabc\n-----END\"\nB=1\n"),
            "-----BEGIN\nabc\n-----END"
        );
        assert_eq!(parse("A='1\n2'\r\nB=3").unwrap().len(), 2);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let problems = parse("A=1\nnonsense\n1B=2\nC=\"open\n").unwrap_err();
        assert_eq!(
            problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [2, 3, 4]
        );
    }
}
