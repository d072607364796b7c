//! What the agent tells the game: its event stream, followed for life.

use super::http;
use crate::{model::game::GameNotice, practice::options::ApiPlace};
use std::{io, io::BufRead, sync::mpsc::Sender, time::Duration};

const RETRY: Duration = Duration::from_millis(250);

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    GameNotice(GameNotice),
    /// Another life of the agent: it may know less than the last.
    Reset,
}

/// Starts the thread. `wake` is called after each arrival.
pub fn start(place: ApiPlace, to: Sender<Followed>, wake: impl Fn() + Send + 'static) {
    std::thread::spawn(move || {
        let mut seen = None;
        let deliver = |followed| {
            let delivered = to.send(followed).is_ok();
            wake();
            delivered
        };
        while follow(&place, &mut seen, &deliver).is_err_and(|error| error.kind() != io::ErrorKind::Other) {
            std::thread::sleep(RETRY);
        }
    });
}

/// Until the stream ends; an error of kind `Other` means that nobody listens any more.
fn follow(place: &ApiPlace, seen: &mut Option<String>, deliver: &impl Fn(Followed) -> bool) -> io::Result<()> {
    let last = seen.clone();
    let headers: Vec<_> = last.iter().map(|id| ("last-event-id", id.as_str())).collect();
    let (status, stream) = http::open(place, "GET", "/v1/events", &headers, "", None)?;
    if status != 200 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("/v1/events answers {status}")));
    }
    let mut event = Sse::default();
    for line in stream.lines() {
        if let Some(done) = event.line(&line?) {
            if done.id.is_some() {
                *seen = done.id;
            }
            let followed = match done.event.as_str() {
                "reset" => Some(Followed::Reset),
                "lagged" => None,
                _ => serde_json::from_str(&done.data).ok().map(Followed::GameNotice),
            };
            if followed.is_some_and(|followed| !deliver(followed)) {
                return Err(io::Error::other("the game is over"));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended"))
}

/// One event, as it is put together line by line.
#[derive(Debug, Default, PartialEq)]
struct Sse {
    event: String,
    id: Option<String>,
    data: String,
}

impl Sse {
    fn line(&mut self, line: &str) -> Option<Sse> {
        match line.split_once(": ") {
            Some(("event", name)) => name.clone_into(&mut self.event),
            Some(("id", id)) => self.id = Some(id.to_owned()),
            Some(("data", data)) => self.data.push_str(data),
            Some(_) | None => {}
        }
        (line.is_empty() && !self.data.is_empty()).then(|| std::mem::take(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_line_by_line() {
        let mut sse = Sse::default();
        let mut done = Vec::new();
        for line in ["retry: 500", "", ": remark", "event: stop", "id: life-3", "data: {\"event\":\"stop\"}", "", ""] {
            done.extend(sse.line(line));
        }
        let data = "{\"event\":\"stop\"}".to_owned();
        assert_eq!(done, [Sse { event: "stop".to_owned(), id: Some("life-3".to_owned()), data }]);
    }
}
