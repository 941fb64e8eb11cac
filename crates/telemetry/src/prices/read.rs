//! Reading a price pack: every field is checked, every mistake is told with its place, numbers are read exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use super::decimal;
use super::pack::{FORMAT, PLACES_OF_FEES, PLACES_PER_MILLION, Pack, Source};
use super::price::{Dated, HIGHEST_RATE, Hours, Kind, Long, OffPeak, Offer, Price, Rates, Service, Tier};

/// Why a price pack is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("; "))]
pub struct PackError(
    /// Every mistake with its place, the first twenty.
    pub Vec<String>,
);

/// A pack larger than this is none, in bytes. The built-in one is a twentieth of it.
pub const LARGEST_PACK: usize = 32 * 1024 * 1024;

/// More mistakes than this help nobody.
const MOST_MISTAKES: usize = 20;

impl Pack {
    /// Reads a pack.
    ///
    /// # Errors
    /// It is no JSON, or there are mistakes in it; all are told, with their places.
    pub fn from_json(text: &[u8]) -> Result<Pack, PackError> {
        if text.len() > LARGEST_PACK {
            return Err(PackError(vec![format!("is larger than {LARGEST_PACK} bytes")]));
        }
        let root: Object<'_> =
            serde_json::from_slice(text).map_err(|error| PackError(vec![error.to_string()]))?;
        let mut reader = Reader::default();
        let pack = reader.pack(root);
        match (pack, reader.mistakes) {
            (Some(pack), mistakes) if mistakes.is_empty() => Ok(pack),
            (_, mistakes) => Err(PackError(mistakes)),
        }
    }
}

/// An object with its members as they are written; a name that occurs twice is an error.
pub(super) struct Object<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` occurs twice")));
                    }
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
    path: Vec<String>,
}

impl Reader {
    fn pack(&mut self, root: Object<'_>) -> Option<Pack> {
        let mut pack = Pack::default();
        let mut missing = vec!["format", "version", "currency", "unit", "sources", "providers"];
        for (name, raw) in root.0 {
            missing.retain(|member| *member != name);
            self.at(&name, |reader| match name.as_str() {
                "format" => {
                    if raw.get() != FORMAT.to_string() {
                        reader.mistake(format!("must be {FORMAT}, the only format there is"));
                    }
                }
                "version" => pack.version = reader.text(raw).unwrap_or_default(),
                "currency" => reader.constant(raw, "USD"),
                "unit" => reader.constant(raw, "per million tokens"),
                "sources" => {
                    for (name, raw) in reader.members(raw) {
                        let source = reader.at(&name, |reader| reader.source(raw));
                        pack.sources.insert(name, source);
                    }
                }
                "providers" => {
                    for (provider, raw) in reader.members(raw) {
                        let models = reader.at(&provider, |reader| reader.models(raw));
                        pack.providers.insert(provider, models);
                    }
                }
                _ => reader.unknown(),
            });
        }
        for member in missing {
            self.at(member, |reader| reader.mistake("is missing"));
        }
        for (provider, models) in &pack.providers {
            let stray = models
                .iter()
                .find(|(_, price)| !pack.sources.contains_key(&price.source));
            if let Some((model, price)) = stray {
                self.at("providers", |reader| {
                    reader.at(provider, |reader| {
                        reader.at(model, |reader| {
                            reader.mistake(format!("`source`: `{}` is not among the sources", price.source));
                        });
                    });
                });
            }
        }
        Some(pack)
    }

    fn source(&mut self, raw: &RawValue) -> Source {
        let mut source = Source::default();
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| match name.as_str() {
                "source" => source.source = reader.text(raw).unwrap_or_default(),
                "licence" => source.licence = reader.text(raw).unwrap_or_default(),
                "retrieved" => {
                    reader.day(raw);
                    source.retrieved = reader.text(raw).unwrap_or_default();
                }
                _ => reader.unknown(),
            });
        }
        for (name, value) in [
            ("source", &source.source),
            ("licence", &source.licence),
            ("retrieved", &source.retrieved),
        ] {
            if value.is_empty() {
                self.mistake(format!("`{name}` is missing"));
            }
        }
        source
    }

    fn models(&mut self, raw: &RawValue) -> BTreeMap<String, Arc<Price>> {
        let mut models = BTreeMap::new();
        for (model, raw) in self.members(raw) {
            let price = self.at(&model, |reader| reader.price(raw));
            models.insert(model, Arc::new(price));
        }
        models
    }

    fn price(&mut self, raw: &RawValue) -> Price {
        let mut price = Price::default();
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| match name.as_str() {
                "source" => price.source = reader.text(raw).unwrap_or_default(),
                "dated" => price.dated = reader.list(raw, Self::dated),
                _ => reader.of_offer(&name, raw, &mut price.offer),
            });
        }
        self.check_offer(&price.offer);
        let mut spans: Vec<(i32, i32)> = price
            .dated
            .iter()
            .map(|dated| (dated.from.unwrap_or(i32::MIN), dated.until.unwrap_or(i32::MAX)))
            .collect();
        spans.sort_unstable();
        if spans.windows(2).any(|pair| matches!(pair, [a, b] if a.1 > b.0)) {
            self.mistake("`dated` has times that overlap");
        }
        price
    }

    fn dated(&mut self, raw: &RawValue) -> Dated {
        let mut dated = Dated {
            from: None,
            until: None,
            offer: Offer::default(),
        };
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| match name.as_str() {
                "from" => dated.from = reader.day(raw),
                "until" => dated.until = reader.day(raw),
                _ => reader.of_offer(&name, raw, &mut dated.offer),
            });
        }
        self.check_offer(&dated.offer);
        match (dated.from, dated.until) {
            (None, None) => self.mistake("must have `from` or `until`"),
            (Some(from), Some(until)) if from >= until => self.mistake("`until` must be after `from`"),
            _ => {}
        }
        dated
    }

    /// One member of an offer.
    fn of_offer(&mut self, name: &str, raw: &RawValue, offer: &mut Offer) {
        if let Some(service) = Service::ALL.into_iter().find(|service| service.name() == name) {
            let mut tier = Tier::default();
            for (name, raw) in self.members(raw) {
                self.at(&name, |reader| {
                    if !reader.of_tier(&name, raw, &mut tier) {
                        reader.unknown();
                    }
                });
            }
            self.check_tier(&tier);
            offer.services.push((service, tier));
            offer.services.sort_unstable_by_key(|(service, _)| *service);
            return;
        }
        match name {
            "off_peak" => offer.off_peak = Some(self.off_peak(raw)),
            "per_request" => offer.per_request = self.number(raw, PLACES_OF_FEES),
            "per_search" => offer.per_search = self.number(raw, PLACES_OF_FEES),
            "incomplete" => match raw.get() {
                "true" => offer.is_incomplete = true,
                _ => self.mistake("must be true, or left out"),
            },
            _ => {
                if !self.of_tier(name, raw, &mut offer.standard) {
                    self.unknown();
                }
            }
        }
    }

    fn check_offer(&mut self, offer: &Offer) {
        if offer.per_request.is_none() {
            self.check_tier(&offer.standard);
        }
    }

    fn check_tier(&mut self, tier: &Tier) {
        if tier.rates.all().next().is_none() {
            self.mistake("states no price");
        }
        if !tier.long.is_sorted_by(|a, b| a.above < b.above) {
            self.mistake("`long` must rise in `above`");
        }
    }

    /// One member of a tier; `false` if it is none.
    fn of_tier(&mut self, name: &str, raw: &RawValue, tier: &mut Tier) -> bool {
        if name == "long" {
            tier.long = self.list(raw, Self::long);
            return true;
        }
        self.of_rates(name, raw, &mut tier.rates)
    }

    fn long(&mut self, raw: &RawValue) -> Long {
        let mut long = Long {
            above: 0,
            rates: Rates::default(),
        };
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| {
                if name == "above" {
                    long.above = reader.number(raw, 0).unwrap_or(0);
                } else if !reader.of_rates(&name, raw, &mut long.rates) {
                    reader.unknown();
                }
            });
        }
        if long.above == 0 {
            self.mistake("`above` must be at least 1");
        }
        long
    }

    fn off_peak(&mut self, raw: &RawValue) -> OffPeak {
        let mut off_peak = OffPeak {
            rates: Rates::default(),
            times: Vec::new(),
        };
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| {
                if name == "times" {
                    off_peak.times = reader.list(raw, Self::hours);
                } else if !reader.of_rates(&name, raw, &mut off_peak.rates) {
                    reader.unknown();
                }
            });
        }
        off_peak
    }

    fn hours(&mut self, raw: &RawValue) -> Hours {
        let mut hours = Hours {
            days: 0,
            from: 0,
            until: 0,
        };
        for (name, raw) in self.members(raw) {
            self.at(&name, |reader| match name.as_str() {
                "days" => {
                    for day in reader.list(raw, |reader, raw| reader.number(raw, 0)) {
                        match day {
                            Some(day @ 1..=7) => hours.days |= 1 << (day - 1),
                            _ => reader.mistake("must be days from 1 (Monday) to 7"),
                        }
                    }
                }
                "from" => hours.from = reader.clock(raw),
                "until" => hours.until = reader.clock(raw),
                _ => reader.unknown(),
            });
        }
        if hours.days == 0 || hours.from >= hours.until {
            self.mistake("must have `days`, and `until` after `from`");
        }
        hours
    }

    /// One price; `false` if no kind of tokens has this name.
    fn of_rates(&mut self, name: &str, raw: &RawValue, rates: &mut Rates) -> bool {
        let Some(kind) = Kind::find(name) else {
            return false;
        };
        if let Some(rate) = self.number(raw, PLACES_PER_MILLION) {
            if rate > HIGHEST_RATE {
                self.mistake("is too large");
            }
            rates.state(kind, rate);
        }
        true
    }

    fn number(&mut self, raw: &RawValue, places: u32) -> Option<u64> {
        decimal::exact(raw.get(), places)
            .inspect_err(|error| self.mistake(error.to_string()))
            .ok()
    }

    fn text(&mut self, raw: &RawValue) -> Option<String> {
        let text: Result<String, _> = serde_json::from_str(raw.get());
        match text {
            Ok(text) if !text.is_empty() => Some(text),
            _ => {
                self.mistake("must be a text that is not empty");
                None
            }
        }
    }

    fn constant(&mut self, raw: &RawValue, constant: &str) {
        if serde_json::from_str::<String>(raw.get()).ok().as_deref() != Some(constant) {
            self.mistake(format!("must be \"{constant}\""));
        }
    }

    fn day(&mut self, raw: &RawValue) -> Option<i32> {
        let text: Result<String, _> = serde_json::from_str(raw.get());
        let day = text.ok().and_then(|text| day_of(&text));
        if day.is_none() {
            self.mistake("must be a date, such as \"2026-11-20\"");
        }
        day
    }

    fn clock(&mut self, raw: &RawValue) -> u16 {
        let text: Result<String, _> = serde_json::from_str(raw.get());
        let minute = text.ok().and_then(|text| minute_of(&text));
        if minute.is_none() {
            self.mistake("must be a time from \"00:00\" to \"24:00\"");
        }
        minute.unwrap_or(0)
    }

    fn members<'a>(&mut self, raw: &'a RawValue) -> Vec<(String, &'a RawValue)> {
        match serde_json::from_str::<Object<'a>>(raw.get()) {
            Ok(object) => object.0,
            Err(error) if error.is_data() => {
                let text = error.to_string();
                let told = text.split(" at line").next().unwrap_or(&text);
                self.mistake(format!("must be an object: {told}"));
                Vec::new()
            }
            Err(_) => {
                self.mistake("must be an object");
                Vec::new()
            }
        }
    }

    fn list<T>(&mut self, raw: &RawValue, read: impl Fn(&mut Self, &RawValue) -> T) -> Vec<T> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            self.mistake("must be a list");
            return Vec::new();
        };
        items
            .into_iter()
            .enumerate()
            .map(|(place, raw)| self.at(&format!("[{place}]"), |reader| read(reader, raw)))
            .collect()
    }

    fn at<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step.to_owned());
        let value = read(self);
        self.path.pop();
        value
    }

    fn unknown(&mut self) {
        self.mistake("is no member that is known");
    }

    fn mistake(&mut self, problem: impl Into<String>) {
        if self.mistakes.len() >= MOST_MISTAKES {
            return;
        }
        let mut place = String::new();
        for step in &self.path {
            if !place.is_empty() && !step.starts_with('[') {
                place.push('.');
            }
            // A name from a file may be as long as the file.
            place.extend(step.chars().take(100));
        }
        self.mistakes.push(format!("{place}: {}", problem.into()));
    }
}

/// Days since 1970 of a date such as `2026-11-20`.
pub(super) fn day_of(text: &str) -> Option<i32> {
    let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == 10)?;
    let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
    Some(since.get_days())
}

/// The minute of the day of a time such as `08:30`.
pub(super) fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        let is_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| is_two)
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= 24 * 60).then_some(at)
}
