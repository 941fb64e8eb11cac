//! Answers as brokers write them, whole, cut and lying.

use super::messages::{ApiVersions, Metadata, Produce, Request, SaslAuthenticate};
use super::read::{Garbled, Reader};
use super::{Code, MetadataPartition};

/// Every beginning of an answer is refused, and none is read as something else.
fn cut_everywhere<R: Request>(version: i16, answer: &[u8]) {
    for end in 0..answer.len() {
        assert!(
            R::read(version, &mut Reader::new(&answer[..end])).is_err(),
            "{} of {end} bytes",
            R::NAME
        );
    }
}

#[test]
fn an_array_that_cannot_be_there_is_refused_before_room_is_made_for_it() {
    let answer = [0x7f, 0xff, 0xff, 0xff];
    assert_eq!(
        Metadata::read(1, &mut Reader::new(&answer)),
        Err(Garbled("an array is longer than the answer"))
    );
    assert_eq!(
        Produce::read(3, &mut Reader::new(&answer)),
        Err(Garbled("an array is longer than the answer"))
    );
}

#[test]
fn the_highest_version_both_know_is_used() {
    // Produce 0 to 7, Metadata 8 to 9.
    let answer = [&[0, 0, 0, 0, 0, 2][..], &[0, 0, 0, 0, 0, 7], &[0, 3, 0, 8, 0, 9]].concat();
    let versions = ApiVersions::read(0, &mut Reader::new(&answer)).unwrap();
    assert_eq!(versions.of::<Produce<'_>>(), Some(7));
    assert_eq!(versions.of::<Metadata<'_>>(), None);
    assert_eq!(versions.of::<SaslAuthenticate<'_>>(), None);
    cut_everywhere::<ApiVersions>(0, &answer);
}

#[test]
fn metadata_tells_leaders_and_who_has_none() {
    let answer = [
        &[0, 0, 0, 1][..],                  // one broker
        &[0, 0, 0, 7, 0, 1, b'b'],          // number and host
        &[0, 0, 0x23, 0x84, 0xff, 0xff],    // port 9092, no rack
        &[0, 0, 0, 7],                      // controller
        &[0, 0, 0, 1, 0, 0, 0, 1, b't', 0], // one topic, well, `t`, not internal
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let metadata = Metadata::read(1, &mut Reader::new(&answer)).unwrap();
    assert_eq!(metadata.code, Code::NONE);
    assert_eq!(metadata.brokers[0].port, 9092);
    let leaders = [(0, Some(7)), (1, None)].map(|(index, leader)| MetadataPartition { index, leader });
    assert_eq!(metadata.partitions, leaders);
    cut_everywhere::<Metadata<'_>>(1, &answer);
}
