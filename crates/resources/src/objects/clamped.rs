//! Reads whole numbers that a schema leaves unbounded into the integers that the gateway counts with: what is too large for
//! them means the largest, so that everything that may be stored can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub(super) fn to_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Whole::deserialize(deserializer)?.into())
}

pub(super) fn to_i32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let wide = Whole::deserialize(deserializer)?.wide();
    Ok(i32::try_from(wide).unwrap_or(if wide < 0 { i32::MIN } else { i32::MAX }))
}

pub(super) fn to_i64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let wide = Whole::deserialize(deserializer)?.wide();
    Ok(i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX }))
}

pub(super) fn to_u64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let wide = Whole::deserialize(deserializer)?.wide();
    Ok(u64::try_from(wide.max(0)).unwrap_or(u64::MAX))
}

pub(super) fn to_optional_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<Whole>::deserialize(deserializer)?.map(u32::from))
}

pub(super) fn to_weights<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, u32>, D::Error> {
    let weights = BTreeMap::<String, Whole>::deserialize(deserializer)?;
    Ok(weights
        .into_iter()
        .map(|(address, weight)| (address, weight.into()))
        .collect())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    Signed(i64),
    Unsigned(u64),
    /// Written with a point or an exponent. The schema has seen to it that nothing follows the point.
    Float(f64),
}

impl Whole {
    fn wide(&self) -> i128 {
        match self {
            Whole::Signed(number) => (*number).into(),
            Whole::Unsigned(number) => (*number).into(),
            Whole::Float(number) => *number as i128,
        }
    }
}

impl From<Whole> for u32 {
    fn from(number: Whole) -> u32 {
        u32::try_from(number.wide().max(0)).unwrap_or(u32::MAX)
    }
}
