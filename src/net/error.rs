//! Makes an API's error into an HTTP answer, the same way whatever the API's JSON looks like.
//!
//! | part of the answer | comes from |
//! |---|---|
//! | status, JSON | the API's own error type |
//! | `Retry-After` | the same; without it a client would come back at once |
//! | `WWW-Authenticate: Bearer` | every 401 |

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// An error that an API answers.
pub(crate) trait ErrorResponse {
    fn status(&self) -> StatusCode;
    /// Its JSON.
    fn body(&self) -> Vec<u8>;
    /// When it may be asked again, in seconds.
    fn retry_after(&self) -> Option<u32> {
        None
    }
}

/// The error as an answer to a request.
pub(crate) fn response<B: From<Bytes>>(error: &dyn ErrorResponse) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(error.body())));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if error.status() == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The error as the whole HTTP/1.1 answer to a connection that is closed after it.
pub(crate) fn raw(error: &dyn ErrorResponse) -> Vec<u8> {
    let response = response::<Bytes>(error);
    let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    let body = response.into_body();
    text.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(&body);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Busy(StatusCode);

    impl ErrorResponse for Busy {
        fn status(&self) -> StatusCode {
            self.0
        }
        fn body(&self) -> Vec<u8> {
            b"{\"error\":\"busy\"}".to_vec()
        }
        fn retry_after(&self) -> Option<u32> {
            (self.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
        }
    }

    #[test]
    fn a_raw_answer_tells_its_own_length() {
        let text = String::from_utf8(raw(&Busy(StatusCode::SERVICE_UNAVAILABLE))).unwrap();
        let expected = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: application/json\r\n\
            retry-after: 1\r\ncontent-length: 16\r\n\r\n{\"error\":\"busy\"}";
        assert_eq!(text, expected);
    }

    #[test]
    fn whoever_lacks_a_token_is_told_which_kind() {
        let response = response::<Bytes>(&Busy(StatusCode::UNAUTHORIZED));
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert!(!response.headers().contains_key("retry-after"));
    }
}
