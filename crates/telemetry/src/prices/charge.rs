//! What tokens cost at an offer.
//!
//! Every token is billed once: what was read from or written to a cache is no fresh input, audio and images are no text.

use super::price::{Kind, Offer, Rates, Service, Tier};
use super::{Cost, PriceState, Usd};
use crate::record::TokenUsage;

/// How a call was served, as far as its price depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// In the ordinary way.
    Standard,
    /// In a tier of service.
    Tier(Service),
    /// In a way whose price is not known here.
    Otherwise,
}

impl Served {
    /// The meaning of the word that a provider used for it.
    pub(super) fn read(word: Option<&str>) -> Served {
        let Some(word) = word else {
            return Served::Standard;
        };
        let is = |known: &[&str]| known.iter().any(|known| word.eq_ignore_ascii_case(known));
        if is(&["", "default", "standard", "standard_only", "auto", "on_demand"]) {
            Served::Standard
        } else if is(&["batch"]) {
            Served::Tier(Service::Batch)
        } else if is(&["flex", "on_demand_flex"]) {
            Served::Tier(Service::Flex)
        } else if is(&["priority", "on_demand_priority"]) {
            Served::Tier(Service::Priority)
        } else {
            Served::Otherwise
        }
    }
}

/// What `usage` costs, served at a moment in seconds since 1970.
pub(super) fn charge(offer: &Offer, usage: &TokenUsage, served: Served, at: i64) -> Cost {
    let counts = Counts::of(usage);
    if counts.is_nothing() && offer.per_request.is_none() {
        return Cost {
            estimated: usage.estimated,
            ..Cost::default()
        };
    }
    let Some(rates) = Applying::find(offer, served, usage.prompt, at) else {
        return Cost {
            estimated: usage.estimated,
            ..Cost::UNKNOWN
        };
    };
    let mut usd = Usd::ZERO;
    let (mut is_priced, mut is_missing) = (false, offer.is_incomplete);
    for (kind, tokens) in counts.told() {
        match rates.of(kind) {
            Some(rate) => {
                usd = usd + Usd::from_pico(u128::from(rate)).times(tokens);
                is_priced = true;
            }
            None => is_missing = true,
        }
    }
    if let Some(fee) = offer.per_request {
        usd = usd + Usd::from_pico(u128::from(fee));
        is_priced = true;
    }
    match offer.per_search {
        _ if usage.searches == 0 => {}
        Some(fee) => {
            usd = usd + Usd::from_pico(u128::from(fee)).times(usage.searches);
            is_priced = true;
        }
        None => is_missing = true,
    }
    Cost {
        usd,
        price: match (is_priced, is_missing) {
            (true, false) => PriceState::Known,
            (true, true) => PriceState::Partly,
            (false, _) => PriceState::Unknown,
        },
        estimated: usage.estimated || counts.may_overlap(&rates),
    }
}

/// Tokens by kind; each token counts once.
struct Counts {
    by_kind: [(Kind, u64); Kind::ALL.len()],
    /// Whether some input came from or went to a cache.
    has_cached: bool,
}

impl Counts {
    fn of(usage: &TokenUsage) -> Counts {
        let write_1h = usage.cache_write_1h.min(usage.cache_write);
        let mut text = usage
            .prompt
            .saturating_sub(usage.cached)
            .saturating_sub(usage.cache_write);
        let mut of_input = |count: u64| take(&mut text, count);
        let audio_input = of_input(usage.audio_input);
        let image_input = of_input(usage.image_input);
        let video_input = of_input(usage.video_input);
        let mut said = usage.completion;
        let mut of_output = |count: u64| take(&mut said, count);
        let reasoning = of_output(usage.reasoning);
        let audio_output = of_output(usage.audio_output);
        let image_output = of_output(usage.image_output);
        Counts {
            by_kind: [
                (Kind::Input, text),
                (Kind::Output, said),
                (Kind::CacheRead, usage.cached),
                (Kind::CacheWrite, usage.cache_write - write_1h),
                (Kind::CacheWrite1h, write_1h),
                (Kind::Reasoning, reasoning),
                (Kind::AudioInput, audio_input),
                (Kind::AudioOutput, audio_output),
                (Kind::ImageInput, image_input),
                (Kind::ImageOutput, image_output),
                (Kind::VideoInput, video_input),
            ],
            has_cached: usage.cached > 0 || usage.cache_write > 0,
        }
    }

    fn told(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.by_kind.into_iter().filter(|(_, tokens)| *tokens > 0)
    }

    fn is_nothing(&self) -> bool {
        self.told().next().is_none()
    }

    /// Whether it matters, and is not told, how much of the audio or of the images came from a cache. They are billed as if
    /// nothing of them had, which may be too much.
    fn may_overlap(&self, rates: &Applying<'_>) -> bool {
        self.has_cached
            && self.told().any(|(kind, _)| {
                matches!(kind, Kind::AudioInput | Kind::ImageInput | Kind::VideoInput)
                    && rates.of(kind) != rates.of(Kind::Input)
            })
    }
}

/// Takes at most `count` out of what is left.
fn take(left: &mut u64, count: u64) -> u64 {
    let taken = count.min(*left);
    *left -= taken;
    taken
}

/// The rates that apply to a call.
struct Applying<'a> {
    rates: Rates,
    /// The ordinary rates, where those of a tier of service apply.
    ordinary: Option<&'a Rates>,
}

impl<'a> Applying<'a> {
    /// `None` where no price is known for the way in which the call was served.
    fn find(offer: &'a Offer, served: Served, prompt: u64, at: i64) -> Option<Applying<'a>> {
        let standard = &offer.standard;
        match served {
            Served::Otherwise => None,
            Served::Standard => {
                let off_peak = offer
                    .off_peak
                    .as_ref()
                    .filter(|off_peak| off_peak.times.iter().any(|hours| hours.contains(at)));
                let rates = match off_peak {
                    Some(off_peak) => off_peak.rates.over(&standard.rates),
                    None => for_prompt(standard, prompt),
                };
                Some(Applying {
                    rates,
                    ordinary: None,
                })
            }
            Served::Tier(service) => {
                let tier = offer.service(service)?;
                // Long prompts have prices of their own, but nobody says which in this tier.
                let is_long = |tier: &Tier| tier.long.iter().any(|long| prompt > long.above);
                if is_long(standard) && !is_long(tier) {
                    return None;
                }
                Some(Applying {
                    rates: for_prompt(tier, prompt),
                    ordinary: Some(&standard.rates),
                })
            }
        }
    }

    /// What a token of this kind costs; `None` if that is not known.
    fn of(&self, kind: Kind) -> Option<u64> {
        if let Some(rate) = self.rates.stated(kind) {
            return Some(rate);
        }
        // What has a price of its own in the ordinary tier has one in this tier too, but nobody says which.
        if self.ordinary.is_some_and(|ordinary| {
            ordinary
                .stated(kind)
                .is_some_and(|own| Some(own) != ordinary.stated(instead_of(kind)))
        }) {
            return None;
        }
        match kind {
            Kind::CacheRead | Kind::CacheWrite | Kind::Reasoning | Kind::ImageInput | Kind::VideoInput => {
                self.rates.stated(instead_of(kind))
            }
            // Whoever asks for writing asks more for writing that lasts.
            Kind::CacheWrite1h if self.rates.stated(Kind::CacheWrite).is_none() => {
                self.rates.stated(Kind::Input)
            }
            // Audio, and images that a model makes, cost a multiple of text.
            Kind::CacheWrite1h
            | Kind::AudioInput
            | Kind::AudioOutput
            | Kind::ImageOutput
            | Kind::Input
            | Kind::Output => None,
        }
    }
}

/// The kind at whose price a kind is billed that has none of its own.
fn instead_of(kind: Kind) -> Kind {
    match kind {
        Kind::Output | Kind::Reasoning | Kind::AudioOutput | Kind::ImageOutput => Kind::Output,
        _ => Kind::Input,
    }
}

/// The rates for a prompt of that many tokens.
fn for_prompt(tier: &Tier, prompt: u64) -> Rates {
    let long = tier.long.iter().rev().find(|long| prompt > long.above);
    long.map_or(tier.rates, |long| long.rates.over(&tier.rates))
}
