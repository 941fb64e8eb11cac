//! What one model costs: rates by kind of token, and when they apply.

/// A kind of tokens that may have a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Input that no cache is involved in and that has no price of its own.
    Input,
    /// Output that has no price of its own.
    Output,
    /// Input read from the provider's cache.
    CacheRead,
    /// Input written to the provider's cache, for minutes.
    CacheWrite,
    /// Input written to the provider's cache for an hour.
    CacheWrite1h,
    /// Output spent on reasoning.
    Reasoning,
    /// Audio in.
    AudioInput,
    /// Audio out.
    AudioOutput,
    /// Images in.
    ImageInput,
    /// Images out.
    ImageOutput,
    /// Video in.
    VideoInput,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 11] = [
        Kind::Input,
        Kind::Output,
        Kind::CacheRead,
        Kind::CacheWrite,
        Kind::CacheWrite1h,
        Kind::Reasoning,
        Kind::AudioInput,
        Kind::AudioOutput,
        Kind::ImageInput,
        Kind::ImageOutput,
        Kind::VideoInput,
    ];

    /// The name in price packs and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Output => "output",
            Kind::CacheRead => "cache_read",
            Kind::CacheWrite => "cache_write",
            Kind::CacheWrite1h => "cache_write_1h",
            Kind::Reasoning => "reasoning",
            Kind::AudioInput => "audio_input",
            Kind::AudioOutput => "audio_output",
            Kind::ImageInput => "image_input",
            Kind::ImageOutput => "image_output",
            Kind::VideoInput => "video_input",
        }
    }

    /// The kind of this name.
    pub fn find(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Prices by kind in pico-dollars per token, which is the same number as micro-dollars per million tokens. Kinds without a
/// price of their own have none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rates([u64; Kind::ALL.len()]);

/// Stands for no price: larger than any that can be written down.
const NONE: u64 = u64::MAX;

/// The largest price: a thousand dollars a token.
pub const HIGHEST_RATE: u64 = 1_000_000_000_000_000;

impl Default for Rates {
    fn default() -> Self {
        Rates([NONE; Kind::ALL.len()])
    }
}

impl Rates {
    /// The price stated for this kind.
    pub fn stated(&self, kind: Kind) -> Option<u64> {
        self.0.get(kind.index()).copied().filter(|rate| *rate != NONE)
    }

    /// States the price of a kind; prices beyond [`HIGHEST_RATE`] count as that.
    pub fn state(&mut self, kind: Kind, rate: u64) {
        if let Some(place) = self.0.get_mut(kind.index()) {
            *place = rate.min(HIGHEST_RATE);
        }
    }

    /// These rates with one more.
    #[must_use]
    pub fn with(mut self, kind: Kind, rate: u64) -> Rates {
        self.state(kind, rate);
        self
    }

    /// All stated prices.
    pub fn all(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| self.stated(kind).map(|rate| (kind, rate)))
    }

    /// The stated prices of `self`, and those of `below` where it states none.
    pub(super) fn over(&self, below: &Rates) -> Rates {
        let mut rates = *below;
        for (kind, rate) in self.all() {
            rates.state(kind, rate);
        }
        rates
    }
}

/// Rates that apply to all tokens of a call with a long prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Long {
    /// The prompt must have more tokens than this, those of caches included.
    pub above: u64,
    /// The rates then; what they do not state costs what it costs below.
    pub rates: Rates,
}

/// The rates of one tier of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tier {
    /// The rates of ordinary prompts.
    pub rates: Rates,
    /// Other rates for longer prompts, the shortest first.
    pub long: Vec<Long>,
}

/// A tier of service with prices of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Answered within a day.
    Batch,
    /// Answered when there is room.
    Flex,
    /// Answered first.
    Priority,
}

impl Service {
    /// All tiers but the ordinary one.
    pub const ALL: [Service; 3] = [Service::Batch, Service::Flex, Service::Priority];

    /// The name in price packs and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Batch => "batch",
            Service::Flex => "flex",
            Service::Priority => "priority",
        }
    }
}

/// What a model costs at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The ordinary tier of service.
    pub standard: Tier,
    /// Other tiers of service; at most one entry each.
    pub services: Vec<(Service, Tier)>,
    /// Other rates of the ordinary tier at certain hours.
    pub off_peak: Option<OffPeak>,
    /// Pico-dollars for a request.
    pub per_request: Option<u64>,
    /// Pico-dollars for a search that the provider makes.
    pub per_search: Option<u64>,
    /// Whether a call costs more than can be said here, such as fees that depend on the size of a search.
    pub is_incomplete: bool,
}

impl Offer {
    /// The rates of a tier of service.
    pub fn service(&self, service: Service) -> Option<&Tier> {
        self.services
            .iter()
            .find(|(name, _)| *name == service)
            .map(|(_, tier)| tier)
    }
}

/// Rates at certain hours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffPeak {
    /// The rates then; what they do not state costs what it costs at other hours.
    pub rates: Rates,
    /// When.
    pub times: Vec<Hours>,
}

/// Hours of some days of the week, by universal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Bit 0 is Monday, bit 6 Sunday.
    pub days: u8,
    /// The first minute of the day that belongs to it.
    pub from: u16,
    /// The first minute that does not; 1440 is midnight.
    pub until: u16,
}

impl Hours {
    /// Whether a moment belongs to it, in seconds since 1970.
    pub fn contains(&self, at: i64) -> bool {
        let day = at.div_euclid(SECONDS_PER_DAY);
        let minute = at.rem_euclid(SECONDS_PER_DAY) / 60;
        // 1970 began on a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        self.days & (1 << weekday) != 0 && (i64::from(self.from)..i64::from(self.until)).contains(&minute)
    }
}

/// An offer that is or was valid for some time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dated {
    /// The first day, in days since 1970; `None` is since ever.
    pub from: Option<i32>,
    /// The first day on which it is no longer valid; `None` is for ever.
    pub until: Option<i32>,
    /// What the model costs then.
    pub offer: Offer,
}

impl Dated {
    fn contains(&self, day: i64) -> bool {
        self.from.is_none_or(|from| i64::from(from) <= day)
            && self.until.is_none_or(|until| day < i64::from(until))
    }
}

/// What a model costs at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Price {
    /// The source that says so; a key of the pack's sources.
    pub source: String,
    /// What it costs where no other time is stated.
    pub offer: Offer,
    /// What it costs at other times; they do not overlap.
    pub dated: Vec<Dated>,
}

impl Price {
    /// What it costs at a moment, in seconds since 1970.
    pub fn at(&self, seconds: i64) -> &Offer {
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        self.dated
            .iter()
            .find(|dated| dated.contains(day))
            .map_or(&self.offer, |dated| &dated.offer)
    }

    /// All offers, today's first.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        std::iter::once(&self.offer).chain(self.dated.iter().map(|dated| &dated.offer))
    }

    /// Whether both cost the same at any time, whoever says so.
    pub fn costs_as(&self, other: &Price) -> bool {
        self.offer == other.offer && self.dated == other.dated
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), place);
            assert_eq!(Kind::find(kind.name()), Some(kind));
        }
    }

    #[test]
    fn hours_are_those_of_universal_time() {
        // Saturday, 2026-11-21, 12:30.
        let at = 1_795_264_200;
        let hours = |days, from, until| Hours { days, from, until };
        assert!(hours(0b010_0000, 750, 751).contains(at));
        assert!(!hours(0b010_0000, 751, 1440).contains(at));
        assert!(!hours(0b010_0000, 0, 750).contains(at));
        assert!(!hours(0b101_1111, 0, 1440).contains(at));
    }

    #[test]
    fn a_price_is_valid_from_its_first_day_and_not_on_its_last() {
        let offer = |rate| Offer {
            standard: Tier {
                rates: Rates::default().with(Kind::Input, rate),
                ..Tier::default()
            },
            ..Offer::default()
        };
        let price = Price {
            offer: offer(1),
            dated: vec![Dated {
                from: Some(10),
                until: Some(12),
                offer: offer(2),
            }],
            ..Price::default()
        };
        let on = |day: i64, second| {
            price
                .at(day * SECONDS_PER_DAY + second)
                .standard
                .rates
                .stated(Kind::Input)
        };
        assert_eq!(on(9, SECONDS_PER_DAY - 1), Some(1));
        assert_eq!(on(10, 0), Some(2));
        assert_eq!(on(11, SECONDS_PER_DAY - 1), Some(2));
        assert_eq!(on(12, 0), Some(1));
    }
}
