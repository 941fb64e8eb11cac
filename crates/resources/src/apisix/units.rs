//! Times and sizes as NGINX writes them: `60s`, `1h30m`, `60` (seconds); `10m`, `512k`, `1024` (bytes).

/// Milliseconds of a time: numbers with units, added up; a number alone is seconds. `None` when it is no time.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after
            .find(|character: char| !character.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 24 * 3_600_000,
            "w" => 7 * 24 * 3_600_000,
            "M" => 30 * 24 * 3_600_000,
            "y" => 365 * 24 * 3_600_000,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        rest = after.trim_start();
    }
    Some(sum)
}

/// Bytes of a size. `None` when it is no size.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1024,
        "m" | "M" => 1024 * 1024,
        "g" | "G" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The number a text begins with, and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_added_up_and_a_number_alone_is_seconds() {
        assert_eq!(milliseconds("60s"), Some(60_000));
        assert_eq!(milliseconds("60"), Some(60_000));
        assert_eq!(milliseconds("250ms"), Some(250));
        assert_eq!(milliseconds("1h30m"), Some(5_400_000));
        assert_eq!(milliseconds("1h 30m"), Some(5_400_000));
        for text in ["", "s", "-1s", "1.5s", "1x", "99999999999999999999", "1s?"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("10m"), Some(10 * 1024 * 1024));
        assert_eq!(bytes("8K"), Some(8192));
        assert_eq!(bytes("0"), Some(0));
        for text in [
            "",
            "m",
            "10mb",
            "-1",
            "99999999999999999999g",
            "18446744073709551615k",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
