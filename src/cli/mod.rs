//! The command line: one file a subcommand, exit codes in one place.
//!
//! | file | holds |
//! |---|---|
//! | [`run`] | the agent itself, with the live timeline |
//! | [`status`], [`ps`], [`events`], [`logs`] | looking |
//! | [`allocate`], [`drain`], [`stop`], [`detach`] | telling an agent what to do |
//! | [`probes`] | the protocols that a probe can speak |
//! | [`practice`] | a small game server to try everything with, and its players |
//! | [`check`], [`init`], [`load`] | a configuration: its faults, a first one, loading it |
//! | [`install`] | both programs, into a pod's volume |
//! | [`session`], [`sessions`] | sessions from the shell; the session service |
//! | [`find`], [`operator`], [`startup`], [`terminal`] | which agent is meant; its API; what a match starts with; text for a terminal |
//! | [`exit`], [`error`] | exit codes, and errors that carry one |

/// A line on standard output. Unlike `println!` it doesn't panic where that can't be written: see [`terminal::is_unwritten`].
macro_rules! say {
    () => { say_part!("\n") };
    ($($what:tt)*) => { say_part!("{}\n", format_args!($($what)*)) };
}

/// The same without the end of the line.
macro_rules! say_part {
    ($($what:tt)*) => { $crate::cli::terminal::write_out(format_args!($($what)*)) };
}

/// A line on standard error, if that can be written.
macro_rules! complain {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($what)*);
    }};
}

pub(crate) mod allocate;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod detach;
pub(crate) mod drain;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod exit;
pub(crate) mod find;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod keeper;
pub(crate) mod live_view;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod operator;
pub(crate) mod practice;
pub(crate) mod probes;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod startup;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod terminal;

use crate::host::{environment, process};
use clap::{
    Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use error::Failure;
use exit::Exit;
use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::ExitCode,
};

const EXAMPLES: &str = "\
Start here:
  gameside run                              a practice game, a local session service, the whole loop
  gameside run -- ./MyServer -port={{ports.game}} {{map}}
  gameside status                           what it does and why

More: `gameside help COMMAND`, `gameside help exit-codes`";

/// The agent beside a dedicated game server, and the session service it reports to.
#[derive(Debug, Parser)]
#[command(name = "gameside", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Where state is kept [default: $GAMESIDE_STATE_DIR, $STATE_DIRECTORY, /var/lib/gameside for root, else
    /// $XDG_STATE_HOME/gameside].
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    pub state_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// What each does stands at its arguments; a line here would hide that from `--help`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Ps(ps::Args),
    Status(status::Args),
    Allocate(allocate::Args),
    Drain(drain::Args),
    Stop(stop::Args),
    Detach(detach::Args),
    Logs(logs::Args),
    Events(events::Args),
    /// Be the keeper: the small process that holds the game (`gameside-keeper` is the same).
    Keeper(keeper::Args),
    /// Be the SDK gateway: what the game talks to; the keeper starts it.
    Gateway(keeper::Args),
    Practice(Box<practice::Practice>),
    /// List the game query protocols that a probe can speak.
    Probes(probes::Args),
    Check(check::Args),
    Init(init::Args),
    Install(install::Args),
    Completion(completion::Args),
    Session(Box<session::Args>),
    Sessions(sessions::SessionsArgs),
    /// Leave the terminal's session and run a program there.
    #[command(name = "__detach", hide = true)]
    DetachProgram(ProgramArgs),
    /// List the crash points of this build.
    #[command(name = "__crash-points", hide = true)]
    CrashPoints,
    /// Print help, of a command or of `exit-codes`.
    Help(HelpArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProgramArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    argv: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HelpArgs {
    /// A command, as it is typed: `run`, `session create`; or `exit-codes`.
    #[arg(value_name = "COMMAND")]
    topic: Vec<String>,
}

/// The whole program. Roles that must not be touched by anything of ours come first. The practice game is a game, not one of our
/// processes: the others guard themselves before anything else, and take what is secret out of their environment.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).map(OsString::as_os_str) == Some(OsStr::new("keeper")) {
        return crate::keeper::main(args.into_iter().skip(2).collect());
    }
    if args.get(1).map(OsString::as_os_str) == Some(OsStr::new("gateway")) {
        return crate::gateway::process::main(args.get(2..).unwrap_or_default());
    }
    if args.get(1).map(OsString::as_os_str) != Some(OsStr::new("practice")) {
        process::guard();
        environment::take(&[environment::CLIENT_SECRET]);
    }
    match Cli::try_parse_from(&args) {
        Ok(Cli { command: Command::Sessions(args), state_dir }) => sessions::run(args, state_dir),
        Ok(Cli { command: Command::Practice(args), .. }) => practice::run(*args),
        Ok(cli) => {
            if !matches!(cli.command, Command::Run(_)) {
                process::end_with_the_reader();
            }
            dispatch(cli).unwrap_or_else(|failure| {
                complain!("gameside: {}", terminal::escape_lines(&failure.to_string()));
                failure.exit.into()
            })
        }
        Err(mut error) => {
            hint_at_the_games_command(&mut error, &args);
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { Exit::Usage } else { Exit::Done })
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let place = find::Finder::new(cli.state_dir)?;
    // What these have done stays done, whoever hears of it.
    let is_order = matches!(
        cli.command,
        Command::Allocate(_) | Command::Drain(_) | Command::Stop(_) | Command::Detach(_) | Command::DetachProgram(_)
    );
    let exit = match cli.command {
        Command::Run(args) => return run::run(&args, &place),
        Command::Ps(args) => ps::run(&args, &place),
        Command::Status(args) => status::run(&args, &place),
        Command::Allocate(args) => allocate::run(args, &place),
        Command::Drain(args) => drain::run(&args, &place),
        Command::Stop(args) => stop::run(&args, &place),
        Command::Detach(args) => detach::run(&args, &place),
        Command::Logs(args) => logs::run(&args, &place),
        Command::Events(args) => events::run(&args, &place),
        Command::Keeper(args) => Ok(keeper::unreachable_by_clap("keeper", &args)),
        Command::Gateway(args) => Ok(keeper::unreachable_by_clap("gateway", &args)),
        Command::Probes(args) => Ok(probes::run(&args)),
        Command::Check(args) => check::run(args, &place),
        Command::Init(args) => init::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Completion(args) => Ok(completion::run(&args)),
        Command::Session(args) => session::run(*args, &place),
        Command::Sessions(_) | Command::Practice(_) => unreachable!("dispatched before"),
        Command::DetachProgram(args) => {
            crate::agent::local::detach(&args.argv)?;
            Ok(Exit::Done)
        }
        Command::CrashPoints => {
            for point in crate::agent::crash::POINTS {
                say!("{point}");
            }
            Ok(Exit::Done)
        }
        Command::Help(args) => help(&args.topic),
    };
    exit.map(|exit| if is_order { exit } else { unless_unwritten(exit) }).map(ExitCode::from)
}

/// A command whose whole work is what it prints has failed where that can't be written.
fn unless_unwritten(exit: Exit) -> Exit {
    if exit == Exit::Done && terminal::is_unwritten() {
        complain!("gameside: the output could not be written");
        return Exit::Failed;
    }
    exit
}

/// `gameside run ./MyServer`: what is meant is a command, and commands stand after `--`.
fn hint_at_the_games_command(error: &mut clap::Error, args: &[OsString]) {
    let runs = args.iter().any(|arg| arg == "run" || arg == "check");
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::UnknownArgument && runs => word.clone(),
        _ => return,
    };
    if !word.starts_with('-') {
        let tip = format!("the game's command stands after `--`: gameside run -- {word} …");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

fn help(topic: &[String]) -> Result<Exit, Failure> {
    use clap::CommandFactory as _;
    if topic == ["exit-codes"] {
        say_part!("Exit codes of gameside:\n\n{}", exit::table());
        return Ok(Exit::Done);
    }
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for (depth, word) in topic.iter().enumerate() {
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            let asked = topic[..=depth].join(" ");
            let lists = ["gameside help"].into_iter().chain(topic[..depth].iter().map(String::as_str));
            let lists = lists.collect::<Vec<_>>().join(" ");
            Failure::new(Exit::Usage, format!("there is no command {asked:?}; `{lists}` lists them"))
        })?;
    }
    say!("{}", found.render_long_help());
    Ok(Exit::Done)
}

/// A runtime for a command that talks to an agent.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_games_command_without_its_dashes_is_told_where_it_belongs() {
        let told = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let mut error = Cli::try_parse_from(&args).unwrap_err();
            hint_at_the_games_command(&mut error, &args);
            error.to_string()
        };
        assert!(told("gameside run ./MyServer").contains("gameside run -- ./MyServer"));
        assert!(!told("gameside run --bogus").contains("the game's command"));
        assert!(!told("gameside ps extra").contains("the game's command"));
    }

    #[test]
    fn scripts_may_rely_on_these_words() {
        for line in [
            "gameside run --config f.toml --name a --state-dir /s -- ./game {{map}}",
            "gameside run",
            "gameside status a --json",
            "gameside status --watch",
            "gameside status a --probe live",
            "gameside status --probe ready",
            "gameside stop a",
            "gameside allocate a --map m --mode n --misc x",
            "gameside detach --restart",
            "gameside logs -f -n 20",
            "gameside events -f --json",
            "gameside check --config f.toml --json",
            "gameside check --service --config f.toml",
            "gameside init --for sessions - --force",
            "gameside completion bash",
            "gameside help exit-codes",
            "gameside help sessions client add",
            "gameside stop a --json",
            "gameside detach a --json",
            "gameside session create match --policy public --set map=harbour --max-players 8",
            "gameside session create match --dedicated --map harbour --mode duel --json",
            "gameside session find --where map=harbour --where level>=3 --with bob --ids",
            "gameside session join ABCDE --name match --presence --as bob:secret",
            "gameside session join --invite 9b2e77f0-93f4-4b5c-9c39-6f0a67c241aa",
            "gameside session leave",
            "gameside session destroy match --service http://127.0.0.1:8787 --as ada",
            "gameside session update match --new-members refuse --unset map",
            "gameside session invite bob --session match",
            "gameside session invites --json",
            "gameside session reject 9b2e77f0-93f4-4b5c-9c39-6f0a67c241aa",
            "gameside session presence set match",
            "gameside session presence of bob",
            "gameside session friends --json",
            "gameside session friends list",
            "gameside session friends add bob eve",
            "gameside session friends accept bob --json",
            "gameside session friends remove bob",
            "gameside session matchmake --where map=harbour --policy public",
            "gameside session members match --add bob --client-id local",
            "gameside session connect-string match --wait",
            "gameside session events -n 3 --json",
            "gameside session list",
            "gameside session show match",
            "gameside session whoami --json",
            "gameside sessions client add servers --secret-file servers.secret",
            "gameside sessions --listen 0.0.0.0:8787 --tls-cert cert.pem --tls-key key.pem",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
