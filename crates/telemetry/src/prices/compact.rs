//! The compact form of a price pack, for building it into the binary: equal prices are kept once, names are cut by what
//! they share with the name before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use thiserror::Error;

use super::pack::{Pack, Source};
use super::price::{Dated, Hours, Kind, Long, OffPeak, Offer, Price, Rates, Service, Tier};

/// Bytes that are no compact price pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no compact price pack")]
pub struct CompactError;

impl Pack {
    /// The compact form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.text(&self.version);
        out.count(self.sources.len());
        for (name, source) in &self.sources {
            for text in [name, &source.source, &source.licence, &source.retrieved] {
                out.text(text);
            }
        }
        let mut prices: Vec<&Price> = Vec::new();
        let mut places: HashMap<&Price, usize> = HashMap::new();
        for price in self.providers.values().flat_map(BTreeMap::values) {
            let price: &Price = price;
            places.entry(price).or_insert_with(|| {
                prices.push(price);
                prices.len() - 1
            });
        }
        out.count(prices.len());
        for price in prices {
            out.price(price);
        }
        out.count(self.providers.len());
        for (provider, models) in &self.providers {
            out.text(provider);
            out.count(models.len());
            let mut before = "";
            for (model, price) in models {
                let shared = shared(before, model);
                out.count(shared);
                out.text(model.get(shared..).unwrap_or_default());
                out.count(places.get(&**price).copied().unwrap_or_default());
                before = model;
            }
        }
        out.0
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// These bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Pack, CompactError> {
        let mut input = Reader(bytes);
        let mut pack = Pack {
            version: input.text()?,
            ..Pack::default()
        };
        for _ in 0..input.number()? {
            let name = input.text()?;
            let source = Source {
                source: input.text()?,
                licence: input.text()?,
                retrieved: input.text()?,
            };
            pack.sources.insert(name, source);
        }
        let prices: Vec<Arc<Price>> = input.list(|input| input.price().map(Arc::new))?;
        for _ in 0..input.number()? {
            let provider = input.text()?;
            let mut models = BTreeMap::new();
            let mut name = String::new();
            for _ in 0..input.number()? {
                let shared = input.place()?;
                name.truncate(name.floor_char_boundary(shared));
                name.push_str(&input.text()?);
                let price = prices.get(input.place()?).ok_or(CompactError)?;
                models.insert(name.clone(), price.clone());
            }
            pack.providers.insert(provider, models);
        }
        if input.0.is_empty() {
            Ok(pack)
        } else {
            Err(CompactError)
        }
    }
}

/// How many bytes two names share at their beginning, in whole characters.
fn shared(a: &str, b: &str) -> usize {
    let equal = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    b.floor_char_boundary(equal)
}

struct Writer(Vec<u8>);

impl Writer {
    /// Seven bits a byte, the lowest first; all but the last byte have the eighth bit.
    fn number(&mut self, mut value: u64) {
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// 0 for none.
    fn optional(&mut self, value: Option<u64>) {
        self.number(value.map_or(0, |value| value.saturating_add(1)));
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.count(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn price(&mut self, price: &Price) {
        self.text(&price.source);
        self.offer(&price.offer);
        self.list(&price.dated, |out, dated| {
            for day in [dated.from, dated.until] {
                // Days before 1970 are of no interest.
                out.optional(day.map(|day| u64::try_from(day).unwrap_or(0)));
            }
            out.offer(&dated.offer);
        });
    }

    fn offer(&mut self, offer: &Offer) {
        self.tier(&offer.standard);
        self.list(&offer.services, |out, (service, tier)| {
            out.count(
                Service::ALL
                    .iter()
                    .position(|known| known == service)
                    .unwrap_or(0),
            );
            out.tier(tier);
        });
        self.number(u64::from(offer.off_peak.is_some()));
        if let Some(off_peak) = &offer.off_peak {
            self.rates(&off_peak.rates);
            self.list(&off_peak.times, |out, hours| {
                for number in [u16::from(hours.days), hours.from, hours.until] {
                    out.number(number.into());
                }
            });
        }
        self.optional(offer.per_request);
        self.optional(offer.per_search);
        self.number(offer.is_incomplete.into());
    }

    fn tier(&mut self, tier: &Tier) {
        self.rates(&tier.rates);
        self.list(&tier.long, |out, long| {
            out.number(long.above);
            out.rates(&long.rates);
        });
    }

    /// A bit for each kind that has a price, then the prices. Most are whole hundredths of a cent per million tokens.
    fn rates(&mut self, rates: &Rates) {
        let stated = Kind::ALL
            .into_iter()
            .enumerate()
            .filter(|(_, kind)| rates.stated(*kind).is_some());
        self.number(stated.fold(0, |bits, (place, _)| bits | 1 << place));
        for (_, rate) in rates.all() {
            match rate % ROUND {
                0 => self.number((rate / ROUND) << 1),
                _ => self.number(rate << 1 | 1),
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, CompactError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(CompactError)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CompactError)
    }

    fn place(&mut self) -> Result<usize, CompactError> {
        usize::try_from(self.number()?).map_err(|_| CompactError)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, CompactError> {
        T::try_from(self.number()?).map_err(|_| CompactError)
    }

    fn text(&mut self) -> Result<String, CompactError> {
        let length = self.place()?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(CompactError)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| CompactError)
    }

    fn optional(&mut self) -> Result<Option<u64>, CompactError> {
        Ok(self.number()?.checked_sub(1))
    }

    fn day(&mut self) -> Result<Option<i32>, CompactError> {
        self.optional()?
            .map(|day| i32::try_from(day).map_err(|_| CompactError))
            .transpose()
    }

    fn list<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, CompactError>,
    ) -> Result<Vec<T>, CompactError> {
        (0..self.number()?).map(|_| read(self)).collect()
    }

    fn price(&mut self) -> Result<Price, CompactError> {
        Ok(Price {
            source: self.text()?,
            offer: self.offer()?,
            dated: self.list(|input| {
                Ok(Dated {
                    from: input.day()?,
                    until: input.day()?,
                    offer: input.offer()?,
                })
            })?,
        })
    }

    fn offer(&mut self) -> Result<Offer, CompactError> {
        Ok(Offer {
            standard: self.tier()?,
            services: self.list(|input| {
                let service = Service::ALL.get(input.place()?).ok_or(CompactError)?;
                Ok((*service, input.tier()?))
            })?,
            off_peak: match self.number()? {
                0 => None,
                _ => Some(OffPeak {
                    rates: self.rates()?,
                    times: self.list(|input| {
                        Ok(Hours {
                            days: input.small()?,
                            from: input.small()?,
                            until: input.small()?,
                        })
                    })?,
                }),
            },
            per_request: self.optional()?,
            per_search: self.optional()?,
            is_incomplete: self.number()? != 0,
        })
    }

    fn tier(&mut self) -> Result<Tier, CompactError> {
        Ok(Tier {
            rates: self.rates()?,
            long: self.list(|input| {
                Ok(Long {
                    above: input.number()?,
                    rates: input.rates()?,
                })
            })?,
        })
    }

    fn rates(&mut self) -> Result<Rates, CompactError> {
        let bits = self.number()?;
        let mut rates = Rates::default();
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            if bits & 1 << place != 0 {
                let number = self.number()?;
                rates.state(
                    kind,
                    match number & 1 {
                        0 => (number >> 1).saturating_mul(ROUND),
                        _ => number >> 1,
                    },
                );
            }
        }
        Ok(rates)
    }
}

/// A hundredth of a cent per million tokens, in pico-dollars per token.
const ROUND: u64 = 100;
