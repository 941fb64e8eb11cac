//! The opaque envelope in which reasoning of one maker travels through the dialect of another.
//!
//! A client has one place for a maker's proof (a `signature`), whoever the maker is. So what is put there for reasoning of
//! another maker is a note that names the dialect and carries the maker's own proof, byte by byte. When it comes back it is
//! opened, and only the encoder of that dialect writes the proof again.

use crate::Dialect;
use crate::canonical::Reasoning;

/// First part of every envelope; without a proof it is `tollgate:<dialect>:<member>:<model>`.
pub(crate) const PREFIX: &str = "tollgate:";
/// First part of an envelope with a signature: `tollgate:signed:<bytes>:<signature>:<dialect>:<member>:<model>`.
const SIGNED: &str = "tollgate:signed:";
/// First part of an envelope with sealed reasoning, otherwise the same.
const SEALED: &str = "tollgate:sealed:";

/// The envelope for reasoning that `model` wrote in the dialect `origin`, with its proof.
pub(crate) fn seal(reasoning: &Reasoning, origin: Dialect, model: &str) -> String {
    let note = note(origin, reasoning.member.as_deref(), model);
    let (prefix, proof) = match (&reasoning.signature, &reasoning.redacted) {
        (_, Some(sealed)) => (SEALED, sealed),
        (Some(signature), None) => (SIGNED, signature),
        (None, None) => return format!("{PREFIX}{note}"),
    };
    format!("{prefix}{}:{proof}:{note}", proof.len())
}

/// The envelope for reasoning without a proof.
pub(crate) fn seal_unsigned(origin: Dialect, member: Option<&str>, model: &str) -> String {
    format!("{PREFIX}{}", note(origin, member, model))
}

/// Opens an envelope: the reasoning without its text. `None` if `text` is no envelope of ours.
pub(crate) fn open(text: &str) -> Option<Reasoning> {
    let (signed, rest) = match (text.strip_prefix(SIGNED), text.strip_prefix(SEALED)) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return open_note(text.strip_prefix(PREFIX)?),
    };
    let (length, rest) = rest.split_once(':')?;
    let (proof, note) = rest.split_at_checked(length.parse().ok()?)?;
    let mut reasoning = open_note(note.strip_prefix(':')?)?;
    if signed {
        reasoning.signature = Some(proof.to_owned());
    } else {
        reasoning.redacted = Some(proof.to_owned());
    }
    Some(reasoning)
}

fn note(origin: Dialect, member: Option<&str>, model: &str) -> String {
    format!("{origin}:{}:{model}", member.unwrap_or_default())
}

fn open_note(note: &str) -> Option<Reasoning> {
    let mut pieces = note.splitn(3, ':');
    let origin = Dialect::from_name(pieces.next()?)?;
    let member = pieces.next().filter(|member| !member.is_empty());
    Some(Reasoning {
        origin: Some(origin),
        member: member.map(str::to_owned),
        ..Reasoning::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_to_what_was_sealed() {
        let unsigned = seal_unsigned(Dialect::OpenaiChat, Some("reasoning_content"), "qwen:7b");
        assert_eq!(unsigned, "tollgate:openai_chat:reasoning_content:qwen:7b");
        let opened = open(&unsigned).unwrap();
        assert_eq!(opened.origin, Some(Dialect::OpenaiChat));
        assert_eq!(opened.member.as_deref(), Some("reasoning_content"));
        for proof in ["", "Ep/8+A==", "a:b:", "ä🎈"] {
            let reasoning = Reasoning {
                signature: Some(proof.to_owned()),
                origin: Some(Dialect::Gemini),
                member: Some("text".to_owned()),
                ..Reasoning::default()
            };
            assert_eq!(
                open(&seal(&reasoning, Dialect::Gemini, "m:1")),
                Some(reasoning.clone())
            );
            let sealed = Reasoning {
                redacted: reasoning.signature.clone(),
                signature: None,
                ..reasoning
            };
            assert_eq!(open(&seal(&sealed, Dialect::Gemini, "m:1")), Some(sealed));
        }
    }

    #[test]
    fn what_is_no_envelope_stays_closed() {
        for text in [
            "EqQBCkYIBxgC",
            "tollgate:unknown:x:y",
            "tollgate:signed:99:a:gemini_generate:x:y",
            "tollgate:signed:x:a:gemini_generate:x:y",
            "tollgate:signed:1:agemini_generate:x:y",
            "tollgate:sealed:1:ä:gemini_generate:x:y",
            "",
        ] {
            assert_eq!(open(text), None, "{text}");
        }
    }
}
