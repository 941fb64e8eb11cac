//! OpenAI Responses (`POST /v1/responses`), at OpenAI and at the vendors that speak it.
//!
//! A conversation is a list of items here: messages, reasoning, calls and their results. The items of the model between two
//! turns of the user are one assistant message of the canonical form, in their order. What belongs to an item and not to
//! one of its parts stays in the bag of the item's first part, under [`ITEM`]; its presence also says where an item begins.
//!
//! Knows the whole vocabulary of texts, refusals, reasoning, functions and free-text tools. Everything else (tools that the
//! provider runs, references, compaction) is carried whole and only within this dialect. Refuses to know stored answers:
//! whoever keeps them expands `previous_response_id` before a request is decoded, else it is rejected elsewhere.
//!
//! Marks and inner members in bags follow the conventions of [`openai_chat`](crate::openai_chat).

mod content;
mod echo;
mod encode;
mod error;
mod ids;
mod input;
mod input_tokens;
mod item;
mod options;
mod request;
mod response;
mod stop;
mod stream;
mod stream_encode;
mod stream_items;
mod stream_parts;
mod stream_reasoning;
mod tools;
mod usage;
mod write_input;
mod write_item;
mod write_stream;

pub use echo::Echo;
pub use encode::{encode_request, renames};
pub use error::{decode_error, decode_error_inside, encode_error};
pub use input_tokens::{
    decode_input_tokens_request, decode_token_count, encode_input_tokens_request, encode_token_count,
};
pub use request::decode_request;
pub use response::{ResponseStyle, decode_response, encode_response};
pub(crate) use stream::PROGRESS;
pub use stream::StreamDecoder;
pub use stream_encode::{StreamEncoder, StreamStyle};

pub(crate) use input::{INPUT, INSTRUCTIONS};
pub(crate) use write_item::is_string;

use crate::Dialect;

/// The beginning of an `encrypted_content` that is not a maker's own but our envelope around another maker's reasoning.
pub const ENVELOPE_PREFIX: &str = crate::envelope::PREFIX;

const ORIGIN: Dialect = Dialect::OpenaiResponses;

/// The member of a part's bag that holds what belongs to the whole item; the part is the first of its item.
pub(crate) const ITEM: &str = "item";

/// The same, as a stream tells it at the end of an item, in the bag of any of its parts.
const ITEM_END: &str = "item_end";

/// What separates the pieces of a summary where they are told as one text.
const BETWEEN_PIECES: &str = "\n\n";
