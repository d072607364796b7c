//! The live view of `gameside run`: the timeline as it happens, and what to type next.
//!
//! A thread of its own prints, so that a terminal that was stopped (Ctrl-S) never holds the agent
//! up.

use super::terminal::{Paint, Tone};
use crate::{
    agent::config::AgentConfig,
    host::{escape::escape, paths::Places},
    model::status::TimelineEntry,
};
use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

/// Lines that may wait for the terminal.
const WAITING: usize = 256;

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

/// The printing thread. Dropping it waits until everything is printed.
#[derive(Debug)]
pub(crate) struct LiveView {
    sender: Option<SyncSender<TimelineEntry>>,
    thread: Option<JoinHandle<()>>,
}

impl LiveView {
    /// Prints who begins, and starts the thread.
    pub(crate) fn start(form: OutputFormat, config: &AgentConfig, places: &Places) -> io::Result<Self> {
        let (sender, entries) = sync_channel(WAITING);
        let printer = Printer {
            form,
            paint: Paint::here(),
            hints: form == OutputFormat::Text && io::stdout().is_terminal(),
            name: config.agent.name.clone(),
            practice: config.is_practice(),
            waits: super::check::readiness(config),
        };
        printer.greet(config, places);
        let thread = thread::Builder::new()
            .name("screen".into())
            .stack_size(128 * 1024)
            .spawn(move || printer.print(&entries))?;
        Ok(LiveView { sender: Some(sender), thread: Some(thread) })
    }

    pub(crate) fn sender(&self) -> SyncSender<TimelineEntry> {
        self.sender.clone().expect("the sender goes only with the viewer")
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Printer {
    form: OutputFormat,
    paint: Paint,
    hints: bool,
    name: String,
    practice: bool,
    /// For what, until it is joinable.
    waits: String,
}

impl Printer {
    fn greet(&self, config: &AgentConfig, places: &Places) {
        if self.form == OutputFormat::Json {
            return;
        }
        let what = if self.practice { "the practice game".to_owned() } else { escape(&config.game.command.join(" ")) };
        let service = if config.session.is_local() { "a session service on this machine" } else { &config.session.url };
        let version = env!("CARGO_PKG_VERSION");
        let headline = format!("gameside {version}  agent {:?}: {what}, at {}", self.name, escape(service));
        line(&self.paint.apply(Tone::Strong, &headline));
        line(&self.paint.apply(Tone::Quiet, &format!("state in {}", places.state.join(&self.name).display())));
    }

    fn print(&self, entries: &Receiver<TimelineEntry>) {
        for entry in entries {
            match self.form {
                OutputFormat::Json => line(&serde_json::to_string(&entry).unwrap_or_default()),
                OutputFormat::Text => line(&self.paint.timeline(&entry)),
            }
            if self.hints {
                for hint in self.hints_after(&entry) {
                    line(&self.paint.apply(Tone::Quiet, &format!("              ↳ {hint}")));
                }
            }
        }
    }

    /// What to type next.
    fn hints_after(&self, entry: &TimelineEntry) -> Vec<String> {
        let name =
            if self.name == crate::host::paths::DEFAULT_NAME { String::new() } else { format!(" {}", self.name) };
        let field = |key: &str| entry.fields.get(key).filter(|value| !value.is_empty()).map(|value| escape(value));
        match entry.kind.as_str() {
            "joinable" => {
                let address = field("private_conn_str").or_else(|| field("public_conn_str"));
                let join = address
                    .filter(|_| self.practice)
                    .map(|address| format!("play:    gameside practice join {address}"));
                let look =
                    format!("look:    gameside status{name}   gameside events{name} -f   gameside logs{name} -f");
                let end = format!("end:     Ctrl-C drains, a second one hastens   gameside stop{name}");
                join.into_iter().chain([look, end]).collect()
            }
            "pending" if !self.practice => vec![format!("joinable {}: [game.readiness]", self.waits)],
            "registered" => vec!["waiting for an allocation: POST /session/v1/session/{id}/instance".to_owned()],
            "drain" => vec!["players may finish; Ctrl-C again stops the game now".to_owned()],
            "detached" => vec![format!("take over again: gameside run --name {}", self.name)],
            _ => Vec::new(),
        }
    }
}

/// A terminal that went away is no reason to end.
fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}
