//! `events`: what happens to the player's sessions, as it happens.

use super::{OutputFormat, connect::Connected, failed};
use crate::{
    cli::{
        error::Failure,
        exit::Exit,
        terminal::{Paint, Tone},
    },
    host::escape::escape,
    model::events::SessionEvent,
    session_api::client::StreamItem,
};
use chrono::Local;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session events\n  gameside session events --json | jq -r 'select(.event == \"OnSessionInviteReceived\") | .session_id'\n  gameside session events --after 1700000000000-4 --count 10 --json"
)]
pub(crate) struct Events {
    /// Go on after the event with this id, as --json printed it; without it, from now on
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// End after so many
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) async fn events(args: Events, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let mut stream = connected.sessions.events(args.after);
    stream.open().await.map_err(failed)?;
    if form == OutputFormat::Text {
        complain!("listening; Ctrl-C ends");
    }
    let mut left = args.count;
    while left != Some(0) {
        let told = stream.next().await.map_err(failed)?;
        print(form, &told, stream.last_event_id());
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Done)
}

fn print(form: OutputFormat, told: &StreamItem, id: Option<&str>) {
    let line = match form {
        OutputFormat::Json => {
            let mut value = match told {
                StreamItem::Event(event) => json!(event),
                StreamItem::Reset(reset) => json!({ "event": "reset", "reason": reset.reason }),
            };
            value["id"] = id.map_or(Value::Null, Value::from);
            value.to_string()
        }
        OutputFormat::Text => match told {
            StreamItem::Event(event) => text(event),
            StreamItem::Reset(_) => {
                Paint::here().apply(Tone::Bad, "events are missing here: look at your sessions again")
            }
        },
    };
    // A reader that went away ends the command by its signal.
    say!("{line}");
}

fn text(event: &SessionEvent) -> String {
    let paint = Paint::here();
    let time = event.created.0.with_timezone(&Local).format("%H:%M:%S%.3f").to_string();
    let mut line = format!(
        "{}  {:<24}  {}",
        paint.apply(Tone::Quiet, &time),
        event.event.name(),
        escape(event.session_id.as_str())
    );
    if !event.changed.is_empty() {
        line += &format!("  changed: {}", escape(&event.changed.join(", ")));
    }
    if event.destroyed {
        line += "  destroyed";
    }
    if let Some(invite) = event.invite_id {
        line += &format!("  invite {invite}");
    }
    if let Some(by) = event.inviting_player_uuid {
        line += &format!("  by {by}");
    }
    line
}
