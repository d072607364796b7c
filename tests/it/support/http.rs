//! A small HTTP/1.1 client that blocks: one connection, one exchange.

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
    pub etag: Option<String>,
}

impl Answer {
    /// The body of an answer that has to be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "HTTP {}: {}", self.status, self.text);
        self.body
    }
}

/// `url` = `http://HOST:PORT/path`.
pub fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> std::io::Result<Answer> {
    let mut stream = open(method, url, headers, body, "close")?;
    read(&mut stream)
}

/// Sends a request and hands the connection back before the answer has been read.
pub fn open(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
    connection: &str,
) -> std::io::Result<BufReader<TcpStream>> {
    let rest = url.strip_prefix("http://").expect("a plain http URL");
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" || method == "PUT" || method == "PATCH" {
        request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    Ok(BufReader::new(stream))
}

/// Status line and headers.
pub fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u16, Vec<(String, String)>)> {
    let broken = || std::io::Error::other("no HTTP answer");
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok((status, headers)),
        }
    }
}

/// The whole answer.
pub fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let (status, headers) = head(stream)?;
    let header = |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let mut content = Vec::new();
    if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        while let Some(chunk) = chunk(stream)? {
            content.extend(chunk);
        }
    } else if let Some(length) = header("content-length").and_then(|length| length.parse().ok()) {
        content.resize(length, 0);
        stream.read_exact(&mut content)?;
    } else if status != 304 && status != 204 {
        stream.read_to_end(&mut content)?;
    }
    let text = String::from_utf8_lossy(&content).into_owned();
    let etag = header("etag").cloned();
    Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or_default(), text, etag })
}

/// The next chunk of a chunked body; none at its end.
pub fn chunk(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
    let mut content = vec![0; size + 2];
    stream.read_exact(&mut content)?;
    content.truncate(size);
    Ok((size > 0).then_some(content))
}
