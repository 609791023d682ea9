//! `env_file`: KEY=VALUE lines, as shells and other servers read them.
//!
//! Comments, blank lines, `export`, single quotes (nothing is special), double quotes (`\n`, `\t`, `\"`, `\\`, `\$`)
//! and values over several lines inside quotes. `$NAME` is deliberately not replaced: a password may contain it.

/// Names and values in order.
pub(crate) type Variables = Vec<(String, String)>;

/// Every variable, or every problem with its line number.
pub(crate) fn parse(text: &str) -> Result<Variables, Vec<(usize, String)>> {
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
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
            Ok((value, _)) if value.contains('\0') => {
                problems.push((line_number, "NUL in the value".to_owned()))
            }
            Ok((value, left)) => {
                variables.push((key.to_owned(), value));
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

/// The value and what stands after its line.
fn read_value(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let (line, left) = text.split_once('\n').unwrap_or((text, ""));
        let comment = line
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
        let value = comment.map_or(line, |(at, _)| &line[..at]);
        return Ok((value.trim().to_owned(), left));
    };
    let mut value = String::new();
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
            value.push(c);
            continue;
        }
        match characters.next().map(|(_, escaped)| escaped) {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some(c @ ('"' | '\\' | '$' | '`' | '\'')) => value.push(c),
            Some(other) => value.extend(['\\', other]),
            None => break,
        }
    }
    Err("the quote is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        parse(text).unwrap().remove(0).1
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
