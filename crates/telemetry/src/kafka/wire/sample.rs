//! Any bytes as an answer, for fuzzing.

use std::fmt::Debug;

use super::messages::{
    ApiVersions, InitProducerId, Metadata, Produce, Request, SaslAuthenticate, SaslHandshake,
};
use super::read::Reader;

/// Reads bytes as a broker's answer: the first says to which request, the second in which version, the others are the answer.
/// Tells what was read, if it is one.
#[doc(hidden)]
pub fn read_answer(bytes: &[u8]) -> Option<String> {
    let (&[request, version], answer) = bytes.split_first_chunk()?;
    match request % 6 {
        0 => read::<ApiVersions>(version, answer),
        1 => read::<Metadata<'_>>(version, answer),
        2 => read::<Produce<'_>>(version, answer),
        3 => read::<SaslHandshake<'_>>(version, answer),
        4 => read::<SaslAuthenticate<'_>>(version, answer),
        _ => read::<InitProducerId>(version, answer),
    }
}

fn read<R: Request>(version: u8, answer: &[u8]) -> Option<String>
where
    R::Answer: Debug,
{
    let version = (R::VERSIONS.min..=R::VERSIONS.max).nth(usize::from(version))?;
    let answer = R::read(version, &mut Reader::new(answer)).ok()?;
    Some(format!("{answer:?}"))
}
