//! `gameside probes`: what `[probe] protocol` takes.

use super::exit::Exit;
use crate::probes::protocols;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object, names as keys.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Exit {
    let all = protocols();
    if args.json {
        let all: serde_json::Map<_, _> = all.into_iter().map(|(name, what)| (name.to_owned(), what.into())).collect();
        say!("{}", serde_json::Value::Object(all));
        return Exit::Done;
    }
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, what) in all {
        say!("{name:width$}  {what}");
    }
    Exit::Done
}
