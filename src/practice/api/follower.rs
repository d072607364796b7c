//! What the agent tells the game: its event stream, read for as long as the game runs.

use super::block_on;
use crate::{
    model::{
        backoff::{Backoff, NO_JITTER},
        game::GameNotice,
    },
    net::{
        Client,
        client::{Call, ClientError},
        sse::{Message, Reader, TooLong},
    },
    practice::server::log,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use std::{sync::mpsc::Sender, time::Duration};

/// Between two attempts to listen: the agent is on this machine, and may just be starting.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// The longest event, in bytes.
const MAX_EVENT: usize = 1 << 20;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Something that the agent said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AgentMessage {
    Notice(GameNotice),
    /// The agent was started anew, and may know less than before.
    Reset,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error("the game is over")]
    GameOver,
    #[error("/v1/events answers {0}")]
    Status(StatusCode),
    #[error("the agent ended it")]
    Closed,
    #[error(transparent)]
    Event(#[from] TooLong),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Starts the thread. `wake` is called after each arrival.
pub(crate) fn start(agent: Client, to: Sender<AgentMessage>, wake: impl Fn() + Send + 'static) {
    std::thread::spawn(move || {
        let deliver = |message| {
            let delivered = to.send(message).is_ok();
            wake();
            delivered
        };
        let mut follower = Follower { agent, deliver, seen: None, backoff: Backoff::default() };
        let following = block_on(async {
            while !matches!(follower.listen().await, StreamEnd::GameOver) {
                tokio::time::sleep(follower.backoff.next(FIRST_PAUSE, LAST_PAUSE, NO_JITTER)).await;
            }
        });
        if let Err(error) = following {
            log(format_args!("can't listen to the agent: {error}"));
        }
    });
}

/// Who reads the stream, and how far it has come.
struct Follower<D> {
    agent: Client,
    /// False: nobody takes messages any more.
    deliver: D,
    /// The id of the last event.
    seen: Option<String>,
    backoff: Backoff,
}

impl<D: Fn(AgentMessage) -> bool> Follower<D> {
    /// Reads the event stream until it ends.
    async fn listen(&mut self) -> StreamEnd {
        match self.read().await {
            Ok(()) => StreamEnd::Closed,
            Err(end) => end,
        }
    }

    async fn read(&mut self) -> Result<(), StreamEnd> {
        let last = self.seen.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
        let headers = last.into_iter().map(|id| (LAST_EVENT_ID, id)).collect();
        let answer = self.agent.open(Call { headers, ..Call::new(Method::GET, "/v1/events") }).await?;
        if answer.status() != StatusCode::OK {
            return Err(StreamEnd::Status(answer.status()));
        }
        self.backoff.reset();
        let (mut body, mut reader) = (answer.into_body(), Reader::new(MAX_EVENT));
        while let Some(frame) = body.frame().await {
            reader.push(frame?.data_ref().map_or(&[], |data| data))?;
            while let Some(message) = reader.next_message() {
                let followed = followed(&message);
                if message.id.is_some() {
                    self.seen = message.id;
                }
                if followed.is_some_and(|followed| !(self.deliver)(followed)) {
                    return Err(StreamEnd::GameOver);
                }
            }
        }
        Ok(())
    }
}

/// None: nothing that a game has to know.
fn followed(message: &Message) -> Option<AgentMessage> {
    match message.event.as_str() {
        "reset" => Some(AgentMessage::Reset),
        "lagged" => None,
        _ => serde_json::from_str(&message.data).ok().map(AgentMessage::Notice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_notices_and_a_reset_is_told() {
        let message =
            |event: &str, data: &str| followed(&Message { id: None, event: event.to_owned(), data: data.to_owned() });
        let stop = message("stop", r#"{"run":1,"event":"stop","within_ms":500}"#);
        assert_eq!(stop, Some(AgentMessage::Notice(GameNotice::Stop { within: Duration::from_millis(500) })));
        assert_eq!(message("reset", r#"{"event":"reset"}"#), Some(AgentMessage::Reset));
        for (event, data) in [("lagged", "{}"), ("", ""), ("newer", r#"{"event":"newer"}"#)] {
            assert_eq!(message(event, data), None);
        }
    }
}
