use proptest::prelude::*;

use super::*;

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mintbench-Cache: miss\r\n\r\n{}";

fn open(input: &[u8]) -> Result<Option<Answer>, AnswerError> {
    parse(input, Rest::Open)
}

fn body_of(input: &[u8]) -> Vec<u8> {
    open(input).unwrap().unwrap().body(input).into_owned()
}

#[test]
fn an_answer_is_whole_at_its_last_byte_and_not_before() {
    for end in 0..WHOLE.len() {
        assert_eq!(open(&WHOLE[..end]), Ok(None), "{end}");
    }
    let answer = open(WHOLE).unwrap().unwrap();
    assert_eq!((answer.status, answer.cache, answer.keep_alive), (200, Some(Class::Miss), true));
    assert_eq!(&*answer.body(WHOLE), b"{}");
    assert_eq!(answer.end, WHOLE.len());
}

#[test]
fn a_closing_answer_ends_its_connection() {
    let closing = b"HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let answer = open(closing).unwrap().unwrap();
    assert_eq!((answer.status, answer.keep_alive, answer.cache), (429, false, None));
    let listed = b"HTTP/1.1 200 OK\r\nConnection: te, Close\r\nContent-Length: 0\r\n\r\n";
    assert!(!open(listed).unwrap().unwrap().keep_alive);
    let old = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n";
    assert!(open(old).unwrap().unwrap().keep_alive);
}

#[test]
fn lengths_that_contradict_each_other_and_huge_ones_are_refused() {
    for length in ["+2", "2 ", "-1", "x", "", "2, 2", "3\r\nContent-Length: 2"] {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{}}");
        let expected = if length == "2 " { 2 } else { 0 };
        let known = open(text.as_bytes()).map(|answer| answer.unwrap().body(text.as_bytes()).len());
        assert_eq!(known, if expected == 2 { Ok(2) } else { Err(AnswerError::Length) }, "{length}");
    }
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    assert!(matches!(open(huge), Err(AnswerError::TooLong(_))));
    let huge = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n";
    assert!(matches!(open(huge), Err(AnswerError::TooLong(_))));
}

#[test]
fn content_without_a_length_ends_with_its_connection() {
    let input = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nsome text";
    assert_eq!(open(input), Ok(None));
    let answer = parse(input, Rest::Ended).unwrap().unwrap();
    assert_eq!(&*answer.body(input), b"some text");
    assert!(!answer.keep_alive);
    // A body shorter than its stated length was cut off.
    assert_eq!(parse(&WHOLE[..WHOLE.len() - 1], Rest::Ended), Ok(None));
    let endless = [&input[..], &vec![b'x'; BODY_BYTES_MAX]].concat();
    assert!(matches!(open(&endless), Err(AnswerError::TooLong(_))));
}

#[test]
fn interim_answers_are_passed_over_and_a_switch_is_refused() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(open(interim), Ok(None));
    let input = [&interim[..], WHOLE].concat();
    assert_eq!(
        (body_of(&input), open(&input).unwrap().unwrap().end),
        (b"{}".to_vec(), input.len())
    );
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(open(switch), Err(AnswerError::Switched));
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM_MAX + 1);
    assert_eq!(open(&endless), Err(AnswerError::Interim));
}

#[test]
fn answers_that_have_no_content_end_with_their_head() {
    for status in [204, 304] {
        let input = format!("HTTP/1.1 {status} Nothing\r\nContent-Length: 5\r\n\r\n");
        let answer = open(input.as_bytes()).unwrap().unwrap();
        assert_eq!((answer.status, answer.end, answer.keep_alive), (status, input.len(), true));
    }
}

#[test]
fn a_connection_that_is_to_be_closed_is_not_kept_whatever_else_it_says() {
    for (fields, kept) in [
        ("Connection: keep-alive, close", false),
        ("Connection: close\r\nConnection: keep-alive", false),
        ("Connection: keep-alive\r\nConnection: Close", false),
        ("Connection: keep-alive, x", true),
        ("Connection: x", true),
    ] {
        let input = format!("HTTP/1.1 204 Nothing\r\n{fields}\r\n\r\n");
        assert_eq!(open(input.as_bytes()).unwrap().unwrap().keep_alive, kept, "{fields}");
    }
}

#[test]
fn a_coding_outranks_a_length_and_its_last_name_decides() {
    let both = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 9\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(body_of(both), b"x");
    let other = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nxyz";
    assert_eq!(open(other), Ok(None));
    assert_eq!(&*parse(other, Rest::Ended).unwrap().unwrap().body(other), b"xyz");
}

#[test]
fn chunks_that_are_none_are_refused() {
    for body in ["z\r\n", "1\r\nxy\r\n0\r\n\r\n", "1\r\nx0\r\n\r\n"] {
        let input = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(open(input.as_bytes()), Err(AnswerError::Chunk), "{body}");
    }
    let long =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "e".repeat(2000));
    assert_eq!(open(long.as_bytes()), Err(AnswerError::Chunk));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let long = format!("{head}{}", "x: y\r\n".repeat(10_000));
    assert_eq!(open(long.as_bytes()), Err(AnswerError::HeadTooLong));
}

/// The choice of extensions and a trailer for a chunked answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    None,
    Some,
}

fn extra() -> impl Strategy<Value = Extra> {
    prop_oneof![Just(Extra::None), Just(Extra::Some)]
}

/// Returns an answer with `pieces` as its chunks, with extensions and a trailer if `extra` asks for
/// them.
fn chunked_answer(pieces: &[Vec<u8>], extra: Extra) -> Vec<u8> {
    let mut input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let extension = if extra == Extra::Some { ";name=\"value\"" } else { "" };
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        input.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
        input.extend_from_slice(piece);
        input.extend_from_slice(b"\r\n");
    }
    input.extend_from_slice(b"0\r\n");
    input.extend_from_slice(if extra == Extra::Some {
        b"Expires: 0\r\nX: y\r\n\r\n"
    } else {
        b"\r\n"
    });
    input
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, Rest::Open);
        let _ = parse(&bytes, Rest::Ended);
    }

    #[test]
    fn arbitrary_bytes_in_the_place_of_chunks_never_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'1')], 0..60),
    ) {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let input = [&head[..], &bytes].concat();
        if let Ok(Some(answer)) = open(&input) {
            prop_assert!(answer.body(&input).len() <= bytes.len());
        }
    }

    #[test]
    fn content_is_the_same_however_it_is_divided_into_chunks(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8), extra in extra(),
    ) {
        let input = chunked_answer(&pieces, extra);
        let answer = open(&input).unwrap().unwrap();
        prop_assert_eq!(answer.body(&input).into_owned(), pieces.concat());
        prop_assert_eq!(answer.end, input.len());
    }

    #[test]
    fn an_answer_in_chunks_is_whole_at_its_last_byte_wherever_reads_end(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5), extra in extra(),
        behind in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let input = chunked_answer(&pieces, extra);
        for end in 0..input.len() {
            prop_assert_eq!(open(&input[..end]), Ok(None));
            prop_assert_eq!(parse(&input[..end], Rest::Ended), Ok(None));
        }
        // The bytes that follow belong to another answer.
        let longer = [&input[..], &behind].concat();
        prop_assert_eq!(open(&longer), open(&input));
    }
}
