//! Exact reading of decimal numbers.

use thiserror::Error;

/// Why a text is no number that can be kept exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// It is no number, or a negative one.
    #[error("must be a number that is not negative")]
    NoNumber,
    /// It has more decimal places than are kept.
    #[error("is finer than is kept: at most {0} decimal places")]
    TooFine(u32),
    /// It is larger than any price.
    #[error("is too large")]
    TooLarge,
}

/// Reads a number of JSON or YAML (`2.5`, `0`, `1e-06`) as a whole number of `10^-places`.
///
/// # Errors
/// It is no such number, or not a whole number of these parts.
pub fn exact(text: &str, places: u32) -> Result<u64, DecimalError> {
    let (value, is_exact) = scaled(text, places)?;
    if is_exact {
        Ok(value)
    } else {
        Err(DecimalError::TooFine(places))
    }
}

/// As [`exact`], but rounds to the nearest part, half upwards: for sources that were written from binary fractions, and
/// whose last digits are noise.
///
/// # Errors
/// It is no such number.
pub fn nearest(text: &str, places: u32) -> Result<u64, DecimalError> {
    scaled(text, places).map(|(value, _)| value)
}

/// Writes a whole number of `10^-places` as a decimal, without trailing zeros.
pub fn write(value: u64, places: u32) -> String {
    let unit = 10u64.pow(places.min(19));
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = format!("{rest:0width$}", width = places as usize);
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// The rounded value, and whether nothing was lost.
fn scaled(text: &str, places: u32) -> Result<(u64, bool), DecimalError> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (
            number,
            exponent.parse::<i32>().map_err(|_| DecimalError::NoNumber)?,
        ),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(DecimalError::NoNumber);
    }
    let digits: Vec<u8> = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| byte - b'0')
        .collect();
    let places = i64::from(places) + i64::from(exponent);
    // So many digits stand before the decimal point of the result.
    let point = i64::try_from(whole.len()).map_err(|_| DecimalError::TooLarge)? + places;
    let digit = |at: i64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| digits.get(at))
            .copied()
            .unwrap_or(0)
    };
    let first = digits.iter().position(|digit| *digit != 0);
    let Some(first) = first else {
        return Ok((0, true));
    };
    let first = i64::try_from(first).map_err(|_| DecimalError::TooLarge)?;
    if point - first > 20 {
        return Err(DecimalError::TooLarge);
    }
    let mut value = 0u64;
    for at in first.min(point)..point {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit(at))))
            .ok_or(DecimalError::TooLarge)?;
    }
    let from = usize::try_from(point.max(0)).unwrap_or(0);
    let is_exact = digits.iter().skip(from).all(|digit| *digit == 0);
    if digit(point) >= 5 {
        value = value.checked_add(1).ok_or(DecimalError::TooLarge)?;
    }
    Ok((value, is_exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, value) in [
            ("2.5", 2_500_000),
            ("0", 0),
            ("0.0", 0),
            ("10", 10_000_000),
            ("0.000001", 1),
            ("1e-06", 1),
            ("1.5E1", 15_000_000),
            ("0.0375e+1", 375_000),
            ("18446744073709.551615", u64::MAX),
            ("1e-400", 0),
        ] {
            let exactly = exact(text, 6);
            if text == "1e-400" {
                assert_eq!(exactly, Err(DecimalError::TooFine(6)));
            } else {
                assert_eq!(exactly, Ok(value), "{text}");
            }
            assert_eq!(nearest(text, 6), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_told_or_rounded() {
        assert_eq!(exact("0.0000001", 6), Err(DecimalError::TooFine(6)));
        assert_eq!(nearest("0.0000005", 6), Ok(1));
        assert_eq!(nearest("0.0000004999", 6), Ok(0));
        // Noise of a binary fraction.
        assert_eq!(nearest("1.8750000000000003e-06", 12), Ok(1_875_000));
        assert_eq!(nearest("7.499999999999999e-07", 12), Ok(750_000));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "", "-1", "+1", "1.", ".5", "1_0", "NaN", "inf", "1e", "1e1.5", "0x1", "1 ", "\"1\"",
        ] {
            assert_eq!(exact(text, 6), Err(DecimalError::NoNumber), "{text}");
        }
        for text in [
            "18446744073709.551616",
            "1e30",
            "99999999999999999999999",
            "1e2147483647",
        ] {
            assert_eq!(exact(text, 6), Err(DecimalError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_decimal_is_written_as_people_write_it() {
        for (value, text) in [(2_500_000, "2.5"), (0, "0"), (1, "0.000001"), (12_000_000, "12")] {
            assert_eq!(write(value, 6), text);
            assert_eq!(exact(text, 6), Ok(value));
        }
    }
}
