//! Inputs as the dialects take them: most take text only.

use super::form::{Input, Kind, Piece, Request, Task, Wanted};
use super::named;
use super::part::Part;
use crate::canonical::{DecodeError, Ext};
use crate::json::{Object, Writer};
use crate::loss::Losses;

const TEXT_ONLY: &str = "the provider embeds text only";
const NO_TOKENS: &str = "token numbers mean something to their own model only; send text";

/// The text of an input, where nothing but text can be sent.
pub(super) fn text(request: &Request, number: usize, input: &Input, losses: &mut Losses) -> String {
    let mut texts = Vec::with_capacity(input.pieces.len());
    for piece in &input.pieces {
        match piece {
            Piece::Text(text) => texts.push(text.as_str()),
            Piece::Tokens(_) => losses.rejected(named::input(request, number), NO_TOKENS),
            Piece::Image { .. } | Piece::ImageUrl(_) | Piece::Opaque(_) => {
                losses.rejected(named::input(request, number), TEXT_ONLY);
            }
        }
    }
    if texts.len() > 1 {
        losses.approximated(
            named::input(request, number),
            "several texts are sent as one, each on a line of its own",
        );
    }
    texts.join("\n")
}

/// Reports token numbers where text and pictures can be sent.
pub(super) fn no_tokens(request: &Request, number: usize, losses: &mut Losses) {
    losses.rejected(named::input(request, number), NO_TOKENS);
}

/// Reports titles, for providers that have none.
pub(super) fn no_titles(part: &Part<'_>, losses: &mut Losses) {
    for (number, input) in part.numbered() {
        if input.title.as_ref().is_some_and(|title| !title.is_empty()) {
            losses.approximated(
                named::title(part.request, number),
                "the provider embeds texts without their titles",
            );
        }
    }
}

/// The task that all inputs of a call share, for providers that take one for all of them.
pub(super) fn task<'a>(part: &Part<'a>, losses: &mut Losses) -> Option<&'a Task> {
    let mut tasks = part.inputs.iter().map(|input| input.task.as_ref());
    let first = tasks.next().flatten();
    if tasks.all(|task| task == first) {
        return first;
    }
    losses.rejected(
        named::task(part.request),
        "the provider takes one for all inputs of a call",
    );
    None
}

/// Reports a task, for providers that make one kind of vectors for all of them.
pub(super) fn no_task(part: &Part<'_>, losses: &mut Losses) {
    let told = |task: &Task| !matches!(task, Task::Image);
    if part
        .inputs
        .iter()
        .filter_map(|input| input.task.as_ref())
        .any(told)
    {
        losses.approximated(
            named::task(part.request),
            "the provider makes the same vectors for all purposes",
        );
    }
}

/// Reports what happens to long texts, for providers that refuse them.
pub(super) fn no_truncation(request: &Request, losses: &mut Losses) {
    use super::form::Truncate::Never;
    if request
        .truncate
        .as_ref()
        .is_some_and(|truncate| *truncate != Never)
    {
        losses.approximated(
            named::truncate(request),
            "the provider refuses texts that are too long",
        );
    }
}

/// Reports kinds of vectors, for providers that make floats only. Base64 is made from them afterwards.
pub(super) fn floats_only(request: &Request, losses: &mut Losses) {
    if request.wanted.iter().any(|wanted| wanted.kind != Kind::Float) {
        losses.rejected(
            named::wanted(request),
            "the provider makes vectors of floats only",
        );
    }
}

/// Reports the id of the end user.
pub(super) fn no_user(request: &Request, losses: &mut Losses) {
    if request.user.is_some() {
        losses.dropped("user", crate::foreign::NO_USER);
    }
}

/// Most kinds and notations that a request may name; there are not as many.
const MOST_WANTED: usize = 16;

/// Takes the names of the kinds that are wanted.
pub(super) fn take_wanted(
    object: &mut Object<'_>,
    name: &str,
    wanted_of: impl Fn(&str) -> Wanted,
) -> Result<Vec<Wanted>, DecodeError> {
    let names = object
        .take_as::<Vec<String>>(name, "a list of strings")?
        .unwrap_or_default();
    if names.len() > MOST_WANTED {
        return Err(DecodeError::new(
            object.path_of(name),
            "names more kinds than there are",
        ));
    }
    Ok(names.iter().map(|name| wanted_of(name)).collect())
}

/// The kinds that are wanted, each once.
pub(super) fn kinds(wanted: &[Wanted]) -> Vec<&Kind> {
    once(wanted.iter().map(|wanted| &wanted.kind))
}

/// Each value once, in their order. For short lists.
pub(super) fn once<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// A picture from a `data:` address, or the address.
pub(super) fn picture(address: String) -> Piece {
    let inside = address
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"));
    match inside {
        Some((media_type, data)) => Piece::Image {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => Piece::ImageUrl(address),
    }
}

/// The `data:` address of a picture. What kind it is, is seen from its first bytes where it was not said.
pub(super) fn data_address(media_type: &str, data: &str) -> String {
    format!("data:{};base64,{data}", media_type_of(media_type, data))
}

/// The media type of a picture.
pub(super) fn media_type_of<'a>(media_type: &'a str, data: &str) -> &'a str {
    match media_type {
        "" if data.starts_with("/9j/") => "image/jpeg",
        "" if data.starts_with("R0lGOD") => "image/gif",
        "" if data.starts_with("UklGR") => "image/webp",
        "" => "image/png",
        said => said,
    }
}

/// Whether an input is one text.
pub(super) fn is_text(input: &Input) -> bool {
    matches!(input.pieces.as_slice(), [Piece::Text(_)])
}

/// Writes a bag without the members named: those that stand elsewhere, or whose `null` says nothing where a value is written.
pub(super) fn write_bag(w: &mut Writer<'_>, ext: &Ext, without: &[&str]) {
    for (name, raw) in ext.iter().filter(|(name, _)| !without.contains(name)) {
        w.key(name).raw(raw);
    }
}
