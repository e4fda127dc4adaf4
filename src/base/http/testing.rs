//! Comparison of answers, for tests and for fuzzing.

/// Returns the bytes of HTTP answers as text, without the values of `Date`.
pub(crate) fn without_dates(mut answers: Vec<u8>) -> String {
    const NAME: &[u8] = b"\r\ndate: ";
    const VALUE: &[u8] = b"Fri, 15 Jan 2027 08:00:00 GMT";
    let ends: Vec<usize> =
        memchr::memmem::find_iter(&answers, NAME).map(|start| start + NAME.len()).collect();
    for end in ends {
        let date = answers.iter_mut().skip(end).take(VALUE.len());
        date.for_each(|byte| *byte = b'-');
    }
    answers.escape_ascii().to_string()
}
