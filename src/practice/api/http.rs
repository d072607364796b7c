//! Just enough of an HTTP/1.1 client.

use crate::practice::options::{ApiPlace, ApiWay};
use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

/// The longest line of a head or a chunk size, and the longest answer, in bytes.
const MAX_LINE: u64 = 16 * 1024;
const MAX_ANSWER: u64 = 1024 * 1024;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(to),
            Stream::Unix(stream) => stream.read(to),
        }
    }
}

fn connect(place: &ApiPlace, patience: Option<Duration>) -> io::Result<(Stream, Box<dyn Write>)> {
    match &place.way {
        ApiWay::Tcp(address) => {
            let stream = TcpStream::connect(address.as_str())?;
            stream.set_read_timeout(patience)?;
            stream.set_nodelay(true)?;
            let writer = Box::new(stream.try_clone()?);
            Ok((Stream::Tcp(stream), writer))
        }
        ApiWay::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(patience)?;
            let writer = Box::new(stream.try_clone()?);
            Ok((Stream::Unix(stream), writer))
        }
    }
}

/// One request on a connection of its own: the status, and the body as text.
pub fn exchange(
    place: &ApiPlace,
    method: &str,
    path: &str,
    body: &str,
    patience: Duration,
) -> io::Result<(u16, String)> {
    let (status, mut answer) = open(place, method, path, &[], body, Some(patience))?;
    let mut text = String::new();
    answer.by_ref().take(MAX_ANSWER).read_to_string(&mut text)?;
    Ok((status, text))
}

/// A request whose answer is read as it comes.
pub fn open(
    place: &ApiPlace,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    patience: Option<Duration>,
) -> io::Result<(u16, Box<dyn BufRead>)> {
    let (stream, mut writer) = connect(place, patience)?;
    let host = match &place.way {
        ApiWay::Tcp(address) => address.as_str(),
        ApiWay::Unix(_) => "localhost",
    };
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        place.token,
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    writer.write_all(format!("{head}\r\n{body}").as_bytes())?;
    answer(BufReader::new(stream))
}

fn answer(mut stream: BufReader<Stream>) -> io::Result<(u16, Box<dyn BufRead>)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the agent's answer has {what}"));
    let status = line(&mut stream)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad("no status"))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line(&mut stream)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = Some(value.parse().map_err(|_| bad("a bad length"))?),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None if header.is_empty() => break,
            None => return Err(bad("a bad header")),
        }
    }
    let body: Box<dyn BufRead> = match length {
        _ if chunked => Box::new(BufReader::new(Chunked { stream, left: 0, over: false })),
        Some(length) => Box::new(stream.take(length)),
        None if status == 204 || status == 304 => Box::new(io::empty()),
        None => Box::new(stream),
    };
    Ok((status, body))
}

/// A line without its end; the connection's end is an error.
fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.take(MAX_LINE).read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the agent hung up"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// A chunked body.
struct Chunked<R> {
    stream: R,
    left: u64,
    over: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.over {
            return Ok(0);
        }
        if self.left == 0 {
            let size = line(&mut self.stream)?;
            let size = size.split(';').next().unwrap_or("").trim();
            self.left = u64::from_str_radix(size, 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("a chunk of size {size:?}")))?;
            if self.left == 0 {
                self.over = true;
                line(&mut self.stream)?;
                return Ok(0);
            }
        }
        let got = (&mut self.stream).take(self.left).read(to)?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the agent hung up within a chunk"));
        }
        self.left -= got as u64;
        if self.left == 0 {
            line(&mut self.stream)?;
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_a_cut_is_an_error() {
        let whole = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
        let mut text = String::new();
        Chunked { stream: &whole[..], left: 0, over: false }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
        for cut in [&whole[..7], &whole[..10], &whole[..3], b"zz\r\n"] {
            assert!(Chunked { stream: cut, left: 0, over: false }.read_to_end(&mut Vec::new()).is_err());
        }
    }
}
