//! What holds for any prices and any usage: packs survive being written, and costs add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_rates()(stated in prop::collection::vec(prop::option::of(0..=HIGHEST_RATE), Kind::ALL.len())) -> Rates {
        Kind::ALL.into_iter().zip(stated).fold(Rates::default(), |rates, (kind, rate)| match rate {
            Some(rate) => rates.with(kind, rate),
            None => rates,
        })
    }
}

prop_compose! {
    fn any_tier()(rates in any_rates(), steps in prop::collection::vec((1u64..1_000_000, any_rates()), 0..3)) -> Tier {
        let mut above = 0;
        let long = steps.into_iter().map(|(step, rates)| {
            above += step;
            Long { above, rates }
        });
        Tier { rates: rates.with(Kind::Input, 5), long: long.collect() }
    }
}

prop_compose! {
    fn any_offer()(
        standard in any_tier(),
        batch in prop::option::of(any_tier()),
        priority in prop::option::of(any_tier()),
        fees in (prop::option::of(0..HIGHEST_RATE), prop::option::of(0..HIGHEST_RATE)),
        off_peak in prop::option::of((any_rates(), 1u8..128, 0u16..1440)),
        is_incomplete: bool,
    ) -> Offer {
        let services = [(Service::Batch, batch), (Service::Priority, priority)];
        Offer {
            standard,
            services: services.into_iter().filter_map(|(name, tier)| Some((name, tier?))).collect(),
            off_peak: off_peak.map(|(rates, days, from)| OffPeak { rates, times: vec![Hours { days, from, until: 1440 }] }),
            per_request: fees.0,
            per_search: fees.1,
            is_incomplete,
        }
    }
}

prop_compose! {
    fn any_usage()(counts in prop::array::uniform13(0u64..2_000_000), estimated: bool) -> TokenUsage {
        let [prompt, completion, cached, cache_write, cache_write_1h, audio_input, audio_output, image_input, image_output, video_input, tool_input, reasoning, searches] = counts;
        TokenUsage {
            prompt, completion, total: prompt + completion, cached, cache_write, cache_write_1h, audio_input, audio_output,
            image_input, image_output, video_input, tool_input, reasoning, searches, estimated,
        }
    }
}

fn charged(offer: &Offer, usage: &TokenUsage) -> Cost {
    charge::charge(offer, usage, Served::Standard, 0)
}

proptest! {
    #[test]
    fn a_pack_survives_being_written(
        models in prop::collection::btree_map("[a-zé/:.@-]{1,12}", (any_offer(), prop::option::of((0i32..40_000, any_offer()))), 0..6),
    ) {
        let models = models.into_iter().map(|(name, (offer, dated))| {
            let dated = dated.map(|(from, offer)| Dated { from: Some(from), until: None, offer });
            (name, Price { source: "list".to_owned(), offer, dated: dated.into_iter().collect() })
        });
        let source = Source { source: "a \"list\"".to_owned(), licence: "MIT".to_owned(), retrieved: "2026-11-20".to_owned() };
        let pack = Pack::new(
            BTreeMap::from([("list".to_owned(), source)]),
            BTreeMap::from([("openai".to_owned(), models.map(|(name, price)| (name, Arc::new(price))).collect())]),
        );
        prop_assert_eq!(&Pack::from_bytes(&pack.to_bytes()).unwrap(), &pack);
        prop_assert_eq!(&Pack::from_json(pack.to_json().as_bytes()).unwrap(), &pack);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let _ = Pack::from_bytes(&bytes);
        let _ = Pack::from_json(&bytes);
    }

    #[test]
    fn a_cost_is_the_sum_of_its_kinds(mut offer in any_offer(), usage in any_usage()) {
        // Rates that depend on the length of the prompt, and fees that come with every request, are no matter of kinds.
        offer.standard.long.clear();
        offer.per_request = None;
        let cached = usage.cached.min(usage.prompt);
        let usage = TokenUsage { cached, cache_write: usage.cache_write.min(usage.prompt - cached), ..usage };
        let (input, output) = (
            TokenUsage { completion: 0, reasoning: 0, audio_output: 0, image_output: 0, searches: 0, ..usage },
            TokenUsage { prompt: 0, cached: 0, cache_write: 0, audio_input: 0, image_input: 0, video_input: 0, searches: 0, ..usage },
        );
        let parts = charged(&offer, &input).usd + charged(&offer, &output).usd;
        let whole = charged(&offer, &TokenUsage { searches: 0, ..usage });
        prop_assert_eq!(whole.usd, parts);
    }

    #[test]
    fn more_tokens_never_cost_less(mut offer in any_offer(), usage in any_usage(), more in 0u64..1_000_000) {
        offer.standard.long.clear();
        // Tokens of which more is told than there are cannot be billed twice, so more of the sum changes their kind.
        let usage = TokenUsage { audio_output: 0, image_output: 0, audio_input: 0, image_input: 0, video_input: 0, ..usage };
        let completion = usage.completion + usage.reasoning;
        let prompt = usage.prompt + usage.cached + usage.cache_write;
        let usage = TokenUsage { prompt, completion, ..usage };
        let before = charged(&offer, &usage).usd;
        let (longer, larger) = (
            TokenUsage { completion: completion + more, ..usage },
            TokenUsage { prompt: prompt + more, ..usage },
        );
        prop_assert!(charged(&offer, &longer).usd >= before);
        prop_assert!(charged(&offer, &larger).usd >= before);
    }
}
