//! A request's body, bounded in bytes and in time.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use std::{error::Error, time::Duration};

/// What is announced as so many times the limit isn't waited for. A little too much is read, or the client, still sending, might not
/// hear the answer.
const FAR_TOO_LARGE: u64 = 8;

/// A body that could not be read. Each API has its own words for it.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("a body may have at most {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body took longer than {within:?}")]
    TooSlow { within: Duration },
    #[error("the body was cut off: {0}")]
    CutOff(Box<dyn Error + Send + Sync>),
}

/// Reads a body of at most `limit` bytes that arrives `within` so much time.
pub(crate) async fn read<B>(body: B, limit: usize, within: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > (limit as u64).saturating_mul(FAR_TOO_LARGE) {
        return Err(BodyError::TooLarge { limit });
    }
    match tokio::time::timeout(within, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Ok(Err(error)) => Err(BodyError::CutOff(error)),
        Err(_) => Err(BodyError::TooSlow { within }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_whole_or_refused_with_the_reason() {
        let whole = read(Full::new(Bytes::from("12345")), 5, SECOND).await;
        assert_eq!(whole.unwrap(), "12345");
        for length in [6, 6000] {
            let long = read(Full::new(Bytes::from(vec![b'x'; length])), 5, SECOND).await;
            assert!(matches!(long, Err(BodyError::TooLarge { limit: 5 })), "{long:?}");
        }
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("x")))]);
        let slow = read(StreamBody::new(first.chain(stream::pending())), 5, SECOND).await;
        assert!(matches!(slow, Err(BodyError::TooSlow { .. })), "{slow:?}");
        let broken = stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("gone"))]);
        let broken = read(StreamBody::new(broken), 5, SECOND).await;
        assert!(broken.unwrap_err().to_string().contains("gone"));
    }
}
