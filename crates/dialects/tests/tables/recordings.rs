//! Every recording of every dialect, translated into each other one and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use tollgate_dialects::canonical::{Event, Response};
use tollgate_dialects::codec::{self, AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Effect, Loss, Losses, Target};

use crate::classify::everything;
use crate::facts::{self, Facts};
use crate::support::{Recording, collect, decode_pieces, recordings_of, root};
use crate::{check_page, docs, title, translated};

/// What became of the recordings of one dialect in another one.
#[derive(Default)]
struct Pair {
    requests: Count,
    answers: Count,
    streams: Count,
    errors: usize,
}

/// How many were translated without any loss, with losses that were told, and refused.
#[derive(Default)]
struct Count {
    whole: usize,
    with_losses: usize,
    refused: usize,
}

impl Count {
    fn add(&mut self, losses: &[Loss]) {
        if losses.iter().any(|loss| loss.effect == Effect::Rejected) {
            self.refused += 1;
        } else if losses.is_empty() {
            self.whole += 1;
        } else {
            self.with_losses += 1;
        }
    }

    fn all(&self) -> usize {
        self.whole + self.with_losses + self.refused
    }

    fn cell(&self) -> String {
        if self.all() == 0 {
            return "none".to_owned();
        }
        format!("{} / {} / {}", self.whole, self.with_losses, self.refused)
    }
}

/// Reasons of losses, with their effect, and how often they were told in requests and in answers.
type Reasons = BTreeMap<(&'static str, &'static str), [usize; 2]>;

/// Where a loss was told.
#[derive(Clone, Copy)]
enum Side {
    Request,
    Answer,
}

struct Report {
    pairs: BTreeMap<(Dialect, Dialect), Pair>,
    reasons: Reasons,
    /// What was lost and not told.
    silent: String,
}

#[test]
fn recordings_survive_the_way_there_and_back_but_for_what_is_told() {
    if root().is_none() {
        return;
    }
    let mut report = Report {
        pairs: BTreeMap::new(),
        reasons: Reasons::new(),
        silent: String::new(),
    };
    let dialects = translated();
    let mut counts = Vec::new();
    for from in &dialects {
        let recordings = recordings_of(folder(*from));
        for recording in &recordings {
            for to in dialects.iter().filter(|to| *to != from) {
                report.recording(recording, *from, *to);
            }
        }
        counts.push((*from, recordings.len()));
    }
    assert!(report.silent.is_empty(), "\n{}", report.silent);
    check(&report, &counts);
}

/// The name of a dialect's folders among the recordings.
pub const fn folder(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "openai-chat",
        Dialect::OpenaiResponses => "openai-responses",
        Dialect::AnthropicMessages => "anthropic-messages",
        Dialect::Gemini => "gemini-generate",
        Dialect::BedrockConverse => "bedrock-converse",
        Dialect::CohereChat => "cohere-chat-v2",
    }
}

impl Report {
    fn recording(&mut self, recording: &Recording, from: Dialect, to: Dialect) {
        let name = format!("{} to {to}", recording.name);
        if let Some(body) = recording.request() {
            self.request(&name, &body, from, to);
        }
        if recording.status() != 200 {
            if let Some(body) = recording.read("response.json") {
                self.error(&name, recording.status(), &body, from, to);
            }
            return;
        }
        if let Some(body) = recording.answer()
            && let Ok(answer) = codec::decode_response(from, &body)
        {
            self.answer(&name, &answer, from, to);
        }
        let stream = recording
            .bytes("response.eventstream")
            .or_else(|| recording.stream().map(String::into_bytes));
        if let Some(bytes) = stream {
            self.stream(&name, &bytes, from, to);
        }
    }

    fn tell(&mut self, losses: &[Loss], side: Side) {
        for loss in losses {
            let count = self.reasons.entry((loss.reason, loss.effect.name())).or_default();
            count[side as usize] += 1;
        }
    }

    fn compare(&mut self, name: &str, what: &str, before: &Facts, after: &Facts, losses: &[Loss]) {
        for aspect in facts::differences(before, after) {
            // Some dialects demand a limit of tokens, and counts; the model's own and 0 are told.
            let may_be_added = aspect.ends_with("tokens");
            if may_be_added && !before.contains_key(aspect)
                || losses.iter().any(|loss| explains(loss, aspect))
            {
                continue;
            }
            let shorten = |facts: &Facts| {
                let text = facts.get(aspect).map(ToString::to_string).unwrap_or_default();
                text.chars().take(300).collect::<String>()
            };
            let _ = writeln!(
                self.silent,
                "{name}, {what}: {aspect}\n    {}\n    {}\n    {:?}",
                shorten(before),
                shorten(after),
                losses.iter().map(ToString::to_string).collect::<Vec<_>>()
            );
        }
    }

    fn request(&mut self, name: &str, body: &str, from: Dialect, to: Dialect) {
        let Ok(mut request) = codec::decode_request(from, body) else {
            return;
        };
        if request.model.is_empty() {
            request.model = "m".to_owned();
        }
        let before = facts::of_request(&request);
        let (there, mut losses) = encode_request(&request, to);
        self.pair(from, to).requests.add(&losses);
        self.tell(&losses, Side::Request);
        if losses.iter().any(|loss| loss.effect == Effect::Rejected) {
            return;
        }
        let there = match codec::decode_request(to, &there) {
            Ok(there) => there,
            Err(error) => {
                let _ = writeln!(self.silent, "{name}, request: is none there: {error}");
                return;
            }
        };
        let (back, lost_back) = encode_request(&there, from);
        losses.extend(lost_back);
        match codec::decode_request(from, &back) {
            Ok(back) => self.compare(name, "request", &before, &facts::of_request(&back), &losses),
            Err(error) => {
                let _ = writeln!(self.silent, "{name}, request: is none any more: {error}");
            }
        }
    }

    fn answer(&mut self, name: &str, answer: &Response, from: Dialect, to: Dialect) {
        let (there, losses) = encode_answer(answer, to);
        self.pair(from, to).answers.add(&losses);
        self.tell(&losses, Side::Answer);
        if losses.iter().any(|loss| loss.effect == Effect::Rejected) {
            return;
        }
        let before = facts::of_answer(answer);
        match codec::decode_response(to, &there) {
            Ok(there) => {
                self.compare(name, "answer", &before, &facts::of_answer(&there), &losses);
                let (back, lost_back) = encode_answer(&there, from);
                let losses = [losses, lost_back].concat();
                let back = codec::decode_response(from, &back).unwrap();
                self.compare(name, "answer back", &before, &facts::of_answer(&back), &losses);
            }
            // Cohere's word for an answer that was refused, or whose call is malformed, is that of one that has failed.
            Err(_)
                if ["refused", "malformed"]
                    .map(Value::from)
                    .contains(&before["stop"]) => {}
            Err(error) => {
                let _ = writeln!(self.silent, "{name}, answer: is none there: {error}");
            }
        }
    }

    fn stream(&mut self, name: &str, bytes: &[u8], from: Dialect, to: Dialect) {
        let mut decoded = decode_pieces(from, [bytes]);
        let complete = decoded.result.is_ok();
        let answer = collect(&decoded.events);
        let ended = decoded
            .events
            .iter()
            .any(|event| matches!(event, Event::End | Event::Error(_)));
        if complete && !ended {
            // Some recordings have no end mark; the connection ended behind a whole answer.
            decoded.events.push(Event::End);
        }
        let (there, losses) = encode_stream(&decoded.events, to);
        self.pair(from, to).streams.add(&losses);
        self.tell(&losses, Side::Answer);
        if losses.iter().any(|loss| loss.effect == Effect::Rejected) {
            return;
        }
        let there = decode_pieces(to, [there.as_slice()]);
        let failed = decoded
            .events
            .iter()
            .any(|event| matches!(event, Event::Error(_)));
        let told = there.events.iter().any(|event| matches!(event, Event::Error(_)));
        if !complete || failed {
            if there.result.is_ok() && !told {
                let _ = writeln!(self.silent, "{name}, stream: one that failed looks finished");
            }
            return;
        }
        if told {
            // Told as an error, because the client's dialect cannot say it; see the losses of whole answers.
            return;
        }
        if let Err(error) = &there.result {
            let _ = writeln!(self.silent, "{name}, stream: is none there: {error}");
            return;
        }
        let collected = collect(&there.events);
        self.compare(
            name,
            "stream",
            &facts::of_answer(&answer),
            &facts::of_answer(&collected),
            &losses,
        );
    }

    fn error(&mut self, name: &str, status: u16, body: &str, from: Dialect, to: Dialect) {
        let error = codec::decode_error(from, status, body.as_bytes());
        let there = codec::encode_error(to, &error, None);
        let there = codec::decode_error(to, error.status, &there);
        self.pair(from, to).errors += 1;
        if there.message != error.message {
            let _ = writeln!(
                self.silent,
                "{name}, error: {:?} instead of {:?}",
                there.message, error.message
            );
        }
    }

    fn pair(&mut self, from: Dialect, to: Dialect) -> &mut Pair {
        self.pairs.entry((from, to)).or_default()
    }
}

const PLAIN_TEXT: &str = "a document of plain text becomes text";

/// Whether a loss tells that this aspect is not the same any more: by its field, or by its reason where a field holds more.
fn explains(loss: &Loss, aspect: &str) -> bool {
    let (fields, reasons): (&[&str], &[&str]) = match aspect {
        "temperature" => (&["temperature"], &[]),
        "top p" => (&["top_p", "topP", "p"], &[]),
        "top k" => (&["top_k", "topK", "k"], &[]),
        "stop sequences" => (&["stop"], &[]),
        "seed" => (&["seed"], &[]),
        "presence penalty" => (&["presence_penalty", "presencePenalty"], &[]),
        "frequency penalty" => (&["frequency_penalty", "frequencyPenalty"], &[]),
        "most tokens" => (&["max_tokens", "max_completion_tokens", "maxOutputTokens"], &[]),
        "one call at a time" => (&["parallel_tool", "functionCallingConfig"], &[]),
        "tool choice" => (
            &["tool_choice", "toolChoice", "functionCallingConfig", "tools"],
            &[],
        ),
        "instruction" => (&[], &["told to answer with a JSON object"]),
        "media" => (
            &[],
            &[
                PLAIN_TEXT,
                "media of this kind cannot be sent",
                "the provider takes images and texts only",
                "the provider takes no audio",
                "documents are not fetched from an address",
            ],
        ),
        "form" => (
            &[
                "response_format",
                "text.format",
                "output_config.format",
                "generationConfig.response",
            ],
            &[],
        ),
        "tools" => (
            &["tools"],
            &[
                "tools that may be called",
                "the others are left out",
                "the tools are left out",
            ],
        ),
        "stop" => (&[], &["malformed"]),
        "calls" => (&[], &["the call is left out"]),
        "conversation" => (
            &[],
            &[
                PLAIN_TEXT,
                "moved to the user's message",
                "media of a result follow",
                "marked user text",
                "text after a tool call moves",
                "white space",
                "without content is left out",
                "the user begins",
                "a text beside a document",
            ],
        ),
        _ => (&[], &[]),
    };
    fields
        .iter()
        .any(|field| loss.field == *field || field.len() > 1 && loss.field.contains(field))
        || reasons.iter().any(|reason| loss.reason.contains(reason))
}

fn encode_request(request: &tollgate_dialects::canonical::Request, to: Dialect) -> (String, Vec<Loss>) {
    let capabilities = everything();
    let target = Target {
        model: &request.model,
        capabilities: &capabilities,
        default_max_output_tokens: None,
    };
    let mut losses = Losses::new();
    let body = codec::encode_request(to, request, &target, &mut losses);
    (String::from_utf8(body).unwrap(), losses.iter().cloned().collect())
}

fn encode_answer(answer: &Response, to: Dialect) -> (String, Vec<Loss>) {
    let mut losses = Losses::new();
    let body = codec::encode_response(to, answer, &style(), &mut losses);
    (String::from_utf8(body).unwrap(), losses.iter().cloned().collect())
}

fn encode_stream(events: &[Event<'_>], to: Dialect) -> (Vec<u8>, Vec<Loss>) {
    let mut losses = Losses::new();
    let mut encoder = StreamEncoder::new(to, &style());
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, &mut losses, &mut out);
    }
    (out, losses.iter().cloned().collect())
}

fn style() -> AnswerStyle {
    AnswerStyle {
        include_usage: true,
        ..AnswerStyle::default()
    }
}

fn check(report: &Report, counts: &[(Dialect, usize)]) {
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    let total = format!("{all} recorded calls of real providers");
    let page = page(report, counts, &total);
    let written = fs::read_to_string(docs().join(PAGE)).unwrap_or_default();
    let is_other_collection = !written.contains(&total) && std::env::var_os("UPDATE").is_none();
    if is_other_collection && std::env::var_os("CI").is_none() {
        println!("{PAGE} is of another collection of recordings: not compared");
        return;
    }
    check_page(PAGE, &page);
}

const PAGE: &str = "recordings.md";

fn page(report: &Report, counts: &[(Dialect, usize)], total: &str) -> String {
    let mut page = format!(
        "<!-- Made by UPDATE=1 cargo test -p tollgate-dialects --test tables. Do not edit. -->\n\n\
         # Recordings: translated there and back\n\n\
         {total}, each translated into every other dialect and back, for models that accept everything. A test compares what they say\n\
         before and after: instruction, conversation, calls and their arguments, which result is whose, media, tools and schemas, the\n\
         options; of answers and streams the text, calls, reason of the end and tokens. What differs must have been told as a loss, and a\n\
         stream that failed must not look finished.\n\n\
         ## Recordings\n\n| dialect | recordings |\n|---|---|\n"
    );
    for (dialect, count) in counts {
        let _ = writeln!(page, "| {} | {count} |", title(*dialect));
    }
    page.push_str(
        "\n## Pairs\n\nTranslated without any loss / with losses that are told / refused, because the client would not get what it asked for.\n\
         Errors are told in every dialect.\n\n\
         | from | to | requests | answers | streams | errors |\n|---|---|---|---|---|---|\n",
    );
    for ((from, to), pair) in &report.pairs {
        let cells = [&pair.requests, &pair.answers, &pair.streams].map(Count::cell);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            title(*from),
            title(*to),
            cells.join(" | "),
            pair.errors
        );
    }
    page.push_str(
        "\n## Losses by reason\n\nHow often each was told, over all pairs.\n\n\
         | reason | effect | in requests | in answers |\n|---|---|---|---|\n",
    );
    let mut reasons: Vec<_> = report.reasons.iter().collect();
    reasons.sort_by_key(|(reason, counts)| (std::cmp::Reverse(counts.iter().sum::<usize>()), *reason));
    for ((reason, effect), [requests, answers]) in reasons {
        let _ = writeln!(page, "| {reason} | {effect} | {requests} | {answers} |");
    }
    page
}
