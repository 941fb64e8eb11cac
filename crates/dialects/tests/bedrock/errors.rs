//! Errors, read and written, whole and inside streams.

use serde_json::{Value, json as value};
use tollgate_dialects::bedrock_converse::{
    decode_error, decode_error_inside, decode_named_error, encode_error, exception_name, exception_status,
};
use tollgate_dialects::canonical::{ErrorKind, Event, ProviderError};
use tollgate_dialects::codec;

use super::{BEDROCK, OTHERS, decode, encode, frames, json};

/// What each exception means, its status, and the name it has in a stream.
const EXCEPTIONS: [(&str, ErrorKind, u16, &str); 13] = [
    (
        "ValidationException",
        ErrorKind::BadRequest,
        400,
        "validationException",
    ),
    (
        "UnrecognizedClientException",
        ErrorKind::Authentication,
        403,
        "internalServerException",
    ),
    (
        "ExpiredTokenException",
        ErrorKind::Authentication,
        403,
        "internalServerException",
    ),
    (
        "AccessDeniedException",
        ErrorKind::Permission,
        403,
        "internalServerException",
    ),
    (
        "ServiceQuotaExceededException",
        ErrorKind::Billing,
        400,
        "throttlingException",
    ),
    (
        "ResourceNotFoundException",
        ErrorKind::NotFound,
        404,
        "validationException",
    ),
    (
        "ConflictException",
        ErrorKind::Conflict,
        400,
        "internalServerException",
    ),
    (
        "ThrottlingException",
        ErrorKind::RateLimit,
        429,
        "throttlingException",
    ),
    (
        "ModelNotReadyException",
        ErrorKind::RateLimit,
        429,
        "throttlingException",
    ),
    (
        "ServiceUnavailableException",
        ErrorKind::Overloaded,
        503,
        "serviceUnavailableException",
    ),
    (
        "ModelTimeoutException",
        ErrorKind::Timeout,
        408,
        "modelStreamErrorException",
    ),
    (
        "InternalServerException",
        ErrorKind::Server,
        500,
        "internalServerException",
    ),
    (
        "ModelErrorException",
        ErrorKind::Server,
        424,
        "modelStreamErrorException",
    ),
];

#[test]
fn an_exception_is_known_by_its_name_wherever_it_stands() {
    for (name, kind, status, in_stream) in EXCEPTIONS {
        let body = value!({"message": "no"}).to_string();
        let header = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        let typed =
            value!({"__type": format!("com.amazon.coral.service#{name}"), "Message": "no"}).to_string();
        for error in [
            decode_named_error(status, Some(&header), body.as_bytes()),
            decode_error(status, typed.as_bytes()),
            decode_error_inside(&typed),
        ] {
            assert_eq!((error.kind, error.status), (kind, status), "{name}");
            assert_eq!(error.message, "no");
            assert_eq!(error.native_type.as_deref(), Some(name));
            assert_eq!(exception_name(&error), name);
            assert_eq!(exception_status(&error), status);
            let (stream, _) = encode(BEDROCK, &[Event::Error(error)]);
            assert_eq!(frames::read(&stream)[0].0, in_stream, "{name}");
        }
    }
}

#[test]
fn an_error_without_a_name_is_known_by_status_and_text() {
    for (status, message, kind) in [
        (
            400,
            "Input is too long for requested model.",
            ErrorKind::ContextTooLong,
        ),
        (
            400,
            "The provided model identifier is invalid.",
            ErrorKind::BadRequest,
        ),
        (
            403,
            "The security token included in the request is expired",
            ErrorKind::Authentication,
        ),
        (
            403,
            "You don't have access to the model with the specified model ID.",
            ErrorKind::Permission,
        ),
        (408, "too slow", ErrorKind::Timeout),
        (424, "the model failed", ErrorKind::Server),
        (429, "Too many requests", ErrorKind::RateLimit),
        (503, "later", ErrorKind::Overloaded),
    ] {
        let error = decode_error(status, value!({"message": message}).to_string().as_bytes());
        assert_eq!((error.kind, error.status), (kind, status), "{message}");
    }
}

#[test]
fn every_kind_of_error_has_an_exception_and_every_dialect_understands_it() {
    for (kind, name, status) in [
        (ErrorKind::BadRequest, "ValidationException", 400),
        (ErrorKind::ContextTooLong, "ValidationException", 400),
        (ErrorKind::ContentPolicy, "ValidationException", 400),
        (ErrorKind::TooLarge, "ValidationException", 400),
        (ErrorKind::Authentication, "UnrecognizedClientException", 403),
        (ErrorKind::Permission, "AccessDeniedException", 403),
        (ErrorKind::Billing, "ServiceQuotaExceededException", 400),
        (ErrorKind::NotFound, "ResourceNotFoundException", 404),
        (ErrorKind::Conflict, "ConflictException", 400),
        (ErrorKind::RateLimit, "ThrottlingException", 429),
        (ErrorKind::Overloaded, "ServiceUnavailableException", 503),
        (ErrorKind::Timeout, "ModelTimeoutException", 408),
        (ErrorKind::Server, "InternalServerException", 500),
    ] {
        let error = ProviderError {
            kind,
            status: 418,
            message: "no".to_owned(),
            native_type: Some("overloaded_error".to_owned()),
            code: None,
            param: None,
            raw: None,
        };
        assert_eq!((exception_name(&error), exception_status(&error)), (name, status));
        assert_eq!(json(encode_error(&error)), value!({"message": "no"}));
    }
}

#[test]
fn errors_of_others_are_not_repeated_and_own_ones_are() {
    let own = value!({"message": "x", "originalStatusCode": 500, "resourceName": "m"});
    assert_eq!(
        json(encode_error(&decode_error(424, own.to_string().as_bytes()))),
        own
    );
    let theirs = value!({"error": {"message": "no", "type": "server_error"}});
    let error = decode_error(500, theirs.to_string().as_bytes());
    assert_eq!(json(encode_error(&error)), value!({"message": "no"}));
    for other in OTHERS {
        let error = codec::decode_error(other, 429, &codec::encode_error(other, &error, None));
        assert_eq!(json(encode_error(&error))["message"], "no", "{other}");
    }
}

#[test]
fn what_is_no_json_is_shown_shortly() {
    let page = format!("<html>\u{7}{}</html>", "x".repeat(2000));
    let error = decode_error(502, page.as_bytes());
    assert_eq!(error.kind, ErrorKind::Server);
    assert!(error.message.starts_with("<html>x") && error.message.len() <= 500);
    assert_eq!(decode_error(500, b"").message, "the provider gave no reason");
    assert_eq!(decode_error(500, b"[]").status, 500);
}

#[test]
fn an_exception_ends_a_stream_and_what_follows_is_ignored() {
    let text = value!({"contentBlockIndex": 0, "delta": {"text": "Hel"}});
    let mut stream = frames::stream(&[
        ("messageStart", value!({"role": "assistant"})),
        ("contentBlockDelta", text),
    ]);
    stream.extend(frames::exception(
        "serviceUnavailableException",
        &value!({"message": "later"}),
    ));
    stream.extend(frames::stream(&[(
        "messageStop",
        value!({"stopReason": "end_turn"}),
    )]));
    let decoded = decode(&stream);
    assert_eq!(decoded.result, Ok(()));
    let Some(Event::Error(error)) = decoded.events.last() else {
        panic!("{decoded:?}")
    };
    assert_eq!((error.kind, error.status), (ErrorKind::Overloaded, 503));
    for other in OTHERS {
        let (written, _) = encode(other, &decoded.events);
        let text = String::from_utf8(written).unwrap();
        assert!(
            text.contains("later") && !text.contains("[DONE]"),
            "{other}: {text}"
        );
    }
}

#[test]
fn a_frame_of_type_error_is_an_error_too() {
    let headers = [
        (":message-type", "error"),
        (":error-code", "InternalServerException"),
        (":error-message", "it \"broke\""),
    ];
    let decoded = decode(&frames::frame(&headers, b""));
    let Some(Event::Error(error)) = decoded.events.last() else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Server, "it \"broke\"")
    );
    let none: Value = value!({});
    assert!(
        decode(&frames::frame(&[(":x", "y")], none.to_string().as_bytes()))
            .result
            .is_err()
    );
}
