//! How far the estimate of tokens is off, measured against the usage that providers told.

#![expect(clippy::print_stdout, reason = "helpers of tests count as tests")]

mod support;

use tollgate_dialects::canonical::{Part, Request, Response};
use tollgate_dialects::{Dialect, codec, estimate};

/// A request and its whole answer.
type Exchange = (Request, Response);

/// Measured: the median error is 8 %, and for three quarters of the requests it is below 40 %. Short prompts dominate the
/// recordings; most of the large errors are hidden prompts of the provider (chat templates, safety, reasoning).
#[test]
fn the_input_of_plain_text_requests_is_estimated_within_a_quarter() {
    let Some(exchanges) = exchanges() else { return };
    let errors = exchanges
        .iter()
        .filter(|(request, _)| is_plain(request))
        .filter_map(|(request, response)| {
            let counted = response.usage.as_ref()?.input_total();
            (counted > 0).then(|| error(estimate::request_tokens(request), counted))
        });
    assert_median_below(0.25, errors.collect());
}

/// Measured: the median error is 13 %, and for three quarters of the answers it is below 22 %. Estimates are mostly low:
/// models also count marks that no one sees.
#[test]
fn the_output_of_plain_text_answers_is_estimated_within_a_quarter() {
    let Some(exchanges) = exchanges() else { return };
    let errors = exchanges.iter().filter_map(|(_, response)| {
        let usage = response.usage.as_ref()?;
        let [choice] = &response.choices[..] else {
            return None;
        };
        let text = texts(&choice.parts)?.concat();
        let visible = usage.reasoning.unwrap_or(0) == 0 && usage.output >= 10 && !text.is_empty();
        visible.then(|| error(estimate::tokens(&text), usage.output))
    });
    assert_median_below(0.25, errors.collect());
}

fn assert_median_below(bound: f64, mut errors: Vec<f64>) {
    assert!(
        errors.len() >= 30,
        "only {} recordings to compare with",
        errors.len()
    );
    errors.sort_by(f64::total_cmp);
    let [lower, median, upper] = [1, 2, 3].map(|quarter| errors[errors.len() * quarter / 4]);
    println!(
        "{} recordings: error {lower:.3}, {median:.3}, {upper:.3} (quartiles)",
        errors.len()
    );
    assert!(median < bound, "the median error is {median:.3}");
}

fn error(estimated: u64, counted: u64) -> f64 {
    estimated.abs_diff(counted) as f64 / counted as f64
}

fn is_plain(request: &Request) -> bool {
    request.tools.is_empty()
        && request.response_format.is_none()
        && request.reasoning.is_none()
        && request
            .messages
            .iter()
            .all(|message| texts(&message.parts).is_some())
}

/// The texts of parts that are nothing else.
fn texts(parts: &[Part]) -> Option<Vec<&str>> {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// All recorded exchanges that are whole and can be read; `None` where there are no recordings.
fn exchanges() -> Option<Vec<Exchange>> {
    support::root()?;
    let mut exchanges = Vec::new();
    for (folder, dialect) in [
        ("openai-chat", Dialect::OpenaiChat),
        ("anthropic-messages", Dialect::AnthropicMessages),
    ] {
        for recording in support::recordings_of(folder) {
            let request = recording.request();
            let request = request.and_then(|body| codec::decode_request(dialect, &body).ok());
            let answer = recording.answer();
            let answer = answer.and_then(|body| codec::decode_response(dialect, &body).ok());
            exchanges.extend(request.zip(answer));
        }
    }
    Some(exchanges)
}
