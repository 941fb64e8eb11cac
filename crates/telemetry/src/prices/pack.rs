//! A price pack: what every model of every provider costs, who says so and since when.
//!
//! Written as JSON (`data/prices.schema.json` describes it) with prices in US dollars per million tokens, as price lists
//! have them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::decimal;
use super::price::{Dated, Hours, Offer, Price, Rates, Tier};

/// The version of the format that is written and read.
pub const FORMAT: u64 = 1;

/// Prices in US dollars per million tokens have so many decimal places: one of the last is a pico-dollar per token.
pub const PLACES_PER_MILLION: u32 = 6;

/// Fees in US dollars have so many decimal places.
pub const PLACES_OF_FEES: u32 = 12;

/// Prices by provider and by the provider's name for the model. Models that cost the same may share a price.
pub type Listing = BTreeMap<String, BTreeMap<String, Arc<Price>>>;

/// What every model of every provider costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pack {
    /// Names this content: the date of the newest source and a hash, `2026-11-20.0123456789ab`.
    pub version: String,
    /// Who says so, by a short name.
    pub sources: BTreeMap<String, Source>,
    /// Prices by provider and by the provider's name for the model.
    pub providers: Listing,
}

/// Who says what models cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Where it was published, with its version.
    pub source: String,
    /// The licence of the publication.
    pub licence: String,
    /// When it was fetched, `2026-11-20`.
    pub retrieved: String,
}

impl Pack {
    /// A pack of these prices, with the version that their content gives.
    pub fn new(sources: BTreeMap<String, Source>, providers: Listing) -> Pack {
        let mut pack = Pack {
            version: String::new(),
            sources,
            providers,
        };
        let newest = pack
            .sources
            .values()
            .map(|source| source.retrieved.as_str())
            .max();
        pack.version = format!("{}.{}", newest.unwrap_or("0000-00-00"), pack.content_hash());
        pack
    }

    /// How many models have a price.
    pub fn model_count(&self) -> usize {
        self.providers.values().map(BTreeMap::len).sum()
    }

    /// Names the content: two packs with different prices have different hashes. It does not prove who made it.
    pub fn content_hash(&self) -> String {
        let mut text = String::new();
        self.write_content(&mut text);
        short_hash(text.as_bytes())
    }

    /// The pack as JSON, one line for each model.
    pub fn to_json(&self) -> String {
        let mut text = format!(
            "{{\n\"format\": {FORMAT},\n\"version\": {},\n\"currency\": \"USD\",\n\"unit\": \"per million tokens\",\n",
            quoted(&self.version)
        );
        self.write_content(&mut text);
        text.push_str("}\n");
        text
    }

    fn write_content(&self, text: &mut String) {
        text.push_str("\"sources\": {");
        let mut sources = Members::default();
        for (name, source) in &self.sources {
            sources.separate(text);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n{}: {{\"source\": {}, \"licence\": {}, \"retrieved\": {}}}",
                quoted(name),
                quoted(&source.source),
                quoted(&source.licence),
                quoted(&source.retrieved)
            );
        }
        text.push_str("\n},\n\"providers\": {");
        let mut providers = Members::default();
        for (provider, models) in &self.providers {
            providers.separate(text);
            let _ = write!(text, "\n{}: {{", quoted(provider));
            let mut lines = Members::default();
            for (model, price) in models {
                lines.separate(text);
                let _ = write!(text, "\n{}: ", quoted(model));
                write_price(text, price);
            }
            text.push_str("\n}");
        }
        text.push_str("\n}\n");
    }
}

/// The hash of some bytes as twelve digits (the upper 48 bits of 64-bit FNV-1a).
pub(super) fn short_hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:012x}", hash >> 16)
}

/// Days since 1970 as `2026-11-20`.
pub fn date_of(day: i32) -> String {
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().days(i64::from(day)))
        .map_or_else(|_| "9999-12-31".to_owned(), |date| date.to_string())
}

/// Puts commas between members.
#[derive(Default)]
struct Members {
    is_begun: bool,
}

impl Members {
    fn separate(&mut self, text: &mut String) {
        if self.is_begun {
            text.push(',');
        }
        self.is_begun = true;
    }

    fn name(&mut self, text: &mut String, name: &str) {
        if self.is_begun {
            text.push_str(", ");
        }
        self.is_begun = true;
        let _ = write!(text, "\"{name}\": ");
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write_price(text: &mut String, price: &Price) {
    text.push('{');
    let mut members = Members::default();
    members.name(text, "source");
    text.push_str(&quoted(&price.source));
    write_offer(text, &mut members, &price.offer);
    if !price.dated.is_empty() {
        members.name(text, "dated");
        write_list(text, &price.dated, write_dated);
    }
    text.push('}');
}

fn write_dated(text: &mut String, dated: &Dated) {
    text.push('{');
    let mut members = Members::default();
    for (name, day) in [("from", dated.from), ("until", dated.until)] {
        if let Some(day) = day {
            members.name(text, name);
            text.push_str(&quoted(&date_of(day)));
        }
    }
    write_offer(text, &mut members, &dated.offer);
    text.push('}');
}

fn write_offer(text: &mut String, members: &mut Members, offer: &Offer) {
    write_tier(text, members, &offer.standard);
    for (service, tier) in &offer.services {
        members.name(text, service.name());
        text.push('{');
        write_tier(text, &mut Members::default(), tier);
        text.push('}');
    }
    if let Some(off_peak) = &offer.off_peak {
        members.name(text, "off_peak");
        text.push('{');
        let mut inner = Members::default();
        write_rates(text, &mut inner, &off_peak.rates);
        inner.name(text, "times");
        write_list(text, &off_peak.times, write_hours);
        text.push('}');
    }
    for (name, fee) in [
        ("per_request", offer.per_request),
        ("per_search", offer.per_search),
    ] {
        if let Some(fee) = fee {
            members.name(text, name);
            text.push_str(&decimal::write(fee, PLACES_OF_FEES));
        }
    }
    if offer.is_incomplete {
        members.name(text, "incomplete");
        text.push_str("true");
    }
}

fn write_tier(text: &mut String, members: &mut Members, tier: &Tier) {
    write_rates(text, members, &tier.rates);
    if !tier.long.is_empty() {
        members.name(text, "long");
        write_list(text, &tier.long, |text, long| {
            let _ = write!(text, "{{\"above\": {}", long.above);
            write_rates(text, &mut Members { is_begun: true }, &long.rates);
            text.push('}');
        });
    }
}

fn write_rates(text: &mut String, members: &mut Members, rates: &Rates) {
    for (kind, rate) in rates.all() {
        members.name(text, kind.name());
        text.push_str(&decimal::write(rate, PLACES_PER_MILLION));
    }
}

fn write_hours(text: &mut String, hours: &Hours) {
    let days: Vec<String> = (0..7)
        .filter(|day| hours.days & (1 << day) != 0)
        .map(|day: u8| (day + 1).to_string())
        .collect();
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let _ = write!(
        text,
        "{{\"days\": [{}], \"from\": \"{}\", \"until\": \"{}\"}}",
        days.join(", "),
        clock(hours.from),
        clock(hours.until)
    );
}

fn write_list<T>(text: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    text.push('[');
    let mut members = Members::default();
    for item in items {
        members.separate(text);
        write(text, item);
    }
    text.push(']');
}
