//! `gameside run`: the agent, with what happens shown as it happens.

use super::{
    error::{Failure, OrExit as _},
    exit::Exit,
    find::Finder,
    live_view::{LiveView, OutputFormat},
};
use crate::{
    agent::{
        self, Options,
        config::{Loaded, Overrides},
    },
    core::io::Ending,
    host::{environment, telemetry},
    keeper::{self, config::KeeperMode},
    model::policy::LogFormat,
};
use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::ExitCode,
};

/// Run an agent: start and supervise a game, and report it to the session service.
///
/// Without a configuration it runs the practice game, in a session of its own, at a session service on this machine that is
/// started if there is none. If a game of that name still runs under its keeper, it is taken over instead.
/// Ctrl-C or SIGTERM drains: players may finish, then the game is stopped. A second one hastens. A terminal that is closed ends
/// nothing (SIGHUP reads the configuration again): `gameside stop` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gameside run
  gameside run -- ./MyServer -port={{ports.game}} {{map}}
  gameside run --config /etc/gameside/eu-1.toml --name eu-1
  gameside run --config openarena.toml --log debug

Exit codes: `gameside help exit-codes`")]
pub(crate) struct Args {
    /// The configuration (TOML); `gameside init` writes one, `gameside check` checks it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent's name, unique on this machine [default: "default", or what the configuration says].
    #[arg(long)]
    name: Option<String>,
    /// What goes to the agent's own log: error, warn, info, debug, trace, or directives.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How timeline and log are written: auto, text, json (one object a line) or journal (systemd's).
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    log_format: Option<LogFormat>,
    /// Wait for a keeper that somebody else starts.
    #[arg(long, hide = true)]
    connect_keeper: bool,
    /// The secrets of the environment come through descriptor 3.
    #[arg(long, hide = true)]
    receive_secrets: bool,
    /// The game's command, after `--`; words in {{…}} are filled in: ports.NAME, map, mode, misc, misc_args, ….
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A text that names no log format.
#[derive(Debug, thiserror::Error)]
#[error("expected auto, text, json or journal, found {0:?}")]
struct NoLogFormat(String);

fn log_format(text: &str) -> Result<LogFormat, NoLogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        "journal" => Ok(LogFormat::Journal),
        other => Err(NoLogFormat(other.to_owned())),
    }
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<ExitCode, Failure> {
    let overrides = Overrides {
        name: args.name.clone(),
        command: args.command.clone(),
        log: args.log.clone(),
        log_format: args.log_format,
        connect_keeper: args.connect_keeper,
    };
    if args.receive_secrets {
        environment::receive().or_exit(Exit::Failed)?;
    }
    let loaded = super::load::agent(args.config.as_deref(), overrides.clone())?;
    let config = &loaded.config;
    environment::take(&[&config.credentials.client_secret_env, &config.game.stop.quit.password_env]);
    if std::process::id() == 1 && loaded.config.keeper.mode == KeeperMode::Spawn {
        return be_the_first_process(&loaded, finder);
    }
    let format = loaded.config.agent.log_format;
    let telemetry = telemetry::start(format, loaded.config.agent.log.as_deref()).or_exit(Exit::Usage)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let viewer = form(format).map(|form| LiveView::start(form, &loaded.config, &finder.places)).transpose()?;
    let options = Options {
        loaded,
        overrides,
        places: finder.places.clone(),
        viewer: viewer.as_ref().map(LiveView::sender),
        telemetry: Some(telemetry),
        exit_code: |ending| Exit::from(ending).code(),
    };
    let ending = drive(options);
    drop(viewer);
    match ending? {
        Ok(ending) => Ok(told(&ending).into()),
        Err(error) => Err(Failure { exit: Exit::from(&error), error: error.into() }),
    }
}

fn drive(options: Options) -> Result<Result<Ending, agent::NoAgent>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(256 * 1024)
        .build()?;
    let ending = runtime.block_on(agent::run(options));
    // A look-up that hangs in a thread of its own holds nobody up.
    runtime.shutdown_background();
    Ok(ending)
}

fn told(ending: &Ending) -> Exit {
    let exit = Exit::from(ending);
    if exit != Exit::Done {
        complain!("gameside: {}", super::terminal::escape_lines(&agent::describe(ending)));
    }
    exit
}

/// Where the timeline is shown: under systemd the log already has it.
fn form(format: LogFormat) -> Option<OutputFormat> {
    match format {
        LogFormat::Journal => None,
        LogFormat::Auto if telemetry::under_journal() => None,
        LogFormat::Json => Some(OutputFormat::Json),
        LogFormat::Auto | LogFormat::Text => Some(OutputFormat::Text),
    }
}

/// As PID 1 of a container, this becomes the keeper: it must not die first, and every orphan comes to it. The agent is its child.
fn be_the_first_process(loaded: &Loaded, finder: &Finder) -> Result<ExitCode, Failure> {
    let place = finder.places.prepare_agent(&loaded.config.agent.name).or_exit(Exit::Usage)?;
    let own = std::env::current_exe()?;
    let mut args: Vec<OsString> = vec!["--dir".into(), place.dir.into()];
    args.extend(loaded.config.keeper.args());
    args.extend(["--run-agent".into(), own.into()]);
    args.extend(as_child(std::env::args_os().skip(1), environment::has_taken()));
    Ok(keeper::main(args))
}

/// The same command line with the words that say: the keeper is there already, and what secrets there are don't come in the environment.
fn as_child(args: impl Iterator<Item = OsString>, has_secrets: bool) -> Vec<OsString> {
    let mut words: Vec<OsString> = args.collect();
    let run = words.iter().position(|word| word == OsStr::new("run")).map_or(words.len(), |at| at + 1);
    let secrets = has_secrets.then(|| "--receive-secrets".into());
    words.splice(run..run, [OsString::from("--connect-keeper")].into_iter().chain(secrets));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_of_the_first_process_gets_the_same_words_and_one_more() {
        let words = ["--state-dir", "/s", "run", "--name", "a", "--", "run", "x"].map(OsString::from);
        let text = |words: Vec<OsString>| {
            words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let child = text(as_child(words.clone().into_iter(), false));
        assert_eq!(child, "--state-dir /s run --connect-keeper --name a -- run x");
        let child = text(as_child(words.into_iter(), true));
        assert_eq!(child, "--state-dir /s run --connect-keeper --receive-secrets --name a -- run x");
    }
}
