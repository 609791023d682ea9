//! Durations and sizes as typed text: `"30s"`, `"8MiB"`. A bare number is refused, because nobody knows its unit.

use std::time::Duration;

/// `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"1d"`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text, "30s")?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        "" if number == 0 => 1,
        "" => {
            return Err(format!(
                "duration `{text}` has no unit, write \"{text}s\" for seconds"
            ));
        }
        _ => {
            return Err(format!(
                "unknown unit `{unit}` in duration `{text}`, use ms, s, m, h or d"
            ));
        }
    };
    let total = number
        .checked_mul(milliseconds)
        .ok_or_else(|| format!("duration `{text}` is too long"))?;
    Ok(Duration::from_millis(total))
}

/// `"512B"`, `"64k"`, `"64KiB"`, `"8MiB"`, `"1GiB"`; the one-letter units are powers of 1024 as in nginx.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text, "8MiB")?;
    let bytes: u64 = match unit {
        "B" | "b" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "t" | "T" | "TiB" => 1 << 40,
        "" if number == 0 => 1,
        "" => return Err(format!("size `{text}` has no unit, write \"{text}B\" for bytes")),
        "kB" | "KB" | "MB" | "GB" | "TB" => {
            let binary = format!("{number}{}iB", unit[..1].to_uppercase());
            return Err(format!(
                "unit `{unit}` in size `{text}` is ambiguous, write \"{binary}\""
            ));
        }
        _ => {
            return Err(format!(
                "unknown unit `{unit}` in size `{text}`, use B, KiB, MiB or GiB"
            ));
        }
    };
    number
        .checked_mul(bytes)
        .ok_or_else(|| format!("size `{text}` is too large"))
}

/// As [`duration`] would read it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [
        (24 * 60 * 60 * 1000, "d"),
        (60 * 60 * 1000, "h"),
        (60 * 1000, "m"),
        (1000, "s"),
        (1, "ms"),
    ];
    let (unit, name) = whole_unit(milliseconds, units);
    format!("{}{name}", milliseconds / unit)
}

/// As [`size`] would read it.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1, "B"),
    ];
    let (unit, name) = whole_unit(u128::from(bytes), units);
    format!("{}{name}", u128::from(bytes) / unit)
}

fn whole_unit(amount: u128, units: [(u128, &'static str); 5]) -> (u128, &'static str) {
    let whole = units
        .into_iter()
        .find(|(unit, _)| amount != 0 && amount.is_multiple_of(*unit));
    whole.unwrap_or(units[4])
}

fn split<'t>(text: &'t str, example: &str) -> Result<(u64, &'t str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!(
            "`{text}` must begin with a whole number, as in \"{example}\""
        ));
    }
    let number = number.parse().map_err(|_| format!("`{text}` is too large"))?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_mean_what_an_administrator_expects() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(size("64k"), Ok(65536));
        assert_eq!(size("8 MiB"), Ok(8 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
    }

    #[test]
    fn an_amount_without_a_clear_unit_is_refused() {
        assert_eq!(
            duration("30").unwrap_err(),
            "duration `30` has no unit, write \"30s\" for seconds"
        );
        assert_eq!(
            size("8MB").unwrap_err(),
            "unit `MB` in size `8MB` is ambiguous, write \"8MiB\""
        );
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for text in ["0ms", "1500ms", "90s", "5m", "36h", "1d"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["0B", "1000B", "64KiB", "3MiB", "1TiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
