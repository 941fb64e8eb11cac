//! Durations and sizes as people write them: a number with its unit.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A length of time in milliseconds, written `250ms`, `5s`, `2m` or `1h`.
pub(crate) type Duration = Measure<Time>;

/// A long time in seconds, written `90s`, `15m`, `1h` or `30d`.
pub(crate) type Age = Measure<Days>;

/// How long something is kept, in seconds, written `12h`, `30d` or `400d`.
pub(crate) type Kept = Measure<Years>;

/// A number of bytes, written `512B`, `64KiB`, `32MiB` or `1GiB`.
pub(crate) type Size = Measure<Bytes>;

/// A whole number of a [`Unit`]'s smallest step, above zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure<U> {
    value: u64,
    unit: PhantomData<U>,
}

impl<U> Measure<U> {
    /// The value in the smallest step of the unit.
    pub(crate) fn value(self) -> u64 {
        self.value
    }
}

pub(crate) trait Unit {
    const NAME: &'static str;
    /// What is measured and how it is written, for messages.
    const EXPECTED: &'static str;
    /// Suffixes with their factor.
    const SUFFIXES: &'static [(&'static str, u64)];
    /// The largest value that is taken, in the smallest step.
    const MOST: u64;
    const MOST_WRITTEN: &'static str;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Time;

impl Unit for Time {
    const NAME: &'static str = "Duration";
    const EXPECTED: &'static str = "a time with its unit, such as `250ms`, `5s` or `2m`";
    const SUFFIXES: &'static [(&'static str, u64)] =
        &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    const MOST: u64 = 24 * 3_600_000;
    const MOST_WRITTEN: &'static str = "24h";
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Days;

impl Unit for Days {
    const NAME: &'static str = "Age";
    const EXPECTED: &'static str = "a time with its unit, such as `15m`, `1h` or `30d`";
    const SUFFIXES: &'static [(&'static str, u64)] = &[("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    const MOST: u64 = 365 * 86_400;
    const MOST_WRITTEN: &'static str = "365d";
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Years;

impl Unit for Years {
    const NAME: &'static str = "Kept";
    const EXPECTED: &'static str = "a time with its unit, such as `12h`, `30d` or `400d`";
    const SUFFIXES: &'static [(&'static str, u64)] = &[("h", 3_600), ("d", 86_400)];
    const MOST: u64 = 3650 * 86_400;
    const MOST_WRITTEN: &'static str = "3650d";
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes;

impl Unit for Bytes {
    const NAME: &'static str = "Size";
    const EXPECTED: &'static str = "a size with its unit, such as `64KiB` or `32MiB`";
    const SUFFIXES: &'static [(&'static str, u64)] = &[
        ("B", 1),
        ("KiB", 1024),
        ("MiB", 1024 * 1024),
        ("GiB", 1024 * 1024 * 1024),
    ];
    const MOST: u64 = 1024 * 1024 * 1024;
    const MOST_WRITTEN: &'static str = "1GiB";
}

fn parse<U: Unit>(text: &str) -> Result<u64, String> {
    let expected = || format!("expected {}", U::EXPECTED);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let suffix = suffix.trim_start();
    let factor = U::SUFFIXES
        .iter()
        .find(|(name, _)| *name == suffix)
        .map(|(_, factor)| *factor)
        .ok_or_else(expected)?;
    if number.is_empty() {
        return Err(expected());
    }
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
    {
        Some(0) => Err("must be more than 0".to_owned()),
        Some(value) if value <= U::MOST => Ok(value),
        _ => Err(format!("must be at most {}", U::MOST_WRITTEN)),
    }
}

impl<'de, U: Unit> Deserialize<'de> for Measure<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<U>(PhantomData<U>);

        impl<U: Unit> Visitor<'_> for Text<U> {
            type Value = Measure<U>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(U::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Measure<U>, E> {
                parse::<U>(text)
                    .map(|value| Measure {
                        value,
                        unit: PhantomData,
                    })
                    .map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<U: Unit> schemars::JsonSchema for Measure<U> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        U::NAME.into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let suffixes: Vec<&str> = U::SUFFIXES.iter().map(|(name, _)| *name).collect();
        schemars::json_schema!({
            "type": "string",
            "pattern": format!("^[0-9]+ *({})$", suffixes.join("|")),
            "description": format!("Expects {}.", U::EXPECTED),
        })
    }
}

/// A decimal number that is not negative, kept as it was written: `2.5`, `0.00125`.
#[derive(Clone, Debug)]
pub(crate) struct Dollars(String);

impl Dollars {
    /// The number as a whole number of `10^-places`, at most 15.
    ///
    /// # Errors
    /// It is none, or has more decimal places; the text says what is allowed.
    pub(crate) fn parts(&self, places: u32) -> Result<u64, String> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err("must be a number that is not negative, such as `2.5`".to_owned());
        }
        let fraction = fraction.trim_end_matches('0');
        let Some(missing) = places.checked_sub(u32::try_from(fraction.len()).unwrap_or(u32::MAX)) else {
            return Err(format!("must have at most {places} decimal places"));
        };
        let digits = format!("{whole}{fraction}");
        let parts = digits
            .parse::<u64>()
            .ok()
            .and_then(|parts| parts.checked_mul(10u64.checked_pow(missing)?));
        parts.ok_or_else(|| "is too large".to_owned())
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Dollars;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in US dollars, such as `2.5`")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Dollars, E> {
                Ok(Dollars(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Dollars, E> {
                Ok(Dollars(value.to_string()))
            }

            /// The shortest decimal that means this number is what was written, if that had 15 digits or fewer.
            fn visit_f64<E>(self, value: f64) -> Result<Dollars, E> {
                Ok(Dollars(value.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Dollars, E> {
                Ok(Dollars(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

impl schemars::JsonSchema for Dollars {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dollars".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)?$",
            "description": "An amount in US dollars, kept exactly, such as `2.5`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        let parts = |text: &str, places| Dollars(text.to_owned()).parts(places);
        for (text, value) in [
            ("2.5", 2_500_000),
            ("10", 10_000_000),
            ("0", 0),
            ("0.000001", 1),
            ("1.1000000", 1_100_000),
        ] {
            assert_eq!(parts(text, 6), Ok(value), "{text}");
        }
        assert!(parts("0.0000001", 6).unwrap_err().contains("6 decimal places"));
        for text in ["", "-1", ".5", "1e3", "NaN", "inf", "1,5"] {
            assert!(parts(text, 6).unwrap_err().contains("not negative"), "{text}");
        }
        assert_eq!(parts("99999999999999999", 6), Err("is too large".to_owned()));
    }

    #[test]
    fn a_number_with_a_unit_is_read_in_the_smallest_step() {
        assert_eq!(parse::<Time>("250ms"), Ok(250));
        assert_eq!(parse::<Time>("5s"), Ok(5_000));
        assert_eq!(parse::<Time>("2 m"), Ok(120_000));
        assert_eq!(parse::<Bytes>("64KiB"), Ok(65_536));
        assert_eq!(parse::<Days>("30d"), Ok(2_592_000));
        assert_eq!(parse::<Days>("366d"), Err("must be at most 365d".to_owned()));
    }

    #[test]
    fn without_unit_or_number_the_expected_form_is_told() {
        for text in ["5", "", "s", "-5s", "1.5s", "5 sec", "5S"] {
            assert!(
                parse::<Time>(text).unwrap_err().contains("such as `250ms`"),
                "{text}"
            );
        }
        assert!(parse::<Bytes>("32MB").is_err());
    }

    #[test]
    fn zero_and_more_than_the_most_are_refused() {
        assert_eq!(parse::<Time>("0s"), Err("must be more than 0".to_owned()));
        assert_eq!(parse::<Time>("24h"), Ok(Time::MOST));
        assert_eq!(parse::<Time>("86400001ms"), Err("must be at most 24h".to_owned()));
        assert_eq!(
            parse::<Time>("99999999999999999999h"),
            Err("must be at most 24h".to_owned())
        );
    }
}
