//! `gameside ps`: a table of the agents on this machine.

use super::{error::Failure, exit::Exit, find::Finder, status, terminal};
use crate::{agent::summary, host::escape::escape, model::status::Status};

/// List the agents on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON array of what `status --json` prints.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.all();
    let statuses = super::block_on(async {
        let mut statuses = Vec::new();
        for found in &found {
            statuses.push(match status::look(found).await {
                Ok((status, _)) => status,
                Err(failure) => serde_json::json!({"name": found.name, "error": failure.to_string()}),
            });
        }
        Ok(statuses)
    })?;
    if args.json {
        say!("{}", serde_json::Value::from(statuses));
        return Ok(Exit::Done);
    }
    let header = ["NAME", "AGENT", "GAME", "PLAYERS", "CONNECT", "WHAT IT DOES"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header).chain(statuses.iter().map(row)).collect();
    say_part!("{}", terminal::table(&rows));
    Ok(Exit::Done)
}

fn row(value: &serde_json::Value) -> Vec<String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if !text.is_empty() => escape(text),
        serde_json::Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    };
    let down = value["agent"]["pid"].is_null();
    let mut whole = value.clone();
    if down {
        whole["agent"]["pid"] = 0.into();
    }
    let what = match serde_json::from_value::<Status>(whole) {
        _ if value["error"].is_string() => text(&value["error"]),
        Ok(_) if down && value["game"]["pid"].is_number() => "agent down; the keeper holds the game".to_owned(),
        Ok(_) if down => "down".to_owned(),
        Ok(status) => escape(&summary::line(&status)),
        Err(_) => "-".to_owned(),
    };
    let connect =
        if text(&value["public_conn_str"]) == "-" { &value["private_conn_str"] } else { &value["public_conn_str"] };
    vec![
        text(&value["name"]),
        text(&value["agent"]["pid"]),
        text(&value["game"]["pid"]),
        text(&value["players"]),
        text(connect),
        what,
    ]
}
