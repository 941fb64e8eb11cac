//! Values of a file with the limits that ADC's own check gives them. Numbers may be written as text, because a number
//! that comes from a variable is text.

use std::fmt;
use std::net::IpAddr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// Longest text of a field, in characters.
pub(super) const LONG: usize = 64 * 1024;

/// A text of `MIN` to `MAX` characters.
#[derive(Serialize)]
pub(super) struct Text<const MIN: usize, const MAX: usize>(pub(super) String);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = text.chars().count();
        if length < MIN {
            return Err(D::Error::custom(match MIN {
                1 => "must not be empty".to_owned(),
                _ => format!("too short: {length} characters, at least {MIN} are needed"),
            }));
        }
        if length > MAX {
            return Err(D::Error::custom(format_args!(
                "too long: {length} characters, at most {MAX} are allowed"
            )));
        }
        Ok(Text(text))
    }
}

/// A name or a host: a text that is not empty.
pub(super) type Name = Text<1, LONG>;

/// An id that somebody chose.
#[derive(Serialize)]
pub(super) struct Id(pub(super) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(id) = Text::<1, 256>::deserialize(deserializer)?;
        match id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            true => Ok(Id(id)),
            false => Err(D::Error::custom(
                "an id has letters, digits, `-`, `_` and `.` only",
            )),
        }
    }
}

/// The name of a consumer, which is also its id.
#[derive(Serialize)]
pub(super) struct Username(pub(super) String);

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(name) = Text::<1, 256>::deserialize(deserializer)?;
        match name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        {
            true => Ok(Username(name)),
            false => Err(D::Error::custom(
                "a username has letters, digits, `-` and `_` only",
            )),
        }
    }
}

/// An address or a network, IPv4 or IPv6.
#[derive(Serialize)]
pub(super) struct Network(String);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.as_str(), None),
        };
        let fits = match (address.parse::<IpAddr>(), bits) {
            (Err(_), _) => false,
            (Ok(_), None) => true,
            (Ok(address), Some(bits)) => bits
                .parse::<u8>()
                .is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 }),
        };
        match fits {
            true => Ok(Network(text)),
            false => Err(D::Error::custom(
                "expected an address such as 10.0.0.1 or a network such as 10.0.0.0/8 or 2001:db8::/32",
            )),
        }
    }
}

/// A certificate or a key in PEM of at least `MIN` characters, or a reference to a secret.
#[derive(Serialize)]
pub(super) struct Pem<const MIN: usize>(pub(super) String);

impl<'de, const MIN: usize> Deserialize<'de> for Pem<MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::<0, LONG>::deserialize(deserializer)?;
        let is_reference = text.starts_with("$secret://") || text.starts_with("$env://");
        match is_reference || text.chars().count() >= MIN {
            true => Ok(Pem(text)),
            false => Err(D::Error::custom(
                "expected PEM text, or a reference such as `$secret://manager/id/name` or `$env://NAME`",
            )),
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Whole<const MIN: i64, const MAX: i64>(pub(super) i64);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = || match (MIN, MAX) {
            (i64::MIN, _) => "expected a whole number".to_owned(),
            (_, i64::MAX) => format!("expected a whole number of at least {MIN}"),
            _ => format!("expected a whole number from {MIN} to {MAX}"),
        };
        let number = deserializer.deserialize_any(NumberVisitor(expected()))?;
        number
            .as_i64()
            .or_else(|| whole(number.as_f64()?))
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Whole)
            .ok_or_else(|| D::Error::custom(expected()))
    }
}

/// The whole number that a number with a decimal point stands for, such as 2 for `2.0`.
fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it not every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT)
        .then(|| format!("{number:.0}").parse().ok())
        .flatten()
}

/// A port.
pub(super) type Port = Whole<1, 65535>;

/// Any whole number; the ingress controller writes priorities beyond 32 bits.
pub(super) type AnyWhole = Whole<{ i64::MIN }, { i64::MAX }>;

/// A number of seconds, at least 0.
#[derive(Serialize)]
pub(super) struct Seconds(Number);

impl Seconds {
    pub(super) fn of(seconds: u32) -> Seconds {
        Seconds(seconds.into())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "expected a number of at least 0";
        let number = deserializer.deserialize_any(NumberVisitor(expected.to_owned()))?;
        match number.as_f64() {
            Some(value) if value >= 0.0 => Ok(Seconds(number)),
            _ => Err(D::Error::custom(expected)),
        }
    }
}

/// A number of seconds above 0.
#[derive(Serialize)]
pub(super) struct SomeSeconds(Seconds);

impl<'de> Deserialize<'de> for SomeSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = Seconds::deserialize(deserializer)?;
        match seconds.0.as_f64() {
            Some(value) if value > 0.0 => Ok(SomeSeconds(seconds)),
            _ => Err(D::Error::custom("expected a number above 0")),
        }
    }
}

/// A number, written as one or as text. Holds what to say when there is none.
struct NumberVisitor(String);

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_start_matches("expected "))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        Number::from_f64(value).ok_or_else(|| E::custom(self.0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        serde_json::from_str(text.trim()).map_err(|_| E::custom(self.0))
    }
}

/// What is wrong with a list that must not be empty.
pub(super) const NEEDS_AN_ITEM: &str = "needs at least one item";

/// A list that is not empty.
pub(super) struct Some1<T>(pub(super) Vec<T>);

impl<T: Serialize> Serialize for Some1<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Some1<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::deserialize(deserializer)?;
        match list.is_empty() {
            true => Err(D::Error::custom(NEEDS_AN_ITEM)),
            false => Ok(Some1(list)),
        }
    }
}

/// The configuration of a plugin: a map with anything in it.
#[derive(Serialize)]
pub(super) struct Conf(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for Conf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConfVisitor;

        impl<'de> Visitor<'de> for ConfVisitor {
            type Value = Conf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map, which may be empty: {}")
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Conf, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(entries)).map(Conf)
            }
        }

        // Not as a map itself, which would take nothing at all for an empty one.
        deserializer.deserialize_any(ConfVisitor)
    }
}

/// The value of a label: a text, or a list of texts, which the Admin API gets as JSON text.
#[derive(Serialize)]
pub(super) struct Label(String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelVisitor;

        impl<'de> Visitor<'de> for LabelVisitor {
            type Value = Label;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Label, E> {
                Ok(Label(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Label, A::Error> {
                let mut list: Vec<String> = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                serde_json::to_string(&list).map(Label).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(LabelVisitor)
    }
}
