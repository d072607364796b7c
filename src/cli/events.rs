//! `gameside events [NAME] [-f]`: the timeline, of a living agent or of what a dead one left.

use super::{error::Failure, exit::Exit, find::Finder, operator::Operator, terminal::Paint};
use crate::{agent::timeline_writer, model::status::TimelineEntry};

/// Print the agent's timeline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gameside events -n 50\n  gameside events -f --json | jq -r .kind")]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Go on as things happen, until the agent ends.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last entries to print first.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?;
    let paint = Paint::here();
    let print = |entry: &TimelineEntry| match serde_json::to_string(entry) {
        Ok(line) if args.json => say!("{line}"),
        _ => say!("{}", paint.timeline(entry)),
    };
    // One more than wanted, so that the position before the first is known even if none is wanted.
    let past = timeline_writer::read_back(&found.place.timeline(), args.lines.max(1));
    past.iter().rev().take(args.lines).rev().for_each(print);
    if args.follow {
        let seen = past.last().map_or(0, |entry| entry.seq);
        let operator = Operator::of(&found.living()?);
        super::block_on(stream(&operator, seen, print))?;
    }
    Ok(Exit::Done)
}

/// Follows the timeline after `seen` until the agent ends.
pub(crate) async fn stream(
    operator: &Operator,
    seen: u64,
    mut each: impl FnMut(&TimelineEntry),
) -> Result<(), Failure> {
    operator.lines(&format!("/v1/timeline?follow=1&after={seen}"), |entry| each(&entry)).await
}
