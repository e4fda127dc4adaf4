//! The bytes that the servers send.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::num::NonZeroU32;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use foldhash::fast::FixedState;
use http_body_util::Full;
use hyper::Response;

/// Answers of equal length.
#[derive(Debug)]
pub(crate) struct Answers {
    /// All of them, one after the other.
    bytes: Bytes,
    count: NonZeroU32,
    /// The length of one.
    len: usize,
    /// The length of the head of each.
    head_len: usize,
    /// The head for hyper, without the fields that it writes itself.
    head: Response<()>,
}

impl Answers {
    /// Makes `count` answers of one raw response. If there are several, a number in the middle of the
    /// body tells them apart.
    ///
    /// # Errors
    /// Returns an error when the bytes are no HTTP response of a stated length, or when the body has no
    /// room for a number.
    pub(crate) fn new(response: &[u8], count: NonZeroU32) -> anyhow::Result<Self> {
        let (head, head_len) = parse(response)?;
        let len = response.len();
        let mut bytes = Vec::new();
        for number in 0..count.get() {
            bytes.extend_from_slice(response);
            if count.get() > 1 {
                let body = bytes.len() - (len - head_len);
                mark(bytes.get_mut(body..).unwrap_or_default(), number)?;
            }
        }
        Ok(Self { bytes: bytes.into(), count, len, head_len, head })
    }

    /// Returns the number of the answer to a request that begins with `line`, from a caller at
    /// `peer`. What follows the first CR does not matter.
    pub(crate) fn number(&self, line: &[u8], peer: IpAddr) -> usize {
        if self.count.get() == 1 {
            return 0;
        }
        let line = line.split(|byte| *byte == b'\r').next();
        let hash = FixedState::default().hash_one((line, peer));
        usize::try_from(hash % u64::from(self.count.get())).unwrap_or_default()
    }

    /// Returns all bytes of an answer.
    pub(crate) fn raw(&self, number: usize) -> &[u8] {
        let start = number * self.len;
        self.bytes.get(start..start + self.len).unwrap_or_default()
    }

    /// Returns an answer for hyper, which adds `date` and `content-length`.
    pub(crate) fn response(&self, number: usize) -> Response<Full<Bytes>> {
        let start = number * self.len;
        let body = self.bytes.slice(start + self.head_len..start + self.len);
        self.head.clone().map(|()| Full::new(body))
    }
}

/// Writes a number over the middle of a body, which is within the token.
fn mark(body: &mut [u8], number: u32) -> anyhow::Result<()> {
    let text = format!("{number:08x}");
    let start = body.len() / 2;
    let place = body.get_mut(start..start + text.len());
    place.context("the body is too short for a number")?.copy_from_slice(text.as_bytes());
    Ok(())
}

/// Returns the head without `date` and `content-length`, and its length in bytes.
fn parse(response: &[u8]) -> anyhow::Result<(Response<()>, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(response).context("not an HTTP response")?
    else {
        bail!("the response ends within its headers");
    };
    let mut builder = Response::builder().status(head.code.unwrap_or_default());
    for header in head.headers.iter() {
        match header.name.to_ascii_lowercase().as_str() {
            "date" => {}
            "transfer-encoding" => bail!("the response is chunked; capture one that is not"),
            "content-length" => check_length(header.value, response.len() - end)?,
            name => builder = builder.header(name, header.value),
        }
    }
    Ok((builder.body(())?, end))
}

/// Checks the stated length. A wrong one would make clients wait for ever or misread the next
/// response.
fn check_length(value: &[u8], body: usize) -> anyhow::Result<()> {
    let stated = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    if stated != Some(body) {
        bail!("the response states another length than its body's {body} bytes");
    }
    Ok(())
}
